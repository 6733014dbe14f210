//! [`Gate`]: how many connections may come to a socket, and how many of them be in their handshake.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::monitor::TurnedAway;
use crate::options::Options;
use crate::pipe::lock;
use crate::sync::Mutex;
use crate::transport::{PeerAddress, beyond_share};

/// Where connections come to a socket, at all endpoints that it is bound to.
///
/// Who comes too often is turned away, so that it does not stand in the way of others. When too many come in all, each
/// waits for its turn to shake hands, and behind it the system's backlog waits.
pub(crate) struct Gate {
    /// None: as many as leave a fifth of the process's files free.
    max_connections: Option<usize>,
    /// None: [`PER_ADDRESS`], but for this machine's own.
    max_handshakes_per_address: Option<usize>,
    handshakes: Arc<Semaphore>,
    entered: Arc<Mutex<Entered>>,
}

/// Who has come and is still here.
#[derive(Default)]
struct Entered {
    connections: usize,
    /// The handshakes of each address that has any.
    handshakes: HashMap<IpAddr, usize>,
}

/// The place of one connection, from its arrival to its end.
pub(super) struct Place(Arc<Mutex<Entered>>);

/// The part of one address in the handshakes, until one of them is over.
pub(super) struct Arrival {
    entered: Arc<Mutex<Entered>>,
    /// None where addresses tell nobody apart.
    origin: Option<IpAddr>,
}

/// Where the newcomers of one bound endpoint stand in line whose commands take long to answer: one is answered after
/// the other, in the order in which they came, so that a crowd has one processor at most.
///
/// It belongs to an endpoint and not to the socket: all who stand in it are tasks of one runtime, so that none of them
/// waits for one that is not run.
#[derive(Clone)]
pub(super) struct Lane(Arc<Semaphore>);

/// The turn of one of them, until it is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Lane {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Waits for a turn.
    pub async fn turn(&self) -> Option<Turn> {
        // It is never closed.
        self.0.clone().acquire_owned().await.ok()
    }
}

/// How many handshakes may come from one address, if nothing else is said.
const PER_ADDRESS: usize = 64;

impl Gate {
    pub fn new(options: &Options) -> Self {
        let handshakes = options.max_pending_handshakes.min(Semaphore::MAX_PERMITS);
        Self {
            max_connections: options.max_connections,
            max_handshakes_per_address: options.max_pending_handshakes_per_address,
            handshakes: Arc::new(Semaphore::new(handshakes)),
            entered: Arc::default(),
        }
    }

    /// A connection has come from `address` and taken `file`. Both of what it gets are given back by dropping them.
    pub(super) fn enter(
        &self,
        address: PeerAddress,
        file: Option<usize>,
    ) -> Result<(Place, Arrival), TurnedAway> {
        let mut entered = lock(&self.entered);
        match self.max_connections {
            Some(limit) if entered.connections >= limit => {
                return Err(TurnedAway::Connections { limit });
            }
            Some(_) => {}
            None => {
                if let Some(limit) = file.and_then(beyond_share) {
                    return Err(TurnedAway::Files { limit });
                }
            }
        }
        let origin = origin(address);
        if let Some(origin) = origin {
            let limit = self.limit_of(origin);
            let handshakes = entered.handshakes.entry(origin).or_default();
            if *handshakes >= limit {
                return Err(TurnedAway::Handshakes { limit });
            }
            *handshakes += 1;
        }
        entered.connections += 1;
        let arrival = Arrival {
            entered: self.entered.clone(),
            origin,
        };
        Ok((Place(self.entered.clone()), arrival))
    }

    fn limit_of(&self, origin: IpAddr) -> usize {
        match self.max_handshakes_per_address {
            Some(limit) => limit,
            // A program of this machine has 2^24 addresses to come from: a limit for one would stop its crowds only.
            None if origin.is_loopback() => usize::MAX,
            None => PER_ADDRESS,
        }
    }

