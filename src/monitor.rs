//! [`Monitor`]: the stream of life-cycle events, the only place where the failures of peers are told.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::coop::consume_budget;

use crate::endpoint::Endpoint;
use crate::identity::Identity;
use crate::pattern::SocketType;
use crate::pipe::{PeerId, lock, waking};
use crate::security::Principal;
use crate::sync::Mutex;
use crate::transport::PeerAddress;
use crate::zmtp::{Allowance, HandshakeError, Metadata, ProtocolError, Version};

/// Something that happened to a socket's endpoints or connections.
#[derive(Debug, Clone)]
#[doc(alias = "zmq_socket_monitor")]
#[non_exhaustive]
pub struct Event {
    /// The endpoint of this socket that it happened at; none for an adopted stream.
    pub endpoint: Option<Endpoint>,
    /// The peer's address, once there is a connection.
    pub address: Option<PeerAddress>,
    /// The peer, once it has a place in the socket.
    pub peer: Option<PeerId>,
    /// Who the peer is, once an authenticator has said so.
    pub principal: Option<Principal>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. Each name has its counterpart among libzmq's `ZMQ_EVENT_…`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// The socket accepts connections.
    Listening,
    /// The endpoint could not be bound.
    BindFailed(Arc<io::Error>),
    /// A peer connected; its handshake begins.
    Accepted,
    /// A connection could not be accepted; the listener goes on.
    AcceptFailed(Arc<io::Error>),
    /// A connection that came was closed at once, before a word was said.
    TurnedAway(TurnedAway),
    /// This socket connected to a peer; the handshake begins.
    Connected,
    /// The first attempt to connect is under way.
    ConnectDelayed,
    /// An attempt failed, or a connection was lost: the next attempt comes after this delay.
    Retrying(Duration),
    /// An attempt to connect failed.
    ConnectFailed(Arc<io::Error>),
    /// Messages flow from now on.
    HandshakeSucceeded,
    /// The peer is no peer for this socket, or this socket none for it.
    HandshakeFailed(HandshakeError),
    /// This socket has no place for the peer, and told it why.
    Refused(&'static str),
    /// The peer did what its principal may not do. It had no effect, and the connection stays. Told once for each
    /// connection and kind of deed; [`Drops::forbidden`](crate::Drops::forbidden) counts them all.
    Forbidden(Forbidden),
    /// The connection is gone.
    Disconnected(DisconnectCause),
    /// The socket no longer accepts connections at this endpoint.
    Closed,
    /// The socket does not try this endpoint any more. What is queued for it is dropped and counted.
    GaveUp,
}

/// Why a connection was closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnedAway {
    /// Too many connections of its address are in their handshake.
    Handshakes {
        /// How many may be.
        limit: usize,
    },
    /// The socket has as many connections as it may have.
    Connections {
        /// How many that is.
        limit: usize,
    },
    /// The connection would take of the files that the process keeps free.
    Files {
        /// How many files may be open before connections are turned away.
        limit: usize,
    },
}

/// What happened, and what to change if it should not.
impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshakes { limit } => write!(
                f,
                "turned a connection away: {limit} of its address are in their handshake; \
                 raise `max_pending_handshakes_per_address` if many peers share one"
            ),
            Self::Connections { limit } => write!(
                f,
                "turned a connection away: there are {limit}; raise `max_connections` if more are wanted"
            ),
            Self::Files { limit } => write!(
                f,
                "turned a connection away: the process has {limit} files open, and a fifth of those it may have is kept \
                 free; raise its limit (`ulimit -n`) if more connections are wanted"
            ),
        }
    }
}

/// What a principal may not do by its [`Permissions`](crate::security::Permissions).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forbidden {
    /// To subscribe to a prefix that begins with these octets, of which there are at most 255.
    Subscription(Bytes),
    /// To send a message.
    Message,
}

impl Forbidden {
    pub(crate) fn subscription(prefix: &[u8]) -> Self {
        // Monitors keep events: a peer is not to fill them with topics.
        let shown = prefix.get(..SHOWN_PREFIX).unwrap_or(prefix);
        Self::Subscription(Bytes::copy_from_slice(shown))
    }
}

/// What happened, and what to change if it should not.
impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(prefix) => write!(
                f,
                "ignored a subscription to \"{}\", which the permissions of this user do not allow: allow that prefix, or \
                 let the peer subscribe to less",
                prefix.escape_ascii()
            ),
            Self::Message => f.write_str(
                "dropped a message of a user whose permissions do not allow it to send: allow that, or let the peer send \
                 nothing",
            ),
        }
    }
}

/// As much of a prefix is told as an identity may have octets.
const SHOWN_PREFIX: usize = 255;

