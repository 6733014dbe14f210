use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use super::boxes::{HEAD, Nonce, SharedKey};
use super::*;
use crate::mechanism::tests::{Side, failed, goes_on, met, to_decide};
use crate::mechanism::{Asked, Role, Step, Traffic};
use crate::security::{Credentials, KeyPair, PublicKey, SecretKey};
use crate::zmtp::{FrameHeader, FrameKind};

/// The same in every run.
fn entropy(seed: u8) -> Entropy {
    Entropy {
        transient: Zeroizing::new([seed; KEY]),
        cookie_key: Zeroizing::new([seed ^ 0x55; KEY]),
        nonces: [[seed; LONG_NONCE], [!seed; LONG_NONCE]],
    }
}

fn pair(seed: u8) -> Arc<KeyPair> {
    Arc::new(SecretKey::from_bytes(&[seed; KEY]).into())
}

fn client() -> Side {
    client_of(pair(2).public_key())
}

fn client_of(server: &PublicKey) -> Side {
    let metadata = Bytes::from_static(b"of the client");
    Side::new(CurveClient::new(*server, pair(1), metadata, &entropy(3)).unwrap())
}

fn server() -> Side {
    let metadata = Bytes::from_static(b"of the server");
    Side::new(CurveServer::new(pair(2), metadata, entropy(4)))
}

fn hello() -> Bytes {
    client().says_one()
}

/// A server that has said WELCOME, and that.
fn welcoming() -> (Side, Bytes) {
    let mut server = server();
    goes_on(server.hears(hello()));
    let welcome = server.says_one();
    (server, welcome)
}

fn welcome() -> Bytes {
    welcoming().1
}

/// A client that has said INITIATE, and that.
fn initiating() -> (Side, Bytes) {
    let mut client = client();
    client.says_one();
    goes_on(client.hears(welcome()));
    let initiate = client.says_one();
    (client, initiate)
}

fn initiate() -> Bytes {
    initiating().1
}

fn ready() -> Bytes {
    let (mut server, _) = welcoming();
    to_decide(server.hears(initiate()));
    server.accepts();
    server.says_one()
}

/// Both directions of a connection: the client's and the server's part.
fn connected() -> (Traffic, Traffic) {
    let (mut client, initiate) = initiating();
    let (mut server, _) = welcoming();
    to_decide(server.hears(initiate));
    server.accepts();
    met(client.hears(server.says_one()));
    let traffic = |mut side: Side| side.mechanism.traffic().expect("encrypted");
    (traffic(client), traffic(server))
}

/// The body of the frame that `traffic` makes of this one.
fn sealed(traffic: &mut Traffic, kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    traffic.seal.seal(kind, body, &mut out);
    assert_eq!(out.len(), traffic.seal.sealed_len(body.len()));
    let header = FrameHeader::parse(&out).unwrap().unwrap();
    // C7
    assert_eq!(header.kind, FrameKind::Last);
    assert_eq!(out.len(), header.header_len + header.body_len);
    out.split_off(header.header_len)
}

fn opened(traffic: &mut Traffic, mut body: Vec<u8>) -> Result<(FrameKind, Vec<u8>), ProtocolError> {
    let (kind, at) = traffic.open.open(&mut body)?;
    Ok((kind, body.split_off(at)))
}

/// `body` with one bit of octet `at` turned over.
fn flipped(body: &[u8], at: usize) -> Vec<u8> {
    let mut body = body.to_vec();
    body[at] ^= 1;
    body
}

const WELCOME_FORGED: HandshakeError = HandshakeError::NotAuthentic { command: "WELCOME" };
const INITIATE_FORGED: HandshakeError = HandshakeError::NotAuthentic {
    command: "INITIATE",
};
const READY_FORGED: HandshakeError = HandshakeError::NotAuthentic { command: "READY" };

/// Public keys of which every secret makes zeros.
fn low_order() -> [[u8; KEY]; 4] {
    let mut one = [0; KEY];
    one[0] = 1;
    let mut p = [0xff; KEY];
    p[0] = 0xed;
    p[31] = 0x7f;
    let of_eight = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    [[0; KEY], one, p, of_eight]
}

#[test]
fn a_whole_handshake() {
    let (mut client, mut server) = (client(), server());
    server.says_nothing();
    goes_on(server.hears(client.says_one()));
    goes_on(client.hears(server.says_one()));
    let (credentials, metadata) = to_decide(server.hears(client.says_one()));
    let Credentials::Curve { key } = credentials else {
        panic!("{credentials:?}");
    };
    assert_eq!(key, *pair(1).public_key());
    assert_eq!(metadata.unwrap(), "of the client");
    server.says_nothing();
    server.accepts();
    assert_eq!(met(client.hears(server.says_one())), "of the server");
    client.accepts();
    client.says_nothing();
}

