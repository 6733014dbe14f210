//! Every form and every fault of an endpoint, as text.

use std::path::Path;

use super::ParseEndpointError as E;
use super::parse::{Fault, MAX_NAME, MAX_PATH};
use super::*;

#[test]
fn every_form_is_read_and_printed_back() {
    let path = format!("ipc:///{}", "p".repeat(MAX_PATH - 1));
    let abstract_name = format!("ipc://@{}", "a".repeat(MAX_PATH));
    let name = format!("inproc://{}", "n".repeat(MAX_NAME));
    for text in [
        "tcp://localhost:5555",
        "tcp://my-host_1.example:1",
        "tcp://eth0:5555",
        "tcp://127.0.0.1:65535",
        "tcp://*:5555",
        "tcp://*:0",
        "tcp://[::1]:5555",
        "tcp://[::]:0",
        "tcp://[::ffff:192.0.2.1]:80",
        "tcp://[fe80::1%eth0]:5555",
        "tcp://[fe80::1%2]:5555",
        "tcp://192.0.2.7:0;localhost:5555",
        "tcp://[::1]:4444;[::1]:5555",
        "ipc:///run/app.sock",
        "ipc://relative/app.sock",
        "ipc://with space; and : colon",
        "ipc://@abstract",
        "ipc://@*",
        "ipc://./*",
        "ipc://*",
        "inproc://a name: anything goes, 世界 too",
        "inproc:///",
        &path,
        &abstract_name,
        &name,
    ] {
        let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(endpoint.to_string(), text);
        assert_eq!(Endpoint::try_from(endpoint.to_string()), Ok(endpoint));
    }
}

#[test]
fn other_spellings_print_in_the_usual_one() {
    for (text, usual) in [
        ("tcp://*:*", "tcp://*:0"),
        ("tcp://localhost:*", "tcp://localhost:0"),
        ("tcp://localhost:00080", "tcp://localhost:80"),
        ("tcp://[0:0:0:0:0:0:0:1]:1", "tcp://[::1]:1"),
        ("tcp://192.0.2.7:*;host:1", "tcp://192.0.2.7:0;host:1"),
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), usual);
    }
}

#[test]
fn a_bad_endpoint_is_told_what_is_wrong_with_it() {
    for (fault, texts) in BAD {
        for text in *texts {
            assert_eq!(text.parse::<Endpoint>(), Err(fault((*text).to_owned())));
        }
    }
    for (text, fault) in [
        (
            format!("ipc://{}", "p".repeat(MAX_PATH + 1)),
            E::PathTooLong as Fault,
        ),
        (
            format!("ipc://@{}", "a".repeat(MAX_PATH + 1)),
            E::PathTooLong,
        ),
        (
            format!("inproc://{}", "n".repeat(MAX_NAME + 1)),
            E::InvalidName,
        ),
    ] {
        assert_eq!(text.parse::<Endpoint>(), Err(fault(text)));
    }
}

#[test]
fn the_error_says_what_to_write() {
    for (text, message) in [
        (
            "localhost:5555",
            r#""localhost:5555" has no scheme: write tcp://host:port, ipc://path or inproc://name"#,
        ),
        (
            "udp://h:1",
            r#""udp://h:1" has an unknown scheme: the known ones are tcp, ipc and inproc, in small letters"#,
        ),
        ("tcp://h", r#""tcp://h" has no port: write tcp://host:port"#),
        (
            "tcp://h:x\n",
            r#""tcp://h:x\n" has no valid port: write 1 to 65535, or 0 or * to bind any free one"#,
        ),
        (
            "tcp://::1:5555",
            r#""tcp://::1:5555" has more than one colon: write an IPv6 address in brackets, like tcp://[::1]:5555"#,
        ),
        (
            "inproc://",
            r#""inproc://" has no valid name: write one of 1 to 255 octets"#,
        ),
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap_err().to_string(), message);
    }
    let long = format!("ipc://{}", "p".repeat(200))
        .parse::<Endpoint>()
        .unwrap_err();
    assert!(
        long.to_string()
            .contains(&format!("at most {MAX_PATH} octets"))
    );
}

#[test]
fn no_text_panics_and_what_is_read_round_trips() {
    // Every text of up to five of these pieces behind each scheme.
    const PIECES: [&str; 12] = [
        "[", "]", ":", ";", "*", "%", "@", "::1", "1", "h", "\0", "é",
    ];
    let mut texts = vec![String::new()];
    let mut level = texts.clone();
    for _ in 0..4 {
        level = level
            .iter()
            .flat_map(|text| PIECES.map(|piece| format!("{text}{piece}")))
            .collect();
        texts.extend_from_slice(&level);
    }
    let mut read = 0;
    for scheme in ["", "tcp://", "ipc://", "inproc://"] {
        for text in &texts {
            if let Ok(endpoint) = format!("{scheme}{text}").parse::<Endpoint>() {
                assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
                read += 1;
            }
        }
    }
    assert!(read > 20_000, "{read}");
}

