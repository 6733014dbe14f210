//! Connections within the process: two pipes, crosswise. There are no octets, no handshake and no pump; what is left is
//! finding each other by name and telling each other of the end.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::dialer::{Dialer, Dialing, STABLE};
use super::{Newcomer, Owner};
use crate::endpoint::Endpoint;
use crate::identity::Identity;
use crate::message::Message;
use crate::monitor::{DisconnectCause, Event, EventKind};
use crate::pattern::SocketType;
use crate::pipe::{FarSocket, Life, Pipe, lock};
use crate::sync::{LazyLock, Mutex, MutexGuard, Notify};
use crate::transport::PeerAddress;
use crate::zmtp::{HandshakeError, PeerMetadata, Version};

/// The names of this process: who is bound, and who waits for somebody to bind (A14).
fn names() -> MutexGuard<'static, HashMap<Endpoint, Name>> {
    static NAMES: LazyLock<Mutex<HashMap<Endpoint, Name>>> = LazyLock::new(Mutex::default);
    lock(LazyLock::force(&NAMES))
}

#[derive(Default)]
struct Name {
    bound: Option<Weak<dyn Owner>>,
    waiting: Vec<Waiting>,
}

/// A connected socket, its pipe, and the pipe that awaits the bound socket.
struct Waiting {
    connector: Weak<dyn Owner>,
    dialing: Arc<Dialing>,
    near: Arc<Pipe>,
    far: Arc<Pipe>,
    /// Told when the bound socket has no place for this one, at present.
    refused: Arc<Notify>,
}

/// Binds `owner` to the name of `endpoint`, and joins those who wait for it.
pub(crate) fn bind_inproc(owner: &Arc<dyn Owner>, endpoint: &Endpoint) -> io::Result<()> {
    let waiting = {
        let mut names = names();
        let name = names.entry(endpoint.clone()).or_default();
        if name
            .bound
            .as_ref()
            .is_some_and(|bound| bound.strong_count() > 0)
        {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        name.bound = Some(Arc::downgrade(owner));
        std::mem::take(&mut name.waiting)
    };
    owner.report(Event::new(Some(endpoint), EventKind::Listening));
    for waiting in waiting {
        waiting.join(owner);
    }
    Ok(())
}

/// Frees the name of `endpoint`; sockets that are joined stay joined (A12).
pub(crate) fn unbind_inproc(owner: &Arc<dyn Owner>, endpoint: &Endpoint) {
    let mut names = names();
    if let Some(name) = names.get_mut(endpoint) {
        let ours = Arc::downgrade(owner);
        name.bound.take_if(|bound| bound.ptr_eq(&ours));
        if name.bound.is_none() && name.waiting.is_empty() {
            names.remove(endpoint);
        }
    }
    drop(names);
    owner.report(Event::new(Some(endpoint), EventKind::Closed));
}

/// Keeps `dialing` joined to whoever is bound to its name, until it is disconnected.
pub(crate) fn dial_inproc(
    owner: Arc<dyn Owner>,
    dialing: Arc<Dialing>,
) -> impl Future<Output = ()> {
    let dialer = Dialer { owner, dialing };
    async move {
        let Dialer { owner, dialing } = &dialer;
        let mut backoff = Backoff::new(&owner.options().reconnect);
        loop {
            let near = dialing.pipe();
            let begun = Instant::now();
            keep_joined(owner, dialing, &near, &mut backoff).await;
            // An abandoned request is no failure of the far side's.
            let gone = near.outbox.far().is_none();
            if !dialer.renew(&near) {
                return;
            }
            if begun.elapsed() >= STABLE {
                backoff.reset();
            } else if gone {
                let near = dialing.pipe();
                tokio::select! {
                    _ = near.outbox.closing() => {}
                    () = sleep(backoff.delay()) => {}
                }
            }
        }
    }
}

/// Joins `near`, again after each refusal, until it is no longer wanted and what it holds has found its socket.
async fn keep_joined(
    owner: &Arc<dyn Owner>,
    dialing: &Arc<Dialing>,
    near: &Arc<Pipe>,
    backoff: &mut Backoff<'_>,
) {
    let refused = Arc::new(Notify::new());
    loop {
        let registration = register(owner, dialing, near, &refused);
        tokio::select! {
            life = near.outbox.closing() => {
                // Still registered: what was sent before anybody was bound may be delivered yet.
                if let Life::Draining(deadline) = life {
                    drained(owner, near, deadline).await;
                }
                return;
            }
            () = refused.notified() => drop(registration),
        }
        let delay = backoff.delay();
        owner.report(Event::new(
            Some(&dialing.endpoint),
            EventKind::Retrying(delay),
        ));
        tokio::select! {
            _ = near.outbox.closing() => {}
            () = sleep(delay) => {}
        }
    }
}

/// Waits until `near` has found its socket, if there is anything for that, or until `deadline`.
async fn drained(owner: &Arc<dyn Owner>, near: &Arc<Pipe>, deadline: Option<std::time::Instant>) {
    let delivered = owner.pipes().writable.until(|| {
        let empty = near.outbox.far().is_none_or(|far| far.inbox.queued() == 0);
        (empty || near.connected_peer().is_some() || near.outbox.is_ended()).then_some(())
    });
    match deadline {
        Some(deadline) => tokio::select! {
            () = delivered => {}
            () = sleep_until(Instant::from_std(deadline)) => {}
        },
        None => delivered.await,
    }
}

/// Joins `near` to the bound socket, or lets it wait for one as long as the registration lives.
fn register<'a>(
    owner: &Arc<dyn Owner>,
    dialing: &'a Arc<Dialing>,
    near: &'a Arc<Pipe>,
    refused: &Arc<Notify>,
) -> Registration<'a> {
    let endpoint = &dialing.endpoint;
    let registration = Registration { endpoint, near };
    let Some(far) = near.outbox.far() else {
        return registration;
    };
    let waiting = Waiting {
        connector: Arc::downgrade(owner),
        dialing: dialing.clone(),
        near: near.clone(),
        far,
        refused: refused.clone(),
    };
    let mut names = names();
    let name = names.entry(endpoint.clone()).or_default();
    match name.bound.as_ref().and_then(Weak::upgrade) {
        Some(bound) => {
            drop(names);
            waiting.join(&bound);
        }
        None => {
            owner.report(Event::new(Some(endpoint), EventKind::ConnectDelayed));
            name.waiting.push(waiting);
        }
    }
    registration
}

