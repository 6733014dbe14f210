//! Handshakes that wait for somebody's decision about the peer.

use super::*;
use crate::security::{Candidate, Credentials, Password, Principal, Refusal};

fn plain_client() -> Role {
    Role::PlainClient {
        user: "joe".into(),
        password: Password::new("secret").unwrap(),
    }
}

fn shaking(socket_type: SocketType, role: &Role, asked: Asked, now: Instant) -> Handshake {
    let config = HandshakeConfig {
        domain: "lab".into(),
        ..config(socket_type)
    };
    let mechanism = role.begin(config.announcement(), asked);
    Handshake::new(config, mechanism.unwrap(), now)
}

fn server(now: Instant) -> Handshake {
    shaking(SocketType::Pull, &Role::PlainServer, Asked::Never, now)
}

fn listening(now: Instant) -> Handshake {
    shaking(SocketType::Router, &Role::Null, Asked::BeforeReady, now)
}

const HELLO: &[u8] = b"\x04\x11\x05HELLO\x03joe\x06secret";
const WELCOME: &[u8] = b"\x04\x08\x07WELCOME";
const ERROR_400: &[u8] = b"\x04\x0a\x05ERROR\x03400";

fn greeting_of(mechanism: &[u8], as_server: bool) -> Vec<u8> {
    let mut octets = greeting(1).to_vec();
    octets[12..16].fill(0);
    octets[12..12 + mechanism.len()].copy_from_slice(mechanism);
    octets[32] = u8::from(as_server);
    octets
}

/// Who is to be decided about, once `handshake` has heard all of `octets`.
#[track_caller]
fn candidate(handshake: &mut Handshake, octets: &[u8], now: Instant) -> Candidate {
    match handshake.input(&mut BytesMut::from(octets), now) {
        Ok(Progress::Decide(candidate)) => *candidate,
        Ok(_) => panic!("nobody to decide about"),
        Err(error) => panic!("{error}"),
    }
}

