//! [`Guard`]: one queue, locked.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::Take;
use super::queue::{Link, Queue};
use super::wire::Look;
use crate::pipe::outgoing::PlaceGuard;
use crate::sync::MutexGuard;
use crate::transport::Stream;

/// One queue, locked.
pub(super) enum Guard<'a> {
    Socket(PlaceGuard<'a>),
    /// The lock of its socket is the caller's.
    Here(&'a mut Queue),
    Own(MutexGuard<'a, Queue>),
}

impl Guard<'_> {
    /// How many messages the queue shares with others, and does not hold yet. None: it does not share.
    pub(super) fn shared(&self) -> Option<usize> {
        match self {
            Self::Socket(queue) => queue.shared(),
            Self::Here(_) | Self::Own(_) => None,
        }
    }

    /// Whether the sender has written a queue that was full or long since this was last asked.
    pub(super) fn take_tended(&mut self) -> bool {
        match &mut self.link {
            Link::Wire(wire) => std::mem::take(&mut wire.tended),
            Link::Inproc(_) => false,
        }
    }

    /// The session sees, `now`, that its sender goes on in its loop.
    pub(super) fn loop_goes_on(&mut self, now: Instant) {
        if let Self::Socket(queue) = self {
            queue.loops().go_on(now);
        }
    }

    /// What the session had left to its sender has waited until `now`.
    pub(super) fn loop_waited(&mut self, now: Instant) {
        if let Self::Socket(queue) = self {
            queue.loops().waited(now);
        }
    }

    /// The session looks at a queue that shares. What it does if it leaves that to the sender: it does not park, since what
    /// is shared wakes nobody.
    pub(super) fn leave_shared(
        &mut self,
        idle: Option<&Arc<Stream>>,
        cx: &mut Context<'_>,
    ) -> Option<Take> {
        let Self::Socket(queue) = self else {
            return None;
        };
        let shared = queue.shared()?;
        let Link::Wire(wire) = &mut queue.link else {
            return None;
        };
        if !wire.commands.is_empty() {
            return None;
        }
        match wire.tempo.look_at_shared(shared + wire.queue.messages()) {
            Look::Take => None,
            Look::Again => Some(Take::Look),
            Look::Leave => {
                wire.idle = idle.cloned();
                queue.session = Some(cx.waker().clone());
                queue.wake_later(cx.waker().clone());
                Some(Take::Leave)
            }
        }
    }
}

impl Deref for Guard<'_> {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        match self {
            Self::Socket(queue) => queue,
            Self::Here(queue) => queue,
            Self::Own(queue) => queue,
        }
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Queue {
        match self {
            Self::Socket(queue) => queue,
            Self::Here(queue) => queue,
            Self::Own(queue) => queue,
        }
    }
}
