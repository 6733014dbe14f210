//! [`Outbox`]: what waits to be sent to one peer.

mod crossing;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;

use self::crossing::Crossing;
pub(crate) use self::crossing::FarSocket;
use self::wire::{Gate, Wire};
use super::{Pipe, ReadyList, Writing, lock};
use crate::message::Message;
use crate::options::Marks;
use crate::stats::{Drops, Stats};
use crate::transport::Stream;
use crate::zmtp::{Version, put_subscription};

/// The queue towards one peer.
///
/// The sender encodes: `try_push` puts a message, framed, into one contiguous buffer behind a short lock. The session
/// takes all of it at once by swapping in its own empty buffer. No message object crosses between tasks, and the
/// session is woken only when the queue was empty.
///
/// The mark bounds what waits here. What the session has taken is on its way to the kernel and no longer counts, as
/// libzmq's encoder and the kernel's own buffers do not; it is never more than one queue full.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// The session waits for something to be queued, and nothing has happened since. Changed under the lock; read without
    /// it by a session that was woken for another reason, while a sender may hold the lock over a write.
    parked: AtomicBool,
    /// Whether the next message may be written by its sender. See [`try_push`](Self::try_push).
    direct: AtomicBool,
}

struct State {
    link: Link,
    marks: Marks,
    conflate: bool,
    life: Life,
    /// The session, parked until there is something to write or its life changes.
    session: Option<Waker>,
    /// Places that are promised to permits.
    reserved: usize,
    /// The connection was lost after the last message had left: what it asked for will not come.
    lost: bool,
    /// What was discarded at the end.
    left: usize,
    /// A sender met this queue full; it is told when there is room.
    blocked: bool,
    /// The socket's list of pipes with room; none for the far half of an in-process pair without a socket yet.
    writable: Option<Arc<ReadyList>>,
    messages: u64,
    octets: u64,
    dropped: Drops,
}

enum Link {
    Wire(Wire),
    Inproc(Crossing),
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

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// Queued or written. `full` if there is no room for another.
    Done { full: bool },
    /// There is no room; the pipe announces itself when there is.
    Full,
    /// The pipe takes nothing any more.
    Closed,
}

/// What the session is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// Write what it was given.
    Write,
    /// Close the connection: everything is written.
    Drained,
    /// Close the connection now.
    Ended,
}

impl Outbox {
    /// With `immediate`, messages are taken only while there is a connection.
    pub fn wire(marks: Marks, conflate: bool, immediate: bool, writable: Arc<ReadyList>) -> Self {
        let wire = Wire {
            gate: if immediate { Gate::Shut } else { Gate::None },
            ..Wire::default()
        };
        Self::new(Link::Wire(wire), marks, conflate, Some(writable))
    }

    /// Without a far pipe; [`cross`](Self::cross) sets it.
    pub fn inproc(writable: Option<Arc<ReadyList>>, immediate: bool) -> Self {
        // The far inbox has the marks of both.
        let no_marks = Marks {
            messages: 0,
            octets: 0,
        };
        let crossing = Crossing {
            immediate,
            ..Crossing::default()
        };
        Self::new(Link::Inproc(crossing), no_marks, false, writable)
    }

    fn new(link: Link, marks: Marks, conflate: bool, writable: Option<Arc<ReadyList>>) -> Self {
        Self {
            state: Mutex::new(State {
                link,
                marks,
                conflate,
                life: Life::Open,
                session: None,
                reserved: 0,
                lost: false,
                left: 0,
                blocked: false,
                writable,
                messages: 0,
                octets: 0,
                dropped: Drops::default(),
            }),
            parked: AtomicBool::new(false),
            direct: AtomicBool::new(true),
        }
    }

    /// Queues `message` if there is room.
    ///
    /// A lone message on an idle connection is written at once, from the caller's task: a hop to the session's task
    /// would cost more than the write. A second one that follows before anything came back, or before the session had
    /// its turn, is queued, so that a tight loop fills batches.
    #[inline]
    pub fn try_push(&self, message: &Message) -> Push {
        self.push(message, 0, true)
    }

    /// Queues a message of the socket's own, out of turn.
    pub fn push_aside(&self, message: &Message) -> Push {
        self.push(message, 0, false)
    }

    /// Keeps a place for one message, which [`push_reserved`](Self::push_reserved) fills or
    /// [`release`](Self::release) gives back.
    pub fn reserve(&self) -> bool {
        let mut state = lock(&self.state);
        let room = state.room(0) > 0;
        if room {
            state.reserved += 1;
        }
        state.blocked |= !room;
        room
    }

