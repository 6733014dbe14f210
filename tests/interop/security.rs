//! Who is let in and who is not, between ours and libzmq, and what both are told; and that nothing can be read on the
//! way.

use jackstay::security::{Authenticator, Candidate, Principal, Refusal, Security, from_fn};
use jackstay::zmtp::HandshakeError;
use jackstay::{EventKind, Monitor, PeerAddress, PullSocket, PushSocket};
use tokio::task::spawn_blocking;

use crate::secured::{PASSWORD, Secured, USER};
use crate::support::{event, whole, within};
use crate::theirs::{Link, TCP, Theirs};

/// What libzmq's monitor tells of a handshake that failed: the number of the event and its value.
type Told = (u16, u32);

/// Somebody broke the protocol; the value says how.
const PROTOCOL: u16 = 0x2000;
/// Somebody was refused; the value is the status.
const AUTH: u16 = 0x4000;
const UNEXPECTED_COMMAND: u32 = 0x1000_0001;
#[cfg(feature = "curve")]
const CRYPTOGRAPHIC: u32 = 0x1100_0001;
const MECHANISM_MISMATCH: u32 = 0x1100_0002;

/// Begins to watch the handshakes of `theirs`.
fn watch(theirs: &Theirs) -> zmq::Socket {
    let events = i32::from(PROTOCOL | AUTH);
    let at = "inproc://monitor";
    theirs.socket().monitor(at, events).expect("a monitor");
    let watch = theirs.context().socket(zmq::PAIR).expect("a socket");
    watch.set_rcvtimeo(10_000).expect("an option");
    watch.connect(at).expect("the monitor");
    watch
}

/// The first failure that was watched.
async fn told(watch: zmq::Socket) -> Told {
    let told = spawn_blocking(move || {
        let frames = watch.recv_multipart(0).expect("an event within the time");
        let (number, value) = frames[0].split_at(2);
        let number = u16::from_ne_bytes(number.try_into().expect("two octets"));
        (
            number,
            u32::from_ne_bytes(value.try_into().expect("four octets")),
        )
    });
    within(told).await.expect("it does not panic")
}

/// The first failure of a handshake that ours tells of.
async fn failure(monitor: &mut Monitor) -> HandshakeError {
    let failed = |kind: &EventKind| matches!(kind, EventKind::HandshakeFailed(_));
    match event(monitor, failed).await.kind {
        EventKind::HandshakeFailed(error) => error,
        other => unreachable!("{other:?}"),
    }
}

async fn gives_up(monitor: &mut Monitor) {
    event(monitor, |kind| matches!(kind, EventKind::GaveUp)).await;
}

async fn tries_again(monitor: &mut Monitor) {
    event(monitor, |kind| matches!(kind, EventKind::Retrying(_))).await;
}

fn refusing() -> impl Authenticator {
    from_fn(|_| async { Err(Refusal::denied("nobody may")) })
}

/// Ours, with `security`, connects to `theirs`; what ours tells first.
async fn ours_connects(security: Security, theirs: &Theirs) -> (PushSocket, Monitor) {
    let ours = PushSocket::builder().security(security).build();
    let monitor = ours.monitor();
    ours.connect(theirs.bind("tcp://127.0.0.1:*")).unwrap();
    (ours, monitor)
}

/// `theirs` connects to ours, which has `security`.
async fn theirs_connects(security: Security, theirs: &Theirs) -> (PullSocket, Monitor) {
    let ours = PullSocket::builder().security(security).build();
    let monitor = ours.monitor();
    theirs.connect(&ours.bind("tcp://127.0.0.1:*").await.unwrap());
    (ours, monitor)
}

/// Whoever has the other's whole greeting first closes; libzmq then leaves its own unsaid.
#[track_caller]
fn assert_other_mechanism(error: HandshakeError, ours: &'static str, theirs: &str) {
    let theirs = theirs.into();
    let mismatch = HandshakeError::MechanismMismatch { ours, theirs };
    assert!(
        [mismatch, HandshakeError::Closed].contains(&error),
        "{error}"
    );
}

