//! [`Outbox`]: what waits to be sent to one peer.

mod crossing;
mod guard;
mod queue;
mod session;
mod shared;
mod wire;

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::timeout;

use self::crossing::Crossing;
pub(crate) use self::crossing::FarSocket;
use self::guard::Guard;
pub(super) use self::queue::Queue;
pub(crate) use self::queue::{Claim, Life, Push};
use self::queue::{Link, Signals};
pub(crate) use self::session::Take;
pub(crate) use self::shared::Share;
pub(super) use self::shared::Shared;
use self::wire::{Gate, Wire};
use super::outgoing::{Place, Queues, Woken};
use super::{Pipe, PipeConfig, ReadyList, lock, waking};
use crate::message::Message;
use crate::options::Marks;
use crate::stats::{Drops, Stats};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    home: Home,
    signals: Signals,
}

/// Where a queue is.
enum Home {
    /// With the others of its socket.
    Socket(Place),
    /// By itself: the pipes of two sockets in one process, so that neither locks what the other sends.
    Own(Box<Mutex<Queue>>),
}

/// After so long, a sender that waits for its session looks whether that keeps up;
const PACE: Duration = Duration::from_millis(5);
/// it does if it has written so many octets.
const FAST: usize = 1 << 20;

impl Outbox {
    /// With `immediate`, messages are taken only while there is a connection.
    pub fn wire(config: &PipeConfig, immediate: bool) -> Self {
        let wire = Wire {
            gate: if immediate { Gate::Shut } else { Gate::None },
            loop_size: config.loop_size,
            ..Wire::default()
        };
        let writable = Some(config.writable.clone());
        let queue = Queue::new(Link::Wire(wire), config.send, config.conflate, writable);
        Self::at(Home::Socket(Place::of(queue, &config.outgoing)))
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
        let queue = Queue::new(Link::Inproc(crossing), no_marks, false, writable);
        Self::at(Home::Own(Box::new(Mutex::new(queue))))
    }

    fn at(home: Home) -> Self {
        Self {
            home,
            signals: Signals {
                parked: AtomicBool::new(false),
                direct: AtomicBool::new(true),
                written: AtomicUsize::new(0),
            },
        }
    }

