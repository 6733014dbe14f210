//! Errors, one small type per operation. Each says what the caller can do, and gives an unsent message back.
//!
//! What a *peer* does wrong never fails a call of yours: it closes that peer's connection and is told to the
//! [`Monitor`](crate::Monitor).

use std::io;

use thiserror::Error;

use crate::endpoint::{Endpoint, ParseEndpointError};
use crate::message::Message;

/// The socket is closed; the message comes back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the socket is closed; the message was not sent")]
pub struct SendError(
    // In a box: a result as large as a message would be moved with every message that was sent.
    Box<Message>,
);

impl SendError {
    pub(crate) fn of(message: Message) -> Self {
        Self(Box::new(message))
    }

    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        *self.0
    }
}

/// Why a message could not be sent at once. The message comes back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrySendError {
    /// No peer has room, or there is no peer: wait with `send`, or shed load.
    #[error("no peer has room below its high-water mark; wait with `send` or drop the message")]
    Full(Message),
    /// The socket is closed.
    #[error("the socket is closed; the message was not sent")]
    Closed(Message),
}

impl TrySendError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

/// The socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the socket is closed")]
pub struct RecvError;

/// The socket is closed; no place was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the socket is closed")]
pub struct ClosedError;

/// Why nothing was received at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TryRecvError {
    /// Nothing has arrived yet: wait with `recv`.
    #[error("no message is waiting")]
    Empty,
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why a message could not be sent to a peer by its identity. The message comes back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendToError {
    /// No connected peer has this identity. Only told under [`Unroutable::Error`](crate::Unroutable::Error) and
    /// [`Unroutable::Wait`](crate::Unroutable::Wait); the default drops and counts the message.
    #[error("no connected peer has this identity")]
    Unroutable(Message),
    /// The peer's queue is at its mark (`try_send_to`, or [`Unroutable::Error`](crate::Unroutable::Error)).
    #[error("the peer's queue is at its high-water mark")]
    Full(Message),
    /// The socket is closed.
    #[error("the socket is closed; the message was not sent")]
    Closed(Message),
}

/// Why a request got no reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The peer that was asked is gone, and its reply with it. The request may or may not have been carried out:
    /// send it again if it is safe to do so, or choose [`OnPeerLoss::Resend`](crate::OnPeerLoss::Resend).
    #[error("the peer that was asked is gone; whether it carried out the request is unknown")]
    PeerLost(Message),
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed(Message),
}

/// Why an endpoint could not be bound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The endpoint could not be read.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// The operating system refused: the address is in use, not ours, or not allowed.
    #[error("cannot bind {endpoint}: {source}")]
    Io {
        /// The endpoint that was asked for.
        endpoint: Endpoint,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The operating system does not tell where an adopted listener listens.
    #[error("cannot tell where the listener listens: {0}")]
    Address(#[source] io::Error),
    /// Called outside a Tokio runtime; connections need one to run on.
    #[error("bind needs a Tokio runtime: call it inside one, or use `jackstay::blocking`")]
    NoRuntime,
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why an endpoint could not be registered for connecting.
///
/// An unreachable peer is *not* an error: the socket goes on trying, and tells the [`Monitor`](crate::Monitor).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint could not be read.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// Called outside a Tokio runtime; connections need one to run on.
    #[error("connect needs a Tokio runtime: call it inside one, or use `jackstay::blocking`")]
    NoRuntime,
    /// This socket has a single peer already (PAIR).
    #[error("this socket type has one peer, and has it already; disconnect it first")]
    HasPeer,
    /// Another peer has this identity already (`connect_as`).
    #[error("another peer of this socket has this identity already")]
    IdentityTaken,
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why an endpoint could not be taken away.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The endpoint could not be read.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// The socket is neither bound nor connected to this endpoint. [`Socket::endpoints`](crate::Socket::endpoints)
    /// lists those it has.
    #[error("{0} is not an endpoint of this socket; `endpoints()` lists those it has")]
    Unknown(Endpoint),
    /// The endpoint is gone, but not everything queued for it could be delivered within the linger time.
    #[error(transparent)]
    Undelivered(#[from] Undelivered),
}

/// What could not be delivered within the linger time; these messages are lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Error)]
#[error("{messages} messages for {peers} peers were not delivered within the linger time")]
pub struct Undelivered {
    pub(crate) messages: usize,
    pub(crate) peers: usize,
}

impl Undelivered {
    /// How many messages were not handed to the operating system. Those that were may still be lost with the peer.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// For how many peers they were.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers
    }
}

/// The socket is closed, or has more subscriptions than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
    /// There is no such subscription to take back.
    #[error("there is no subscription to this topic")]
    NotSubscribed,
}

/// An option's value that cannot work. Returned when the value is made, so that no socket ever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidOption {
    /// A heartbeat TTL travels in tenths of a second, of which libzmq understands up to 655.
    #[error("a heartbeat TTL is at most 65.5 seconds")]
    HeartbeatTtl,
    /// An interval of zero would send without pause.
    #[error("a heartbeat interval must be longer than zero")]
    HeartbeatInterval,
    /// An identity that starts with a zero octet is one of those that a ROUTER gives (RFC 28).
    #[error("an identity of your own cannot start with a zero octet")]
    AutomaticIdentity,
    /// PLAIN carries user and password with one octet for the length of each (RFC 24).
    #[error("a user's name and a password have at most 255 octets each")]
    CredentialsTooLong,
}
