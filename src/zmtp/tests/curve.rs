//! CURVE under a whole connection: two handshakes, then two engines.

use std::sync::Arc;

use super::*;
use crate::mechanism::Seal;
use crate::security::{KeyPair, Principal, Refusal, SecretKey};

fn pair(seed: u8) -> Arc<KeyPair> {
    Arc::new(SecretKey::from_bytes(&[seed; 32]).into())
}

fn client() -> Role {
    Role::CurveClient {
        server: *pair(2).public_key(),
        own: pair(1),
    }
}

fn server() -> Role {
    Role::CurveServer { own: pair(2) }
}

/// A side in its handshake, whose authenticator accepts everybody.
struct Shaking {
    handshake: Handshake,
    arrived: BytesMut,
    established: Option<Established>,
}

impl Shaking {
    fn new(config: HandshakeConfig, role: &Role, now: Instant) -> Self {
        let mechanism = role.begin(config.announcement(), Asked::Never).unwrap();
        Self {
            handshake: Handshake::new(config, mechanism, now),
            arrived: BytesMut::new(),
            established: None,
        }
    }

    /// Takes in octets; returns what it says.
    fn step(
        &mut self,
        octets: &[u8],
        now: Instant,
        verdict: &Result<Principal, Refusal>,
    ) -> Result<BytesMut, HandshakeError> {
        self.arrived.extend_from_slice(octets);
        while self.established.is_none() {
            match self.handshake.input(&mut self.arrived, now)? {
                Progress::Waiting => break,
                Progress::Decide(_) => self.handshake.decided(verdict.clone())?,
                Progress::Established(established) => self.established = Some(*established),
            }
        }
        Ok(self.handshake.output().split())
    }
}

/// One side of an encrypted connection.
struct Secure {
    engine: Engine,
    seal: Box<dyn Seal>,
    arrived: BytesMut,
}

impl Secure {
    fn new(side: Shaking) -> Self {
        let established = side.established.expect("an end of the handshake");
        assert_eq!(side.arrived, "", "nothing was sent behind the handshake");
        Self {
            engine: established.engine,
            seal: established.seal.expect("encrypted"),
            arrived: BytesMut::new(),
        }
    }

    /// What is written for these octets, which are framed.
    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut plain = BytesMut::from(plain);
        let mut sealed = Vec::new();
        while let Some(header) = FrameHeader::parse(&plain).unwrap() {
            let frame = plain.split_to(header.header_len + header.body_len);
            self.seal
                .seal(header.kind, &frame[header.header_len..], &mut sealed);
        }
        sealed
    }

    fn sealed_message(&mut self, message: impl Into<Message>) -> Vec<u8> {
        let mut plain = Vec::new();
        encode_message(&message.into(), &mut plain);
        self.seal(&plain)
    }

    fn receive(&mut self, octets: &[u8], now: Instant) -> Result<Vec<Seen>, ProtocolError> {
        self.arrived.extend_from_slice(octets);
        receive_all(&mut self.engine, &mut self.arrived, now)
    }
}

/// Shakes hands, `step` octets at a time.
fn secure((one, other): (SocketType, SocketType), step: usize, now: Instant) -> (Secure, Secure) {
    secure_with(config(one), config(other), step, now)
}

fn secure_with(
    one: HandshakeConfig,
    other: HandshakeConfig,
    step: usize,
    now: Instant,
) -> (Secure, Secure) {
    let verdict = Ok(Principal::new("joe"));
    let mut client = Shaking::new(one, &client(), now);
    let mut server = Shaking::new(other, &server(), now);
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    loop {
        let some = there.split_to(there.len().min(step));
        back.unsplit(server.step(&some, now, &verdict).unwrap());
        let some = back.split_to(back.len().min(step));
        there.unsplit(client.step(&some, now, &verdict).unwrap());
        if there.is_empty() && back.is_empty() {
            break;
        }
    }
    let principal = |side: &Shaking| side.established.as_ref().unwrap().principal.clone();
    assert_eq!(principal(&server).unwrap().user_id(), "joe");
    assert!(principal(&client).is_none());
    (Secure::new(client), Secure::new(server))
}

#[test]
fn c3_a_client_that_does_not_come_back_is_forgotten_before_the_handshakes_deadline() {
    let start = Instant::now();
    let patient = |socket_type| HandshakeConfig {
        timeout: Duration::from_secs(600),
        ..config(socket_type)
    };
    let verdict = Ok(Principal::new("joe"));
    let mut client = Shaking::new(patient(SocketType::Push), &client(), start);
    let mut server = Shaking::new(patient(SocketType::Pull), &server(), start);
    let later = start + Duration::from_secs(5);
    let greeting = server.step(b"", later, &verdict).unwrap();
    let hello = client.step(&greeting, later, &verdict).unwrap();
    let welcome = server.step(&hello, later, &verdict).unwrap();
    let end = later + Duration::from_secs(60);
    assert_eq!(server.handshake.deadline(), end);
    assert_eq!(server.handshake.overdue(), HandshakeError::CookieExpired);
    let initiate = client.step(&welcome, later, &verdict).unwrap();
    assert_eq!(
        client.handshake.deadline(),
        start + Duration::from_secs(600)
    );
    let late = server.step(&initiate, end, &verdict);
    assert_eq!(late, Err(HandshakeError::CookieExpired));
}

