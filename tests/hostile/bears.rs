//! The table of oddities: unusual, but allowed. The peer is served like any other.

use jackstay::{Message, PullSocket};

use crate::beside::Attacked;
use crate::support::raw::{GREETING, Raw, command, frame, greeting, ready, ready_with};
use crate::support::{whole, within};

/// Each line: a name that cites the clause, the greeting, the READY, and what is said before an ordinary message.
macro_rules! bears {
    ($($name:ident: $greeting:expr, $ready:expr, $octets:expr => $messages:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            whole(bears($greeting, $ready, Vec::from($octets), $messages.map(Message::from).into())).await;
        }
    )+};
}

const NONE: [Message; 0] = [];

bears! {
    g2_padding_is_not_looked_at: with(1, &[0xaa; 8]), ready("PUSH"), [] => NONE;
    g3_nor_is_the_filler: with(33, &[0x55; 31]), ready("PUSH"), [] => NONE;
    g9_nor_is_as_server: with(32, &[1]), ready("PUSH"), [] => NONE;
    g5_version_3_2: greeting(3, 2, b"NULL"), ready("PUSH"), [] => NONE;
    g5_version_4_0: greeting(4, 0, b"NULL"), ready("PUSH"), [] => NONE;
    g5_version_255_255: greeting(255, 255, b"NULL"), ready("PUSH"), [] => NONE;
    g6_version_3_0: greeting(3, 0, b"NULL"), ready("PUSH"), [] => NONE;
    n2_names_of_properties_in_another_case: GREETING, ready_with(&[("sOCKET-tYPE", b"PUSH")]), [] => NONE;
    n1_properties_in_any_order: GREETING, ready_with(&[("Identity", b""), ("X-a", b"b"), ("Socket-Type", b"PUSH")]), [] => NONE;
    n7_an_identity_of_255_octets: GREETING, ready_with(&[("Socket-Type", b"PUSH"), ("Identity", &[1; 255])]), [] => NONE;
    n9_unknown_properties: GREETING, ready_with(&[("Socket-Type", b"PUSH"), ("Colour", b"red"), ("X-Note", &[0; 1_000])]), [] => NONE;
    f3_the_long_form_of_a_short_body: GREETING, ready("PUSH"), *b"\x02\0\0\0\0\0\0\0\x02hi" => ["hi"];
    f3_a_long_ready: GREETING, long(ready("PUSH")), [] => NONE;
    f6_unknown_commands_after_the_handshake: GREETING, ready("PUSH"), [command("GOSSIP", b"x"), command("HELLO", b"")].concat() => NONE;
    f6_subscriptions_to_one_that_does_not_publish: GREETING, ready("PUSH"), [command("SUBSCRIBE", b"x"), command("CANCEL", b"x")].concat() => NONE;
    f10_empty_frames_anywhere: GREETING, ready("PUSH"), *b"\0\0\x01\0\x01\0\0\0" => [Message::from(""), Message::from(["", "", ""])];
    f7_a_command_between_two_frames: GREETING, ready("PUSH"), [frame(1, b"a"), command("PING", b"\0\0"), frame(0, b"b")].concat() => [Message::from(["a", "b"])];
    h1_a_pong_that_nobody_asked_for: GREETING, ready("PUSH"), command("PONG", b"0123456789abcdef") => NONE;
}

async fn bears(greeting: [u8; 64], ready: Vec<u8>, octets: Vec<u8>, messages: Vec<Message>) {
    let mut attacked = Attacked::new(PullSocket::new()).await;
    let mut raw = Raw::connect(&attacked.at)
        .await
        .with_hands_shaken(&greeting, &ready)
        .await;
    within(attacked.pull.wait_for_peers(2)).await.unwrap();
    raw.write(&octets).await;
    raw.write(&frame(0, b"ordinary")).await;
    for message in messages {
        assert_eq!(within(attacked.pull.recv()).await.unwrap(), message);
    }
    assert_eq!(within(attacked.pull.recv()).await.unwrap(), "ordinary");
    attacked.exchange(10).await;
    assert_eq!(attacked.pull.peers().len(), 2);
}

fn with(at: usize, octets: &[u8]) -> [u8; 64] {
    let mut greeting = GREETING;
    greeting[at..at + octets.len()].copy_from_slice(octets);
    greeting
}

/// The same short frame in the long form.
fn long(frame: Vec<u8>) -> Vec<u8> {
    let mut octets = vec![frame[0] | 2, 0, 0, 0, 0, 0, 0, 0];
    octets.extend(&frame[1..]);
    octets
}

#[tokio::test]
async fn g4_a_peer_that_says_one_octet_at_a_time() {
    whole(async {
        let mut attacked = Attacked::new(PullSocket::new()).await;
        let mut raw = Raw::connect(&attacked.at).await;
        let octets = [
            &GREETING[..],
            &ready("PUSH"),
            &frame(1, b"a"),
            &frame(0, b"b"),
        ]
        .concat();
        for octet in octets {
            raw.write(&[octet]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(
            within(attacked.pull.recv()).await.unwrap(),
            Message::from(["a", "b"])
        );
        attacked.exchange(10).await;
    })
    .await;
}

#[tokio::test]
async fn g4_a_peer_that_waits_for_each_part_of_our_greeting() {
    whole(async {
        let mut attacked = Attacked::new(PullSocket::new()).await;
        let mut raw = Raw::connect(&attacked.at).await;
        // As libzmq does: signature, version, the rest.
        let mut ours = Vec::new();
        for (part, awaited) in [(0..10, 10), (10..11, 1), (11..64, 53)] {
            raw.write(&GREETING[part]).await;
            ours.extend(raw.read_exact(awaited).await);
        }
        assert_eq!(ours, GREETING);
        // N3: ours sends READY without waiting for theirs.
        let (flags, body) = raw.read_frame().await;
        assert_eq!(
            (flags, &body[..]),
            (4, &b"\x05READY\x0bSocket-Type\0\0\0\x04PULL"[..])
        );
        raw.write(&ready("PUSH")).await;
        raw.write(&frame(0, b"hello")).await;
        assert_eq!(within(attacked.pull.recv()).await.unwrap(), "hello");
        attacked.exchange(10).await;
    })
    .await;
}

#[tokio::test]
async fn h1_a_ping_is_answered_with_its_context() {
    whole(async {
        let attacked = Attacked::new(PullSocket::new()).await;
        let mut raw = Raw::shake_hands(&attacked.at, "PUSH").await;
        for context in [&b""[..], b"x", b"0123456789abcdef"] {
            raw.write(&command("PING", &[b"\0\0", context].concat()))
                .await;
            let (flags, body) = raw.read_frame().await;
            assert_eq!((flags, body), (4, [b"\x04PONG", context].concat()));
        }
    })
    .await;
}

#[tokio::test]
async fn h6_of_many_pings_at_once_the_last_is_answered() {
    whole(async {
        let mut attacked = Attacked::new(PullSocket::new()).await;
        let mut raw = Raw::shake_hands(&attacked.at, "PUSH").await;
        let pings: Vec<u8> = (0..500)
            .flat_map(|n| command("PING", format!("\0\0{n}").as_bytes()))
            .collect();
        raw.write(&pings).await;
        let mut answered = 0;
        loop {
            let (_, body) = raw.read_frame().await;
            assert!(body.starts_with(b"\x04PONG"));
            answered += 1;
            if body.ends_with(b"PONG499") {
                break;
            }
        }
        assert!(answered <= 500, "{answered}");
        attacked.exchange(10).await;
    })
    .await;
}
