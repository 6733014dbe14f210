//! Octets to and from a peer: one file for each transport, all of them behind [`Stream`] and [`Listener`].
//!
//! The only place that knows which scheme is which transport is the `match` in [`connect`] and in [`listen`].
//! `inproc` moves messages, not octets, and does not pass through here.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::endpoint::{Address, Endpoint};

mod files;
#[cfg(unix)]
mod ipc;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;

pub(crate) use files::beyond_share;
pub use stream::PeerAddress;
pub(crate) use stream::Stream;
pub use tcp::{Keepalive, TcpOptions};

/// How to reach a peer.
#[derive(Clone, Debug)]
pub(crate) struct ConnectOptions {
    pub(crate) tcp: TcpOptions,
    /// For one attempt as a whole, with the resolution of the name; `None` leaves it to the system.
    pub(crate) timeout: Option<Duration>,
}

/// How to listen for peers.
#[derive(Clone, Debug)]
pub(crate) struct ListenOptions {
    pub(crate) tcp: TcpOptions,
    /// Whether `*` means all interfaces of both families, and not those of IPv4 alone.
    pub(crate) ipv6: bool,
    /// How many connections the kernel holds ready for `accept`; it may lower the number.
    pub(crate) backlog: u32,
}

/// Connects once.
///
/// # Cancel safety
/// Dropped before it completes, the attempt ends and nothing stays open.
///
/// # Errors
/// Those of the system, of the resolver, `TimedOut`, and `InvalidInput` for an endpoint that can only be bound.
pub(crate) async fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> io::Result<Stream> {
    endpoint.check_connect().map_err(invalid_input)?;
    match endpoint.address() {
        Address::Tcp(address) => tcp::connect(address, options).await,
        Address::Ipc(address) => ipc::connect(address).await,
        Address::Inproc(_) => Err(unsupported("inproc connects sockets, not streams")),
    }
}

/// Starts to listen.
///
/// # Cancel safety
/// Dropped before it completes, nobody listens and no file stays.
///
/// # Errors
/// Those of the system and of the resolver, and `InvalidInput` for an endpoint that can only be connected.
pub(crate) async fn listen(endpoint: &Endpoint, options: &ListenOptions) -> io::Result<Listener> {
    endpoint.check_bind().map_err(invalid_input)?;
    let kind = match endpoint.address() {
        Address::Tcp(address) => Kind::Tcp(tcp::listen(address, options).await?),
        Address::Ipc(address) => Kind::Ipc(ipc::listen(address, options.backlog).await?),
        Address::Inproc(_) => return Err(unsupported("inproc listens for sockets, not streams")),
    };
    Ok(Listener {
        kind,
        tcp: options.tcp.clone(),
    })
}

/// A listener at which peers arrive: made by binding an endpoint, or adopted from one that is already bound.
///
/// Converts from tokio's `TcpListener` and `UnixListener`, and from those of the standard library by `TryFrom`,
/// which needs a tokio runtime and switches them to non-blocking mode.
///
/// Dropping it ends it. One made by binding `ipc://` then removes its file, if that is still its own;
/// the file of an adopted listener is left alone.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// Applied to every accepted connection.
    tcp: TcpOptions,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Ipc(ipc::Listener),
}

impl Listener {
    /// Waits for the next peer.
    ///
    /// # Cancel safety
    /// Dropped before it completes, no peer was taken.
    ///
    /// # Errors
    /// Those of the system; [`accept_error_is_temporary`] tells which ones pass.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match &self.kind {
            Kind::Tcp(listener) => tcp::accept(listener, &self.tcp).await,
            Kind::Ipc(listener) => listener.accept().await,
        }
    }

    /// Where it listens, with the real port or path.
    ///
    /// # Errors
    /// Those of the system, when it no longer knows.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(Endpoint::from),
            Kind::Ipc(listener) => listener.endpoint(),
        }
    }

    /// Sets the options for the connections that it accepts; an adopted listener has its owner's and the defaults until then.
    ///
    /// # Errors
    /// Those of the system, which may refuse an option.
    pub(crate) fn set_tcp_options(&mut self, options: TcpOptions) -> io::Result<()> {
        if let Kind::Tcp(listener) = &self.kind {
            tcp::configure(listener, &options)?;
        }
        self.tcp = options;
        Ok(())
    }

    fn adopt(kind: Kind) -> Self {
        Self {
            kind,
            tcp: TcpOptions::default(),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::adopt(Kind::Tcp(listener))
    }
}

impl TryFrom<std::net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        require_runtime()?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::from)
    }
}

#[cfg(unix)]
impl From<tokio::net::UnixListener> for Listener {
    fn from(listener: tokio::net::UnixListener) -> Self {
        Self::adopt(Kind::Ipc(listener.into()))
    }
}

#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        require_runtime()?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener).map(Self::from)
    }
}

/// Whether a listener goes on after this error of [`Listener::accept`], once it has waited a little.
///
/// The others say that the listener itself is no good any more.
pub(crate) fn accept_error_is_temporary(error: &io::Error) -> bool {
    let passing = matches!(
        error.kind(),
        // The peer went before it was accepted, or its network did: Linux reports that here.
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            // A firewall's rule.
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    );
    passing
        || error
            .raw_os_error()
            .is_some_and(|code| PASSING_CODES.contains(&code))
}

/// The standard library has no kinds for these: ENFILE, EMFILE and ENOBUFS; EPROTO where Linux has it.
const PASSING_CODES: &[i32] = if cfg!(windows) {
    &[10024, 10055]
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    &[23, 24, 105, 71]
} else {
    &[23, 24, 55]
};

fn invalid_input(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn unsupported(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// Tokio panics where there is none.
fn require_runtime() -> io::Result<()> {
    tokio::runtime::Handle::try_current()
        .map(drop)
        .map_err(io::Error::other)
}

/// Stands in for `ipc.rs` where there are no Unix domain sockets: nothing can be made, so nothing can be used.
#[cfg(not(unix))]
mod ipc {
    use super::{Endpoint, Stream, io, unsupported};
    use crate::endpoint::IpcAddress;

    const REASON: &str = "ipc needs Unix domain sockets, which this system does not have: use tcp";

    #[derive(Debug)]
    pub(super) enum Listener {}

    impl Listener {
        pub(super) async fn accept(&self) -> io::Result<Stream> {
            match *self {}
        }

        pub(super) fn endpoint(&self) -> io::Result<Endpoint> {
            match *self {}
        }
    }

    pub(super) async fn connect(_: &IpcAddress) -> io::Result<Stream> {
        Err(unsupported(REASON))
    }

    pub(super) async fn listen(_: &IpcAddress, _: u32) -> io::Result<Listener> {
        Err(unsupported(REASON))
    }
}
