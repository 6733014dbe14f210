//! Sending where the socket chooses who gets a message.

use std::fmt;
use std::slice::from_ref;
use std::sync::Arc;

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use super::Socket;
use super::core::{Core, Policy};
use crate::error::{ClosedError, SendError, TrySendError};
use crate::message::Message;
use crate::options::{OnFull, Subscriptions};
use crate::pattern::{CanReserve, CanSend, Pattern, SocketType, parse_subscription};
use crate::pipe::{Claim, Pipe, Push, Sending, lock};
use crate::routing::{Dealt, Fanned};

/// What became of a message.
pub(super) enum Sent {
    Done,
    /// Queued, and much waits for several peers that share it: see [`Core::write_shared`].
    Due,
    Full,
    /// Its sender had better wait until the session of this pipe has caught up.
    Ahead(Arc<Pipe>),
    /// Its sender had better let go of its thread: it has made so many copies that the sessions have to have their turn.
    Tired,
    Closed,
}

impl<P: Pattern> Socket<P> {
    /// Sends `message`.
    ///
    /// PUSH, DEALER and PAIR give it to the next peer in turn, and wait while every peer is full or there is none. PUB,
    /// XPUB and XSUB copy it to every peer that wants it and never wait: a peer whose queue is full misses it, which
    /// [`stats`](Self::stats) count (but see [`OnFull::Wait`]).
    ///
    /// `Ok` means that the whole message is queued or handed to the operating system, not that it has arrived. A sender that is
    /// a mebibyte ahead of a connection waits while that writes fast (1 MiB in 5 ms), also if there is room in the
    /// queue: memory is filled for a peer that does not keep up, and for no other. What a publisher or a PUSH has queued in a
    /// tight loop leaves when its task lets go of its thread, and a millisecond or two later if it does not, or if it is no task
    /// and the loop was long.
    ///
    /// # Cancel safety
    /// Dropped before it completes, nothing was queued. To keep the message, use [`reserve`](Self::reserve) or
    /// [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`SendError`] if the socket is closed; it carries the message back.
    #[doc(alias = "zmq_msg_send")]
    #[inline]
    pub fn send(&self, message: impl Into<Message>) -> impl Future<Output = Result<(), SendError>>
    where
        P: CanSend,
    {
        // An async function would keep its argument beside the message and move the one to the other: a fifth of the
        // time that a small message takes here.
        let message = message.into();
        async move {
            if self.core.takes_turn() {
                consume_budget().await;
            }
            match self.core.try_send(&message, Claim::Paced) {
                Sent::Done | Sent::Due => Ok(()),
                Sent::Full | Sent::Ahead(_) | Sent::Tired => {
                    let sent = self.core.send_when_ready(&message).await;
                    sent.map_err(|_| SendError::of(message))
                }
                Sent::Closed => Err(SendError::of(message)),
            }
        }
    }

    /// Sends `message` if that is possible without waiting.
    ///
    /// # Errors
    /// [`TrySendError`] carries the message back.
    #[doc(alias = "ZMQ_DONTWAIT")]
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError>
    where
        P: CanSend,
    {
        self.try_send_as(Claim::Turn, message.into())
    }

    /// The same, or, with [`Claim::Paced`], if [`send`](Self::send) would not wait.
    pub(crate) fn try_send_as(&self, claim: Claim, message: Message) -> Result<(), TrySendError> {
        match self.core.try_send(&message, claim) {
            Sent::Done | Sent::Due => Ok(()),
            Sent::Full | Sent::Ahead(_) | Sent::Tired => Err(TrySendError::Full(message)),
            Sent::Closed => Err(TrySendError::Closed(message)),
        }
    }
}

impl<P: Pattern> Socket<P> {
    /// Sends all of `messages` in their order, each as [`send`](Self::send) does, and leaves the vector empty.
    ///
    /// What a call costs beside the message is paid once for many of them: so a stream of small messages is sent fastest.
    /// A call takes its turn among others that send by the same socket after some dozens of messages.
    ///
    /// ```
    /// # use jackstay::{Message, PullSocket, PushSocket};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (push, pull) = (PushSocket::new(), PullSocket::new());
    /// # push.connect(pull.bind("inproc://readings").await?)?;
    /// let mut readings: Vec<Message> = (0..100).map(|n| format!("reading {n}").into()).collect();
    /// push.send_many(&mut readings).await?;
    /// assert!(readings.is_empty());
    ///
    /// let mut arrived = Vec::new();
    /// while arrived.len() < 100 {
    ///     pull.recv_many(&mut arrived, 100).await?;
    /// }
    /// assert_eq!(arrived[99], "reading 99");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropped before it completes, what is not in `messages` any more was sent, and what still is was not.
    ///
    /// # Errors
    /// [`ClosedError`] if the socket is closed. What was not sent is still in `messages`.
    pub async fn send_many(&self, messages: &mut Vec<Message>) -> Result<(), ClosedError>
    where
        P: CanSend,
    {
        let mut sending = SendingMany { messages, sent: 0 };
        while !sending.rest().is_empty() {
            consume_budget().await;
            let (sent, outcome) = self.core.try_send_some(sending.rest(), Claim::Paced);
            sending.sent += sent;
            match outcome {
                Sent::Done | Sent::Due => {}
                Sent::Full | Sent::Ahead(_) | Sent::Tired => {
                    let [next, ..] = sending.rest() else { break };
                    self.core.send_when_ready(next).await?;
                    sending.sent += 1;
                }
                Sent::Closed => return Err(ClosedError),
            }
        }
        Ok(())
    }

