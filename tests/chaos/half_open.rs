//! Connections of which one end is gone without a word. H5: heartbeats find that within the interval and the timeout.

use std::time::Duration;

use jackstay::pattern::Pair;
use jackstay::zmtp::ProtocolError;
use jackstay::{Builder, DisconnectCause, EventKind, Heartbeat, Monitor, PairSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::clock::within_a_year;
use crate::support::relay::Relay;
use crate::support::seed::Chance;
use crate::support::times::times;
use crate::support::{Transport, event, for_each_wire, within};

const INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(200);

fn pair() -> Builder<Pair> {
    let heartbeat = Heartbeat::every(INTERVAL).expect("not zero");
    PairSocket::builder().heartbeat(heartbeat.timeout(TIMEOUT))
}

/// The longest that is borne, on a machine that is never late.
fn limit() -> Duration {
    (INTERVAL + TIMEOUT).mul_f64(1.1)
}

/// When this socket finds that its peer is gone.
async fn found(mut events: Monitor) -> Instant {
    event(&mut events, |kind| {
        matches!(
            kind,
            EventKind::Disconnected(DisconnectCause::Protocol(ProtocolError::HeartbeatTimeout))
        )
    })
    .await;
    Instant::now()
}

/// Says half and whole of what was measured.
fn tell(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
    let n = times.len();
    println!("{name}: {n} found, p50 {half:?}, max {most:?}");
}

/// Passes octets on until `frozen`, and swallows them from then on.
async fn pass(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    frozen: watch::Receiver<bool>,
) {
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if !*frozen.borrow() && to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn h5_both_ends_find_it_whenever_it_happens() {
    within_a_year(async {
        let name = "half-open, paused time";
        let mut chance = Chance::of(name);
        let mut measured = Vec::new();
        for round in 0..times(200) {
            let ends = [(); 2].map(|()| pair().build());
            let (freeze, frozen) = watch::channel(false);
            let [one, other] = [(); 2].map(|()| duplex(4096));
            ends[0].adopt(one.0).unwrap();
            ends[1].adopt(other.0).unwrap();
            let ((read, write), (far_read, far_write)) = (split(one.1), split(other.1));
            let mut tasks = JoinSet::new();
            tasks.spawn(pass(read, far_write, frozen.clone()));
            tasks.spawn(pass(far_read, write, frozen));
            for end in &ends {
                within(end.wait_for_peers(1)).await.unwrap();
            }
            // Anywhere between two heartbeats, with messages on the way or without.
            for _ in 0..chance.within(0..4) {
                sleep(Duration::from_micros(chance.next() % 300_000)).await;
                if chance.within(0..2) == 0 {
                    ends[0].send("alive").await.unwrap();
                }
            }
            let events = [ends[0].monitor(), ends[1].monitor()];
            freeze.send_replace(true);
            let begun = Instant::now();
            for events in events {
                let after = found(events).await - begun;
                assert!(after <= limit(), "round {round}: {after:?}");
                measured.push(after);
            }
        }
        tell(name, measured);
    })
    .await;
}

/// How late timers are on this machine, at most, while `until` lasts.
async fn lateness<T>(until: impl Future<Output = T>) -> (T, Duration) {
    const STEP: Duration = Duration::from_millis(5);
    let mut most = Duration::ZERO;
    let mut until = std::pin::pin!(until);
    loop {
        let due = Instant::now() + STEP;
        tokio::select! {
            biased;
            value = &mut until => return (value, most.max(due.elapsed())),
            () = sleep(STEP) => most = most.max(due.elapsed()),
        }
    }
}

/// A pair through a relay that freezes after `wait`; how long either end took to find it.
async fn one_half_open(over: Transport, wait: Duration) -> [Duration; 2] {
    let bound = pair().build();
    let at = bound.bind(over.fixed()).await.unwrap();
    let relay = Relay::with_faults(&at, over, []).await;
    let connected = pair().build();
    connected.connect(&relay.at).unwrap();
    within(bound.wait_for_peers(1)).await.unwrap();
    within(connected.wait_for_peers(1)).await.unwrap();
    sleep(wait).await;
    let events = [bound.monitor(), connected.monitor()];
    relay.freeze();
    let begun = Instant::now();
    let [one, other] = events.map(found);
    let (one, other) = tokio::join!(one, other);
    [one - begun, other - begun]
}

async fn h5_over_wires(over: Transport) {
    let name = format!("half-open, {over:?}");
    let mut chance = Chance::of(&name);
    let mut measured = Vec::new();
    let mut latest = Duration::ZERO;
    for round in 0..times(1) {
        let mut pairs = JoinSet::new();
        for _ in 0..4 {
            let wait = Duration::from_micros(chance.next() % 400_000);
            pairs.spawn(one_half_open(over, wait));
        }
        let (found, late) = lateness(pairs.join_all()).await;
        latest = latest.max(late);
        for after in found.into_iter().flatten() {
            assert!(
                after <= limit() + late,
                "round {round}: {after:?}, where timers are late by {late:?}"
            );
            measured.push(after);
        }
    }
    tell(&name, measured);
    println!("{name}: timers were late by {latest:?} at most");
}

for_each_wire!(h5_over_wires);
