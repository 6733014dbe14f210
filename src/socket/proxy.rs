//! [`Proxy`]: forwards messages between two sockets, both ways.

use std::fmt;
use std::sync::Arc;

use super::Socket;
use super::core::Core;
use super::route::with_identity;
use super::send::Sent;
use crate::error::{RecvError, SendToError};
use crate::identity::Identity;
use crate::message::Message;
use crate::pattern::{CanSend, Outbound, Pattern, SocketType};
use crate::pipe::Claim;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::watch::Watch;

/// Socket types that a [`Proxy`] can stand between: all but REQ and REP, whose turn-taking it would break; use DEALER
/// and ROUTER in their place.
#[diagnostic::on_unimplemented(
    message = "a {Self} socket cannot be proxied",
    note = "use a ROUTER in place of a REP and a DEALER in place of a REQ"
)]
pub trait ProxyEnd: Pattern {}

macro_rules! proxy_end {
    ($($name:ident)+) => { $(impl ProxyEnd for crate::pattern::$name {})+ };
}
proxy_end!(Push Pull Pub Sub XPub XSub Dealer Router Pair);

/// Forwards messages between two sockets, in each direction that their types allow: ROUTER and DEALER for requests,
/// XSUB and XPUB for subscriptions and what is published, PULL and PUSH for a pipeline.
///
/// It takes a message only when the one before has found its place, so that marks work through it.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use jackstay::{DealerSocket, Proxy, RouterSocket};
///
/// let clients = RouterSocket::new();
/// clients.bind("tcp://*:5559").await?;
/// let workers = DealerSocket::new();
/// workers.bind("tcp://*:5560").await?;
///
/// let mut proxy = Proxy::new(&clients, &workers);
/// let control = proxy.control();
/// tokio::spawn(async move {
///     tokio::signal::ctrl_c().await.ok();
///     control.stop();
/// });
/// proxy.run().await?;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "zmq_proxy")]
#[doc(alias = "zmq_proxy_steerable")]
pub struct Proxy<'a> {
    front: &'a Arc<Core>,
    back: &'a Arc<Core>,
    capture: Option<&'a Arc<Core>>,
    control: ProxyControl,
    /// Messages that were taken and not yet given on, so that stopping loses none.
    to_back: Option<Message>,
    to_front: Option<Message>,
}

/// Steers a running [`Proxy`] from elsewhere.
#[derive(Clone)]
pub struct ProxyControl(Arc<Shared>);

struct Shared {
    mode: Watch<Mode>,
    to_back: Counter,
    to_front: Counter,
}

#[derive(Default)]
struct Counter {
    messages: AtomicU64,
    octets: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Paused,
    Stopped,
}

/// What a [`Proxy`] has forwarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// Messages from the front to the back.
    pub messages_to_back: u64,
    /// Octets of their frames.
    pub octets_to_back: u64,
    /// Messages from the back to the front.
    pub messages_to_front: u64,
    /// Octets of their frames.
    pub octets_to_front: u64,
}

impl<'a> Proxy<'a> {
    /// Stands between `front` and `back`.
    pub fn new<F: ProxyEnd, B: ProxyEnd>(front: &'a Socket<F>, back: &'a Socket<B>) -> Self {
        Self {
            front: &front.core,
            back: &back.core,
            capture: None,
            control: ProxyControl(Arc::new(Shared {
                mode: Watch::new(Mode::Running),
                to_back: Counter::default(),
                to_front: Counter::default(),
            })),
            to_back: None,
            to_front: None,
        }
    }

    /// Gives `capture` a copy of every message that is forwarded, as far as it takes one without waiting.
    #[must_use]
    pub fn capture<C: CanSend>(mut self, capture: &'a Socket<C>) -> Self {
        self.capture = Some(&capture.core);
        self
    }

    /// A handle that pauses, resumes and stops, and tells what was forwarded.
    #[must_use]
    pub fn control(&self) -> ProxyControl {
        self.control.clone()
    }

