//! [`Queue`]: the messages towards one peer, and what is known of it under the lock.

use std::slice::from_ref;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::crossing::Crossing;
use super::wire::{Gate, LONG, LONG_OF_MANY, Tempo, Wire};
use crate::message::Message;
use crate::options::Marks;
use crate::pipe::outgoing::Woken;
use crate::pipe::{Load, ReadyList};
use crate::stats::Dropped;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What waits to be sent to one peer. Whoever holds its lock may look and change; see [`Outbox`](super::Outbox).
pub(in super::super) struct Queue {
    pub(super) link: Link,
    pub(super) marks: Marks,
    pub(super) conflate: bool,
    pub(super) life: Life,
    /// The session, parked until there is something to write or its life changes.
    pub(super) session: Option<Waker>,
    /// Places that are promised to permits.
    pub(super) reserved: usize,
    /// The connection was lost after the last message had left: what it asked for will not come.
    pub(super) lost: bool,
    /// What was discarded at the end.
    pub(super) left: usize,
    /// A sender met this queue full; it is told when there is room.
    pub(super) blocked: bool,
    /// Senders that are so far ahead that they wait for the session to catch up.
    pub(super) ahead: Vec<Waker>,
    /// It did not in time. They go on, until it takes something.
    pub(super) behind: bool,
    /// The socket's list of pipes with room; none for the far half of an in-process pair without a socket yet.
    pub(super) writable: Option<Arc<ReadyList>>,
    /// What else belongs into it is [`Shared`](super::Shared) with others.
    pub(in super::super) shares: bool,
    pub(super) messages: u64,
    pub(super) octets: u64,
    pub(super) dropped: Dropped,
}

/// The way on.
pub(super) enum Link {
    Wire(Wire),
    Inproc(Crossing),
}

/// What can be looked at without a lock.
pub(super) struct Signals {
    /// The session waits for something to be queued, and nothing has happened since. Changed under the lock; read without
    /// it by a session that was woken for another reason, while a sender may hold the lock over a write.
    pub(super) parked: AtomicBool,
    /// Whether the next message may be written by its sender. See [`Outbox::try_push`](super::Outbox::try_push).
    pub(super) direct: AtomicBool,
    /// Octets that the session has written; it alone adds to them.
    pub(super) written: AtomicUsize,
}

/// How long a pipe goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as the socket.
    Open,
    /// Until its queue is written, or this instant.
    Draining(Option<Instant>),
    /// No longer: the connection is to be closed now, with nothing more sent.
    Ended,
}

/// By what right a message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The pipe's turn has come. If it is full, or full then, it announces itself when there is room.
    Turn,
    /// The same, and if much waits for a peer that takes it as fast as it can, the sender had better wait, too.
    Paced,
    /// As for a turn, and if there is no room the message is dropped, which is counted.
    Drop,
    /// The same for one of many copies, of which none is written by itself: its sender would be as slow as all sessions
    /// together, and no batch would form.
    Many,
    /// The message is the socket's own, out of turn.
    Aside,
    /// A place was kept for it.
    Reserved,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// Queued or written. `full` if there is no room for another.
    Done { full: bool },
    /// There is no room; the pipe announces itself when there is.
    Full,
    /// There is room, but the sender is far ahead of the session: see [`caught_up`](super::Outbox::caught_up).
    Ahead,
    /// The pipe takes nothing any more.
    Closed,
}

/// So many octets are more than one batch.
const AHEAD: usize = 1 << 20;

impl Queue {
    pub(super) fn new(
        link: Link,
        marks: Marks,
        conflate: bool,
        writable: Option<Arc<ReadyList>>,
    ) -> Self {
        Self {
            link,
            marks,
            conflate,
            life: Life::Open,
            session: None,
            reserved: 0,
            lost: false,
            left: 0,
            blocked: false,
            ahead: Vec::new(),
            behind: false,
            writable,
            shares: false,
            messages: 0,
            octets: 0,
            dropped: Dropped::default(),
        }
    }

    /// Queues `message` if there is room.
    pub(super) fn push(
        &mut self,
        signals: &Signals,
        message: &Message,
        claim: Claim,
        woken: &mut Woken,
    ) -> Push {
        self.push_some(signals, from_ref(message), claim, woken).1
    }