/// Why a connection ended.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Peer,
    /// This socket closed it: `close`, `disconnect`, an abandoned request, or an identity that was handed over.
    #[error("this socket closed the connection")]
    Local,
    /// The authenticator of this socket, which had accepted the peer, does so no longer.
    #[error("the peer's access was revoked")]
    Revoked,
    /// The operating system reported a failure.
    #[error("the connection failed: {0}")]
    Io(Arc<io::Error>),
    /// The peer broke the protocol, or its silence outlasted the heartbeat's timeout.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The peer asked for more subscriptions than it may have.
    #[error(
        "the peer asked for more than {limit} subscriptions, or more octets of topics than it may"
    )]
    TooManySubscriptions {
        /// How many it may have.
        limit: usize,
    },
    /// The peer subscribed to a topic that is too long.
    #[error(
        "the peer asked for a topic of {size} octets, which exceeds the limit of {limit}; \
         raise `max_topic_size` if it is wanted"
    )]
    TopicTooLong {
        /// The octets of the topic.
        size: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The peer changes its subscriptions faster than it may.
    #[error(
        "the peer changes more than {limit} subscriptions a second; \
         raise `max_subscription_rate` if that is wanted"
    )]
    SubscriptionFlood {
        /// The most allowed in a second, sustained.
        limit: u32,
    },
}

impl Event {
    pub(crate) fn new(endpoint: Option<&Endpoint>, kind: EventKind) -> Self {
        Self {
            endpoint: endpoint.cloned(),
            address: None,
            peer: None,
            principal: None,
            kind,
        }
    }

    pub(crate) fn address(mut self, address: PeerAddress) -> Self {
        self.address = Some(address);
        self
    }

    pub(crate) fn peer(mut self, peer: PeerId) -> Self {
        self.peer = Some(peer);
        self
    }

    pub(crate) fn principal(mut self, principal: Option<Principal>) -> Self {
        self.principal = principal;
        self
    }
}

/// One line for an operator: what, where and, if there is a cause, what to do.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(endpoint) => write!(f, "{endpoint}")?,
            None => f.write_str("adopted stream")?,
        }
        if let Some(address) = &self.address {
            write!(f, " ({address})")?;
        }
        if let Some(principal) = &self.principal {
            write!(f, " (user \"{}\")", principal.user_id().escape_debug())?;
        }
        f.write_str(": ")?;
        match &self.kind {
            EventKind::Listening => f.write_str("listening"),
            EventKind::BindFailed(error) => write!(f, "cannot bind: {error}"),
            EventKind::Accepted => f.write_str("accepted"),
            EventKind::AcceptFailed(error) => write!(f, "cannot accept: {error}"),
            EventKind::TurnedAway(reason) => write!(f, "{reason}"),
            EventKind::Connected => f.write_str("connected"),
            EventKind::ConnectDelayed => f.write_str("connecting"),
            EventKind::Retrying(delay) => write!(f, "trying again in {delay:?}"),
            EventKind::ConnectFailed(error) => write!(f, "cannot connect: {error}"),
            EventKind::HandshakeSucceeded => f.write_str("handshake done"),
            EventKind::HandshakeFailed(error) => write!(f, "handshake failed: {error}"),
            EventKind::Refused(reason) => write!(f, "refused the peer: {reason}"),
            EventKind::Forbidden(what) => write!(f, "{what}"),
            EventKind::Disconnected(cause) => write!(f, "disconnected: {cause}"),
            EventKind::Closed => f.write_str("closed"),
            EventKind::GaveUp => f.write_str("gave up"),
        }
    }
}

/// The events of one socket, from the moment when it was made. See [`Socket::monitor`](crate::Socket::monitor).
pub struct Monitor {
    events: watch::Receiver<Kept>,
    /// The number of the next event that it tells.
    next: u64,
}

impl Monitor {
    /// The next event; `None` when the socket is gone.
    ///
    /// A monitor that is not read keeps the last 1,024 events; older ones are skipped with a `tracing` warning.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        // A crowd does not keep this task from others.
        consume_budget().await;
        loop {
            if let Some(event) = self.try_recv() {
                return Some(event);
            }
            self.events.changed().await.ok()?;
        }
    }

    /// The next event, if one is there.
    pub fn try_recv(&mut self) -> Option<Event> {
        let (first, event) = {
            let kept = self.events.borrow_and_update();
            let first = kept.first.max(self.next);
            (first, kept.get(first).cloned())
        };
        if first > self.next {
            warn_lag(first - self.next);
            self.next = first;
        }
        self.next += u64::from(event.is_some());
        event
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

fn warn_lag(skipped: u64) {
    tracing::warn!(
        skipped,
        "a monitor is not read fast enough; events were skipped"
    );
}

/// The last events of a socket, which its monitors read at their own pace.
#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    /// The number of the first of them.
    first: u64,
}

impl Kept {
    fn push(&mut self, event: Event) {
        if self.events.len() == KEPT {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(event);
    }

    fn get(&self, number: u64) -> Option<&Event> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.events.get(at)
    }

