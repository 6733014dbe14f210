//! [`Builder`]: options, set before the socket is made. What a type would not obey does not compile.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::Socket;
use crate::error::InvalidOption;
use crate::identity::Identity;
use crate::message::Message;
use crate::options::{
    DuplicateIdentity, Heartbeat, Notify, OnFull, OnPeerLoss, Options, Reconnect, Subscriptions,
    Unroutable, Verbosity,
};
use crate::pattern::{
    CanBalance, CanConflate, CanIdentify, CanPublish, Dealer, HasInbox, HasOutbox, Pattern, Pub,
    Req, Router, Sub, XPub,
};
use crate::security::Security;
use crate::transport::TcpOptions;
use crate::zmtp::Metadata;

/// Makes a [`Socket`] with options.
///
/// ```
/// use std::time::Duration;
/// use jackstay::PushSocket;
///
/// let push = PushSocket::builder()
///     .send_hwm(10)
///     .linger(Duration::from_secs(1))
///     .build();
/// ```
pub struct Builder<P: Pattern> {
    options: Arc<Options>,
    _type: PhantomData<fn() -> P>,
}

impl<P: Pattern> Builder<P> {
    pub(super) fn new() -> Self {
        Self {
            options: Options::defaults(),
            _type: PhantomData,
        }
    }

    /// Makes the socket.
    #[must_use]
    pub fn build(self) -> Socket<P> {
        Socket::with(self.options)
    }

    fn set(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }

    /// How long `close`, `disconnect` and dropping the socket go on delivering what is queued. Default: 5 seconds.
    ///
    /// libzmq waits for ever by default, and programs hang at exit.
    #[must_use]
    #[doc(alias = "ZMQ_LINGER")]
    pub fn linger(self, linger: Duration) -> Self {
        self.set(|options| options.linger = Some(linger))
    }

    /// Goes on until everything is delivered.
    #[must_use]
    pub fn linger_forever(self) -> Self {
        self.set(|options| options.linger = None)
    }

    /// How lost connections are made again. Default: after 100 ms, doubling to 30 s, with full jitter.
    #[must_use]
    #[doc(alias = "ZMQ_RECONNECT_IVL")]
    pub fn reconnect(self, reconnect: Reconnect) -> Self {
        self.set(|options| options.reconnect = reconnect)
    }

