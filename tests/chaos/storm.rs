//! A storm: the faults that connections through a relay meet, and sockets that are set up to be out in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jackstay::pattern::Pattern;
use jackstay::{Builder, Endpoint, EventKind, Heartbeat, Reconnect, Socket};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::secured::Secured;
use crate::support::Transport;
use crate::support::relay::{Fault, FaultKind, Relay, Way};
use crate::support::seed::Chance;
use crate::support::times::times;

/// Over what, and how secured.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub over: Transport,
    pub curve: bool,
}

/// How many octets pass one way before a fault strikes, at most; none if none is to strike there.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    pub up: usize,
    pub down: usize,
    /// Whether it is libzmq that connects. It does not try again where it finds that an octet was changed in the handshake, and
    /// does not notice that nothing is read of it while its own heartbeats cannot leave: both is spared it.
    pub spares_libzmq: bool,
}

/// The octets of a handshake each way, at least: to strike within them needs no message.
const HANDSHAKE: usize = 90;

impl Weather {
    /// A socket that is connected to.
    pub fn server<P: Pattern>(self, builder: Builder<P>) -> Builder<P> {
        #[cfg(feature = "curve")]
        if self.curve {
            return hardy(builder).security(Secured::CurveServer.ours());
        }
        hardy(builder).security(Secured::Null.ours())
    }

    /// A socket that connects.
    pub fn client<P: Pattern>(self, builder: Builder<P>) -> Builder<P> {
        #[cfg(feature = "curve")]
        if self.curve {
            return hardy(builder).security(Secured::CurveClient.ours());
        }
        hardy(builder).security(Secured::Null.ours())
    }

    /// A relay in front of `to` with a storm of `n` faults, or so many times that.
    pub async fn storm(self, name: &str, to: &Endpoint, n: u64, reach: Reach) -> Relay {
        let mut chance = Chance::of(&format!("{name}, {self:?}"));
        let faults = (0..times(n)).map(|_| self.fault(&mut chance, reach));
        Relay::with_faults(to, self.over, faults.collect::<Vec<_>>()).await
    }

    fn fault(self, chance: &mut Chance, reach: Reach) -> Fault {
        let (way, most) = match chance.within(0..2) {
            0 => (Way::Up, reach.up),
            _ => (Way::Down, reach.down),
        };
        // Under NULL nobody could notice.
        let corrupts = self.curve && (way == Way::Up || !reach.spares_libzmq);
        let kind = match chance.within(0..100) {
            0..15 => FaultKind::Delay(Duration::from_millis(chance.next() % 20)),
            15..30 => FaultKind::Drip(chance.within(1..200)),
            30..45 if corrupts => FaultKind::Corrupt(1 << chance.within(0..8)),
            30..47 => FaultKind::Silence,
            47..50 if reach.spares_libzmq => FaultKind::Silence,
            47..50 => FaultKind::Stall,
            50..70 => FaultKind::Reset,
            _ => FaultKind::Cut,
        };
        let within_handshake = chance.within(0..2) == 0;
        let most = if within_handshake {
            HANDSHAKE.min(most)
        } else {
            most
        };
        let after = chance.within(0..most);
        Fault { way, after, kind }
    }
}

/// As often disconnected as these sockets are, they try again at once.
pub fn hardy<P: Pattern>(builder: Builder<P>) -> Builder<P> {
    let heartbeat = Heartbeat::every(Duration::from_millis(100)).expect("not zero");
    let heartbeat = heartbeat.timeout(Duration::from_millis(300));
    let reconnect = Reconnect::default().first(Duration::from_millis(1));
    builder
        .heartbeat(heartbeat)
        .handshake_timeout(Duration::from_millis(500))
        .reconnect(reconnect.max(Duration::from_millis(5)))
}

/// Counts the connections that a socket had.
pub fn connections<P: Pattern>(socket: &Socket<P>) -> Arc<AtomicU64> {
    let mut events = socket.monitor();
    let count = Arc::<AtomicU64>::default();
    let counted = count.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            assert!(!matches!(event.kind, EventKind::GaveUp), "{event}");
            if let EventKind::HandshakeSucceeded = event.kind {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    count
}

/// Paces what would otherwise send as much as it can into connections where all is lost.
pub fn pace() -> Interval {
    let mut pace = interval(Duration::from_millis(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// Tells what a storm was, for the record.
pub fn tell(name: &str, relay: &Relay, account: &dyn std::fmt::Debug) {
    let mut struck = BTreeMap::<_, u64>::new();
    for kind in relay.struck() {
        let name = match kind {
            FaultKind::Delay(_) => "delay",
            FaultKind::Drip(_) => "drip",
            FaultKind::Corrupt(_) => "corrupt",
            FaultKind::Cut => "cut",
            FaultKind::Reset => "reset",
            FaultKind::Silence => "silence",
            FaultKind::Stall => "stall",
        };
        *struck.entry(name).or_default() += 1;
    }
    let all: u64 = struck.values().sum();
    println!("{name}: {all} faults {struck:?}; {account:?}");
}
