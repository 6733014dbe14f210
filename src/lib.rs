//! Brokerless messaging: typed sockets that link peers directly and speak ZMTP 3.1, the protocol of ZeroMQ.
//!
//! ```text
//!  your task     send(msg) │                               ▲ recv()
//!  ────────────────────────▼───────────────────────────────┴─────────────────────
//!   socket/      Socket<P>: wait, wake, options, life cycle        async
//!   pattern/     PUSH, REQ, PUB…: one row of a table each          plain code
//!   routing/     LoadBalance FanOut ByPeer | FairQueue             plain code
//!   pipe/        outbox and inbox of one peer: high-water marks    ← the task boundary
//!  ────────────────────────┼───────────────────────────────┼─────────────────────
//!   session/     one connection; dial, accept, reconnect           async
//!   zmtp/ + mechanism/     bytes ⇄ messages, handshake, heartbeat  plain code
//!   transport/   tcp · ipc · any stream                            async bytes
//!  ────────────────────────▼───────────────────────────────┴───────────────── a peer
//! ```
//!
//! # Concepts
//!
//! A [`Socket`] has many *peers*. Its *type* says who gets a message and whose message is next: a [`PushSocket`] deals
//! messages out in turn, a [`PubSocket`] copies them to whoever subscribed, a [`ReqSocket`] asks one peer and waits.
//! Each peer has a queue each way, bounded by a *high-water mark*; what happens when it is full is part of the type.
//! Peers find each other by *endpoints* (`tcp://host:port`, `ipc:///path`, `inproc://name`): either side binds, the other
//! connects, in any order; lost connections are made again. A [`Message`] is one or more *frames* and is never cut.
//!
//! ```
//! use jackstay::{PullSocket, PushSocket};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pull = PullSocket::new();
//! let at = pull.bind("tcp://127.0.0.1:0").await?; // the real port comes back
//!
//! let push = PushSocket::builder().send_hwm(10).build();
//! push.connect(at)?; // registers and returns; reconnects for ever
//! push.send(("greeting", "hello")).await?; // a tuple is a multipart message
//!
//! assert_eq!(&pull.recv().await?[1], b"hello");
//! push.close().await?; // lingers; reports what could not be delivered
//! # Ok(())
//! # }
//! ```
//!
//! Who may connect, and whether what is said is encrypted, is up to [`security`].
//!
//! # Features
//!
//! - `curve`: encryption and keys, by the primitives of RustCrypto and dalek.
//! - `curve-simd`: the same on the wire, with the boxes computed by `dryoc` and its vector instructions. At 1 KiB that takes
//!   a quarter of the time; it has not been audited.
//!
//! # What is told where
//!
//! A call fails only for reasons of the caller's own: a closed socket, a bad endpoint, no room. What peers do wrong
//! closes *their* connection and is told to the [`Monitor`]. What is dropped is counted, by cause, in [`Stats`].

#![forbid(unsafe_code)]
#![deny(missing_docs)]

// Visible in all of the crate, so that a program that mounts this file as a module sees them, too: benches/queues.rs,
// concurrency/, fuzz/.
pub mod blocking;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod mechanism;
pub(crate) mod message;
pub(crate) mod monitor;
pub(crate) mod options;
pub mod pattern;
pub(crate) mod pipe;
pub(crate) mod routing;
pub mod security;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod transport;
pub(crate) mod watch;
pub mod zmtp;

pub use crate::endpoint::{Endpoint, ParseEndpointError};
pub use crate::error::{
    BindError, ClosedError, ConnectError, DisconnectError, InvalidOption, RecvError, RequestError,
    SendError, SendToError, SubscribeError, TryRecvError, TrySendError, Undelivered,
};
pub use crate::identity::{Identity, IdentityError};
pub use crate::message::Message;
pub use crate::monitor::{
    DisconnectCause, Event, EventKind, Forbidden, Monitor, PeerInfo, TurnedAway,
};
pub use crate::options::{
    DuplicateIdentity, Heartbeat, Notify, OnFull, OnPeerLoss, Reconnect, StopReconnect,
    Subscriptions, Unroutable, Verbosity,
};
pub use crate::pattern::SocketType;
pub use crate::pipe::PeerId;
pub use crate::socket::{
    Builder, DealerSocket, Incoming, Outgoing, PairSocket, Permit, Proxy, ProxyControl, ProxyEnd,
    ProxyStats, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, Request, RouterSocket,
    Socket, SubSocket, Subscription, XPubSocket, XSubSocket,
};
pub use crate::stats::{Drops, Stats};
pub use crate::transport::{Keepalive, Listener, PeerAddress, TcpOptions};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(all(doctest, feature = "curve"))]
#[doc = include_str!("../PATTERNS.md")]
struct Patterns;