    pub fn push_reserved(&self, message: &Message) -> Push {
        self.push(message, 1, false)
    }

    pub fn release(&self, pipe: &Arc<Pipe>) {
        lock(&self.state).reserved -= 1;
        self.announce_room(pipe);
    }

    /// `reserved` places of the caller's own are given up with the message.
    #[inline]
    fn push(&self, message: &Message, reserved: usize, in_turn: bool) -> Push {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.reserved -= reserved;
        if state.life != Life::Open {
            return Push::Closed;
        }
        let room = state.room(reserved);
        if room == 0 {
            state.blocked |= in_turn;
            return Push::Full;
        }
        let wakeup = match &mut state.link {
            Link::Wire(wire) => {
                if state.conflate {
                    state.dropped.conflated += wire.clear() as u64;
                }
                wire.queue.push(message);
                // What a later message may replace must not be half written.
                let written = !state.conflate && wire.write_here(&self.direct, room == 1);
                if !written && self.parked.load(Ordering::Relaxed) {
                    self.unpark(&mut state.session)
                } else {
                    None
                }
            }
            Link::Inproc(crossing) => {
                if !crossing.push(message) {
                    return Push::Closed;
                }
                None
            }
        };
        state.messages += 1;
        state.octets += message.size() as u64;
        state.lost = false;
        let full = state.room(0) == 0;
        // A pipe that is written to aside keeps its place in the ring.
        state.blocked |= full && in_turn;
        drop(guard);
        if let Some(session) = wakeup {
            session.wake();
        }
        Push::Done { full }
    }

    /// Whether a message would be taken now. If not, the pipe announces itself when there is room.
    pub fn has_room(&self) -> bool {
        let mut state = lock(&self.state);
        let room = state.room(0) > 0;
        state.blocked |= !room;
        room
    }

    /// Whether the pipe is open and has no room; it then announces itself when there is.
    pub fn is_full(&self) -> bool {
        !self.has_room() && self.is_open()
    }

    /// Announces `pipe`, whose outbox this is, now if there is room and else when there is.
    pub fn invite(&self, pipe: &Arc<Pipe>) {
        let mut state = lock(&self.state);
        state.blocked = true;
        if state.room(0) > 0 {
            drop(state);
            self.announce_room(pipe);
        }
    }

    /// There is a connection, to a peer that speaks `version`.
    pub fn connected(&self, pipe: &Arc<Pipe>, version: Version) {
        let mut state = lock(&self.state);
        if let Link::Wire(wire) = &mut state.link {
            wire.version = Some(version);
            if wire.gate == Gate::Shut {
                wire.gate = Gate::Open;
                drop(state);
                self.announce_room(pipe);
            }
        }
    }

    /// Sends a subscription or its end, beside the messages and whatever the mark says (S9). Nothing is sent without a
    /// connection: the next one begins with all subscriptions.
    pub fn push_subscription(&self, subscribe: bool, topic: &[u8]) {
        let mut state = lock(&self.state);
        match &mut state.link {
            Link::Wire(wire) => {
                let Some(version) = wire.version else { return };
                put_subscription(version, subscribe, topic, &mut wire.commands);
                wire.idle = None;
                let session = self.unpark(&mut state.session);
                drop(state);
                if let Some(session) = session {
                    session.wake();
                }
            }
            Link::Inproc(crossing) => {
                let joined = crossing.far.clone().zip(crossing.socket.clone());
                drop(state);
                if let Some((far, socket)) = joined {
                    socket.subscription(&far, subscribe, topic);
                }
            }
        }
    }

    /// The far pipe, if it is in this process.
    pub fn far(&self) -> Option<Arc<Pipe>> {
        match &lock(&self.state).link {
            Link::Inproc(crossing) => crossing.far.clone(),
            Link::Wire(_) => None,
        }
    }

    /// Joins the outbox of `near` to the inbox of `far`.
    pub fn cross(&self, near: &Arc<Pipe>, far: &Arc<Pipe>) {
        far.inbox.fed_by(near);
        if let Link::Inproc(crossing) = &mut lock(&self.state).link {
            crossing.far = Some(far.clone());
        }
    }

