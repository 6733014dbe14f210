//! [`Watch`]: a value that changes, and the tasks that wait until it is as they want it.

use std::pin::pin;

use crate::pipe::{lock, waking};
use crate::sync::{Mutex, Notify};

/// A number, a flag or a mode that tasks wait for.
///
/// A socket has several, and a program may have thousands of sockets: this takes a seventh of the memory of Tokio's `watch`.
#[derive(Default)]
pub(crate) struct Watch<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Watch<T> {
    pub fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    /// What it is now.
    pub fn now(&self) -> T {
        *lock(&self.value)
    }

    pub fn set(&self, value: T) {
        self.update(|there| *there = value);
    }

    /// Changes it under its lock, and lets all who wait look again.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let outcome = change(&mut lock(&self.value));
        self.look_again();
        outcome
    }

    /// Lets all who wait look again, because something else has changed that they look at.
    pub fn look_again(&self) {
        waking(|| self.changed.notify_waiters());
    }

    /// Waits until it is as `wanted`.
    pub async fn until(&self, wanted: impl Fn(T) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if wanted(self.now()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use super::*;
    use crate::pipe::tests::Counter;

    #[test]
    fn a_change_wakes_whoever_waits_and_only_what_is_wanted_ends_the_wait() {
        let watch = Watch::new(0);
        let woken = Arc::<Counter>::default();
        let waker = Waker::from(woken.clone());
        let mut waits = pin!(watch.until(|value| value == 2));
        let mut is_over = || {
            let polled = waits.as_mut().poll(&mut Context::from_waker(&waker));
            polled.is_ready()
        };
        assert!(!is_over());
        watch.set(1);
        assert_eq!(woken.count(), 1);
        assert!(!is_over());
        watch.update(|value| *value += 1);
        assert_eq!(woken.count(), 2);
        assert!(is_over());
        assert_eq!(watch.now(), 2);
    }

    #[test]
    fn what_is_as_wanted_is_not_waited_for() {
        let watch = Watch::new(true);
        let mut waits = pin!(watch.until(|value| value));
        let polled = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }

    #[test]
    fn who_looks_at_something_else_beside_the_value_is_told_to_look_again() {
        let watch = Watch::new(0);
        let woken = Arc::<Counter>::default();
        let waker = Waker::from(woken.clone());
        let closed = std::cell::Cell::new(false);
        let mut waits = pin!(watch.until(|_| closed.get()));
        let mut cx = Context::from_waker(&waker);
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        closed.set(true);
        watch.look_again();
        assert_eq!(woken.count(), 1);
        assert!(waits.as_mut().poll(&mut cx).is_ready());
    }
}
