//! [`Pump`]: octets ⇄ messages, between one stream and one pipe.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};

use super::sealing::Sealing;
use super::serve::good_bye_until;
use super::{Intercepted, Owner};
use crate::message::Message;
use crate::monitor::DisconnectCause;
use crate::options::Options;
use crate::pipe::{Arrival, Life, Load, Pipe, Take, Writing, buffers, wake_later};
use crate::transport::Stream;
use crate::zmtp::{Allowance, Engine, Extent, Inbound, Run};

/// Moves messages both ways until the connection ends.
///
/// Reading stops while the inbox is full: the peer's queue fills in turn (back-pressure through the transport).
/// Writing takes whatever the outbox holds, all at once.
pub(super) struct Pump<'a> {
    owner: &'a dyn Owner,
    pipe: &'a Arc<Pipe>,
    stream: &'a Arc<Stream>,
    engine: Engine,
    /// Octets that are read and not yet taken in.
    read: BytesMut,
    way: Way,
    /// The inbox is full, so that nothing is read and the peer's silence means nothing.
    paused: bool,
    /// For changes of subscriptions; none if they are not limited.
    changes: Option<Allowance>,
    writing: Writing,
    /// Stands between `writing` and the stream on an encrypted connection.
    sealing: Option<Box<Sealing>>,
    flush: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// How long what is queued may be left to its sender, if it is.
    left_until: Option<Instant>,
    /// When to give back room that is not used: that of queues, if no more is written until then than so many octets.
    idle_at: Option<(Instant, usize)>,
}

/// Where messages go that arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Inbox,
    /// To the socket, one by one: a publisher's subscriptions.
    Socket,
    /// Nowhere: the peer's principal may not send.
    Nowhere,
}

/// Why the pump stopped.
#[derive(Debug)]
pub(super) enum End {
    /// Everything is written; the good-bye may last until this instant.
    Drained(Instant),
    /// The pipe was ended with the rest unsent.
    Ended,
    Failed(DisconnectCause),
}

/// A part of a message of up to so many octets does not wait for the rest in a large buffer.
const SMALL: usize = 16 << 10;
/// The most pieces of one write.
const SLICES: usize = 64;
/// Subscriptions, and messages that are handed up one by one, before other tasks of this thread have their turn: each
/// may take a microsecond, and one read brings thousands.
const TURN: usize = 32;
/// Rounds of reading and writing before other tasks of this thread have their turn.
const ROUNDS: usize = 32;
/// How long a message waits for a sender that seemed to be in a loop, and is not: the shortest time that Tokio measures.
const LEFT: Duration = Duration::from_millis(1);
/// How long a connection keeps room for more than it sends.
const IDLE: Duration = Duration::from_secs(1);

impl<'a> Pump<'a> {
    /// `read` holds what came behind the handshake.
    pub fn new(
        owner: &'a dyn Owner,
        pipe: &'a Arc<Pipe>,
        stream: &'a Arc<Stream>,
        engine: Engine,
        sealing: Option<Box<Sealing>>,
        read: BytesMut,
    ) -> Self {
        Self {
            owner,
            pipe,
            stream,
            engine,
            read,
            way: Way::of(owner, pipe),
            paused: false,
            changes: changes(owner.options()),
            writing: Writing::default(),
            sealing,
            flush: false,
            timer: None,
            left_until: None,
            idle_at: None,
        }
    }

