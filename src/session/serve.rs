//! One connection from its first octet to its last.

use std::future::{pending, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{Instant, timeout, timeout_at};

use super::gate::{Lane, Turn};
use super::pump::{End, Pump};
use super::sealing::Sealing;
use super::tasks::aside;
use super::{Newcomer, Owner};
use crate::endpoint::Endpoint;
use crate::mechanism::Asked;
use crate::monitor::{DisconnectCause, Event, EventKind};
use crate::pipe::{Life, Pipe, Writing};
use crate::security::{Authenticator, Candidate, Principal, Refusal};
use crate::transport::{PeerAddress, Stream};
use crate::zmtp::{
    Engine, Established, Handshake, HandshakeConfig, HandshakeError, HeartbeatConfig, Progress,
    after, overslept, put_error,
};

/// A connection whose handshake is done and whose peer has a place in the socket.
pub(super) struct Session {
    owner: Arc<dyn Owner>,
    endpoint: Option<Endpoint>,
    stream: Arc<Stream>,
    pub pipe: Arc<Pipe>,
    principal: Option<Principal>,
    engine: Engine,
    sealing: Option<Box<Sealing>>,
    /// Octets that came behind the handshake.
    read: BytesMut,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Served {
    /// This side is done with it.
    Local,
    /// The peer, or the network.
    Lost,
    /// The peer broke a rule.
    Faulty,
}

/// A connection that failed its handshake, was refused, or broke a rule.
#[derive(Debug)]
pub(super) struct OfNoUse;

impl Served {
    fn until(cause: &DisconnectCause) -> Self {
        match cause {
            DisconnectCause::Local => Self::Local,
            DisconnectCause::Peer | DisconnectCause::Revoked | DisconnectCause::Io(_) => Self::Lost,
            DisconnectCause::Protocol(_)
            | DisconnectCause::TooManySubscriptions { .. }
            | DisconnectCause::TopicTooLong { .. }
            | DisconnectCause::SubscriptionFlood { .. } => Self::Faulty,
        }
    }
}

/// Why a connection was never served.
#[derive(Debug)]
pub(super) enum NotServed {
    Handshake(HandshakeError),
    /// This socket has no place for the peer.
    Refused,
}

impl Session {
    /// Shakes hands over `stream` and finds the peer its place; `pipe` if it has one already. `lane`: that of the bound
    /// endpoint that the peer came to.
    pub async fn establish(
        owner: &Arc<dyn Owner>,
        endpoint: Option<&Endpoint>,
        stream: Stream,
        pipe: Option<&Arc<Pipe>>,
        lane: Option<&Lane>,
    ) -> Result<Box<Self>, NotServed> {
        let stream = Arc::new(stream);
        let address = stream.peer_address();
        let report = |kind| owner.report(Event::new(endpoint, kind).address(address));
        report(if pipe.is_some() {
            EventKind::Connected
        } else {
            EventKind::Accepted
        });
        let mut read = BytesMut::with_capacity(FIRST_READ);
        let established = match negotiate(&**owner, &stream, lane, &mut read).await {
            Ok(established) => established,
            Err((error, last_words)) => {
                report(EventKind::HandshakeFailed(error.clone()));
                if let Some(mut last_words) = last_words {
                    // The peer is told why, if it listens.
                    let _ = timeout(GOOD_BYE, farewell(&stream, &mut last_words)).await;
                }
                return Err(NotServed::Handshake(error));
            }
        };
        match Self::admitted(owner, endpoint, &stream, pipe, *established, read) {
            Ok(session) => Ok(session),
            Err(mut error) => {
                let _ = timeout(GOOD_BYE, write_all(&stream, &mut error)).await;
                Err(NotServed::Refused)
            }
        }
    }

    /// Finds the peer its place; otherwise, what to tell it.
    fn admitted(
        owner: &Arc<dyn Owner>,
        endpoint: Option<&Endpoint>,
        stream: &Arc<Stream>,
        pipe: Option<&Arc<Pipe>>,
        established: Established,
        read: BytesMut,
    ) -> Result<Box<Self>, BytesMut> {
        let address = stream.peer_address();
        let Established {
            peer,
            principal,
            engine,
            seal,
        } = established;
        let mut sealing = seal.map(|seal| Box::new(Sealing::new(seal)));
        let newcomer = Newcomer {
            endpoint: endpoint.cloned(),
            address,
            metadata: peer,
            principal: principal.clone(),
            accepted: pipe.is_none(),
        };
        let pipe = match owner.admit(pipe, newcomer) {
            Ok(pipe) => pipe,
            Err(reason) => {
                owner.report(
                    Event::new(endpoint, EventKind::Refused(reason))
                        .address(address)
                        .principal(principal),
                );
                return Err(last_word(reason, sealing.as_deref_mut()));
            }
        };
        owner.report(
            Event::new(endpoint, EventKind::HandshakeSucceeded)
                .address(address)
                .peer(pipe.id)
                .principal(principal.clone()),
        );
        Ok(Box::new(Self {
            owner: owner.clone(),
            endpoint: endpoint.cloned(),
            stream: stream.clone(),
            pipe,
            principal,
            engine,
            sealing,
            read,
        }))
    }

    /// Carries messages until the connection ends, and gives back to the outbox what it did not carry.
    pub async fn run(self: Box<Self>) -> Served {
        // The braces: the empty box goes at once.
        let Self {
            owner,
            endpoint,
            stream,
            pipe,
            principal,
            engine,
            sealing,
            read,
        } = *{ self };
        let mut connection = Connection {
            owner: &*owner,
            pipe: &pipe,
            pump: Pump::new(&*owner, &pipe, &stream, engine, sealing, read),
        };
        let mut revoked = pin!(async {
            match &principal {
                Some(principal) => principal.revoked().await,
                None => pending().await,
            }
        });
        let end = poll_fn(|cx| match revoked.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(End::Failed(DisconnectCause::Revoked)),
            Poll::Pending => connection.pump.poll(cx),
        })
        .await;
        if let End::Drained(until) = end {
            let _ = Box::pin(timeout_at(until, good_bye(&stream))).await;
        }
        drop(connection);
        let (served, cause) = match end {
            End::Drained(_) | End::Ended => (Served::Local, DisconnectCause::Local),
            End::Failed(cause) => (Served::until(&cause), cause),
        };
        let event = Event::new(endpoint.as_ref(), EventKind::Disconnected(cause));
        let event = event.address(stream.peer_address()).peer(pipe.id);
        owner.report(event.principal(principal.clone()));
        served
    }
}

/// Serves a stream that was made elsewhere, once.
pub(crate) async fn adopt(owner: Arc<dyn Owner>, stream: Stream) {
    // Who is not served is told of by the monitor.
    let _ = serve_accepted(owner, None, stream, None, ()).await;
}

/// Serves a connection that came to this socket: its pipe lives as long as it does (A3, A5). `permit` is given back
/// when the handshake is over. Fails if it was of no use.
pub(super) async fn serve_accepted<T>(
    owner: Arc<dyn Owner>,
    endpoint: Option<Endpoint>,
    stream: Stream,
    lane: Option<Lane>,
    permit: T,
) -> Result<(), OfNoUse> {
    // Both in boxes: an idle connection keeps nothing of its handshake.
    let handshake = Box::pin(Session::establish(
        &owner,
        endpoint.as_ref(),
        stream,
        None,
        lane.as_ref(),
    ));
    let session = tokio::select! {
        session = handshake => session,
        () = owner.tasks().stopping() => return Ok(()),
    };
    drop((permit, lane));
    let session = session.map_err(|_| OfNoUse)?;
    let pipe = session.pipe.clone();
    let _ended = Ended {
        owner: &*owner,
        pipe: &pipe,
    };
    // What a crowd costs under CURVE is computed for it one after the other: that is better spread than gathered.
    let computed = session.sealing.is_some();
    match Box::pin(session.run()).await {
        Served::Faulty if !computed => Err(OfNoUse),
        Served::Faulty | Served::Local | Served::Lost => Ok(()),
    }
}

/// A connection that is up. However its task ends (the runtime may drop it), the outbox gets back what was not sent, and
/// the socket learns that the connection is gone.
struct Connection<'a> {
    owner: &'a dyn Owner,
    pipe: &'a Arc<Pipe>,
    pump: Pump<'a>,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.pipe.outbox.disconnected(self.pump.take_unsent());
        self.owner.lost(self.pipe);
    }
}