    /// Finds peers that are gone without a word. Default: none.
    #[must_use]
    #[doc(alias = "ZMQ_HEARTBEAT_IVL")]
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.set(|options| options.heartbeat = Some(heartbeat))
    }

    /// How long the whole handshake of a connection may take. Default: 30 seconds. A process that was stopped for longer than
    /// that gives those that were under way the time anew.
    #[must_use]
    #[doc(alias = "ZMQ_HANDSHAKE_IVL")]
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.handshake_timeout = timeout)
    }

    /// How many connections that came to this socket may be in their handshake; more wait in the system's backlog.
    /// Default: 1,024; at least 1.
    #[must_use]
    pub fn max_pending_handshakes(self, most: usize) -> Self {
        self.set(|options| options.max_pending_handshakes = most.max(1))
    }

    /// How many of them may come from one address, or one network of 64 bits of IPv6. Beyond that, newcomers from there
    /// are closed at once, so that one address does not keep the others waiting. Default: 64, and no limit for the loopback
    /// addresses, of which a program of this machine has millions; at least 1.
    ///
    /// Raise it where many peers share an address and come all at once. `ipc` has no addresses.
    #[must_use]
    pub fn max_pending_handshakes_per_address(self, most: usize) -> Self {
        self.set(|options| options.max_pending_handshakes_per_address = Some(most.max(1)))
    }

    /// How many connections that came to this socket it has at a time; newcomers beyond that are closed at once.
    /// Default: as many as leave a fifth of the files free that the process may have open (`ulimit -n`), where the
    /// system tells: Linux does.
    #[must_use]
    pub fn max_connections(self, most: usize) -> Self {
        self.set(|options| options.max_connections = Some(most))
    }

    /// How long one attempt to connect may take, with the resolution of the name. Default: 30 seconds.
    #[must_use]
    #[doc(alias = "ZMQ_CONNECT_TIMEOUT")]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.connect_timeout = timeout)
    }

    /// The most octets of all frames of one message that a peer may send. Default: 64 MiB.
    ///
    /// A peer that announces more is disconnected; libzmq has no limit by default.
    #[must_use]
    #[doc(alias = "ZMQ_MAXMSGSIZE")]
    pub fn max_message_size(self, octets: usize) -> Self {
        self.set(|options| options.limits.max_message_size = octets)
    }

    /// The most frames of one message that a peer may send. Default: 4,096.
    #[must_use]
    pub fn max_frames(self, frames: usize) -> Self {
        self.set(|options| options.limits.max_frames = frames)
    }

    /// The most octets of one command of the handshake. A peer that announces a longer one is disconnected. Default: 64 KiB.
    ///
    /// The longest holds the peer's metadata: its type, its identity, and what it tells of itself (`X-` properties).
    /// CURVE needs 257 for that beside.
    #[must_use]
    pub fn max_handshake_command(self, octets: usize) -> Self {
        self.set(|options| options.limits.max_handshake_command = octets)
    }

    /// The most properties in the metadata of a peer, its type and its identity among them. One that tells more is
    /// disconnected. Default: 32.
    #[must_use]
    pub fn max_properties(self, properties: usize) -> Self {
        self.set(|options| options.limits.max_properties = properties)
    }

    /// How many commands without a use, pings and unknown ones, one peer may send in a second, sustained. A peer that sends
    /// more is disconnected. 0 is no limit. Default: 1,000.
    ///
    /// What it does not use is saved up for a second.
    #[must_use]
    pub fn max_command_rate(self, commands: u32) -> Self {
        self.set(|options| options.limits.max_command_rate = commands)
    }

    /// How many connections the system holds ready for a bound endpoint. Default: 1,024.
    #[must_use]
    #[doc(alias = "ZMQ_BACKLOG")]
    pub fn backlog(self, connections: u32) -> Self {
        self.set(|options| options.backlog = connections)
    }

    /// Options of TCP connections.
    #[must_use]
    #[doc(alias = "ZMQ_TCP_KEEPALIVE")]
    pub fn tcp(self, tcp: TcpOptions) -> Self {
        self.set(|options| options.tcp = tcp)
    }

    /// Whether `tcp://*` binds all interfaces of both families, and not those of IPv4 alone. Default: no.
    #[must_use]
    #[doc(alias = "ZMQ_IPV6")]
    pub fn ipv6(self, ipv6: bool) -> Self {
        self.set(|options| options.ipv6 = ipv6)
    }

    /// The security mechanism, and who decides about peers. Default: NULL, and everybody may connect.
    ///
    /// Connections over `inproc` know no mechanism; see [`Security`].
    #[must_use]
    #[doc(alias = "ZMQ_PLAIN_SERVER")]
    #[doc(alias = "ZMQ_PLAIN_USERNAME")]
    #[doc(alias = "ZMQ_PLAIN_PASSWORD")]
    #[doc(alias = "ZMQ_CURVE_SERVER")]
    #[doc(alias = "ZMQ_CURVE_SERVERKEY")]
    #[doc(alias = "ZMQ_CURVE_PUBLICKEY")]
    #[doc(alias = "ZMQ_CURVE_SECRETKEY")]
    #[doc(alias = "ZMQ_ZAP_DOMAIN")]
    pub fn security(self, security: Security) -> Self {
        self.set(|options| options.security = security)
    }

    /// Properties of the application to announce to each peer; their names start with `X-`. The peer finds them in
    /// [`PeerInfo::properties`](crate::PeerInfo::properties).
    #[must_use]
    #[doc(alias = "ZMQ_METADATA")]
    pub fn properties(self, properties: Metadata) -> Self {
        self.set(|options| options.properties = properties)
    }
}

impl<P: Pattern> Builder<P> {
    /// The high-water mark: how many messages may wait for one peer. 0 is no limit. Default: 1,000.
    #[must_use]
    #[doc(alias = "ZMQ_SNDHWM")]
    pub fn send_hwm(self, messages: usize) -> Self
    where
        P: HasOutbox,
    {
        self.set(|options| options.send.messages = messages)
    }

