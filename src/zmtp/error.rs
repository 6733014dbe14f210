//! What can be wrong with a peer: [`HandshakeError`] before the first message, [`ProtocolError`] at any time.
//!
//! Both are told by the monitor, never by a call of the user: a peer's misdeed ends that peer's connection only.

use thiserror::Error;

use crate::identity::IdentityError;
use crate::pattern::SocketType;
use crate::security::Refusal;

/// Why a connection did not get as far as its first message.
///
/// Where the fault is in what one side announced, the other is told the same words in an ERROR command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's first octets are not those of ZMTP: another protocol, or encryption that does not belong here.
    #[error("the peer does not speak ZMTP, it began with \"{began}\"; check host and port")]
    NotZmtp {
        /// The first octets of the peer, escaped.
        began: String,
    },
    /// The peer speaks a version older than 3.0.
    #[error(
        "the peer speaks ZMTP {major}.0, at least 3.0 is needed; upgrade it (libzmq 4.0 or later)"
    )]
    UnsupportedVersion {
        /// The major version of the peer, 1 or 2.
        major: u8,
    },
    /// The two sides are configured with different security mechanisms.
    #[error(
        "the security mechanism here is {ours} but the peer's is \"{theirs}\"; configure both alike"
    )]
    MechanismMismatch {
        /// The mechanism of this socket.
        ours: &'static str,
        /// The mechanism of the peer, escaped.
        theirs: String,
    },
    /// Both sides play the same part in the security mechanism.
    #[error(
        "both sides are {mechanism} {0}s; one has to be the {1}",
        part(*as_server), part(!*as_server)
    )]
    SameRole {
        /// The mechanism of both.
        mechanism: &'static str,
        /// Whether both are servers; else both are clients.
        as_server: bool,
    },
    /// The authenticator of this socket refused the peer. Unless that was for now only, the peer was told the status.
    #[error("this socket's authenticator refused the peer: {0}")]
    Denied(Refusal),
    /// The authenticator of this socket did not come to a decision in time.
    #[error(
        "this socket's authenticator did not decide in time; the peer is refused, and may try again"
    )]
    Undecided,
    /// The server refused what this socket showed of itself: user and password, or key.
    ///
    /// It would do so again: see [`is_fatal`](Self::is_fatal).
    #[error(
        "the server refused this socket's credentials (status {status}); \
         check user and password, or have the server accept this socket's public key"
    )]
    CredentialsRefused {
        /// 400, the server says no; or 500, its authenticator failed.
        status: u16,
    },
    /// The server closed the connection when it had this client's HELLO, without a word.
    #[error("the server closed the connection at HELLO; {}", at_hello(mechanism))]
    ClosedAtHello {
        /// The mechanism of both sides.
        mechanism: &'static str,
    },
    /// What a CURVE client sent first is not meant for this server's key.
    #[error(
        "the client's HELLO does not open with this server's key; \
         give the client this server's public key, or look out for who sends here"
    )]
    WrongServerKey,
    /// A box of the handshake does not open, or does not hold what it has to: its sender is not who it says, or its
    /// octets were changed on the way, or sent once before.
    #[error(
        "the peer's {command} does not open; the peer lacks the secret of its key, or somebody is between"
    )]
    NotAuthentic {
        /// The name of the command.
        command: &'static str,
    },
    /// A public key of the peer makes the same shared key with every secret.
    #[error("a public key of the peer is of low order, which no honest peer has")]
    LowOrderKey,
    /// A CURVE client took more than a minute to answer WELCOME.
    #[error("the client came back with a cookie that is no longer valid, after more than a minute")]
    CookieExpired,
    /// The operating system has no randomness to make keys from.
    #[error("the operating system has no randomness to make keys from")]
    NoRandomness,
    /// The types of the two sockets cannot talk.
    #[error("{ours} sockets talk to {}, not to {theirs}", names(ours.partners()))]
    IncompatibleSocketType {
        /// The type of this socket.
        ours: SocketType,
        /// The type of the peer's socket.
        theirs: SocketType,
    },
    /// The peer announced a socket type that does not exist.
    #[error("there is no socket type \"{theirs}\"")]
    UnknownSocketType {
        /// The name that it announced, escaped.
        theirs: String,
    },
    /// The peer did not announce its socket type.
    #[error("no socket type was announced")]
    MissingSocketType,
    /// The identity that the peer announced is too long.
    #[error("the announced identity cannot be: {0}")]
    IdentityTooLong(IdentityError),
    /// The identity that the peer announced is one of those that only ROUTER may give.
    #[error(
        "the announced identity begins with a zero octet, which is reserved for automatic ones"
    )]
    IdentityReserved,
    /// The peer's metadata breaks off or has octets left over.
    #[error("the announced metadata breaks off or has octets left over")]
    MalformedMetadata,
    /// The peer announced the same property twice.
    #[error("the property \"{name}\" was announced twice")]
    DuplicateProperty {
        /// The name of the property, escaped.
        name: String,
    },
    /// The peer announced too many properties.
    #[error("more than {limit} properties were announced")]
    TooManyProperties {
        /// How many are allowed.
        limit: usize,
    },
    /// A command of the handshake is too long.
    #[error("a handshake command of {size} octets exceeds the limit of {limit}")]
    CommandTooLarge {
        /// The length that the peer announced.
        size: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The peer sent a command that has no place in the handshake, at least not at this point.
    #[error("the peer sent the command \"{name}\" where the handshake does not allow it")]
    UnexpectedCommand {
        /// The name of the command, escaped.
        name: String,
    },
    /// The peer sent a message before the handshake was over.
    #[error("the peer sent a message before the handshake was over")]
    PrematureMessage,
    /// The peer refused the connection and said why.
    ///
    /// It would do so again: see [`is_fatal`](Self::is_fatal).
    #[error("the peer refused the connection: \"{reason}\"")]
    Refused {
        /// The peer's words, escaped.
        reason: String,
    },
    /// The handshake took too long.
    #[error("the handshake was not over in time; is the peer a ZMTP socket, and is it alive?")]
    TimedOut,
    /// The peer closed the connection within the handshake.
    #[error(
        "the peer closed the connection within the handshake; \
         it may want another security mechanism or socket type, or it is not a ZMTP socket"
    )]
    Closed,
    /// The peer broke the rules of framing.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl HandshakeError {
    /// What an ERROR with this reason says: in words, or as a status of ZAP (RFC 27).
    pub(crate) fn refused(reason: String) -> Self {
        match reason.as_str() {
            "300" | "400" | "500" => Self::CredentialsRefused {
                status: reason.parse().unwrap_or_default(),
            },
            _ => Self::Refused { reason },
        }
    }

    /// Whether to give up rather than try again: only after a refusal in words (RFC 37, *Connection Errors*).
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        // N10: every other close may be gone at the next attempt.
        match self {
            Self::Refused { .. } | Self::CredentialsRefused { .. } => true,
            Self::Protocol(error) => error.is_fatal(),
            _ => false,
        }
    }
}

