//! Peers that break the rules: each is refused for its own reason, and none makes us panic.

use super::*;

/// What becomes of a PULL socket's handshake with a peer that sends `octets` after a good greeting.
#[track_caller]
fn refusal(octets: &[u8]) -> (HandshakeError, BytesMut) {
    let now = Instant::now();
    let mut side = Side::new(config(SocketType::Pull), now);
    side.arrive(&greeting(1), now);
    side.leave(usize::MAX);
    side.arrive(octets, now);
    let output = side.leave(usize::MAX);
    (side.error(), output)
}

/// As [`refusal`], for one that the peer is told of.
#[track_caller]
fn told(octets: &[u8]) -> HandshakeError {
    let (error, output) = refusal(octets);
    let mut expected = Vec::new();
    put_error(&mut expected, &error.to_string());
    assert_eq!(output, expected);
    assert!(!error.is_fatal());
    error
}

/// As [`refusal`], for one without a word.
#[track_caller]
fn silent(octets: &[u8]) -> HandshakeError {
    let (error, output) = refusal(octets);
    assert!(output.is_empty());
    error
}

#[test]
fn g8_the_mechanism_has_to_match_in_all_20_octets() {
    let now = Instant::now();
    for (name, shown) in [
        (&b"PLAIN"[..], "PLAIN"),
        (b"CURVE", "CURVE"),
        (b"null", "null"),
        (b"NULLNULL", "NULLNULL"),
        (
            b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0!",
            r"NULL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00!",
        ),
        (b"", ""),
    ] {
        let mut peers = greeting(1);
        peers[12..32].fill(0);
        peers[12..12 + name.len()].copy_from_slice(name);
        let mut side = Side::new(config(SocketType::Pull), now);
        side.arrive(&peers, now);
        let theirs = shown.into();
        assert_eq!(
            side.error(),
            HandshakeError::MechanismMismatch {
                ours: "NULL",
                theirs
            }
        );
        assert_eq!(side.leave(usize::MAX).len(), 64);
    }
}

#[test]
fn g7_an_older_version_is_refused_as_soon_as_it_shows() {
    let now = Instant::now();
    let mut side = Side::new(config(SocketType::Pull), now);
    side.arrive(b"\xff\0\0\0\0\0\0\0\x01\x7f", now);
    assert!(side.pending());
    side.arrive(b"\x01", now);
    assert_eq!(
        side.error(),
        HandshakeError::UnsupportedVersion { major: 2 }
    );
}

#[test]
fn n4_n11_a_message_within_the_handshake_is_an_error() {
    assert_eq!(silent(b"\0\x05hello"), HandshakeError::PrematureMessage);
    assert_eq!(silent(b"\x01\0"), HandshakeError::PrematureMessage);
    // READY without the COMMAND flag.
    let mut octets = ready(&[("Socket-Type", b"PUSH")]);
    octets[0] = 2;
    assert_eq!(silent(&octets), HandshakeError::PrematureMessage);
}

#[test]
fn n5_a_missing_or_unknown_socket_type_is_refused_with_error() {
    assert_eq!(told(&ready(&[])), HandshakeError::MissingSocketType);
    assert_eq!(
        told(&ready(&[("Identity", b"me")])),
        HandshakeError::MissingSocketType
    );
    for name in ["push", "STREAM", "", "PUSH\n", "\u{fc}"] {
        let theirs = name.as_bytes().escape_ascii().to_string();
        let error = told(&ready(&[("Socket-Type", name.as_bytes())]));
        assert_eq!(error, HandshakeError::UnknownSocketType { theirs });
    }
}

#[test]
fn n7_an_identity_that_is_too_long_or_reserved_is_refused_with_error() {
    let with_identity =
        |identity: &[u8]| ready(&[("Socket-Type", b"PUSH"), ("Identity", identity)]);
    assert!(matches!(
        told(&with_identity(&[1; 256])),
        HandshakeError::IdentityTooLong(_)
    ));
    assert_eq!(
        told(&with_identity(b"\0abc")),
        HandshakeError::IdentityReserved
    );
}

#[test]
fn n1_n8_metadata_that_is_malformed_or_says_a_thing_twice_is_refused_with_error() {
    let mut octets = ready(&[("Socket-Type", b"PUSH")]);
    octets[8] += 1;
    octets.push(b'!');
    assert_eq!(told(&octets), HandshakeError::MalformedMetadata);
    let name = "socket-type".into();
    let twice = ready(&[("Socket-Type", b"PUSH"), ("socket-type", b"PUSH")]);
    assert_eq!(told(&twice), HandshakeError::DuplicateProperty { name });
}

#[test]
fn the_number_of_properties_is_limited() {
    let names: Vec<_> = (0..32).map(|number| format!("X-{number}")).collect();
    let mut properties: Vec<(&str, &[u8])> = vec![("Socket-Type", b"PUSH")];
    properties.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
    assert_eq!(
        told(&ready(&properties)),
        HandshakeError::TooManyProperties { limit: 32 }
    );
}

