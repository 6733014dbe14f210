//! The clock jumps by an hour: the process was stopped, or the machine asleep. Time in which nobody listened is no
//! silence of the peer's.

use std::panic::Location;
use std::time::Duration;

use jackstay::zmtp::ProtocolError;
use jackstay::{
    DisconnectCause, Event, EventKind, Heartbeat, Monitor, PairSocket, PushSocket, Reconnect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::raw::{GREETING, command, frame, ready};

/// Paused time passes at once where nothing else happens: so a test that hangs is over soon.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

const HOUR: Duration = Duration::from_secs(3_600);
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(4);

/// Fails the test if it hangs.
#[track_caller]
pub fn within_a_year<F: Future>(step: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        match timeout(YEAR, step).await {
            Ok(value) => value,
            Err(_) => panic!("nothing happened within a year at {caller}"),
        }
    }
}

#[track_caller]
fn event(events: &mut Monitor, wanted: impl Fn(&EventKind) -> bool) -> impl Future<Output = Event> {
    within_a_year(async move {
        loop {
            let event = events.recv().await.expect("the socket lives");
            if wanted(&event.kind) {
                return event;
            }
        }
    })
}

/// A socket with heartbeats, and the far end of its one connection, from which everything is said by hand.
async fn joined() -> (PairSocket, DuplexStream) {
    let heartbeat = Heartbeat::every(INTERVAL).unwrap().timeout(TIMEOUT);
    let socket = PairSocket::builder().heartbeat(heartbeat).build();
    let (near, mut far) = duplex(64 << 10);
    socket.adopt(near).unwrap();
    far.write_all(&[&GREETING[..], &ready("PAIR")].concat())
        .await
        .unwrap();
    within_a_year(socket.wait_for_peers(1)).await.unwrap();
    let said = ready("PAIR").len() + GREETING.len();
    far.read_exact(&mut vec![0; said]).await.unwrap();
    (socket, far)
}

/// Waits for a PING at the far end, and returns when it came.
async fn pinged(far: &mut DuplexStream) -> Instant {
    let ping = command("PING", &[0, 0]);
    let mut said = vec![0; ping.len()];
    far.read_exact(&mut said).await.expect("it is connected");
    assert_eq!(said, ping);
    Instant::now()
}

/// Messages pass in both directions, and nothing has happened to the connection.
async fn is_well(socket: &PairSocket, far: &mut DuplexStream, events: &mut Monitor) {
    far.write_all(&frame(0, b"in")).await.unwrap();
    assert_eq!(within_a_year(socket.recv()).await.unwrap(), "in");
    socket.send("out").await.unwrap();
    let mut octets = vec![0; 5];
    loop {
        far.read_exact(&mut octets[..2]).await.unwrap();
        let body = usize::from(octets[1]);
        let message = octets[0] == 0;
        octets.resize(2 + body, 0);
        far.read_exact(&mut octets[2..]).await.unwrap();
        if message {
            assert_eq!(octets, frame(0, b"out"));
            break;
        }
    }
    if let Some(event) = events.try_recv() {
        panic!("the connection is no longer the same: {event}");
    }
}

fn heartbeat_timeout(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Disconnected(DisconnectCause::Protocol(ProtocolError::HeartbeatTimeout))
    )
}

