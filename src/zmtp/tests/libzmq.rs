//! What libzmq 4.3.4 sends, recorded from its sockets connected to a bare TCP listener.

use super::*;

/// Its greeting without an identity: the ninth octet, meant for version 1.0, is 1 more than the identity's length.
const GREETING: &[u8; 64] = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

const READY: [(SocketType, &[u8]); 11] = [
    (
        SocketType::Pair,
        b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PAIR",
    ),
    (
        SocketType::Pub,
        b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB",
    ),
    (
        SocketType::Sub,
        b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB",
    ),
    (
        SocketType::Req,
        b"\x04&\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ\x08Identity\x00\x00\x00\x00",
    ),
    (
        SocketType::Rep,
        b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REP",
    ),
    (
        SocketType::Dealer,
        b"\x04)\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00",
    ),
    (
        SocketType::Router,
        b"\x04)\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x00",
    ),
    (
        SocketType::Pull,
        b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL",
    ),
    (
        SocketType::Push,
        b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH",
    ),
    (
        SocketType::XPub,
        b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04XPUB",
    ),
    (
        SocketType::XSub,
        b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04XSUB",
    ),
];

/// A DEALER of the identity "worker-1": its greeting and READY, and the message ("", "hello", 256 × "x") after them.
const DEALER_START: &[u8] = b"\xff\x00\x00\x00\x00\x00\x00\x00\t\x7f\x03\x01NULL\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x041\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x08worker-1";
const DEALER_MESSAGE_HEAD: &[u8] = b"\x01\x00\x01\x05hello\x02\x00\x00\x00\x00\x00\x00\x01\x00";

/// Its answer to a PING with the context "wxyz".
const PONG: &[u8] = b"\x04\t\x04PONGwxyz";

/// REQ asks "ping".
const REQUEST: &[u8] = b"\x01\x00\x00\x04ping";

/// SUB subscribes to "topic", then to "", then cancels "topic": to a peer of version 3.1, and to one of 3.0.
const SUB_3_1: &[u8] = b"\x04\x0f\tSUBSCRIBEtopic\x04\n\tSUBSCRIBE\x04\x0c\x06CANCELtopic";
const SUB_3_0: &[u8] = b"\x00\x06\x01topic\x00\x01\x01\x00\x06\x00topic";

/// XSUB, to a peer of version 3.1, when its user sends the messages 01 "a", 00 "a" and "plain".
const XSUB_3_1: &[u8] = b"\x00\x02\x01a\x00\x02\x00a\x00\x05plain";

/// PULL with heartbeats and a TTL of two seconds.
const PING: &[u8] = b"\x04\x07\x04PING\x00\x14";

fn message(octets: &'static [u8]) -> Seen {
    Seen::Message(Message::from(octets))
}

/// Our engine of type `ours` that has met libzmq's socket of type `theirs`.
fn meet(ours: SocketType, theirs: SocketType, now: Instant) -> Engine {
    let (_, ready) = READY.into_iter().find(|(each, _)| *each == theirs).unwrap();
    let mut side = Side::new(config(ours), now);
    side.arrive(&[&GREETING[..], ready].concat(), now);
    side.established().engine
}

#[test]
fn every_type_of_libzmq_is_met_wherever_its_octets_are_cut() {
    let now = Instant::now();
    for (theirs, ready) in READY {
        let stream = [&GREETING[..], ready].concat();
        for &ours in theirs.partners() {
            for cut in 0..=stream.len() {
                let mut side = Side::new(config(ours), now);
                side.arrive(&stream[..cut], now);
                side.arrive(&stream[cut..], now);
                let peer = side.established().peer;
                assert_eq!((peer.socket_type, peer.version), (theirs, Version::V3_1));
                assert!(peer.identity.is_empty());
            }
        }
    }
}

#[test]
fn our_ready_is_the_same_as_that_of_libzmq() {
    let now = Instant::now();
    for (theirs, ready) in READY {
        let mut side = Side::new(config(theirs), now);
        side.arrive(GREETING, now);
        assert_eq!(side.leave(usize::MAX)[64..], *ready, "{theirs}");
    }
}