    /// The number of the event that comes next.
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// How many events wait for a monitor that is not read.
const KEPT: usize = 1_024;

/// Where events are reported; costs nothing until the first monitor.
#[derive(Default)]
pub(crate) struct Reporter {
    events: OnceLock<watch::Sender<Kept>>,
    warnings: Mutex<Warnings>,
}

impl Reporter {
    /// A monitor is woken once for all of `events`.
    pub fn report(&self, events: impl AsRef<[Event]> + IntoIterator<Item = Event>) {
        // Subscribers of `tracing` are the code of others, and so are the wakers of monitors.
        for event in events.as_ref() {
            waking(|| self.log(event));
        }
        if let Some(kept) = self.events.get() {
            waking(|| {
                kept.send_modify(|kept| events.into_iter().for_each(|event| kept.push(event)))
            });
        }
    }

    pub fn monitor(&self) -> Monitor {
        let mut events = self.events.get_or_init(watch::Sender::default).subscribe();
        let next = events.borrow_and_update().end();
        Monitor { events, next }
    }
}

impl Reporter {
    fn log(&self, event: &Event) {
        if is_fault(&event.kind) {
            self.warn(event);
        } else {
            tracing::debug!(target: "jackstay", "{event}");
        }
    }

    fn warn(&self, event: &Event) {
        let mut warnings = lock(&self.warnings);
        match warnings.next(Instant::now()) {
            Some(0) => tracing::warn!(target: "jackstay", "{event}"),
            Some(left_out) => tracing::warn!(target: "jackstay", left_out, "{event}"),
            None => tracing::debug!(target: "jackstay", "{event}"),
        }
    }
}

/// Whether somebody should look at it.
fn is_fault(kind: &EventKind) -> bool {
    match kind {
        EventKind::BindFailed(_)
        | EventKind::AcceptFailed(_)
        | EventKind::TurnedAway(_)
        | EventKind::HandshakeFailed(_)
        | EventKind::Refused(_)
        | EventKind::Forbidden(_)
        | EventKind::GaveUp => true,
        EventKind::Disconnected(cause) => matches!(
            cause,
            DisconnectCause::Protocol(_)
                | DisconnectCause::TooManySubscriptions { .. }
                | DisconnectCause::TopicTooLong { .. }
                | DisconnectCause::SubscriptionFlood { .. }
        ),
        _ => false,
    }
}

/// Keeps peers from filling a log with their faults. The monitor is told of each.
struct Warnings {
    allowance: Allowance,
    /// How many were not logged as warnings since the last one that was.
    left_out: u64,
}

impl Warnings {
    /// Whether the next one is logged, and how many before it were not.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.allowance.spend(now) {
            return Some(std::mem::take(&mut self.left_out));
        }
        self.left_out += 1;
        None
    }
}

impl Default for Warnings {
    fn default() -> Self {
        Self {
            allowance: Allowance::new(WARNINGS, 10 * WARNINGS),
            left_out: 0,
        }
    }
}

/// The warnings of one socket in a second, sustained.
const WARNINGS: u32 = 10;

/// Who is connected. See [`Socket::peers`](crate::Socket::peers).
#[derive(Clone)]
pub struct PeerInfo(pub(crate) Arc<PeerFacts>);

pub(crate) struct PeerFacts {
    pub id: PeerId,
    pub endpoint: Option<Endpoint>,
    pub address: PeerAddress,
    pub socket_type: SocketType,
    pub identity: Identity,
    pub properties: Metadata,
    pub version: Version,
    pub principal: Option<Principal>,
    /// The principal may not send.
    pub muted: bool,
    pub accepted: bool,
}

impl PeerInfo {
    /// Names the peer within this process.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.0.id
    }

    /// The endpoint of this socket through which it came; none for an adopted stream.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint.as_ref()
    }

    /// The peer's own address.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        &self.0.address
    }

    /// The type of the peer's socket.
    #[must_use]
    pub fn socket_type(&self) -> SocketType {
        self.0.socket_type
    }

    /// The identity that it announced, or the automatic one that a ROUTER gave it; else empty.
    #[must_use]
    #[doc(alias = "ZMQ_ROUTING_ID")]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// All that it announced in the handshake; names that start with `X-` are the application's (RFC 37).
    #[must_use]
    pub fn properties(&self) -> &Metadata {
        &self.0.properties
    }

    /// The protocol version that the connection speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Who it is, if an [`Authenticator`](crate::security::Authenticator) was asked: a server's is under PLAIN and CURVE.
    #[must_use]
    #[doc(alias = "User-Id")]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.principal.as_ref()
    }

    /// Whether it connected to this socket; else this socket connected to it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.0.accepted
    }
}

impl fmt::Debug for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerInfo")
            .field("id", &self.0.id)
            .field("endpoint", &self.0.endpoint)
            .field("address", &self.0.address)
            .field("socket_type", &self.0.socket_type)
            .field("identity", &self.0.identity)
            .field("principal", &self.0.principal)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
