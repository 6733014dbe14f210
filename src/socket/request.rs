//! REQ and REP: a request is a borrow, a reply consumes its request.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::coop::consume_budget;

use super::Socket;
use super::core::Core;
use crate::error::{RecvError, RequestError, SendError, TryRecvError};
use crate::message::Message;
use crate::monitor::PeerInfo;
use crate::options::OnPeerLoss;
use crate::pattern::{Rep, Req, enclose, open_reply, split_envelope};
use crate::pipe::{Claim, Pipe, Push, lock};

impl Socket<Req> {
    /// Asks the next peer in turn and waits for its reply. With no peer that has room, it waits for one.
    ///
    /// Requests alternate with replies because this borrows the socket. Put a `timeout` around it: when it is dropped,
    /// the request is abandoned and its late reply never shows up. Without [`correlate`](crate::Builder::correlate)
    /// that costs the connection to the asked peer, which is made anew; with it, a number tells replies apart.
    ///
    /// # Cancel safety
    /// Dropped before it completes, the request is abandoned; the peer may carry it out or not.
    ///
    /// # Errors
    /// [`RequestError::PeerLost`] if the asked peer is gone and [`OnPeerLoss::Error`] is chosen (default);
    /// [`RequestError::Closed`] if the socket is closed. Both carry the message back.
    #[doc(alias = "ZMQ_REQ_RELAXED")]
    pub async fn request(&mut self, message: impl Into<Message>) -> Result<Message, RequestError> {
        let message = message.into();
        consume_budget().await;
        loop {
            let number = self
                .core
                .options
                .correlate
                .then(|| self.core.next_request());
            let request = enclose(message.clone(), number);
            let ask = || match self.core.is_closed() {
                true => Some(None),
                false => self.core.try_ask(&request).map(Some),
            };
            let Some(pipe) = self.core.pipes.writable.until(ask).await else {
                return Err(RequestError::Closed(message));
            };
            let mut asked = Asked {
                core: &self.core,
                pipe,
                number,
                answered: false,
            };
            match self.core.pipes.readable.until(|| asked.answer()).await {
                Answer::Reply(reply) => return Ok(reply),
                Answer::Closed => return Err(RequestError::Closed(message)),
                Answer::PeerLost => match self.core.options.on_peer_loss {
                    OnPeerLoss::Error => return Err(RequestError::PeerLost(message)),
                    OnPeerLoss::Resend => {}
                },
            }
        }
    }
}

/// A request under way; dropped without an answer, it is abandoned.
struct Asked<'a> {
    core: &'a Core,
    pipe: Arc<Pipe>,
    number: Option<u32>,
    answered: bool,
}

enum Answer {
    Reply(Message),
    PeerLost,
    Closed,
}

impl Asked<'_> {
    fn answer(&mut self) -> Option<Answer> {
        let mut guard = lock(&self.core.inbound);
        let inbound = &mut *guard;
        // Looked at first: what came before the loss is in the queue then.
        let lost = self.pipe.outbox.is_lost();
        self.core.collect(inbound);
        while let Some(message) = inbound.queue.pop() {
            // R2
            if !inbound
                .queue
                .source()
                .is_some_and(|pipe| Arc::ptr_eq(pipe, &self.pipe))
            {
                inbound.dropped.count(1, |dropped| &mut dropped.unexpected);
                continue;
            }
            match open_reply(message, self.number) {
                Some(reply) => {
                    self.answered = true;
                    return Some(Answer::Reply(reply));
                }
                // R3; with a number, it is as likely the reply to an abandoned request.
                None if self.number.is_some() => {
                    inbound.dropped.count(1, |dropped| &mut dropped.unexpected)
                }
                None => inbound.dropped.count(1, |dropped| &mut dropped.malformed),
            }
        }
        if self.core.is_closed() {
            return Some(Answer::Closed);
        }
        lost.then(|| {
            self.answered = true;
            Answer::PeerLost
        })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.answered || self.pipe.outbox.withdraw(&self.pipe) || self.number.is_some() {
            return;
        }
        // Nothing tells a late reply from the next one but the connection that it comes through.
        self.pipe.retire();
    }
}

impl Socket<Rep> {
    /// The next request, from each peer that has one in turn, up to eight in a row.
    ///
    /// Several may be open at once, and each may be moved to a task of its own: a [`Request`] knows whom to reply to.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no request is lost.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    pub async fn accept(&self) -> Result<Request, RecvError> {
        self.core
            .recv_with(|pipe, message| Request::open(&self.core, pipe, message))
            .await
    }

    /// The next request, if one is waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is waiting, [`TryRecvError::Closed`] if the socket is closed.
    pub fn try_accept(&self) -> Result<Request, TryRecvError> {
        self.core
            .try_recv_with(|pipe, message| Request::open(&self.core, pipe, message))
    }
}

/// A request and the way back to who asked. Dropped, it stays without a reply.
///
/// Dereferences to its [`Message`].
pub struct Request {
    core: Arc<Core>,
    /// Of the one connection that it came through.
    pipe: Arc<Pipe>,
    envelope: Vec<Bytes>,
    message: Message,
}

impl Request {
    fn open(core: &Arc<Core>, pipe: &Arc<Pipe>, message: Message) -> Option<Self> {
        let (envelope, message) = split_envelope(message)?;
        Some(Self {
            core: core.clone(),
            pipe: pipe.clone(),
            envelope,
            message,
        })
    }

    /// What was asked.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Who asked.
    #[must_use]
    pub fn peer(&self) -> Option<PeerInfo> {
        self.pipe.peer()
    }

    /// Sends the reply, and with that ends the request. It never waits (R6).
    ///
    /// A requester that is gone, or that reads so slowly that its queue is full, misses its reply; that is counted in
    /// [`Stats::dropped`](crate::Stats::dropped) and is no error of yours.
    ///
    /// # Cancel safety
    /// It completes at its first poll.
    ///
    /// # Errors
    /// [`SendError`] if the socket is closed.
    pub async fn reply(self, message: impl Into<Message>) -> Result<(), SendError> {
        self.reply_now(message.into())
    }

    pub(crate) fn reply_now(self, message: Message) -> Result<(), SendError> {
        if self.core.is_closed() {
            return Err(SendError::of(message));
        }
        let mut frames = self.envelope;
        message.append_to(&mut frames);
        let reply = Message::from_vec(frames).unwrap_or_default();
        match self.pipe.outbox.push(&reply, Claim::Drop) {
            Push::Done { .. } | Push::Full | Push::Ahead => {}
            Push::Closed => lock(&self.core.inbound)
                .dropped
                .count(1, |dropped| &mut dropped.unroutable),
        }
        Ok(())
    }
}

impl Deref for Request {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("peer", &self.pipe.id)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
