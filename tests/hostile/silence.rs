//! Peers that say too little, or too slowly.

use std::time::Duration;

use jackstay::zmtp::{HandshakeError, ProtocolError};
use jackstay::{Heartbeat, PullSocket, PushSocket};
use tokio::time::interval;

use crate::beside::{Attacked, Cause, end};
use crate::support::raw::{GREETING, Raw, command, frame, ready};
use crate::support::{whole, within};

#[tokio::test]
async fn g10_a_handshake_ends_at_its_deadline_however_busy_the_peer() {
    whole(async {
        let pull = PullSocket::builder()
            .handshake_timeout(Duration::from_millis(300))
            .build();
        let mut attacked = Attacked::new(pull).await;
        let at = attacked.at.clone();
        let mut events = attacked.pull.monitor();
        let seen = attacked
            .during(async {
                let mut raw = Raw::connect(&at).await;
                let trickle = async {
                    let mut tick = interval(Duration::from_millis(20));
                    for octet in [&GREETING[..], &ready("PUSH")].concat() {
                        tick.tick().await;
                        raw.write(&[octet]).await;
                    }
                };
                tokio::select! {
                    seen = end(&mut events) => seen,
                    () = trickle => panic!("an octet in time keeps the handshake alive"),
                }
            })
            .await;
        assert_eq!(seen, Cause::Handshake(HandshakeError::TimedOut));
    })
    .await;
}

#[tokio::test]
async fn g10_a_peer_that_says_nothing_at_all() {
    whole(async {
        let pull = PullSocket::builder()
            .handshake_timeout(Duration::from_millis(100))
            .build();
        let mut attacked = Attacked::new(pull).await;
        let seen = attacked
            .end_of(async |at| {
                Raw::connect(&at).await.read_to_end().await;
            })
            .await;
        assert_eq!(seen, Cause::Handshake(HandshakeError::TimedOut));
    })
    .await;
}

#[tokio::test]
async fn silent_connections_up_to_the_limit_keep_nobody_out_for_longer_than_the_deadline() {
    whole(async {
        let timeout = Duration::from_millis(300);
        let pull = PullSocket::builder()
            .max_pending_handshakes(4)
            .handshake_timeout(timeout)
            .build();
        let attacked = Attacked::new(pull).await;
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(Raw::connect(&attacked.at).await);
        }
        let push = PushSocket::new();
        push.connect(&attacked.at).unwrap();
        push.send("in at last").await.unwrap();
        assert_eq!(within(attacked.pull.recv()).await.unwrap(), "in at last");
    })
    .await;
}

#[tokio::test]
async fn h5_a_peer_that_does_not_answer_a_heartbeat() {
    whole(async {
        let heartbeat = Heartbeat::every(Duration::from_millis(100))
            .unwrap()
            .ttl(Duration::from_secs(30))
            .unwrap();
        let pull = PullSocket::builder().heartbeat(heartbeat).build();
        let mut attacked = Attacked::new(pull).await;
        let mut said = Vec::new();
        let seen = attacked
            .end_of(async |at| said = Raw::shake_hands(&at, "PUSH").await.read_to_end().await)
            .await;
        assert_eq!(seen, Cause::Protocol(ProtocolError::HeartbeatTimeout));
        // H4: 30 seconds in tenths.
        assert_eq!(said, command("PING", &300_u16.to_be_bytes()));
    })
    .await;
}

#[tokio::test]
async fn h4_a_peer_that_is_silent_for_longer_than_it_promised() {
    whole(async {
        let mut attacked = Attacked::new(PullSocket::new()).await;
        let seen = attacked
            .end_of(async |at| {
                let mut raw = Raw::shake_hands(&at, "PUSH").await;
                raw.write(&command("PING", &2_u16.to_be_bytes())).await;
                raw.read_to_end().await;
            })
            .await;
        assert_eq!(seen, Cause::Protocol(ProtocolError::TtlExpired));
    })
    .await;
}

#[tokio::test]
async fn h3_any_traffic_is_a_sign_of_life() {
    whole(async {
        let heartbeat = Heartbeat::every(Duration::from_millis(250)).unwrap();
        let attacked = Attacked::new(PullSocket::builder().heartbeat(heartbeat).build()).await;
        let mut events = attacked.pull.monitor();
        let mut raw = Raw::shake_hands(&attacked.at, "PUSH").await;
        // It never sends a PONG, but it sends: four times as long as silence would be borne.
        let mut tick = interval(Duration::from_millis(50));
        for _ in 0..40 {
            tick.tick().await;
            raw.write(&frame(0, b"alive")).await;
            assert_eq!(within(attacked.pull.recv()).await.unwrap(), "alive");
        }
        while let Some(event) = events.try_recv() {
            assert_eq!(Cause::of(&event.kind), None, "{event}");
        }
    })
    .await;
}