struct Registration<'a> {
    endpoint: &'a Endpoint,
    near: &'a Arc<Pipe>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut names = names();
        if let Some(name) = names.get_mut(self.endpoint) {
            name.waiting
                .retain(|waiting| !Arc::ptr_eq(&waiting.near, self.near));
            if name.waiting.is_empty()
                && name
                    .bound
                    .as_ref()
                    .is_none_or(|bound| bound.strong_count() == 0)
            {
                names.remove(self.endpoint);
            }
        }
    }
}

impl Waiting {
    /// Gives both sockets their place at each other, or tells both why not.
    fn join(self, bound: &Arc<dyn Owner>) {
        let Self {
            connector,
            dialing,
            near,
            far,
            refused,
        } = self;
        let endpoint = &dialing.endpoint;
        let Some(connector) = connector.upgrade() else {
            return;
        };
        let report = |owner: &Arc<dyn Owner>, kind, pipe: &Arc<Pipe>| {
            owner.report(
                Event::new(Some(endpoint), kind)
                    .address(PeerAddress::Inproc)
                    .peer(pipe.id),
            );
        };
        report(&connector, EventKind::Connected, &near);
        report(bound, EventKind::Accepted, &far);
        let (near_type, far_type) = (connector.socket_type(), bound.socket_type());
        if !near_type.compatible(far_type) {
            let failed = |ours, theirs| {
                EventKind::HandshakeFailed(HandshakeError::IncompatibleSocketType { ours, theirs })
            };
            report(&connector, failed(near_type, far_type), &near);
            report(bound, failed(far_type, near_type), &far);
            connector.ended(&near);
            dialing.gave_up(&connector);
            return;
        }
        near.outbox.join(Arc::new(Bound(Arc::downgrade(bound))));
        far.outbox
            .join(Arc::new(Connector(Arc::downgrade(&connector))));
        far.outbox.announce_on(bound.pipes().writable.clone());
        near.share_marks(&far, connector.pipes(), bound.pipes());
        // Each side knows the other before it can read from it.
        let mut known = false;
        let admitted = bound
            .admit(Some(&far), newcomer(&connector, endpoint, true))
            .and_then(|_| {
                known = true;
                connector.admit(Some(&near), newcomer(bound, endpoint, false))
            });
        match admitted {
            Ok(_) => {
                near.meet(&far, connector.pipes(), bound.pipes());
                report(bound, EventKind::HandshakeSucceeded, &far);
                report(&connector, EventKind::HandshakeSucceeded, &near);
                if near.outbox.far().is_none() {
                    // The connector went away in the meantime; what it had sent stays readable (A5).
                    bound.ended(&far);
                    connector.ended(&near);
                }
            }
            Err(reason) => {
                if known {
                    // The connector has no place: the pair is taken apart and made anew for the next attempt.
                    bound.ended(&far);
                }
                near.outbox.unjoin();
                report(bound, EventKind::Refused(reason), &far);
                let error = HandshakeError::Refused {
                    reason: reason.to_owned(),
                };
                report(&connector, EventKind::HandshakeFailed(error), &near);
                refused.notify_one();
            }
        }
    }
}

