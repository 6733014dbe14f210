//! [`Core`]: what all handles and sessions of one socket share.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use crate::endpoint::{Address, Endpoint};
use crate::error::{ClosedError, Undelivered};
use crate::identity::Identity;
use crate::monitor::{DisconnectCause, Reporter};
use crate::options::{OnFull, Options, Subscriptions, Verbosity};
use crate::pattern::{Outbound, Row, SocketType, subscription_message};
use crate::pipe::{Life, Outgoing, PeerId, Pipe, PipeConfig, ReadyList, Wake, lock};
use crate::routing::{Audience, ByPeer, FairQueue, FanOut, LoadBalance, TopicIndex, TopicSet};
use crate::session::{Accepting, Dialing, Gate, Owner, Tasks};
use crate::stats::{Dropped, Stats};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::watch::Watch;

/// A socket without its type: options, policies, pipes and tasks.
///
/// Locks are taken in the order of the fields, and before those of pipes.
pub(crate) struct Core {
    pub socket_type: SocketType,
    pub row: &'static Row,
    pub options: Arc<Options>,
    pub pipes: PipeConfig,
    pub state: Mutex<State>,
    pub inbound: Mutex<Inbound>,
    pub outgoing: Arc<Outgoing<Policy>>,
    pub tasks: Tasks,
    /// Made when the first connection comes: a socket that connects has no use for it.
    pub gate: OnceLock<Gate>,
    pub reporter: Reporter,
    /// How many peers are connected.
    pub connected: Watch<usize>,
    /// How many peers have a subscription.
    pub subscribers: Watch<usize>,
    closed: AtomicBool,
    /// The number of the last request (R4).
    requests: AtomicU32,
    /// Counts calls; see [`takes_turn`](Self::takes_turn).
    calls: AtomicU32,
    /// So many calls follow one that takes its turn; one less than a power of two, since a division would cost as much as
    /// a lock.
    between_turns: u32,
    /// Of many messages that are sent by one call, so many are sent under one lock, and count as one for Tokio.
    pub together: usize,
    /// For handing itself to sessions.
    itself: Weak<Core>,
}

/// Endpoints and pipes; touched when something comes or goes.
#[derive(Default)]
pub(crate) struct State {
    pub pipes: HashMap<PeerId, Arc<Pipe>>,
    pub dialing: Vec<Arc<Dialing>>,
    pub accepting: Vec<Arc<Accepting>>,
    /// Identities that peers are to have whatever they announce, by the pipe (`connect_as`).
    pub assigned: HashMap<PeerId, Identity>,
    /// What pipes that are gone have counted.
    pub past: Stats,
    pub undelivered: Undelivered,
}

/// The outbound policy.
pub(crate) enum Policy {
    None,
    LoadBalance(LoadBalance),
    ByPeer(ByPeer),
    /// In a box: the largest by far.
    FanOut(Box<FanOut>),
}

/// The inbound policy, and what is counted under its lock.
#[derive(Default)]
pub(crate) struct Inbound {
    pub queue: FairQueue,
    /// What this socket subscribed to (SUB, XSUB).
    pub topics: TopicSet,
    /// The connected peers, to which subscriptions are sent (SUB, XSUB).
    pub publishers: Vec<Arc<Pipe>>,
    /// What the peers of an XPUB in manual mode asked for, if any did; its user decides what is in effect.
    pub asked: Option<Box<TopicIndex<PeerId>>>,
    /// Whose subscription was received last (XPUB in manual mode).
    pub last_subscriber: Option<Arc<Pipe>>,
    pub dropped: Dropped,
}

/// Larger messages are written by the session while the sender makes the next: there, most of the time is the kernel's.
const SMALL: usize = 512;

/// The most subscription events of one peer that wait for an XPUB's user.
pub(super) const MAX_EVENTS: usize = 1 << 17;

