//! The table of offences: what a peer says, when, and for which cause its connection is closed.

use jackstay::zmtp::HandshakeError::{self, *};
use jackstay::zmtp::ProtocolError::{self, *};
use jackstay::{Identity, PullSocket, SocketType};

use crate::beside::{Attacked, Cause};
use crate::support::raw::{GREETING, Raw, command, frame, greeting, property, ready, ready_with};
use crate::support::whole;

/// How far the connection has got when the offence comes.
enum When {
    /// Nothing was said.
    First,
    /// The greeting was said.
    Greeted,
    /// The handshake is over.
    Met,
}
use When::{First, Greeted, Met};

/// Each line: a name that cites the clause, when, the octets, and the cause.
macro_rules! closes {
    ($($name:ident: $when:expr, $octets:expr => $cause:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            whole(closes(PullSocket::new(), $when, Vec::from($octets), $cause.into())).await;
        }
    )+};
}

closes! {
    g1_another_protocol_in_clear: First, b"GET / HTTP/1.1\r\n\r\n" => NotZmtp { began: "GET / HTTP".into() };
    g1_another_protocol_in_cipher: First, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03" => NotZmtp { began: r"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03".into() };
    g1_no_end_of_the_signature: First, greeting_with(9, &[0x7e]) => NotZmtp { began: shown(&greeting_with(9, &[0x7e])[..10]) };
    g7_version_1: First, b"\x01\0" => UnsupportedVersion { major: 1 };
    g7_version_2: First, b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x08\0\0" => UnsupportedVersion { major: 2 };
    g7_version_2_with_a_greeting_of_3: First, greeting(2, 0, b"NULL") => UnsupportedVersion { major: 2 };
    g8_another_mechanism: First, greeting(3, 1, b"CURVE") => mechanism("CURVE");
    g8_a_mechanism_in_small_letters: First, greeting(3, 1, b"null") => mechanism("null");
    g8_a_mechanism_that_only_begins_alike: First, greeting(3, 1, b"NULLX") => mechanism("NULLX");
    g8_a_mechanism_with_octets_behind_its_zeros: First, greeting(3, 1, b"NULL\0\0x") => mechanism(r"NULL\x00\x00x");

    n4_a_message_before_ready: Greeted, frame(0, b"hello") => PrematureMessage;
    n11_ready_as_a_message: Greeted, frame(0, b"\x05READY\x0bSocket-Type\0\0\0\x04PUSH") => PrematureMessage;
    n4_a_heartbeat_before_ready: Greeted, command("PING", b"\0\0") => unexpected("PING");
    n4_a_subscription_before_ready: Greeted, command("SUBSCRIBE", b"") => unexpected("SUBSCRIBE");
    f6_an_unknown_command_within_the_handshake: Greeted, command("HULLO", b"") => unexpected("HULLO");
    f6_ready_in_small_letters: Greeted, command("ready", b"") => unexpected("ready");
    f1_reserved_flags_within_the_handshake: Greeted, frame(0x0c, b"") => Protocol(ReservedFlags { flags: 0x0c });
    f4_a_continued_command_within_the_handshake: Greeted, frame(5, b"\x05READY") => Protocol(ContinuedCommand { flags: 5 });
    f5_a_handshake_command_of_nothing: Greeted, frame(4, b"") => Protocol(MalformedCommand { name: "" });
    f5_a_handshake_command_that_breaks_off: Greeted, frame(4, b"\x06READY") => Protocol(MalformedCommand { name: "" });
    f11_a_handshake_command_beyond_its_limit: Greeted, long_header(6, 65_537) => HandshakeError::CommandTooLarge { size: 65_537, limit: 65_536 };
    n1_a_property_without_a_name: Greeted, command("READY", b"\0\0\0\0\x01x") => MalformedMetadata;
    n1_a_property_that_overruns: Greeted, command("READY", b"\x0bSocket-Type\0\0\0\x05PUSH") => MalformedMetadata;
    n1_octets_behind_the_last_property: Greeted, command("READY", &[property("Socket-Type", b"PUSH"), vec![1]].concat()) => MalformedMetadata;
    n5_no_socket_type: Greeted, ready_with(&[("Identity", b"me")]) => MissingSocketType;
    n5_a_socket_type_that_does_not_match: Greeted, ready("PUB") => IncompatibleSocketType { ours: SocketType::Pull, theirs: SocketType::Pub };
    n5_a_socket_type_of_its_own_kind: Greeted, ready("PULL") => IncompatibleSocketType { ours: SocketType::Pull, theirs: SocketType::Pull };
    n5_an_unknown_socket_type: Greeted, ready("POSH") => UnknownSocketType { theirs: "POSH".into() };
    n5_a_socket_type_in_small_letters: Greeted, ready("push") => UnknownSocketType { theirs: "push".into() };
    n7_an_identity_that_begins_with_zero: Greeted, ready_with(&[("Socket-Type", b"PUSH"), ("Identity", b"\0abcd")]) => IdentityReserved;
    n7_an_identity_of_256_octets: Greeted, ready_with(&[("Socket-Type", b"PUSH"), ("Identity", &[1; 256])]) => IdentityTooLong(Identity::new(vec![1; 256]).unwrap_err());
    n8_a_property_twice: Greeted, ready_with(&[("Socket-Type", b"PUSH"), ("X-a", b""), ("x-A", b"")]) => DuplicateProperty { name: "x-A".into() };
    n1_too_many_properties: Greeted, many_properties(33) => TooManyProperties { limit: 32 };
    n10_an_error_within_the_handshake: Greeted, command("ERROR", b"\x02no") => HandshakeError::Refused { reason: "no".into() };
    n10_an_error_that_breaks_off: Greeted, command("ERROR", b"\x09no") => Protocol(MalformedCommand { name: "ERROR" });

    f1_reserved_flag_3: Met, [0x08, 0] => ReservedFlags { flags: 0x08 };
    f1_reserved_flag_7: Met, [0x80, 0] => ReservedFlags { flags: 0x80 };
    f1_all_flags: Met, [0xff, 0] => ReservedFlags { flags: 0xff };
    f2_a_size_with_bit_63: Met, long_header(2, 1 << 63) => ImpossibleLength { size: 1 << 63 };
    f2_the_largest_size: Met, long_header(3, u64::MAX) => ImpossibleLength { size: u64::MAX };
    f4_a_continued_command: Met, frame(5, b"\x04PING\0\0") => ContinuedCommand { flags: 5 };
    f5_a_command_of_nothing: Met, frame(4, b"") => MalformedCommand { name: "" };
    f5_a_command_without_a_name: Met, frame(4, b"\0PING") => MalformedCommand { name: "" };
    f5_a_command_whose_name_breaks_off: Met, frame(4, b"\x0aPING") => MalformedCommand { name: "" };
    f11_a_message_beyond_the_limit: Met, long_header(2, (64 << 20) + 1) => MessageTooLarge { size: (64 << 20) + 1, limit: 64 << 20 };
    f11_frames_that_add_up_beyond_the_limit: Met, [frame(1, &[0; 1_000]), long_header(0x02, 64 << 20)].concat() => MessageTooLarge { size: (64 << 20) + 1_000, limit: 64 << 20 };
    f11_a_command_beyond_the_limit: Met, long_header(6, (64 << 20) + 1) => ProtocolError::CommandTooLarge { size: (64 << 20) + 1, limit: 65_546 };
    f11_more_frames_than_allowed: Met, [1, 0].repeat(4_097) => TooManyFrames { limit: 4_096 };
    n12_a_second_ready: Met, ready("PUSH") => SecondReady;
    n10_an_error_at_any_time: Met, command("ERROR", b"\x05tired") => ProtocolError::Refused { reason: "tired".into() };
    n10_an_error_with_octets_that_would_forge_a_log: Met, command("ERROR", b"\x03a\nb") => ProtocolError::Refused { reason: r"a\nb".into() };
    h1_a_ping_without_its_ttl: Met, command("PING", b"\0") => MalformedCommand { name: "PING" };
    h1_a_ping_with_too_long_a_context: Met, command("PING", &[0; 19]) => MalformedCommand { name: "PING" };
    h1_a_pong_with_too_long_a_context: Met, command("PONG", &[0; 17]) => MalformedCommand { name: "PONG" };
    a_flood_of_pings: Met, command("PING", b"\0\0").repeat(5_000) => CommandFlood { limit: 1_000 };
    a_flood_of_unknown_commands: Met, command("GOSSIP", b"").repeat(5_000) => CommandFlood { limit: 1_000 };
}