#[test]
fn n10_a_received_error_is_fatal_and_not_answered() {
    let mut octets = Vec::new();
    put_error(&mut octets, "not today");
    let error = silent(&octets);
    assert_eq!(
        error,
        HandshakeError::Refused {
            reason: "not today".into()
        }
    );
    assert!(error.is_fatal());
    // It can come behind READY, when the peer finds fault with ours.
    let now = Instant::now();
    let (mut one, _) = connect(config(SocketType::Pull), config(SocketType::Push), now);
    let error = one
        .engine
        .receive_one(&mut octets[..].into(), now)
        .unwrap_err();
    assert!(error.is_fatal() && HandshakeError::from(error).is_fatal());
}

#[test]
fn f1_reserved_flags_within_the_handshake_are_an_error() {
    let error = HandshakeError::Protocol(ProtocolError::ReservedFlags { flags: 0x0c });
    assert_eq!(silent(b"\x0c"), error);
}

#[test]
fn f6_h7_an_unknown_command_or_ping_within_the_handshake_is_an_error() {
    for (octets, name) in [
        (&b"\x04\x07\x04PING\0\0"[..], "PING"),
        (b"\x04\x06\x05HELLO", "HELLO"),
        (b"\x04\x06\x05ready", "ready"),
        (b"\x04\x03\x02\n!", r"\n!"),
    ] {
        let name = name.into();
        assert_eq!(silent(octets), HandshakeError::UnexpectedCommand { name });
    }
}

#[test]
fn f5_a_malformed_command_within_the_handshake_is_an_error() {
    for octets in [
        &b"\x04\0"[..],
        b"\x04\x01\0",
        b"\x04\x05\x05READ",
        b"\x04\x06\x05ERROR",
    ] {
        let error = silent(octets);
        assert!(
            matches!(
                error,
                HandshakeError::Protocol(ProtocolError::MalformedCommand { .. })
            ),
            "{error}"
        );
    }
}

#[test]
fn f11_a_handshake_command_has_its_own_limit_known_from_the_header() {
    let size = 64 * 1024 + 1;
    let limit = 64 * 1024;
    let error = silent(b"\x06\0\0\0\0\0\x01\0\x01");
    assert_eq!(error, HandshakeError::CommandTooLarge { size, limit });
    let now = Instant::now();
    let mut side = Side::new(config(SocketType::Pull), now);
    side.arrive(&greeting(1), now);
    side.arrive(b"\x06\0\0\0\0\0\x01\0\0", now);
    assert!(side.pending(), "the longest is awaited");
    // Messages may be as short as the user wants.
    let limits = Limits {
        max_message_size: 1,
        ..Limits::default()
    };
    let strict = HandshakeConfig {
        limits,
        ..config(SocketType::Pull)
    };
    connect(strict, config(SocketType::Push), now);
}

#[test]
fn f2_an_announced_size_makes_no_room_before_its_octets_arrive() {
    let now = Instant::now();
    let limits = Limits {
        max_message_size: usize::MAX,
        ..Limits::default()
    };
    let boundless = HandshakeConfig {
        limits,
        ..config(SocketType::Pull)
    };
    let (mut pull, _) = connect(boundless.clone(), config(SocketType::Push), now);
    let mut buf = BytesMut::from(&b"\x02\x7f\xff\xff\xff\xff\xff\xff\xffbody"[..]);
    assert_eq!(pull.engine.receive_one(&mut buf, now), Ok(None));
    // At least 64 KiB at a time, at most as much again as has arrived.
    for (arrived, room) in [(4, 64 << 10), (64 << 10, 128 << 10), (128 << 10, 256 << 10)] {
        pull.engine.body().unwrap().0.resize(arrived, b'.');
        let (body, missing) = pull.engine.body().unwrap();
        assert_eq!((body.len(), body.capacity()), (arrived, room));
        assert_eq!(missing, isize::MAX as usize - arrived);
    }
    // Small ones wait in the buffer.
    let (mut pull, _) = connect(boundless, config(SocketType::Push), now);
    let mut buf = BytesMut::from(&b"\0\x05he"[..]);
    assert_eq!(pull.engine.receive_one(&mut buf, now), Ok(None));
    assert!(pull.engine.body().is_none());
}

#[test]
fn nothing_from_the_network_panics() {
    let now = Instant::now();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut good = greeting(1).to_vec();
    good.extend(ready(&[
        ("Socket-Type", b"PUSH"),
        ("Identity", b"me"),
        ("X-a", b"b"),
    ]));
    good.extend(b"\x01\x01a\x04\x07\x04PING\0\x05\0\x05hello\x04\x0a\x09SUBSCRIBE\x04\x05\x04PONG");
    let mut refused = 0;
    for _ in 0..20_000 {
        // A good stream with up to four octets that are not.
        let mut stream = good.clone();
        for _ in 0..dice.below(5) {
            let at = dice.below(stream.len());
            stream[at] = dice.below(256) as u8;
        }
        stream.truncate(stream.len() - dice.below(8));
        let mut side = Side::new(config(SocketType::Pull), now);
        while !stream.is_empty() {
            let len = 1 + dice.below(stream.len());
            side.arrive(&stream[..len], now);
            stream.drain(..len);
        }
        let mut arrived = std::mem::take(&mut side.arrived);
        match side.result {
            Ok(Some(Established { mut engine, .. })) => {
                refused += usize::from(receive_all(&mut engine, &mut arrived, now).is_err());
            }
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(
        (1000..20_000).contains(&refused),
        "{refused} of 20,000 refused"
    );
}
