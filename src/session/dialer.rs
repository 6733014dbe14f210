//! The connecting side of an endpoint: connect, serve, back off, again.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Owner;
use super::backoff::Backoff;
use super::serve::{NotServed, Served, Session};
use crate::endpoint::Endpoint;
use crate::identity::Identity;
use crate::monitor::{Event, EventKind};
use crate::options::StopReconnect;
use crate::pipe::{Life, Pipe, lock};
use crate::sync::Mutex;
use crate::transport::{self, ConnectOptions};
use crate::watch::Watch;

/// One connected endpoint, from `connect` to `disconnect`.
pub(crate) struct Dialing {
    pub endpoint: Endpoint,
    /// The identity that the peer is to have here, whatever it announces (`connect_as`).
    pub identity: Option<Identity>,
    pipe: Mutex<Arc<Pipe>>,
    /// Set once the dialer is done.
    pub finished: Watch<bool>,
}

impl Dialing {
    pub fn new(endpoint: Endpoint, identity: Option<Identity>, pipe: Arc<Pipe>) -> Self {
        Self {
            endpoint,
            identity,
            pipe: Mutex::new(pipe),
            finished: Watch::new(false),
        }
    }

    /// The peer's queues now.
    pub fn pipe(&self) -> Arc<Pipe> {
        lock(&self.pipe).clone()
    }

    /// Puts a new pipe in the place of one whose request was abandoned.
    pub fn replace_pipe(&self, pipe: Arc<Pipe>) {
        let old = std::mem::replace(&mut *lock(&self.pipe), pipe);
        // No longer under the lock.
        drop(old);
    }

    /// There is no point in trying again, and the pipe is ended. Whoever is told may connect again at once.
    pub fn gave_up(&self, owner: &Arc<dyn Owner>) {
        self.finished.set(true);
        owner.report(Event::new(Some(&self.endpoint), EventKind::GaveUp));
    }
}

/// Keeps `dialing` connected until its pipe is ended or there is no point in trying.
pub(crate) fn dial(owner: Arc<dyn Owner>, dialing: Arc<Dialing>) -> impl Future<Output = ()> {
    // Made now: a runtime may drop this task before it ever runs.
    let dialer = Dialer { owner, dialing };
    async move { dialer.run().await }
}

/// The task that serves a connected endpoint; however it ends, it says so.
pub(super) struct Dialer {
    pub owner: Arc<dyn Owner>,
    pub dialing: Arc<Dialing>,
}

/// What comes after an attempt.
enum Next {
    /// Another one, after a delay.
    Retry,
    /// Another one now: the connection was given up on purpose.
    Renew,
    /// Nothing: this side is done with the endpoint.
    Done,
    /// Nothing: another attempt would end the same way.
    GiveUp,
}

impl Dialer {
    async fn run(&self) {
        let Self { owner, dialing } = self;
        let mut backoff = Backoff::new(&owner.options().reconnect);
        owner.report(Event::new(
            Some(&dialing.endpoint),
            EventKind::ConnectDelayed,
        ));
        loop {
            let pipe = dialing.pipe();
            let next = self.attempt(&pipe, &mut backoff).await;
            if pipe.is_retired() && !self.renew(&pipe) {
                return;
            }
            match next {
                Next::Retry => {}
                Next::Renew => continue,
                Next::Done => return,
                Next::GiveUp => {
                    owner.ended(&dialing.pipe());
                    return dialing.gave_up(owner);
                }
            }
            let delay = backoff.delay();
            owner.report(Event::new(
                Some(&dialing.endpoint),
                EventKind::Retrying(delay),
            ));
            let pipe = dialing.pipe();
            // The next attempt finds out whether that is the end.
            let _ = Box::pin(timeout(delay, given_up(&pipe))).await;
        }
    }

