//! [`FairQueue`]: a few messages from each peer in turn.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Message;
use crate::pipe::{Arrival, Load, Pipe};

/// Takes up to [`TURN`] messages from each pipe that has any, in turn, so that a flooding peer gets its share and no more
/// (A15), and the octets of one peer are read together while they are at hand.
///
/// A pipe is here only while it has something to read; it comes back by announcing itself. Messages leave a pipe's
/// inbox by the batch, and are popped from that without its lock.
#[derive(Default)]
pub(crate) struct FairQueue {
    lanes: VecDeque<Lane>,
    /// How many messages the first lane may still give before it is the next one's turn.
    turn: usize,
}

/// One peer among many is reached after so many messages of each other one at most.
const TURN: usize = 8;

struct Lane {
    pipe: Arc<Pipe>,
    /// What was taken from the inbox and not yet read.
    batch: VecDeque<Arrival>,
    /// What was read since the inbox was last given credit.
    freed: Load,
    /// How much was taken and not yet read.
    left: usize,
    /// When to give credit at the latest.
    half: usize,
}

impl FairQueue {
    /// `pipe` has something to read.
    pub fn add(&mut self, pipe: Arc<Pipe>) {
        self.lanes.push_back(Lane {
            pipe,
            batch: VecDeque::new(),
            freed: Load::default(),
            left: 0,
            half: 0,
        });
    }

    /// The next message; [`source`](Self::source) tells whom it is from.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Message> {
        self.turn()?;
        self.turn -= 1;
        self.lanes.front_mut()?.pop()
    }

    /// Puts the next messages behind those in `into`, at most `limit`. How many.
    pub fn pop_some(&mut self, into: &mut Vec<Message>, limit: usize) -> usize {
        let mut popped = 0;
        while popped < limit && self.turn().is_some() {
            let Some(lane) = self.lanes.front_mut() else {
                break;
            };
            let some = lane.pop_some(into, self.turn.min(limit - popped));
            self.turn -= some;
            popped += some;
        }
        popped
    }

    /// Brings the lane to the front whose turn it is. `None` if there is no message.
    #[inline(always)]
    fn turn(&mut self) -> Option<()> {
        if self.turn == 0 {
            self.turn = TURN;
            if self.lanes.len() > 1 {
                self.lanes.rotate_left(1);
            }
        }
        while !self.lanes.front_mut()?.refill() {
            self.lanes.pop_front();
            self.turn = TURN;
        }
        Some(())
    }

    /// The pipe of the message that was popped last.
    pub fn source(&self) -> Option<&Arc<Pipe>> {
        self.lanes.front().map(|lane| &lane.pipe)
    }

    /// Whether there is a message for another reader. If not, the pipe that was read last announces itself with its next
    /// one, although nobody came back to find it empty.
    pub fn has_more(&mut self) -> bool {
        if self.lanes.len() > 1 {
            // Whoever is woken finds out which of them are empty.
            return true;
        }
        let Some(lane) = self.lanes.front_mut() else {
            return false;
        };
        if lane.refill() {
            return true;
        }
        self.lanes.pop_front();
        false
    }

    /// Messages that were taken from their pipes and wait to be read, and those that wait in pipes that are `gone`.
    pub fn waiting(&self, gone: impl Fn(&Pipe) -> bool) -> usize {
        let waiting = |lane: &Lane| match gone(&lane.pipe) {
            true => lane.left + lane.pipe.inbox.queued(),
            false => lane.left,
        };
        self.lanes.iter().map(waiting).sum()
    }

    /// Forgets everything; returns how many messages that were.
    pub fn clear(&mut self) -> usize {
        let mut forgotten = 0;
        while self.pop().is_some() {
            forgotten += 1;
        }
        forgotten
    }
}

impl Lane {
    /// The next message of the batch.
    #[inline(always)]
    fn pop(&mut self) -> Option<Message> {
        self.left -= 1;
        self.freed.messages += 1;
        // Nothing is done behind the message, which would have to be moved for that.
        if self.freed.messages < self.half {
            return Arrival::next(&mut self.batch, &mut self.freed.octets);
        }
        let message = Arrival::next(&mut self.batch, &mut self.freed.octets);
        self.pipe.inbox.free(std::mem::take(&mut self.freed));
        message
    }

    /// Puts the next messages of the batch behind those in `into`, at most `limit`. How many: at least one.
    #[inline]
    fn pop_some(&mut self, into: &mut Vec<Message>, limit: usize) -> usize {
        let popped = Arrival::next_some(&mut self.batch, into, limit);
        self.left -= popped.messages;
        self.freed += popped;
        if self.freed.messages >= self.half {
            self.pipe.inbox.free(std::mem::take(&mut self.freed));
        }
        popped.messages
    }

    /// Takes the next batch if there is none. `false` if nothing is left.
    #[inline]
    fn refill(&mut self) -> bool {
        if !self.batch.is_empty() {
            return true;
        }
        let freed = std::mem::take(&mut self.freed);
        match self.pipe.inbox.refill(freed, &mut self.batch) {
            Some(taken) => {
                self.left = taken.messages;
                self.half = taken.half;
                true
            }
            None => false,
        }
    }
}
