//! [`Socket`]: the handle that the application holds. Each operation is written once; what a type can do is a bound on
//! the method.

mod adapters;
mod builder;
mod core;
mod life;
mod owner;
mod proxy;
mod publish;
mod recv;
mod request;
mod route;
mod send;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

pub use self::adapters::{Incoming, Outgoing};
pub use self::builder::Builder;
pub use self::proxy::{Proxy, ProxyControl, ProxyEnd, ProxyStats};
pub use self::publish::Subscription;
pub use self::request::Request;
pub use self::send::Permit;

use self::core::{Core, pipe_stats};
use crate::endpoint::Endpoint;
use crate::error::ClosedError;
use crate::monitor::{Monitor, PeerInfo};
use crate::options::Options;
use crate::pattern::{Dealer, Pair, Pattern, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
use crate::pipe::{PeerId, lock};
use crate::stats::Stats;

/// A socket: many peers behind one handle, with the rules of its type `P` for who gets a message and whose is next.
///
/// Made by [`new`](Self::new) or [`builder`](Self::builder); then [`bind`](Self::bind) and [`connect`](Self::connect)
/// give it peers. All methods take `&self` (but [`request`](Socket::request)); share a socket between tasks by `Arc`.
/// Sending and receiving need no particular runtime; `bind` and `connect` must be called inside a Tokio runtime, on
/// which the connections then run.
///
/// Dropping a socket never blocks: what is queued is delivered in the background within the linger time, as long as the
/// runtime runs. [`close`](Self::close) waits for that and reports what was not delivered.
pub struct Socket<P: Pattern> {
    core: Arc<Core>,
    _type: PhantomData<fn() -> P>,
}

/// Deals messages out to [`PullSocket`]s in turn.
#[doc(alias = "ZMQ_PUSH")]
pub type PushSocket = Socket<Push>;
/// Collects messages from [`PushSocket`]s.
#[doc(alias = "ZMQ_PULL")]
pub type PullSocket = Socket<Pull>;
/// Publishes to [`SubSocket`]s.
#[doc(alias = "ZMQ_PUB")]
pub type PubSocket = Socket<Pub>;
/// Subscribes to [`PubSocket`]s.
#[doc(alias = "ZMQ_SUB")]
pub type SubSocket = Socket<Sub>;
/// Publishes, and sees the subscriptions.
#[doc(alias = "ZMQ_XPUB")]
pub type XPubSocket = Socket<XPub>;
/// Subscribes, by calls or by messages.
#[doc(alias = "ZMQ_XSUB")]
pub type XSubSocket = Socket<XSub>;
/// Asks [`RepSocket`]s and [`RouterSocket`]s, one request at a time.
#[doc(alias = "ZMQ_REQ")]
pub type ReqSocket = Socket<Req>;
/// Replies to [`ReqSocket`]s and [`DealerSocket`]s.
#[doc(alias = "ZMQ_REP")]
pub type RepSocket = Socket<Rep>;
/// Sends to its peers in turn and receives from all of them.
#[doc(alias = "ZMQ_DEALER")]
pub type DealerSocket = Socket<Dealer>;
/// Talks to many peers by name.
#[doc(alias = "ZMQ_ROUTER")]
pub type RouterSocket = Socket<Router>;
/// Talks to a single peer.
#[doc(alias = "ZMQ_PAIR")]
pub type PairSocket = Socket<Pair>;

impl<P: Pattern> Socket<P> {
    /// A socket with the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Options::defaults())
    }

    /// Sets options first.
    pub fn builder() -> Builder<P> {
        Builder::new()
    }

    fn with(options: Arc<Options>) -> Self {
        Self {
            core: Core::new(P::TYPE, options),
            _type: PhantomData,
        }
    }

    /// Waits until at least `n` peers are connected.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    ///
    /// # Errors
    /// [`ClosedError`] if the socket is closed, before or meanwhile.
    pub async fn wait_for_peers(&self, n: usize) -> Result<(), ClosedError> {
        self.core.reaches(&self.core.connected, n).await
    }

    /// Who is connected now.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let state = lock(&self.core.state);
        state
            .pipes
            .values()
            .filter_map(|pipe| pipe.connected_peer())
            .collect()
    }

    /// The endpoints that this socket is bound or connected to.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.core.endpoints()
    }

    /// What this socket has done so far, and what waits in its queues now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The same for one peer, as long as it has its place in the socket; `queued_in` counts what is not yet in the hands
    /// of a reader.
    #[must_use]
    pub fn peer_stats(&self, peer: PeerId) -> Option<Stats> {
        let pipe = lock(&self.core.state).pipes.get(&peer).cloned()?;
        Some(pipe_stats(&pipe))
    }

    /// The events of this socket from now on.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.core.reporter.monitor()
    }
}

impl<P: Pattern> Default for Socket<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Pattern> Drop for Socket<P> {
    fn drop(&mut self) {
        self.core.begin_close();
    }
}

impl<P: Pattern> fmt::Debug for Socket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("type", &P::TYPE)
            .field("endpoints", &self.endpoints())
            .field("closed", &self.core.is_closed())
            .finish_non_exhaustive()
    }
}