/// How a peer broke the protocol, or let the connection down, after the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Bits of the frame's flags are set that have no meaning.
    #[error(
        "the flags octet {flags:#04x} of a frame has reserved bits set; the stream is corrupt or not ZMTP"
    )]
    ReservedFlags {
        /// The flags octet.
        flags: u8,
    },
    /// A command claims to be continued.
    #[error(
        "the flags octet {flags:#04x} marks a command as continued, which only a message can be"
    )]
    ContinuedCommand {
        /// The flags octet.
        flags: u8,
    },
    /// The length of a frame cannot be right.
    #[error("a frame announces {size} octets, more than can exist; the stream is corrupt")]
    ImpossibleLength {
        /// The length that the peer announced.
        size: u64,
    },
    /// A message is larger than allowed.
    #[error(
        "a message of at least {size} octets exceeds the limit of {limit}; raise `max_message_size` if it is wanted"
    )]
    MessageTooLarge {
        /// The octets of the message, as far as the peer announced them.
        size: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// A message has more frames than allowed.
    #[error("a message has more than {limit} frames; raise `max_frames` if it is wanted")]
    TooManyFrames {
        /// The most allowed.
        limit: usize,
    },
    /// A command is longer than allowed.
    #[error(
        "a command of {size} octets exceeds the limit of {limit}; raise `max_topic_size` if it is a subscription that is \
         wanted"
    )]
    CommandTooLarge {
        /// The length that the peer announced.
        size: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The body of a command does not have the shape that its name asks for.
    #[error("the peer sent a malformed {name}{}command", if .name.is_empty() { "" } else { " " })]
    MalformedCommand {
        /// The name of the command; empty if that itself is malformed.
        name: &'static str,
    },
    /// The peer sent something that is not encrypted on a connection where everything has to be.
    #[error("the peer sent a frame that is not encrypted")]
    NotEncrypted,
    /// An encrypted frame does not open: its octets were changed on the way.
    #[error("an encrypted frame does not open; its octets were changed on the way")]
    NotAuthentic,
    /// An encrypted frame carries a number that was used before: somebody sends it again.
    #[error("an encrypted frame came again or out of order")]
    Replayed,
    /// The peer began a second handshake.
    #[error("the peer sent READY a second time")]
    SecondReady,
    /// The peer sends commands faster than it may.
    #[error("the peer sends more than {limit} control commands a second")]
    CommandFlood {
        /// The most allowed in a second, sustained.
        limit: u32,
    },
    /// The peer ended the connection and said why.
    #[error("the peer ended the connection: \"{reason}\"")]
    Refused {
        /// The peer's words, escaped.
        reason: String,
    },
    /// The peer did not answer our heartbeat.
    #[error(
        "the peer sent nothing in answer to a heartbeat; it is gone, or the heartbeat's timeout is too short"
    )]
    HeartbeatTimeout,
    /// The peer has been silent for longer than it promised.
    #[error("the peer has been silent for longer than its own heartbeat promised")]
    TtlExpired,
}

