//! The healthy peer beside a hostile one.

use std::future::Future;

use jackstay::zmtp::{HandshakeError, ProtocolError};
use jackstay::{DisconnectCause, Endpoint, EventKind, Monitor, PullSocket, PushSocket};

use crate::support::{Transport, join, number_of, numbered, within};

/// A PULL socket under attack, and a healthy peer of it.
pub struct Attacked {
    pub pull: PullSocket,
    pub at: Endpoint,
    push: PushSocket,
    exchanged: usize,
}

impl Attacked {
    pub async fn new(pull: PullSocket) -> Self {
        Self::with(pull, PushSocket::new()).await
    }

    /// With this healthy peer.
    pub async fn with(pull: PullSocket, push: PushSocket) -> Self {
        let at = join(&pull, &push, Transport::Tcp).await;
        Self {
            pull,
            at,
            push,
            exchanged: 0,
        }
    }

    /// Exchanges messages with the healthy peer for as long as `attack` lasts, and a few more. Whatever else arrives
    /// fails the test.
    pub async fn during<T>(&mut self, attack: impl Future<Output = T>) -> T {
        let mut n = self.exchanged;
        let healthy = async {
            loop {
                self.push.send(numbered(n)).await.expect("it is open");
                let message = within(self.pull.recv()).await.expect("it is open");
                assert_eq!(number_of(&message), n, "{message:?}");
                n += 1;
                // Leaves the attacker some time on a single thread.
                tokio::task::yield_now().await;
            }
        };
        let outcome = tokio::select! {
            outcome = within(attack) => outcome,
            () = healthy => unreachable!("it has no end"),
        };
        // The message that was under way.
        self.exchanged = n;
        while self.pull.stats().messages_received < self.push.stats().messages_sent {
            tokio::task::yield_now().await;
        }
        while self.pull.try_recv().is_ok() {
            self.exchanged += 1;
        }
        self.exchange(10).await;
        outcome
    }

    /// As [`during`](Self::during), until a connection ends as well; returns why it did. The attack is told where this
    /// socket is bound.
    pub async fn end_of(&mut self, attack: impl AsyncFnOnce(Endpoint)) -> Cause {
        let mut events = self.pull.monitor();
        let at = self.at.clone();
        self.during(async {
            attack(at).await;
            end(&mut events).await
        })
        .await
    }

    pub async fn exchange(&mut self, messages: usize) {
        for _ in 0..messages {
            self.push
                .send(numbered(self.exchanged))
                .await
                .expect("it is open");
            let message = within(self.pull.recv()).await.expect("it is open");
            assert_eq!(number_of(&message), self.exchanged, "{message:?}");
            self.exchanged += 1;
        }
        assert_eq!(self.push.peers().len(), 1);
    }
}

/// Why a connection ended.
#[derive(Debug, PartialEq)]
pub enum Cause {
    Handshake(HandshakeError),
    Protocol(ProtocolError),
    /// The peer closed it after the handshake.
    Peer,
}

impl Cause {
    pub fn of(kind: &EventKind) -> Option<Self> {
        match kind {
            EventKind::HandshakeFailed(error) => Some(Self::Handshake(error.clone())),
            EventKind::Disconnected(DisconnectCause::Protocol(error)) => {
                Some(Self::Protocol(error.clone()))
            }
            EventKind::Disconnected(_) => Some(Self::Peer),
            _ => None,
        }
    }
}

/// Waits for the end of a connection and returns its cause.
pub async fn end(events: &mut Monitor) -> Cause {
    loop {
        let event = within(events.recv()).await.expect("the socket lives");
        if let Some(cause) = Cause::of(&event.kind) {
            return cause;
        }
    }
}