/// Takes the pipe out of its socket when dropped.
struct Ended<'a> {
    owner: &'a dyn Owner,
    pipe: &'a Arc<Pipe>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.owner.ended(self.pipe);
    }
}

fn config(owner: &dyn Owner, address: PeerAddress) -> HandshakeConfig {
    let options = owner.options();
    HandshakeConfig {
        socket_type: owner.socket_type(),
        identity: options.identity.clone(),
        properties: options.properties.clone(),
        address,
        domain: options.security.domain_name().to_owned(),
        limits: options.limits,
        heartbeat: options.heartbeat.map(|heartbeat| HeartbeatConfig {
            interval: heartbeat.interval,
            timeout: heartbeat.timeout,
            ttl: heartbeat.ttl,
        }),
        timeout: options.handshake_timeout,
    }
}

fn begin(
    owner: &dyn Owner,
    address: PeerAddress,
    asked: Asked,
) -> Result<Handshake, HandshakeError> {
    let config = config(owner, address);
    let role = owner.options().security.role();
    let mechanism = role.begin(config.announcement(), asked)?;
    let now = Instant::now().into_std();
    Ok(Handshake::new(config, mechanism, now))
}

/// The handshake of a connection, within its time.
///
/// If it fails, the octets that are still to be sent come with the error, unless there was no time left for them.
async fn negotiate(
    owner: &dyn Owner,
    stream: &Stream,
    lane: Option<&Lane>,
    read: &mut BytesMut,
) -> Result<Box<Established>, (HandshakeError, Option<BytesMut>)> {
    let security = &owner.options().security;
    let authenticator = security
        .authenticator()
        .map(|authenticator| &**authenticator);
    let asked = match (authenticator, lane) {
        (None, _) => Asked::Never,
        (Some(_), Some(_)) => Asked::BeforeReady,
        (Some(_), None) => Asked::AfterReady,
    };
    let mut handshake =
        begin(owner, stream.peer_address(), asked).map_err(|error| (error, None))?;
    let mut progress = Progress::Waiting;
    loop {
        let deadline = Instant::from_std(handshake.deadline());
        let step = proceed(
            stream,
            &mut handshake,
            &mut progress,
            authenticator,
            lane,
            read,
        );
        let turn = match timeout_at(deadline, step).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(error)) => return Err((error, Some(handshake.output().split()))),
            Err(_) => {
                handshake
                    .in_time(Instant::now().into_std())
                    .map_err(|error| (error, None))?;
                continue;
            }
        };
        if let Progress::Established(established) = progress {
            return Ok(established);
        }
        let next = if let Some(turn) = turn {
            let mut octets = std::mem::take(read);
            let taken_in = aside(move || {
                let next = handshake.input(&mut octets, Instant::now().into_std());
                drop(turn);
                (handshake, octets, next)
            });
            let time = owner.options().handshake_timeout;
            // In a box: most handshakes have no use for it.
            let taken_in = Box::pin(awake_until(deadline, time, taken_in));
            let (back, octets, next) = match taken_in.await {
                Some(Some(taken_in)) => taken_in,
                Some(None) => return Err((HandshakeError::Closed, None)),
                None => return Err((HandshakeError::TimedOut, None)),
            };
            (handshake, *read) = (back, octets);
            next
        } else {
            handshake.input(read, Instant::now().into_std())
        };
        progress = next.map_err(|error| (error, Some(handshake.output().split())))?;
    }
}

