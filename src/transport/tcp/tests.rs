//! What only tcp does.

use super::*;
use crate::endpoint::Endpoint;
use crate::transport::tests::{connecting, listening, read_to_end, write_all};
use crate::transport::{Listener, PeerAddress, connect, listen};

async fn bound(text: &str, options: &ListenOptions) -> io::Result<Listener> {
    listen(&text.parse().unwrap(), options).await
}

async fn connected(text: &str, options: &ConnectOptions) -> io::Result<Stream> {
    connect(&text.parse().unwrap(), options).await
}

fn port(listener: &Listener) -> u16 {
    listener.endpoint().unwrap().port().unwrap()
}

#[tokio::test]
async fn a_wildcard_listens_everywhere_at_a_real_port() {
    let listener = bound("tcp://*:*", &listening()).await.unwrap();
    let port = port(&listener);
    assert_ne!(port, 0);
    let endpoint = listener.endpoint().unwrap();
    assert_eq!(endpoint.to_string(), format!("tcp://0.0.0.0:{port}"));
    // What bind returns can be connected to.
    let options = connecting();
    let (stream, accepted) = tokio::join!(connect(&endpoint, &options), listener.accept());
    write_all(&accepted.unwrap(), b"here").await.unwrap();
    assert_eq!(read_to_end(&stream.unwrap()).await.unwrap(), "here");
}

#[tokio::test]
async fn with_ipv6_a_wildcard_is_both_families() {
    let options = ListenOptions {
        ipv6: true,
        ..listening()
    };
    let Ok(listener) = bound("tcp://*:0", &options).await else {
        return; // This machine has no IPv6.
    };
    let port = port(&listener);
    assert_eq!(
        listener.endpoint().unwrap().to_string(),
        format!("tcp://[::]:{port}")
    );
    for host in ["127.0.0.1", "[::1]"] {
        let target = format!("tcp://{host}:{port}");
        let options = connecting();
        let (stream, accepted) = tokio::join!(connected(&target, &options), listener.accept());
        assert_eq!(stream.unwrap().peer_address().to_string(), target);
        let peer = accepted.unwrap().peer_address().to_string();
        assert!(peer.starts_with(&format!("tcp://{host}:")), "{peer}");
    }
}