#[tokio::test(start_paused = true)]
async fn h5_an_answer_that_has_arrived_counts_before_the_time_is_over() {
    within_a_year(async {
        let (socket, mut far) = joined().await;
        let mut events = socket.monitor();
        pinged(&mut far).await;
        far.write_all(&command("PONG", &[])).await.unwrap();
        // Nobody has looked at it yet.
        advance(HOUR).await;
        is_well(&socket, &mut far, &mut events).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn h5_a_peer_that_slept_as_long_is_asked_again() {
    within_a_year(async {
        let (socket, mut far) = joined().await;
        let mut events = socket.monitor();
        pinged(&mut far).await;
        advance(HOUR).await;
        pinged(&mut far).await;
        is_well(&socket, &mut far, &mut events).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn h5_a_peer_that_went_in_the_meantime_is_found_by_the_next_question() {
    within_a_year(async {
        let (socket, mut far) = joined().await;
        let mut events = socket.monitor();
        pinged(&mut far).await;
        advance(HOUR).await;
        let asked = pinged(&mut far).await;
        event(&mut events, heartbeat_timeout).await;
        let found = asked.elapsed();
        assert!(found <= TIMEOUT.mul_f64(1.1), "{found:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn h4_the_hour_is_no_silence_beyond_the_promise_of_the_peer() {
    within_a_year(async {
        for waiting in [true, false] {
            let (near, mut far) = duplex(64 << 10);
            let socket = PairSocket::new();
            socket.adopt(near).unwrap();
            let ttl = 50_u16.to_be_bytes();
            let said = [&GREETING[..], &ready("PAIR"), &command("PING", &ttl)].concat();
            far.write_all(&said).await.unwrap();
            within_a_year(socket.wait_for_peers(1)).await.unwrap();
            let mut events = socket.monitor();
            far.read_exact(&mut vec![0; 64 + ready("PAIR").len()])
                .await
                .unwrap();
            sleep(Duration::from_secs(4)).await;
            if waiting {
                far.write_all(&command("PONG", &[])).await.unwrap();
            }
            advance(HOUR).await;
            sleep(Duration::from_secs(1)).await;
            is_well(&socket, &mut far, &mut events).await;
            let silent = Instant::now();
            event(&mut events, |kind| {
                matches!(
                    kind,
                    EventKind::Disconnected(DisconnectCause::Protocol(ProtocolError::TtlExpired))
                )
            })
            .await;
            let found = silent.elapsed();
            assert!(found <= Duration::from_millis(5_500), "{found:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn g10_octets_that_have_arrived_belong_to_the_handshake_whatever_the_clock_says() {
    within_a_year(async {
        let said = [&GREETING[..], &ready("PAIR")].concat();
        for cut in 0..said.len() {
            let (near, mut far) = duplex(64 << 10);
            let socket = PairSocket::new();
            let mut events = socket.monitor();
            socket.adopt(near).unwrap();
            far.write_all(&said[..cut]).await.unwrap();
            yield_now().await;
            far.write_all(&said[cut..]).await.unwrap();
            advance(HOUR).await;
            event(&mut events, |kind| {
                assert!(
                    !matches!(kind, EventKind::HandshakeFailed(_)),
                    "{cut}: {kind:?}"
                );
                matches!(kind, EventKind::HandshakeSucceeded)
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn g10_a_handshake_of_two_sleepers_goes_on_when_both_wake() {
    within_a_year(async {
        for steps in 0..20 {
            let (one, other) = (PairSocket::new(), PairSocket::new());
            let mut events = [one.monitor(), other.monitor()];
            let (near, far) = duplex(64 << 10);
            one.adopt(near).unwrap();
            other.adopt(far).unwrap();
            for _ in 0..steps {
                yield_now().await;
            }
            advance(HOUR).await;
            for events in &mut events {
                event(events, |kind| {
                    assert!(
                        !matches!(kind, EventKind::HandshakeFailed(_)),
                        "{steps}: {kind:?}"
                    );
                    matches!(kind, EventKind::HandshakeSucceeded)
                })
                .await;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn g10_a_peer_that_says_nothing_after_the_hour_is_not_waited_for_once_more_and_again() {
    within_a_year(async {
        let (near, mut far) = duplex(64 << 10);
        let socket = PairSocket::builder()
            .handshake_timeout(Duration::from_secs(30))
            .build();
        let mut events = socket.monitor();
        socket.adopt(near).unwrap();
        far.write_all(&GREETING).await.unwrap();
        yield_now().await;
        advance(HOUR).await;
        let woken = Instant::now();
        event(&mut events, |kind| {
            matches!(kind, EventKind::HandshakeFailed(_))
        })
        .await;
        assert!(woken.elapsed() <= Duration::from_secs(33));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_sockets_with_heartbeats_stay_connected_over_a_day_of_jumps() {
    within_a_year(async {
        let heartbeat = Heartbeat::every(INTERVAL)
            .unwrap()
            .timeout(TIMEOUT)
            .ttl(Duration::from_secs(30))
            .unwrap();
        let [one, other] = [(); 2].map(|()| PairSocket::builder().heartbeat(heartbeat).build());
        let (near, far) = duplex(64 << 10);
        one.adopt(near).unwrap();
        other.adopt(far).unwrap();
        within_a_year(one.wait_for_peers(1)).await.unwrap();
        within_a_year(other.wait_for_peers(1)).await.unwrap();
        let mut events = [one.monitor(), other.monitor()];
        for jump in 0..24 {
            // At another moment between two heartbeats each time.
            sleep(Duration::from_millis(9_970 + 10 * jump)).await;
            for _ in 0..jump {
                yield_now().await;
            }
            advance(HOUR).await;
            one.send("still").await.unwrap();
            assert_eq!(within_a_year(other.recv()).await.unwrap(), "still");
            other.send("here").await.unwrap();
            assert_eq!(within_a_year(one.recv()).await.unwrap(), "here");
        }
        for events in &mut events {
            if let Some(event) = events.try_recv() {
                panic!("{event}");
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a2_the_hour_is_one_attempt_to_connect_and_the_back_off_goes_on() {
    within_a_year(async {
        let max = Duration::from_secs(8);
        let reconnect = Reconnect::default().max(max).jitter(false);
        let push = PushSocket::builder().reconnect(reconnect).build();
        let mut events = push.monitor();
        // Nobody listens at a path that does not exist.
        let nowhere = crate::support::Transport::Ipc.fixed();
        push.connect(&nowhere).unwrap();
        let retrying = |kind: &EventKind| matches!(kind, EventKind::Retrying(_));
        let mut delay = Duration::ZERO;
        while delay < max {
            let EventKind::Retrying(next) = event(&mut events, retrying).await.kind else {
                unreachable!("asked for");
            };
            delay = next;
        }
        for _ in 0..10 {
            advance(HOUR).await;
            let woken = Instant::now();
            let first = event(&mut events, retrying).await;
            assert!(
                matches!(first.kind, EventKind::Retrying(next) if next == max),
                "{first}"
            );
            event(&mut events, retrying).await;
            assert!(
                woken.elapsed() >= max,
                "two attempts within {:?}",
                woken.elapsed()
            );
        }
    })
    .await;
}