    /// Sends the first of `messages` as far as that is possible without waiting, and takes them out of the vector. How many
    /// they were.
    ///
    /// # Errors
    /// [`ClosedError`] if the socket is closed. What was not sent is still in `messages`.
    pub fn try_send_many(&self, messages: &mut Vec<Message>) -> Result<usize, ClosedError>
    where
        P: CanSend,
    {
        self.try_send_many_as(Claim::Turn, messages)
    }

    /// The same, or, with [`Claim::Paced`], as far as [`send_many`](Self::send_many) would not wait.
    pub(crate) fn try_send_many_as(
        &self,
        claim: Claim,
        messages: &mut Vec<Message>,
    ) -> Result<usize, ClosedError> {
        let mut sending = SendingMany { messages, sent: 0 };
        while !sending.rest().is_empty() {
            let (sent, outcome) = self.core.try_send_some(sending.rest(), claim);
            sending.sent += sent;
            match outcome {
                Sent::Done | Sent::Due => {}
                Sent::Full | Sent::Ahead(_) | Sent::Tired => break,
                Sent::Closed => return Err(ClosedError),
            }
        }
        Ok(sending.sent)
    }
}

/// Messages on their way. Dropped, it takes out of the vector what was sent.
struct SendingMany<'a> {
    messages: &'a mut Vec<Message>,
    sent: usize,
}

impl SendingMany<'_> {
    fn rest(&self) -> &[Message] {
        self.messages.get(self.sent..).unwrap_or_default()
    }
}

impl Drop for SendingMany<'_> {
    fn drop(&mut self) {
        self.messages.drain(..self.sent);
    }
}

impl<P: Pattern> Socket<P> {
    /// Waits for a peer with room and keeps a place there: the message can be made when it is sure to be taken.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no place is kept.
    ///
    /// # Errors
    /// [`ClosedError`] if the socket is closed.
    pub async fn reserve(&self) -> Result<Permit<'_>, ClosedError>
    where
        P: CanReserve,
    {
        consume_budget().await;
        let reserved = self
            .core
            .pipes
            .writable
            .until(|| self.core.try_reserve())
            .await;
        let pipe = Some(reserved.ok_or(ClosedError)?);
        Ok(Permit {
            core: &self.core,
            pipe,
        })
    }
}

/// A place for one message, kept at the peer whose turn it is. Dropped, it gives the place back.
pub struct Permit<'a> {
    core: &'a Core,
    /// `None` once it is used.
    pipe: Option<Arc<Pipe>>,
}