impl Core {
    pub fn new(socket_type: SocketType, options: Arc<Options>) -> Arc<Self> {
        let row = socket_type.row();
        let policy = match row.outbound {
            Outbound::None => Policy::None,
            Outbound::LoadBalance => Policy::LoadBalance(LoadBalance::default()),
            Outbound::ByPeer => Policy::ByPeer(ByPeer::default()),
            Outbound::Everyone => Policy::FanOut(Box::new(FanOut::new(Audience::Everyone))),
            Outbound::Subscribers if options.invert_matching => {
                Policy::FanOut(Box::new(FanOut::new(Audience::Others)))
            }
            Outbound::Subscribers => Policy::FanOut(Box::new(FanOut::new(Audience::Subscribers))),
        };
        let loop_size = match policy {
            Policy::FanOut(_) => usize::MAX,
            Policy::LoadBalance(_) if socket_type == SocketType::Push => SMALL,
            _ => 0,
        };
        let outgoing = Arc::new(Outgoing::new(policy));
        let pipes = PipeConfig {
            send: options.send,
            recv: options.recv,
            conflate: options.conflate,
            loop_size,
            outgoing: outgoing.clone(),
            readable: Arc::new(ReadyList::new(Wake::One)),
            writable: Arc::new(ReadyList::new(match row.outbound {
                Outbound::LoadBalance => Wake::All,
                // Their peers are found otherwise.
                Outbound::None | Outbound::ByPeer | Outbound::Subscribers | Outbound::Everyone => {
                    Wake::AllUnlisted
                }
            })),
        };
        let (between_turns, together) = match (row.outbound, options.on_full) {
            // What comes behind may be a subscription.
            _ if socket_type == SocketType::XSub => (3, 1),
            (Outbound::Subscribers | Outbound::Everyone, OnFull::Drop) => (3, 4),
            (Outbound::Subscribers | Outbound::Everyone, OnFull::Wait)
            | (Outbound::None | Outbound::LoadBalance | Outbound::ByPeer, _) => (15, 64),
        };
        Arc::new_cyclic(|itself| Self {
            socket_type,
            row,
            pipes,
            state: Mutex::default(),
            inbound: Mutex::default(),
            outgoing,
            tasks: Tasks::default(),
            gate: OnceLock::new(),
            between_turns,
            together,
            options,
            reporter: Reporter::default(),
            connected: Watch::default(),
            subscribers: Watch::default(),
            closed: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            itself: itself.clone(),
        })
    }

    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes the socket for calls. `false` if it was closed before.
    pub fn set_closed(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Waits until `count`, one of this socket's, is at least `n`.
    pub async fn reaches(&self, count: &Watch<usize>, n: usize) -> Result<(), ClosedError> {
        count.until(|there| self.is_closed() || there >= n).await;
        if self.is_closed() {
            Err(ClosedError)
        } else {
            Ok(())
        }
    }

    /// Whether this call should take part in Tokio's cooperative scheduling, so that a tight loop lets the other tasks of
    /// its thread run. One in sixteen does: the calls themselves are shorter than what Tokio counts on. A publisher that
    /// drops what its sessions have not taken by the mark does so more often: Tokio counts to 128.
    #[inline]
    pub fn takes_turn(&self) -> bool {
        // Not a read-modify-write: that two tasks may count the same call does not matter.
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls.wrapping_add(1), Ordering::Relaxed);
        calls & self.between_turns == 0
    }