    /// Connects, and serves the connection to its end.
    async fn attempt(&self, pipe: &Arc<Pipe>, backoff: &mut Backoff<'_>) -> Next {
        let Self { owner, dialing } = self;
        let options = owner.options();
        let stop = options.reconnect.stop;
        let session = unless_it_panics(Box::pin(self.establish(pipe))).await;
        let give_up = match session.unwrap_or(Err(Failed::Panicked)) {
            Ok(session) => {
                let begun = Instant::now();
                let served = unless_it_panics(Box::pin(session.run())).await;
                // A peer that takes each connection and drops it at once is not to be besieged.
                if begun.elapsed() >= options.reconnect.max.min(STABLE) {
                    backoff.reset();
                }
                match served.unwrap_or(Served::Lost) {
                    Served::Local => return Next::ended(pipe),
                    Served::Lost | Served::Faulty => stop == StopReconnect::AfterLoss,
                }
            }
            Err(Failed::GivenUp) => return Next::ended(pipe),
            Err(Failed::Connect(error)) => {
                // An ipc path where nobody ever listened does not exist.
                let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
                let refused = kinds.contains(&error.kind());
                owner.report(Event::new(
                    Some(&dialing.endpoint),
                    EventKind::ConnectFailed(Arc::new(error)),
                ));
                stop == StopReconnect::NobodyListens && refused
            }
            // N10: the same credentials would be refused again.
            Err(Failed::Handshake(NotServed::Handshake(error))) => {
                error.is_fatal() || stop == StopReconnect::HandshakeFailed
            }
            Err(Failed::Panicked) => false,
            Err(Failed::Handshake(NotServed::Refused)) => stop == StopReconnect::HandshakeFailed,
        };
        if give_up { Next::GiveUp } else { Next::Retry }
    }

    /// Connects and shakes hands, as long as there is a point in it.
    async fn establish(&self, pipe: &Arc<Pipe>) -> Result<Box<Session>, Failed> {
        tokio::select! {
            biased;
            () = given_up(pipe) => Err(Failed::GivenUp),
            session = self.connect(pipe) => session,
        }
    }

    async fn connect(&self, pipe: &Arc<Pipe>) -> Result<Box<Session>, Failed> {
        let Self { owner, dialing } = self;
        let endpoint = &dialing.endpoint;
        let stream = transport::connect(
            endpoint,
            &ConnectOptions {
                tcp: owner.options().tcp.clone(),
                timeout: Some(owner.options().connect_timeout),
            },
        )
        .await
        .map_err(Failed::Connect)?;
        let session = Session::establish(owner, Some(endpoint), stream, Some(pipe), None).await;
        session.map_err(Failed::Handshake)
    }

    /// Ends `pipe` and puts a fresh one in its place, if the endpoint is still wanted.
    pub fn renew(&self, pipe: &Arc<Pipe>) -> bool {
        self.owner.ended(pipe);
        self.owner.renew(&self.dialing, pipe)
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        let pipe = self.dialing.pipe();
        self.owner.ended(&pipe);
        self.dialing.finished.set(true);
    }
}

impl Next {
    /// After this side has ended `pipe`.
    fn ended(pipe: &Pipe) -> Self {
        if pipe.is_retired() {
            Self::Renew
        } else if pipe.outbox.is_ended() {
            // Another peer was given its place.
            Self::GiveUp
        } else {
            Self::Done
        }
    }
}

/// A connection that lasts so long was a success; one that does not counts as another failed attempt.
pub(super) const STABLE: Duration = Duration::from_secs(1);

/// Why there is no session.
enum Failed {
    GivenUp,
    Connect(io::Error),
    Handshake(NotServed),
    /// Code of others panicked.
    Panicked,
}

/// The outcome of `part`; none if it panics. What panics there is the code of others: an authenticator, or what frees the
/// octets of a message. That costs a connection, as it does where connections are accepted, and not the endpoint.
async fn unless_it_panics<T>(mut part: Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| part.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// Waits until there is no point in connecting any more: the pipe is ended, or draining with nothing left or no time.
async fn given_up(pipe: &Pipe) {
    let Life::Draining(deadline) = pipe.outbox.closing().await else {
        return;
    };
    if pipe.outbox.waiting() == 0 {
        return;
    }
    let ended = poll_fn(|cx| match pipe.outbox.life(cx) {
        Life::Ended => Poll::Ready(()),
        Life::Open | Life::Draining(_) => Poll::Pending,
    });
    match deadline {
        Some(deadline) => tokio::select! {
            () = ended => {}
            () = sleep_until(Instant::from_std(deadline)) => {}
        },
        None => ended.await,
    }
}