#[test]
fn g4_libzmq_sends_10_octets_then_1_then_53_each_after_ours() {
    let now = Instant::now();
    let mut side = Side::new(config(SocketType::Router), now);
    // It answers our first 10 octets with 1, and our eleventh with the rest.
    assert!(side.leave(64).starts_with(b"\xff\0\0\0\0\0\0\0\0\x7f\x03"));
    for part in [&GREETING[..10], &GREETING[10..11], &GREETING[11..]] {
        assert!(side.leave(64).is_empty());
        side.arrive(part, now);
        assert!(side.pending());
    }
    assert!(side.leave(64).starts_with(b"\x04\x29\x05READY"));
}

#[test]
fn a_dealer_with_an_identity_sends_a_multipart_message_and_answers_ping() {
    let now = Instant::now();
    let stream = [DEALER_START, DEALER_MESSAGE_HEAD, &[b'x'; 256], PONG].concat();
    for cut in 0..=stream.len() {
        let mut side = Side::new(config(SocketType::Router), now);
        side.arrive(&stream[..cut], now);
        side.arrive(&stream[cut..], now);
        let mut arrived = std::mem::take(&mut side.arrived);
        let Established {
            peer, mut engine, ..
        } = side.established();
        assert_eq!(peer.identity.as_bytes(), b"worker-1");
        let expected = Seen::Message(Message::from(("", "hello", vec![b'x'; 256])));
        assert_eq!(
            receive_all(&mut engine, &mut arrived, now),
            Ok(vec![expected])
        );
        assert!(arrived.is_empty());
    }
}

#[test]
fn a_request_arrives_with_its_delimiter() {
    let now = Instant::now();
    let mut engine = meet(SocketType::Rep, SocketType::Req, now);
    let request = Seen::Message(Message::from(("", "ping")));
    assert_eq!(
        receive_all(&mut engine, &mut REQUEST.into(), now),
        Ok(vec![request])
    );
}

#[test]
fn s2_subscriptions_arrive_in_both_forms_from_a_peer_of_either_version() {
    let now = Instant::now();
    let mut engine = meet(SocketType::Pub, SocketType::Sub, now);
    let topic = || Bytes::from_static(b"topic");
    let commands = vec![
        Seen::Subscribe(topic()),
        Seen::Subscribe(Bytes::new()),
        Seen::Cancel(topic()),
    ];
    let messages = [&b"\x01topic"[..], b"\x01", b"\0topic"]
        .map(message)
        .to_vec();
    assert_eq!(
        receive_all(&mut engine, &mut SUB_3_1.into(), now),
        Ok(commands)
    );
    assert_eq!(
        receive_all(&mut engine, &mut SUB_3_0.into(), now),
        Ok(messages)
    );

    let mut engine = meet(SocketType::XPub, SocketType::XSub, now);
    let messages = [&b"\x01a"[..], b"\0a", b"plain"].map(message).to_vec();
    assert_eq!(
        receive_all(&mut engine, &mut XSUB_3_1.into(), now),
        Ok(messages)
    );
}

#[test]
fn s2_our_subscriptions_are_those_of_libzmq() {
    let now = Instant::now();
    for (minor, expected) in [(1, SUB_3_1), (0, SUB_3_0)] {
        let mut side = Side::new(config(SocketType::Sub), now);
        side.arrive(&greeting(minor), now);
        side.arrive(&ready(&[("Socket-Type", b"PUB")]), now);
        let version = side.established().peer.version;
        let mut out = Vec::new();
        put_subscription(version, true, b"topic", &mut out);
        put_subscription(version, true, b"", &mut out);
        put_subscription(version, false, b"topic", &mut out);
        assert_eq!(out, expected, "version 3.{minor}");
    }
}

#[test]
fn h1_h4_a_ping_of_libzmq_is_answered_and_its_ttl_kept() {
    let now = Instant::now();
    let mut engine = meet(SocketType::Push, SocketType::Pull, now);
    assert_eq!(receive_all(&mut engine, &mut PING.into(), now), Ok(vec![]));
    assert_eq!(engine.output(), &b"\x04\x05\x04PONG"[..]);
    assert_eq!(engine.next_timeout(), Some(now + 2 * SECOND));
}
