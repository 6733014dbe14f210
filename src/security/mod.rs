//! Who may connect, and what they may do.
//!
//! # Concepts
//!
//! A *mechanism* is how two peers prove to each other who they are, before the first message: NULL proves nothing, PLAIN
//! shows a name and a password in the clear, CURVE proves that each side holds the secret half of a *key*, and encrypts
//! what follows. What a peer has shown makes it a [`Candidate`].
//!
//! An [`Authenticator`] decides: it makes of the candidate a [`Principal`], somebody with a user id whom the
//! application can recognise, or answers with a [`Refusal`]. It is asked once for each connection, within the
//! handshake. A server without an authenticator lets nobody in, under any mechanism but NULL.
//!
//! A principal may carry [`Permissions`], which say what it may subscribe to and send, and stand under a [`Grant`], by
//! which it can be shut out again while it is connected.
//!
//! # Choosing an authenticator
//!
//! | who may connect | |
//! | --- | --- |
//! | every client | [`AnyClient`] |
//! | those from certain addresses | [`AddressFilter`] |
//! | those with a name and a password (PLAIN) | [`UserList`] |
//! | those with a key of a list (CURVE) | `KeyList` |
//! | those with a certificate in a directory (CURVE) | `KeyDirectory` |
//! | whom a function, another service or a database says | [`from_fn`], [`Authenticator`] |
//! | whom the ZAP handler of the process says | [`zap::ZapAuthenticator`] |
//!
//! Two of them together, such as addresses *and* passwords, are [`Authenticator::and`]; what those that are accepted may
//! do is cut down by [`Authenticator::restricted`]. All refuse whoever they do not know.
//!
//! ```
//! use std::sync::Arc;
//! use jackstay::security::{
//!     AddressFilter, Authenticator, Candidate, Credentials, Password, SubscriptionPrefixes, UserList,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Arc::new(UserList::new());
//! users.insert("joe", Password::new("secret")?);
//!
//! let authenticator = AddressFilter::allow(["10.0.0.0/8".parse()?])
//!     .and(users.clone())
//!     .restricted(SubscriptionPrefixes::new().allow("joe", "weather."));
//!
//! // What a socket asks, and hears, when joe connects:
//! let address = jackstay::PeerAddress::Tcp("10.1.2.3:50000".parse()?);
//! let user = "joe".into();
//! let password = Password::new("secret")?;
//! let peer = Candidate::new(address, Credentials::Plain { user, password });
//! let joe = authenticator.authenticate(&peer).await?;
//! assert_eq!(joe.user_id(), "joe");
//! assert!(joe.may_subscribe(b"weather.ghent") && !joe.may_subscribe(b"news"));
//!
//! // The list is shared: joe's connections end with the entry.
//! users.remove("joe");
//! assert!(joe.is_revoked());
//! # Ok(())
//! # }
//! ```
//!
//! # What a principal may do
//!
//! A socket asks the [`Permissions`] of a principal, and puts the answers into effect:
//!
//! | asked | when | if not |
//! | --- | --- | --- |
//! | [`may_use_identity`](Permissions::may_use_identity) | the handshake is done and the peer announces an identity | the peer is refused |
//! | [`may_send`](Permissions::may_send) | the handshake is done, once for the connection | its messages are dropped |
//! | [`may_subscribe`](Permissions::may_subscribe) | the peer subscribes | the subscription has no effect; an XPUB does not hear of it |
//!
//! Who is refused is told why, and is [`EventKind::Refused`](crate::EventKind::Refused) to the monitor. Else the
//! connection stays: what was dropped is counted in [`Drops::forbidden`](crate::Drops::forbidden), and the monitor is told
//! of the first by [`EventKind::Forbidden`](crate::EventKind::Forbidden).
//!
//! A publisher with [`invert_matching`](crate::Builder::invert_matching) sends what a peer did *not* ask for. It refuses
//! those that may not subscribe to everything.
//!
//! The application can ask for itself who is at the far end: [`PeerInfo::principal`](crate::PeerInfo::principal), with
//! each message by [`recv_with_peer`](crate::Socket::recv_with_peer) of a ROUTER and by
//! [`Request::peer`](crate::Request::peer), and by [`peers`](crate::Socket::peers) elsewhere.
//!
//! # Keys
//!
//! With the feature `curve`, a `SecretKey` is made from the randomness of the system, printed by nothing, and overwritten
//! when it is dropped; its `PublicKey` is how its owner is known. Both can be kept in certificate files, which other
//! ZeroMQ libraries read and write, too. A client needs its own `KeyPair` and the server's public key; a server needs its
//! `KeyPair` and an authenticator, since a key of which nobody says whose it is proves nothing.

mod adapters;
mod address_filter;
mod authenticator;
#[cfg(feature = "curve")]
mod certificate;
mod choice;
#[cfg(feature = "curve")]
mod key_directory;
#[cfg(feature = "curve")]
mod key_list;
#[cfg(feature = "curve")]
mod keys;
mod members;
mod password;
mod principal;
mod subscription_prefixes;
mod user_list;
#[cfg(feature = "curve")]
mod z85;
pub mod zap;
#[cfg(feature = "curve")]
mod zpl;

pub use self::adapters::{And, AnyClient, FromFn, Restricted, from_fn};
pub use self::address_filter::{AddressFilter, Network, ParseNetworkError};
pub use self::authenticator::{
    Authenticator, Candidate, Credentials, Decision, Refusal, RefusalStatus,
};
#[cfg(feature = "curve")]
pub use self::certificate::{Certificate, CertificateError, SecretCertificate};
pub use self::choice::Security;
#[cfg(feature = "curve")]
pub use self::key_directory::KeyDirectory;
#[cfg(feature = "curve")]
pub use self::key_list::KeyList;
#[cfg(feature = "curve")]
pub(crate) use self::keys::public_half;
#[cfg(feature = "curve")]
pub use self::keys::{KeyError, KeyPair, PublicKey, SecretKey};
pub use self::password::{Password, PasswordTooLong};
pub use self::principal::{Grant, Permissions, Principal};
pub use self::subscription_prefixes::SubscriptionPrefixes;
pub use self::user_list::UserList;