impl ProtocolError {
    /// Whether to give up rather than connect again: only after a refusal in words (RFC 37, *Connection Errors*).
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Octets of a peer for a person's eye: escaped, so that they cannot forge a line of a log, and cut.
pub(crate) fn shown(octets: &[u8]) -> String {
    const SHOWN: usize = 255;
    octets
        .iter()
        .take(SHOWN)
        .copied()
        .flat_map(std::ascii::escape_default)
        .map(char::from)
        .collect()
}

fn part(as_server: bool) -> &'static str {
    if as_server { "server" } else { "client" }
}

/// What a server means that closes at HELLO: RFC 26 forbids it to say.
fn at_hello(mechanism: &str) -> &'static str {
    if mechanism == "CURVE" {
        "most likely its public key is another one than the server key that this socket was given"
    } else {
        "most likely it has no authenticator, or cannot decide at the moment"
    }
}

fn names(types: &[SocketType]) -> String {
    types
        .iter()
        .map(|each| each.as_str())
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n10_only_a_refusal_in_words_is_fatal() {
        let reason = String::from("no");
        let refused = ProtocolError::Refused {
            reason: reason.clone(),
        };
        assert!(refused.is_fatal());
        assert!(HandshakeError::from(refused).is_fatal());
        assert!(HandshakeError::Refused { reason }.is_fatal());
        for temporary in [
            HandshakeError::TimedOut,
            HandshakeError::Closed,
            HandshakeError::MissingSocketType,
            HandshakeError::from(ProtocolError::SecondReady),
        ] {
            assert!(!temporary.is_fatal(), "{temporary}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_would_be_right() {
        let incompatible = HandshakeError::IncompatibleSocketType {
            ours: SocketType::Req,
            theirs: SocketType::Pub,
        };
        assert_eq!(
            incompatible.to_string(),
            "REQ sockets talk to REP or ROUTER, not to PUB"
        );
        let version = HandshakeError::UnsupportedVersion { major: 2 };
        assert!(
            version.to_string().contains("ZMTP 2.0, at least 3.0"),
            "{version}"
        );
    }

    #[test]
    fn octets_of_a_peer_are_escaped_and_cut() {
        assert_eq!(shown(b"a\n\x1b[31m\xff\""), r#"a\n\x1b[31m\xff\""#);
        assert_eq!(shown(&[b'x'; 1000]).len(), 255);
    }
}
