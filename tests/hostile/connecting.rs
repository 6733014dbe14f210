//! Hostile peers that are bound: a connecting socket backs off and comes again, or gives up when it is told to.

use std::time::Duration;

use jackstay::zmtp::{HandshakeError, ProtocolError};
use jackstay::{Endpoint, EventKind, PushSocket, Reconnect, StopReconnect};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::beside::{Cause, end};
use crate::support::raw::{GREETING, Raw, command, frame, greeting, ready};
use crate::support::{event, whole, within};

async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().into();
    (listener, at)
}

fn quick() -> Reconnect {
    Reconnect::default()
        .first(Duration::from_millis(1))
        .max(Duration::from_millis(2))
}

#[tokio::test]
async fn n10_any_close_without_a_word_is_tried_again_and_what_is_queued_follows() {
    whole(async {
        let (listener, at) = listener().await;
        let push = PushSocket::builder().reconnect(quick()).build();
        let mut events = push.monitor();
        push.connect(at).unwrap();
        push.send("kept").await.unwrap();
        let offences: [(Vec<u8>, HandshakeError); 4] = [
            (
                b"SSH-2.0-OpenSSH_9.6\r\n".into(),
                HandshakeError::NotZmtp {
                    began: "SSH-2.0-Op".into(),
                },
            ),
            (
                greeting(3, 1, b"PLAIN").into(),
                HandshakeError::MechanismMismatch {
                    ours: "NULL",
                    theirs: "PLAIN".into(),
                },
            ),
            (
                [&GREETING[..], &frame(0, b"x")].concat(),
                HandshakeError::PrematureMessage,
            ),
            (
                [&GREETING[..], &command("READY", b"")].concat(),
                HandshakeError::MissingSocketType,
            ),
        ];
        for (octets, error) in offences {
            let mut raw = Raw::accept(&listener).await;
            raw.write(&octets).await;
            raw.read_to_end().await;
            drop(raw);
            assert_eq!(end(&mut events).await, Cause::Handshake(error));
            event(&mut events, |kind| matches!(kind, EventKind::Retrying(_))).await;
        }
        drop(Raw::accept(&listener).await);
        assert_eq!(
            end(&mut events).await,
            Cause::Handshake(HandshakeError::Closed)
        );
        let mut raw = Raw::accept(&listener)
            .await
            .with_hands_shaken(&GREETING, &ready("PULL"))
            .await;
        assert_eq!(raw.read_frame().await, (0, b"kept".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn n10_an_error_in_the_handshake_ends_the_attempts() {
    whole(async {
        let (listener, at) = listener().await;
        let push = PushSocket::builder().reconnect(quick()).build();
        let mut events = push.monitor();
        push.connect(at).unwrap();
        push.send("lost").await.unwrap();
        let mut raw = Raw::accept(&listener).await;
        raw.write(&GREETING).await;
        raw.write(&command("ERROR", b"\x06not us")).await;
        drop(raw);
        let refused = HandshakeError::Refused {
            reason: "not us".into(),
        };
        assert_eq!(end(&mut events).await, Cause::Handshake(refused));
        event(&mut events, |kind| matches!(kind, EventKind::GaveUp)).await;
        // It would be here within milliseconds.
        assert!(
            timeout(Duration::from_millis(200), listener.accept())
                .await
                .is_err()
        );
        assert_eq!(push.stats().dropped.peer_gone, 1);
    })
    .await;
}

#[tokio::test]
async fn n10_an_error_after_the_handshake_is_of_the_moment_and_what_is_queued_follows() {
    whole(async {
        let (listener, at) = listener().await;
        let push = PushSocket::builder().reconnect(quick()).build();
        let mut events = push.monitor();
        push.connect(at).unwrap();
        for _ in 0..3 {
            let mut raw = Raw::accept(&listener)
                .await
                .with_hands_shaken(&GREETING, &ready("PULL"))
                .await;
            raw.write(&command("ERROR", b"\x06no way")).await;
            let refused = ProtocolError::Refused {
                reason: "no way".into(),
            };
            assert_eq!(end(&mut events).await, Cause::Protocol(refused));
            event(&mut events, |kind| matches!(kind, EventKind::Retrying(_))).await;
        }
        push.send("kept").await.unwrap();
        let mut raw = Raw::accept(&listener)
            .await
            .with_hands_shaken(&GREETING, &ready("PULL"))
            .await;
        assert_eq!(raw.read_frame().await, (0, b"kept".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn a_failed_handshake_ends_the_attempts_if_that_is_wished() {
    whole(async {
        let (listener, at) = listener().await;
        let push = PushSocket::builder()
            .reconnect(quick().stop(StopReconnect::HandshakeFailed))
            .build();
        let mut events = push.monitor();
        push.connect(at).unwrap();
        let mut raw = Raw::accept(&listener).await;
        raw.write(b"220 mail.example ESMTP\r\n").await;
        event(&mut events, |kind| {
            matches!(kind, EventKind::HandshakeFailed(_))
        })
        .await;
        event(&mut events, |kind| matches!(kind, EventKind::GaveUp)).await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_takes_each_connection_and_drops_it_is_not_besieged() {
    whole(async {
        let (listener, at) = listener().await;
        let reconnect = Reconnect::default()
            .first(Duration::from_millis(20))
            .jitter(false);
        let push = PushSocket::builder().reconnect(reconnect).build();
        let mut events = push.monitor();
        push.connect(at).unwrap();
        let mut delays = Vec::new();
        for _ in 0..4 {
            drop(
                Raw::accept(&listener)
                    .await
                    .with_hands_shaken(&GREETING, &ready("PULL"))
                    .await,
            );
            let retrying = event(&mut events, |kind| matches!(kind, EventKind::Retrying(_))).await;
            let EventKind::Retrying(delay) = retrying.kind else {
                unreachable!()
            };
            delays.push(delay.as_millis());
        }
        assert_eq!(delays, [20, 40, 80, 160]);
    })
    .await;
}

#[tokio::test]
async fn a4_a_half_sent_message_is_sent_again_whole() {
    whole(async {
        let (listener, at) = listener().await;
        let push = PushSocket::builder().reconnect(quick()).build();
        push.connect(at).unwrap();
        // Too large for the buffers of the kernel: it cannot leave whole.
        let body = vec![7; 32 << 20];
        push.send(("large", body.clone())).await.unwrap();
        push.send("after").await.unwrap();
        let mut raw = Raw::accept(&listener)
            .await
            .with_hands_shaken(&GREETING, &ready("PULL"))
            .await;
        assert_eq!(raw.read_exact(100).await[..7], *b"\x01\x05large");
        drop(raw);
        let mut raw = Raw::accept(&listener)
            .await
            .with_hands_shaken(&GREETING, &ready("PULL"))
            .await;
        assert_eq!(raw.read_frame().await, (1, b"large".to_vec()));
        let (flags, again) = raw.read_frame().await;
        assert!(flags == 2 && again == body, "the second frame");
        assert_eq!(raw.read_frame().await, (0, b"after".to_vec()));
        within(push.close()).await.unwrap();
    })
    .await;
}