#[tokio::test]
async fn p6_n10_a_wrong_password_is_told_by_libzmq_and_ours_gives_up() {
    whole(async {
        let theirs = Secured::PlainClient.theirs(Theirs::new(zmq::PULL));
        let watch = watch(&theirs);
        let security = Security::plain_client(USER, "wrong").unwrap();
        let (_ours, mut monitor) = ours_connects(security, &theirs).await;
        let refused = HandshakeError::CredentialsRefused { status: 400 };
        assert_eq!(failure(&mut monitor).await, refused);
        gives_up(&mut monitor).await;
        assert_eq!(told(watch).await, (AUTH, 400));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_of_libzmq_is_told_to_both() {
    whole(async {
        let theirs = Theirs::new(zmq::PUSH).with(|socket| {
            socket.set_plain_username(Some(USER))?;
            socket.set_plain_password(Some("wrong"))
        });
        let watch = watch(&theirs);
        let (ours, mut monitor) = theirs_connects(Secured::PlainServer.ours(), &theirs).await;
        let error = failure(&mut monitor).await;
        assert!(matches!(error, HandshakeError::Denied(_)), "{error}");
        // Its client looks for the misspelt ERROR of its server (P6).
        assert_eq!(told(watch).await, (PROTOCOL, UNEXPECTED_COMMAND));
        assert!(ours.peers().is_empty());
    })
    .await;
}

#[tokio::test]
async fn p4_a_plain_server_of_libzmq_without_a_handler_closes_at_hello_and_ours_tries_again() {
    whole(async {
        let theirs = Theirs::new(zmq::PULL).with(|socket| socket.set_plain_server(true));
        let (_ours, mut monitor) = ours_connects(Secured::PlainClient.ours(), &theirs).await;
        let closed = HandshakeError::ClosedAtHello { mechanism: "PLAIN" };
        assert_eq!(failure(&mut monitor).await, closed);
        tries_again(&mut monitor).await;
    })
    .await;
}

#[tokio::test]
async fn g8_c13_another_mechanism_is_told_to_both_in_either_direction() {
    whole(async {
        let theirs = Theirs::new(zmq::PULL);
        let watching = watch(&theirs);
        let (_ours, mut monitor) = ours_connects(Secured::PlainClient.ours(), &theirs).await;
        assert_other_mechanism(failure(&mut monitor).await, "PLAIN", "NULL");
        tries_again(&mut monitor).await;
        assert_eq!(told(watching).await, (PROTOCOL, MECHANISM_MISMATCH));

        let theirs = Secured::PlainServer.theirs(Theirs::new(zmq::PUSH));
        let watching = watch(&theirs);
        let (_ours, mut monitor) = theirs_connects(Security::default(), &theirs).await;
        assert_other_mechanism(failure(&mut monitor).await, "NULL", "PLAIN");
        assert_eq!(told(watching).await, (PROTOCOL, MECHANISM_MISMATCH));
    })
    .await;
}

#[tokio::test]
async fn under_null_an_authenticator_sees_address_and_socket_type() {
    whole(async {
        let authenticator = from_fn(|peer: Candidate| async move {
            match peer.address {
                PeerAddress::Tcp(address) if address.ip().is_loopback() => {
                    let socket_type = peer.socket_type.expect("READY has told it");
                    Ok(Principal::new(format!(
                        "{} of {}",
                        socket_type, peer.domain
                    )))
                }
                _ => Err(Refusal::denied("from elsewhere")),
            }
        });
        let security = Security::null(authenticator).domain("test");
        for ours_binds in [true, false] {
            let ours = PullSocket::builder().security(security.clone()).build();
            let mut theirs = Theirs::new(zmq::PUSH);
            let link = Link { ours_binds, ..TCP };
            link.join(&ours, &theirs).await;
            theirs.send(&[b"hello"]).await;
            assert_eq!(within(ours.recv()).await.unwrap(), "hello");
            let peers = ours.peers();
            let principal = peers[0].principal().expect("somebody was asked");
            assert_eq!(principal.user_id(), "PUSH of test");
        }
    })
    .await;
}

#[tokio::test]
async fn under_null_a_refused_libzmq_gets_no_ready() {
    whole(async {
        let theirs = Theirs::new(zmq::PUSH).with(|socket| socket.set_immediate(true));
        let watch = watch(&theirs);
        let (_ours, mut monitor) = theirs_connects(Security::null(refusing()), &theirs).await;
        let denied = HandshakeError::Denied(Refusal::denied("nobody may"));
        assert_eq!(failure(&mut monitor).await, denied);
        assert_eq!(told(watch).await, (AUTH, 400));
        // Nothing can be sent to us.
        let sent = theirs.socket().send("lost", zmq::DONTWAIT);
        assert_eq!(sent, Err(zmq::Error::EAGAIN));
    })
    .await;
}

#[tokio::test]
async fn under_null_a_refusal_by_zap_is_told_and_ours_gives_up() {
    whole(async {
        let theirs = Theirs::new(zmq::PULL)
            .with(|socket| socket.set_zap_domain("test"))
            .deciding(|_, _| false);
        let (_ours, mut monitor) = ours_connects(Security::default(), &theirs).await;
        let refused = HandshakeError::CredentialsRefused { status: 400 };
        assert_eq!(failure(&mut monitor).await, refused);
        gives_up(&mut monitor).await;
    })
    .await;
}

#[tokio::test]
async fn whom_plain_let_in_is_known_by_name() {
    whole(async {
        let link = Link {
            secured: Secured::PlainServer,
            ..TCP
        };
        let ours = link.ours(PullSocket::builder());
        let mut monitor = ours.monitor();
        let theirs = link.theirs(zmq::PUSH);
        link.join(&ours, &theirs).await;
        let succeeded = |kind: &EventKind| matches!(kind, EventKind::HandshakeSucceeded);
        let event = event(&mut monitor, succeeded).await;
        let principal = event.principal.as_ref().expect("somebody was asked");
        assert_eq!(principal.user_id(), USER);
        assert!(!format!("{event:?} {event}").contains(PASSWORD), "P5");
    })
    .await;
}

#[cfg(feature = "curve")]
mod curve {
    use std::sync::Arc;
    use std::time::Duration;

    use jackstay::security::{AnyClient, KeyList};
    use jackstay::{DisconnectCause, Heartbeat, PairSocket, SubSocket};

    use super::*;
    use crate::secured::{CLIENT, SERVER, key_pair};
    use crate::support::eventually;
    use crate::support::relay::Relay;

    #[test]
    fn libzmq_has_curve() {
        assert_eq!(zmq::has("curve"), Some(true));
    }

    #[tokio::test]
    async fn a_wrong_server_key_of_ours_is_told_to_both_and_ours_tries_again() {
        whole(async {
            let theirs = Secured::CurveClient.theirs(Theirs::new(zmq::PULL));
            let watch = watch(&theirs);
            let security = Security::curve_client(*key_pair().public_key(), CLIENT.clone());
            let (_ours, mut monitor) = ours_connects(security, &theirs).await;
            let closed = HandshakeError::ClosedAtHello { mechanism: "CURVE" };
            assert_eq!(failure(&mut monitor).await, closed);
            tries_again(&mut monitor).await;
            assert_eq!(told(watch).await, (PROTOCOL, CRYPTOGRAPHIC));
        })
        .await;
    }

    #[tokio::test]
    async fn a_wrong_server_key_of_libzmq_is_told_to_ours() {
        whole(async {
            let theirs = Secured::CurveServer.theirs(Theirs::new(zmq::PUSH));
            let security = Security::curve_server(key_pair(), AnyClient);
            let (ours, mut monitor) = theirs_connects(security, &theirs).await;
            assert_eq!(failure(&mut monitor).await, HandshakeError::WrongServerKey);
            assert!(ours.peers().is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn n10_a_key_that_libzmq_refuses_is_told_and_ours_gives_up() {
        whole(async {
            let theirs = Secured::CurveClient.theirs(Theirs::new(zmq::PULL));
            let watch = watch(&theirs);
            let security = Security::curve_client(*SERVER.public_key(), key_pair());
            let (_ours, mut monitor) = ours_connects(security, &theirs).await;
            let refused = HandshakeError::CredentialsRefused { status: 400 };
            assert_eq!(failure(&mut monitor).await, refused);
            gives_up(&mut monitor).await;
            assert_eq!(told(watch).await, (AUTH, 400));
        })
        .await;
    }

    #[tokio::test]
    async fn a_key_that_ours_refuses_is_told_to_libzmq() {
        whole(async {
            let theirs = Secured::CurveServer.theirs(Theirs::new(zmq::PUSH));
            let watch = watch(&theirs);
            let security = Security::curve_server(SERVER.clone(), KeyList::new());
            let (ours, mut monitor) = theirs_connects(security, &theirs).await;
            let error = failure(&mut monitor).await;
            assert!(matches!(error, HandshakeError::Denied(_)), "{error}");
            assert_eq!(told(watch).await, (AUTH, 400));
            assert!(ours.peers().is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn c13_no_other_mechanism_is_fallen_back_to() {
        whole(async {
            let theirs = Theirs::new(zmq::PULL);
            let (_ours, mut monitor) = ours_connects(Secured::CurveClient.ours(), &theirs).await;
            assert_other_mechanism(failure(&mut monitor).await, "CURVE", "NULL");
            tries_again(&mut monitor).await;
            let theirs = Theirs::new(zmq::PUSH);
            let (_ours, mut monitor) = theirs_connects(Secured::CurveServer.ours(), &theirs).await;
            assert_other_mechanism(failure(&mut monitor).await, "CURVE", "NULL");
        })
        .await;
    }

    #[tokio::test]
    async fn z5_a_client_is_known_by_its_key_until_that_is_revoked() {
        whole(async {
            let keys = Arc::new(KeyList::new());
            keys.insert(*CLIENT.public_key());
            let security = Security::curve_server(SERVER.clone(), keys.clone());
            let mut theirs = Secured::CurveServer.theirs(Theirs::new(zmq::PUSH));
            let (ours, mut monitor) = theirs_connects(security, &theirs).await;
            theirs.send(&[b"hello"]).await;
            assert_eq!(within(ours.recv()).await.unwrap(), "hello");
            let peers = ours.peers();
            let principal = peers[0].principal().expect("somebody was asked");
            assert_eq!(principal.user_id(), CLIENT.public_key().to_string());

            keys.remove(CLIENT.public_key());
            let revoked = |kind: &EventKind| {
                matches!(kind, EventKind::Disconnected(DisconnectCause::Revoked))
            };
            event(&mut monitor, revoked).await;
        })
        .await;
    }

    /// Theirs bound, ours connected through a relay.
    async fn through_relay(
        ours: &jackstay::Socket<impl jackstay::pattern::Pattern>,
        theirs: &Theirs,
    ) -> Relay {
        let relay = Relay::new(&theirs.bind("tcp://127.0.0.1:*")).await;
        ours.connect(&relay.at).unwrap();
        within(ours.wait_for_peers(1)).await.unwrap();
        relay
    }

    const MESSAGE: &[u8] = b"\x07MESSAGE";

    #[tokio::test]
    async fn h7_heartbeats_of_ours_are_encrypted_and_answered() {
        whole(async {
            let heartbeat = Heartbeat::every(Duration::from_millis(20)).unwrap();
            let ours = PairSocket::builder()
                .security(Secured::CurveClient.ours())
                .heartbeat(heartbeat.timeout(Duration::from_secs(10)))
                .build();
            let theirs = Secured::CurveClient.theirs(Theirs::new(zmq::PAIR));
            let relay = through_relay(&ours, &theirs).await;
            eventually(|| relay.up(MESSAGE) >= 5 && relay.down(MESSAGE) >= 5).await;
            assert_eq!((relay.up(b"PING"), relay.down(b"PONG")), (0, 0));
        })
        .await;
    }

    #[tokio::test]
    async fn h7_heartbeats_of_libzmq_are_decrypted_and_answered() {
        whole(async {
            let ours = PairSocket::builder()
                .security(Secured::CurveClient.ours())
                .build();
            let theirs = Secured::CurveClient
                .theirs(Theirs::new(zmq::PAIR))
                .with(|socket| {
                    socket.set_heartbeat_ivl(20)?;
                    socket.set_heartbeat_timeout(10_000)
                });
            let relay = through_relay(&ours, &theirs).await;
            eventually(|| relay.up(MESSAGE) >= 5 && relay.down(MESSAGE) >= 5).await;
            assert_eq!((relay.down(b"PING"), relay.up(b"PONG")), (0, 0));
        })
        .await;
    }

    #[tokio::test]
    async fn h7_subscriptions_and_messages_cannot_be_read_on_the_way() {
        whole(async {
            let ours = SubSocket::builder()
                .security(Secured::CurveClient.ours())
                .build();
            let mut theirs = Secured::CurveClient.theirs(Theirs::new(zmq::XPUB));
            let relay = through_relay(&ours, &theirs).await;
            ours.subscribe("wanted").unwrap();
            assert_eq!(theirs.recv().await, [b"\x01wanted"]);
            theirs.send(&[b"wanted: a secret"]).await;
            assert_eq!(within(ours.recv()).await.unwrap(), "wanted: a secret");
            ours.unsubscribe("wanted").unwrap();
            assert_eq!(theirs.recv().await, [b"\0wanted"]);
            for readable in [&b"SUBSCRIBE"[..], b"wanted", b"secret"] {
                assert_eq!(relay.up(readable) + relay.down(readable), 0);
            }
            assert!(relay.up(MESSAGE) >= 2 && relay.down(MESSAGE) >= 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_message_of_many_megabytes_is_encrypted_whole() {
        whole(async {
            let link = Link {
                secured: Secured::CurveServer,
                ..TCP
            };
            let ours = link.ours(PairSocket::builder());
            let mut theirs = link.theirs(zmq::PAIR);
            link.join(&ours, &theirs).await;
            let large: Vec<u8> = (0..5 << 20).map(|n: u32| (n >> 3) as u8).collect();
            ours.send(("head", large.clone(), "tail")).await.unwrap();
            let frames = theirs.recv().await;
            assert!(frames == [b"head".to_vec(), large.clone(), b"tail".to_vec()]);
            theirs.send(&[b"head", &large, b"tail"]).await;
            let message = within(ours.recv()).await.unwrap();
            assert!(message == jackstay::Message::from(("head", large, "tail")));
        })
        .await;
    }
}
