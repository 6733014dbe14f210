//! [`Shared`]: what goes to several peers alike, kept once.

use std::task::Waker;

use super::queue::{Link, Queue};
use super::wire::{Gate, Tempo};
use crate::message::Message;
use crate::options::Marks;
use crate::pipe::outbox::Life;
use crate::pipe::outgoing::Woken;
use crate::pipe::{Load, Writing};

/// What a publisher in a loop sends to the same peers, one message after the other: encoded once, and written to each of
/// them from here.
///
/// It belongs behind what waits in the queue of each of them, and is not there yet. Whoever is about to change one of these
/// queues [parts](Self::part) them first: each gets its copy, and nothing is shared any more.
#[derive(Default)]
pub(in super::super) struct Shared {
    batch: Batch,
    /// The queues that share it, by their places. None: nothing is shared.
    members: Vec<usize>,
    /// How many of them have it, while it is written to one after the other.
    served: usize,
    /// Whether each of those got all of it from here.
    apart: bool,
    /// The queues that have no room, and whose peers miss it.
    full: Vec<usize>,
    marks: Marks,
    /// The most that any of the queues holds.
    held: Load,
    /// How many messages the batch still takes. None while it is written.
    room: usize,
    /// With so many octets it takes no more.
    most: usize,
}

/// Some messages.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) writing: Writing,
    /// The octets of their frames.
    pub(super) octets: u64,
}

/// How a queue can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// It gets what is shared.
    Part,
    /// It has no room: its peer misses what is shared.
    Full,
}

/// So many copies are made before they are written,
const COPIES: usize = 32 << 10;
/// or of so many octets in all: that takes a millisecond or so;
const OCTETS: usize = 4 << 20;
/// and so many octets to each peer: a longer batch is out of the processor's cache by its end.
const LONG: usize = 256 << 10;

impl Shared {
    /// Lets the queue at `place` share what is pushed once it is [open](Self::open). `None` if it cannot.
    pub fn join(&mut self, queues: &mut [Queue], place: usize, parked: bool) -> Option<Share> {
        let queue = &mut queues[place];
        let share = queue.share(parked)?;
        queue.shares = true;
        self.marks = queue.marks;
        match share {
            Share::Part => {
                let Load { messages, octets } = queue.held();
                self.held.messages = self.held.messages.max(messages);
                self.held.octets = self.held.octets.max(octets);
                self.members.push(place);
            }
            Share::Full => self.full.push(place),
        }
        Some(share)
    }

    /// All have joined. `false` if there is none with room: nothing is shared then.
    pub fn open(&mut self) -> bool {
        let peers = self.members.len();
        if peers == 0 {
            return false;
        }
        let Load { messages, octets } = std::mem::take(&mut self.held);
        let room = self.marks.room(messages, octets);
        self.room = room.min(COPIES.div_ceil(peers));
        let left = match self.marks.octets {
            0 => usize::MAX,
            most => most.saturating_sub(octets),
        };
        self.most = left.min(OCTETS / peers).min(LONG);
        true
    }

    /// Takes `message` for all. `None` if there is no room, or nothing is shared; `Some(true)` if it is now to be written.
    #[inline]
    pub fn push(&mut self, message: &Message) -> Option<bool> {
        self.room = self.room.checked_sub(1)?;
        self.batch.writing.push(message);
        self.batch.octets += message.size() as u64;
        if self.batch.writing.size() >= self.most {
            self.room = 0;
        }
        Some(self.room == 0)
    }

    /// How many messages the queues that share do not hold yet.
    pub fn waiting(&self) -> usize {
        match self.served {
            0 => self.batch.writing.messages(),
            _ => 0,
        }
    }

    /// Writes the batch to the next of those who share it. `false` if all have it.
    pub fn write_next(&mut self, queues: &mut [Queue], woken: &mut Woken) -> bool {
        let Some(next) = self.members.get(self.served) else {
            return false;
        };
        self.apart |= !queues[*next].write_shared(&self.batch);
        self.served += 1;
        if self.served < self.members.len() {
            return true;
        }
        if self.apart {
            // Only now: a session that is woken parts them.
            for place in &self.members {
                woken.now.extend(queues[*place].refused());
            }
            self.part(queues);
            return false;
        }
        for place in &self.full {
            queues[*place].miss_shared(&self.batch);
        }
        // All else that they held is written, too.
        self.served = 0;
        self.open();
        self.clear();
        false
    }

    /// Puts into each queue what it shared, and ends the sharing.
    #[cold]
    pub fn part(&mut self, queues: &mut [Queue]) {
        for place in &self.members[self.served..] {
            queues[*place].append_shared(&self.batch);
        }
        for place in &self.full {
            queues[*place].miss_shared(&self.batch);
        }
        for place in self.members.drain(..).chain(self.full.drain(..)) {
            queues[place].shares = false;
        }
        self.held = Load::default();
        self.served = 0;
        self.apart = false;
        self.room = 0;
        self.clear();
    }

    /// Last: what frees a body is the code of others, and may panic.
    fn clear(&mut self) {
        self.batch.octets = 0;
        self.batch.writing.clear();
    }
}

impl Queue {
    /// How it can share: it is full, or its session leaves it to a sender in a loop and will look at it again, without being
    /// woken.
    fn share(&self, parked: bool) -> Option<Share> {
        let Link::Wire(wire) = &self.link else {
            return None;
        };
        if (parked && !wire.quiet)
            || self.conflate
            || self.life != Life::Open
            || wire.gate == Gate::Shut
        {
            return None;
        }
        if self.room(0) == 0 {
            return Some(Share::Full);
        }
        (wire.tempo != Tempo::Calm).then_some(Share::Part)
    }

    fn held(&self) -> Load {
        match &self.link {
            Link::Wire(wire) => Load {
                messages: wire.queue.messages(),
                octets: wire.queue.size(),
            },
            Link::Inproc(_) => Load::default(),
        }
    }

    /// Takes a copy of `batch`, for which there is room.
    fn append_shared(&mut self, batch: &Batch) {
        if let Link::Wire(wire) = &mut self.link {
            wire.queue.append(&batch.writing);
        }
        self.count_shared(batch);
    }

    /// The same, and writes it at once if that can be. `false` if not all is written then.
    fn write_shared(&mut self, batch: &Batch) -> bool {
        let written = match &mut self.link {
            Link::Wire(wire) => wire.write_with(&batch.writing),
            Link::Inproc(_) => false,
        };
        self.count_shared(batch);
        written
    }

    /// Its session, if the kernel takes no more: what is left is for that.
    fn refused(&mut self) -> Option<Waker> {
        match &self.link {
            Link::Wire(wire) if wire.idle.is_none() => self.session.take(),
            _ => None,
        }
    }

    fn miss_shared(&mut self, batch: &Batch) {
        let messages = batch.writing.messages();
        self.dropped.count(messages, |dropped| &mut dropped.full);
        self.blocked = true;
    }

    fn count_shared(&mut self, batch: &Batch) {
        let messages = batch.writing.messages() as u64;
        self.messages += messages;
        self.octets += batch.octets;
        self.lost &= messages == 0;
        self.blocked |= self.room(0) == 0;
    }
}