#[test]
fn c1_hello_has_200_octets() {
    let hello = hello();
    assert_eq!(hello.len(), 200);
    assert_eq!(hello[..8], *b"\x05HELLO\x01\x00");
    assert_eq!(hello[8..80], [0; 72]);
    assert_eq!(hello[80..112], x25519([3; KEY], X25519_BASEPOINT_BYTES));
    assert_eq!(hello[112..120], 1u64.to_be_bytes());
    let key = SharedKey::between(&[2; KEY], &x25519([3; KEY], X25519_BASEPOINT_BYTES)).unwrap();
    let text = key.open(&Nonce::short(b"CurveZMQHELLO---", 1), &hello[120..]);
    assert_eq!(**text.unwrap(), [0; 64]);
}

#[test]
fn c2_welcome_has_168_octets_and_less_than_hello() {
    let welcome = welcome();
    assert_eq!(welcome.len(), 168);
    assert_eq!(welcome[..8], *b"\x07WELCOME");
    let key = SharedKey::between(&[3; KEY], pair(2).public_key().as_bytes()).unwrap();
    let nonce = Nonce::long(b"WELCOME-", welcome[8..24].try_into().unwrap());
    let text = key.open(&nonce, &welcome[24..]).unwrap();
    assert_eq!(text.len(), 32 + 96);
    assert_eq!(text[..32], x25519([4; KEY], X25519_BASEPOINT_BYTES));
}

// C3
#[test]
fn c3_what_the_server_knows_of_a_client_is_in_the_cookie() {
    let initiate = initiate();
    let nonce = Nonce::long(b"COOKIE--", initiate[9..25].try_into().unwrap());
    let cookie = SharedKey::own(&entropy(4).cookie_key).open(&nonce, &initiate[25..105]);
    let cookie = cookie.expect("the server's key opens it");
    assert_eq!(cookie[..32], x25519([3; KEY], X25519_BASEPOINT_BYTES));
    assert_eq!(cookie[32..], [4; KEY]);
    // Another server with the same long-lived key, at another connection.
    let mut other = Side::new(CurveServer::new(pair(2), Bytes::new(), entropy(5)));
    goes_on(other.hears(hello()));
    assert_eq!(failed(other.hears(&initiate)), INITIATE_FORGED);
}

#[test]
fn c3_a_cookie_is_good_for_60_seconds_and_once() {
    let start = Instant::now();
    let mut server = server();
    assert_eq!(server.mechanism.expires(), None);
    goes_on(server.hears_at(hello(), start));
    let end = start + Duration::from_secs(60);
    let expired = HandshakeError::CookieExpired;
    assert_eq!(server.mechanism.expires(), Some((end, expired)));
    to_decide(server.hears_at(initiate(), end - Duration::from_nanos(1)));
    assert_eq!(server.mechanism.expires(), None);

    let (mut server, _) = welcoming();
    to_decide(server.hears(initiate()));
    let again = HandshakeError::UnexpectedCommand {
        name: "INITIATE".into(),
    };
    assert_eq!(failed(server.hears(initiate())), again);
    // One that fails is the last, too.
    let (mut server, _) = welcoming();
    failed(server.hears(flipped(&initiate(), 120)));
    assert_eq!(failed(server.hears(initiate())), again);
}

#[test]
fn c4_initiate_has_at_least_257_octets() {
    assert_eq!(initiate().len(), 257 + b"of the client".len());
    let (mut server, _) = welcoming();
    let short = HandshakeError::from(ProtocolError::MalformedCommand { name: "INITIATE" });
    assert_eq!(failed(server.hears(&initiate()[..256])), short);
}

/// An INITIATE with this vouch, everything else as it should be.
fn vouching(transient: &[u8; KEY], server: &[u8; KEY], own: u8) -> Bytes {
    let session = SharedKey::between(&[3; KEY], &x25519([4; KEY], X25519_BASEPOINT_BYTES)).unwrap();
    let voucher =
        SharedKey::between(&[own; KEY], &x25519([4; KEY], X25519_BASEPOINT_BYTES)).unwrap();
    let vouch_nonce = [9; LONG_NONCE];
    let vouch = voucher.seal(
        &Nonce::long(b"VOUCH---", &vouch_nonce),
        &[transient, server],
    );
    let sealed = session.seal(
        &Nonce::short(b"CurveZMQINITIATE", 2),
        &[pair(1).public_key().as_bytes(), &vouch_nonce, &vouch],
    );
    let head = &initiate()[..105];
    Bytes::from([head, &2u64.to_be_bytes(), &sealed].concat())
}