    /// What was taken from the outbox and not written, once the connection is at its end.
    pub fn take_unsent(&mut self) -> Writing {
        if let Some(sealing) = self.sealing.take() {
            sealing.settle(&mut self.writing);
        }
        std::mem::take(&mut self.writing)
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let life = match self.pipe.outbox.is_parked() {
            true => Life::Open,
            false => self.pipe.outbox.life(cx),
        };
        if life == Life::Ended {
            return Poll::Ready(End::Ended);
        }
        // Often enough for what is measured by it.
        let now = Instant::now().into_std();
        for _ in 0..ROUNDS {
            let read = self.poll_read(cx, now);
            if let Poll::Ready(Err(cause)) = read {
                return Poll::Ready(End::Failed(cause));
            }
            let written = match self.poll_write(cx, now) {
                Poll::Ready(Ok(Take::Drained)) => {
                    // It may have ended while this read.
                    let life = self.pipe.outbox.life(cx);
                    return Poll::Ready(End::Drained(good_bye_until(life)));
                }
                Poll::Ready(Ok(Take::Ended)) => return Poll::Ready(End::Ended),
                Poll::Ready(Ok(_)) => Poll::Ready(()),
                Poll::Ready(Err(cause)) => return Poll::Ready(End::Failed(cause)),
                Poll::Pending => Poll::Pending,
            };
            let timer = match self.poll_timer(cx, life) {
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(())) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            };
            if read.is_pending() && written.is_pending() && timer.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes in what is there and reads once. `Ready` if that should be done again.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        now: std::time::Instant,
    ) -> Poll<Result<(), DisconnectCause>> {
        ready!(self.poll_take_in(cx, now))?;
        let readable = self.stream.poll_readable(cx).map_err(lost)?;
        let (room, most) = match self.engine.body() {
            Some((body, missing)) => {
                buffers::lend(body, missing);
                (body, missing)
            }
            None if readable.is_pending() => (&mut self.read, 0),
            None => {
                make_room(&mut self.read);
                let most = self.engine.read_ahead().min(buffers::ROOM);
                (&mut self.read, most)
            }
        };
        let read = match readable {
            Poll::Ready(()) => self.stream.poll_read(cx, room, most),
            Poll::Pending => Poll::Pending,
        };
        match read.map_err(lost)? {
            Poll::Ready(0) => return Poll::Ready(Err(DisconnectCause::Peer)),
            Poll::Ready(_) => {}
            Poll::Pending => {
                let mut many = release(&mut self.read);
                many |= release(self.engine.front(&mut self.read));
                if many && self.idle_at.is_none() {
                    self.idle_at = Some((Instant::now() + IDLE, self.pipe.outbox.written()));
                }
                return Poll::Pending;
            }
        }
        self.engine.heard(now);
        self.pipe.outbox.heard();
        Poll::Ready(Ok(()))
    }

    /// Hands on everything that is complete, as far as the inbox takes it.
    fn poll_take_in(
        &mut self,
        cx: &mut Context<'_>,
        now: std::time::Instant,
    ) -> Poll<Result<(), DisconnectCause>> {
        let mut handed_up = 0;
        while handed_up < TURN {
            let most = if self.way == Way::Inbox {
                let room = self.pipe.inbox.poll_room(cx);
                self.paused = room.is_pending();
                ready!(room);
                // What one read brought goes over the mark rather than wait here: its reader need not ask for it.
                usize::MAX
            } else {
                TURN
            };
            handed_up += match self.engine.receive(&mut self.read, now, most)? {
                Some(Inbound::Run(extent)) => {
                    self.take_in_run(extent, now)?;
                    match self.way {
                        Way::Inbox => 0,
                        Way::Socket | Way::Nowhere => extent.messages,
                    }
                }
                Some(Inbound::Message(message)) => {
                    let spent = self.engine.spent();
                    if let Some(spent) = spent.filter(|_| message.size() <= buffers::ROOM) {
                        buffers::keep(spent);
                    }
                    self.take_in(message, now)?;
                    1
                }
                Some(Inbound::Subscribe(topic)) => {
                    self.subscription(true, &topic, now)?;
                    1
                }
                Some(Inbound::Cancel(topic)) => {
                    self.subscription(false, &topic, now)?;
                    1
                }
                None => return Poll::Ready(Ok(())),
            };
        }
        wake_later(cx.waker());
        Poll::Pending
    }