#[test]
fn socket_addresses_convert() {
    for (address, text) in [
        ("127.0.0.1:5555", "tcp://127.0.0.1:5555"),
        ("0.0.0.0:0", "tcp://0.0.0.0:0"),
        ("[::1]:5555", "tcp://[::1]:5555"),
        ("[fe80::1%3]:5555", "tcp://[fe80::1%3]:5555"),
    ] {
        let endpoint = Endpoint::from(address.parse::<SocketAddr>().unwrap());
        assert_eq!(endpoint.to_string(), text);
        assert_eq!(text.parse(), Ok(endpoint));
    }
}

#[test]
fn wildcards_are_for_bind_and_sources_for_connect() {
    for text in ["tcp://*:5555", "tcp://h:0", "tcp://*:*", "ipc://*"] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.check_bind(), Ok(()));
        let refused = ParseEndpointError::BindOnly(endpoint.to_string());
        assert_eq!(endpoint.check_connect(), Err(refused));
    }
    let endpoint: Endpoint = "tcp://192.0.2.7:0;h:1".parse().unwrap();
    assert_eq!(endpoint.check_connect(), Ok(()));
    let refused = ParseEndpointError::ConnectOnly(endpoint.to_string());
    assert_eq!(endpoint.check_bind(), Err(refused));
    for text in [
        "tcp://h:1",
        "tcp://0.0.0.0:1",
        "ipc://@*",
        "ipc://x",
        "inproc://*",
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.check_bind(), Ok(()));
        assert_eq!(endpoint.check_connect(), Ok(()));
    }
}

#[test]
fn methods_can_take_texts_and_endpoints_alike() {
    fn port<E: Into<ParseEndpointError>>(
        endpoint: impl TryInto<Endpoint, Error = E>,
    ) -> Result<Option<u16>, ParseEndpointError> {
        Ok(endpoint.try_into().map_err(Into::into)?.port())
    }
    let text = String::from("tcp://h:7");
    let endpoint: Endpoint = text.parse().unwrap();
    assert_eq!(port("tcp://h:7"), Ok(Some(7)));
    assert_eq!(port(&text), Ok(Some(7)));
    assert_eq!(port(text), Ok(Some(7)));
    assert_eq!(port(&endpoint), Ok(Some(7)));
    assert_eq!(port(endpoint), Ok(Some(7)));
    assert_eq!(port(SocketAddr::from(([127, 0, 0, 1], 7))), Ok(Some(7)));
    assert_eq!(port("ipc://x"), Ok(None));
}

#[test]
fn a_file_name_that_reads_as_a_wildcard_is_written_otherwise() {
    for (path, text) in [
        ("*", "ipc://./*"),
        ("@x", "ipc://./@x"),
        ("/run/x", "ipc:///run/x"),
    ] {
        let endpoint = Endpoint::from(IpcAddress::from_path(Path::new(path)));
        assert_eq!(endpoint.to_string(), text);
        assert_eq!(text.parse(), Ok(endpoint));
    }
}

const BAD: &[(Fault, &[&str])] = &[
    (
        E::MissingScheme,
        &[
            "",
            "localhost:5555",
            "tcp:localhost:5555",
            "tcp:/h:1",
            "/run/x",
        ],
    ),
    (
        E::UnknownScheme,
        &[
            "://",
            "://h:1",
            "udp://h:1",
            "TCP://h:1",
            " tcp://h:1",
            "http://h",
        ],
    ),
    (
        E::MissingPort,
        &[
            "tcp://localhost",
            "tcp://localhost:",
            "tcp://*",
            "tcp://[::1]",
            "tcp://[::1]:",
        ],
    ),
    (
        E::InvalidPort,
        &[
            "tcp://h:65536",
            "tcp://h:-1",
            "tcp://h:+1",
            "tcp://h:http",
            "tcp://h:1/",
            "tcp://h: 1",
            "tcp://h:**",
            "tcp://h:٣",
        ],
    ),
    (
        E::EmptyHost,
        &["tcp://", "tcp://:5555", "tcp://192.0.2.7:0;"],
    ),
    (
        E::InvalidHost,
        &[
            "tcp://a b:1",
            "tcp://a/b:1",
            "tcp://user@host:1",
            "tcp://**:1",
            "tcp://münchen:1",
            "tcp://h\0:1",
        ],
    ),
    (
        E::UnbracketedIpv6,
        &[
            "tcp://::1:5555",
            "tcp://::1",
            "tcp://a:b:1",
            "tcp://fe80::1%eth0:1",
        ],
    ),
    (
        E::InvalidIpv6,
        &[
            "tcp://[",
            "tcp://[::1",
            "tcp://[]:1",
            "tcp://[::1]5555",
            "tcp://[127.0.0.1]:1",
            "tcp://[::g]:1",
            "tcp://[fe80::1%]:1",
            "tcp://[::1%a b]:1",
            "tcp://[*]:1",
        ],
    ),
    (
        E::InvalidSource,
        &[
            "tcp://;h:1",
            "tcp://h:0;h:1",
            "tcp://192.0.2.7;h:1",
            "tcp://*:0;h:1",
            "tcp://::1:0;h:1",
        ],
    ),
    (E::EmptyPath, &["ipc://", "ipc://@"]),
    (E::NulInPath, &["ipc://a\0b", "ipc://@a\0b", "ipc://\0"]),
    (E::InvalidName, &["inproc://"]),
];