    pub fn next_request(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// This socket, as its sessions know it. It cannot be gone while a method of it runs.
    pub fn owner(&self) -> Option<Arc<dyn Owner>> {
        self.itself.upgrade().map(|core| core as Arc<dyn Owner>)
    }

    /// A fresh pipe towards `endpoint`: its queue exists before the connection does (A3).
    pub fn connecting_pipe(&self, endpoint: &Endpoint) -> Arc<Pipe> {
        match endpoint.address() {
            Address::Inproc(_) => Pipe::inproc_pair(&self.pipes, self.options.immediate).0,
            Address::Tcp(_) | Address::Ipc(_) => Pipe::wire(&self.pipes, self.options.immediate),
        }
    }

    /// Gives a fresh pipe its place: it may be written to from now on, if the type writes to unconnected peers.
    pub fn attach(&self, pipe: &Arc<Pipe>) {
        lock(&self.state).pipes.insert(pipe.id, pipe.clone());
        let invited = self.outgoing.with(|sending| match &mut sending.policy {
            Policy::LoadBalance(_) => true,
            Policy::FanOut(fan_out) => {
                fan_out.add(pipe.clone());
                false
            }
            Policy::None | Policy::ByPeer(_) => false,
        });
        if invited {
            pipe.outbox.invite(pipe);
        }
    }

    /// Ends a pipe in an orderly way or at once.
    pub fn end_pipe(&self, pipe: &Arc<Pipe>, life: Life) {
        pipe.outbox.end(life);
        // The bound half of an in-process pair has no task of its own.
        if pipe.outbox.far().is_some() && pipe.peer().is_some_and(|peer| peer.is_accepted()) {
            self.ended(pipe);
        }
    }

    pub fn unregister(&self, pipe: &Arc<Pipe>) {
        let assigned = lock(&self.state).assigned.get(&pipe.id).cloned();
        let identity = assigned.or_else(|| pipe.peer().map(|peer| peer.identity().clone()));
        self.outgoing.with(|sending| {
            if let (Policy::ByPeer(by_peer), Some(identity)) = (&mut sending.policy, identity) {
                by_peer.remove(&identity, pipe);
            }
        });
    }

    /// Gives a pipe that is not yet connected the identity of our choice. `false` if that is taken.
    pub fn assign(&self, pipe: &Arc<Pipe>, identity: &Identity) -> bool {
        self.outgoing.with(|sending| {
            let Policy::ByPeer(by_peer) = &mut sending.policy else {
                return true;
            };
            let free = by_peer.taken(identity, pipe).is_none();
            if free {
                by_peer.insert(identity.clone(), pipe.clone());
            }
            free
        })
    }

    pub fn subscribers_changed(&self, fan_out: &FanOut) {
        let subscribers = fan_out.subscribers();
        self.subscribers.set(subscribers);
    }

    /// Hands the user of an XPUB a subscription or its end.
    pub fn subscription_event(&self, pipe: &Arc<Pipe>, subscribe: bool, topic: &[u8]) {
        if self.socket_type == SocketType::XPub {
            pipe.inbox
                .push_event(pipe, subscription_message(subscribe, topic), MAX_EVENTS);
        }
    }

    pub fn check_subscriptions(
        &self,
        (topics, octets): (usize, usize),
    ) -> Result<(), DisconnectCause> {
        let limit = self.options.max_subscriptions;
        if topics > limit || octets > self.options.max_subscriptions_size {
            return Err(DisconnectCause::TooManySubscriptions { limit });
        }
        Ok(())
    }

    /// Puts a subscription into effect, or ends it.
    pub fn apply_subscription(
        &self,
        pipe: &Arc<Pipe>,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), DisconnectCause> {
        let manual = self.options.subscriptions != Subscriptions::Automatic;
        let verbosity = self.options.verbosity;
        self.outgoing.with(|sending| {
            let Policy::FanOut(fan_out) = &mut sending.policy else {
                return Ok(());
            };
            let event = if subscribe {
                let Some(added) = fan_out.subscribe(pipe, topic) else {
                    return Ok(());
                };
                self.check_subscriptions(fan_out.subscriptions_of(pipe))?;
                added.first_for_topic || verbosity != Verbosity::FirstAndLast
            } else {
                let Some(removed) = fan_out.unsubscribe(pipe, topic) else {
                    return Ok(());
                };
                removed.last_for_topic || (removed.known && verbosity == Verbosity::All)
            };
            self.subscribers_changed(fan_out);
            if event && !manual {
                self.subscription_event(pipe, subscribe, topic);
            }
            Ok(())
        })
    }
}

/// What `pipe` counts. What is queued for the application is what is not yet in the hands of a reader.
pub(crate) fn pipe_stats(pipe: &Pipe) -> Stats {
    let mut stats = pipe.outbox.stats();
    stats += pipe.inbox.stats();
    stats
}

impl Core {
    pub fn stats(&self) -> Stats {
        let state = lock(&self.state);
        // Nobody reads meanwhile: what a pipe has received is queued there, or was taken from there before.
        let mut inbound = lock(&self.inbound);
        self.collect(&mut inbound);
        let mut stats = state.past;
        for pipe in state.pipes.values() {
            stats += pipe_stats(pipe);
        }
        let gone = |pipe: &Pipe| !state.pipes.contains_key(&pipe.id);
        stats.queued_in += inbound.queue.waiting(gone);
        stats.dropped += inbound.dropped.so_far();
        stats
    }

    /// Moves the pipes that became readable into the fair queue.
    #[inline]
    pub fn collect(&self, inbound: &mut Inbound) {
        self.pipes.readable.drain(|pipe| inbound.queue.add(pipe));
    }

    /// The endpoints of this socket.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let state = lock(&self.state);
        let bound = state
            .accepting
            .iter()
            .map(|accepting| accepting.endpoint.clone());
        bound
            .chain(
                state
                    .dialing
                    .iter()
                    .filter(|dialing| !dialing.finished.now())
                    .map(|dialing| dialing.endpoint.clone()),
            )
            .collect()
    }
}