    fn take_in_run(
        &mut self,
        extent: Extent,
        now: std::time::Instant,
    ) -> Result<(), DisconnectCause> {
        let Extent {
            len,
            messages,
            size,
        } = extent;
        let load = Load {
            messages,
            octets: size,
        };
        if self.way == Way::Nowhere {
            self.engine.front(&mut self.read).advance(len);
            self.owner.forbidden(self.pipe, load);
            return Ok(());
        }
        if messages == 1 {
            let message = Run::take_one(self.engine.front(&mut self.read), extent);
            return message.map_or(Ok(()), |message| self.take_in(message, now));
        }
        let front = self.engine.front(&mut self.read);
        let mut run = Run::cut(front, extent, buffers::take);
        if self.way == Way::Inbox {
            self.pipe
                .inbox
                .append(self.pipe, Arrival::Run(run), load, len);
        } else {
            while let Some(message) = run.next() {
                self.intercept(message, now)?;
            }
            buffers::give_back(run.into_octets());
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        message: Message,
        now: std::time::Instant,
    ) -> Result<(), DisconnectCause> {
        match self.way {
            Way::Inbox => self.pipe.inbox.push(self.pipe, message),
            Way::Socket => self.intercept(message, now)?,
            Way::Nowhere => self.owner.forbidden(self.pipe, Load::one(message.size())),
        }
        Ok(())
    }

    fn intercept(
        &mut self,
        message: Message,
        now: std::time::Instant,
    ) -> Result<(), DisconnectCause> {
        match self.owner.intercept(self.pipe, message)? {
            Intercepted::Message => Ok(()),
            Intercepted::Subscription => self.charge(now),
        }
    }

    fn subscription(
        &mut self,
        subscribe: bool,
        topic: &[u8],
        now: std::time::Instant,
    ) -> Result<(), DisconnectCause> {
        self.owner.subscription(self.pipe, subscribe, topic)?;
        self.charge(now)
    }

    /// The peer has changed a subscription. `now` may be that of many: all that one read brought.
    fn charge(&mut self, now: std::time::Instant) -> Result<(), DisconnectCause> {
        let changes = self.changes.as_mut();
        if changes.is_none_or(|allowance| allowance.spend(now)) {
            return Ok(());
        }
        let limit = self.owner.options().max_subscription_rate;
        Err(DisconnectCause::SubscriptionFlood { limit })
    }

    /// Writes what there is. `Ready(Write)` if that should be done again.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        now: std::time::Instant,
    ) -> Poll<Result<Take, DisconnectCause>> {
        if self.writing.is_empty() {
            let commands = self.engine.output();
            let outbox = &self.pipe.outbox;
            if commands.is_empty() && !self.flush && outbox.is_parked() {
                return Poll::Pending;
            }
            // Nobody but this task encrypts.
            let shared = self.sealing.is_none() && self.stream.is_shared();
            let idle = shared.then_some(self.stream);
            let take = outbox.poll_take(self.pipe, idle, cx, commands, &mut self.writing, now);
            match take {
                Poll::Ready(Take::Write) => self.left_until = None,
                Poll::Ready(Take::Drained | Take::Ended) => return take.map(Ok),
                Poll::Ready(Take::Look | Take::Leave) | Poll::Pending => {
                    if take == Poll::Ready(Take::Look) {
                        self.left_until = None;
                        wake_later(cx.waker());
                    }
                    if take == Poll::Ready(Take::Leave) {
                        self.left_until = Some(Instant::now() + LEFT);
                    }
                    if self.writing.is_roomy() && self.idle_at.is_none() {
                        self.idle_at = Some((Instant::now() + IDLE, outbox.written()));
                    }
                    if self.flush {
                        ready!(self.stream.poll_flush(cx)).map_err(lost)?;
                        self.flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = match &mut self.sealing {
            None => self.writing.slices(&mut slices),
            Some(sealing) => {
                slices[0] = IoSlice::new(sealing.next(&self.writing));
                1
            }
        };
        let n = ready!(self.stream.poll_write(cx, &slices[..filled])).map_err(lost)?;
        if n == 0 {
            return Poll::Ready(Err(lost(io::ErrorKind::WriteZero.into())));
        }
        self.pipe.outbox.wrote(n);
        match &mut self.sealing {
            None => self.writing.advance(n),
            Some(sealing) => sealing.advance(n, &mut self.writing),
        }
        self.flush = true;
        Poll::Ready(Ok(Take::Write))
    }

    /// Heartbeats, the end of the linger time, of what is left to a sender, and of room that nobody needs. One timer, armed
    /// for what comes first and touched only when it fires or something earlier is due.
    fn poll_timer(&mut self, cx: &mut Context<'_>, life: Life) -> Poll<Result<(), End>> {
        let linger = match life {
            Life::Draining(deadline) => deadline.map(Instant::from_std),
            Life::Open | Life::Ended => None,
        };
        loop {
            let Some(next) = self.due(linger) else {
                return Poll::Pending;
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(next)));
            if next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if linger.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Err(End::Ended));
            }
            if self.paused {
                self.engine.heard(now.into_std());
            }
            if let Err(error) = self.engine.on_timeout(now.into_std()) {
                return Poll::Ready(Err(End::Failed(error.into())));
            }
            let waited = self.left_until.is_some_and(|until| until <= now);
            let cools = waited && self.pipe.outbox.cool(now.into_std());
            if waited {
                self.left_until = (!cools).then_some(now + LEFT);
            }
            self.shrink(now);
            match (self.due(linger), &mut self.timer) {
                (Some(due), Some(timer)) => timer.as_mut().reset(due),
                _ => self.timer = None,
            }
            if cools || !self.engine.output().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// When there is something to do.
    #[inline]
    fn due(&self, linger: Option<Instant>) -> Option<Instant> {
        let heartbeat = self.engine.next_timeout().map(Instant::from_std);
        let idle = self.idle_at.map(|(at, _)| at);
        [linger, self.left_until, idle]
            .into_iter()
            .fold(heartbeat, |first, other| match (first, other) {
                (Some(first), Some(other)) => Some(first.min(other)),
                (first, other) => first.or(other),
            })
    }

    /// Gives back the room of empty queues, if nothing was written for a while, and what nobody reads into.
    fn shrink(&mut self, now: Instant) {
        let Some((_, before)) = self.idle_at.filter(|(at, _)| *at <= now) else {
            return;
        };
        let written = self.pipe.outbox.written();
        if written == before && self.writing.is_empty() {
            self.writing.shrink();
            self.pipe.outbox.shrink();
        }
        let again = buffers::shrink(now.into_std()) || self.writing.is_roomy();
        self.idle_at = again.then_some((now + IDLE, written));
    }
}

impl Way {
    fn of(owner: &dyn Owner, pipe: &Pipe) -> Self {
        if !owner.socket_type().row().receives {
            Self::Socket
        } else if pipe.peer().is_some_and(|peer| peer.0.muted) {
            Self::Nowhere
        } else {
            Self::Inbox
        }
    }
}

/// How often a peer may change its subscriptions: so often a second, and at once to come with all that it may have,
/// cancel it and subscribe to as much anew.
fn changes(options: &Options) -> Option<Allowance> {
    let rate = options.max_subscription_rate;
    let all = u32::try_from(options.max_subscriptions).unwrap_or(u32::MAX);
    let saved = all.saturating_mul(3).saturating_add(rate);
    (rate > 0).then(|| Allowance::new(rate, saved))
}

/// Makes room for a read: at least half a buffer.
fn make_room(read: &mut BytesMut) {
    if read.capacity() - read.len() >= buffers::ROOM / 2 {
        return;
    }
    if read.len() >= buffers::ROOM / 2 {
        // A message of many frames.
        return read.reserve(read.len());
    }
    let mut fresh = buffers::take();
    fresh.extend_from_slice(read);
    buffers::give_back(std::mem::replace(read, fresh));
}

/// Gives back what a connection does not need while nothing arrives. Whether there are many of that.
fn release(read: &mut BytesMut) -> bool {
    if read.len() > SMALL || read.capacity() <= 2 * read.len() {
        return false;
    }
    let rest = BytesMut::from(&read[..]);
    buffers::give_back(std::mem::replace(read, rest))
}

fn lost(error: io::Error) -> DisconnectCause {
    DisconnectCause::Io(Arc::new(error))
}