#[test]
fn c4_both_halves_of_the_vouch_are_checked_and_who_wrote_it() {
    let heard = |transient: &[u8; KEY], server_key: &PublicKey, own| {
        let (mut server, _) = welcoming();
        server.hears(vouching(transient, server_key.as_bytes(), own))
    };
    let transient = x25519([3; KEY], X25519_BASEPOINT_BYTES);
    let pairs = (pair(2), pair(6));
    let (right, wrong) = (pairs.0.public_key(), pairs.1.public_key());
    to_decide(heard(&transient, right, 1));
    assert_eq!(failed(heard(&transient, wrong, 1)), INITIATE_FORGED);
    assert_eq!(failed(heard(wrong.as_bytes(), right, 1)), INITIATE_FORGED);
    assert_eq!(failed(heard(&transient, right, 7)), INITIATE_FORGED);
}

#[test]
fn c5_ready_has_at_least_30_octets() {
    assert_eq!(ready().len(), 30 + b"of the server".len());
    let (mut client, _) = initiating();
    let short = failed(client.hears(&ready()[..29]));
    assert_eq!(short, READY_FORGED);
}

#[test]
fn every_command_is_refused_at_every_cut_and_with_octets_left_over() {
    for (body, hears) in commands() {
        for cut in 0..body.len() {
            failed(hears(&body[..cut]));
        }
        failed(hears(&[&body[..], b"!"].concat()));
    }
}

#[test]
fn c9_every_command_is_refused_with_any_octet_changed() {
    for (body, hears) in commands() {
        for at in 0..body.len() {
            failed(hears(&flipped(&body, at)));
        }
    }
}

type Hears = Box<dyn Fn(&[u8]) -> Result<Step, HandshakeError>>;

/// The four commands, and who hears them.
fn commands() -> [(Bytes, Hears); 4] {
    [
        (hello(), Box::new(|body| server().hears(body))),
        (welcome(), Box::new(|body| client().hears(body))),
        (initiate(), Box::new(|body| welcoming().0.hears(body))),
        (ready(), Box::new(|body| initiating().0.hears(body))),
    ]
}

#[test]
fn c6_a_frame_is_a_message_of_33_octets_more_whose_first_within_are_its_flags() {
    let (mut client, mut server) = connected();
    for (kind, flags) in [
        (FrameKind::Last, 0),
        (FrameKind::More, 1),
        (FrameKind::Command, 2),
    ] {
        for len in [0, 1, 31, 32, 33, 95, 96, 97, 255, 5000] {
            let body: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let frame = sealed(&mut client, kind, &body);
            assert_eq!(frame.len(), 33 + body.len());
            assert_eq!(frame[..8], *b"\x07MESSAGE");
            assert_eq!(opened(&mut server, frame), Ok((kind, body.clone())));

            let number = {
                let frame = sealed(&mut server, kind, &body);
                let number = u64::from_be_bytes(frame[8..16].try_into().unwrap());
                let text = session().open(&Nonce::short(b"CurveZMQMESSAGES", number), &frame[16..]);
                let text = text.unwrap();
                assert_eq!((text[0], &text[1..]), (flags, &body[..]));
                assert_eq!(opened(&mut client, frame), Ok((kind, body)));
                number
            };
            assert!(number >= 2, "1 was READY's");
        }
    }
}

/// The key of the connection, as nobody but the two sides can make it.
fn session() -> SharedKey {
    SharedKey::between(&[3; KEY], &x25519([4; KEY], X25519_BASEPOINT_BYTES)).unwrap()
}

#[test]
fn c6_flags_without_a_meaning_are_an_error() {
    for flags in 3..=255u8 {
        let (_, mut server) = connected();
        let number = 3u64;
        let sealed = session().seal(
            &Nonce::short(b"CurveZMQMESSAGEC", number),
            &[&[flags], b"x"],
        );
        let frame = [&b"\x07MESSAGE"[..], &number.to_be_bytes(), &sealed].concat();
        assert_eq!(
            opened(&mut server, frame),
            Err(ProtocolError::ReservedFlags { flags })
        );
    }
}

