//! [`LoadBalance`]: each message to the next peer with room.

use std::collections::VecDeque;
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

impl LoadBalance {
    /// `pipe` has announced that it has room.
    pub fn add(&mut self, pipe: Arc<Pipe>) {
        self.ring.push_back(pipe);
    }

    pub fn remove(&mut self, pipe: &Arc<Pipe>) {
        self.ring.retain(|there| !Arc::ptr_eq(there, pipe));
        self.filled.take_if(|there| Arc::ptr_eq(there, pipe));
    }

    /// Queues `message` for the next pipe in turn and tells which; `None` if none has room.
    #[inline]
    pub fn try_send(&mut self, queues: &mut Queues, message: &Message) -> Option<&Arc<Pipe>> {
        loop {
            let pipe = self.ring.front()?;
            match pipe.outbox.try_push(queues, message, Claim::Turn) {
                Push::Done { full: false } => {
                    if self.ring.len() > 1 {
                        self.ring.rotate_left(1);
                    }
                    return self.ring.back();
                }
                Push::Done { full: true } => {
                    self.filled = self.ring.pop_front();
                    return self.filled.as_ref();
                }
                Push::Full | Push::Closed => drop(self.ring.pop_front()),
            }
        }
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