    /// How many octets may wait for one peer, framed; one message always may. 0 is no limit. Default: 64 MiB.
    #[must_use]
    pub fn send_buffer_limit(self, octets: usize) -> Self
    where
        P: HasOutbox,
    {
        self.set(|options| options.send.octets = octets)
    }
}

impl<P: Pattern> Builder<P> {
    /// The high-water mark: how many messages from one peer may wait to be read before no more are; what arrives in one
    /// read, of up to 256 KiB, may go beyond. 0 is no limit. Default: 1,000.
    #[must_use]
    #[doc(alias = "ZMQ_RCVHWM")]
    pub fn recv_hwm(self, messages: usize) -> Self
    where
        P: HasInbox,
    {
        self.set(|options| options.recv.messages = messages)
    }

    /// How many octets from one peer, framed, may wait to be read before no more are; what arrives in one read may go beyond.
    /// 0 is no limit. Default: 64 MiB.
    #[must_use]
    pub fn recv_buffer_limit(self, octets: usize) -> Self
    where
        P: HasInbox,
    {
        self.set(|options| options.recv.octets = octets)
    }
}

impl<P: Pattern> Builder<P> {
    /// Keeps only the last message in each queue; the marks do not apply. Default: no.
    ///
    /// What is replaced is counted in [`Drops::conflated`](crate::Drops::conflated).
    #[must_use]
    #[doc(alias = "ZMQ_CONFLATE")]
    pub fn conflate(self, conflate: bool) -> Self
    where
        P: CanConflate,
    {
        self.set(|options| options.conflate = conflate)
    }
}

impl<P: Pattern> Builder<P> {
    /// Queues messages only for peers that are connected. Default: no; a queue exists from `connect` on.
    #[must_use]
    #[doc(alias = "ZMQ_IMMEDIATE")]
    pub fn immediate(self, immediate: bool) -> Self
    where
        P: CanBalance,
    {
        self.set(|options| options.immediate = immediate)
    }
}

impl<P: Pattern> Builder<P> {
    /// The name by which a ROUTER knows this socket. Default: none; the ROUTER then makes one up.
    ///
    /// # Errors
    /// [`InvalidOption::AutomaticIdentity`] if it starts with a zero octet: those are made up by ROUTERs.
    #[doc(alias = "ZMQ_ROUTING_ID")]
    #[doc(alias = "ZMQ_IDENTITY")]
    pub fn identity(self, identity: Identity) -> Result<Self, InvalidOption>
    where
        P: CanIdentify,
    {
        if identity.is_automatic() {
            return Err(InvalidOption::AutomaticIdentity);
        }
        Ok(self.set(|options| options.identity = identity))
    }

    /// Sends an empty message to each peer as soon as it is connected, so that a ROUTER learns of this socket.
    /// Default: no.
    #[must_use]
    #[doc(alias = "ZMQ_PROBE_ROUTER")]
    pub fn probe(self, probe: bool) -> Self
    where
        P: CanIdentify,
    {
        self.set(|options| options.probe = probe)
    }
}

impl Builder<Router> {
    /// What happens to a message for an unknown or full peer. Default: it is dropped and counted.
    #[must_use]
    #[doc(alias = "ZMQ_ROUTER_MANDATORY")]
    pub fn unroutable(self, unroutable: Unroutable) -> Self {
        self.set(|options| options.unroutable = unroutable)
    }

    /// What happens when a second peer announces an identity that is taken. Default: it is refused.
    #[must_use]
    #[doc(alias = "ZMQ_ROUTER_HANDOVER")]
    pub fn duplicate_identity(self, duplicate: DuplicateIdentity) -> Self {
        self.set(|options| options.duplicate_identity = duplicate)
    }

    /// Whether an empty message tells of each peer that comes or goes. Default: no.
    #[must_use]
    #[doc(alias = "ZMQ_ROUTER_NOTIFY")]
    pub fn notify(self, notify: Notify) -> Self {
        self.set(|options| options.notify = notify)
    }
}

impl Builder<Dealer> {
    /// Whether an empty message tells of each peer that comes or goes. Default: no.
    #[must_use]
    #[doc(alias = "ZMQ_ROUTER_NOTIFY")]
    pub fn notify(self, notify: Notify) -> Self {
        self.set(|options| options.notify = notify)
    }
}

