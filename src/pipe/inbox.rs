//! [`Inbox`]: what has arrived from one peer and is not yet read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use super::{Pipe, ReadyList, lock};
use crate::message::Message;
use crate::options::Marks;
use crate::stats::{Drops, Stats};

/// The queue from one peer.
///
/// The writer (a session, or the far outbox of an in-process pair) appends batches; the reader swaps the whole queue
/// for its own empty one and pops from that without the lock. What the reader holds still counts against the marks, so
/// they are exact.
pub(crate) struct Inbox {
    state: Mutex<State>,
}

struct State {
    queue: VecDeque<Message>,
    /// Messages that the reader holds and has not given credit for.
    held: usize,
    /// Octets of the queued and the held.
    octets: usize,
    marks: Marks,
    conflate: bool,
    /// Whether the pipe is announced to, or being read by, its socket.
    listed: bool,
    writer: Writer,
    /// The socket's list of pipes to read; none for the far half of an in-process pair without a socket yet.
    readable: Option<Arc<ReadyList>>,
    messages: u64,
    received_octets: u64,
    dropped: Drops,
}

/// Who waits for room.
enum Writer {
    Nobody,
    Session(Waker),
    /// The outbox of this pipe, which has its own note of whether a sender waits.
    Near(Weak<Pipe>),
}

/// What the reader has consumed since it last said so.
#[derive(Default, Clone, Copy)]
pub(crate) struct Freed {
    pub messages: usize,
    pub octets: usize,
}

impl Inbox {
    pub fn new(marks: Marks, conflate: bool, readable: Option<Arc<ReadyList>>) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                held: 0,
                octets: 0,
                marks,
                conflate,
                listed: false,
                writer: Writer::Nobody,
                readable,
                messages: 0,
                received_octets: 0,
                dropped: Drops::default(),
            }),
        }
    }

    /// Queues one message from the near outbox, which has asked for [`room`](Self::room): nobody else writes here.
    pub fn push(&self, pipe: &Arc<Pipe>, message: Message) {
        let mut state = lock(&self.state);
        state.push(message);
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
    }

    /// How many messages go in.
    pub fn room(&self) -> usize {
        let state = lock(&self.state);
        if state.conflate {
            usize::MAX
        } else {
            state.room()
        }
    }

    /// Appends all of `batch`, which has no more than [`poll_room`](Self::poll_room) gave. Wakes the reader at most
    /// once.
    pub fn append(&self, pipe: &Arc<Pipe>, batch: &mut VecDeque<Message>) {
        let octets = batch.iter().map(Message::size).sum::<usize>();
        let mut state = lock(&self.state);
        if state.conflate {
            batch.drain(..).for_each(|message| state.push(message));
        } else {
            state.octets += octets;
            state.messages += batch.len() as u64;
            state.received_octets += octets as u64;
            if state.queue.is_empty() {
                std::mem::swap(&mut state.queue, batch);
            } else {
                state.queue.append(batch);
            }
        }
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
    }

    /// Appends a message of the socket's own, whatever the mark says: a subscription event, a notification.
    pub fn push_event(&self, pipe: &Arc<Pipe>, message: Message, most: usize) {
        let mut state = lock(&self.state);
        if state.queue.len() >= most || state.octets >= MAX_EVENT_OCTETS {
            state.dropped.unread += 1;
            return;
        }
        state.push(message);
        let announce = state.list();
        drop(state);
        if let Some(readable) = announce {
            readable.announce(pipe);
        }
    }

    /// How many messages may be appended, once it is not none.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = lock(&self.state);
        let room = if state.conflate {
            usize::MAX
        } else {
            state.room()
        };
        if room > 0 {
            return Poll::Ready(room);
        }
        state.writer = Writer::Session(cx.waker().clone());
        Poll::Pending
    }

    /// The reader gives credit for what it has consumed.
    pub fn free(&self, freed: Freed) {
        let mut state = lock(&self.state);
        state.held -= freed.messages;
        state.octets -= freed.octets;
        let writer = state.waiting_writer();
        drop(state);
        writer.tell();
    }

    /// Gives credit and swaps the queue into the reader's empty `batch`. `false` if there is nothing: the pipe will
    /// announce itself again.
    pub fn refill(&self, freed: Freed, batch: &mut VecDeque<Message>) -> bool {
        debug_assert!(batch.is_empty());
        let mut state = lock(&self.state);
        state.held -= freed.messages;
        state.octets -= freed.octets;
        let some = !state.queue.is_empty();
        if some {
            std::mem::swap(&mut state.queue, batch);
            state.held += batch.len();
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
        drop(state);
        writer.tell();
        some
    }

    /// After how many messages the reader should give credit without waiting for the end of its batch.
    pub fn half(&self) -> usize {
        lock(&self.state).marks.half()
    }

    /// Forgets what waits, counting it under `cause`.
    pub fn discard(&self, cause: impl FnOnce(&mut Drops) -> &mut u64) -> usize {
        let mut state = lock(&self.state);
        let messages = state.queue.len();
        let octets: usize = state.queue.iter().map(Message::size).sum();
        state.queue.clear();
        state.octets -= octets;
        *cause(&mut state.dropped) += messages as u64;
        messages
    }

    /// Messages that wait here and are not held by the reader.
    pub fn queued(&self) -> usize {
        lock(&self.state).queue.len()
    }

    pub fn stats(&self) -> Stats {
        let state = lock(&self.state);
        Stats {
            messages_received: state.messages,
            octets_received: state.received_octets,
            queued_in: state.queue.len(),
            dropped: state.dropped,
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
        if conflate && state.queue.len() > 1 {
            let replaced = state.queue.len() - 1;
            state.dropped.conflated += replaced as u64;
            let octets: usize = state
                .queue
                .drain(..replaced)
                .map(|message| message.size())
                .sum();
            state.octets -= octets;
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
/// An empty queue with more places than this is given back to the allocator.
const KEEP: usize = 64;

impl State {
    fn room(&self) -> usize {
        self.marks.room(self.queue.len() + self.held, self.octets)
    }

    fn push(&mut self, message: Message) {
        if self.conflate && !self.queue.is_empty() {
            self.dropped.conflated += self.queue.len() as u64;
            self.octets -= self.queue.iter().map(Message::size).sum::<usize>();
            self.queue.clear();
        }
        let size = message.size();
        self.octets += size;
        self.messages += 1;
        self.received_octets += size as u64;
        self.queue.push_back(message);
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
            Writer::Session(_) => std::mem::replace(&mut self.writer, Writer::Nobody),
            Writer::Near(near) => Writer::Near(near.clone()),
        }
    }
}

impl Writer {
    fn tell(self) {
        match self {
            Self::Nobody => {}
            Self::Session(session) => session.wake(),
            Self::Near(near) => {
                if let Some(near) = near.upgrade() {
                    near.outbox.announce_room(&near);
                }
            }
        }
    }
}