    /// Forwards until it is stopped, or a socket is closed.
    ///
    /// # Cancel safety
    /// Dropped before it completes, at most one message a direction is held, and the next `run` begins with it.
    ///
    /// # Errors
    /// [`RecvError`] if one of the sockets is closed.
    pub async fn run(&mut self) -> Result<(), RecvError> {
        let shared = self.control.0.clone();
        loop {
            let now = shared.mode.now();
            let changed = shared.mode.until(|mode| mode != now);
            match now {
                Mode::Stopped => return Ok(()),
                Mode::Paused => changed.await,
                Mode::Running => tokio::select! {
                    () = changed => {}
                    closed = forward(self.front, self.back, self.capture, &mut self.to_back, &shared.to_back) => {
                        return Err(closed);
                    }
                    closed = forward(self.back, self.front, self.capture, &mut self.to_front, &shared.to_front) => {
                        return Err(closed);
                    }
                },
            }
        }
    }
}

impl ProxyControl {
    /// Takes no more messages until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.change(Mode::Paused);
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.change(Mode::Running);
    }

    /// Lets `run` return.
    pub fn stop(&self) {
        self.change(Mode::Stopped);
    }

    /// What was forwarded so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        ProxyStats {
            messages_to_back: self.0.to_back.messages.load(Ordering::Relaxed),
            octets_to_back: self.0.to_back.octets.load(Ordering::Relaxed),
            messages_to_front: self.0.to_front.messages.load(Ordering::Relaxed),
            octets_to_front: self.0.to_front.octets.load(Ordering::Relaxed),
        }
    }

    fn change(&self, to: Mode) {
        self.0.mode.update(|mode| {
            if *mode != Mode::Stopped {
                *mode = to;
            }
        });
    }
}

/// Forwards one way until a socket is closed.
async fn forward(
    from: &Arc<Core>,
    to: &Arc<Core>,
    capture: Option<&Arc<Core>>,
    held: &mut Option<Message>,
    counter: &Counter,
) -> RecvError {
    if to.row.outbound == Outbound::None {
        // This direction is not the sockets' business.
        std::future::pending::<()>().await;
    }
    loop {
        let message = match held {
            Some(message) => message,
            None => match from.take().await {
                Ok(message) => {
                    if let Some(capture) = capture {
                        capture.try_send(&message, Claim::Turn);
                    }
                    held.insert(message)
                }
                Err(closed) => return closed,
            },
        };
        if matches!(to.give(message).await, Sent::Closed) {
            return RecvError;
        }
        counter.messages.fetch_add(1, Ordering::Relaxed);
        counter
            .octets
            .fetch_add(message.size() as u64, Ordering::Relaxed);
        *held = None;
    }
}

impl Core {
    /// The next message; from a ROUTER, behind the identity of its peer.
    async fn take(&self) -> Result<Message, RecvError> {
        if self.socket_type != SocketType::Router {
            return self.receive(|| self.try_recv()).await;
        }
        let (identity, mut message) = self.recv_with(with_identity).await?;
        message.push_front(identity.to_bytes());
        Ok(message)
    }

    /// Sends `message`, waiting for room; through a ROUTER, to the peer that its first frame names.
    async fn give(&self, message: &Message) -> Sent {
        let attempt = || match self.try_give(message) {
            Sent::Full => None,
            sent => Some(sent),
        };
        self.pipes.writable.until(attempt).await
    }

    fn try_give(&self, message: &Message) -> Sent {
        if self.socket_type != SocketType::Router {
            return self.try_send(message, Claim::Turn);
        }
        let mut message = message.clone();
        let identity = message
            .pop_front()
            .and_then(|frame| Identity::new(frame).ok());
        match self.route(&identity.unwrap_or_default(), message) {
            // R9: a peer that is gone misses its message.
            Ok(()) | Err(SendToError::Unroutable(_)) => Sent::Done,
            Err(SendToError::Full(_)) => Sent::Full,
            Err(SendToError::Closed(_)) => Sent::Closed,
        }
    }
}

impl fmt::Debug for Proxy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ProxyControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyControl")
            .field("mode", &self.0.mode.now())
            .field("stats", &self.stats())
            .finish()
    }
}
