//! Requests and replies, right and wrong.

use super::*;

const ID: &[u8] = b"0001";

fn bob(credentials: Credentials) -> Candidate {
    let address = PeerAddress::Tcp(([192, 168, 55, 1], 4711).into());
    let mut bob = Candidate::new(address, credentials);
    bob.domain = "test".into();
    bob.identity = "BOB".try_into().unwrap();
    bob
}

fn plain(user: &str, password: &str) -> Credentials {
    Credentials::Plain {
        user: user.into(),
        password: Password::new(password).unwrap(),
    }
}

fn message(frames: &[&[u8]]) -> Message {
    let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame));
    frames.collect()
}

fn frames(message: &Message) -> Vec<&[u8]> {
    message.iter().collect()
}

/// The good reply, for a test to spoil.
const GOOD: [&[u8]; 6] = [
    b"1.0",
    ID,
    b"200",
    b"OK",
    b"joe",
    b"\x06Office\0\0\0\x05Ghent\x01x\0\0\0\0",
];

#[test]
fn z1_a_request_has_the_frames_of_the_rfc() {
    let null = request(ID, &bob(Credentials::Null));
    let common: [&[u8]; 5] = [b"1.0", ID, b"test", b"192.168.55.1", b"BOB"];
    assert_eq!(frames(&null), [&common[..], &[b"NULL"]].concat());
    let plain = request(ID, &bob(plain("admin", "secret")));
    let shown: [&[u8]; 3] = [b"PLAIN", b"admin", b"secret"];
    assert_eq!(frames(&plain), [&common[..], &shown].concat());
}

#[cfg(feature = "curve")]
#[test]
fn z1_the_credentials_of_curve_are_the_32_octets_of_the_key() {
    let key = *crate::security::KeyPair::generate().unwrap().public_key();
    let curve = request(ID, &bob(Credentials::Curve { key }));
    assert_eq!(frames(&curve)[5..], [b"CURVE", &key.as_bytes()[..]]);
    let read = read_request(&curve).unwrap().credentials;
    assert!(matches!(read, Credentials::Curve { key: read } if read == key));
    for wrong in [&[9; 31][..], &[9; 33], &[0; 32]] {
        let request = [&frames(&curve)[..6], &[wrong]].concat();
        assert!(read_request(&message(&request)).is_err());
    }
}

#[test]
fn z3_the_address_is_the_numeric_ip_of_the_peer() {
    for (address, text) in [
        ("192.0.2.7:1", "192.0.2.7"),
        ("[2001:db8::1]:1", "2001:db8::1"),
        ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
    ] {
        let address = PeerAddress::Tcp(address.parse().unwrap());
        let request = request(ID, &Candidate::new(address, Credentials::Null));
        assert_eq!(frames(&request)[3], text.as_bytes());
    }
    for address in [
        PeerAddress::Adopted,
        PeerAddress::Ipc {
            pid: None,
            uid: None,
        },
    ] {
        let request = request(ID, &Candidate::new(address, Credentials::Null));
        assert_eq!(frames(&request)[3], b"");
        assert_eq!(
            read_request(&request).unwrap().address,
            PeerAddress::Adopted
        );
    }
}

#[test]
fn a_request_reads_as_it_was_written() {
    let peer = read_request(&request(ID, &bob(plain("admin", "secret")))).unwrap();
    assert_eq!(peer.domain, "test");
    assert_eq!(
        peer.address,
        PeerAddress::Tcp(([192, 168, 55, 1], 0).into())
    );
    assert_eq!(peer.identity.as_bytes(), b"BOB");
    assert_eq!(peer.socket_type, None);
    let Credentials::Plain { user, password } = peer.credentials else {
        panic!("{:?}", peer.credentials);
    };
    assert_eq!(
        (user.as_str(), password.as_bytes()),
        ("admin", &b"secret"[..])
    );
}

#[test]
fn a_request_that_is_none_is_not_read_but_its_id_is() {
    let long = [b'x'; 256];
    for wrong in [
        &[][..],
        &[b"1.0", ID],
        &[b"1.0", ID, b"", b"", b""],
        &[b"1.1", ID, b"", b"", b"", b"NULL"],
        &[b"1.0", ID, b"\xff", b"", b"", b"NULL"],
        &[b"1.0", ID, &long, b"", b"", b"NULL"],
        &[b"1.0", ID, b"", b"", &long, b"NULL"],
        &[b"1.0", ID, b"", b"", b"", b"NULL", b""],
        &[b"1.0", ID, b"", b"", b"", b"PLAIN", b"joe"],
        &[b"1.0", ID, b"", b"", b"", b"PLAIN", b"joe", b"", b""],
        &[b"1.0", ID, b"", b"", b"", b"PLAIN", b"\xff", b""],
        &[b"1.0", ID, b"", b"", b"", b"PLAIN", b"joe", &long],
        &[b"1.0", ID, b"", b"", b"", b"CURVE"],
        &[b"1.0", ID, b"", b"", b"", b"null"],
        &[b"1.0", ID, b"", b"", b"", b""],
    ] {
        let wrong = message(wrong);
        assert!(read_request(&wrong).is_err(), "{wrong:?}");
        let expected = if wrong.len() > 1 { ID } else { b"" };
        assert_eq!(request_id(&wrong), expected);
    }
}

