//! [`Core`]: what all handles and sessions of one socket share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use crate::endpoint::{Address, Endpoint};
use crate::error::{ClosedError, Undelivered};
use crate::identity::Identity;
use crate::message::Message;
use crate::monitor::{DisconnectCause, Event, EventKind, Forbidden, PeerFacts, PeerInfo, Reporter};
use crate::options::{DuplicateIdentity, Options, Subscriptions, Verbosity};
use crate::pattern::{Outbound, Row, SocketType, parse_subscription, subscription_message};
use crate::pipe::{
    Claim, Life, Load, Outgoing, PeerId, Pipe, PipeConfig, ReadyList, Told, Wake, lock, waking,
};
use crate::routing::{Audience, ByPeer, FairQueue, FanOut, LoadBalance, TopicIndex, TopicSet};
use crate::security::Principal;
use crate::session::{Accepting, Dialing, Gate, Intercepted, Newcomer, Owner, Tasks};
use crate::stats::{Drops, Stats};

/// A socket without its type: options, policies, pipes and tasks.
///
/// Locks are taken in the order of the fields, and before those of pipes.
pub(crate) struct Core {
    pub socket_type: SocketType,
    pub row: &'static Row,
    pub options: Options,
    pub pipes: PipeConfig,
    pub state: Mutex<State>,
    pub inbound: Mutex<Inbound>,
    pub outgoing: Arc<Outgoing<Policy>>,
    pub tasks: Tasks,
    pub gate: Gate,
    pub reporter: Reporter,
    /// How many peers are connected.
    pub connected: watch::Sender<usize>,
    /// How many peers have a subscription.
    pub subscribers: watch::Sender<usize>,
    closed: AtomicBool,
    /// The number of the last request (R4).
    requests: AtomicU32,
    /// Counts calls; see [`takes_turn`](Self::takes_turn).
    calls: AtomicU32,
    /// One in so many calls takes its turn.
    turn: u32,
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
#[expect(clippy::large_enum_variant, reason = "a socket has one, for good")]
pub(crate) enum Policy {
    None,
    LoadBalance(LoadBalance),
    ByPeer(ByPeer),
    FanOut(FanOut),
}

/// The inbound policy, and what is counted under its lock.
#[derive(Default)]
pub(crate) struct Inbound {
    pub queue: FairQueue,
    /// What this socket subscribed to (SUB, XSUB).
    pub topics: TopicSet,
    /// The connected peers, to which subscriptions are sent (SUB, XSUB).
    pub publishers: Vec<Arc<Pipe>>,
    /// What the peers of an XPUB in manual mode asked for; its user decides what is in effect.
    pub asked: TopicIndex<PeerId>,
    /// Whose subscription was received last (XPUB in manual mode).
    pub last_subscriber: Option<Arc<Pipe>>,
    pub dropped: Drops,
}

/// The most subscription events of one peer that wait for an XPUB's user.
const MAX_EVENTS: usize = 1 << 17;

impl Core {
    pub fn new(socket_type: SocketType, options: Options) -> Arc<Self> {
        let row = socket_type.row();
        let policy = match row.outbound {
            Outbound::None => Policy::None,
            Outbound::LoadBalance => Policy::LoadBalance(LoadBalance::default()),
            Outbound::ByPeer => Policy::ByPeer(ByPeer::default()),
            Outbound::Everyone => Policy::FanOut(FanOut::new(Audience::Everyone)),
            Outbound::Subscribers if options.invert_matching => {
                Policy::FanOut(FanOut::new(Audience::Others))
            }
            Outbound::Subscribers => Policy::FanOut(FanOut::new(Audience::Subscribers)),
        };
        let outgoing = Arc::new(Outgoing::new(policy));
        let pipes = PipeConfig {
            send: options.send,
            recv: options.recv,
            conflate: options.conflate,
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
        Arc::new_cyclic(|itself| Self {
            socket_type,
            row,
            pipes,
            state: Mutex::default(),
            inbound: Mutex::default(),
            outgoing,
            tasks: Tasks::default(),
            gate: Gate::new(&options),
            options,
            reporter: Reporter::default(),
            connected: watch::Sender::new(0),
            subscribers: watch::Sender::new(0),
            closed: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            turn: match row.outbound {
                Outbound::Subscribers | Outbound::Everyone => 4,
                Outbound::None | Outbound::LoadBalance | Outbound::ByPeer => 16,
            },
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
    pub async fn reaches(&self, count: &watch::Sender<usize>, n: usize) -> Result<(), ClosedError> {
        // The sender is borrowed: it cannot be gone.
        let reached = |there: &usize| self.is_closed() || *there >= n;
        let _ = count.subscribe().wait_for(reached).await;
        if self.is_closed() {
            Err(ClosedError)
        } else {
            Ok(())
        }
    }

    /// Whether this call should take part in Tokio's cooperative scheduling, so that a tight loop lets the other tasks of
    /// its thread run. One in sixteen does: the calls themselves are shorter than what Tokio counts on. A publisher, which
    /// drops what its sessions have not taken by the mark, does so more often: Tokio counts to 128.
    #[inline]
    pub fn takes_turn(&self) -> bool {
        // Not a read-modify-write: that two tasks may count the same call does not matter.
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls.wrapping_add(1), Ordering::Relaxed);
        calls.is_multiple_of(self.turn)
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

    /// Whether a newcomer may be here, and under the identity that it announces. `Err` if not, with what to change.
    fn authorise(&self, principal: &Principal, announced: &Identity) -> Result<(), &'static str> {
        if !announced.is_empty() && !principal.may_use_identity(announced) {
            return Err(
                "this user may not use the identity that it announces: announce another or none, or allow this one",
            );
        }
        // What it did not ask for is sent to it.
        let unasked = self.row.outbound == Outbound::Subscribers && self.options.invert_matching;
        if unasked && !principal.may_subscribe(b"") {
            return Err(
                "an inverted publisher is only for users that may subscribe to everything: allow the empty prefix",
            );
        }
        Ok(())
    }

    /// Tells of a deed that the principal of `pipe` may not do, the first of its kind on this connection.
    fn tell_forbidden(
        &self,
        pipe: &Pipe,
        deed: impl FnOnce(&mut Told) -> &mut bool,
        what: impl FnOnce() -> Forbidden,
    ) {
        if let Some(peer) = pipe.first(deed) {
            let event = Event::new(peer.endpoint(), EventKind::Forbidden(what()));
            let event = event.address(*peer.address()).peer(pipe.id);
            self.report(event.principal(peer.principal().cloned()));
        }
    }

    /// The identity of a newcomer to a ROUTER, and its entry in the table. `Err` if it is taken (R11).
    fn register(&self, pipe: &Arc<Pipe>, announced: &Identity) -> Result<Identity, &'static str> {
        if self.socket_type != SocketType::Router {
            // A REP finds its peers by their requests.
            return Ok(announced.clone());
        }
        let assigned = lock(&self.state).assigned.get(&pipe.id).cloned();
        let (identity, holder) = self.outgoing.with(|sending| {
            let Policy::ByPeer(by_peer) = &mut sending.policy else {
                return Ok((announced.clone(), None));
            };
            let identity = match assigned {
                Some(identity) => identity,
                None if announced.is_empty() => by_peer.automatic(),
                None => announced.clone(),
            };
            let holder = by_peer.taken(&identity, pipe).cloned();
            if holder.is_some() && self.options.duplicate_identity == DuplicateIdentity::Refuse {
                return Err("the identity is taken by another peer");
            }
            by_peer.insert(identity.clone(), pipe.clone());
            Ok((identity, holder))
        })?;
        if let Some(holder) = holder {
            self.end_pipe(&holder, Life::Ended);
        }
        Ok(identity)
    }

    /// Ends a pipe in an orderly way or at once.
    pub fn end_pipe(&self, pipe: &Arc<Pipe>, life: Life) {
        pipe.outbox.end(life);
        // The bound half of an in-process pair has no task of its own.
        if pipe.outbox.far().is_some() && pipe.peer().is_some_and(|peer| peer.is_accepted()) {
            self.ended(pipe);
        }
    }

    fn unregister(&self, pipe: &Arc<Pipe>) {
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

    fn subscribes(&self) -> bool {
        matches!(self.socket_type, SocketType::Sub | SocketType::XSub)
    }

    pub fn subscribers_changed(&self, fan_out: &FanOut) {
        let subscribers = fan_out.subscribers();
        waking(|| {
            self.subscribers
                .send_if_modified(|there| std::mem::replace(there, subscribers) != subscribers);
        });
    }

    /// Hands the user of an XPUB a subscription or its end.
    fn subscription_event(&self, pipe: &Arc<Pipe>, subscribe: bool, topic: &[u8]) {
        if self.socket_type == SocketType::XPub {
            pipe.inbox
                .push_event(pipe, subscription_message(subscribe, topic), MAX_EVENTS);
        }
    }

    /// Hands the user of an XPUB in manual mode what a peer asks for, and keeps it in mind for when that peer leaves.
    fn ask_user(
        &self,
        pipe: &Arc<Pipe>,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), DisconnectCause> {
        let mut inbound = lock(&self.inbound);
        let asked = &mut inbound.asked;
        if subscribe {
            asked.insert(topic, pipe.id);
            let (topics, octets) = (asked.subscriptions_of(pipe.id), asked.octets_of(pipe.id));
            self.check_subscriptions((topics, octets))?;
        } else {
            asked.remove(topic, pipe.id);
        }
        self.subscription_event(pipe, subscribe, topic);
        Ok(())
    }

    fn check_subscriptions(&self, (topics, octets): (usize, usize)) -> Result<(), DisconnectCause> {
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

impl Owner for Core {
    fn socket_type(&self) -> SocketType {
        self.socket_type
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn pipes(&self) -> &PipeConfig {
        &self.pipes
    }

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn report(&self, event: Event) {
        self.reporter.report(event);
    }

    fn admit(
        &self,
        pipe: Option<&Arc<Pipe>>,
        newcomer: Newcomer,
    ) -> Result<Arc<Pipe>, &'static str> {
        if self.is_closed() && newcomer.accepted {
            return Err("the socket is closed");
        }
        let metadata = newcomer.metadata;
        let principal = newcomer.principal;
        // Before a lock is taken: permissions are the application's code.
        if let Some(principal) = &principal {
            self.authorise(principal, &metadata.identity)?;
        }
        let muted = principal
            .as_ref()
            .is_some_and(|principal| !principal.may_send());
        let pipe = pipe
            .cloned()
            .unwrap_or_else(|| Pipe::wire(&self.pipes, false));
        let known = {
            let mut state = lock(&self.state);
            let known = state.pipes.contains_key(&pipe.id);
            // L3
            if !known && self.row.single_peer && !state.pipes.is_empty() {
                return Err("the socket has its one peer already");
            }
            state.pipes.insert(pipe.id, pipe.clone());
            known
        };
        let identity = self.register(&pipe, &metadata.identity).inspect_err(|_| {
            if !known {
                lock(&self.state).pipes.remove(&pipe.id);
            }
        })?;
        let info = PeerInfo(Arc::new(PeerFacts {
            id: pipe.id,
            endpoint: newcomer.endpoint,
            address: newcomer.address,
            socket_type: metadata.socket_type,
            identity,
            properties: metadata.properties,
            version: metadata.version,
            principal,
            muted,
            accepted: newcomer.accepted,
        }));
        pipe.outbox.connected(&pipe, metadata.version);
        if !known {
            self.attach(&pipe);
        }
        if self.subscribes() {
            // S9: under the lock that `subscribe` takes, so that each topic goes out once.
            let mut inbound = lock(&self.inbound);
            inbound.publishers.push(pipe.clone());
            inbound
                .topics
                .for_each(|topic| pipe.outbox.push_subscription(true, topic));
        }
        // Whoever waits for peers can reach this one from here on.
        waking(|| {
            self.connected.send_if_modified(|connected| {
                let came = pipe.set_connected(info);
                *connected += usize::from(came);
                came
            });
        });
        if let Some(welcome) = &self.options.welcome {
            pipe.outbox.push(welcome, Claim::Aside);
        }
        if self.options.probe {
            pipe.outbox.push(&Message::new(), Claim::Aside);
        }
        if self.options.notify.on_connect() {
            pipe.inbox.push_event(&pipe, Message::new(), MAX_EVENTS);
        }
        // A writer may wait for just this peer.
        self.pipes.writable.wake_all();
        if self.is_closed() {
            // Closed in the meantime, perhaps before `close` could see this pipe.
            self.end_pipe(&pipe, self.lingering());
        }
        Ok(pipe)
    }

    fn lost(&self, pipe: &Arc<Pipe>) {
        if pipe.peer().is_some_and(|peer| peer.is_accepted()) {
            // A5: nothing more is queued for it.
            pipe.outbox.end(Life::Ended);
        }
        // Under the lock of the count: whoever ends an in-process peer may be another thread than the one that admits it.
        let mut left = false;
        waking(|| {
            self.connected.send_if_modified(|connected| {
                left = pipe.set_disconnected();
                *connected -= usize::from(left);
                left
            });
        });
        if !left {
            return;
        }
        let assigned = lock(&self.state).assigned.contains_key(&pipe.id);
        if self.subscribes() {
            lock(&self.inbound)
                .publishers
                .retain(|there| !Arc::ptr_eq(there, pipe));
        }
        // S6
        let ended = |topic: &[u8]| self.subscription_event(pipe, false, topic);
        lock(&self.inbound).asked.remove_peer(pipe.id, ended);
        self.outgoing.with(|sending| {
            let Policy::FanOut(fan_out) = &mut sending.policy else {
                return;
            };
            let automatic = self.options.subscriptions == Subscriptions::Automatic;
            fan_out.unsubscribe_all(pipe, |topic| {
                if automatic {
                    self.subscription_event(pipe, false, topic);
                }
            });
            self.subscribers_changed(fan_out);
        });
        if self.row.outbound == Outbound::ByPeer && !assigned {
            // Whoever comes next at this endpoint may be somebody else, and gets a pipe of its own.
            self.unregister(pipe);
            pipe.retire();
        }
        if self.options.notify.on_disconnect() {
            pipe.inbox.push_event(pipe, Message::new(), MAX_EVENTS);
        }
        // A request may wait for this peer's reply, a writer for its room.
        self.pipes.readable.wake_all();
        self.pipes.writable.wake_all();
    }

    fn ended(&self, pipe: &Arc<Pipe>) {
        pipe.outbox.end(Life::Ended);
        let joined = pipe
            .connected_peer()
            .filter(|_| pipe.outbox.far().is_some());
        self.lost(pipe);
        self.unregister(pipe);
        self.outgoing.with(|sending| match &mut sending.policy {
            Policy::LoadBalance(balance) => {
                self.pipes.writable.drain(|pipe| balance.add(pipe));
                balance.remove(pipe);
            }
            Policy::FanOut(fan_out) => fan_out.remove(pipe, |_| {}),
            Policy::None | Policy::ByPeer(_) => {}
        });
        let lingered = self.is_closed();
        let left = pipe.outbox.discard(|dropped| {
            if lingered {
                &mut dropped.linger
            } else {
                &mut dropped.peer_gone
            }
        });
        // From here on an in-process sender writes nothing more into the inbox, and what it holds can be counted.
        pipe.outbox.cut();
        let mut state = lock(&self.state);
        if lingered {
            pipe.inbox.discard(|dropped| &mut dropped.unread);
        }
        if left > 0 && lingered {
            state.undelivered.messages += left;
            state.undelivered.peers += 1;
        }
        if state.pipes.remove(&pipe.id).is_some() {
            let stats = pipe_stats(pipe);
            state.past += stats;
        }
        state.assigned.remove(&pipe.id);
        drop(state);
        if let Some(peer) = joined {
            // A wire's session reports this itself.
            let event = Event::new(
                peer.endpoint(),
                EventKind::Disconnected(DisconnectCause::Local),
            );
            self.report(event.address(*peer.address()).peer(pipe.id));
        }
        self.pipes.readable.wake_all();
        self.pipes.writable.wake_all();
    }

    fn renew(&self, dialing: &Arc<Dialing>, old: &Arc<Pipe>) -> bool {
        // Under one lock, which `close` and `disconnect` take too: they see the old pipe or the new one.
        let mut state = lock(&self.state);
        let listed = state
            .dialing
            .iter()
            .any(|there| Arc::ptr_eq(there, dialing));
        if self.is_closed() || !old.is_retired() || !listed {
            return false;
        }
        let pipe = self.connecting_pipe(&dialing.endpoint);
        if let Some(identity) = &dialing.identity {
            self.assign(&pipe, identity);
            state.assigned.insert(pipe.id, identity.clone());
        }
        state.pipes.insert(pipe.id, pipe.clone());
        dialing.pipe.send_replace(pipe.clone());
        drop(state);
        self.attach(&pipe);
        true
    }

    fn subscription(
        &self,
        pipe: &Arc<Pipe>,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), DisconnectCause> {
        let limit = self.options.max_topic_size;
        if subscribe && topic.len() > limit {
            let size = topic.len();
            return Err(DisconnectCause::TopicTooLong { size, limit });
        }
        let allowed = |peer: &PeerInfo| {
            peer.principal()
                .is_none_or(|principal| principal.may_subscribe(topic))
        };
        if subscribe && !pipe.peer().as_ref().is_none_or(allowed) {
            pipe.inbox.forbid_subscription();
            let what = || Forbidden::subscription(topic);
            self.tell_forbidden(pipe, |told| &mut told.subscription, what);
            return Ok(());
        }
        if self.options.subscriptions == Subscriptions::Automatic {
            self.apply_subscription(pipe, subscribe, topic)
        } else {
            self.ask_user(pipe, subscribe, topic)
        }
    }

    fn forbidden(&self, pipe: &Arc<Pipe>, messages: Load) {
        pipe.inbox
            .refuse(messages, |dropped| &mut dropped.forbidden);
        self.tell_forbidden(pipe, |told| &mut told.message, || Forbidden::Message);
    }

    fn intercept(
        &self,
        pipe: &Arc<Pipe>,
        message: Message,
    ) -> Result<Intercepted, DisconnectCause> {
        if self.row.outbound == Outbound::Subscribers {
            // S2: both forms from every peer, at any time.
            if let Some((subscribe, topic)) = parse_subscription(&message) {
                self.subscription(pipe, subscribe, topic)?;
                return Ok(Intercepted::Subscription);
            }
        }
        let load = Load::one(message.size());
        if pipe.peer().is_some_and(|peer| peer.0.muted) {
            self.forbidden(pipe, load);
        } else if self.socket_type != SocketType::XPub {
            // S5
            pipe.inbox.refuse(load, |dropped| &mut dropped.unexpected);
        } else if pipe.inbox.room() > 0 {
            pipe.inbox.push(pipe, message);
        } else {
            pipe.inbox.refuse(load, |dropped| &mut dropped.unread);
        }
        Ok(Intercepted::Message)
    }
}

/// What `pipe` counts. What is queued for the application is counted where it is read.
pub(crate) fn pipe_stats(pipe: &Pipe) -> Stats {
    let mut stats = pipe.outbox.stats();
    stats += pipe.inbox.stats();
    stats.queued_in = 0;
    stats
}

impl Core {
    pub fn stats(&self) -> Stats {
        let state = lock(&self.state);
        let mut stats = state.past;
        for pipe in state.pipes.values() {
            stats += pipe_stats(pipe);
        }
        drop(state);
        let mut inbound = lock(&self.inbound);
        self.collect(&mut inbound);
        stats.queued_in = inbound.queue.waiting();
        stats.dropped += inbound.dropped;
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
                    .filter(|dialing| !*dialing.finished.borrow())
                    .map(|dialing| dialing.endpoint.clone()),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::hint::spin_loop;
    use std::sync::Barrier;
    use std::thread;

    use super::super::ReqSocket;
    use super::*;
    use crate::transport::PeerAddress;
    use crate::zmtp::{PeerMetadata, Version};

    fn newcomer(socket_type: SocketType) -> Newcomer {
        Newcomer {
            endpoint: None,
            address: PeerAddress::Inproc,
            metadata: PeerMetadata {
                socket_type,
                identity: Identity::default(),
                properties: Default::default(),
                version: Version::V3_1,
            },
            principal: None,
            accepted: true,
        }
    }

    // Nobody drains the list of writable pipes while nobody sends.
    #[test]
    fn peers_that_come_and_go_at_an_idle_socket_leave_nothing_behind() {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
        let pairs = [
            (Push, Pull),
            (Dealer, Router),
            (Req, Rep),
            (Pair, Pair),
            (Rep, Req),
            (Router, Dealer),
            (Pub, Sub),
            (XPub, XSub),
            (Sub, Pub),
            (XSub, XPub),
        ];
        for (ours, theirs) in pairs {
            let core = Core::new(ours, Options::default());
            for _ in 0..3 {
                let pipe = core.admit(None, newcomer(theirs)).unwrap();
                let gone = Arc::downgrade(&pipe);
                core.ended(&pipe);
                drop(pipe);
                assert!(gone.upgrade().is_none(), "{ours:?} holds it");
            }
        }
    }

    #[test]
    fn a_closed_socket_keeps_no_pipe_that_becomes_readable_or_writable() {
        let core = Core::new(SocketType::Dealer, Options::default());
        let pipe = core.admit(None, newcomer(SocketType::Router)).unwrap();
        core.begin_close();
        core.ended(&pipe);
        let gone = Arc::downgrade(&pipe);
        pipe.inbox.push(&pipe, Message::new());
        core.pipes.writable.announce(&pipe);
        drop(pipe);
        assert!(gone.upgrade().is_none());
    }

    /// Renews the pipe of an abandoned request while `end` runs; neither may leave a pipe that goes on.
    fn renewed_while(end: impl Fn(&ReqSocket, &Endpoint)) {
        let endpoint: Endpoint = "tcp://127.0.0.1:1".parse().unwrap();
        for n in 0..2_000 {
            let socket = ReqSocket::new();
            let core = &socket.core;
            let old = core.connecting_pipe(&endpoint);
            let dialing = Arc::new(Dialing {
                endpoint: endpoint.clone(),
                identity: None,
                pipe: watch::Sender::new(old.clone()),
                finished: watch::Sender::new(false),
            });
            lock(&core.state).dialing.push(dialing.clone());
            old.retire();
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    core.renew(&dialing, &old);
                    // Whoever disconnects waits for it.
                    dialing.finished.send_replace(true);
                });
                start.wait();
                // A little later each time.
                (0..n % 50).for_each(|_| spin_loop());
                end(&socket, &endpoint);
            });
            assert!(dialing.pipe.borrow().outbox.is_lost());
        }
    }

    #[test]
    fn a_pipe_that_is_renewed_while_its_socket_closes_is_ended() {
        renewed_while(|socket, _| socket.core.begin_close());
    }

    #[test]
    fn a_pipe_that_is_renewed_while_its_endpoint_is_disconnected_is_ended() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        renewed_while(|socket, endpoint| {
            runtime.block_on(socket.disconnect(endpoint)).unwrap();
        });
    }
}