impl Builder<Req> {
    /// Numbers requests, so that a late reply is told from the one awaited and an abandoned request does not cost the
    /// connection. Every REP echoes the number; a ROUTER that looks for the delimiter at a fixed place does not work
    /// with it. Default: no.
    #[must_use]
    #[doc(alias = "ZMQ_REQ_CORRELATE")]
    pub fn correlate(self, correlate: bool) -> Self {
        self.set(|options| options.correlate = correlate)
    }

    /// What happens when the asked peer is lost before it replied. Default: `request` returns an error.
    #[must_use]
    pub fn on_peer_loss(self, on_peer_loss: OnPeerLoss) -> Self {
        self.set(|options| options.on_peer_loss = on_peer_loss)
    }
}

impl<P: Pattern> Builder<P> {
    /// What happens when a subscriber's queue is full. Default: it misses the message, which is counted.
    #[must_use]
    #[doc(alias = "ZMQ_XPUB_NODROP")]
    pub fn on_full(self, on_full: OnFull) -> Self
    where
        P: CanPublish,
    {
        self.set(|options| options.on_full = on_full)
    }

    /// How many topics one peer may subscribe to. A peer that wants more is disconnected. Default: 65,536.
    #[must_use]
    pub fn max_subscriptions(self, topics: usize) -> Self
    where
        P: CanPublish,
    {
        self.set(|options| options.max_subscriptions = topics)
    }

    /// How many octets the topics of one peer may have together. A peer that wants more is disconnected. Default: 16 MiB.
    #[must_use]
    pub fn max_subscriptions_size(self, octets: usize) -> Self
    where
        P: CanPublish,
    {
        self.set(|options| options.max_subscriptions_size = octets)
    }

    /// How many octets one topic may have. A peer that wants a longer one is disconnected. Default: 64 KiB.
    #[must_use]
    pub fn max_topic_size(self, octets: usize) -> Self
    where
        P: CanPublish,
    {
        self.set(|options| options.limits.max_topic_size = octets)
    }

    /// How many subscriptions and cancellations one peer may send in a second, sustained. A peer that sends more is
    /// disconnected. 0 is no limit. Default: 10,000.
    ///
    /// What it does not use is saved up. A peer may come with all the subscriptions that it may have, cancel them and
    /// subscribe to as much anew, all at once.
    #[must_use]
    pub fn max_subscription_rate(self, changes: u32) -> Self
    where
        P: CanPublish,
    {
        self.set(|options| options.max_subscription_rate = changes)
    }
}

/// Set on both sides alike: the publisher sends what was *not* subscribed to, and the subscriber expects that.
macro_rules! invert_matching {
    ($($type:ident),*) => {$(
        impl Builder<$type> {
            /// Messages go to those that did *not* subscribe to them. Both sides have to say so. Default: no.
            #[must_use]
            #[doc(alias = "ZMQ_INVERT_MATCHING")]
            pub fn invert_matching(self, invert: bool) -> Self {
                self.set(|options| options.invert_matching = invert)
            }
        }
    )*};
}
invert_matching!(Pub, XPub, Sub);

impl Builder<XPub> {
    /// Which subscriptions are handed to the user. Default: the first to a topic and the last cancellation.
    #[must_use]
    #[doc(alias = "ZMQ_XPUB_VERBOSE")]
    pub fn verbosity(self, verbosity: Verbosity) -> Self {
        self.set(|options| options.verbosity = verbosity)
    }

    /// Who decides about subscriptions. Default: what peers ask for takes effect.
    #[must_use]
    #[doc(alias = "ZMQ_XPUB_MANUAL")]
    pub fn subscriptions(self, subscriptions: Subscriptions) -> Self {
        self.set(|options| options.subscriptions = subscriptions)
    }

    /// A message for each peer that connects. Default: none.
    #[must_use]
    #[doc(alias = "ZMQ_XPUB_WELCOME_MSG")]
    pub fn welcome_message(self, welcome: impl Into<Message>) -> Self {
        let welcome = welcome.into();
        self.set(|options| options.welcome = Some(welcome))
    }
}

impl<P: Pattern> fmt::Debug for Builder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("type", &P::TYPE)
            .field("options", &self.options)
            .finish()
    }
}