// Limits are options.
#[tokio::test]
async fn f11_n1_the_limits_of_the_handshake_and_of_commands_are_those_that_are_set() {
    let offences: [(PullSocket, When, Vec<u8>, Cause); 3] = [
        (
            PullSocket::builder().max_handshake_command(100).build(),
            Greeted,
            long_header(6, 101),
            HandshakeError::CommandTooLarge {
                size: 101,
                limit: 100,
            }
            .into(),
        ),
        (
            PullSocket::builder().max_properties(4).build(),
            Greeted,
            many_properties(5),
            TooManyProperties { limit: 4 }.into(),
        ),
        (
            PullSocket::builder().max_command_rate(10).build(),
            Met,
            command("PING", b"\0\0").repeat(50),
            CommandFlood { limit: 10 }.into(),
        ),
    ];
    for (pull, when, octets, cause) in offences {
        whole(closes(pull, when, octets, cause)).await;
    }
}

async fn closes(pull: PullSocket, when: When, octets: Vec<u8>, cause: Cause) {
    let mut attacked = Attacked::new(pull).await;
    let mut last_words = Vec::new();
    let seen = attacked
        .end_of(async |at| {
            let mut raw = match when {
                Met => Raw::shake_hands(&at, "PUSH").await,
                First | Greeted => Raw::connect(&at).await,
            };
            if matches!(when, Greeted) {
                raw.write(&GREETING).await;
            }
            // What follows an offence is not read any more.
            raw.write(&[&octets[..], &frame(0, b"behind it")].concat())
                .await;
            last_words = raw.read_to_end().await;
        })
        .await;
    assert_eq!(seen, cause);
    // N5: who announces what does not fit is told.
    let told = last_words.windows(6).any(|window| window == b"\x05ERROR");
    let metadata = matches!(
        cause,
        Cause::Handshake(
            MissingSocketType
                | IncompatibleSocketType { .. }
                | UnknownSocketType { .. }
                | IdentityReserved
                | IdentityTooLong(_)
                | DuplicateProperty { .. }
                | MalformedMetadata
                | TooManyProperties { .. }
        )
    );
    assert_eq!(told, metadata, "{}", last_words.escape_ascii());
    assert_eq!(attacked.pull.peers().len(), 1);
}