fn error(progress: Result<Progress, HandshakeError>) -> HandshakeError {
    match progress {
        Err(error) => error,
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn under_plain_a_client_is_decided_about_before_it_is_welcome() {
    let now = Instant::now();
    let mut server = server(now);
    server.output().clear();
    let octets = [&greeting_of(b"PLAIN", false), HELLO].concat();
    let candidate = candidate(&mut server, &octets, now);
    let Credentials::Plain { user, password } = &candidate.credentials else {
        panic!("{candidate:?}");
    };
    assert_eq!(
        (user.as_str(), password.as_bytes()),
        ("joe", &b"secret"[..])
    );
    assert_eq!(candidate.domain, "lab");
    assert_eq!(candidate.address, PeerAddress::Adopted);
    assert_eq!(candidate.socket_type, None);
    assert!(server.output().is_empty());

    // More octets change nothing.
    let early = server.input(&mut BytesMut::from(HELLO), now);
    assert!(matches!(early, Ok(Progress::Waiting)));
    server.decided(Ok(Principal::new("joe"))).unwrap();
    assert_eq!(server.output(), WELCOME);
}

#[test]
fn a_refusal_is_told_unless_it_is_for_now() {
    let now = Instant::now();
    for (refusal, told) in [
        (Refusal::denied("no"), ERROR_400),
        (Refusal::internal("broken"), b"\x04\x0a\x05ERROR\x03500"),
        (Refusal::temporary("busy"), b""),
    ] {
        let mut server = server(now);
        server.output().clear();
        let octets = [&greeting_of(b"PLAIN", false), HELLO].concat();
        candidate(&mut server, &octets, now);
        let denied = HandshakeError::Denied(refusal.clone());
        assert_eq!(server.decided(Err(refusal)), Err(denied));
        assert_eq!(server.output(), told);
        // There is no way on from here.
        let rest = server.input(&mut BytesMut::from(WELCOME), now);
        assert!(rest.is_err());
    }
}

#[test]
fn under_null_a_peer_is_known_before_it_is_decided_about() {
    let now = Instant::now();
    let mut router = listening(now);
    router.output().clear();
    let ready = ready(&[("Socket-Type", b"DEALER"), ("Identity", b"me")]);
    let candidate = candidate(&mut router, &[&greeting(1)[..], &ready].concat(), now);
    assert!(matches!(candidate.credentials, Credentials::Null));
    assert_eq!(candidate.socket_type, Some(SocketType::Dealer));
    assert_eq!(candidate.identity.as_bytes(), b"me");
    assert!(router.output().is_empty(), "no READY for somebody unknown");

    router.decided(Ok(Principal::new("somebody"))).unwrap();
    assert!(router.output().starts_with(b"\x04"));
    let Ok(Progress::Established(established)) = router.input(&mut BytesMut::new(), now) else {
        panic!("nothing more is awaited");
    };
    assert_eq!(established.principal.unwrap().user_id(), "somebody");
    assert!(established.seal.is_none());
}

#[test]
fn whoever_cannot_be_a_peer_is_not_asked_about() {
    let now = Instant::now();
    let mut router = listening(now);
    let octets = [&greeting(1)[..], &ready(&[("Socket-Type", b"PUB")])].concat();
    let error = error(router.input(&mut BytesMut::from(&octets[..]), now));
    assert!(
        matches!(error, HandshakeError::IncompatibleSocketType { .. }),
        "{error}"
    );
}

#[test]
fn g10_a_decision_that_is_not_there_in_time_is_a_refusal() {
    let now = Instant::now();
    let mut server = server(now);
    let octets = [&greeting_of(b"PLAIN", false), HELLO].concat();
    candidate(&mut server, &octets, now);
    let late = server.deadline();
    assert_eq!(server.overdue(), HandshakeError::Undecided);
    let error = error(server.input(&mut BytesMut::new(), late));
    assert_eq!(error, HandshakeError::Undecided);
}

#[test]
fn g9_two_servers_are_told_so_only_when_neither_has_spoken_in_time() {
    let now = Instant::now();
    let both = HandshakeError::SameRole {
        mechanism: "PLAIN",
        as_server: true,
    };
    for (as_server, expected) in [(true, both), (false, HandshakeError::TimedOut)] {
        let mut server = server(now);
        let mut octets = BytesMut::from(&greeting_of(b"PLAIN", as_server)[..]);
        assert!(matches!(
            server.input(&mut octets, now),
            Ok(Progress::Waiting)
        ));
        let late = server.deadline();
        let error = error(server.input(&mut octets, late));
        assert_eq!(error, expected);
    }
    // The same words in the greeting, and yet a client.
    let mut server = server(now);
    let octets = [&greeting_of(b"PLAIN", true), HELLO].concat();
    candidate(&mut server, &octets, now);
}

#[test]
fn g9_a_client_of_plain_does_not_call_itself_the_server() {
    let mut client = shaking(
        SocketType::Pair,
        &plain_client(),
        Asked::Never,
        Instant::now(),
    );
    assert_eq!(client.output()[32], 0);
}

#[test]
fn g8_all_octets_of_the_mechanism_count() {
    let now = Instant::now();
    for theirs in [&b"NULL"[..], b"PLAI", b"PLAINX", b"plain", b"CURVE"] {
        let mut client = shaking(SocketType::Push, &plain_client(), Asked::Never, now);
        let mut octets = BytesMut::from(&greeting_of(theirs, true)[..]);
        let mismatch = HandshakeError::MechanismMismatch {
            ours: "PLAIN",
            theirs: String::from_utf8(theirs.to_vec()).unwrap(),
        };
        assert_eq!(error(client.input(&mut octets, now)), mismatch);
    }
}

#[test]
fn what_a_closed_connection_means_depends_on_how_far_it_was() {
    let now = Instant::now();
    let mut client = shaking(SocketType::Push, &plain_client(), Asked::Never, now);
    assert_eq!(client.closed(), HandshakeError::Closed);
    let mut octets = BytesMut::from(&greeting_of(b"PLAIN", true)[..]);
    assert!(client.input(&mut octets, now).is_ok());
    let at_hello = HandshakeError::ClosedAtHello { mechanism: "PLAIN" };
    assert_eq!(client.closed(), at_hello);
    assert!(client.input(&mut BytesMut::from(WELCOME), now).is_ok());
    assert_eq!(client.closed(), HandshakeError::Closed);
}
