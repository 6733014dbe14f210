//! [`Wire`]: what waits for a stream.

use std::io::IoSlice;
use std::sync::Arc;

use crate::pipe::Writing;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::transport::Stream;
use crate::zmtp::Version;

/// The queue towards a peer that is reached over a stream.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) queue: Writing,
    /// Encoded commands: subscriptions. Not bounded by the mark, since a subscription is never dropped (S9); made anew
    /// at each connection.
    pub(super) commands: Vec<u8>,
    /// The version that the peer speaks: how a subscription is written.
    pub(super) version: Option<Version>,
    /// Messages that the session has taken and not yet written.
    pub(super) taken: usize,
    /// The stream, while a session is parked on it with nothing in hand.
    pub(super) idle: Option<Arc<Stream>>,
    /// Takes messages only while there is a connection (`immediate`).
    pub(super) gate: Gate,
}

/// Whether an outbox waits for its connection before it takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Gate {
    /// It does not (A3: the queue exists from `connect` on).
    #[default]
    None,
    /// It does, and there is none.
    Shut,
    /// It does, and there is one.
    Open,
}

impl Wire {
    /// Forgets what is queued; returns how many messages that was.
    pub(super) fn clear(&mut self) -> usize {
        let messages = self.queue.messages();
        self.queue.clear();
        messages
    }

    /// After a message was queued: writes the queue from the sender's task if the connection is idle and either the
    /// message is a lone one (and may be written as such), or the queue is `full` or long. `false` if that is left to the session.
    #[inline]
    pub(super) fn write_here(&mut self, direct: &AtomicBool, lone: bool, full: bool) -> bool {
        let lone = lone && self.queue.messages() == 1 && direct.load(Ordering::Relaxed);
        if !lone && !full && self.queue.size() < LONG {
            return false;
        }
        let Some(stream) = self.idle.as_ref().filter(|_| self.commands.is_empty()) else {
            return false;
        };
        direct.store(false, Ordering::Relaxed);
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.queue.slices(&mut slices);
            let offered = slices.iter().map(|slice| slice.len()).sum();
            let written = stream.try_write(&slices[..filled]).unwrap_or(0);
            self.queue.advance(written);
            if written < offered {
                // The kernel takes no more: the session waits until it does.
                self.idle = None;
                return false;
            }
        }
        true
    }
}

/// A queue of so many octets is written by its sender rather than left to grow.
pub(super) const LONG: usize = 256 << 10;
/// The most pieces of one write from a sender's task.
const SLICES: usize = 16;
