use super::*;

fn side(asked: Asked) -> Side {
    Side::new(Null::new(Bytes::from_static(b"announced"), asked))
}

#[test]
fn n3_ready_leaves_at_once_and_the_peers_is_all_there_is_to_wait_for() {
    let (mut one, mut other) = (side(Asked::Never), side(Asked::Never));
    assert_eq!(met(other.hears(one.says_one())), "announced");
    assert_eq!(met(one.hears(other.says_one())), "announced");
    one.accepts();
    one.says_nothing();
}

#[test]
fn a_listener_with_an_authenticator_says_ready_only_to_whom_it_accepts() {
    let (mut listening, mut connecting) = (side(Asked::BeforeReady), side(Asked::AfterReady));
    listening.says_nothing();
    let (credentials, metadata) = to_decide(listening.hears(connecting.says_one()));
    assert!(matches!(credentials, Credentials::Null));
    assert_eq!(metadata.unwrap(), "announced");
    listening.says_nothing();
    listening.accepts();
    let (_, metadata) = to_decide(connecting.hears(listening.says_one()));
    assert_eq!(metadata.unwrap(), "announced");
    connecting.accepts();
    connecting.says_nothing();
}

#[test]
fn n10_a_refusal_is_read_in_words_or_as_a_status() {
    let error = failed(side(Asked::Never).hears(b"\x05ERROR\x04gone"));
    let reason = "gone".into();
    assert_eq!(error, HandshakeError::Refused { reason });
    let error = failed(side(Asked::Never).hears(b"\x05ERROR\x03400"));
    assert_eq!(error, HandshakeError::CredentialsRefused { status: 400 });
}