    fn lock(&self) -> Guard<'_> {
        match &self.home {
            Home::Socket(place) => Guard::Socket(place.lock()),
            Home::Own(queue) => Guard::Own(lock(queue)),
        }
    }

    /// The same without what the queue shares with others.
    fn peek(&self) -> Guard<'_> {
        match &self.home {
            Home::Socket(place) => Guard::Socket(place.peek()),
            Home::Own(queue) => Guard::Own(lock(queue)),
        }
    }

    /// The same under the lock of the socket.
    fn within<'a>(&'a self, queues: &'a mut Queues) -> Guard<'a> {
        match &self.home {
            Home::Socket(place) => Guard::Here(queues.at(place).0),
            Home::Own(queue) => Guard::Own(lock(queue)),
        }
    }

    /// Queues `message` if there is room, under the lock of the socket, whose `queues` they are.
    ///
    /// A lone message on an idle connection is written at once, from the caller's task: a hop to the session's task
    /// would cost more than the write. A second one that follows before anything came back, or before the session had
    /// its turn, is queued, so that a tight loop fills batches.
    #[inline]
    pub fn try_push(&self, queues: &mut Queues, message: &Message, claim: Claim) -> Push {
        match &self.home {
            Home::Socket(place) => {
                let (queue, woken) = queues.at(place);
                queue.push(&self.signals, message, claim, woken)
            }
            Home::Own(queue) => {
                lock(queue).push(&self.signals, message, claim, &mut Woken::default())
            }
        }
    }

    /// The same of the first of `messages`. How many are queued; and what became of the last of them, or of the first if there
    /// are none.
    #[inline(always)]
    pub fn try_push_some(
        &self,
        queues: &mut Queues,
        messages: &[Message],
        claim: Claim,
    ) -> (usize, Push) {
        // Compiled by itself, one message costs less than as many as there may be.
        if let [message] = messages {
            let pushed = self.try_push(queues, message, claim);
            return (usize::from(matches!(pushed, Push::Done { .. })), pushed);
        }
        match &self.home {
            Home::Socket(place) => {
                let (queue, woken) = queues.at(place);
                queue.push_some(&self.signals, messages, claim, woken)
            }
            Home::Own(queue) => {
                lock(queue).push_some(&self.signals, messages, claim, &mut Woken::default())
            }
        }
    }

    /// Queues `message` if there is room, by a caller who holds no lock.
    pub fn push(&self, message: &Message, claim: Claim) -> Push {
        match &self.home {
            Home::Socket(place) => place.with(|queues| self.try_push(queues, message, claim)),
            Home::Own(queue) => {
                lock(queue).push(&self.signals, message, claim, &mut Woken::default())
            }
        }
    }

    /// Shares what is pushed once the sharing is [open](Queues::open), under the lock of the socket. `None` if it cannot.
    pub fn share(&self, queues: &mut Queues) -> Option<Share> {
        let Home::Socket(place) = &self.home else {
            return None;
        };
        let share = queues.share(place, self.is_parked());
        if share == Some(Share::Part) {
            // It was left quiet. Whatever wakes its session, that has to look at more than its own queue.
            self.signals.parked.store(false, Ordering::Release);
        }
        share
    }

    /// Keeps a place for one message, under the lock of the socket; [`Claim::Reserved`] fills it or
    /// [`release`](Self::release) gives it back.
    pub fn reserve(&self, queues: &mut Queues) -> bool {
        let mut queue = self.within(queues);
        let room = queue.room(0) > 0;
        if room {
            queue.reserved += 1;
        }
        queue.blocked |= !room;
        room
    }

    pub fn release(&self, pipe: &Arc<Pipe>) {
        self.lock().reserved -= 1;
        self.announce_room(pipe);
    }

    /// Whether the pipe is open and has no room, under the lock of the socket; it then announces itself when it has.
    pub fn is_full(&self, queues: &mut Queues) -> bool {
        self.within(queues).is_full()
    }

    /// Announces `pipe`, whose outbox this is, now if there is room and else when there is.
    pub fn invite(&self, pipe: &Arc<Pipe>) {
        let mut state = self.lock();
        state.blocked = true;
        if state.room(0) > 0 {
            drop(state);
            self.announce_room(pipe);
        }
    }

    /// There is a connection, to a peer that speaks `version`.
    pub fn connected(&self, pipe: &Arc<Pipe>, version: Version) {
        let mut state = self.lock();
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
        let mut state = self.lock();
        match &mut state.link {
            Link::Wire(wire) => {
                let Some(version) = wire.version else { return };
                put_subscription(version, subscribe, topic, &mut wire.commands);
                wire.idle = None;
                let session = self.signals.unpark(&mut state.session);
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
        match &self.lock().link {
            Link::Inproc(crossing) => crossing.far.clone(),
            Link::Wire(_) => None,
        }
    }

    /// Joins the outbox of `near` to the inbox of `far`.
    pub fn cross(&self, near: &Arc<Pipe>, far: &Arc<Pipe>) {
        far.inbox.fed_by(near);
        if let Link::Inproc(crossing) = &mut self.lock().link {
            crossing.far = Some(far.clone());
        }
    }

    /// The far pipe has a socket now.
    pub fn join(&self, far_socket: Arc<dyn FarSocket>) {
        if let Link::Inproc(crossing) = &mut self.lock().link {
            crossing.intercepts = !far_socket.receives();
            crossing.socket = Some(far_socket);
        }
    }

    /// The far socket refused: another one may come.
    pub fn unjoin(&self) {
        if let Link::Inproc(crossing) = &mut self.lock().link {
            crossing.socket = None;
            crossing.intercepts = false;
        }
    }

    /// Which list is told of room from now on.
    pub fn announce_on(&self, writable: Arc<ReadyList>) {
        self.lock().writable = Some(writable);
    }

    /// Tells the socket that `pipe`, whose outbox this is, has room, if anybody wants to know.
    pub fn announce_room(&self, pipe: &Arc<Pipe>) {
        let room = self.lock().wanted_room();
        if let Some(writable) = room {
            writable.announce(pipe);
        }
    }

    /// The same, if there is.
    pub fn announce_if_room(&self, pipe: &Arc<Pipe>) {
        if self.lock().room(0) > 0 {
            self.announce_room(pipe);
        }
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
        let mut state = self.lock();
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
        let session = self.signals.unpark(&mut state.session);
        let ahead = state.caught_up();
        drop(state);
        wake_each(session.into_iter().chain(ahead));
    }

    pub fn is_ended(&self) -> bool {
        self.lock().life == Life::Ended
    }

    /// Waits until the session has taken what waits, as long as it writes fast.
    ///
    /// A sender that fills its queue to the mark while the peer reads as fast as it can gains nothing, and loses: by the time
    /// a message leaves, its octets are no longer in the processor's cache. If little is written within a few milliseconds, the
    /// peer does not keep up, and a long queue is what is wanted.
    pub async fn caught_up(&self) {
        loop {
            let before = self.written();
            if timeout(PACE, self.session_took_all()).await.is_ok() {
                return;
            }
            let written = self.written();
            if written.wrapping_sub(before) < FAST {
                self.lock().behind = true;
                return;
            }
        }
    }

    async fn session_took_all(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if !state.is_ahead() {
                return Poll::Ready(());
            }
            if !state.ahead.iter().any(|there| there.will_wake(cx.waker())) {
                state.ahead.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// What was left when the pipe ended.
    pub fn left(&self) -> usize {
        self.lock().left
    }

    /// Whether the connection was lost after the last message had left, or the pipe is at its end.
    pub fn is_lost(&self) -> bool {
        let state = self.lock();
        state.lost || state.life != Life::Open
    }

    /// Takes back what has not begun to leave. `false` if there is nothing to take back any more.
    pub fn withdraw(&self, pipe: &Arc<Pipe>) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Link::Wire(wire) = &mut state.link else {
            return false;
        };
        if wire.queue.is_empty() || wire.queue.is_begun() {
            return false;
        }
        state
            .dropped
            .count(wire.queue.messages(), |dropped| &mut dropped.withdrawn);
        wire.queue.clear();
        drop(guard);
        self.announce_room(pipe);
        true
    }

    /// Cuts an in-process pair: the far socket, if it was found, learns that this one is gone. Returns the far pipe.
    pub fn cut(&self) -> Option<Arc<Pipe>> {
        let mut state = self.lock();
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
        let mut state = self.lock();
        state.lost = true;
        if let Link::Inproc(crossing) = &mut state.link {
            *crossing = Crossing::default();
        }
    }

    /// Forgets what waits, counting it under `cause`. Returns how many messages that were.
    pub fn discard(&self, cause: impl FnOnce(&mut Drops) -> &mut u64) -> usize {
        let mut guard = self.lock();
        let state = &mut *guard;
        let messages = match &mut state.link {
            Link::Wire(wire) => wire.clear(),
            Link::Inproc(crossing) => crossing.discard(),
        };
        state.dropped.count(messages, cause);
        state.left += messages;
        messages
    }

    /// Messages that wait or are in the session's hand.
    pub fn waiting(&self) -> usize {
        self.lock().waiting()
    }

    pub fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            messages_sent: state.messages,
            octets_sent: state.octets,
            queued_out: state.waiting(),
            dropped: state.dropped.so_far(),
            ..Stats::default()
        }
    }
}

fn wake_each(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| waking(|| waker.wake()));
}

#[cfg(test)]
mod tests;
