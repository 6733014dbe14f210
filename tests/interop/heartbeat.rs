//! Heartbeats each way, and silent peers that they find.

use std::time::Duration;

use jackstay::zmtp::ProtocolError;
use jackstay::{DisconnectCause, EventKind, Heartbeat, PairSocket};
use tokio::time::timeout;

use crate::support::relay::Relay;
use crate::support::{event, eventually, whole, within};
use crate::theirs::Theirs;

const INTERVAL: Duration = Duration::from_millis(20);

/// Theirs bound, ours connected to it through a relay.
async fn through_relay(ours: &PairSocket, theirs: &Theirs) -> Relay {
    let at = theirs.bind("tcp://127.0.0.1:*");
    let relay = Relay::new(&at).await;
    ours.connect(&relay.at).unwrap();
    within(ours.wait_for_peers(1)).await.unwrap();
    relay
}

async fn exchange(ours: &PairSocket, theirs: &mut Theirs) {
    ours.send("ping pong").await.unwrap();
    assert_eq!(theirs.recv().await, [b"ping pong"]);
    theirs.send(&[b"pong ping"]).await;
    assert_eq!(within(ours.recv()).await.unwrap(), "pong ping");
}

/// Waits until `beats` have passed; the connection is then still the first one, and carries messages.
async fn lives(ours: &PairSocket, theirs: &mut Theirs, beats: impl Fn(&Relay) -> bool) {
    let relay = through_relay(ours, theirs).await;
    let mut events = ours.monitor();
    eventually(|| beats(&relay)).await;
    exchange(ours, theirs).await;
    assert!(
        events.try_recv().is_none(),
        "the connection is not the same"
    );
}

#[tokio::test]
async fn h5_libzmq_answers_our_pings() {
    whole(async {
        let heartbeat = Heartbeat::every(INTERVAL)
            .unwrap()
            .timeout(Duration::from_secs(10));
        let ours = PairSocket::builder()
            .heartbeat(heartbeat.ttl(Duration::from_secs(10)).unwrap())
            .build();
        let mut theirs = Theirs::new(zmq::PAIR);
        lives(&ours, &mut theirs, |relay| {
            relay.up(b"\x04PING") >= 5 && relay.down(b"\x04PONG") >= 5
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn h1_libzmq_takes_our_pongs() {
    whole(async {
        let ours = PairSocket::new();
        let mut theirs = Theirs::new(zmq::PAIR).with(|socket| {
            socket.set_heartbeat_ivl(20)?;
            socket.set_heartbeat_ttl(10_000)?;
            socket.set_heartbeat_timeout(10_000)
        });
        lives(&ours, &mut theirs, |relay| {
            relay.down(b"\x04PING") >= 5 && relay.up(b"\x04PONG") >= 5
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn h5_a_silent_libzmq_is_found_and_connected_again() {
    whole(async {
        let ours = PairSocket::builder()
            .heartbeat(Heartbeat::every(INTERVAL * 5).unwrap())
            .build();
        let theirs = Theirs::new(zmq::PAIR);
        let relay = through_relay(&ours, &theirs).await;
        let mut events = ours.monitor();
        relay.freeze();
        let silent = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::Disconnected(DisconnectCause::Protocol(ProtocolError::HeartbeatTimeout))
            )
        };
        event(&mut events, silent).await;
        event(&mut events, |kind| matches!(kind, EventKind::Retrying(_))).await;
        event(&mut events, |kind| matches!(kind, EventKind::Connected)).await;
    })
    .await;
}

#[tokio::test]
async fn h4_a_libzmq_that_is_silent_for_longer_than_its_ttl_is_found() {
    whole(async {
        // Ours has no heartbeat of its own: it is asked to mind theirs.
        let ours = PairSocket::new();
        let theirs = Theirs::new(zmq::PAIR).with(|socket| {
            socket.set_heartbeat_ivl(20)?;
            socket.set_heartbeat_ttl(300)?;
            socket.set_heartbeat_timeout(10_000)
        });
        let relay = through_relay(&ours, &theirs).await;
        eventually(|| relay.up(b"\x04PONG") >= 2).await;
        let mut events = ours.monitor();
        relay.freeze();
        let expired = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::Disconnected(DisconnectCause::Protocol(ProtocolError::TtlExpired))
            )
        };
        event(&mut events, expired).await;
    })
    .await;
}

#[tokio::test]
async fn h3_traffic_alone_keeps_a_connection() {
    whole(async {
        let heartbeat = Heartbeat::every(Duration::from_millis(150)).unwrap();
        let ours = PairSocket::builder().heartbeat(heartbeat).build();
        let mut theirs = Theirs::new(zmq::PAIR);
        let _relay = through_relay(&ours, &theirs).await;
        let mut events = ours.monitor();
        let talk = async {
            loop {
                exchange(&ours, &mut theirs).await;
            }
        };
        // Five times as long as a silent peer would be borne.
        assert!(timeout(Duration::from_millis(1_500), talk).await.is_err());
        while let Some(event) = events.try_recv() {
            assert!(!matches!(event.kind, EventKind::Disconnected(_)), "{event}");
        }
    })
    .await;
}
