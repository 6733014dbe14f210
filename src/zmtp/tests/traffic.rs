//! Messages, subscriptions and heartbeats between two of us.

use super::*;

fn pair(heartbeat: Option<HeartbeatConfig>, now: Instant) -> (Engine, Engine) {
    let ours = HandshakeConfig {
        heartbeat,
        ..config(SocketType::Dealer)
    };
    let (one, other) = connect(ours, config(SocketType::Router), now);
    (one.engine, other.engine)
}

fn heartbeat() -> HeartbeatConfig {
    HeartbeatConfig {
        interval: 10 * SECOND,
        timeout: 5 * SECOND,
        ttl: 20 * SECOND,
    }
}

/// Lets `to` receive what `from` has to send.
fn pass(from: &mut Engine, to: &mut Engine, now: Instant) -> usize {
    let mut octets = from.output().split();
    let len = octets.len();
    assert_eq!(receive_all(to, &mut octets, now), Ok(vec![]));
    len
}

#[test]
fn f7_f8_messages_of_any_shape_arrive_whole_once_and_in_order_however_cut() {
    const SIZES: [usize; 12] = [0, 1, 2, 69, 70, 71, 255, 256, 1023, 1024, 1025, 5000];
    let now = Instant::now();
    let mut dice = Dice(42);
    for _ in 0..200 {
        let (_, mut router) = pair(None, now);
        let messages: Vec<Message> = (0..20)
            .map(|_| {
                let frames = 1 + dice.below(4);
                (0..frames)
                    .map(|frame| vec![frame as u8; SIZES[dice.below(12)]])
                    .collect()
            })
            .collect();
        let mut stream = Vec::new();
        for message in &messages {
            encode_message(message, &mut stream);
        }
        let (mut buf, mut arrived) = (BytesMut::new(), Vec::new());
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(1 + dice.below(rest.len().min(3000)));
            buf.extend_from_slice(head);
            arrived.extend(receive_all(&mut router, &mut buf, now).unwrap());
            rest = tail;
        }
        let expected: Vec<_> = messages.into_iter().map(Seen::Message).collect();
        assert_eq!(arrived, expected);
    }
}

#[test]
fn a_subscription_reaches_a_publisher_at_the_next_version_too() {
    let now = Instant::now();
    let (_, mut publisher) = connect(config(SocketType::Sub), config(SocketType::XPub), now);
    let mut out = Vec::new();
    let long = vec![b't'; 60_000];
    put_subscription(Version::V3_1, true, &long, &mut out);
    put_subscription(Version::V3_1, false, b"t", &mut out);
    let inbound = receive_all(&mut publisher.engine, &mut out[..].into(), now);
    let expected = vec![
        Seen::Subscribe(long.into()),
        Seen::Cancel(Bytes::from_static(b"t")),
    ];
    assert_eq!(inbound, Ok(expected));
}

#[test]
fn g6_to_a_peer_of_3_0_ping_is_sent_only_if_configured() {
    let now = Instant::now();
    for (heartbeat, expected) in [
        (None, &b""[..]),
        (Some(heartbeat()), b"\x04\x07\x04PING\0\xc8"),
    ] {
        let ours = HandshakeConfig {
            heartbeat,
            ..config(SocketType::Pull)
        };
        let mut side = Side::new(ours, now);
        side.arrive(&greeting(0), now);
        side.arrive(&ready(&[("Socket-Type", b"PUSH")]), now);
        let Established {
            peer, mut engine, ..
        } = side.established();
        assert_eq!(peer.version, Version::V3_0);
        assert_eq!(engine.on_timeout(now + 10 * SECOND), Ok(()));
        assert_eq!(engine.output(), expected);
    }
}

#[test]
fn h1_h3_h5_a_heartbeat_is_answered_and_the_connection_lives() {
    let mut now = Instant::now();
    let (mut dealer, mut router) = pair(Some(heartbeat()), now);
    for _ in 0..10 {
        assert_eq!(dealer.next_timeout(), Some(now + 10 * SECOND));
        now += 10 * SECOND;
        assert_eq!(dealer.on_timeout(now), Ok(()));
        assert_eq!(dealer.next_timeout(), Some(now + 5 * SECOND));
        assert_eq!(pass(&mut dealer, &mut router, now), 9);
        // H4: the answering side knows by when to hear again.
        assert_eq!(router.next_timeout(), Some(now + 20 * SECOND));
        assert_eq!(pass(&mut router, &mut dealer, now), 7);
        assert_eq!(router.on_timeout(now), Ok(()));
    }
}

#[test]
fn h3_a_message_answers_a_heartbeat_even_if_only_a_part_has_arrived() {
    let start = Instant::now();
    let (mut dealer, _) = pair(Some(heartbeat()), start);
    let mut now = start + 10 * SECOND;
    assert_eq!(dealer.on_timeout(now), Ok(()));
    now += 4 * SECOND;
    dealer.heard(now);
    assert_eq!(
        dealer.receive_one(&mut b"\0\x05he"[..].into(), now),
        Ok(None)
    );
    now += SECOND;
    assert_eq!(dealer.on_timeout(now), Ok(()));
}

