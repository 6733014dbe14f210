//! [`ReadyList`]: the pipes of a socket that have something new, and the tasks that wait for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{try_id, yield_now};

use super::{Pipe, lock, lookout};
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
    /// Pipes that announce themselves lead, or led, to sockets of this process.
    near: AtomicBool,
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
            near: AtomicBool::new(false),
        }
    }

    /// Some of the pipes lead to sockets of this process: whoever waits may find one of them by looking on for a moment.
    pub fn expect_near(&self) {
        let listed = self.wake != Wake::AllUnlisted;
        self.near.store(listed, Ordering::Relaxed);
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
            self.drain_some(each);
        }
    }

    #[cold]
    fn drain_some(&self, each: impl FnMut(Arc<Pipe>)) {
        let mut pipes = lock(&self.pipes);
        self.any.store(false, Ordering::Release);
        pipes.drain(..).for_each(each);
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
        if self.near.load(Ordering::Relaxed)
            && lookout::sees(|| self.any.load(Ordering::Acquire))
            && let Some(value) = attempt()
        {
            return value;
        }
        let _waiting = Waiting::enter(&self.waiting);
        loop {
            {
                let mut wakeup = pin!(self.wakeup.notified());
                wakeup.as_mut().enable();
                if let Some(value) = attempt() {
                    return value;
                }
                wakeup.await;
            }
            // Most often there is something now, and it need not be listened for.
            if let Some(value) = attempt() {
                return value;
            }
        }
    }
}

/// Does what wakes tasks of the application. Their wakers are the code of others: if one panics, its hook has told so, and
/// whoever wakes it goes on, with all that it has still to do.
pub(crate) fn waking(wakes: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(wakes));
}

/// Wakes a task when those of this thread have had their turn, as one that yields is; outside a runtime, at once. Woken by
/// its waker, it would run before the runtime looks for what has arrived elsewhere.
pub(crate) fn wake_later(waker: &Waker) {
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(waker));
}

/// The same, but at once from what `block_on` runs itself: if that is over then, Tokio forgets whom it was to wake (1.54, on the
/// current thread).
pub(crate) fn wake_after_task(waker: &Waker) {
    if try_id().is_some() {
        wake_later(waker);
    } else {
        waker.wake_by_ref();
    }
}

/// Whether what is woken [later](wake_later) may wait for the end of something that runs: of a task, or of what a runtime of one
/// thread runs. (It need not: in `spawn_blocking`, or if another thread drives that runtime, it is woken at once.)
pub(crate) fn there_is_later() -> bool {
    let one_thread = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
    try_id().is_some() || Handle::try_current().is_ok_and(one_thread)
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::pipe::tests::{Counter, announced, config, marks};

    fn pipe() -> Arc<Pipe> {
        Pipe::wire(&config(marks(1), marks(1)), false)
    }

    /// A task that waits at `list` until it is woken once.
    struct Task<'a> {
        waits: Pin<Box<dyn Future<Output = ()> + 'a>>,
        woken: Arc<Counter>,
    }

    impl<'a> Task<'a> {
        fn at(list: &'a ReadyList) -> Self {
            let mut looks = 0;
            let attempt = move || {
                looks += 1;
                // Once before it waits, once more when it can be woken.
                (looks > 2).then_some(())
            };
            let mut task = Self {
                waits: Box::pin(list.until(attempt)),
                woken: Arc::default(),
            };
            assert!(!task.is_over());
            task
        }

        fn is_over(&mut self) -> bool {
            let waker = Waker::from(self.woken.clone());
            let polled = self.waits.as_mut().poll(&mut Context::from_waker(&waker));
            polled == Poll::Ready(())
        }
    }

    fn woken(tasks: &[Task<'_>]) -> usize {
        tasks.iter().map(|task| task.woken.count()).sum()
    }

    #[test]
    fn pipes_are_listed_in_the_order_of_their_announcements_until_somebody_looks() {
        let list = ReadyList::new(Wake::One);
        let (one, two) = (pipe(), pipe());
        list.announce(&two);
        list.announce(&one);
        let mut listed = Vec::new();
        list.drain(|pipe| listed.push(pipe.id));
        assert_eq!(listed, [two.id, one.id]);
        assert_eq!(announced(&list), 0);
        list.announce(&one);
        assert_eq!(announced(&list), 1);
    }

    #[test]
    fn a_list_that_nobody_drains_or_that_is_closed_keeps_no_pipe() {
        let pipe = pipe();
        let undrained = ReadyList::new(Wake::AllUnlisted);
        undrained.announce(&pipe);
        let closed = ReadyList::new(Wake::All);
        closed.announce(&pipe);
        closed.close();
        closed.announce(&pipe);
        assert_eq!(Arc::strong_count(&pipe), 1);
        assert_eq!((announced(&undrained), announced(&closed)), (0, 0));
    }

    #[test]
    fn an_announcement_wakes_one_reader_or_all_writers() {
        for (wake, expected) in [(Wake::One, 1), (Wake::All, 3), (Wake::AllUnlisted, 3)] {
            let list = ReadyList::new(wake);
            let tasks = [Task::at(&list), Task::at(&list), Task::at(&list)];
            list.announce(&pipe());
            assert_eq!(woken(&tasks), expected);
        }
    }

    #[test]
    fn whoever_leaves_something_wakes_one_more_and_the_end_wakes_all() {
        let list = ReadyList::new(Wake::One);
        let mut tasks = [Task::at(&list), Task::at(&list), Task::at(&list)];
        list.pass_on();
        assert_eq!(woken(&tasks), 1);
        assert!(tasks[0].is_over(), "it waited longest");
        list.wake_all();
        assert_eq!(woken(&tasks), 3);
        let tasks = [Task::at(&list), Task::at(&list)];
        list.close();
        assert_eq!(woken(&tasks), 2);
    }

    #[test]
    fn a_wake_up_goes_to_the_next_if_who_was_meant_is_gone() {
        let list = ReadyList::new(Wake::One);
        let first = Task::at(&list);
        let mut second = Task::at(&list);
        list.announce(&pipe());
        drop(first);
        assert_eq!(second.woken.count(), 1);
        assert!(second.is_over());
    }

    #[test]
    fn a_task_is_awaited_for_as_long_as_it_waits() {
        let list = ReadyList::new(Wake::One);
        assert!(!list.is_awaited());
        let one = Task::at(&list);
        let two = Task::at(&list);
        drop(one);
        assert!(list.is_awaited());
        drop(two);
        assert!(!list.is_awaited());
        let mut at_once = Box::pin(list.until(|| Some(7)));
        let polled = at_once
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(7));
    }

    #[test]
    fn a_waker_that_panics_does_not_reach_whoever_announces() {
        struct Bad;

        impl std::task::Wake for Bad {
            fn wake(self: Arc<Self>) {
                panic!("a waker that panics");
            }
        }

        let list = ReadyList::new(Wake::All);
        let mut waits = Box::pin(list.until(|| None::<()>));
        let waker = Waker::from(Arc::new(Bad));
        let polled = waits.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        list.announce(&pipe());
        assert_eq!(announced(&list), 1);
    }
}