impl From<HandshakeError> for Cause {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<ProtocolError> for Cause {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

fn greeting_with(at: usize, octets: &[u8]) -> [u8; 64] {
    let mut greeting = GREETING;
    greeting[at..at + octets.len()].copy_from_slice(octets);
    greeting
}

/// The head of a long frame whose body never comes.
fn long_header(flags: u8, size: u64) -> Vec<u8> {
    [&[flags | 2][..], &size.to_be_bytes()].concat()
}

fn mechanism(theirs: &str) -> HandshakeError {
    MechanismMismatch {
        ours: "NULL",
        theirs: theirs.into(),
    }
}

fn unexpected(name: &str) -> HandshakeError {
    UnexpectedCommand { name: name.into() }
}

fn many_properties(n: usize) -> Vec<u8> {
    let names: Vec<_> = (1..n).map(|n| format!("X-{n}")).collect();
    let mut properties = vec![("Socket-Type", &b"PUSH"[..])];
    properties.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
    ready_with(&properties)
}

fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

/// A message cut off after any number of octets is never delivered, whole or in part.
#[tokio::test]
async fn f7_a_message_that_breaks_off_anywhere() {
    whole(async {
        let mut attacked = Attacked::new(PullSocket::new()).await;
        let octets = [
            frame(1, b"first"),
            frame(1, b""),
            frame(1, &[7; 300]),
            frame(0, b"last"),
        ]
        .concat();
        for cut in 0..octets.len() {
            if (20..octets.len() - 20).contains(&cut) && cut % 23 != 0 {
                continue;
            }
            let seen = attacked
                .end_of(async |at| {
                    let mut raw = Raw::shake_hands(&at, "PUSH").await;
                    raw.write(&octets[..cut]).await;
                })
                .await;
            assert_eq!(seen, Cause::Peer, "after {cut} octets");
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_goes_within_the_handshake() {
    whole(async {
        let mut attacked = Attacked::new(PullSocket::new()).await;
        let octets = [&GREETING[..], &ready("PUSH")].concat();
        for cut in [0, 1, 9, 10, 11, 63, 64, 65, 70, octets.len() - 1] {
            let seen = attacked
                .end_of(async |at| {
                    let mut raw = Raw::connect(&at).await;
                    raw.write(&octets[..cut]).await;
                })
                .await;
            assert_eq!(seen, Cause::Handshake(Closed), "after {cut} octets");
        }
    })
    .await;
}
