//! Subscribing and being subscribed to.

use bytes::Bytes;

use super::Socket;
use super::core::{Core, Policy};
use crate::error::{ClosedError, RecvError, SubscribeError};
use crate::message::Message;
use crate::options::Subscriptions;
use crate::pattern::{CanPublish, CanSubscribe, Pattern, XPub, parse_subscription};
use crate::pipe::{Life, PeerId, lock};

impl<P: Pattern> Socket<P> {
    /// Receives messages whose first frame starts with `topic`, from now on and from every publisher, also from those
    /// that are connected later. An empty topic matches all.
    ///
    /// Subscribing twice needs unsubscribing twice.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`] if the socket is closed.
    #[doc(alias = "ZMQ_SUBSCRIBE")]
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError>
    where
        P: CanSubscribe,
    {
        self.core.subscribe(topic.as_ref())
    }

    /// Takes a subscription back. What has arrived and is not yet read is filtered, too.
    ///
    /// # Errors
    /// [`SubscribeError::NotSubscribed`] if there is none, [`SubscribeError::Closed`] if the socket is closed.
    #[doc(alias = "ZMQ_UNSUBSCRIBE")]
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError>
    where
        P: CanSubscribe,
    {
        self.core.unsubscribe(topic.as_ref())
    }
}

impl<P: Pattern> Socket<P> {
    /// Waits until at least `n` peers have a subscription.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    ///
    /// # Errors
    /// [`ClosedError`] if the socket is closed, before or meanwhile.
    pub async fn wait_for_subscribers(&self, n: usize) -> Result<(), ClosedError>
    where
        P: CanPublish,
    {
        self.core.reaches(&self.core.subscribers, n).await
    }
}

/// What a peer of an XPUB asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subscription {
    /// It wants messages that start with this topic.
    Subscribe(PeerId, Bytes),
    /// It no longer wants them.
    Cancel(PeerId, Bytes),
    /// It sent a message that is no subscription (an XSUB can).
    Message(PeerId, Message),
}

impl Socket<XPub> {
    /// As [`recv`](Socket::recv), with the peer that asks, and told apart.
    ///
    /// # Cancel safety
    /// Dropped before it completes, nothing is lost.
    ///
    /// # Errors
    /// [`RecvError`] if the socket is closed.
    pub async fn recv_subscription(&self) -> Result<Subscription, RecvError> {
        let received = self
            .core
            .recv_with(|pipe, message| Some((pipe.id, message)))
            .await;
        received.map(|(peer, message)| match parse_subscription(&message) {
            Some((true, topic)) => Subscription::Subscribe(peer, Bytes::copy_from_slice(topic)),
            Some((false, topic)) => Subscription::Cancel(peer, Bytes::copy_from_slice(topic)),
            None => Subscription::Message(peer, message),
        })
    }

    /// Puts a subscription of `peer` into effect, under [`Subscriptions::Manual`](crate::Subscriptions::Manual). The
    /// topic need not be the one that the peer asked for. Nothing happens if the peer is gone.
    ///
    /// Under [`Subscriptions::ManualLastValue`](crate::Subscriptions::ManualLastValue) the next message goes to this
    /// peer alone.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`] if the socket is closed.
    pub fn subscribe_peer(
        &self,
        peer: PeerId,
        topic: impl AsRef<[u8]>,
    ) -> Result<(), SubscribeError> {
        self.core.decide(peer, true, topic.as_ref())
    }

    /// Ends a subscription of `peer`.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`] if the socket is closed.
    pub fn unsubscribe_peer(
        &self,
        peer: PeerId,
        topic: impl AsRef<[u8]>,
    ) -> Result<(), SubscribeError> {
        self.core.decide(peer, false, topic.as_ref())
    }
}

impl Core {
    pub fn subscribe(&self, topic: &[u8]) -> Result<(), SubscribeError> {
        if self.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let mut inbound = lock(&self.inbound);
        // S3
        if inbound.topics.insert(topic) {
            inbound
                .publishers
                .iter()
                .for_each(|pipe| pipe.outbox.push_subscription(true, topic));
        }
        Ok(())
    }

    pub fn unsubscribe(&self, topic: &[u8]) -> Result<(), SubscribeError> {
        if self.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let mut inbound = lock(&self.inbound);
        if inbound
            .topics
            .remove(topic)
            .ok_or(SubscribeError::NotSubscribed)?
        {
            inbound
                .publishers
                .iter()
                .for_each(|pipe| pipe.outbox.push_subscription(false, topic));
        }
        Ok(())
    }

    fn decide(&self, peer: PeerId, subscribe: bool, topic: &[u8]) -> Result<(), SubscribeError> {
        if self.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let pipe = lock(&self.state).pipes.get(&peer).cloned();
        let Some(pipe) = pipe else { return Ok(()) };
        if subscribe {
            if self.apply_subscription(&pipe, true, topic).is_err() {
                self.end_pipe(&pipe, Life::Ended);
            } else if self.options.subscriptions == Subscriptions::ManualLastValue {
                lock(&self.inbound).last_subscriber = Some(pipe);
            }
        } else {
            self.outgoing.with(|sending| {
                if let Policy::FanOut(fan_out) = &mut sending.policy {
                    fan_out.unsubscribe(&pipe, topic);
                    self.subscribers_changed(fan_out);
                }
            });
        }
        Ok(())
    }
}
