//! Bind, connect, unbind, disconnect, close: how endpoints come and go.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info_span;

use super::Socket;
use super::core::Core;
use crate::endpoint::{Address, Endpoint, ParseEndpointError};
use crate::error::{BindError, ConnectError, DisconnectError, Undelivered};
use crate::identity::Identity;
use crate::monitor::{Event, EventKind};
use crate::pattern::{Pattern, Router, SocketType};
use crate::pipe::{Life, Pipe, lock};
use crate::session::{self, Accepting, Dialing, Owner};
use crate::sync::Handle;
use crate::transport::{self, ListenOptions, Listener, Stream};

impl<P: Pattern> Socket<P> {
    /// Accepts connections at `endpoint`, and returns it with the real port (`tcp://127.0.0.1:0`) or path (`ipc://*`).
    ///
    /// A socket may bind and connect any number of endpoints, in any mix.
    ///
    /// # Cancel safety
    /// Dropped before it completes, nothing is bound.
    ///
    /// # Errors
    /// [`BindError`] names the endpoint and the operating system's reason.
    #[doc(alias = "zmq_bind")]
    pub async fn bind(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<Endpoint, BindError> {
        let endpoint = parse(endpoint)?;
        endpoint.check_bind()?;
        let failed = |source: io::Error| {
            let error = Arc::new(io::Error::new(source.kind(), source.to_string()));
            self.core
                .report(Event::new(Some(&endpoint), EventKind::BindFailed(error)));
            BindError::Io {
                endpoint: endpoint.clone(),
                source,
            }
        };
        require_runtime().ok_or(BindError::NoRuntime)?;
        if matches!(endpoint.address(), Address::Inproc(_)) {
            let owner = self.core.owner().ok_or(BindError::Closed)?;
            if self.core.is_closed() {
                return Err(BindError::Closed);
            }
            session::bind_inproc(&owner, &endpoint).map_err(failed)?;
            let mut state = lock(&self.core.state);
            if self.core.is_closed() {
                // In the meantime, and so without this name.
                drop(state);
                session::unbind_inproc(&owner, &endpoint);
                return Err(BindError::Closed);
            }
            let accepting = Arc::new(Accepting::new(endpoint.clone()));
            state.accepting.push(accepting);
            return Ok(endpoint);
        }
        let options = &self.core.options;
        let listen = ListenOptions {
            tcp: options.tcp.clone(),
            ipv6: options.ipv6,
            backlog: options.backlog,
        };
        let listener = transport::listen(&endpoint, &listen)
            .await
            .map_err(failed)?;
        self.accept_on(listener)
    }

    /// Accepts connections from a listener that is bound already: a Tokio `TcpListener` or `UnixListener`, or a
    /// standard one by `Listener::try_from`.
    ///
    /// # Errors
    /// [`BindError::NoRuntime`] outside a Tokio runtime, [`BindError::Closed`] after `close`.
    pub fn bind_listener(&self, listener: impl Into<Listener>) -> Result<Endpoint, BindError> {
        let mut listener = listener.into();
        let set = listener.set_tcp_options(self.core.options.tcp.clone());
        match (set, listener.endpoint()) {
            (Err(source), Ok(endpoint)) => Err(BindError::Io { endpoint, source }),
            _ => self.accept_on(listener),
        }
    }

    fn accept_on(&self, listener: Listener) -> Result<Endpoint, BindError> {
        let endpoint = match listener.endpoint() {
            Ok(endpoint) => endpoint,
            Err(source) => return Err(BindError::Address(source)),
        };
        let owner = self.core.owner().ok_or(BindError::Closed)?;
        let accepting = Arc::new(Accepting::new(endpoint.clone()));
        {
            // Under the lock that `close` takes: no listener is started behind its back.
            let mut state = lock(&self.core.state);
            if self.core.is_closed() {
                return Err(BindError::Closed);
            }
            let task = session::accept(owner, accepting.clone(), listener);
            let span = info_span!("listener", %endpoint);
            self.core
                .tasks
                .spawn(span, task)
                .map_err(|_| BindError::NoRuntime)?;
            state.accepting.push(accepting);
        }
        Ok(endpoint)
    }

    /// Registers a peer to connect to, and returns at once. The connection is made in the background, and made again
    /// whenever it is lost; messages can be queued for it from now on (see [`Builder::immediate`](crate::Builder)).
    ///
    /// On DEALER, SUB, PUB and REQ a second `connect` to the same endpoint does nothing; other types connect twice.
    ///
    /// # Errors
    /// [`ConnectError`]; that nobody listens is none, and is told by the [`monitor`](Self::monitor).
    #[doc(alias = "zmq_connect")]
    pub fn connect(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<(), ConnectError> {
        let endpoint = parse(endpoint)?;
        self.core.dial(endpoint, None)
    }

    /// Takes a stream that was made elsewhere for a connection: a TLS session, a pipe to a child process, a
    /// `tokio::io::duplex`. Either side may be the one that accepted it. It is not made again when it is lost.
    ///
    /// # Errors
    /// [`ConnectError::NoRuntime`] outside a Tokio runtime, [`ConnectError::Closed`] after `close`.
    pub fn adopt(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
    ) -> Result<(), ConnectError> {
        let owner = self.core.owner().ok_or(ConnectError::Closed)?;
        let _state = lock(&self.core.state);
        if self.core.is_closed() {
            return Err(ConnectError::Closed);
        }
        let task = session::adopt(owner, Stream::adopted(stream));
        let span = info_span!("adopted connection");
        self.core
            .tasks
            .spawn(span, task)
            .map_err(|_| ConnectError::NoRuntime)
    }

    /// Stops accepting connections at `endpoint`, as `bind` returned it. Peers that are connected stay (A12).
    ///
    /// # Cancel safety
    /// Dropped before it completes, accepting stops all the same.
    ///
    /// # Errors
    /// [`DisconnectError::Unknown`] if this socket is not bound there.
    #[doc(alias = "zmq_unbind")]
    pub async fn unbind(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<(), DisconnectError> {
        let endpoint = parse(endpoint)?;
        let accepting = {
            let mut state = lock(&self.core.state);
            let at = state
                .accepting
                .iter()
                .position(|accepting| accepting.endpoint == endpoint);
            at.map(|at| state.accepting.swap_remove(at))
        };
        let accepting = accepting.ok_or(DisconnectError::Unknown(endpoint))?;
        self.core.stop_accepting(&accepting);
        accepting.finished.until(|finished| finished).await;
        Ok(())
    }

    /// Ends what `connect` began. What is queued for the peer is delivered within the linger time (A11).
    ///
    /// # Cancel safety
    /// Dropped before it completes, the connection lingers and ends all the same.
    ///
    /// # Errors
    /// [`DisconnectError::Unknown`] if this socket is not connected to `endpoint`;
    /// [`DisconnectError::Undelivered`] if messages were lost.
    #[doc(alias = "zmq_disconnect")]
    pub async fn disconnect(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
    ) -> Result<(), DisconnectError> {
        let endpoint = parse(endpoint)?;
        let dialing = {
            let mut state = lock(&self.core.state);
            let at = state
                .dialing
                .iter()
                .position(|dialing| dialing.endpoint == endpoint);
            // The pipe is read under the lock that changes it.
            at.map(|at| state.dialing.swap_remove(at)).map(|dialing| {
                let pipe = dialing.pipe();
                (dialing, pipe)
            })
        };
        let (dialing, pipe) = dialing.ok_or(DisconnectError::Unknown(endpoint))?;
        pipe.outbox.end(self.core.lingering());
        dialing.finished.until(|finished| finished).await;
        match pipe.outbox.left() {
            0 => Ok(()),
            messages => Err(Undelivered { messages, peers: 1 }.into()),
        }
    }

    /// Closes the socket: no more calls, then up to the linger time for what is queued, then an end to every
    /// connection and task of this socket.
    ///
    /// Messages that were received and not read are dropped. Dropping the socket does the same in the background, as
    /// long as the runtime runs; `close` waits for it.
    ///
    /// # Cancel safety
    /// Dropped before it completes, closing goes on in the background. A second call waits for the end, too.
    ///
    /// # Errors
    /// [`Undelivered`] says how many messages were lost; they were not handed to the operating system in time.
    #[doc(alias = "zmq_close")]
    #[doc(alias = "ZMQ_LINGER")]
    pub async fn close(&self) -> Result<(), Undelivered> {
        self.core.begin_close();
        self.core.tasks.finished().await;
        match lock(&self.core.state).undelivered {
            Undelivered { messages: 0, .. } => Ok(()),
            undelivered => Err(undelivered),
        }
    }
}

impl Socket<Router> {
    /// As [`connect`](Self::connect), and gives the peer an identity of our choice: messages can be sent to it from
    /// now on, whatever it announces and before it is there.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`ConnectError::IdentityTaken`].
    #[doc(alias = "ZMQ_CONNECT_ROUTING_ID")]
    pub fn connect_as(
        &self,
        endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
        identity: Identity,
    ) -> Result<(), ConnectError> {
        let endpoint = parse(endpoint)?;
        self.core.dial(endpoint, Some(identity))
    }
}

impl Core {
    fn dial(&self, endpoint: Endpoint, identity: Option<Identity>) -> Result<(), ConnectError> {
        endpoint.check_connect()?;
        require_runtime().ok_or(ConnectError::NoRuntime)?;
        let owner = self.owner().ok_or(ConnectError::Closed)?;
        let (dialing, pipe) = {
            let mut state = lock(&self.state);
            // What was given up may be tried again.
            state.dialing.retain(|dialing| !dialing.finished.now());
            if self.is_closed() {
                return Err(ConnectError::Closed);
            }
            if self.connects_once() && state.dialing.iter().any(|there| there.endpoint == endpoint)
            {
                return Ok(());
            }
            if self.row.single_peer && !state.pipes.is_empty() {
                return Err(ConnectError::HasPeer);
            }
            let pipe = self.connecting_pipe(&endpoint);
            if let Some(identity) = &identity {
                if !self.assign(&pipe, identity) {
                    return Err(ConnectError::IdentityTaken);
                }
                state.assigned.insert(pipe.id, identity.clone());
            }
            let dialing = Arc::new(Dialing::new(endpoint, identity, pipe.clone()));
            state.pipes.insert(pipe.id, pipe.clone());
            state.dialing.push(dialing.clone());
            (dialing, pipe)
        };
        self.attach(&pipe);
        let span = info_span!("connection", endpoint = %dialing.endpoint);
        let spawned = match dialing.endpoint.address() {
            Address::Inproc(_) => self
                .tasks
                .spawn(span, session::dial_inproc(owner, dialing.clone())),
            Address::Tcp(_) | Address::Ipc(_) => self
                .tasks
                .spawn(span, session::dial(owner, dialing.clone())),
        };
        spawned.map_err(|_| ConnectError::NoRuntime)
    }

    /// A13
    fn connects_once(&self) -> bool {
        use SocketType::{Dealer, Pub, Req, Sub};
        matches!(self.socket_type, Dealer | Sub | Pub | Req)
    }

    /// How a pipe ends in an orderly way.
    pub fn lingering(&self) -> Life {
        // A time that cannot be told is no limit.
        let linger = self.options.linger;
        Life::Draining(linger.and_then(|linger| Instant::now().checked_add(linger)))
    }

    fn stop_accepting(&self, accepting: &Arc<Accepting>) {
        accepting.stop.set(true);
        if let (Address::Inproc(_), Some(owner)) = (accepting.endpoint.address(), self.owner()) {
            session::unbind_inproc(&owner, &accepting.endpoint);
            accepting.finished.set(true);
        }
    }

    /// Closes the socket for calls and tells every task to end; each does within the linger time.
    pub fn begin_close(&self) {
        let (pipes, accepting) = {
            let mut state = lock(&self.state);
            if !self.set_closed() {
                return;
            }
            state.dialing.clear();
            let pipes: Vec<Arc<Pipe>> = state.pipes.values().cloned().collect();
            (pipes, std::mem::take(&mut state.accepting))
        };
        self.tasks.stop();
        for accepting in &accepting {
            self.stop_accepting(accepting);
        }
        let life = self.lingering();
        for pipe in &pipes {
            self.end_pipe(pipe, life);
        }
        let mut inbound = lock(&self.inbound);
        self.collect(&mut inbound);
        let unread = inbound.queue.clear();
        inbound.dropped.count(unread, |dropped| &mut dropped.unread);
        drop(inbound);
        self.pipes.readable.close();
        self.pipes.writable.close();
        // Those who wait for peers are told that none will come.
        self.connected.look_again();
        self.subscribers.look_again();
    }
}

fn require_runtime() -> Option<()> {
    Handle::try_current().ok().map(drop)
}

fn parse(
    endpoint: impl TryInto<Endpoint, Error: Into<ParseEndpointError>>,
) -> Result<Endpoint, ParseEndpointError> {
    endpoint.try_into().map_err(Into::into)
}
