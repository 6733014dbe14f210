//! Options: small typed groups, set through [`Builder`](crate::Builder) before the socket is made.
//!
//! A builder offers only what its socket type obeys: an option that would do nothing does not compile. There are no
//! untyped option numbers; the names of libzmq's lead here as search aliases.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::error::InvalidOption;
use crate::identity::Identity;
use crate::security::Security;
use crate::transport::TcpOptions;
use crate::zmtp::{Limits, Metadata};

/// How a lost or refused connection is tried again.
///
/// The delay doubles from [`first`](Self::first) to [`max`](Self::max); each is drawn at random between nothing and
/// that value (full jitter), so that a thousand clients do not return at once. libzmq waits 100 to 200 ms, always, by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconnect {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    pub(crate) jitter: bool,
    pub(crate) stop: StopReconnect,
}

/// When a connecting socket gives up on an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "ZMQ_RECONNECT_STOP")]
#[non_exhaustive]
pub enum StopReconnect {
    /// Only when the peer answers the handshake with an ERROR: it would refuse the same socket again (RFC 37). What it
    /// refuses after the handshake (an identity that is taken, a PAIR that has its peer) may be free a moment later.
    #[default]
    Refused,
    /// Also when nobody listens at the endpoint.
    NobodyListens,
    /// When any handshake fails.
    HandshakeFailed,
    /// After the first loss, whatever its cause.
    AfterLoss,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(30),
            jitter: true,
            stop: StopReconnect::default(),
        }
    }
}

impl Reconnect {
    /// Try again after `first`, at least a millisecond, then after delays that double.
    #[must_use]
    #[doc(alias = "ZMQ_RECONNECT_IVL")]
    pub fn first(mut self, first: Duration) -> Self {
        self.first = first.max(Duration::from_millis(1));
        self
    }

    /// Never wait longer than `max`.
    #[must_use]
    #[doc(alias = "ZMQ_RECONNECT_IVL_MAX")]
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Whether each delay is drawn at random below its bound (default) or is the bound itself.
    #[must_use]
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// When to give up.
    #[must_use]
    pub fn stop(mut self, stop: StopReconnect) -> Self {
        self.stop = stop;
        self
    }
}

/// Finds a peer that is gone without a word (RFC 37, *Connection Heartbeating*). Off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "ZMQ_HEARTBEAT_IVL")]
pub struct Heartbeat {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) ttl: Duration,
}

impl Heartbeat {
    /// The longest TTL that is sent: libzmq counts it in milliseconds of 16 bits.
    const MAX_TTL: Duration = Duration::from_millis(65_500);

    /// A PING each `interval`; the peer is given up when nothing at all comes for one more `interval`.
    ///
    /// # Errors
    /// [`InvalidOption::HeartbeatInterval`] if `interval` is zero.
    pub fn every(interval: Duration) -> Result<Self, InvalidOption> {
        if interval.is_zero() {
            return Err(InvalidOption::HeartbeatInterval);
        }
        Ok(Self {
            interval,
            timeout: interval,
            ttl: Duration::ZERO,
        })
    }

    /// How long after a PING anything has to come (default: the interval).
    ///
    /// Time in which this process itself was stopped, or the machine asleep, is no silence of the peer's: if that is noticed
    /// only a second or more too late, and half the timeout or more, the peer is asked once more.
    #[must_use]
    #[doc(alias = "ZMQ_HEARTBEAT_TIMEOUT")]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks the peer to give *us* up when it hears nothing for `ttl` (default: it is not asked).
    ///
    /// # Errors
    /// [`InvalidOption::HeartbeatTtl`] if `ttl` is longer than 65.5 seconds.
    #[doc(alias = "ZMQ_HEARTBEAT_TTL")]
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, InvalidOption> {
        if ttl > Self::MAX_TTL {
            return Err(InvalidOption::HeartbeatTtl);
        }
        self.ttl = ttl;
        Ok(self)
    }
}

