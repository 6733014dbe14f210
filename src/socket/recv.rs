//! Receiving from whichever peer is next.

use std::sync::Arc;

use tokio::task::coop::consume_budget;

use super::Socket;
use super::core::Core;
use crate::error::{RecvError, TryRecvError};
use crate::message::Message;
use crate::pattern::{CanReceive, Pattern, SocketType};
use crate::pipe::{Pipe, lock};

impl<P: Pattern> Socket<P> {
    /// The next message, from each peer that has one in turn, up to eight in a row.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no message is lost.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    #[doc(alias = "zmq_msg_recv")]
    pub async fn recv(&self) -> Result<Message, RecvError>
    where
        P: CanReceive,
    {
        self.core.recv_with(|_, message| Some(message)).await
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
        self.core.try_recv_with(|_, message| Some(message))
    }
}

impl Core {
    /// Waits for a message that `open` accepts; one that it does not is gone.
    pub async fn recv_with<T>(
        &self,
        mut open: impl FnMut(&Arc<Pipe>, Message) -> Option<T>,
    ) -> Result<T, RecvError> {
        if self.takes_turn() {
            consume_budget().await;
        }
        match self.try_recv_with(&mut open) {
            Ok(value) => Ok(value),
            Err(TryRecvError::Closed) => Err(RecvError),
            Err(TryRecvError::Empty) => self.recv_when_ready(open).await,
        }
    }

    async fn recv_when_ready<T>(
        &self,
        mut open: impl FnMut(&Arc<Pipe>, Message) -> Option<T>,
    ) -> Result<T, RecvError> {
        let attempt = || match self.try_recv_with(&mut open) {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Closed) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        };
        self.pipes.readable.until(attempt).await
    }

    #[inline]
    pub fn try_recv_with<T>(
        &self,
        mut open: impl FnMut(&Arc<Pipe>, Message) -> Option<T>,
    ) -> Result<T, TryRecvError> {
        if self.is_closed() {
            return Err(TryRecvError::Closed);
        }
        let mut guard = lock(&self.inbound);
        let inbound = &mut *guard;
        self.collect(inbound);
        while let Some(message) = inbound.queue.pop() {
            match self.socket_type {
                // S10, S11
                SocketType::Sub | SocketType::XSub
                    if inbound.topics.matches(message.first()) == self.options.invert_matching =>
                {
                    inbound.dropped.count(1, |dropped| &mut dropped.unmatched);
                    continue;
                }
                _ => {}
            }
            let value = inbound.queue.source().and_then(|pipe| open(pipe, message));
            let Some(value) = value else {
                inbound.dropped.count(1, |dropped| &mut dropped.malformed);
                continue;
            };
            if self.pipes.readable.is_awaited() && inbound.queue.has_more() {
                self.pipes.readable.pass_on();
            }
            return Ok(value);
        }
        Err(TryRecvError::Empty)
    }
}
