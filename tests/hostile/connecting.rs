//! Hostile peers that are bound: a connecting socket backs off and comes again, or gives up when it is told to.

use std::time::Duration;

use jackstay::zmtp::{HandshakeError, ProtocolError};
use jackstay::{Endpoint, EventKind, Monitor, PushSocket, Reconnect, StopReconnect};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::beside::{Cause, end};
use crate::support::raw::{GREETING, Raw, command, frame, greeting, ready};
use crate::support::{event, whole, within};

/// A PUSH that connects to a listener of octets, and what it tells from before that on.
struct Connecting {
    push: PushSocket,
    events: Monitor,
    listener: TcpListener,
}

impl Connecting {
    async fn new(reconnect: Reconnect) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let push = PushSocket::builder().reconnect(reconnect).build();
        let events = push.monitor();
        let at = Endpoint::from(listener.local_addr().unwrap());
        push.connect(at).unwrap();
        Self {
            push,
            events,
            listener,
        }
    }

    /// Takes the next connection.
    async fn accept(&self) -> Raw {
        Raw::accept(&self.listener).await
    }

    /// Takes the next connection, and does what a healthy PULL does until the first message.
    async fn shake_hands(&self) -> Raw {
        let raw = self.accept().await;
        raw.with_hands_shaken(&GREETING, &ready("PULL")).await
    }

    /// Waits until it is about to try again, and tells after what delay.
    async fn retrying(&mut self) -> Duration {
        let is_retrying = |kind: &EventKind| matches!(kind, EventKind::Retrying(_));
        match event(&mut self.events, is_retrying).await.kind {
            EventKind::Retrying(delay) => delay,
            other => unreachable!("{other:?}"),
        }
    }

    async fn gives_up(&mut self) {
        event(&mut self.events, |kind| matches!(kind, EventKind::GaveUp)).await;
    }
}

fn quick() -> Reconnect {
    Reconnect::default()
        .first(Duration::from_millis(1))
        .max(Duration::from_millis(2))
}

#[tokio::test]
async fn n10_any_close_without_a_word_is_tried_again_and_what_is_queued_follows() {
    whole(async {
        let mut socket = Connecting::new(quick()).await;
        socket.push.send("kept").await.unwrap();
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
            let mut raw = socket.accept().await;
            raw.write(&octets).await;
            raw.read_to_end().await;
            drop(raw);
            assert_eq!(end(&mut socket.events).await, Cause::Handshake(error));
            socket.retrying().await;
        }
        drop(socket.accept().await);
        assert_eq!(
            end(&mut socket.events).await,
            Cause::Handshake(HandshakeError::Closed)
        );
        let mut raw = socket.shake_hands().await;
        assert_eq!(raw.read_frame().await, (0, b"kept".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn n10_an_error_in_the_handshake_ends_the_attempts() {
    whole(async {
        let mut socket = Connecting::new(quick()).await;
        socket.push.send("lost").await.unwrap();
        let mut raw = socket.accept().await;
        raw.write(&GREETING).await;
        raw.write(&command("ERROR", b"\x06not us")).await;
        drop(raw);
        let refused = HandshakeError::Refused {
            reason: "not us".into(),
        };
        assert_eq!(end(&mut socket.events).await, Cause::Handshake(refused));
        socket.gives_up().await;
        // It would be here within milliseconds.
        assert!(
            timeout(Duration::from_millis(200), socket.listener.accept())
                .await
                .is_err()
        );
        assert_eq!(socket.push.stats().dropped.peer_gone, 1);
    })
    .await;
}

#[tokio::test]
async fn n10_an_error_after_the_handshake_is_of_the_moment_and_what_is_queued_follows() {
    whole(async {
        let mut socket = Connecting::new(quick()).await;
        for _ in 0..3 {
            let mut raw = socket.shake_hands().await;
            raw.write(&command("ERROR", b"\x06no way")).await;
            let refused = ProtocolError::Refused {
                reason: "no way".into(),
            };
            assert_eq!(end(&mut socket.events).await, Cause::Protocol(refused));
            socket.retrying().await;
        }
        socket.push.send("kept").await.unwrap();
        let mut raw = socket.shake_hands().await;
        assert_eq!(raw.read_frame().await, (0, b"kept".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn a_failed_handshake_ends_the_attempts_if_that_is_wished() {
    whole(async {
        let reconnect = quick().stop(StopReconnect::HandshakeFailed);
        let mut socket = Connecting::new(reconnect).await;
        let mut raw = socket.accept().await;
        raw.write(b"220 mail.example ESMTP\r\n").await;
        event(&mut socket.events, |kind| {
            matches!(kind, EventKind::HandshakeFailed(_))
        })
        .await;
        socket.gives_up().await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_takes_each_connection_and_drops_it_is_not_besieged() {
    whole(async {
        let reconnect = Reconnect::default()
            .first(Duration::from_millis(20))
            .jitter(false);
        let mut socket = Connecting::new(reconnect).await;
        let mut delays = Vec::new();
        for _ in 0..4 {
            drop(socket.shake_hands().await);
            delays.push(socket.retrying().await.as_millis());
        }
        assert_eq!(delays, [20, 40, 80, 160]);
    })
    .await;
}

#[tokio::test]
async fn a4_a_half_sent_message_is_sent_again_whole() {
    whole(async {
        let socket = Connecting::new(quick()).await;
        // Too large for the buffers of the kernel: it cannot leave whole.
        let body = vec![7; 32 << 20];
        socket.push.send(("large", body.clone())).await.unwrap();
        socket.push.send("after").await.unwrap();
        let mut raw = socket.shake_hands().await;
        assert_eq!(raw.read_exact(100).await[..7], *b"\x01\x05large");
        drop(raw);
        let mut raw = socket.shake_hands().await;
        assert_eq!(raw.read_frame().await, (1, b"large".to_vec()));
        let (flags, again) = raw.read_frame().await;
        assert!(flags == 2 && again == body, "the second frame");
        assert_eq!(raw.read_frame().await, (0, b"after".to_vec()));
        within(socket.push.close()).await.unwrap();
    })
    .await;
}
