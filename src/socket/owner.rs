//! What the connections of a socket ask of it, and tell it: [`Owner`].

use std::sync::Arc;

use super::core::{Core, MAX_EVENTS, Policy, pipe_stats};
use crate::identity::Identity;
use crate::message::Message;
use crate::monitor::{DisconnectCause, Event, EventKind, Forbidden, PeerFacts, PeerInfo};
use crate::options::{DuplicateIdentity, Options, Subscriptions};
use crate::pattern::{Outbound, SocketType, parse_subscription};
use crate::pipe::{Claim, Life, Load, Pipe, PipeConfig, Told, lock};
use crate::security::Principal;
use crate::session::{Dialing, Gate, Intercepted, Newcomer, Owner, Tasks};
use crate::stats::Stats;

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
        self.gate.get_or_init(|| Gate::new(&self.options))
    }

    fn report(&self, event: Event) {
        self.reporter.report([event]);
    }

    fn report_all(&self, events: Vec<Event>) {
        self.reporter.report(events);
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
        self.connected
            .update(|connected| *connected += usize::from(pipe.set_connected(info)));
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
        let left = self.connected.update(|connected| {
            let left = pipe.set_disconnected();
            *connected -= usize::from(left);
            left
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
        if let Some(asked) = &mut lock(&self.inbound).asked {
            asked.remove_peer(pipe.id, ended);
        }
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
            // As long as there are readers, what waits is counted where they take it from.
            state.past += Stats {
                queued_in: 0,
                ..stats
            };
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
        dialing.replace_pipe(pipe.clone());
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
        let limit = self.options.limits.max_topic_size;
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

impl Core {
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

    fn subscribes(&self) -> bool {
        matches!(self.socket_type, SocketType::Sub | SocketType::XSub)
    }

    /// Hands the user of an XPUB in manual mode what a peer asks for, and keeps it in mind for when that peer leaves.
    fn ask_user(
        &self,
        pipe: &Arc<Pipe>,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), DisconnectCause> {
        let mut inbound = lock(&self.inbound);
        let asked = inbound.asked.get_or_insert_default();
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
}

#[cfg(test)]
mod tests {
    use std::hint::spin_loop;
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::socket::ReqSocket;
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

    #[test]
    fn what_has_arrived_is_read_or_queued_at_any_instant() {
        const MESSAGES: u64 = 100_000;
        let core = Core::new(SocketType::Pull, Options::defaults());
        let pipe = core.admit(None, newcomer(SocketType::Push)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..MESSAGES).for_each(|_| pipe.inbox.push(&pipe, Message::new())));
            let mut read = 0;
            while read < MESSAGES {
                let stats = core.stats();
                assert_eq!(stats.messages_received, read + stats.queued_in as u64);
                let message = core.try_recv();
                read += u64::from(message.is_ok());
            }
        });
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
            let core = Core::new(ours, Options::defaults());
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
        let core = Core::new(SocketType::Dealer, Options::defaults());
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
            let dialing = Arc::new(Dialing::new(endpoint.clone(), None, old.clone()));
            lock(&core.state).dialing.push(dialing.clone());
            old.retire();
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    core.renew(&dialing, &old);
                    // Whoever disconnects waits for it.
                    dialing.finished.set(true);
                });
                start.wait();
                // A little later each time.
                (0..n % 50).for_each(|_| spin_loop());
                end(&socket, &endpoint);
            });
            assert!(dialing.pipe().outbox.is_lost());
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
