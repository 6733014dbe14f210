//! [`Inbox`]: what has arrived from one peer and is not yet read.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use super::{Pipe, Push, ReadyList, buffers, lock, wake_after_task};
use crate::message::Message;
use crate::options::Marks;
use crate::stats::{Dropped, Drops, Stats};
use crate::sync::Mutex;
use crate::zmtp::{Run, encoded_len};

/// The queue from one peer.
///
/// The writer (a session, or the far outbox of an in-process pair) appends; the reader swaps the whole queue for its own
/// empty one and takes from that without the lock. What the reader holds still counts against the marks.
pub(crate) struct Inbox {
    state: Mutex<State>,
}

/// What arrives together.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Messages, never none, that their reader decodes.
    Run(Run),
    Message(Message),
}

struct State {
    queue: VecDeque<Arrival>,
    /// What the queue holds. Its octets are those of the frames: of nothing but headers there may be much, too.
    queued: Load,
    /// How much of them are bodies.
    queued_bodies: usize,
    /// How many of the messages are events.
    events: usize,
    /// What the reader holds and has not given credit for.
    held: Load,
    marks: Marks,
    conflate: bool,
    /// Whether the pipe is announced to, or being read by, its socket.
    listed: bool,
    writer: Writer,
    /// The socket's list of pipes to read; none for the far half of an in-process pair without a socket yet.
    readable: Option<Arc<ReadyList>>,
    messages: u64,
    received_octets: u64,
    dropped: Dropped,
}

/// Who waits for room.
enum Writer {
    Nobody,
    Session(Waker),
    /// The outbox of this pipe, which has its own note of whether a sender waits.
    Near(Weak<Pipe>),
}

/// So much.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Load {
    pub messages: usize,
    pub octets: usize,
}

/// What a reader has got.
pub(crate) struct Refill {
    pub messages: usize,
    /// After how many messages it should give credit without waiting for the end of its batch.
    pub half: usize,
}

impl Load {
    /// One message of so many octets.
    pub fn one(octets: usize) -> Self {
        let messages = 1;
        Self { messages, octets }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.octets += more.octets;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, less: Self) {
        self.messages -= less.messages;
        self.octets -= less.octets;
    }
}

