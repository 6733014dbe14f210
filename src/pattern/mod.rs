//! Socket types as declarations: one file each holds its row, the list of what it can do, and its hook if it has one.
//!
//! | type | outbound | inbound | hook |
//! | --- | --- | --- | --- |
//! | [`Push`], [`Pull`] | to one in turn, – | –, from each in turn | |
//! | [`Pair`] | to the one peer | from it | |
//! | [`Dealer`] | to one in turn | from each in turn | |
//! | [`Router`] | to the named | from each in turn | identity |
//! | [`Req`] | to one in turn | from the asked | delimiter |
//! | [`Rep`] | to the requester | from each in turn | envelope |
//! | [`Pub`], [`XPub`] | to the subscribers | –, subscriptions | subscriptions |
//! | [`Sub`], [`XSub`] | –, to all | from each in turn | filter |

mod dealer;
mod pair;
mod publish;
mod pull;
mod push;
mod rep;
mod req;
mod router;
mod socket_type;
mod sub;
mod xpub;
mod xsub;

pub use self::dealer::Dealer;
pub use self::pair::Pair;
pub use self::publish::Pub;
pub use self::pull::Pull;
pub use self::push::Push;
pub use self::rep::Rep;
pub use self::req::Req;
pub use self::router::Router;
pub use self::socket_type::SocketType;
pub use self::sub::Sub;
pub use self::xpub::XPub;
pub use self::xsub::XSub;

pub(crate) use self::rep::split_envelope;
pub(crate) use self::req::{enclose, open_reply};
pub(crate) use self::xpub::{parse_subscription, subscription_message};

/// A socket type. Implemented by the markers of this module and by nothing else.
pub trait Pattern: sealed::Sealed + Send + Sync + Sized + 'static {
    /// The type's name on the wire and in its row.
    const TYPE: SocketType;
}

/// What a socket type does with messages: one row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub outbound: Outbound,
    /// Whether what arrives goes to the inbox as it is.
    pub receives: bool,
    /// At most one peer.
    pub single_peer: bool,
}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// Nobody: the type does not send.
    None,
    /// The next peer in turn that has room.
    LoadBalance,
    /// The peer that is named.
    ByPeer,
    /// The peers that subscribed.
    Subscribers,
    /// Every peer.
    Everyone,
}

impl Row {
    const fn new(outbound: Outbound, receives: bool) -> Self {
        Self {
            outbound,
            receives,
            single_peer: false,
        }
    }
}

impl SocketType {
    /// The row of this type.
    pub(crate) fn row(self) -> &'static Row {
        match self {
            Self::Push => &push::ROW,
            Self::Pull => &pull::ROW,
            Self::Pair => &pair::ROW,
            Self::Dealer => &dealer::ROW,
            Self::Router => &router::ROW,
            Self::Req => &req::ROW,
            Self::Rep => &rep::ROW,
            Self::Pub => &publish::ROW,
            Self::XPub => &xpub::ROW,
            Self::Sub => &sub::ROW,
            Self::XSub => &xsub::ROW,
            // No `Pattern` declares these, so that no socket of ours has them.
            Self::Server
            | Self::Client
            | Self::Radio
            | Self::Dish
            | Self::Gather
            | Self::Scatter
            | Self::Peer
            | Self::Channel => &ABSENT,
        }
    }
}

const ABSENT: Row = Row::new(Outbound::None, false);

/// Types with `send`: the socket chooses who gets a message.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket has no `send`",
    label = "this socket type does not send by itself",
    note = "PUSH, PUB, XPUB, XSUB, DEALER and PAIR send; ROUTER has `send_to`, REQ `request`, REP `accept` and `reply`"
)]
pub trait CanSend: Pattern {}

/// Types with `recv`: messages come from whichever peer is next.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket has no `recv`",
    label = "this socket type does not receive by itself",
    note = "PULL, SUB, XSUB, XPUB, DEALER and PAIR receive; ROUTER has `recv_from`, REQ `request`, REP `accept`"
)]
pub trait CanReceive: Pattern {}

/// Types that deal messages out over many peers or keep them for one, and so may wait for a connection before they
/// queue anything.
#[diagnostic::on_unimplemented(message = "{Self} sockets do not queue for one peer among several")]
pub trait CanBalance: Pattern {}

/// Types with `reserve`.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket has no `reserve`",
    note = "PUSH, DEALER and PAIR wait for a peer with room; publishers never wait"
)]
pub trait CanReserve: CanSend {}

/// Types with subscriptions of their own.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket has no subscriptions of its own",
    note = "SUB and XSUB subscribe; publishers filter"
)]
pub trait CanSubscribe: Pattern {}

/// Types that publish to subscribers.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket has no subscribers",
    note = "PUB and XPUB publish"
)]
pub trait CanPublish: Pattern {}

/// Types that announce an identity to their peers.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket announces no identity",
    note = "REQ, DEALER and ROUTER announce one (RFC 37)"
)]
pub trait CanIdentify: Pattern {}

/// Types with a queue towards peers, and so with marks for it.
#[diagnostic::on_unimplemented(message = "a {Self} socket has no queue of messages to send")]
pub trait HasOutbox: Pattern {}

/// Types with a queue of received messages, and so with marks for it.
#[diagnostic::on_unimplemented(message = "a {Self} socket has no queue of received messages")]
pub trait HasInbox: Pattern {}

/// Types whose messages may replace each other (`conflate`).
#[diagnostic::on_unimplemented(
    message = "a {Self} socket cannot keep the last message only",
    note = "PUSH, PULL, PUB, SUB and DEALER can"
)]
pub trait CanConflate: Pattern {}

mod sealed {
    pub trait Sealed {}
}

/// Declares a socket type: its marker, its row and what it can do.
macro_rules! declare {
    ($(#[$doc:meta])* $name:ident = $row:expr; $($can:ident),*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl crate::pattern::sealed::Sealed for $name {}

        impl crate::pattern::Pattern for $name {
            const TYPE: crate::pattern::SocketType = crate::pattern::SocketType::$name;
        }

        $(impl crate::pattern::$can for $name {})*

        pub(super) const ROW: crate::pattern::Row = $row;
    };
}
use declare;