const PUSH_PULL: (SocketType, SocketType) = (SocketType::Push, SocketType::Pull);
const SUB_PUB: (SocketType, SocketType) = (SocketType::Sub, SocketType::Pub);

fn messages() -> Vec<Message> {
    vec![
        "a".into(),
        "".into(),
        ("key", "", vec![7; 300]).into(),
        vec![1; 5000].into(),
        vec![2; 70].into(),
    ]
}

#[test]
fn f7_messages_arrive_whole_and_in_order_however_the_stream_is_cut() {
    let now = Instant::now();
    for step in [1, 7, 64, usize::MAX] {
        let (mut client, mut server) = secure(PUSH_PULL, step, now);
        let sealed: Vec<u8> = messages()
            .into_iter()
            .flat_map(|message| client.sealed_message(message))
            .collect();
        let mut seen = Vec::new();
        for octets in sealed.chunks(step.min(sealed.len())) {
            seen.extend(server.receive(octets, now).unwrap());
        }
        let expected: Vec<_> = messages().into_iter().map(Seen::Message).collect();
        assert_eq!(seen, expected, "step {step}");
    }
}

#[test]
fn c6_subscriptions_and_heartbeats_travel_within() {
    let now = Instant::now();
    let (mut client, mut server) = secure(SUB_PUB, usize::MAX, now);
    let mut plain = Vec::new();
    put_subscription(Version::V3_1, true, b"topic", &mut plain);
    put_subscription(Version::V3_1, false, b"topic", &mut plain);
    plain.extend_from_slice(b"\x04\x09\x04PING\0\x0act");
    let sealed = client.seal(&plain);
    let topic = Bytes::from_static(b"topic");
    assert_eq!(
        server.receive(&sealed, now),
        Ok(vec![Seen::Subscribe(topic.clone()), Seen::Cancel(topic)])
    );
    assert_eq!(server.engine.output().split(), "\x04\x07\x04PONGct");
}

#[test]
fn c7_the_outer_frame_may_be_a_command_but_not_continued() {
    let now = Instant::now();
    let outer = |flags: u8| {
        let (mut client, mut server) = secure(PUSH_PULL, usize::MAX, now);
        let mut sealed = client.sealed_message("a");
        sealed[0] |= flags;
        server.receive(&sealed, now)
    };
    let seen = Ok(vec![Seen::Message("a".into())]);
    assert_eq!(outer(0), seen);
    assert_eq!(outer(4), seen);
    assert_eq!(outer(1), Err(ProtocolError::NotEncrypted));
}

#[test]
fn c9_what_is_not_encrypted_is_an_error_and_nothing_of_it_is_delivered() {
    let now = Instant::now();
    for plain in [
        &b"\0\x01a"[..],
        b"\x04\x05\x04PING\0\0",
        b"\x04\x0a\x05ERROR\x03400",
        b"\0\x20\x07MESSAGE000000000000000000000000",
        b"\0\x28READY   00000000000000000000000000000000",
    ] {
        let (_, mut server) = secure(PUSH_PULL, usize::MAX, now);
        assert_eq!(
            server.receive(plain, now),
            Err(ProtocolError::NotEncrypted),
            "{}",
            plain.escape_ascii()
        );
    }
}

#[test]
fn c9_a_changed_octet_ends_the_connection_before_anything_is_delivered() {
    let now = Instant::now();
    let (mut client, _) = secure(PUSH_PULL, usize::MAX, now);
    let sealed = client.sealed_message(("a", "b"));
    for at in 0..sealed.len() {
        let (_, mut server) = secure(PUSH_PULL, usize::MAX, now);
        let mut changed = sealed.clone();
        changed[at] ^= 0x10;
        // A longer length is waited for.
        let outcome = server.receive(&changed, now);
        assert!(
            outcome.is_err() || outcome == Ok(vec![]),
            "octet {at}: {outcome:?}"
        );
        assert!(server.engine.output().is_empty(), "nothing is answered");
    }
}

