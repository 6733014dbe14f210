//! [`Pump`]: octets ⇄ messages, between one stream and one pipe.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Owner;
use super::sealing::Sealing;
use super::serve::good_bye_until;
use crate::message::Message;
use crate::monitor::DisconnectCause;
use crate::pipe::{Life, Pipe, Take, Writing};
use crate::transport::Stream;
use crate::zmtp::{Engine, Inbound};

/// Moves messages both ways until the connection ends.
///
/// Reading stops while the inbox is full: the peer's queue fills in turn (back-pressure through the transport).
/// Writing takes whatever the outbox holds, all at once.
pub(super) struct Pump<'a> {
    owner: &'a dyn Owner,
    pipe: &'a Arc<Pipe>,
    stream: &'a Arc<Stream>,
    engine: Engine,
    /// Octets that are read and not yet decoded.
    read: BytesMut,
    /// How much room the next read gets; follows the load.
    room: usize,
    /// Reads in a row that used little of their room.
    small_reads: u8,
    decoded: VecDeque<Message>,
    /// Messages go to the socket one by one, not to the inbox: a publisher's subscriptions.
    intercept: bool,
    /// The inbox is full, so that nothing is read and the peer's silence means nothing.
    paused: bool,
    writing: Writing,
    /// Stands between `writing` and the stream on an encrypted connection.
    sealing: Option<Sealing>,
    flush: bool,
    timer: Option<Pin<Box<Sleep>>>,
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

/// The smallest and the largest room for one read.
const MIN_ROOM: usize = 8 << 10;
const MAX_ROOM: usize = 256 << 10;
/// After so many reads of little, the room is halved.
const SMALL_READS: u8 = 16;
/// The most pieces of one write.
const SLICES: usize = 64;
/// Rounds of reading and writing before other tasks of this thread have their turn.
const ROUNDS: usize = 32;

impl<'a> Pump<'a> {
    /// `read` holds what came behind the handshake.
    pub fn new(
        owner: &'a dyn Owner,
        pipe: &'a Arc<Pipe>,
        stream: &'a Arc<Stream>,
        engine: Engine,
        sealing: Option<Sealing>,
        read: BytesMut,
    ) -> Self {
        Self {
            owner,
            pipe,
            stream,
            engine,
            read,
            room: MIN_ROOM,
            small_reads: 0,
            decoded: VecDeque::new(),
            intercept: !owner.socket_type().row().receives,
            paused: false,
            writing: Writing::default(),
            sealing,
            flush: false,
            timer: None,
        }
    }