#[test]
fn z2_only_200_accepts() {
    for status in 0..1000 {
        let status = format!("{status:03}");
        let mut frames = GOOD;
        frames[2] = status.as_bytes();
        let outcome = read_reply(&message(&frames), ID);
        match status.as_str() {
            "200" => assert_eq!(outcome.unwrap().user_id(), "joe"),
            "300" => assert_eq!(outcome.unwrap_err(), Refusal::temporary("OK")),
            "400" => assert_eq!(outcome.unwrap_err(), Refusal::denied("OK")),
            "500" => assert_eq!(outcome.unwrap_err(), Refusal::internal("OK")),
            _ => assert_eq!(outcome.unwrap_err().status, RefusalStatus::Internal),
        }
    }
}

#[test]
fn z5_the_reply_names_the_user_and_the_properties() {
    let joe = read_reply(&message(&GOOD), ID).unwrap();
    let properties: Vec<_> = joe.properties().collect();
    assert_eq!(properties, [("Office", &b"Ghent"[..]), ("x", b"")]);
}

#[test]
fn z4_a_malformed_reply_refuses() {
    let long = [b'x'; 256];
    let many = b"\x01x\0\0\0\0".repeat(2);
    for (at, wrong) in [
        (0, &b"1.1"[..]),
        (0, b""),
        (1, b"0002"),
        (1, b""),
        (1, b"00010"),
        (2, b""),
        (2, b"2000"),
        (2, b"20"),
        (2, b"\xff\xff\xff"),
        (3, b"\xff"),
        (3, &long),
        (4, b"\xff"),
        (4, &long),
        (5, b"\0\0\0\0\0"),
        (5, b"\x01x\0\0\0\x01"),
        (5, b"\x01 \0\0\0\0"),
        (5, b"\x01\xff\0\0\0\0"),
        (5, &many),
    ] {
        let mut frames = GOOD;
        frames[at] = wrong;
        let refusal = read_reply(&message(&frames), ID).unwrap_err();
        assert_eq!(refusal.status, RefusalStatus::Internal, "{at} {wrong:?}");
    }
    for count in (0..GOOD.len()).chain([7]) {
        let frames: Vec<_> = GOOD.iter().copied().cycle().take(count).collect();
        assert!(read_reply(&message(&frames), ID).is_err(), "{count} frames");
    }
}

#[test]
fn a_reply_reads_as_it_was_written() {
    let id = || Bytes::from_static(ID);
    let joe = Principal::new("joe").with("Office", "Ghent").with("x", "");
    assert_eq!(frames(&reply(id(), &Ok(joe))), GOOD);
    for refusal in [
        Refusal::temporary("later"),
        Refusal::denied(""),
        Refusal::internal("broken"),
    ] {
        let read = read_reply(&reply(id(), &Err(refusal.clone())), ID);
        assert_eq!(read.unwrap_err(), refusal);
    }
}

#[test]
fn what_does_not_fit_into_a_reply_refuses_or_is_cut() {
    let id = || Bytes::from_static(ID);
    for principal in [
        Principal::new("x".repeat(256)),
        Principal::new("").with("", "x"),
        Principal::new("").with("a b", "x"),
        Principal::new("").with("x".repeat(256), "x"),
        (0..33).fold(Principal::new(""), |it, n| it.with(format!("x{n}"), "")),
    ] {
        let refusal = read_reply(&reply(id(), &Ok(principal)), ID).unwrap_err();
        assert_eq!(refusal.status, RefusalStatus::Internal);
    }
    // 85 × 3 octets fit.
    let refusal = Refusal::denied("€".repeat(100));
    let cut = reply(id(), &Err(refusal));
    assert_eq!(frames(&cut)[3], "€".repeat(85).as_bytes());
}

#[test]
fn a_reason_cannot_forge_a_line_of_a_log() {
    let mut frames = GOOD;
    frames[2] = b"400";
    frames[3] = b"no\nall is well";
    let refusal = read_reply(&message(&frames), ID).unwrap_err();
    assert_eq!(refusal.reason, r"no\nall is well");
}
