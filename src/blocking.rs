//! The same sockets for programs without an async runtime.
//!
//! [`Socket`] blocks its thread where the async [`Socket`](crate::Socket) would wait. Everything that does not wait
//! (`try_send`, `subscribe`, `stats`, `peers`…) is that of the async socket, to which this one dereferences. All
//! connections of the process run on one background thread, which starts with the first `bind` or `connect`.
//!
//! ```
//! use std::time::Duration;
//! use jackstay::blocking::{PullSocket, PushSocket};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pull = PullSocket::new();
//! let at = pull.bind("tcp://127.0.0.1:0")?;
//! let push = PushSocket::new();
//! push.connect(at)?;
//! push.send("hello")?;
//! assert_eq!(pull.recv_timeout(Duration::from_secs(5))?, "hello");
//! push.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Panics
//! The methods that block panic inside an async task: they would block its runtime. Use the async sockets there.

use std::future::{Future, pending};
use std::io;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;

use crate::endpoint::{Endpoint, ParseEndpointError};
use crate::error::{
    BindError, ClosedError, ConnectError, DisconnectError, RecvError, RequestError, SendError,
    SendToError, TryRecvError, TrySendError, Undelivered,
};
use crate::identity::Identity;
use crate::message::Message;
use crate::monitor::PeerInfo;
use crate::pattern::{
    CanPublish, CanReceive, CanSend, Dealer, Pair, Pattern, Pub, Pull, Push, Rep, Req, Router, Sub,
    XPub, XSub,
};
use crate::pipe::Claim;

/// A [`Socket`](crate::Socket) whose calls block. Made from one with options by `From`:
///
/// ```
/// let push = jackstay::PushSocket::builder().send_hwm(10).build();
/// let push = jackstay::blocking::PushSocket::from(push);
/// ```
#[derive(Debug, Default)]
pub struct Socket<P: Pattern>(crate::Socket<P>);

/// A blocking [`PushSocket`](crate::PushSocket).
pub type PushSocket = Socket<Push>;
/// A blocking [`PullSocket`](crate::PullSocket).
pub type PullSocket = Socket<Pull>;
/// A blocking [`PubSocket`](crate::PubSocket).
pub type PubSocket = Socket<Pub>;
/// A blocking [`SubSocket`](crate::SubSocket).
pub type SubSocket = Socket<Sub>;
/// A blocking [`XPubSocket`](crate::XPubSocket).
pub type XPubSocket = Socket<XPub>;
/// A blocking [`XSubSocket`](crate::XSubSocket).
pub type XSubSocket = Socket<XSub>;
/// A blocking [`ReqSocket`](crate::ReqSocket).
pub type ReqSocket = Socket<Req>;
/// A blocking [`RepSocket`](crate::RepSocket).
pub type RepSocket = Socket<Rep>;
/// A blocking [`DealerSocket`](crate::DealerSocket).
pub type DealerSocket = Socket<Dealer>;
/// A blocking [`RouterSocket`](crate::RouterSocket).
pub type RouterSocket = Socket<Router>;
/// A blocking [`PairSocket`](crate::PairSocket).
pub type PairSocket = Socket<Pair>;

/// Why a request got no reply in time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestTimeoutError {
    /// No reply came in time; the request is abandoned, and its late reply will not show up.
    #[error("no reply came in time; the request is abandoned")]
    TimedOut,
    /// The request failed.
    #[error(transparent)]
    Failed(#[from] RequestError),
}

impl<P: Pattern> Socket<P> {
    /// A socket with the default options.
    #[must_use]
    pub fn new() -> Self {
        Self(crate::Socket::new())
    }