impl Inbox {
    pub fn new(marks: Marks, conflate: bool, readable: Option<Arc<ReadyList>>) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                queued: Load::default(),
                queued_bodies: 0,
                events: 0,
                held: Load::default(),
                marks,
                conflate,
                listed: false,
                writer: Writer::Nobody,
                readable,
                messages: 0,
                received_octets: 0,
                dropped: Dropped::default(),
            }),
        }
    }

    /// Queues one message from the writer, which has asked for [`room`](Self::room): nobody else writes here.
    pub fn push(&self, pipe: &Arc<Pipe>, message: Message) {
        let load = Load::one(message.size());
        let framed = encoded_len(&message);
        self.append(pipe, Arrival::Message(message), load, framed);
    }

    /// Queues copies of the first of `messages` from the near outbox, as far as `usable`, told how many messages go in, leaves
    /// room.
    #[inline]
    pub fn offer(
        &self,
        pipe: &Arc<Pipe>,
        messages: &[Message],
        usable: impl Fn(usize) -> usize,
    ) -> (Load, Push) {
        let mut state = lock(&self.state);
        let mut load = Load::default();
        for message in messages {
            if usable(state.room()) == 0 {
                break;
            }
            load += state.push_copy(message);
        }
        if load.messages == 0 {
            return (load, Push::Full);
        }
        let full = usable(state.room()) == 0;
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
        (load, Push::Done { full })
    }

    /// How many messages go in.
    pub fn room(&self) -> usize {
        lock(&self.state).room()
    }

    /// Appends messages, which take so many octets `framed`, of a writer that had [room](Self::poll_room) for one at least.
    /// Wakes the reader at most once.
    pub fn append(&self, pipe: &Arc<Pipe>, arrival: Arrival, load: Load, framed: usize) {
        let mut state = lock(&self.state);
        state.push(arrival, load, framed);
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
    }

    /// Appends a message of the socket's own, whatever the mark says: a subscription event, a notification.
    pub fn push_event(&self, pipe: &Arc<Pipe>, message: Message, most: usize) {
        let mut state = lock(&self.state);
        let full =
            state.events >= most || state.queued.octets + state.held.octets >= MAX_EVENT_OCTETS;
        if full {
            state.dropped.count(1, |dropped| &mut dropped.unread);
            return;
        }
        let load = Load::one(message.size());
        let framed = encoded_len(&message);
        state.events += 1;
        state.push(Arrival::Message(message), load, framed);
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
    }

    /// Counts messages that came and are not queued, under `cause`.
    pub fn refuse(&self, load: Load, cause: impl FnOnce(&mut Drops) -> &mut u64) {
        let mut state = lock(&self.state);
        state.count(load);
        state.dropped.count(load.messages, cause);
    }

    /// Counts a subscription that its principal may not have.
    pub fn forbid_subscription(&self) {
        lock(&self.state)
            .dropped
            .count(1, |dropped| &mut dropped.forbidden);
    }

    /// Waits for room for one message. Who waits is woken when half of the mark is free.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.room() > 0 {
            return Poll::Ready(());
        }
        state.writer = Writer::Session(cx.waker().clone());
        Poll::Pending
    }

    /// The reader gives credit for what it has consumed.
    pub fn free(&self, freed: Load) {
        let mut state = lock(&self.state);
        state.held -= freed;
        let writer = state.waiting_writer();
        drop(state);
        writer.tell();
    }

    /// Gives credit and swaps the queue into the reader's empty `batch`. `None` if there is nothing: the pipe will
    /// announce itself again.
    pub fn refill(&self, freed: Load, batch: &mut VecDeque<Arrival>) -> Option<Refill> {
        debug_assert!(batch.is_empty());
        let mut state = lock(&self.state);
        state.held -= freed;
        let taken = std::mem::take(&mut state.queued);
        if taken.messages > 0 {
            std::mem::swap(&mut state.queue, batch);
            state.queued_bodies = 0;
            state.events = 0;
            state.held += taken;
        } else {
            state.listed = false;
            if state.queue.capacity() > KEEP {
                state.queue = VecDeque::new();
            }
        }
        let writer = if freed.messages > 0 {
            state.waiting_writer()
        } else {
            Writer::Nobody
        };
        let half = state.marks.half();
        drop(state);
        writer.tell();
        (taken.messages > 0).then_some(Refill {
            messages: taken.messages,
            half,
        })
    }

    /// Forgets what waits, counting it under `cause`.
    pub fn discard(&self, cause: impl FnOnce(&mut Drops) -> &mut u64) -> usize {
        let mut state = lock(&self.state);
        let messages = state.clear();
        state.dropped.count(messages, cause);
        messages
    }

    /// Messages that wait here and are not held by the reader.
    pub fn queued(&self) -> usize {
        lock(&self.state).queued.messages
    }

    pub fn stats(&self) -> Stats {
        let state = lock(&self.state);
        // What nobody can read yet has not arrived.
        let queued = state.queued.messages;
        let (queued, early, early_octets) = match &state.readable {
            Some(_) => (queued, 0, 0),
            None => (0, queued, state.queued_bodies),
        };
        Stats {
            messages_received: state.messages - early as u64,
            octets_received: state.received_octets - early_octets as u64,
            queued_in: queued,
            dropped: state.dropped.so_far(),
            ..Stats::default()
        }
    }

    /// `near` is the pipe whose outbox writes here.
    pub(super) fn fed_by(&self, near: &Arc<Pipe>) {
        lock(&self.state).writer = Writer::Near(Arc::downgrade(near));
    }

    /// The other socket of an in-process pair is known, and so the marks of both.
    pub(super) fn configure(&self, marks: Marks, conflate: bool) {
        let mut state = lock(&self.state);
        state.marks = marks;
        state.conflate = conflate;
        if conflate {
            state.conflate_queue();
        }
    }

    /// `pipe`, whose inbox this is, can be read from now on.
    pub(super) fn open(&self, pipe: &Arc<Pipe>, readable: Arc<ReadyList>) {
        let mut state = lock(&self.state);
        state.readable = Some(readable);
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
    }
}

/// The most octets that wait here whatever the mark says.
const MAX_EVENT_OCTETS: usize = 16 << 20;
/// Messages of up to so many octets are copied from one socket of this process to the other rather than shared.
const COPIED: usize = 4 << 10;
/// The room of the first run of a pipe that begins to fill; the next are larger.
const FIRST_RUN: usize = 8 << 10;
/// An empty queue with more places than this is given back to the allocator.
const KEEP: usize = 64;

impl Arrival {
    /// The next message, whose octets are added to `size`. Ask only while there is one.
    #[inline]
    pub fn next(queue: &mut VecDeque<Self>, size: &mut usize) -> Option<Message> {
        match queue.front_mut()? {
            Self::Run(run) if run.messages() > 1 => run.next_and_size(size),
            _ => queue.pop_front()?.into_one(size),
        }
    }