/// What `owner` would announce in a handshake.
fn newcomer(owner: &Arc<dyn Owner>, endpoint: &Endpoint, accepted: bool) -> Newcomer {
    let options = owner.options();
    let identity = match owner.socket_type() {
        SocketType::Req | SocketType::Dealer | SocketType::Router => options.identity.clone(),
        _ => Identity::default(),
    };
    Newcomer {
        endpoint: Some(endpoint.clone()),
        address: PeerAddress::Inproc,
        metadata: PeerMetadata {
            socket_type: owner.socket_type(),
            identity,
            properties: options.properties.clone(),
            version: Version::V3_1,
        },
        principal: None,
        accepted,
    }
}

/// The bound socket, as the connected one's pipe knows it.
struct Bound(Weak<dyn Owner>);

impl FarSocket for Bound {
    fn subscription(&self, far: &Arc<Pipe>, subscribe: bool, topic: &[u8]) {
        if let Some(owner) = self.0.upgrade() {
            relay_subscription(&owner, far, subscribe, topic);
        }
    }

    fn gone(&self, far: &Arc<Pipe>) {
        if let Some(owner) = self.0.upgrade() {
            report_gone(&owner, far);
            owner.ended(far);
        }
    }

    fn message(&self, far: &Arc<Pipe>, message: Message) {
        if let Some(owner) = self.0.upgrade() {
            // Only a wire can break the protocol.
            let _ = owner.intercept(far, message);
        }
    }

    fn receives(&self) -> bool {
        self.0
            .upgrade()
            .is_some_and(|owner| owner.socket_type().row().receives)
    }
}

/// The connected socket, as the bound one's pipe knows it.
struct Connector(Weak<dyn Owner>);

impl FarSocket for Connector {
    fn subscription(&self, near: &Arc<Pipe>, subscribe: bool, topic: &[u8]) {
        if let Some(owner) = self.0.upgrade() {
            relay_subscription(&owner, near, subscribe, topic);
        }
    }

    fn gone(&self, near: &Arc<Pipe>) {
        if let Some(owner) = self.0.upgrade() {
            report_gone(&owner, near);
        }
        // The endpoint is still wanted: its task waits for the next socket of this name.
        near.retire();
    }

    fn message(&self, near: &Arc<Pipe>, message: Message) {
        if let Some(owner) = self.0.upgrade() {
            // Only a wire can break the protocol.
            let _ = owner.intercept(near, message);
        }
    }

    fn receives(&self) -> bool {
        self.0
            .upgrade()
            .is_some_and(|owner| owner.socket_type().row().receives)
    }
}

fn report_gone(owner: &Arc<dyn Owner>, pipe: &Arc<Pipe>) {
    if let Some(peer) = pipe.connected_peer() {
        let event = Event::new(
            peer.endpoint(),
            EventKind::Disconnected(DisconnectCause::Peer),
        );
        owner.report(event.address(PeerAddress::Inproc).peer(pipe.id));
    }
}

fn relay_subscription(owner: &Arc<dyn Owner>, pipe: &Arc<Pipe>, subscribe: bool, topic: &[u8]) {
    if let Err(cause) = owner.subscription(pipe, subscribe, topic) {
        let endpoint = pipe.peer().and_then(|peer| peer.endpoint().cloned());
        let event = Event::new(endpoint.as_ref(), EventKind::Disconnected(cause));
        owner.report(event.address(PeerAddress::Inproc).peer(pipe.id));
        // The side that has a task takes the pair apart.
        for half in [Some(pipe.clone()), pipe.outbox.far()]
            .into_iter()
            .flatten()
        {
            half.retire();
        }
    }
}
