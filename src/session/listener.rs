//! The binding side of an endpoint: accept, and one task for each connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::info_span;

use super::Owner;
use super::gate::{Arrival, Lane, Place};
use super::serve::serve_accepted;
use crate::endpoint::Endpoint;
use crate::monitor::{Event, EventKind, TurnedAway};
use crate::sync::Notify;
use crate::transport::{Listener, Stream, accept_error_is_temporary};
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
    let crowd = Arc::new(Notify::new());
    let mut delay = FIRST_DELAY;
    let mut entrance = Entrance {
        owner: &**owner,
        endpoint,
        listener,
        crowd: crowd.clone(),
        turned_away: 0,
        untold: Vec::new(),
    };
    loop {
        let (stream, place, arrival) = match entrance.next().await {
            Ok(entered) => entered,
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
                continue;
            }
        };
        delay = FIRST_DELAY;
        // Those behind it wait in the system's backlog meanwhile.
        let permit = (owner.gate().turn().await, arrival);
        let span = info_span!("connection", %endpoint, peer = %stream.peer_address());
        let serving = serve_accepted(
            owner.clone(),
            Some(endpoint.clone()),
            stream,
            Some(lane.clone()),
            permit,
        );
        let crowd = crowd.clone();
        let connection = async move {
            let _place = place;
            if serving.await.is_err() {
                crowd.notify_one();
            }
        };
        if owner.tasks().spawn(span, connection).is_err() {
            return;
        }
        // A crowd that comes does not keep those waiting that are here.
        yield_now().await;
    }
}

/// Where those who come are let in, or turned away.
///
/// Who is turned away, fails its handshake or breaks a rule may be one of a crowd, of which each would wake this task and the
/// monitors', and take its time of the threads that carry messages. So the others gather for a moment in the system's
/// backlog, and are taken out of it in one go. Whoever may come in waits with them.
struct Entrance<'a> {
    owner: &'a dyn Owner,
    endpoint: &'a Endpoint,
    listener: &'a Listener,
    /// Told of each who was turned away, and by its task of each that was of no use: a pause is due.
    crowd: Arc<Notify>,
    /// How many since the last pause.
    turned_away: usize,
    /// Those of them who are not told of yet.
    untold: Vec<Event>,
}

impl Entrance<'_> {
    /// The next who is let in. All who were turned away before are told of then.
    async fn next(&mut self) -> io::Result<(Stream, Place, Arrival)> {
        loop {
            let stream = match self.come().await {
                Ok(stream) => stream,
                Err(error) => {
                    self.tell();
                    return Err(error);
                }
            };
            let gate = self.owner.gate();
            match gate.enter(stream.peer_address(), stream.file()) {
                Ok((place, arrival)) => {
                    self.tell();
                    return Ok((stream, place, arrival));
                }
                Err(reason) => self.turn_away(stream, reason).await,
            }
        }
    }

    /// The next who comes: behind a crowd, after a pause.
    async fn come(&mut self) -> io::Result<Stream> {
        loop {
            tokio::select! {
                biased;
                come = self.listener.accept() => return come,
                () = self.crowd.notified() => {}
            }
            self.tell();
            sleep(PAUSE).await;
            self.turned_away = 0;
        }
    }

    async fn turn_away(&mut self, stream: Stream, reason: TurnedAway) {
        let event = Event::new(Some(self.endpoint), EventKind::TurnedAway(reason));
        self.untold.push(event.address(stream.peer_address()));
        drop(stream);
        if self.untold.len() == TOLD_TOGETHER {
            self.tell();
        }
        self.crowd.notify_one();
        self.turned_away += 1;
        if self.turned_away.is_multiple_of(IN_A_ROW) {
            // Nor does a crowd that is turned away keep others waiting.
            yield_now().await;
        }
    }

    fn tell(&mut self) {
        if !self.untold.is_empty() {
            self.owner.report_all(std::mem::take(&mut self.untold));
        }
    }
}

/// However the task ends, all are told of.
impl Drop for Entrance<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}

/// How long a crowd gathers. However it is dealt with, who is connected notices when that begins and when it ends: so
/// rarely that it is less than one of a hundred of a peer's round trips.
const PAUSE: Duration = Duration::from_millis(20);
/// How many of a crowd are turned away before other tasks have their turn.
const IN_A_ROW: usize = 4;
/// How many of it a monitor is told of at once, which has room for some more.
const TOLD_TOGETHER: usize = 64;

/// How long to wait when the system has no room for a connection.
const FIRST_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(1);
