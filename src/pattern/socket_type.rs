//! [`SocketType`]: the nineteen roles of ZMTP, and which may talk to which.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The role of a socket, announced to the peer in the handshake.
///
/// [`Display`](fmt::Display) and [`FromStr`] use the spelling of the wire (RFC 37, *The NULL Security Mechanism*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// One peer, both ways.
    Pair,
    /// Publishes to subscribers.
    Pub,
    /// Subscribes to publishers.
    Sub,
    /// Asks and waits for the reply.
    Req,
    /// Replies to what it was asked.
    Rep,
    /// Talks to many peers in turn.
    Dealer,
    /// Talks to many peers by name.
    Router,
    /// Receives from pushers.
    Pull,
    /// Deals out to pullers.
    Push,
    /// Publishes and sees the subscriptions.
    XPub,
    /// Subscribes by messages.
    XSub,
    /// Talks to clients by number (RFC 41).
    Server,
    /// Talks to servers in turn (RFC 41).
    Client,
    /// Publishes to groups (RFC 48).
    Radio,
    /// Joins groups (RFC 48).
    Dish,
    /// Receives single frames from scatterers (RFC 49).
    Gather,
    /// Deals out single frames to gatherers (RFC 49).
    Scatter,
    /// Talks to equals by number (RFC 51).
    Peer,
    /// One peer, both ways, single frames (RFC 52).
    Channel,
}

impl SocketType {
    /// Every type once.
    pub(crate) const ALL: [Self; 19] = [
        Self::Pair,
        Self::Pub,
        Self::Sub,
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pull,
        Self::Push,
        Self::XPub,
        Self::XSub,
        Self::Server,
        Self::Client,
        Self::Radio,
        Self::Dish,
        Self::Gather,
        Self::Scatter,
        Self::Peer,
        Self::Channel,
    ];

    /// The name on the wire, such as `"DEALER"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pair => "PAIR",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pull => "PULL",
            Self::Push => "PUSH",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
            Self::Server => "SERVER",
            Self::Client => "CLIENT",
            Self::Radio => "RADIO",
            Self::Dish => "DISH",
            Self::Gather => "GATHER",
            Self::Scatter => "SCATTER",
            Self::Peer => "PEER",
            Self::Channel => "CHANNEL",
        }
    }

    /// Whether two sockets of these types may talk. It does not matter which of them asks.
    #[must_use]
    pub fn compatible(self, other: Self) -> bool {
        self.partners().contains(&other)
    }

    /// The types that a socket of this type may talk to.
    pub(crate) const fn partners(self) -> &'static [Self] {
        match self {
            Self::Pair => &[Self::Pair],
            Self::Pub | Self::XPub => &[Self::Sub, Self::XSub],
            Self::Sub | Self::XSub => &[Self::Pub, Self::XPub],
            Self::Req => &[Self::Rep, Self::Router],
            Self::Rep => &[Self::Req, Self::Dealer],
            Self::Dealer => &[Self::Rep, Self::Dealer, Self::Router],
            Self::Router => &[Self::Req, Self::Dealer, Self::Router],
            Self::Pull => &[Self::Push],
            Self::Push => &[Self::Pull],
            Self::Server => &[Self::Client],
            Self::Client => &[Self::Server],
            Self::Radio => &[Self::Dish],
            Self::Dish => &[Self::Radio],
            Self::Gather => &[Self::Scatter],
            Self::Scatter => &[Self::Gather],
            Self::Peer => &[Self::Peer],
            Self::Channel => &[Self::Channel],
        }
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SocketType {
    type Err = UnknownSocketType;

    /// Takes the exact spelling of the wire: upper case, nothing around it.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|socket_type| socket_type.as_str() == name)
            .ok_or(UnknownSocketType)
    }
}

/// A name that is not one of the socket types, in upper case as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a ZMTP socket type; the names are those of the wire, such as DEALER or XPUB")]
pub struct UnknownSocketType;

#[cfg(test)]
mod tests {
    use super::*;

    /// N6, written once more as the RFCs list it: each pair from one side only.
    const PAIRS: [(&str, &str); 17] = [
        ("PAIR", "PAIR"),
        ("PUB", "SUB"),
        ("PUB", "XSUB"),
        ("XPUB", "SUB"),
        ("XPUB", "XSUB"),
        ("REQ", "REP"),
        ("REQ", "ROUTER"),
        ("REP", "DEALER"),
        ("DEALER", "DEALER"),
        ("DEALER", "ROUTER"),
        ("ROUTER", "ROUTER"),
        ("PUSH", "PULL"),
        ("CLIENT", "SERVER"),
        ("RADIO", "DISH"),
        ("SCATTER", "GATHER"),
        ("PEER", "PEER"),
        ("CHANNEL", "CHANNEL"),
    ];

    #[test]
    fn n6_all_361_combinations_are_as_listed_and_symmetric() {
        let mut seen = 0;
        for ours in SocketType::ALL {
            for theirs in SocketType::ALL {
                let listed = PAIRS.iter().any(|&(a, b)| {
                    (a, b) == (ours.as_str(), theirs.as_str())
                        || (b, a) == (ours.as_str(), theirs.as_str())
                });
                assert_eq!(ours.compatible(theirs), listed, "{ours} with {theirs}");
                assert_eq!(ours.compatible(theirs), theirs.compatible(ours));
                seen += 1;
            }
        }
        assert_eq!(seen, 361);
    }

    #[test]
    fn every_name_parses_back_and_nothing_else_does() {
        for socket_type in SocketType::ALL {
            assert_eq!(socket_type.to_string().parse(), Ok(socket_type));
        }
        for wrong in ["", "dealer", "Dealer", " PUB", "PUB ", "PUB\0", "STREAM"] {
            assert_eq!(wrong.parse::<SocketType>(), Err(UnknownSocketType));
        }
    }

    #[test]
    fn every_type_is_listed_once() {
        for (index, socket_type) in SocketType::ALL.into_iter().enumerate() {
            assert_eq!(socket_type as usize, index, "{socket_type} is out of order");
        }
    }
}