#[tokio::test]
async fn a_name_is_resolved() {
    let listener = bound("tcp://localhost:0", &listening()).await.unwrap();
    let target = format!("tcp://localhost:{}", port(&listener));
    let options = connecting();
    let (stream, accepted) = tokio::join!(connected(&target, &options), listener.accept());
    assert!(stream.is_ok() && accepted.is_ok());
    let nobody = connected("tcp://nobody.invalid:1", &options).await;
    assert!(nobody.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_source_is_where_it_connects_from() {
    let listener = bound("tcp://127.0.0.1:0", &listening()).await.unwrap();
    let target = format!("tcp://127.0.0.2:0;127.0.0.1:{}", port(&listener));
    let options = connecting();
    let (stream, accepted) = tokio::join!(connected(&target, &options), listener.accept());
    let PeerAddress::Tcp(peer) = accepted.unwrap().peer_address() else {
        panic!("not tcp");
    };
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
    assert!(stream.is_ok());
    let other_family = format!("tcp://[::1]:0;127.0.0.1:{}", port(&listener));
    let error = connected(&other_family, &options).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// At an address that no other test uses, so that the free port stays free.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stream_is_not_its_own_peer() {
    let free = bound("tcp://127.0.0.3:0", &listening())
        .await
        .map(|listener| port(&listener))
        .unwrap();
    let itself = format!("tcp://127.0.0.3:{free};127.0.0.3:{free}");
    let error = connected(&itself, &connecting()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_in_use_is_refused() {
    let listener = bound("tcp://127.0.0.4:0", &listening()).await.unwrap();
    let text = listener.endpoint().unwrap().to_string();
    let error = bound(&text, &listening()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    assert!(bound(&text, &listening()).await.is_ok());
    let error = connected(&text, &connecting()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

/// Linux does not answer at all while the backlog is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_host_is_given_up_in_time() {
    let options = ListenOptions {
        backlog: 1,
        ..listening()
    };
    let listener = bound("tcp://127.0.0.1:0", &options).await.unwrap();
    let text = listener.endpoint().unwrap().to_string();
    let hurried = ConnectOptions {
        timeout: Some(Duration::from_millis(200)),
        ..connecting()
    };
    let mut waiting = Vec::new();
    let error = loop {
        match connected(&text, &hurried).await {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100, "the backlog has no end");
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn options_reach_the_socket() {
    let options = ListenOptions {
        tcp: TcpOptions::new()
            .nodelay(false)
            .send_buffer(100_000)
            .recv_buffer(120_000)
            .type_of_service(0x28)
            .reuse_address(false)
            .keepalive(
                Keepalive::new()
                    .idle(Duration::from_secs(50))
                    .interval(Duration::from_secs(5))
                    .count(3),
            ),
        ..listening()
    };
    let listener = listen_at(([127, 0, 0, 1], 0).into(), &options).unwrap();
    let stream = TcpSocket::new_v4().unwrap();
    options.tcp.prepare(&SockRef::from(&stream)).unwrap();
    options
        .tcp
        .tune(&SockRef::from(&stream), Ipv4Addr::LOCALHOST.into())
        .unwrap();
    assert!(!SockRef::from(&listener).reuse_address().unwrap());
    for socket in [SockRef::from(&listener), SockRef::from(&stream)] {
        assert!(!socket.tcp_nodelay().unwrap());
        // Linux doubles what it is asked for.
        assert!(socket.send_buffer_size().unwrap() >= 100_000);
        assert!(socket.recv_buffer_size().unwrap() >= 120_000);
        assert_eq!(socket.tos_v4().unwrap(), 0x28);
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(50)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(5)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }
    let usual = TcpSocket::new_v4().unwrap();
    TcpOptions::default()
        .tune(&SockRef::from(&usual), Ipv4Addr::LOCALHOST.into())
        .unwrap();
    assert!(SockRef::from(&usual).tcp_nodelay().unwrap());
    assert!(!SockRef::from(&usual).keepalive().unwrap());
}

#[tokio::test]
async fn an_option_that_the_system_refuses_is_an_error() {
    let good = bound("tcp://127.0.0.1:0", &listening()).await.unwrap();
    let text = good.endpoint().unwrap().to_string();
    for (tcp, name) in [
        (
            TcpOptions::new().keepalive(Keepalive::new().idle(Duration::ZERO)),
            "keepalive",
        ),
        (TcpOptions::new().device("no-such-device"), "device"),
    ] {
        let connecting = ConnectOptions {
            tcp: tcp.clone(),
            ..connecting()
        };
        let listening = ListenOptions { tcp, ..listening() };
        let named = format!("tcp option {name}: ");
        let error = connected(&text, &connecting).await.unwrap_err();
        assert!(error.to_string().starts_with(&named), "{error}");
        let error = bound("tcp://127.0.0.1:0", &listening).await.unwrap_err();
        assert!(error.to_string().starts_with(&named), "{error}");
    }
}

#[tokio::test]
async fn an_address_of_another_machine_cannot_be_bound() {
    // TEST-NET-3 is nobody's.
    let endpoint: Endpoint = "tcp://203.0.113.7:0".parse().unwrap();
    let error = listen(&endpoint, &listening()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn an_adopted_listener_takes_options() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    configure(&socket, &TcpOptions::new().recv_buffer(120_000)).unwrap();
    assert!(SockRef::from(&socket).recv_buffer_size().unwrap() >= 120_000);
    let mut listener = Listener::from(socket);
    let refused = TcpOptions::new().keepalive(Keepalive::new().idle(Duration::ZERO));
    assert!(listener.set_tcp_options(refused).is_err());
    assert!(listener.set_tcp_options(TcpOptions::new()).is_ok());
    let endpoint = listener.endpoint().unwrap();
    let options = connecting();
    let (stream, accepted) = tokio::join!(connect(&endpoint, &options), listener.accept());
    assert!(stream.is_ok() && accepted.is_ok());
}