#[test]
fn c9_what_came_whole_before_a_changed_frame_is_delivered_and_nothing_behind_it() {
    let now = Instant::now();
    let (mut client, mut server) = secure(PUSH_PULL, usize::MAX, now);
    let before = client.sealed_message("before");
    let mut changed = client.sealed_message("changed");
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let behind = client.sealed_message("behind");
    server
        .arrived
        .extend_from_slice(&[before, changed, behind].concat());
    match server.engine.receive(&mut server.arrived, now, 1) {
        Ok(Some(Inbound::Run(extent))) => {
            let message = Run::take_one(server.engine.front(&mut server.arrived), extent);
            assert_eq!(message.unwrap(), "before");
        }
        other => panic!("{other:?}"),
    }
    assert!(server.engine.receive(&mut server.arrived, now, 1).is_err());
}

#[test]
fn f11_the_limits_are_those_of_the_frames_within() {
    let now = Instant::now();
    let limits = Limits {
        max_message_size: 100,
        max_frames: 2,
        max_handshake_command: 1000,
        ..Limits::default()
    };
    let refused = |message: Message| {
        let strict = HandshakeConfig {
            limits,
            ..config(SocketType::Pull)
        };
        let ours = config(SocketType::Push);
        let (mut client, mut server) = secure_with(ours, strict, usize::MAX, now);
        let sealed = client.sealed_message(message);
        server.receive(&sealed, now)
    };
    assert!(refused(vec![0; 100].into()).is_ok());
    let too_large = |size, limit| Err(ProtocolError::MessageTooLarge { size, limit });
    assert_eq!(refused(vec![0; 101].into()), too_large(101, 100));
    assert_eq!(
        refused((vec![0; 50], vec![0; 51]).into()),
        too_large(101, 100)
    );
    let too_many = Err(ProtocolError::TooManyFrames { limit: 2 });
    assert_eq!(refused(["a", "b", "c"].into()), too_many);
}

#[test]
fn whole_commands_to_a_server_take_long() {
    let now = Instant::now();
    let [mut server, mut client] =
        [server(), client()].map(|role| Shaking::new(config(SocketType::Pair), &role, now));
    let verdict = Ok(Principal::new("anybody"));
    let greeting = server.handshake.output().split();
    let hello = client.step(&greeting, now, &verdict).unwrap();
    assert!(!client.handshake.labours(&greeting));
    for end in 0..hello.len() {
        assert!(!server.handshake.labours(&hello[..end]));
    }
    assert!(server.handshake.labours(&hello));
    // The greeting alone, and then the rest.
    server.step(&hello[..64], now, &verdict).unwrap();
    assert!(!server.handshake.labours(&hello[64..hello.len() - 1]));
    assert!(server.handshake.labours(&hello[64..]));
    let welcome = server.step(&hello[64..], now, &verdict).unwrap();
    let initiate = client.step(&welcome, now, &verdict).unwrap();
    assert!(!server.handshake.labours(&initiate[..initiate.len() - 1]));
    assert!(server.handshake.labours(&initiate));
    server.step(&initiate, now, &verdict).unwrap();
    assert!(!server.handshake.labours(&initiate));
}

// Frames are opened in batches of 256 KiB; what is open and waits for its message's end is not one.
#[test]
fn f7_a_message_of_many_frames_is_opened_however_much_of_it_waits() {
    let now = Instant::now();
    let (mut push, mut pull) = secure((SocketType::Push, SocketType::Pull), usize::MAX, now);
    let message: Message = std::iter::repeat_n(vec![7; 30 << 10], 40).collect();
    let sealed = push.sealed_message(message.clone());
    let (first, rest) = sealed.split_at(sealed.len() / 2);
    assert_eq!(pull.receive(first, now), Ok(vec![]));
    assert_eq!(pull.receive(rest, now), Ok(vec![Seen::Message(message)]));
    // Nothing can be read past what is to be opened.
    assert!(pull.engine.body().is_none());
    assert_eq!(pull.engine.read_ahead(), usize::MAX);
}

#[test]
fn g9_the_greeting_says_who_is_the_server() {
    let now = Instant::now();
    let roles = [
        (Role::Null, 0),
        (Role::PlainServer, 1),
        (client(), 0),
        (server(), 1),
    ];
    for (role, as_server) in roles {
        let mut side = Shaking::new(config(SocketType::Pair), &role, now);
        assert_eq!(side.handshake.output()[32], as_server, "{role:?}");
    }
}

#[test]
fn f11_an_encrypted_frame_that_is_too_large_is_known_by_its_header() {
    let now = Instant::now();
    let limit = Limits::default().max_message_size;
    for (size, refused) in [(limit, false), (limit + 1, true), (2 * limit, true)] {
        let (_, mut pull) = secure((SocketType::Push, SocketType::Pull), usize::MAX, now);
        let mut header = Vec::new();
        // C6: what a MESSAGE adds.
        put_header(&mut header, false, 33 + size);
        let expected = if refused {
            Err(ProtocolError::MessageTooLarge { size, limit })
        } else {
            Ok(vec![])
        };
        assert_eq!(pull.receive(&header, now), expected);
    }
}
