//! [`Crossing`]: the way to a pipe in this process.

use std::sync::Arc;

use crate::message::Message;
use crate::pipe::{Load, Pipe, Push};

/// The way to a pipe in this process.
#[derive(Default)]
pub(super) struct Crossing {
    /// `None` once it is cut.
    pub(super) far: Option<Arc<Pipe>>,
    /// The far pipe's socket, once there is one.
    pub(super) socket: Option<Arc<dyn FarSocket>>,
    /// Takes no messages before there is a socket (`immediate`).
    pub(super) immediate: bool,
    /// The far socket takes messages one by one rather than from the inbox.
    pub(super) intercepts: bool,
}

/// What a pipe asks of the socket at the far end, when that is in this process.
pub(crate) trait FarSocket: Send + Sync {
    /// The near socket subscribes or cancels. `far` is the far socket's pipe.
    fn subscription(&self, far: &Arc<Pipe>, subscribe: bool, topic: &[u8]);

    /// The near socket is gone.
    fn gone(&self, far: &Arc<Pipe>);

    /// Whether messages go to the inbox of `far`; else [`message`](Self::message) takes them.
    fn receives(&self) -> bool;

    fn message(&self, far: &Arc<Pipe>, message: Message);
}

impl Crossing {
    /// Puts copies of the first of `messages` into the far inbox, or hands one to the far socket, as far as `usable`, told how
    /// many messages go in, leaves room.
    #[inline]
    pub(super) fn push(
        &self,
        messages: &[Message],
        usable: impl Fn(usize) -> usize,
    ) -> (Load, Push) {
        let Some(far) = &self.far else {
            return (Load::default(), Push::Closed);
        };
        match &self.socket {
            None if self.immediate => (Load::default(), Push::Full),
            Some(socket) if self.intercepts => {
                let room = usable(far.inbox.room());
                let Some(message) = messages.first().filter(|_| room > 0) else {
                    return (Load::default(), Push::Full);
                };
                socket.message(far, message.clone());
                let full = usable(far.inbox.room()) == 0;
                (Load::one(message.size()), Push::Done { full })
            }
            _ => far.inbox.offer(far, messages, usable),
        }
    }

    /// How many messages go in.
    pub(super) fn room(&self) -> usize {
        match &self.far {
            Some(far) if self.socket.is_some() || !self.immediate => far.inbox.room(),
            _ => 0,
        }
    }

    /// The messages that no socket has yet.
    pub(super) fn waiting(&self) -> usize {
        self.nobodys().map_or(0, |far| far.inbox.queued())
    }

    /// Forgets them; returns how many there were.
    pub(super) fn discard(&self) -> usize {
        self.nobodys()
            .map_or(0, |far| far.inbox.discard(|dropped| &mut dropped.unread))
    }

    /// The far pipe, as long as nobody but this side knows of it.
    fn nobodys(&self) -> Option<&Arc<Pipe>> {
        self.far.as_ref().filter(|_| self.socket.is_none())
    }
}
