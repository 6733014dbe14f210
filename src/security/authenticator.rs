//! [`Authenticator`]: decides who may connect.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use thiserror::Error;

#[cfg(feature = "curve")]
use super::PublicKey;
use super::{And, Password, Permissions, Principal, Restricted};
use crate::identity::Identity;
use crate::pattern::SocketType;
use crate::transport::PeerAddress;

/// Decides who may connect to a socket.
///
/// It is asked once for each connection, within the handshake, and for many at the same time. Each connection waits for
/// its own answer only.
///
/// ```
/// use jackstay::security::{
///     Authenticator, Candidate, Credentials, Decision, Password, Principal, Refusal,
/// };
///
/// struct Accounts;
///
/// impl Accounts {
///     /// The full name of a user who shows the right password; say, by asking another service.
///     async fn full_name(&self, user: &str, password: &Password) -> Option<String> {
///         let expected = Password::new("secret").ok()?;
///         (user == "joe" && *password == expected).then(|| "Joe Public".into())
///     }
/// }
///
/// impl Authenticator for Accounts {
///     fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
///         Box::pin(async move {
///             let Credentials::Plain { user, password } = &peer.credentials else {
///                 return Err(Refusal::denied("only with a name and a password"));
///             };
///             match self.full_name(user, password).await {
///                 Some(name) => Ok(Principal::new(user).with("name", name)),
///                 None => Err(Refusal::denied("no such account")),
///             }
///         })
///     }
/// }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Decides on one peer.
    ///
    /// The peer is refused, too, if the decision is not there by the handshake's deadline.
    ///
    /// # Cancel safety
    /// The future is dropped when the peer goes, and at the deadline. What it has begun by then is its own affair.
    ///
    /// # Errors
    /// A [`Refusal`] closes the connection.
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a>;

    /// Accepts whom both this one and `other` accept. `other` is asked second, about those that this one accepts.
    ///
    /// The principal has the user id of this one, unless that is empty, and the properties and restrictions of both.
    fn and<A: Authenticator>(self, other: A) -> And<Self, A>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Restricts what those that it accepts may do.
    fn restricted(self, permissions: impl Permissions) -> Restricted<Self>
    where
        Self: Sized,
    {
        Restricted::new(self, permissions)
    }
}

/// What [`Authenticator::authenticate`] returns: a boxed future of a [`Principal`] or a [`Refusal`].
pub type Decision<'a> = Pin<Box<dyn Future<Output = Result<Principal, Refusal>> + Send + 'a>>;

/// A decision that needs no waiting.
pub(super) fn decided<'a>(outcome: Result<Principal, Refusal>) -> Decision<'a> {
    Box::pin(ready(outcome))
}

impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        (**self).authenticate(peer)
    }
}

/// A peer that wants to connect, as far as it is known when the [`Authenticator`] is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// The domain of the socket that it wants to connect to: a name of the application's choice, which lets one
    /// authenticator serve sockets of different confidence. Empty if the socket has none.
    pub domain: String,
    /// Where it comes from.
    pub address: PeerAddress,
    /// The type of its socket. `None` if that is not known yet: under PLAIN a peer shows its password first, and a request
    /// by ZAP does not tell.
    pub socket_type: Option<SocketType>,
    /// The identity that it announces. Empty if it has none, or if that is not known yet, as with
    /// [`socket_type`](Self::socket_type).
    pub identity: Identity,
    /// What it has shown of itself. The mechanism has verified that a key is the peer's own; a name and a
    /// password are as the peer sent them.
    pub credentials: Credentials,
}

impl Candidate {
    /// A peer at `address` with these credentials, of which no more is known.
    #[must_use]
    pub fn new(address: PeerAddress, credentials: Credentials) -> Self {
        Self {
            domain: String::new(),
            address,
            socket_type: None,
            identity: Identity::default(),
            credentials,
        }
    }
}

/// What a peer has shown of itself, under the mechanism of its connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing.
    Null,
    /// A name and a password, sent in the clear.
    Plain {
        /// The name.
        user: String,
        /// The password.
        password: Password,
    },
    /// The public half of a key of which the peer holds the secret half.
    #[cfg(feature = "curve")]
    Curve {
        /// The public key.
        key: PublicKey,
    },
}

impl Credentials {
    /// The name of the mechanism, as in the greeting.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Plain { .. } => "PLAIN",
            #[cfg(feature = "curve")]
            Self::Curve { .. } => "CURVE",
        }
    }
}

/// Why a peer may not connect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{status}: {reason}")]
#[non_exhaustive]
pub struct Refusal {
    /// Of what kind the refusal is. The peer is told this much.
    pub status: RefusalStatus,
    /// Why, in words for the operator of this side: told to the monitor, not to the peer.
    pub reason: String,
}

impl Refusal {
    /// This peer may not connect.
    #[must_use]
    pub fn denied(reason: impl Into<String>) -> Self {
        Self::new(RefusalStatus::Denied, reason)
    }

    /// Nothing can be said at the moment; the peer may try again.
    #[must_use]
    pub fn temporary(reason: impl Into<String>) -> Self {
        Self::new(RefusalStatus::Temporary, reason)
    }

    /// The authenticator itself has failed.
    #[must_use]
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(RefusalStatus::Internal, reason)
    }

    fn new(status: RefusalStatus, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }
}

/// The kind of a [`Refusal`]: the status codes of ZAP (RFC 27) other than 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalStatus {
    /// 300: nothing can be said at the moment; the peer may try again.
    Temporary,
    /// 400: this peer may not connect.
    Denied,
    /// 500: the authenticator itself has failed.
    Internal,
}

impl RefusalStatus {
    /// The status code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Temporary => 300,
            Self::Denied => 400,
            Self::Internal => 500,
        }
    }
}

/// The kind in words, with the status code.
impl fmt::Display for RefusalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Temporary => "refused for now",
            Self::Denied => "refused",
            Self::Internal => "the authenticator failed",
        };
        write!(f, "{words} ({})", self.code())
    }
}
