//! Connections that come and go.

use std::sync::Arc;

use jackstay::{PullSocket, PushSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::JoinSet;

use crate::alone::{Held, alone, leaves_nothing};
use crate::support::raw::{GREETING, Raw, frame, ready};
use crate::support::times::times;
use crate::support::{Transport, join_at, within};

/// A PULL, and PUSHs that connect, send it a message and close, one after the other.
async fn comers(over: Transport, pull: PullSocket, push: fn() -> PushSocket, rounds: u64) {
    let at = pull.bind(over.any()).await.unwrap();
    let pull = Arc::new(pull);
    leaves_nothing(rounds, |_| {
        let (pull, push, at) = (pull.clone(), push(), at.clone());
        async move {
            push.connect(&at).unwrap();
            push.send("here").await.unwrap();
            assert_eq!(within(pull.recv()).await.unwrap(), "here");
            push.close().await.unwrap();
        }
    })
    .await;
    assert_eq!(pull.stats().dropped.total(), 0);
}

#[test]
fn a_connection_over_tcp_leaves_nothing() {
    alone(|| {
        comers(
            Transport::Tcp,
            PullSocket::new(),
            PushSocket::new,
            times(1_000),
        )
    });
}

#[test]
fn a_connection_over_ipc_leaves_nothing() {
    alone(|| {
        comers(
            Transport::Ipc,
            PullSocket::new(),
            PushSocket::new,
            times(1_000),
        )
    });
}

#[test]
fn a_connection_within_the_process_leaves_nothing() {
    alone(|| {
        comers(
            Transport::Inproc,
            PullSocket::new(),
            PushSocket::new,
            times(1_000),
        )
    });
}

#[test]
fn connections_that_were_busy_give_their_room_back() {
    const PEERS: usize = 12;
    alone(|| async {
        let pull = PullSocket::new();
        let at = pull.bind(Transport::Tcp.any()).await.unwrap();
        let pushes: Vec<_> = (0..PEERS).map(|_| Arc::new(PushSocket::new())).collect();
        for push in &pushes {
            push.connect(&at).unwrap();
        }
        let burst = async |each| {
            let mut sent = JoinSet::new();
            for push in &pushes {
                let push = push.clone();
                sent.spawn(async move {
                    for _ in 0..each {
                        push.send(vec![7; 1_300]).await.unwrap();
                    }
                });
            }
            for _ in 0..PEERS * each {
                within(pull.recv()).await.unwrap();
            }
            within(sent.join_all()).await;
        };
        burst(1).await;
        let before = Held::now();
        burst(4_000).await;
        before.keeps_no_room().await;
    });
}

#[cfg(feature = "curve")]
#[test]
fn an_encrypted_connection_leaves_nothing() {
    use jackstay::security::{AnyClient, KeyPair, SecretKey, Security};

    fn server() -> KeyPair {
        SecretKey::from_bytes(&[7; 32]).into()
    }
    fn push() -> PushSocket {
        let own = KeyPair::generate().unwrap();
        let security = Security::curve_client(*server().public_key(), own);
        PushSocket::builder().security(security).build()
    }
    alone(|| {
        let security = Security::curve_server(server(), AnyClient);
        let pull = PullSocket::builder().security(security).build();
        comers(Transport::Tcp, pull, push, times(100))
    });
}

/// All that a PUSH says up to the last octet but one of a message, or less of that message: another cut for each `round`.
fn half_a_message(round: u64) -> Vec<u8> {
    let size = if round.is_multiple_of(16) {
        100_000
    } else {
        300
    };
    let message = [frame(1, &[7; 300]), frame(1, b""), frame(0, &vec![7; size])].concat();
    let cut = 1 + usize::try_from(round).unwrap() * 37 % (message.len() - 1);
    message[..cut].to_vec()
}

#[test]
fn half_a_message_leaves_nothing() {
    alone(|| async {
        let pull = Arc::new(PullSocket::new());
        leaves_nothing(times(9_000), |round| {
            let pull = pull.clone();
            async move {
                let (ours, mut theirs) = duplex(64 << 10);
                pull.adopt(ours).unwrap();
                let said = [&GREETING[..], &ready("PUSH"), &half_a_message(round)].concat();
                theirs.write_all(&said).await.unwrap();
                theirs.shutdown().await.unwrap();
                // The end of what the socket says is the end of the connection.
                let heard = &mut Vec::new();
                within(theirs.read_to_end(heard)).await.unwrap();
                assert!(heard.starts_with(&GREETING[..10]));
            }
        })
        .await;
        goes_on(&pull).await;
    });
}

#[test]
fn half_a_message_over_tcp_leaves_nothing() {
    alone(|| async {
        let pull = Arc::new(PullSocket::new());
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        leaves_nothing(times(1_000), |round| {
            let at = at.clone();
            async move {
                let mut raw = Raw::shake_hands(&at, "PUSH").await;
                raw.write(&half_a_message(round)).await;
            }
        })
        .await;
        goes_on(&pull).await;
    });
}

/// No message was made of halves, and a healthy peer has its turn.
async fn goes_on(pull: &PullSocket) {
    assert_eq!(pull.stats().messages_received, 0);
    let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let push = PushSocket::new();
    join_at(pull, &push, &at).await;
    push.send("whole").await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "whole");
}