/// The outcome of `part`, unless `deadline` comes first, which left `time`; whoever noticed that far too late has the whole
/// time anew.
async fn awake_until<T>(
    mut deadline: Instant,
    time: Duration,
    part: impl Future<Output = T>,
) -> Option<T> {
    let mut part = pin!(part);
    loop {
        if let Ok(outcome) = timeout_at(deadline, &mut part).await {
            return Some(outcome);
        }
        let now = Instant::now();
        if !overslept(deadline.into_std(), time, now.into_std()) {
            return None;
        }
        deadline = Instant::from_std(after(now.into_std(), time));
    }
}

/// Does what the handshake waits for, until it is over or there is something to take in; what takes long, in the turn that
/// is returned. Dropped, it can be begun again.
async fn proceed(
    stream: &Stream,
    handshake: &mut Handshake,
    progress: &mut Progress,
    authenticator: Option<&dyn Authenticator>,
    lane: Option<&Lane>,
    read: &mut BytesMut,
) -> Result<Option<Turn>, HandshakeError> {
    if write_all(stream, handshake.output()).await.is_err() {
        return Err(handshake.closed());
    }
    match progress {
        Progress::Established(_) => return Ok(None),
        // What is there has not had its turn yet.
        Progress::Waiting if handshake.labours(read) => {}
        Progress::Waiting => {
            read.reserve(FIRST_READ);
            match poll_fn(|cx| stream.poll_read(cx, read, usize::MAX)).await {
                Ok(0) | Err(_) => return Err(handshake.closed()),
                Ok(_) => {}
            }
        }
        Progress::Decide(candidate) => {
            let verdict = tokio::select! {
                verdict = decide(authenticator, candidate) => verdict,
                () = gone(stream, read) => return Err(handshake.closed()),
            };
            handshake.decided(verdict)?;
        }
    }
    match lane {
        Some(lane) if handshake.labours(read) => Ok(lane.turn().await),
        _ => Ok(None),
    }
}