    /// The far pipe has a socket now.
    pub fn join(&self, far_socket: Arc<dyn FarSocket>) {
        if let Link::Inproc(crossing) = &mut lock(&self.state).link {
            crossing.intercepts = !far_socket.receives();
            crossing.socket = Some(far_socket);
        }
    }

    /// The far socket refused: another one may come.
    pub fn unjoin(&self) {
        if let Link::Inproc(crossing) = &mut lock(&self.state).link {
            crossing.socket = None;
            crossing.intercepts = false;
        }
    }

    /// Which list is told of room from now on.
    pub fn announce_on(&self, writable: Arc<ReadyList>) {
        lock(&self.state).writable = Some(writable);
    }

    /// Tells the socket that `pipe`, whose outbox this is, has room, if anybody wants to know.
    pub fn announce_room(&self, pipe: &Arc<Pipe>) {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.blocked)
            && let Some(writable) = state.writable.clone()
        {
            drop(state);
            writable.announce(pipe);
        }
    }

    /// The same, if there is.
    pub fn announce_if_room(&self, pipe: &Arc<Pipe>) {
        if lock(&self.state).room(0) > 0 {
            self.announce_room(pipe);
        }
    }

    /// Hands the session everything that waits: commands first, then the messages, swapped into its empty buffer.
    ///
    /// `idle` is the stream that a sender may write to while there is nothing to take; none if what it writes has to be
    /// encrypted first. `replies` are the session's own commands (PONG); they pass through here because nobody may write between the
    /// octets of a message that its sender has begun to write.
    pub fn poll_take(
        &self,
        pipe: &Arc<Pipe>,
        idle: Option<&Arc<Stream>>,
        cx: &mut Context<'_>,
        replies: &mut BytesMut,
        into: &mut Writing,
    ) -> Poll<Take> {
        debug_assert!(into.is_empty());
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let Link::Wire(wire) = &mut state.link else {
            return Poll::Ready(Take::Ended);
        };
        wire.taken = 0;
        if state.life == Life::Ended {
            return Poll::Ready(Take::Ended);
        }
        if wire.queue.is_empty() && wire.commands.is_empty() && replies.is_empty() {
            if state.life != Life::Open {
                return Poll::Ready(Take::Drained);
            }
            state.session = Some(cx.waker().clone());
            wire.idle = idle.cloned();
            self.parked.store(true, Ordering::Release);
            return Poll::Pending;
        }
        wire.idle = None;
        self.parked.store(false, Ordering::Release);
        if !wire.queue.is_begun() && (!wire.commands.is_empty() || !replies.is_empty()) {
            into.push_framed(replies);
            replies.clear();
            into.push_framed(&wire.commands);
            wire.commands = Vec::new();
            return Poll::Ready(Take::Write);
        }
        std::mem::swap(&mut wire.queue, into);
        wire.taken = into.messages();
        self.direct.store(wire.taken <= 1, Ordering::Relaxed);
        drop(guard);
        self.announce_room(pipe);
        Poll::Ready(Take::Write)
    }

    /// Something came from the peer: the next message is likely an answer, and may be written by its sender.
    pub fn heard(&self) {
        self.direct.store(true, Ordering::Relaxed);
    }

    /// Whether nothing has changed for the session since it last found nothing to do. If something does from now on, the
    /// session is woken.
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Acquire)
    }

    /// Something is to be done: the waker that says so.
    fn unpark(&self, session: &mut Option<Waker>) -> Option<Waker> {
        self.parked.store(false, Ordering::Release);
        session.take()
    }

    /// How long the pipe goes on; `cx` is woken when that changes.
    pub fn life(&self, cx: &mut Context<'_>) -> Life {
        let mut state = lock(&self.state);
        match &mut state.session {
            Some(session) => session.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.life
    }

    /// Waits until the pipe is no longer open.
    pub async fn closing(&self) -> Life {
        std::future::poll_fn(|cx| match self.life(cx) {
            Life::Open => Poll::Pending,
            life => Poll::Ready(life),
        })
        .await
    }

    /// Ends the pipe, after what is queued or at once. A later call can only shorten it.
    pub fn end(&self, life: Life) {
        let mut state = lock(&self.state);
        state.life = match (state.life, life) {
            (Life::Ended, _) => return,
            (Life::Draining(Some(sooner)), Life::Draining(later)) => {
                Life::Draining(Some(later.map_or(sooner, |later| sooner.min(later))))
            }
            (Life::Open | Life::Draining(_), life) => life,
        };
        if let Link::Wire(wire) = &mut state.link {
            wire.idle = None;
        }
        let session = self.unpark(&mut state.session);
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
    }

    pub fn is_ended(&self) -> bool {
        lock(&self.state).life == Life::Ended
    }

    pub fn is_open(&self) -> bool {
        lock(&self.state).life == Life::Open
    }

    /// The connection is gone. The messages that it did not carry, `unsent` and the queued, stay in order (A4); the
    /// commands are made anew for the next connection.
    pub fn disconnected(&self, unsent: Writing) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let Link::Wire(wire) = &mut state.link else {
            return;
        };
        wire.idle = None;
        self.parked.store(false, Ordering::Release);
        wire.version = None;
        wire.taken = 0;
        wire.commands.clear();
        if wire.gate == Gate::Open {
            wire.gate = Gate::Shut;
        }
        let mut rest = unsent.into_unsent();
        if state.conflate && !wire.queue.is_empty() {
            state.dropped.conflated += rest.messages() as u64;
            rest.clear();
        }
        rest.append(std::mem::take(&mut wire.queue).into_unsent());
        state.lost = rest.is_empty();
        wire.queue = rest;
    }

    /// What was left when the pipe ended.
    pub fn left(&self) -> usize {
        lock(&self.state).left
    }

    /// Whether the connection was lost after the last message had left, or the pipe is at its end.
    pub fn is_lost(&self) -> bool {
        let state = lock(&self.state);
        state.lost || state.life != Life::Open
    }

    /// Takes back what has not begun to leave. `false` if there is nothing to take back any more.
    pub fn withdraw(&self, pipe: &Arc<Pipe>) -> bool {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let Link::Wire(wire) = &mut state.link else {
            return false;
        };
        if wire.queue.is_empty() || wire.queue.is_begun() {
            return false;
        }
        state.dropped.withdrawn += wire.queue.messages() as u64;
        wire.queue.clear();
        drop(guard);
        self.announce_room(pipe);
        true
    }

    /// Cuts an in-process pair: the far socket, if it was found, learns that this one is gone. Returns the far pipe.
    pub fn cut(&self) -> Option<Arc<Pipe>> {
        let mut state = lock(&self.state);
        let Link::Inproc(crossing) = &mut state.link else {
            return None;
        };
        let (far, socket) = (crossing.far.take()?, crossing.socket.take());
        state.lost = true;
        drop(state);
        far.outbox.cut_silently();
        if let Some(socket) = socket {
            socket.gone(&far);
        }
        Some(far)
    }

    fn cut_silently(&self) {
        let mut state = lock(&self.state);
        state.lost = true;
        if let Link::Inproc(crossing) = &mut state.link {
            *crossing = Crossing::default();
        }
    }

    /// Forgets what waits, counting it under `cause`. Returns how many messages that were.
    pub fn discard(&self, cause: impl FnOnce(&mut Drops) -> &mut u64) -> usize {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let messages = match &mut state.link {
            Link::Wire(wire) => wire.clear(),
            Link::Inproc(crossing) => crossing.discard(),
        };
        *cause(&mut state.dropped) += messages as u64;
        state.left += messages;
        messages
    }

    /// Messages that wait or are in the session's hand.
    pub fn waiting(&self) -> usize {
        lock(&self.state).waiting()
    }

    /// A message that never got in: the peer's queue was full.
    pub fn count_full(&self) {
        lock(&self.state).dropped.full += 1;
    }

    pub fn stats(&self) -> Stats {
        let state = lock(&self.state);
        Stats {
            messages_sent: state.messages,
            octets_sent: state.octets,
            queued_out: state.waiting(),
            dropped: state.dropped,
            ..Stats::default()
        }
    }
}

impl State {
    fn waiting(&self) -> usize {
        match &self.link {
            Link::Wire(wire) => wire.queue.messages() + wire.taken,
            Link::Inproc(crossing) => crossing.waiting(),
        }
    }

    /// How many messages would be taken, with `own` of the reserved places.
    #[inline]
    fn room(&self, own: usize) -> usize {
        let room = match &self.link {
            _ if self.life != Life::Open => 0,
            Link::Wire(wire) if wire.gate == Gate::Shut => 0,
            Link::Wire(_) if self.conflate => usize::MAX,
            Link::Wire(wire) => self.marks.room(wire.queue.messages(), wire.queue.size()),
            Link::Inproc(crossing) => crossing.room(),
        };
        room.saturating_sub(self.reserved).max(own.min(room))
    }
}
