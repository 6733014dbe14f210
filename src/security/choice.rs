//! [`Security`]: which mechanism a socket speaks, as which side.

use std::fmt;
use std::sync::Arc;

use super::{Authenticator, Password};
#[cfg(feature = "curve")]
use super::{KeyPair, PublicKey};
use crate::error::InvalidOption;
use crate::mechanism::Role;

/// The security mechanism of a socket: set by [`Builder::security`](crate::Builder::security), the same on both ends.
///
/// Under PLAIN and CURVE one end is the server and the other the client, whichever of them binds. A server has an
/// authenticator: there is no way to make one without saying who may connect.
///
/// It is for connections over a wire. Two sockets of one process that are joined over `inproc` trust each other, as
/// with libzmq: no mechanism is spoken there and no authenticator asked.
///
/// ```
/// use jackstay::security::{Password, Security, UserList};
/// use jackstay::{PullSocket, PushSocket};
///
/// let users = UserList::new();
/// users.insert("joe", Password::new("secret")?);
/// let pull = PullSocket::builder()
///     .security(Security::plain_server(users))
///     .build();
/// let push = PushSocket::builder()
///     .security(Security::plain_client("joe", "secret")?)
///     .build();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[doc(alias = "ZMQ_MECHANISM")]
pub struct Security {
    role: Role,
    authenticator: Option<Arc<dyn Authenticator>>,
    domain: String,
}

impl Security {
    fn new(role: Role, authenticator: Option<Arc<dyn Authenticator>>) -> Self {
        Self {
            role,
            authenticator,
            domain: String::new(),
        }
    }

    /// NULL: nobody proves anything, but `authenticator` is asked about each peer, which it can tell by its address.
    ///
    /// Without an authenticator, NULL is the default.
    #[must_use]
    pub fn null(authenticator: impl Authenticator) -> Self {
        Self::new(Role::Null, Some(Arc::new(authenticator)))
    }

    /// PLAIN (RFC 24), as the side that shows a user's name and a password. Both travel in the clear.
    ///
    /// # Errors
    /// [`InvalidOption::CredentialsTooLong`] if one of them has more than 255 octets.
    #[doc(alias = "ZMQ_PLAIN_USERNAME")]
    #[doc(alias = "ZMQ_PLAIN_PASSWORD")]
    pub fn plain_client(
        user: impl Into<String>,
        password: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidOption> {
        let user = user.into();
        let password = Password::new(password).map_err(|_| InvalidOption::CredentialsTooLong)?;
        if user.len() > usize::from(u8::MAX) {
            return Err(InvalidOption::CredentialsTooLong);
        }
        Ok(Self::new(Role::PlainClient { user, password }, None))
    }

    /// PLAIN (RFC 24), as the side that is shown a user's name and a password. `authenticator` decides about them.
    #[must_use]
    #[doc(alias = "ZMQ_PLAIN_SERVER")]
    pub fn plain_server(authenticator: impl Authenticator) -> Self {
        Self::new(Role::PlainServer, Some(Arc::new(authenticator)))
    }

    /// CURVE (RFC 25, RFC 26), as the side that knows the server's public key beforehand, and shows its own.
    ///
    /// Only the server that holds the secret half of `server_key` is talked to. Everything after the handshake is
    /// encrypted, with keys made for that one connection.
    #[cfg(feature = "curve")]
    #[must_use]
    #[doc(alias = "ZMQ_CURVE_SERVERKEY")]
    #[doc(alias = "ZMQ_CURVE_PUBLICKEY")]
    #[doc(alias = "ZMQ_CURVE_SECRETKEY")]
    pub fn curve_client(server_key: PublicKey, own: impl Into<Arc<KeyPair>>) -> Self {
        let role = Role::CurveClient {
            server: server_key,
            own: own.into(),
        };
        Self::new(role, None)
    }

    /// CURVE (RFC 25, RFC 26), as the side whose public key the clients know. `authenticator` decides about theirs.
    #[cfg(feature = "curve")]
    #[must_use]
    #[doc(alias = "ZMQ_CURVE_SERVER")]
    #[doc(alias = "ZMQ_CURVE_SECRETKEY")]
    pub fn curve_server(own: impl Into<Arc<KeyPair>>, authenticator: impl Authenticator) -> Self {
        let role = Role::CurveServer { own: own.into() };
        Self::new(role, Some(Arc::new(authenticator)))
    }

    /// What the authenticator is told of this socket, as [`Candidate::domain`](super::Candidate::domain). Default: empty.
    #[must_use]
    #[doc(alias = "ZMQ_ZAP_DOMAIN")]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }

    pub(crate) fn role(&self) -> &Role {
        &self.role
    }

    pub(crate) fn authenticator(&self) -> Option<&Arc<dyn Authenticator>> {
        self.authenticator.as_ref()
    }

    pub(crate) fn domain_name(&self) -> &str {
        &self.domain
    }
}

/// NULL, and nobody is asked.
impl Default for Security {
    fn default() -> Self {
        Self::new(Role::Null, None)
    }
}

/// Shows no secret.
impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("role", &self.role)
            .field("authenticator", &self.authenticator.is_some())
            .field("domain", &self.domain)
            .finish()
    }
}