#[test]
fn c8_numbers_count_from_1_in_each_direction() {
    assert_eq!(hello()[112..120], 1u64.to_be_bytes());
    assert_eq!(initiate()[105..113], 2u64.to_be_bytes());
    assert_eq!(ready()[6..14], 1u64.to_be_bytes());
    let (mut client, mut server) = connected();
    for number in 3..6u64 {
        let frame = sealed(&mut client, FrameKind::Last, b"");
        assert_eq!(frame[8..16], number.to_be_bytes());
    }
    for number in 2..5u64 {
        let frame = sealed(&mut server, FrameKind::Last, b"");
        assert_eq!(frame[8..16], number.to_be_bytes());
    }
}

#[test]
fn c8_a_number_that_was_used_or_passed_over_is_an_error() {
    let (mut client, mut server) = connected();
    let frames: Vec<_> = [b"a", b"b", b"c"]
        .iter()
        .map(|body| sealed(&mut client, FrameKind::Last, *body))
        .collect();
    assert!(opened(&mut server, frames[0].clone()).is_ok());
    let replayed = Err(ProtocolError::Replayed);
    assert_eq!(opened(&mut server, frames[0].clone()), replayed);
    // A gap is no step back.
    assert!(opened(&mut server, frames[2].clone()).is_ok());
    assert_eq!(opened(&mut server, frames[1].clone()), replayed);
}

#[test]
fn c8_a_frame_sent_back_to_its_sender_does_not_open() {
    let (mut client, _) = connected();
    let mut own = sealed(&mut client, FrameKind::Last, b"a");
    own[15] = 9;
    assert_eq!(opened(&mut client, own), Err(ProtocolError::NotAuthentic));
}

#[test]
fn c8_numbers_of_the_handshake_are_used_up() {
    // An INITIATE that goes back to the number of HELLO.
    let (mut server, _) = welcoming();
    let mut initiate = initiate().to_vec();
    initiate[105..113].copy_from_slice(&1u64.to_be_bytes());
    assert_eq!(failed(server.hears(initiate)), INITIATE_FORGED);
    // A MESSAGE that goes back to the number of INITIATE, though it is sealed with the right key.
    let (_, mut server) = connected();
    let sealed = session().seal(&Nonce::short(b"CurveZMQMESSAGEC", 2), &[b"\0x"]);
    let frame = [&b"\x07MESSAGE"[..], &2u64.to_be_bytes(), &sealed].concat();
    assert_eq!(opened(&mut server, frame), Err(ProtocolError::Replayed));
}

#[test]
fn c9_a_frame_is_refused_with_any_octet_changed_and_at_every_cut() {
    let (mut client, _) = connected();
    let frame = sealed(&mut client, FrameKind::Last, &[7; 100]);
    for at in 0..frame.len() {
        let (_, mut server) = connected();
        assert!(opened(&mut server, flipped(&frame, at)).is_err(), "{at}");
        assert!(opened(&mut server, frame[..at].to_vec()).is_err(), "{at}");
        // The frame as it was still opens: what fails leaves no trace.
        assert!(opened(&mut server, frame.clone()).is_ok());
    }
}

#[test]
fn c10_only_the_server_says_error() {
    let (client, _) = initiating();
    let mut output = BytesMut::new();
    client.mechanism.refuse("400", &mut output);
    assert!(output.is_empty());
    let (server, _) = welcoming();
    server.mechanism.refuse("400", &mut output);
    assert_eq!(output, &b"\x04\x0a\x05ERROR\x03400"[..]);

    let (mut server, _) = welcoming();
    let unexpected = HandshakeError::UnexpectedCommand {
        name: "ERROR".into(),
    };
    assert_eq!(failed(server.hears(b"\x05ERROR\x03400")), unexpected);
    let refused = HandshakeError::CredentialsRefused { status: 400 };
    assert_eq!(
        failed(client_at_ready().hears(b"\x05ERROR\x03400")),
        refused
    );
}

fn client_at_ready() -> Side {
    initiating().0
}

#[test]
fn c11_each_connection_has_keys_of_its_own() {
    let role = Role::CurveClient {
        server: *pair(2).public_key(),
        own: pair(1),
    };
    let hello = || {
        let mechanism = role.begin(Bytes::new(), Asked::Never);
        let mut output = BytesMut::new();
        mechanism.unwrap().start(&mut output);
        output
    };
    let (one, other) = (hello(), hello());
    // Behind the header of the frame: C'.
    assert_ne!(one[82..114], other[82..114]);
}

