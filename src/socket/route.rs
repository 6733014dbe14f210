//! ROUTER: receiving with the name of the peer, sending to the peer that is named.

use std::sync::Arc;

use tokio::task::coop::consume_budget;

use super::Socket;
use super::core::{Core, Policy};
use crate::error::{RecvError, SendToError, TryRecvError};
use crate::identity::Identity;
use crate::message::Message;
use crate::monitor::PeerInfo;
use crate::options::Unroutable;
use crate::pattern::Router;
use crate::pipe::{Claim, Pipe, Push, lock};

impl Socket<Router> {
    /// Sends `message` to the peer with this identity.
    ///
    /// What happens to a message for an unknown or a full peer is up to [`Unroutable`]; by default it is dropped and
    /// counted.
    ///
    /// # Cancel safety
    /// Dropped before it completes, nothing was queued.
    ///
    /// # Errors
    /// [`SendToError`] carries the message back.
    pub async fn send_to(
        &self,
        peer: &Identity,
        message: impl Into<Message>,
    ) -> Result<(), SendToError> {
        let message = message.into();
        consume_budget().await;
        if self.core.options.unroutable != Unroutable::Wait {
            return self.core.route(peer, message);
        }
        // The closure cannot give the message away at each attempt.
        let mut message = Some(message);
        let attempt = || match self.core.route(peer, message.take()?) {
            Err(SendToError::Full(back)) => {
                message = Some(back);
                None
            }
            outcome => Some(outcome),
        };
        self.core.pipes.writable.until(attempt).await
    }

    /// Sends `message` to the peer with this identity if that is possible without waiting.
    ///
    /// # Errors
    /// [`SendToError`] carries the message back. [`SendToError::Full`] is an error here unless [`Unroutable::Drop`] is
    /// chosen.
    pub fn try_send_to(
        &self,
        peer: &Identity,
        message: impl Into<Message>,
    ) -> Result<(), SendToError> {
        self.core.route(peer, message.into())
    }

    /// The next message and the identity of the peer that sent it, from each peer that has one in turn, up to eight in a
    /// row.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no message is lost.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    pub async fn recv_from(&self) -> Result<(Identity, Message), RecvError> {
        self.core.recv_with(with_identity).await
    }

    /// The next message and the identity of the peer that sent it, if one is waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is waiting, [`TryRecvError::Closed`] if the socket is closed.
    pub fn try_recv_from(&self) -> Result<(Identity, Message), TryRecvError> {
        self.core.try_recv_with(with_identity)
    }

    /// The next message and what is known of the peer that sent it, such as its principal, from each peer that has one in
    /// turn.
    ///
    /// It is the peer of the connection that the message came through, also if that is gone and somebody else has its
    /// identity now. Only of a peer that was reached by [`connect_as`](Self::connect_as), who keeps its queues when the
    /// connection is lost, it is the one that is there now.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no message is lost.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    #[doc(alias = "zmq_msg_gets")]
    pub async fn recv_with_peer(&self) -> Result<(PeerInfo, Message), RecvError> {
        self.core.recv_with(with_peer).await
    }

    /// The next message and what is known of the peer that sent it, if one is waiting. See
    /// [`recv_with_peer`](Self::recv_with_peer).
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is waiting, [`TryRecvError::Closed`] if the socket is closed.
    pub fn try_recv_with_peer(&self) -> Result<(PeerInfo, Message), TryRecvError> {
        self.core.try_recv_with(with_peer)
    }
}

pub(super) fn with_identity(pipe: &Arc<Pipe>, message: Message) -> Option<(Identity, Message)> {
    Some((pipe.peer()?.identity().clone(), message))
}

fn with_peer(pipe: &Arc<Pipe>, message: Message) -> Option<(PeerInfo, Message)> {
    Some((pipe.peer()?, message))
}

impl Core {
    pub fn route(&self, peer: &Identity, message: Message) -> Result<(), SendToError> {
        if self.is_closed() {
            return Err(SendToError::Closed(message));
        }
        let drops = self.options.unroutable == Unroutable::Drop;
        let claim = if drops { Claim::Drop } else { Claim::Turn };
        let pushed = self.outgoing.with(|sending| match &sending.policy {
            Policy::ByPeer(by_peer) => by_peer
                .find(peer)
                .map(|pipe| pipe.outbox.try_push(&mut sending.queues, &message, claim)),
            _ => None,
        });
        match pushed {
            Some(Push::Done { .. }) => Ok(()),
            Some(Push::Full) if drops => Ok(()),
            Some(Push::Full | Push::Ahead) => Err(SendToError::Full(message)),
            // R9
            Some(Push::Closed) | None if drops => {
                lock(&self.inbound)
                    .dropped
                    .count(1, |dropped| &mut dropped.unroutable);
                Ok(())
            }
            Some(Push::Closed) | None => Err(SendToError::Unroutable(message)),
        }
    }
}