/// What a ROUTER does with a message for an unknown or full peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "ZMQ_ROUTER_MANDATORY")]
pub enum Unroutable {
    /// Drop it and count it in [`Stats::dropped`](crate::Stats::dropped).
    #[default]
    Drop,
    /// Give it back with an error, for an unknown peer and for a full one.
    Error,
    /// Give it back with an error if the peer is unknown; wait while it is full.
    Wait,
}

/// What a ROUTER does when a second peer announces an identity that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "ZMQ_ROUTER_HANDOVER")]
pub enum DuplicateIdentity {
    /// Refuse the newcomer with an ERROR.
    #[default]
    Refuse,
    /// Hand the identity over to the newcomer and close the older connection: right for clients that restart.
    HandOver,
}

/// What a REQ does when the peer that it asked is lost before it replied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPeerLoss {
    /// `request` returns [`RequestError::PeerLost`](crate::RequestError::PeerLost).
    #[default]
    Error,
    /// The request goes to the next peer in turn. A peer may then have carried it out twice: for idempotent requests.
    Resend,
}

/// Which subscription messages an XPUB hands to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// The first subscription to a topic and the last cancellation.
    #[default]
    FirstAndLast,
    /// Every subscription, and the last cancellation.
    #[doc(alias = "ZMQ_XPUB_VERBOSE")]
    Subscriptions,
    /// Every subscription and every cancellation.
    #[doc(alias = "ZMQ_XPUB_VERBOSER")]
    All,
}

/// Who decides about the subscriptions of an XPUB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "ZMQ_XPUB_MANUAL")]
pub enum Subscriptions {
    /// What a peer asks for takes effect.
    #[default]
    Automatic,
    /// Nothing takes effect until the application calls `subscribe_peer`.
    Manual,
    /// As `Manual`; and the first message after `subscribe_peer` goes to that peer alone (last value caching).
    #[doc(alias = "ZMQ_XPUB_MANUAL_LAST_VALUE")]
    ManualLastValue,
}

/// What a publisher does when a subscriber's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "ZMQ_XPUB_NODROP")]
pub enum OnFull {
    /// Drop the message for that subscriber alone, and count it.
    #[default]
    Drop,
    /// Wait (`send`) or report `Full` (`try_send`) until each matching subscriber has room. One slow subscriber then
    /// slows all.
    Wait,
}

/// A queue's high-water marks; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub messages: usize,
    pub octets: usize,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            messages: 1_000,
            octets: 64 << 20,
        }
    }
}

impl Marks {
    /// Both queues together, as an in-process connection has them.
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: usize, b: usize| {
            if a == 0 || b == 0 {
                0
            } else {
                a.saturating_add(b)
            }
        };
        Self {
            messages: sum(self.messages, other.messages),
            octets: sum(self.octets, other.octets),
        }
    }

    /// How many messages go on top of `messages` that hold `octets`. One message always fits.
    pub fn room(self, messages: usize, octets: usize) -> usize {
        if messages == 0 {
            return if self.messages == 0 {
                usize::MAX
            } else {
                self.messages
            };
        }
        if self.is_full_of(octets) {
            return 0;
        }
        match self.messages {
            0 => usize::MAX,
            mark => mark.saturating_sub(messages),
        }
    }

    /// Whether so many octets leave no room, however few messages they are.
    #[inline]
    pub fn is_full_of(self, octets: usize) -> bool {
        self.octets != 0 && octets >= self.octets
    }

    /// How much must be read from a full queue before its writer goes on: half (as libzmq).
    pub fn half(self) -> usize {
        if self.messages == 0 {
            1_000
        } else {
            self.messages.div_ceil(2)
        }
    }
}