#[test]
fn h5_no_answer_within_the_timeout_ends_the_connection() {
    let start = Instant::now();
    let (mut dealer, _) = pair(Some(heartbeat()), start);
    assert_eq!(dealer.on_timeout(start + 10 * SECOND), Ok(()));
    let end = dealer.on_timeout(start + 15 * SECOND);
    assert_eq!(end, Err(ProtocolError::HeartbeatTimeout));
    assert!(end.is_err_and(|error| !error.is_fatal()));
}

#[test]
fn h4_silence_beyond_the_ttl_ends_the_connection() {
    let start = Instant::now();
    let (mut dealer, mut router) = pair(Some(heartbeat()), start);
    let ping = start + 10 * SECOND;
    assert_eq!(dealer.on_timeout(ping), Ok(()));
    pass(&mut dealer, &mut router, ping);
    assert_eq!(router.on_timeout(ping + 19 * SECOND), Ok(()));
    let end = router.on_timeout(ping + 20 * SECOND);
    assert_eq!(end, Err(ProtocolError::TtlExpired));
}

#[test]
fn a_side_that_does_not_read_excuses_the_silence_it_made() {
    let start = Instant::now();
    let (mut dealer, _) = pair(Some(heartbeat()), start);
    assert_eq!(dealer.on_timeout(start + 10 * SECOND), Ok(()));
    dealer.heard(start + 15 * SECOND);
    assert_eq!(dealer.on_timeout(start + 15 * SECOND), Ok(()));
    // It still tells the peer that it lives.
    dealer.output().clear();
    assert_eq!(dealer.on_timeout(start + 20 * SECOND), Ok(()));
    assert!(!dealer.output().is_empty());
}

#[test]
fn h6_a_peer_that_asks_and_does_not_read_is_owed_one_pong() {
    let now = Instant::now();
    let (mut dealer, _) = pair(None, now);
    for context in 0..100 {
        let mut ping = BytesMut::from(&b"\x04\x08\x04PING\0\0"[..]);
        ping.extend_from_slice(&[context]);
        assert_eq!(dealer.receive_one(&mut ping, now), Ok(None));
        // The owner looks, but can write only one octet in all.
        if context == 0 {
            let _ = dealer.output().split_to(1);
        }
        assert_eq!(dealer.output().len(), 7);
    }
    // The rest of the first, and then the last.
    assert_eq!(dealer.output().split(), &b"\x06\x04PONG\0"[..]);
    assert_eq!(dealer.output().split(), &b"\x04\x06\x04PONG\x63"[..]);
    assert!(dealer.output().is_empty());
}

#[test]
fn h8_radio_does_not_ping_dish() {
    let now = Instant::now();
    for (ours, theirs, pings) in [
        (SocketType::Radio, SocketType::Dish, false),
        (SocketType::Dish, SocketType::Radio, true),
    ] {
        let ours = HandshakeConfig {
            heartbeat: Some(heartbeat()),
            ..config(ours)
        };
        let (mut one, _) = connect(ours, config(theirs), now);
        assert_eq!(one.engine.next_timeout().is_some(), pings);
        assert_eq!(one.engine.on_timeout(now + 10 * SECOND), Ok(()));
        assert_eq!(!one.engine.output().is_empty(), pings);
    }
}

#[test]
fn f6_unknown_commands_are_ignored_between_messages_until_they_flood() {
    let now = Instant::now();
    let (mut dealer, _) = pair(None, now);
    let unknown = b"\x04\x05\x04WHAT".repeat(1000);
    let mut buf = BytesMut::from(&unknown[..]);
    buf.extend_from_slice(b"\0\x02hi");
    let message = Seen::Message(Message::from("hi"));
    assert_eq!(receive_all(&mut dealer, &mut buf, now), Ok(vec![message]));
    let flood = dealer.receive_one(&mut b"\x04\x05\x04WHAT"[..].into(), now);
    assert_eq!(flood, Err(ProtocolError::CommandFlood { limit: 1000 }));
}

// The next body may be large, too: its head would be copied out of the buffer that was read into.
#[test]
fn behind_a_large_body_little_is_read_ahead_until_something_small_comes() {
    let now = Instant::now();
    let (_, mut router) = pair(None, now);
    let mut buf = BytesMut::new();
    assert_eq!(router.read_ahead(), usize::MAX);
    assert!(router.spent().is_none());
    encode_message(&Message::from(vec![7; 100_000]), &mut buf);
    let seen = receive_all(&mut router, &mut buf, now).unwrap();
    assert_eq!(router.read_ahead(), 8 << 10);
    // The rest of the buffer is free to be used again when the message is gone.
    let mut spent = router.spent().unwrap();
    assert!(!spent.try_reclaim(100_000));
    drop(seen);
    assert!(spent.try_reclaim(100_000));
    assert!(router.spent().is_none());
    encode_message(&"small".into(), &mut buf);
    receive_all(&mut router, &mut buf, now).unwrap();
    assert_eq!(router.read_ahead(), usize::MAX);
}
