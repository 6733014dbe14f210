//! The binding side of an endpoint: accept, and one task for each connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::info_span;

use super::Owner;
use super::gate::Lane;
use super::serve::serve_accepted;
use crate::endpoint::Endpoint;
use crate::monitor::{Event, EventKind};
use crate::transport::{Listener, accept_error_is_temporary};
use crate::watch::Watch;

/// One bound endpoint, from `bind` to `unbind`.
pub(crate) struct Accepting {
    pub endpoint: Endpoint,
    /// Set to stop accepting; peers that are here stay (A12).
    pub stop: Watch<bool>,
    /// Set once the listener is closed and its address is free again.
    pub finished: Watch<bool>,
}

impl Accepting {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            stop: Watch::new(false),
            finished: Watch::new(false),
        }
    }
}

/// Accepts connections until it is told to stop.
pub(crate) fn accept(
    owner: Arc<dyn Owner>,
    accepting: Arc<Accepting>,
    listener: Listener,
) -> impl Future<Output = ()> {
    // Made now: a runtime may drop this task before it ever runs. The listener is closed before the end is told.
    let task = Task {
        listener: Some(listener),
        owner,
        accepting,
    };
    async move {
        let Task {
            listener: Some(listener),
            owner,
            accepting,
        } = &task
        else {
            return;
        };
        owner.report(Event::new(Some(&accepting.endpoint), EventKind::Listening));
        tokio::select! {
            () = accept_all(owner, &accepting.endpoint, listener) => {}
            () = accepting.stop.until(|stop| stop) => {}
            () = owner.tasks().stopping() => {}
        }
    }
}

/// The task that serves a bound endpoint; however it ends, it says so.
struct Task {
    /// Taken when the task ends.
    listener: Option<Listener>,
    owner: Arc<dyn Owner>,
    accepting: Arc<Accepting>,
}

impl Drop for Task {
    fn drop(&mut self) {
        drop(self.listener.take());
        self.owner.report(Event::new(
            Some(&self.accepting.endpoint),
            EventKind::Closed,
        ));
        self.accepting.finished.set(true);
    }
}

async fn accept_all(owner: &Arc<dyn Owner>, endpoint: &Endpoint, listener: &Listener) {
    let lane = Lane::new();
    let mut delay = FIRST_DELAY;
    loop {
        match listener.accept().await {
            Ok(stream) => {
                delay = FIRST_DELAY;
                // A crowd that comes does not keep those waiting that are here.
                yield_now().await;
                let address = stream.peer_address();
                let (place, arrival) = match owner.gate().enter(address, stream.file()) {
                    Ok(entered) => entered,
                    Err(reason) => {
                        let event = Event::new(Some(endpoint), EventKind::TurnedAway(reason));
                        owner.report(event.address(address));
                        continue;
                    }
                };
                // Those behind it wait in the system's backlog meanwhile.
                let permit = (owner.gate().turn().await, arrival);
                let span = info_span!("connection", %endpoint, peer = %address);
                let serving = serve_accepted(
                    owner.clone(),
                    Some(endpoint.clone()),
                    stream,
                    Some(lane.clone()),
                    permit,
                );
                let connection = async move {
                    let _place = place;
                    serving.await;
                };
                if owner.tasks().spawn(span, connection).is_err() {
                    return;
                }
            }
            Err(error) => {
                let temporary = accept_error_is_temporary(&error);
                owner.report(Event::new(
                    Some(endpoint),
                    EventKind::AcceptFailed(Arc::new(error)),
                ));
                if !temporary {
                    return;
                }
                sleep(delay).await;
                delay = (delay * 2).min(MAX_DELAY);
            }
        }
    }
}

/// How long to wait when the system has no room for a connection.
const FIRST_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(1);
