//! The handshake between two of us, for every pair of socket types and cut at every octet.

use super::*;

#[test]
fn n5_n6_every_one_of_361_pairs_meets_or_is_refused_with_error() {
    let now = Instant::now();
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            let mut one = Side::new(config(ours), now);
            let mut other = Side::new(config(theirs), now);
            one.arrive(&other.leave(usize::MAX), now);
            other.arrive(&one.leave(usize::MAX), now);
            one.arrive(&other.leave(usize::MAX), now);
            if ours.compatible(theirs) {
                let Established { peer, .. } = one.established();
                assert_eq!(peer.socket_type, theirs);
                assert_eq!(peer.version, Version::V3_1);
                continue;
            }
            assert_eq!(
                one.error(),
                HandshakeError::IncompatibleSocketType { ours, theirs }
            );
            assert!(!one.error().is_fatal());
            // Its own words are what the peer gets to read.
            let mut error = Vec::new();
            put_error(&mut error, &one.error().to_string());
            assert!(
                one.leave(usize::MAX).ends_with(&error),
                "{ours} with {theirs}"
            );
        }
    }
}

#[test]
fn g4_two_sides_that_send_octet_by_octet_meet() {
    let now = Instant::now();
    for ours in SocketType::ALL {
        for &theirs in ours.partners() {
            for step in [1, 2, 7, 63, 64, 65] {
                let mut one = Side::new(config(ours), now);
                let mut other = Side::new(config(theirs), now);
                talk(&mut one, &mut other, step, now);
                assert_eq!(one.established().peer.socket_type, theirs);
                assert_eq!(other.established().peer.socket_type, ours);
            }
        }
    }
}

#[test]
fn a_stream_cut_at_any_octet_gives_the_same() {
    let now = Instant::now();
    let message = Message::from(("", "hello"));
    for ours in SocketType::ALL {
        for &theirs in ours.partners() {
            let mut peer = Side::new(config(theirs), now);
            peer.arrive(&greeting(1), now);
            let mut stream = peer.leave(usize::MAX).to_vec();
            encode_message(&message, &mut stream);
            for cut in 0..=stream.len() {
                let mut side = Side::new(config(ours), now);
                let (head, tail) = stream.split_at(cut);
                side.arrive(head, now);
                side.arrive(tail, now);
                let mut arrived = std::mem::take(&mut side.arrived);
                let mut engine = side.established().engine;
                let inbound = receive_all(&mut engine, &mut arrived, now);
                let expected = Ok(vec![Seen::Message(message.clone())]);
                assert_eq!(inbound, expected, "{ours} from {theirs}, cut at {cut}");
            }
        }
    }
}

#[test]
fn g4_the_whole_greeting_leaves_before_anything_arrives() {
    let mut side = Side::new(config(SocketType::Pull), Instant::now());
    assert_eq!(side.leave(usize::MAX).len(), 64);
}

#[test]
fn n3_ready_leaves_at_the_peers_greeting_and_not_before() {
    let now = Instant::now();
    let mut side = Side::new(config(SocketType::Pull), now);
    side.arrive(&greeting(1)[..63], now);
    assert_eq!(side.leave(usize::MAX).len(), 64);
    side.arrive(&greeting(1)[63..], now);
    assert_eq!(
        side.leave(usize::MAX),
        &b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PULL"[..]
    );
    assert!(side.pending());
}

#[test]
fn n4_what_follows_the_handshake_is_left_for_the_engine() {
    let now = Instant::now();
    let mut side = Side::new(config(SocketType::Pull), now);
    let mut stream = greeting(1).to_vec();
    stream.extend(ready(&[("Socket-Type", b"PUSH")]));
    stream.extend(b"\0\x05hello\0");
    side.arrive(&stream, now);
    assert_eq!(side.arrived, &b"\0\x05hello\0"[..]);
    assert!(side.established().peer.identity.is_empty());
}

#[test]
fn n7_req_dealer_and_router_announce_their_identity_and_nobody_else() {
    let now = Instant::now();
    for ours in SocketType::ALL {
        for &theirs in ours.partners() {
            let named = HandshakeConfig {
                identity: Identity::try_from("our name").unwrap(),
                ..config(ours)
            };
            let (_, seen) = connect(named, config(theirs), now);
            let announces = matches!(
                ours,
                SocketType::Req | SocketType::Dealer | SocketType::Router
            );
            let expected = if announces { "our name" } else { "" };
            assert_eq!(
                seen.peer.identity,
                Identity::try_from(expected).unwrap(),
                "{ours}"
            );
        }
    }
}

#[test]
fn n9_properties_of_the_application_and_unknown_ones_are_readable() {
    let now = Instant::now();
    let mut ours = config(SocketType::Push);
    ours.properties.set("X-Zone", "eu-1").unwrap();
    let (_, seen) = connect(ours, config(SocketType::Pull), now);
    assert_eq!(seen.peer.properties.get("x-zone"), Some(&b"eu-1"[..]));

    let mut side = Side::new(config(SocketType::Pull), now);
    side.arrive(&greeting(1), now);
    // N2: in whatever case.
    side.arrive(&ready(&[("Future", b"1"), ("SOCKET-TYPE", b"PUSH")]), now);
    assert_eq!(
        side.established().peer.properties.get("future"),
        Some(&b"1"[..])
    );
}

#[test]
fn g10_the_deadline_is_absolute_though_octets_keep_arriving() {
    let start = Instant::now();
    let mut side = Side::new(config(SocketType::Pull), start);
    assert_eq!(side.handshake.deadline(), start + 30 * SECOND);
    for (second, octet) in (0..30).zip(greeting(1)) {
        side.arrive(&[octet], start + second * SECOND);
        assert!(side.pending());
    }
    assert_eq!(side.handshake.deadline(), start + 30 * SECOND);
    side.arrive(&[0], start + 30 * SECOND);
    assert_eq!(side.error(), HandshakeError::TimedOut);
    assert!(!side.error().is_fatal());
}

#[test]
fn g10_a_timeout_without_end_does_not_overflow() {
    let now = Instant::now();
    let endless = HandshakeConfig {
        timeout: Duration::MAX,
        ..config(SocketType::Pull)
    };
    assert!(begin(endless, now).deadline() > now + 1_000_000_000 * SECOND);
}