    /// Queues the first of `messages`, as many as one look at the marks allows. How many that are; and what became of the
    /// last of them, or of the first if there are none.
    #[inline(always)]
    pub(super) fn push_some(
        &mut self,
        signals: &Signals,
        messages: &[Message],
        claim: Claim,
        woken: &mut Woken,
    ) -> (usize, Push) {
        let reserved = usize::from(claim == Claim::Reserved);
        // A pipe that is written to aside keeps its place in the ring.
        let in_turn = !matches!(claim, Claim::Aside | Claim::Reserved);
        self.reserved -= reserved;
        if self.life != Life::Open {
            return (0, Push::Closed);
        }
        let (load, pushed) = match &self.link {
            Link::Wire(_) if claim == Claim::Paced && self.is_ahead() => {
                (Load::default(), Push::Ahead)
            }
            Link::Wire(_) => self.push_to_wire(signals, messages, claim, woken),
            Link::Inproc(crossing) => crossing.push(messages, |room| self.usable(room, reserved)),
        };
        match pushed {
            Push::Done { full } => {
                self.messages += load.messages as u64;
                self.octets += load.octets as u64;
                self.lost = false;
                self.blocked |= full && in_turn;
            }
            Push::Full => {
                self.blocked |= in_turn;
                let dropped = usize::from(matches!(claim, Claim::Drop | Claim::Many));
                self.dropped.count(dropped, |dropped| &mut dropped.full);
            }
            Push::Ahead | Push::Closed => {}
        }
        (load.messages, pushed)
    }

    #[inline(always)]
    fn push_to_wire(
        &mut self,
        signals: &Signals,
        messages: &[Message],
        claim: Claim,
        woken: &mut Woken,
    ) -> (Load, Push) {
        let room = self.room(usize::from(claim == Claim::Reserved));
        let mut load = Load::default();
        let Link::Wire(wire) = &mut self.link else {
            return (load, Push::Closed);
        };
        if room == 0 {
            return (load, Push::Full);
        }
        let (lone, long) = match claim {
            Claim::Many => (false, LONG_OF_MANY),
            _ => (true, LONG),
        };
        for message in messages.iter().take(room) {
            if self.conflate {
                self.dropped
                    .count(wire.clear(), |dropped| &mut dropped.conflated);
            }
            wire.queue.push(message);
            load += Load::one(message.size());
            if wire.queue.size() >= long || self.marks.is_full_of(wire.queue.size()) {
                break;
            }
        }
        let last = room == load.messages;
        // What a later message may replace must not be half written.
        let idle = wire.idle.is_some();
        let written = !self.conflate && wire.write_here(&signals.direct, lone, long, last);
        let refused = idle && wire.idle.is_none();
        if !written && (refused || signals.parked.load(Ordering::Relaxed)) {
            match wire.tempo {
                Tempo::Loop if wire.quiet => {}
                Tempo::Loop if woken.waits_for_nobody() => wire.quiet = true,
                Tempo::Loop => woken.later.extend(signals.unpark(&mut self.session)),
                Tempo::Calm | Tempo::Watched { .. } => {
                    woken.now.extend(signals.unpark(&mut self.session));
                }
            }
        }
        // Where there was room for more, only the octets can have filled it.
        let near = last || self.marks.is_full_of(wire.queue.size());
        let full = near && self.room(0) == 0;
        (load, Push::Done { full })
    }

    /// Whether more waits than makes a good batch, and somebody is about to take it.
    #[inline]
    pub(super) fn is_ahead(&self) -> bool {
        match &self.link {
            Link::Wire(wire) => {
                wire.queue.size() >= AHEAD
                    && wire.version.is_some()
                    && !self.behind
                    && self.life == Life::Open
            }
            Link::Inproc(_) => false,
        }
    }

    /// The senders that wait for the session need not any more, for now: they are to be woken.
    pub(super) fn caught_up(&mut self) -> Vec<Waker> {
        self.behind = false;
        std::mem::take(&mut self.ahead)
    }

    /// There is room: who is to be told of it, if anybody wants to know.
    pub(super) fn wanted_room(&mut self) -> Option<Arc<ReadyList>> {
        let writable = self.writable.as_ref().filter(|_| self.blocked)?;
        self.blocked = false;
        Some(writable.clone())
    }

    pub(super) fn is_full(&mut self) -> bool {
        let room = self.room(0) > 0;
        self.blocked |= !room;
        !room && self.life == Life::Open
    }

    pub(super) fn waiting(&self) -> usize {
        match &self.link {
            Link::Wire(wire) => wire.queue.messages() + wire.taken.messages,
            Link::Inproc(crossing) => crossing.waiting(),
        }
    }

    /// How many messages would be taken, with `own` of the reserved places.
    #[inline]
    pub(super) fn room(&self, own: usize) -> usize {
        let room = match &self.link {
            _ if self.life != Life::Open => 0,
            Link::Wire(wire) if wire.gate == Gate::Shut => 0,
            Link::Wire(_) if self.conflate => usize::MAX,
            Link::Wire(wire) => self.marks.room(wire.queue.messages(), wire.queue.size()),
            Link::Inproc(crossing) => crossing.room(),
        };
        self.usable(room, own)
    }

    /// How much of `room` is left for a message that comes with `own` of the reserved places.
    #[inline]
    fn usable(&self, room: usize, own: usize) -> usize {
        room.saturating_sub(self.reserved).max(own.min(room))
    }
}

impl Signals {
    /// Something is to be done: the waker that says so.
    pub(super) fn unpark(&self, session: &mut Option<Waker>) -> Option<Waker> {
        self.parked.store(false, Ordering::Release);
        session.take()
    }
}
