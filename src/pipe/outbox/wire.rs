//! [`Wire`]: what waits for a stream.

use std::io::IoSlice;
use std::sync::Arc;

use crate::pipe::{Load, Writing};
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
    /// See [`PipeConfig`](crate::pipe::PipeConfig).
    pub(super) loop_size: usize,
    /// What the session has taken and not yet written.
    pub(super) taken: Load,
    pub(super) tempo: Tempo,
    /// Its sender has written a queue that was full or long since the session last asked.
    pub(super) tended: bool,
    /// What waits is left to its sender, and wakes nobody until it is written or the session looks.
    pub(super) quiet: bool,
    /// The stream, while a session is parked on it with nothing in hand. What is queued may be left to a sender.
    pub(super) idle: Option<Arc<Stream>>,
    /// Takes messages only while there is a connection (`immediate`).
    pub(super) gate: Gate,
}

/// How the sender publishes, as far as the session can tell.
///
/// A session that runs beside a sender in a loop, and takes what came since its last write, does so after every few dozen
/// messages, and its calls cost more than all else. So it parks, and the sender, which needs no other thread for that,
/// writes when its queue is long or full. What it leaves when it ends its loop is taken when it lets go of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tempo {
    /// Now and then, or nothing is known.
    #[default]
    Calm,
    /// Many messages came while the last ones were written. The session has looked so often whether more are coming, and
    /// has seen so many.
    Watched { looks: u32, seen: usize },
    /// More are coming.
    Loop,
}

/// What a session does that has seen the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Takes what there is, if anything.
    Take,
    /// Looks again a little later.
    Again,
    /// Leaves it to the sender.
    Leave,
}

impl Tempo {
    /// The session has written `batch`, and comes back. Messages of a loop have at most `loop_size` octets, by the average.
    pub(super) fn wrote(&mut self, batch: Load, loop_size: usize) {
        let small = batch.octets <= batch.messages.saturating_mul(loop_size);
        if batch.messages >= MANY && small {
            *self = Self::Watched { looks: 0, seen: 0 };
        }
    }

    /// The session looks at a queue of so many messages and octets.
    pub(super) fn look(&mut self, messages: usize, octets: usize) -> Look {
        match *self {
            // It has taken all in time.
            Self::Watched { .. } | Self::Loop if messages == 0 => *self = Self::Loop,
            Self::Watched { seen, .. } if seen > 0 && messages > seen => *self = Self::Loop,
            Self::Watched { looks, .. } if looks < LOOKS && octets < LONG_OF_MANY => {
                let (looks, seen) = (looks + 1, messages);
                *self = Self::Watched { looks, seen };
                return Look::Again;
            }
            Self::Calm | Self::Watched { .. } | Self::Loop => {
                *self = Self::Calm;
                return Look::Take;
            }
        }
        Look::Leave
    }

    /// The same of a queue that shares with others, however long that is. The session was woken since the sender let go of its
    /// thread, which may have been for a moment.
    pub(super) fn look_at_shared(&mut self, messages: usize) -> Look {
        if *self == Self::Loop {
            *self = Self::Watched { looks: 0, seen: 0 };
        }
        self.look(messages, 0)
    }
}

/// So many messages in one batch may be the work of a loop.
pub(super) const MANY: usize = 32;
/// So often a session looks whether a queue grows.
const LOOKS: u32 = 4;

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
    /// message is a lone one (and may be written as such), or the queue is `full` or of `long` octets. `false` if that is left to the session.
    #[inline(always)]
    pub(super) fn write_here(
        &mut self,
        direct: &AtomicBool,
        lone: bool,
        long: usize,
        full: bool,
    ) -> bool {
        let lone = lone && self.queue.messages() == 1 && direct.load(Ordering::Relaxed);
        let due = full || self.queue.size() >= long;
        let written = (lone || due) && self.write_all(direct);
        self.tended |= written && due;
        written
    }

    /// Writes the queue if the connection is idle. `false` if anything is left.
    fn write_all(&mut self, direct: &AtomicBool) -> bool {
        let Some(stream) = self.idle.as_ref().filter(|_| self.commands.is_empty()) else {
            return false;
        };
        direct.store(false, Ordering::Relaxed);
        self.quiet = false;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.queue.slices(&mut slices);
            let offered = slices.iter().map(|slice| slice.len()).sum();
            let written = stream.try_write(&slices[..filled]).unwrap_or(0);
            self.queue.advance(written);
            if written < offered {
                // The kernel takes no more: the session waits until it does.
                self.idle = None;
                self.tempo = Tempo::Calm;
                return false;
            }
        }
        true
    }

    /// Writes what is queued and `batch` behind it, if the connection is idle, and queues what is left. `true` if nothing is.
    pub(super) fn write_with(&mut self, batch: &Writing) -> bool {
        let mut done = 0;
        self.quiet = false;
        if let Some(stream) = self.idle.as_ref().filter(|_| self.commands.is_empty()) {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut filled = self.queue.slices(&mut slices);
            filled += batch.slices(&mut slices[filled..]);
            let offered = slices.iter().map(|slice| slice.len()).sum();
            let written = stream.try_write(&slices[..filled]).unwrap_or(0);
            let before = written.min(self.queue.size());
            self.queue.advance(before);
            done = written - before;
            if written < offered {
                self.idle = None;
                self.tempo = Tempo::Calm;
            } else if self.queue.is_empty() && done == batch.size() {
                self.tended = true;
                return true;
            }
        }
        self.queue.append(batch);
        self.queue.advance(done);
        false
    }
}

/// A queue of so many octets is written by its sender rather than left to grow.
pub(super) const LONG: usize = 256 << 10;
/// The same for one of many queues: all of them together have to stay in the processor's cache.
pub(super) const LONG_OF_MANY: usize = 64 << 10;
/// The most pieces of one write from a sender's task.
const SLICES: usize = 16;
