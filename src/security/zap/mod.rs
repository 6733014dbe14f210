//! ZAP (RFC 27): authentication by messages, as other ZeroMQ programs do it.
//!
//! The server asks, a *handler* in the same process answers, at `inproc://zeromq.zap.01`. [`ZapAuthenticator`] is the
//! side that asks: give it to a socket that a handler of your own is to guard. [`Handler`] is the side that answers, with
//! what any [`Authenticator`](super::Authenticator) decides. Within one program neither is needed: an authenticator can
//! be given to a socket directly.
//!
//! Unlike the rest of [`security`](super), this stands above the sockets, since it talks through them.
//!
//! ```
//! use jackstay::security::zap::{Handler, ZapAuthenticator};
//! use jackstay::security::{Authenticator, Candidate, Credentials, Password, UserList};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = UserList::new();
//! users.insert("joe", Password::new("secret")?);
//! let handler = Handler::bind(users).await?;
//! tokio::spawn(handler.run());
//!
//! // What a socket does with its authenticator when a peer arrives:
//! let zap = ZapAuthenticator::new();
//! let credentials = Credentials::Plain {
//!     user: "joe".into(),
//!     password: Password::new("secret")?,
//! };
//! let peer = Candidate::new(jackstay::PeerAddress::Adopted, credentials);
//! assert_eq!(zap.authenticate(&peer).await?.user_id(), "joe");
//! # Ok(())
//! # }
//! ```

mod authenticator;
mod handler;
mod wire;

pub use self::authenticator::ZapAuthenticator;
pub use self::handler::Handler;

/// Where the handler of this process is bound.
pub const ENDPOINT: &str = "inproc://zeromq.zap.01";
