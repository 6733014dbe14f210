//! [`LoadBalance`]: each message to the next peer with room.

use std::collections::VecDeque;
use std::slice::from_ref;
use std::sync::Arc;

use crate::message::Message;
use crate::pipe::{Claim, Pipe, Push, Queues};

/// Deals messages round robin over the pipes that have room (A16).
///
/// A full pipe leaves the ring at once, so that it holds up nobody, and comes back by announcing itself.
#[derive(Default)]
pub(crate) struct LoadBalance {
    ring: VecDeque<Arc<Pipe>>,
    /// The pipe that left the ring last because a message filled it.
    filled: Option<Arc<Pipe>>,
}

/// Whom a message went to.
pub(crate) enum Dealt<'a> {
    To(&'a Arc<Pipe>),
    /// Nobody yet: its sender is ahead of the pipe whose turn it is.
    Ahead(&'a Arc<Pipe>),
    /// No pipe has room.
    Nobody,
}

impl LoadBalance {
    /// `pipe` has announced that it has room.
    pub fn add(&mut self, pipe: Arc<Pipe>) {
        self.ring.push_back(pipe);
    }

    pub fn remove(&mut self, pipe: &Arc<Pipe>) {
        self.ring.retain(|there| !Arc::ptr_eq(there, pipe));
        self.filled.take_if(|there| Arc::ptr_eq(there, pipe));
    }

    /// Queues `message` for the next pipe in turn.
    #[inline]
    pub fn try_send(&mut self, queues: &mut Queues, message: &Message, claim: Claim) -> Dealt<'_> {
        self.try_send_some(queues, from_ref(message), claim).1
    }

    /// Queues the first of `messages` for the next pipe in turn: one, or several where no other has room. How many.
    #[inline(always)]
    pub fn try_send_some(
        &mut self,
        queues: &mut Queues,
        messages: &[Message],
        claim: Claim,
    ) -> (usize, Dealt<'_>) {
        while let Some(pipe) = self.ring.front() {
            let some = match self.ring.len() {
                1 => messages,
                _ => &messages[..messages.len().min(1)],
            };
            let (sent, pushed) = pipe.outbox.try_push_some(queues, some, claim);
            match pushed {
                Push::Done { full: false } => {
                    if self.ring.len() > 1 {
                        self.ring.rotate_left(1);
                    }
                    return (sent, self.ring.back().map_or(Dealt::Nobody, Dealt::To));
                }
                Push::Done { full: true } => {
                    self.filled = self.ring.pop_front();
                    return (sent, self.filled.as_ref().map_or(Dealt::Nobody, Dealt::To));
                }
                Push::Ahead => return (0, self.ring.front().map_or(Dealt::Nobody, Dealt::Ahead)),
                Push::Full | Push::Closed => drop(self.ring.pop_front()),
            }
        }
        (0, Dealt::Nobody)
    }

    /// Keeps a place at the next pipe in turn that has room.
    pub fn reserve(&mut self, queues: &mut Queues) -> Option<Arc<Pipe>> {
        while let Some(pipe) = self.ring.front() {
            if pipe.outbox.reserve(queues) {
                self.ring.rotate_left(1);
                return self.ring.back().cloned();
            }
            self.ring.pop_front();
        }
        None
    }
}