    /// Waits for a turn to shake hands, which ends when it is dropped.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.handshakes.clone().acquire_owned().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.0).connections -= 1;
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let Some(origin) = self.origin else { return };
        let handshakes = &mut lock(&self.entered).handshakes;
        if let Some(count) = handshakes.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                handshakes.remove(&origin);
            }
        }
    }
}

/// Whom an address stands for: of IPv6, one party has at least a network of 64 bits.
fn origin(address: PeerAddress) -> Option<IpAddr> {
    let PeerAddress::Tcp(address) = address else {
        return None;
    };
    Some(match address.ip() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn from(address: &str) -> Option<IpAddr> {
        origin(PeerAddress::Tcp(address.parse().unwrap()))
    }

    #[test]
    fn the_network_of_an_ipv6_address_counts() {
        assert_eq!(from("192.0.2.1:1"), from("192.0.2.1:2"));
        assert_ne!(from("192.0.2.1:1"), from("192.0.2.2:1"));
        assert_eq!(from("[2001:db8::1]:1"), from("[2001:db8::2:3:4:5]:1"));
        assert_ne!(from("[2001:db8::1]:1"), from("[2001:db8:0:1::1]:1"));
        let nobody = PeerAddress::Ipc {
            pid: None,
            uid: None,
        };
        assert_eq!(origin(nobody), None);
    }

    #[test]
    fn a_crowd_of_this_machine_comes_in_unless_it_is_limited_by_name() {
        let limit = |most, address| {
            let gate = Gate::new(&Options {
                max_pending_handshakes_per_address: most,
                ..Options::default()
            });
            gate.limit_of(from(address).unwrap())
        };
        assert_eq!(limit(None, "192.0.2.1:1"), PER_ADDRESS);
        for address in ["127.0.0.1:1", "127.1.2.3:1"] {
            assert_eq!(limit(None, address), usize::MAX);
            assert_eq!(limit(Some(4), address), 4);
        }
    }

    #[test]
    fn what_is_over_counts_no_longer() {
        let gate = Gate::new(&Options {
            max_connections: Some(3),
            max_pending_handshakes_per_address: Some(2),
            ..Options::default()
        });
        let peer = PeerAddress::Tcp(([192, 0, 2, 1], 1).into());
        let (place, arrival) = gate.enter(peer, None).unwrap();
        let second = gate.enter(peer, None).unwrap();
        let many = Some(TurnedAway::Handshakes { limit: 2 });
        assert_eq!(gate.enter(peer, None).err(), many);
        drop(arrival);
        let third = gate.enter(peer, None).unwrap();
        let full = Some(TurnedAway::Connections { limit: 3 });
        assert_eq!(gate.enter(PeerAddress::Adopted, None).err(), full);
        drop(third);
        assert!(gate.enter(PeerAddress::Adopted, None).is_ok());
        drop((place, second));
        let entered = lock(&gate.entered);
        assert_eq!((entered.connections, entered.handshakes.len()), (0, 0));
    }

    #[test]
    fn one_has_its_turn_after_the_other() {
        let lane = Lane::new();
        let mut cx = Context::from_waker(Waker::noop());
        let [mut first, mut second, mut third] = std::array::from_fn(|_| Box::pin(lane.turn()));
        let Poll::Ready(turn) = first.as_mut().poll(&mut cx) else {
            panic!("nobody else is there")
        };
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        drop(turn);
        assert!(third.as_mut().poll(&mut cx).is_pending());
        drop(second);
        assert!(third.as_mut().poll(&mut cx).is_ready());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whoever_would_take_the_last_files_is_turned_away_unless_a_number_is_given() {
        let last = Some(usize::MAX);
        let gate = Gate::new(&Options::default());
        let refusal = gate.enter(PeerAddress::Adopted, last).err();
        assert!(
            matches!(refusal, Some(TurnedAway::Files { .. })),
            "{refusal:?}"
        );
        let gate = Gate::new(&Options {
            max_connections: Some(1),
            ..Options::default()
        });
        assert!(gate.enter(PeerAddress::Adopted, last).is_ok());
    }
}
