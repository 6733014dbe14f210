use super::*;

fn client(user: &str, password: &str) -> Side {
    let password = Password::new(password).unwrap();
    Side::new(PlainClient::new(user, &password, "of the client".into()))
}

fn server() -> Side {
    Side::new(PlainServer::new("of the server".into()))
}

fn unexpected(name: &str) -> HandshakeError {
    HandshakeError::UnexpectedCommand { name: name.into() }
}

#[track_caller]
fn shown(step: Result<Step, HandshakeError>) -> (String, Vec<u8>) {
    match to_decide(step) {
        (Credentials::Plain { user, password }, None) => (user, password.as_bytes().to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn p1_hello_welcome_initiate_ready() {
    let (mut client, mut server) = (client("joe", "secret"), server());
    server.says_nothing();
    let hello = client.says_one();
    assert_eq!(hello, "\x05HELLO\x03joe\x06secret");
    assert_eq!(shown(server.hears(hello)), ("joe".into(), b"secret".into()));
    server.says_nothing();

    server.accepts();
    let welcome = server.says_one();
    assert_eq!(welcome, "\x07WELCOME");
    goes_on(client.hears(welcome));
    let initiate = client.says_one();
    assert_eq!(initiate, "\x08INITIATEof the client");
    assert_eq!(met(server.hears(initiate)), "of the client");
    server.says_nothing();

    server.accepts();
    let ready = server.says_one();
    assert_eq!(ready, "\x05READYof the server");
    assert_eq!(met(client.hears(ready)), "of the server");
    client.accepts();
    client.says_nothing();
    assert!(client.mechanism.traffic().is_none());
}

#[test]
fn p1_name_and_password_may_be_empty_or_have_255_octets() {
    let long = "x".repeat(255);
    for (user, password) in [("", ""), (&*long, ""), ("", &*long), (&*long, &*long)] {
        let hello = client(user, password).says_one();
        assert_eq!(shown(server().hears(hello)), (user.into(), password.into()));
    }
}

#[test]
fn p3_a_malformed_hello_is_an_error_at_every_cut() {
    let hello = client("joe", "secret").says_one();
    let malformed = HandshakeError::from(ProtocolError::MalformedCommand { name: "HELLO" });
    for cut in 6..hello.len() {
        assert_eq!(failed(server().hears(&hello[..cut])), malformed, "{cut}");
    }
    let trailing = [&hello[..], b"!"].concat();
    assert_eq!(failed(server().hears(trailing)), malformed);
    let not_text = b"\x05HELLO\x01\xff\x00";
    assert_eq!(failed(server().hears(not_text)), malformed);
}

#[test]
fn p3_each_command_has_its_one_place() {
    for (body, name) in [
        (&b"\x08INITIATE"[..], "INITIATE"),
        (b"\x05READY", "READY"),
        (b"\x07WELCOME", "WELCOME"),
        (b"\x05ERROR\x03400", "ERROR"),
    ] {
        assert_eq!(failed(server().hears(body)), unexpected(name));
    }
    for (body, name) in [(&b"\x05READY"[..], "READY"), (b"\x08INITIATE", "INITIATE")] {
        assert_eq!(failed(client("", "").hears(body)), unexpected(name));
    }

    // A second HELLO, at any later point.
    let mut late = server();
    to_decide(late.hears(b"\x05HELLO\x00\x00"));
    assert_eq!(
        failed(late.hears(b"\x05HELLO\x00\x00")),
        unexpected("HELLO")
    );
    late.accepts();
    assert_eq!(
        failed(late.hears(b"\x05HELLO\x00\x00")),
        unexpected("HELLO")
    );
    // And a second WELCOME.
    let mut welcomed = client("", "");
    goes_on(welcomed.hears(b"\x07WELCOME"));
    assert_eq!(
        failed(welcomed.hears(b"\x07WELCOME")),
        unexpected("WELCOME")
    );
    let malformed = HandshakeError::from(ProtocolError::MalformedCommand { name: "WELCOME" });
    assert_eq!(failed(client("", "").hears(b"\x07WELCOME!")), malformed);
}

#[test]
fn p3_two_clients_are_told_that_they_are_two_clients() {
    let hello = client("", "").says_one();
    let error = failed(client("", "").hears(hello));
    assert_eq!(
        error.to_string(),
        "both sides are PLAIN clients; one has to be the server"
    );
}

#[test]
fn p6_a_refusal_is_read_as_it_should_be_and_as_libzmq_writes_it() {
    for body in [&b"\x05ERROR\x03400"[..], b"\x5eRROR\x03400"] {
        for welcomed in [false, true] {
            let mut client = client("joe", "wrong");
            if welcomed {
                goes_on(client.hears(b"\x07WELCOME"));
            }
            let error = failed(client.hears(body));
            assert_eq!(error, HandshakeError::CredentialsRefused { status: 400 });
            assert!(error.is_fatal(), "N10");
        }
    }
}

#[test]
fn only_the_server_tells_of_a_refusal() {
    let (mut client, mut server) = (client("", ""), server());
    client.says_one();
    client.mechanism.refuse("400", &mut client.output);
    client.says_nothing();
    server.mechanism.refuse("400", &mut server.output);
    assert_eq!(server.says_one(), "\x05ERROR\x03400");
}

#[test]
fn a_server_that_closes_at_hello_is_no_server_that_is_down() {
    let mut client = client("", "");
    let error = client.mechanism.closed();
    assert_eq!(error, HandshakeError::ClosedAtHello { mechanism: "PLAIN" });
    assert!(!error.is_fatal());
    goes_on(client.hears(b"\x07WELCOME"));
    assert_eq!(client.mechanism.closed(), HandshakeError::Closed);
}