    /// What was taken from the outbox and not written.
    pub fn into_unsent(mut self) -> Writing {
        if let Some(sealing) = self.sealing {
            sealing.settle(&mut self.writing);
        }
        self.writing
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let life = self.pipe.outbox.life(cx);
        if life == Life::Ended {
            return Poll::Ready(End::Ended);
        }
        for _ in 0..ROUNDS {
            let read = self.poll_read(cx);
            if let Poll::Ready(Err(cause)) = read {
                return Poll::Ready(End::Failed(cause));
            }
            let written = match self.poll_write(cx) {
                Poll::Ready(Ok(Take::Write)) => Poll::Ready(()),
                Poll::Ready(Ok(Take::Drained)) => {
                    return Poll::Ready(End::Drained(good_bye_until(life)));
                }
                Poll::Ready(Ok(Take::Ended)) => return Poll::Ready(End::Ended),
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

    /// Decodes what is there and reads once. `Ready` if that should be done again.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DisconnectCause>> {
        let now = Instant::now().into_std();
        loop {
            let room = if self.intercept {
                usize::MAX
            } else {
                ready!(self.poll_room(cx))
            };
            let full = self.decode(room, now)?;
            if !self.decoded.is_empty() {
                self.pipe.inbox.append(self.pipe, &mut self.decoded);
            }
            if !full {
                break;
            }
        }
        let hint = self.engine.wire_hint(&self.read);
        self.read.reserve(self.room.max(hint));
        let spare = self.read.capacity() - self.read.len();
        let n = match ready!(self.stream.poll_read(cx, &mut self.read)) {
            Ok(0) => return Poll::Ready(Err(DisconnectCause::Peer)),
            Ok(n) => n,
            Err(error) => return Poll::Ready(Err(lost(error))),
        };
        self.pipe.outbox.heard();
        self.follow_load(n, spare);
        Poll::Ready(Ok(()))
    }

    /// How many messages the inbox takes.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let room = self.pipe.inbox.poll_room(cx);
        self.paused = room.is_pending();
        room
    }

    /// Decodes up to `room` messages. `true` if there may be more.
    fn decode(&mut self, room: usize, now: std::time::Instant) -> Result<bool, DisconnectCause> {
        loop {
            let inbound = self
                .engine
                .receive(&mut self.read, now, &mut self.decoded, room)?;
            if self.intercept {
                for message in self.decoded.drain(..) {
                    self.owner.intercept(self.pipe, message)?;
                }
            }
            match inbound {
                Some(Inbound::Subscribe(topic)) => {
                    self.owner.subscription(self.pipe, true, &topic)?
                }
                Some(Inbound::Cancel(topic)) => {
                    self.owner.subscription(self.pipe, false, &topic)?
                }
                None => return Ok(self.decoded.len() >= room),
            }
        }
    }

    /// A busy connection gets a larger buffer, one that is no longer busy a smaller one.
    fn follow_load(&mut self, n: usize, spare: usize) {
        if n >= spare {
            self.room = (self.room * 2).min(MAX_ROOM);
            self.small_reads = 0;
        } else if n >= self.room / 4 {
            self.small_reads = 0;
        } else {
            self.small_reads += 1;
            if self.small_reads == SMALL_READS {
                self.room = (self.room / 2).max(MIN_ROOM);
                self.small_reads = 0;
            }
        }
    }

    /// Writes what there is. `Ready(Write)` if that should be done again.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Take, DisconnectCause>> {
        if self.writing.is_empty() {
            let commands = self.engine.output();
            let outbox = &self.pipe.outbox;
            // Nobody but this task encrypts.
            let idle = self.sealing.is_none().then_some(self.stream);
            let Poll::Ready(take) =
                outbox.poll_take(self.pipe, idle, cx, commands, &mut self.writing)
            else {
                if self.flush {
                    ready!(self.stream.poll_flush(cx)).map_err(lost)?;
                    self.flush = false;
                }
                return Poll::Pending;
            };
            if take != Take::Write {
                return Poll::Ready(Ok(take));
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
        match &mut self.sealing {
            None => self.writing.advance(n),
            Some(sealing) => sealing.advance(n, &mut self.writing),
        }
        self.flush = true;
        Poll::Ready(Ok(Take::Write))
    }

    /// Heartbeats, and the end of the linger time. One timer, armed for what comes first and touched only when it
    /// fires or something earlier is due.
    fn poll_timer(&mut self, cx: &mut Context<'_>, life: Life) -> Poll<Result<(), End>> {
        loop {
            let linger = match life {
                Life::Draining(deadline) => deadline,
                Life::Open | Life::Ended => None,
            };
            let Some(next) = [self.engine.next_timeout(), linger]
                .into_iter()
                .flatten()
                .min()
            else {
                return Poll::Pending;
            };
            let next = Instant::from_std(next);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(next)));
            if next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if linger.is_some_and(|deadline| Instant::from_std(deadline) <= now) {
                return Poll::Ready(Err(End::Ended));
            }
            if self.paused {
                self.engine.excuse_silence(now.into_std());
            }
            if let Err(error) = self.engine.on_timeout(now.into_std()) {
                return Poll::Ready(Err(End::Failed(error.into())));
            }
            let due = self.engine.next_timeout().into_iter().chain(linger).min();
            if let (Some(due), Some(timer)) = (due, &mut self.timer) {
                timer.as_mut().reset(Instant::from_std(due));
            }
            if !self.engine.output().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn lost(error: io::Error) -> DisconnectCause {
    DisconnectCause::Io(Arc::new(error))
}