impl Permit<'_> {
    /// Sends `message` to the peer of this permit, without waiting.
    ///
    /// # Errors
    /// [`TrySendError`] gives the message back if the peer or the socket went away in the meantime.
    pub fn send(mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        let Some(pipe) = self.pipe.take() else {
            return Err(TrySendError::Full(message));
        };
        let pushed = pipe.outbox.push(&message, Claim::Reserved);
        pipe.outbox.announce_if_room(&pipe);
        match pushed {
            Push::Done { .. } => Ok(()),
            Push::Full | Push::Ahead | Push::Closed if self.core.is_closed() => {
                Err(TrySendError::Closed(message))
            }
            Push::Full | Push::Ahead | Push::Closed => Err(TrySendError::Full(message)),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.outbox.release(&pipe);
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl Core {
    async fn send_when_ready(&self, message: &Message) -> Result<(), ClosedError> {
        let attempt = || match self.try_send(message, Claim::Paced) {
            Sent::Full => None,
            sent => Some(sent),
        };
        loop {
            match self.pipes.writable.until(attempt).await {
                Sent::Done | Sent::Due => return Ok(()),
                Sent::Ahead(pipe) => pipe.outbox.caught_up().await,
                Sent::Tired => {
                    yield_now().await;
                    self.outgoing.with(|sending| {
                        if let Policy::FanOut(fan_out) = &mut sending.policy {
                            fan_out.rested();
                        }
                    });
                }
                Sent::Full | Sent::Closed => return Err(ClosedError),
            }
        }
    }

    #[inline]
    pub fn try_send(&self, message: &Message, claim: Claim) -> Sent {
        if let Some(sent) = self.send_otherwise(message) {
            return sent;
        }
        let sent = self
            .outgoing
            .with(|sending| self.give_out(sending, from_ref(message), claim).1);
        match sent {
            Sent::Due => self.write_shared(),
            sent => sent,
        }
    }

    /// Sends the first of `messages`, as many as one lock is taken for. How many; and what became of the last that was tried.
    fn try_send_some(&self, messages: &[Message], claim: Claim) -> (usize, Sent) {
        let Some(first) = messages.first() else {
            return (0, Sent::Done);
        };
        if let Some(sent) = self.send_otherwise(first) {
            return (usize::from(matches!(sent, Sent::Done)), sent);
        }
        let some = messages.get(..self.together).unwrap_or(messages);
        let (sent, outcome) = self
            .outgoing
            .with(|sending| self.give_out(sending, some, claim));
        match outcome {
            Sent::Due => (sent, self.write_shared()),
            outcome => (sent, outcome),
        }
    }

    /// What became of `message`, if no policy chooses who gets it.
    #[inline(always)]
    fn send_otherwise(&self, message: &Message) -> Option<Sent> {
        if self.is_closed() {
            return Some(Sent::Closed);
        }
        // S12: an XSUB subscribes by messages, too.
        if self.socket_type == SocketType::XSub
            && let Some((subscribe, topic)) = parse_subscription(message)
        {
            // Cancelling what was not subscribed is nothing.
            let _ = if subscribe {
                self.subscribe(topic)
            } else {
                self.unsubscribe(topic)
            };
            return Some(Sent::Done);
        }
        if self.options.subscriptions == Subscriptions::ManualLastValue {
            return self.send_to_last_subscriber(message);
        }
        None
    }

    /// Gives out `messages`, of which there is one at least, by the policy until one cannot be sent. How many; and what became
    /// of the last that was tried.
    #[inline(always)]
    fn give_out(
        &self,
        sending: &mut Sending<Policy>,
        messages: &[Message],
        claim: Claim,
    ) -> (usize, Sent) {
        let queues = &mut sending.queues;
        let mut sent = 0;
        let outcome = match &mut sending.policy {
            Policy::LoadBalance(balance) => {
                self.pipes.writable.drain(|pipe| balance.add(pipe));
                loop {
                    let (some, dealt) = balance.try_send_some(queues, &messages[sent..], claim);
                    sent += some;
                    match dealt {
                        Dealt::To(_) if sent < messages.len() => {}
                        Dealt::To(_) => break Sent::Done,
                        Dealt::Ahead(pipe) => break Sent::Ahead(pipe.clone()),
                        Dealt::Nobody => break Sent::Full,
                    }
                }
            }
            Policy::FanOut(fan_out) => loop {
                if claim == Claim::Paced && fan_out.is_tired() {
                    break Sent::Tired;
                }
                let waits = self.options.on_full == OnFull::Wait;
                let fanned = fan_out.send(queues, &messages[sent], waits);
                sent += usize::from(fanned != Fanned::Full);
                match fanned {
                    Fanned::Done if sent < messages.len() => {}
                    Fanned::Done => break Sent::Done,
                    Fanned::Due => break Sent::Due,
                    Fanned::Full => break Sent::Full,
                }
            },
            Policy::ByPeer(_) | Policy::None => Sent::Full,
        };
        (sent, outcome)
    }

    /// Writes what several peers share, one after the other: others may need the lock meanwhile.
    #[cold]
    fn write_shared(&self) -> Sent {
        while self.outgoing.with(|sending| sending.queues.write_next()) {}
        Sent::Done
    }

    /// Sends to the peer alone whose subscription was put into effect last, if no message was sent since.
    fn send_to_last_subscriber(&self, message: &Message) -> Option<Sent> {
        let mut inbound = lock(&self.inbound);
        let waits = self.options.on_full == OnFull::Wait;
        self.outgoing.with(|sending| {
            let Policy::FanOut(fan_out) = &mut sending.policy else {
                return None;
            };
            let queues = &mut sending.queues;
            let last = &mut inbound.last_subscriber;
            if waits && last.as_ref()?.outbox.is_full(queues) {
                return Some(Sent::Full);
            }
            fan_out.send_to(queues, &last.take()?, message);
            Some(Sent::Done)
        })
    }

    /// Sends to the next peer in turn and tells which.
    pub fn try_ask(&self, message: &Message) -> Option<Arc<Pipe>> {
        self.outgoing.with(|sending| {
            let Policy::LoadBalance(balance) = &mut sending.policy else {
                return None;
            };
            self.pipes.writable.drain(|pipe| balance.add(pipe));
            match balance.try_send(&mut sending.queues, message, Claim::Turn) {
                Dealt::To(pipe) => Some(pipe.clone()),
                Dealt::Ahead(_) | Dealt::Nobody => None,
            }
        })
    }

    /// `Some(None)` if the socket is closed.
    fn try_reserve(&self) -> Option<Option<Arc<Pipe>>> {
        if self.is_closed() {
            return Some(None);
        }
        self.outgoing.with(|sending| {
            let Policy::LoadBalance(balance) = &mut sending.policy else {
                return None;
            };
            self.pipes.writable.drain(|pipe| balance.add(pipe));
            balance.reserve(&mut sending.queues).map(Some)
        })
    }
}