    /// See [`Socket::bind`](crate::Socket::bind).
    ///
    /// # Errors
    /// As there; [`BindError::NoRuntime`] if the background thread could not be started.
    pub fn bind(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<Endpoint, BindError> {
        background()
            .map_err(|_| BindError::NoRuntime)?
            .block_on(self.0.bind(endpoint))
    }

    /// See [`Socket::connect`](crate::Socket::connect).
    ///
    /// # Errors
    /// As there; [`ConnectError::NoRuntime`] if the background thread could not be started.
    pub fn connect(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<(), ConnectError> {
        let runtime = background().map_err(|_| ConnectError::NoRuntime)?;
        let _context = runtime.enter();
        self.0.connect(endpoint)
    }

    /// See [`Socket::unbind`](crate::Socket::unbind).
    ///
    /// # Errors
    /// As there.
    pub fn unbind(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<(), DisconnectError> {
        block_on(self.0.unbind(endpoint))
    }

    /// See [`Socket::disconnect`](crate::Socket::disconnect).
    ///
    /// # Errors
    /// As there.
    pub fn disconnect(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<(), DisconnectError> {
        block_on(self.0.disconnect(endpoint))
    }

    /// See [`Socket::close`](crate::Socket::close).
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), Undelivered> {
        block_on(self.0.close())
    }

    /// See [`Socket::wait_for_peers`](crate::Socket::wait_for_peers). `false` if there are not so many in time, or
    /// the socket is closed.
    pub fn wait_for_peers(&self, n: usize, limit: Duration) -> bool {
        block_on_for(limit, self.0.wait_for_peers(n)).is_some_and(|waited| waited.is_ok())
    }
}

impl<P: Pattern> Socket<P> {
    /// See [`Socket::wait_for_subscribers`](crate::Socket::wait_for_subscribers). `false` if there are not so many in
    /// time, or the socket is closed.
    pub fn wait_for_subscribers(&self, n: usize, limit: Duration) -> bool
    where
        P: CanPublish,
    {
        block_on_for(limit, self.0.wait_for_subscribers(n)).is_some_and(|waited| waited.is_ok())
    }
}

impl<P: Pattern> Socket<P> {
    /// See [`Socket::send`](crate::Socket::send).
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError>
    where
        P: CanSend,
    {
        match self.0.try_send_as(Claim::Paced, message.into()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(SendError::of(message)),
            Err(TrySendError::Full(message)) => block_on(self.0.send(message)),
        }
    }

    /// Sends `message`, waiting for room no longer than `limit`.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if there was no room in time. The message comes back.
    #[doc(alias = "ZMQ_SNDTIMEO")]
    pub fn send_timeout(
        &self,
        message: impl Into<Message>,
        limit: Duration,
    ) -> Result<(), TrySendError>
    where
        P: CanSend,
    {
        match self.0.try_send_as(Claim::Paced, message.into()) {
            Err(TrySendError::Full(message)) => {
                // A clone is cheap, and a dropped `send` keeps its message.
                let sent = block_on_for(limit, self.0.send(message.clone()));
                sent.map_or(Err(TrySendError::Full(message)), |sent| {
                    sent.map_err(|error| TrySendError::Closed(error.into_message()))
                })
            }
            outcome => outcome,
        }
    }
}

impl<P: Pattern> Socket<P> {
    /// See [`Socket::send_many`](crate::Socket::send_many).
    ///
    /// # Errors
    /// As there.
    pub fn send_many(&self, messages: &mut Vec<Message>) -> Result<(), ClosedError>
    where
        P: CanSend,
    {
        self.0.try_send_many_as(Claim::Paced, messages)?;
        if messages.is_empty() {
            return Ok(());
        }
        block_on(self.0.send_many(messages))
    }

    /// Sends `messages`, waiting for room no longer than `limit` altogether. What found none is still in `messages`.
    ///
    /// # Errors
    /// [`ClosedError`] if the socket is closed.
    pub fn send_many_timeout(
        &self,
        messages: &mut Vec<Message>,
        limit: Duration,
    ) -> Result<(), ClosedError>
    where
        P: CanSend,
    {
        self.0.try_send_many_as(Claim::Paced, messages)?;
        if messages.is_empty() {
            return Ok(());
        }
        block_on_for(limit, self.0.send_many(messages)).unwrap_or(Ok(()))
    }
}

impl<P: Pattern> Socket<P> {
    /// See [`Socket::recv`](crate::Socket::recv).
    ///
    /// # Errors
    /// As there.
    pub fn recv(&self) -> Result<Message, RecvError>
    where
        P: CanReceive,
    {
        wait(self.0.try_recv(), || self.0.recv())
    }

    /// The next message, if one comes within `limit`.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none came in time.
    #[doc(alias = "ZMQ_RCVTIMEO")]
    pub fn recv_timeout(&self, limit: Duration) -> Result<Message, TryRecvError>
    where
        P: CanReceive,
    {
        wait_for(limit, self.0.try_recv(), || self.0.recv())
    }

    /// See [`Socket::recv_many`](crate::Socket::recv_many).
    ///
    /// # Errors
    /// As there.
    pub fn recv_many(&self, messages: &mut Vec<Message>, limit: usize) -> Result<usize, RecvError>
    where
        P: CanReceive,
    {
        let there = self.0.try_recv_many(messages, limit);
        wait(there, || self.0.recv_many(messages, limit))
    }

    /// The same, if a message comes within `time`.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none came in time.
    pub fn recv_many_timeout(
        &self,
        messages: &mut Vec<Message>,
        limit: usize,
        time: Duration,
    ) -> Result<usize, TryRecvError>
    where
        P: CanReceive,
    {
        let there = self.0.try_recv_many(messages, limit);
        wait_for(time, there, || self.0.recv_many(messages, limit))
    }
}

impl Socket<Router> {
    /// See [`Socket::send_to`](crate::Socket::send_to).
    ///
    /// # Errors
    /// As there.
    pub fn send_to(&self, peer: &Identity, message: impl Into<Message>) -> Result<(), SendToError> {
        block_on(self.0.send_to(peer, message))
    }

    /// See [`Socket::recv_from`](crate::Socket::recv_from).
    ///
    /// # Errors
    /// As there.
    pub fn recv_from(&self) -> Result<(Identity, Message), RecvError> {
        wait(self.0.try_recv_from(), || self.0.recv_from())
    }

    /// See [`Socket::recv_with_peer`](crate::Socket::recv_with_peer).
    ///
    /// # Errors
    /// As there.
    pub fn recv_with_peer(&self) -> Result<(PeerInfo, Message), RecvError> {
        wait(self.0.try_recv_with_peer(), || self.0.recv_with_peer())
    }

    /// The next message and whom it is from, if one comes within `limit`.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none came in time.
    pub fn recv_from_timeout(&self, limit: Duration) -> Result<(Identity, Message), TryRecvError> {
        wait_for(limit, self.0.try_recv_from(), || self.0.recv_from())
    }
}

impl Socket<Req> {
    /// See [`Socket::request`](crate::Socket::request).
    ///
    /// # Errors
    /// As there.
    pub fn request(&mut self, message: impl Into<Message>) -> Result<Message, RequestError> {
        block_on(self.0.request(message))
    }

    /// Asks, and waits for the reply no longer than `limit`.
    ///
    /// # Errors
    /// [`RequestTimeoutError::TimedOut`] if no reply came in time; the request is abandoned then.
    pub fn request_timeout(
        &mut self,
        message: impl Into<Message>,
        limit: Duration,
    ) -> Result<Message, RequestTimeoutError> {
        match block_on_for(limit, self.0.request(message)) {
            Some(outcome) => Ok(outcome?),
            None => Err(RequestTimeoutError::TimedOut),
        }
    }
}

impl Socket<Rep> {
    /// See [`Socket::accept`](crate::Socket::accept).
    ///
    /// # Errors
    /// As there.
    pub fn accept(&self) -> Result<Request, RecvError> {
        wait(self.0.try_accept(), || self.0.accept()).map(Request)
    }

    /// The next request, if one comes within `limit`.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none came in time.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Request, TryRecvError> {
        wait_for(limit, self.0.try_accept(), || self.0.accept()).map(Request)
    }
}

impl<P: Pattern> Deref for Socket<P> {
    type Target = crate::Socket<P>;

    fn deref(&self) -> &crate::Socket<P> {
        &self.0
    }
}

impl<P: Pattern> From<crate::Socket<P>> for Socket<P> {
    fn from(socket: crate::Socket<P>) -> Self {
        Self(socket)
    }
}

/// See [`Request`](crate::Request).
#[derive(Debug)]
pub struct Request(crate::Request);

impl Request {
    /// See [`Request::reply`](crate::Request::reply).
    ///
    /// # Errors
    /// As there.
    pub fn reply(self, message: impl Into<Message>) -> Result<(), SendError> {
        self.0.reply_now(message.into())
    }
}

impl Deref for Request {
    type Target = crate::Request;

    fn deref(&self) -> &crate::Request {
        &self.0
    }
}

/// What is there already needs no runtime; only what is not is waited for.
fn wait<T, F>(there: Result<T, TryRecvError>, recv: impl FnOnce() -> F) -> Result<T, RecvError>
where
    F: Future<Output = Result<T, RecvError>>,
{
    match there {
        Ok(value) => Ok(value),
        Err(TryRecvError::Closed) => Err(RecvError),
        Err(TryRecvError::Empty) => block_on(recv()),
    }
}

fn wait_for<T, F>(
    limit: Duration,
    there: Result<T, TryRecvError>,
    recv: impl FnOnce() -> F,
) -> Result<T, TryRecvError>
where
    F: Future<Output = Result<T, RecvError>>,
{
    match there {
        Err(TryRecvError::Empty) => match block_on_for(limit, recv()) {
            Some(received) => received.map_err(|RecvError| TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        },
        there => there,
    }
}

fn block_on_for<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    block_on(async { timeout(limit, future).await.ok() })
}

/// # Panics
/// Without a background thread. Nothing can be waited for without an endpoint, so `bind` or `connect` has told of it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    match background() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => {
            panic!("the background thread of jackstay::blocking could not be started: {error}")
        }
    }
}

/// The runtime that all blocking sockets share; one thread drives it.
fn background() -> io::Result<Handle> {
    static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);
    let mut started = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*started {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name("jackstay".to_owned());
    thread.spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(started.insert(handle).clone())
}
