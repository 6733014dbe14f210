//! A4: exactly what the system took of a connection that broke is lost with it. A peer of octets takes nothing until the
//! sender gives it up, and then reads all that the system had; the next connection has to begin with the first message of
//! which a part is missing there.

use std::time::Duration;

use jackstay::{Heartbeat, Message, PushSocket, Reconnect};
use tokio::net::TcpListener;

use crate::ledger::{message, number};
use crate::storm::pace;
use crate::support::raw::{GREETING, Raw, ready};
use crate::support::times::times;
use crate::support::{whole, within};

const PATIENCE: Duration = Duration::from_millis(300);

/// The first frame of these octets, if it is whole: flags, body, and what follows.
fn frame(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (flags, rest) = octets.split_first()?;
    let (len, rest) = if flags & 2 == 0 {
        let (len, rest) = rest.split_first()?;
        (usize::from(*len), rest)
    } else {
        let (len, rest) = rest.split_first_chunk()?;
        (
            usize::try_from(u64::from_be_bytes(*len)).expect("a size"),
            rest,
        )
    };
    let (body, rest) = rest.split_at_checked(len)?;
    Some((*flags, body, rest))
}

/// The numbers of the whole messages in these octets.
fn numbers(mut octets: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut frames = Vec::new();
    while let Some((flags, body, rest)) = frame(octets) {
        octets = rest;
        // Heartbeats are commands.
        if flags & 4 == 0 {
            frames.push(body.to_vec());
            if flags & 1 == 0 {
                let message = Message::from_iter(frames.drain(..));
                numbers.push(number(&message).expect("it is as it was sent"));
            }
        }
    }
    numbers
}

#[tokio::test]
async fn a4_what_the_system_did_not_take_whole_follows_on_the_next_connection() {
    whole(async {
        for _ in 0..times(2) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let push = PushSocket::builder()
                .send_hwm(50)
                .heartbeat(Heartbeat::every(PATIENCE).unwrap())
                .reconnect(Reconnect::default().first(Duration::from_millis(1)))
                .build();
            let at = jackstay::Endpoint::from(listener.local_addr().unwrap());
            push.connect(&at).unwrap();
            let ready = ready("PULL");
            let deaf = Raw::accept(&listener).await;
            let mut deaf = deaf.with_hands_shaken(&GREETING, &ready).await;
            within(push.wait_for_peers(1)).await.unwrap();

            let mut sent = 0;
            let mut pace = pace();
            // The system's own buffers may grow while they fill.
            while !push.peers().is_empty() {
                while push.try_send(message(sent)).is_ok() {
                    sent += 1;
                }
                pace.tick().await;
            }
            let taken = numbers(&deaf.read_to_end().await);
            let expected = u64::try_from(taken.len()).unwrap();
            assert!(taken.into_iter().eq(0..expected));

            let next = Raw::accept(&listener).await;
            let mut next = next.with_hands_shaken(&GREETING, &ready).await;
            push.close().await.unwrap();
            let rest = numbers(&next.read_to_end().await);
            assert!(
                rest.iter().copied().eq(expected..sent),
                "{expected}..{sent}: {rest:?}"
            );
            assert!(sent - expected >= 50);
        }
    })
    .await;
}