#[test]
fn c12_each_command_has_its_one_place() {
    let commands = [hello(), welcome(), initiate(), ready()];
    let sides: [fn() -> Side; 4] = [server, client, || welcoming().0, client_at_ready];
    for (awaited, side) in sides.iter().enumerate() {
        for (index, body) in commands.iter().enumerate() {
            let outcome = side().hears(body);
            assert_eq!(outcome.is_ok(), index == awaited, "{index} for {awaited}");
        }
    }
}

#[test]
fn c12_after_what_cannot_be_read_nothing_is_awaited() {
    for (mut side, awaited, name) in [
        (server(), hello(), "HELLO"),
        (client(), welcome(), "WELCOME"),
    ] {
        failed(side.hears(b"\x05HELL"));
        let name = name.into();
        let unexpected = HandshakeError::UnexpectedCommand { name };
        assert_eq!(failed(side.hears(awaited)), unexpected);
    }
}

#[test]
fn c13_another_version_is_refused() {
    for version in [[1, 1], [2, 0], [0, 0]] {
        let mut hello = hello().to_vec();
        hello[6..8].copy_from_slice(&version);
        let malformed = HandshakeError::from(ProtocolError::MalformedCommand { name: "HELLO" });
        assert_eq!(failed(server().hears(hello)), malformed);
    }
}

#[test]
fn c14_low_order_keys_are_refused_wherever_they_come_from() {
    for low in low_order() {
        // C' in HELLO
        let mut hello = hello().to_vec();
        hello[80..112].copy_from_slice(&low);
        assert_eq!(failed(server().hears(hello)), HandshakeError::LowOrderKey);

        // S' in WELCOME
        let key = SharedKey::between(&[3; KEY], pair(2).public_key().as_bytes()).unwrap();
        let nonce = [8; LONG_NONCE];
        let sealed = key.seal(&Nonce::long(b"WELCOME-", &nonce), &[&low, &[0; COOKIE]]);
        let welcome = [&b"\x07WELCOME"[..], &nonce, &sealed].concat();
        assert_eq!(failed(client().hears(welcome)), HandshakeError::LowOrderKey);

        // C in INITIATE
        let vouch = [0; TAG + 2 * KEY];
        let sealed = session().seal(
            &Nonce::short(b"CurveZMQINITIATE", 2),
            &[&low, &[0; LONG_NONCE], &vouch],
        );
        let initiate = [&initiate()[..105], &2u64.to_be_bytes(), &sealed].concat();
        let (mut server, _) = welcoming();
        assert_eq!(failed(server.hears(initiate)), HandshakeError::LowOrderKey);

        // S, which the application gives
        assert!(PublicKey::from_bytes(low).is_err());
    }
}

#[test]
fn a_wrong_server_key_is_told_on_both_ends() {
    let mut client = client_of(pair(9).public_key());
    let error = failed(server().hears(client.says_one()));
    assert_eq!(error, HandshakeError::WrongServerKey);
    assert!(!error.is_fatal());
    let error = client.mechanism.closed();
    assert_eq!(error, HandshakeError::ClosedAtHello { mechanism: "CURVE" });
    assert!(error.to_string().contains("public key"), "{error}");
    assert!(!error.is_fatal(), "N10: every other close is temporary");
    // A close later on is something else.
    let (client, _) = initiating();
    assert_eq!(client.mechanism.closed(), HandshakeError::Closed);
}

#[test]
fn a_server_that_does_not_have_the_secret_cannot_say_welcome() {
    let mut impostor = Side::new(CurveServer::new(pair(9), Bytes::new(), entropy(4)));
    let mut other = client_of(pair(9).public_key());
    goes_on(impostor.hears(other.says_one()));
    assert_eq!(failed(client().hears(impostor.says_one())), WELCOME_FORGED);
}

#[test]
fn two_clients_are_told_that_they_are_two_clients() {
    let error = failed(client().hears(hello()));
    assert_eq!(
        error.to_string(),
        "both sides are CURVE clients; one has to be the server"
    );
}

#[test]
fn sealing_leaves_nothing_of_the_key_of_a_tag() {
    let key = SharedKey::own(&[7; KEY]).under(b"CurveZMQMESSAGEC");
    let mut octets = vec![0; HEAD + 100];
    key.seal([1; SHORT_NONCE], &mut octets);
    assert_eq!(octets[..HEAD - TAG], [0; HEAD - TAG]);
    assert_ne!(octets[HEAD - TAG..HEAD], [0; TAG]);
}

#[test]
fn what_opens_frames_shows_no_key() {
    let (client, _) = connected();
    assert_eq!(format!("{:?}", client.open), "Opener { heard: 1, .. }");
}