    /// Puts the next messages behind those in `into`, at most `limit`, and returns how much they are: one at least. Ask only
    /// while there is one, and for more than none.
    #[inline]
    pub fn next_some(queue: &mut VecDeque<Self>, into: &mut Vec<Message>, limit: usize) -> Load {
        let mut load = Load::default();
        match queue.front_mut() {
            Some(Self::Run(run)) if run.messages() > 1 => {
                load.messages = limit.min(run.messages() - 1);
                load.octets = run.next_some(into, load.messages);
            }
            _ => {
                into.extend(Self::next(queue, &mut load.octets));
                load.messages = 1;
            }
        }
        load
    }

    /// The one message that is left.
    fn into_one(self, size: &mut usize) -> Option<Message> {
        match self {
            Self::Run(mut run) => {
                let message = run.next_and_size(size);
                buffers::give_back(run.into_octets());
                message
            }
            Self::Message(message) => {
                *size += encoded_len(&message);
                Some(message)
            }
        }
    }

    /// A run that begins with `message`, for which there is room.
    fn run_of(message: &Message, octets: BytesMut) -> Self {
        let mut run = Run::within(octets);
        if run.append(message) {
            Self::Run(run)
        } else {
            Self::Message(message.clone())
        }
    }

    fn into_last(self) -> Option<Message> {
        match self {
            Self::Run(mut run) => std::iter::from_fn(|| run.next()).last(),
            Self::Message(message) => Some(message),
        }
    }
}

impl State {
    #[inline]
    fn room(&self) -> usize {
        if self.conflate {
            return usize::MAX;
        }
        let mut there = self.queued;
        there += self.held;
        self.marks.room(there.messages, there.octets)
    }

    #[inline]
    fn push(&mut self, arrival: Arrival, load: Load, framed: usize) {
        self.enqueue(load, framed);
        self.queue.push_back(arrival);
        if self.conflate {
            self.conflate_queue();
        }
    }

    /// Queues a copy of `message`. One that waits alone is kept as it is; behind another, a small one is copied into a run:
    /// what is allocated by one thread and freed by another costs more than that.
    #[inline]
    fn push_copy(&mut self, message: &Message) -> Load {
        let load = Load::one(message.size());
        let framed = encoded_len(message);
        let copied = !self.conflate && load.octets <= COPIED;
        let arrival = match self.queue.back_mut() {
            Some(Arrival::Run(run)) if copied => {
                if run.append(message) {
                    self.enqueue(load, framed);
                    return load;
                }
                Arrival::run_of(message, buffers::take())
            }
            Some(Arrival::Message(_)) if copied => {
                Arrival::run_of(message, BytesMut::with_capacity(FIRST_RUN))
            }
            _ => Arrival::Message(message.clone()),
        };
        self.push(arrival, load, framed);
        load
    }

    /// Something that takes so many octets, `framed`, is in the queue.
    #[inline]
    fn enqueue(&mut self, load: Load, framed: usize) {
        self.queued += Load {
            octets: framed,
            ..load
        };
        self.queued_bodies += load.octets;
        self.count(load);
    }

    #[inline]
    fn count(&mut self, arrived: Load) {
        self.messages += arrived.messages as u64;
        self.received_octets += arrived.octets as u64;
    }

    /// Forgets all but the last message.
    #[cold]
    fn conflate_queue(&mut self) {
        let Some(last) = self.queue.pop_back().and_then(Arrival::into_last) else {
            return;
        };
        let replaced = self.clear() - 1;
        self.dropped
            .count(replaced, |dropped| &mut dropped.conflated);
        self.queued = Load::one(encoded_len(&last));
        self.queued_bodies = last.size();
        self.queue.push_back(Arrival::Message(last));
    }

    /// Forgets what is queued; returns how many messages that was.
    fn clear(&mut self) -> usize {
        self.queue.clear();
        self.queued_bodies = 0;
        self.events = 0;
        std::mem::take(&mut self.queued).messages
    }

    fn list(&mut self) -> Option<Arc<ReadyList>> {
        if self.listed || self.queue.is_empty() {
            return None;
        }
        let readable = self.readable.clone()?;
        self.listed = true;
        Some(readable)
    }

    /// Who is to be told of room, once the lock is released.
    fn waiting_writer(&mut self) -> Writer {
        match &self.writer {
            Writer::Nobody => Writer::Nobody,
            Writer::Session(_) if self.room() < self.marks.half() => Writer::Nobody,
            Writer::Session(_) => std::mem::replace(&mut self.writer, Writer::Nobody),
            Writer::Near(near) => Writer::Near(near.clone()),
        }
    }
}

impl Writer {
    fn tell(self) {
        match self {
            Self::Nobody => {}
            Self::Session(session) => wake_after_task(&session),
            Self::Near(near) => {
                if let Some(near) = near.upgrade() {
                    near.outbox.announce_room(&near);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