/// Sends the last octets of a handshake that failed, and says good-bye.
async fn farewell(stream: &Stream, last: &mut BytesMut) -> io::Result<()> {
    write_all(stream, last).await?;
    good_bye(stream).await
}

/// P4: without an authenticator, nobody who has to be decided about is accepted.
async fn decide(
    authenticator: Option<&dyn Authenticator>,
    candidate: &Candidate,
) -> Result<Principal, Refusal> {
    match authenticator {
        Some(authenticator) => authenticator.authenticate(candidate).await,
        None => Err(Refusal::denied("there is no authenticator")),
    }
}

/// Waits until the peer closes the connection. Of what it sends meanwhile, `read` takes little.
async fn gone(stream: &Stream, read: &mut BytesMut) {
    while read.len() < FIRST_READ {
        read.reserve(FIRST_READ);
        match poll_fn(|cx| stream.poll_read(cx, read, usize::MAX)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    pending().await
}

/// An ERROR after the handshake, as the connection carries it.
fn last_word(reason: &str, sealing: Option<&mut Sealing>) -> BytesMut {
    let mut error = BytesMut::new();
    put_error(&mut error, reason);
    let Some(sealing) = sealing else {
        return error;
    };
    let mut plain = Writing::default();
    plain.push_framed(&error);
    BytesMut::from(sealing.next(&plain))
}

async fn write_all(stream: &Stream, octets: &mut BytesMut) -> io::Result<()> {
    while octets.has_remaining() {
        match poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(octets)])).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => octets.advance(n),
        }
    }
    poll_fn(|cx| stream.poll_flush(cx)).await
}

/// Says that nothing more comes, and reads until the peer says the same: a connection that is closed over unread octets
/// is reset, and what the peer has not yet read of ours would be lost with it.
async fn good_bye(stream: &Stream) -> io::Result<()> {
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    poll_fn(|cx| stream.poll_shutdown(cx)).await?;
    let mut discarded = BytesMut::with_capacity(FIRST_READ);
    while poll_fn(|cx| stream.poll_read(cx, &mut discarded, usize::MAX)).await? > 0 {
        discarded.clear();
    }
    Ok(())
}

/// How long a peer has for its part of the good-bye.
pub(super) const GOOD_BYE: Duration = Duration::from_secs(1);
/// Room for the octets of a handshake. Most is short, and a thousand may be under way at once.
const FIRST_READ: usize = 512;

/// The instant until which a good-bye may last.
pub(super) fn good_bye_until(life: Life) -> Instant {
    let until = Instant::now() + GOOD_BYE;
    match life {
        Life::Draining(Some(deadline)) => until.min(Instant::from_std(deadline)),
        Life::Open | Life::Draining(None) | Life::Ended => until,
    }
}

#[cfg(test)]
mod tests;
