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
pub use self::keys::{KeyError, KeyPair, PublicKey, SecretKey};
pub use self::password::{Password, PasswordTooLong};
pub use self::principal::{Grant, Permissions, Principal};
pub use self::subscription_prefixes::SubscriptionPrefixes;
pub use self::user_list::UserList;
