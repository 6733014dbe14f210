//! What stands in for `tokio::sync::watch`, as far as the library uses it, over the mutex of the program that mounts it.
//!
//! A value that whoever is interested looks at under the lock of whoever changes it.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use crate::sync::{Mutex, MutexGuard};

pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version that was looked at last.
    seen: usize,
}

type Shared<T> = Mutex<State<T>>;

struct State<T> {
    value: T,
    version: usize,
    gone: bool,
    waiting: Vec<Waker>,
}

/// The value, which nobody changes meanwhile.
pub struct Ref<'a, T>(MutexGuard<'a, State<T>>);

/// There is nobody who could change the value.
#[derive(Debug)]
pub struct Gone;

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Sender<T> {
    pub fn new(value: T) -> Self {
        Self {
            shared: Arc::new(Mutex::new(State {
                value,
                version: 0,
                gone: false,
                waiting: Vec::new(),
            })),
        }
    }

    pub fn subscribe(&self) -> Receiver<T> {
        Receiver {
            shared: self.shared.clone(),
            seen: lock(&self.shared).version,
        }
    }

    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(lock(&self.shared))
    }

    pub fn send_replace(&self, value: T) -> T {
        let mut state = lock(&self.shared);
        let old = std::mem::replace(&mut state.value, value);
        state.version += 1;
        wake_all(state);
        old
    }

    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut state = lock(&self.shared);
        let modified = modify(&mut state.value);
        if modified {
            state.version += 1;
            wake_all(state);
        }
        modified
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.gone = true;
        wake_all(state);
    }
}

impl<T> Receiver<T> {
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let state = lock(&self.shared);
        self.seen = state.version;
        Ref(state)
    }

    /// Waits for a version that was not yet looked at.
    pub async fn changed(&mut self) -> Result<(), Gone> {
        let seen = self.seen;
        let state = until(&self.shared, |state| state.version != seen).await?;
        self.seen = state.version;
        Ok(())
    }

    /// Each version that it looks at counts as seen.
    pub async fn wait_for(&mut self, mut what: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Gone> {
        let Self { shared, seen } = self;
        let what = |state: &State<T>| {
            *seen = state.version;
            what(&state.value)
        };
        until(shared, what).await.map(Ref)
    }
}

/// Waits until the state is as wanted.
async fn until<T>(
    shared: &Shared<T>,
    mut wanted: impl FnMut(&State<T>) -> bool,
) -> Result<MutexGuard<'_, State<T>>, Gone> {
    poll_fn(|cx| {
        let mut state = lock(shared);
        if wanted(&state) {
            return Poll::Ready(Ok(state));
        }
        if state.gone {
            return Poll::Ready(Err(Gone));
        }
        if !state
            .waiting
            .iter()
            .any(|there| there.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    })
    .await
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake_all<T>(mut state: MutexGuard<'_, State<T>>) {
    let woken = std::mem::take(&mut state.waiting);
    drop(state);
    woken.into_iter().for_each(Waker::wake);
}