/// Everything a socket can be told; [`Builder`](crate::Builder) shows the part that its type obeys.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub identity: Identity,
    pub properties: Metadata,
    pub security: Security,
    pub send: Marks,
    pub recv: Marks,
    pub linger: Option<Duration>,
    pub immediate: bool,
    pub conflate: bool,
    pub reconnect: Reconnect,
    pub heartbeat: Option<Heartbeat>,
    pub handshake_timeout: Duration,
    pub max_pending_handshakes: usize,
    /// None: what `session::Gate` holds right.
    pub max_pending_handshakes_per_address: Option<usize>,
    /// None: as many as leave a fifth of the files free that the process may have open.
    pub max_connections: Option<usize>,
    pub connect_timeout: Duration,
    pub limits: Limits,
    pub backlog: u32,
    pub tcp: TcpOptions,
    pub ipv6: bool,
    pub unroutable: Unroutable,
    pub duplicate_identity: DuplicateIdentity,
    pub probe: bool,
    pub notify: Notify,
    pub correlate: bool,
    pub on_peer_loss: OnPeerLoss,
    pub verbosity: Verbosity,
    pub subscriptions: Subscriptions,
    pub on_full: OnFull,
    pub welcome: Option<crate::Message>,
    pub invert_matching: bool,
    pub max_subscriptions: usize,
    pub max_subscriptions_size: usize,
    pub max_subscription_rate: u32,
}

/// Whether a ROUTER is told, by an empty message, of peers that come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "ZMQ_ROUTER_NOTIFY")]
pub enum Notify {
    /// No.
    #[default]
    Never,
    /// When a peer has connected.
    Connect,
    /// When a peer is gone.
    Disconnect,
    /// Both.
    Both,
}

impl Notify {
    pub(crate) fn on_connect(self) -> bool {
        matches!(self, Self::Connect | Self::Both)
    }

    pub(crate) fn on_disconnect(self) -> bool {
        matches!(self, Self::Disconnect | Self::Both)
    }
}

impl Options {
    /// The defaults, which all sockets share that set nothing.
    pub fn defaults() -> Arc<Self> {
        static DEFAULTS: LazyLock<Arc<Options>> = LazyLock::new(Arc::default);
        DEFAULTS.clone()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            properties: Metadata::new(),
            security: Security::default(),
            send: Marks::default(),
            recv: Marks::default(),
            linger: Some(Duration::from_secs(5)),
            immediate: false,
            conflate: false,
            reconnect: Reconnect::default(),
            heartbeat: None,
            handshake_timeout: Duration::from_secs(30),
            max_pending_handshakes: 1_024,
            max_pending_handshakes_per_address: None,
            max_connections: None,
            connect_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            backlog: 1_024,
            tcp: TcpOptions::default(),
            ipv6: false,
            unroutable: Unroutable::default(),
            duplicate_identity: DuplicateIdentity::default(),
            probe: false,
            notify: Notify::default(),
            correlate: false,
            on_peer_loss: OnPeerLoss::default(),
            verbosity: Verbosity::default(),
            subscriptions: Subscriptions::default(),
            on_full: OnFull::default(),
            welcome: None,
            invert_matching: false,
            max_subscriptions: 65_536,
            max_subscriptions_size: 16 << 20,
            max_subscription_rate: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_always_fits_and_zero_is_no_limit() {
        let marks = Marks {
            messages: 2,
            octets: 10,
        };
        assert_eq!(marks.room(0, 0), 2);
        assert_eq!(marks.room(1, 10), 0);
        assert_eq!(marks.room(2, 3), 0);
        let unlimited = Marks {
            messages: 0,
            octets: 0,
        };
        assert_eq!(unlimited.room(1 << 40, 1 << 50), usize::MAX);
        assert_eq!(marks.plus(unlimited), unlimited);
        assert_eq!(
            marks.plus(marks),
            Marks {
                messages: 4,
                octets: 20
            }
        );
    }

    #[test]
    fn a_heartbeat_that_cannot_work_cannot_be_made() {
        assert_eq!(
            Heartbeat::every(Duration::ZERO),
            Err(InvalidOption::HeartbeatInterval)
        );
        let beat = Heartbeat::every(Duration::from_secs(1)).unwrap();
        assert_eq!(
            beat.ttl(Duration::from_secs(66)),
            Err(InvalidOption::HeartbeatTtl)
        );
    }
}
