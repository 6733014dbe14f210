//! [`ReadyList`]: the pipes of a socket that have something new, and the tasks that wait for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use super::{Pipe, lock};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, Notify};

/// Pipes that became readable (or writable) since the socket last looked, and the tasks that wait for that.
///
/// One exists for each direction of a socket. A pipe announces itself on a transition only, never per message. Nothing
/// else is locked under the list's lock.
pub(crate) struct ReadyList {
    pipes: Mutex<Vec<Arc<Pipe>>>,
    /// Whether `pipes` holds any; looked at before each message, so without the lock.
    any: AtomicBool,
    /// Set under the lock of `pipes`: nobody will look any more.
    closed: AtomicBool,
    wake: Wake,
    waiting: AtomicUsize,
    wakeup: Notify,
}

/// Whom an announcement wakes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// One task, which passes on what it leaves: any reader can take any message.
    One,
    /// All tasks: a writer may wait for one certain peer.
    All,
    /// All tasks; and the pipe is not listed, since nobody drains this list.
    AllUnlisted,
}

impl ReadyList {
    pub fn new(wake: Wake) -> Self {
        Self {
            pipes: Mutex::default(),
            any: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            wake,
            waiting: AtomicUsize::new(0),
            wakeup: Notify::new(),
        }
    }

    /// Adds `pipe` and wakes whoever waits.
    pub fn announce(&self, pipe: &Arc<Pipe>) {
        if self.wake != Wake::AllUnlisted {
            let mut pipes = lock(&self.pipes);
            if !self.closed.load(Ordering::Relaxed) {
                pipes.push(pipe.clone());
                self.any.store(true, Ordering::Release);
            }
        }
        waking(|| match self.wake {
            Wake::One => self.wakeup.notify_one(),
            Wake::All | Wake::AllUnlisted => self.wakeup.notify_waiters(),
        });
    }

    /// The socket is closed: pipes are no longer kept here, and all tasks look once more.
    pub fn close(&self) {
        let mut pipes = lock(&self.pipes);
        self.closed.store(true, Ordering::Relaxed);
        pipes.clear();
        drop(pipes);
        self.wake_all();
    }

    /// Moves the announced pipes out, in their order.
    #[inline]
    pub fn drain(&self, each: impl FnMut(Arc<Pipe>)) {
        if self.any.load(Ordering::Acquire) {
            let mut pipes = lock(&self.pipes);
            self.any.store(false, Ordering::Release);
            pipes.drain(..).for_each(each);
        }
    }

    /// Whether any task waits.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Wakes one more task: the caller took what it needed and left more.
    pub fn pass_on(&self) {
        waking(|| self.wakeup.notify_one());
    }

    /// Wakes all tasks: something changed that each has to look at, such as the end of the socket.
    pub fn wake_all(&self) {
        waking(|| self.wakeup.notify_waiters());
    }

    /// Makes `attempt` again at each wake-up until it gives a value.
    ///
    /// Dropped while it waits, it passes a wake-up that was meant for it to the next task.
    pub async fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        if let Some(value) = attempt() {
            return value;
        }
        let _waiting = Waiting::enter(&self.waiting);
        loop {
            let mut wakeup = pin!(self.wakeup.notified());
            wakeup.as_mut().enable();
            if let Some(value) = attempt() {
                return value;
            }
            wakeup.await;
        }
    }
}

/// Does what wakes tasks of the application. Their wakers are the code of others: if one panics, its hook has told so, and
/// whoever wakes it goes on, with all that it has still to do.
pub(crate) fn waking(wakes: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(wakes));
}

/// Counts a task as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
