//! Receiving from whichever peer is next.

use std::future::Future;
use std::iter::from_fn;
use std::sync::Arc;

use tokio::task::coop::consume_budget;

use super::Socket;
use super::core::{Core, Inbound};
use crate::error::{RecvError, TryRecvError};
use crate::message::Message;
use crate::pattern::{CanReceive, Pattern, SocketType};
use crate::pipe::{Pipe, lock};
use crate::sync::MutexGuard;

impl<P: Pattern> Socket<P> {
    /// The next message, from each peer that has one in turn, up to eight in a row.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no message is lost.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    #[doc(alias = "zmq_msg_recv")]
    pub fn recv(&self) -> impl Future<Output = Result<Message, RecvError>>
    where
        P: CanReceive,
    {
        // An async function would be one more future, through which the message is moved.
        self.core.receive(|| self.core.try_recv())
    }

    /// The next message, if one is waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is waiting, [`TryRecvError::Closed`] if the socket is closed.
    #[doc(alias = "ZMQ_DONTWAIT")]
    pub fn try_recv(&self) -> Result<Message, TryRecvError>
    where
        P: CanReceive,
    {
        self.core.try_recv()
    }

    /// Waits for a message, and puts it and what is there behind it into `messages`, at the end, up to `limit` and to 1,024 a
    /// call. How many they are: none only if `limit` is 0.
    ///
    /// They come in the order of [`recv`](Self::recv). What a call costs beside the message is paid once for all of them: so
    /// a stream of small messages is received fastest. A hundred or so at a time are best, since memory that is used again
    /// soon is at hand.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no message is lost, and `messages` is as it was.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    pub async fn recv_many(
        &self,
        messages: &mut Vec<Message>,
        limit: usize,
    ) -> Result<usize, RecvError>
    where
        P: CanReceive,
    {
        consume_budget().await;
        let attempt = || self.core.try_recv_some(messages, limit);
        self.core.receive_when_ready(attempt).await
    }

    /// Puts the messages that are waiting into `messages`, at the end, up to `limit` and to 1,024 a call. How many they are:
    /// none only if `limit` is 0.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is waiting, [`TryRecvError::Closed`] if the socket is closed.
    pub fn try_recv_many(
        &self,
        messages: &mut Vec<Message>,
        limit: usize,
    ) -> Result<usize, TryRecvError>
    where
        P: CanReceive,
    {
        self.core.try_recv_some(messages, limit)
    }
}

/// The most messages that are received by one call.
const AT_ONCE: usize = 1024;

impl Core {
    /// Waits for a message that `open` accepts; one that it does not is gone.
    pub async fn recv_with<T>(
        &self,
        mut open: impl FnMut(&Arc<Pipe>, Message) -> Option<T>,
    ) -> Result<T, RecvError> {
        self.receive(|| self.try_recv_with(&mut open)).await
    }

    /// Makes `attempt` until there is a message.
    pub async fn receive<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, TryRecvError>,
    ) -> Result<T, RecvError> {
        if self.takes_turn() {
            consume_budget().await;
        }
        match attempt() {
            Err(TryRecvError::Empty) => {}
            received => return received.map_err(|_| RecvError),
        }
        self.receive_when_ready(attempt).await
    }

    async fn receive_when_ready<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, TryRecvError>,
    ) -> Result<T, RecvError> {
        let attempt = || match attempt() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Closed) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        };
        self.pipes.readable.until(attempt).await
    }

    /// The next message, whoever sent it.
    #[inline]
    pub fn try_recv(&self) -> Result<Message, TryRecvError> {
        let mut inbound = self.inbound()?;
        // Whoever begins to wait after this look will find what is left, since it takes the lock once more before it does.
        if self.pipes.readable.is_awaited() {
            let message = self.pop(&mut inbound).ok_or(TryRecvError::Empty)?;
            self.pass_on(&mut inbound);
            return Ok(message);
        }
        self.pop(&mut inbound).ok_or(TryRecvError::Empty)
    }

    fn try_recv_some(
        &self,
        messages: &mut Vec<Message>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        // While it takes them, others may come for ever.
        let limit = limit.min(AT_ONCE);
        if limit == 0 {
            return Ok(0);
        }
        let mut inbound = self.inbound()?;
        let received = if self.filters(&inbound) {
            let wanted = from_fn(|| self.pop_matching(&mut inbound));
            let before = messages.len();
            messages.extend(wanted.take(limit));
            messages.len() - before
        } else {
            inbound.queue.pop_some(messages, limit)
        };
        if received == 0 {
            return Err(TryRecvError::Empty);
        }
        self.pass_on(&mut inbound);
        Ok(received)
    }

    #[inline]
    pub fn try_recv_with<T>(
        &self,
        mut open: impl FnMut(&Arc<Pipe>, Message) -> Option<T>,
    ) -> Result<T, TryRecvError> {
        let mut guard = self.inbound()?;
        let inbound = &mut *guard;
        loop {
            let message = self.pop(inbound).ok_or(TryRecvError::Empty)?;
            let value = inbound.queue.source().and_then(|pipe| open(pipe, message));
            let Some(value) = value else {
                inbound.dropped.count(1, |dropped| &mut dropped.malformed);
                continue;
            };
            self.pass_on(inbound);
            return Ok(value);
        }
    }

    /// What has arrived, unless the socket is closed.
    #[inline]
    fn inbound(&self) -> Result<MutexGuard<'_, Inbound>, TryRecvError> {
        if self.is_closed() {
            return Err(TryRecvError::Closed);
        }
        let mut inbound = lock(&self.inbound);
        self.collect(&mut inbound);
        Ok(inbound)
    }

    /// The next message that is wanted.
    #[inline(always)]
    fn pop(&self, inbound: &mut Inbound) -> Option<Message> {
        if self.filters(inbound) {
            self.pop_matching(inbound)
        } else {
            inbound.queue.pop()
        }
    }

    /// Whether what arrives may be unwanted. Who wants everything need not look at each message.
    #[inline(always)]
    fn filters(&self, inbound: &Inbound) -> bool {
        matches!(self.socket_type, SocketType::Sub | SocketType::XSub)
            && (self.options.invert_matching || !inbound.topics.matches(&[]))
    }

    /// S10, S11: the next message that was subscribed to.
    #[inline]
    fn pop_matching(&self, inbound: &mut Inbound) -> Option<Message> {
        loop {
            let message = inbound.queue.pop()?;
            if inbound.topics.matches(message.first()) != self.options.invert_matching {
                return Some(message);
            }
            inbound.dropped.count(1, |dropped| &mut dropped.unmatched);
        }
    }

    /// A reader has taken a message: if others wait and there are more, one of them is woken.
    #[inline]
    fn pass_on(&self, inbound: &mut Inbound) {
        if self.pipes.readable.is_awaited() && inbound.queue.has_more() {
            self.pipes.readable.pass_on();
        }
    }
}
