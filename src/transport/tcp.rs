//! The tcp transport: names and addresses, connecting and listening.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::time::{Instant, timeout};

use super::{ConnectOptions, ListenOptions, Stream, invalid_input};
use crate::endpoint::{Host, TcpAddress};

pub use options::{Keepalive, TcpOptions};

mod options;
#[cfg(test)]
mod tests;

/// Tries every address of the host in turn, each with its share of the time that is left.
pub(super) async fn connect(address: &TcpAddress, options: &ConnectOptions) -> io::Result<Stream> {
    let start = Instant::now();
    let resolved = resolve(&address.host, address.port, false);
    let mut targets = within(options.timeout, resolved).await?;
    if let Some(source) = address.source {
        targets.retain(|target| target.is_ipv6() == source.is_ipv6());
    }
    let mut failure = invalid_input("the host has no address of the family of the source");
    for (index, target) in targets.iter().enumerate() {
        // Not all of it: behind an address that never answers there may be one that does.
        let share = options.timeout.map(|timeout| {
            let left = timeout.saturating_sub(start.elapsed());
            left / u32::try_from(targets.len() - index).unwrap_or(u32::MAX)
        });
        match within(share, connect_to(*target, address.source, &options.tcp)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Listens at the first address of the host that can be bound.
pub(super) async fn listen(
    address: &TcpAddress,
    options: &ListenOptions,
) -> io::Result<TcpListener> {
    let mut failure = invalid_input("the host has no address");
    for local in resolve(&address.host, address.port, options.ipv6).await? {
        match listen_at(local, options) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Applies what can still be applied to a listener that somebody else bound.
pub(super) fn configure(listener: &TcpListener, options: &TcpOptions) -> io::Result<()> {
    let settings = SockRef::from(listener);
    options.prepare(&settings)?;
    options.tune(&settings, listener.local_addr()?.ip())
}

/// Accepts one connection, ready for use.
pub(super) async fn accept(listener: &TcpListener, options: &TcpOptions) -> io::Result<Stream> {
    let (stream, peer) = listener.accept().await?;
    // The listener accepted the same options: only a connection that is gone already refuses them now.
    options
        .tune(&SockRef::from(&stream), peer.ip())
        .map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error))?;
    Ok(Stream::tcp(stream, peer))
}

async fn within<T>(
    limit: Option<Duration>,
    attempt: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match limit {
        Some(limit) => timeout(limit, attempt).await?,
        None => attempt.await,
    }
}

async fn resolve(host: &Host, port: u16, ipv6: bool) -> io::Result<Vec<SocketAddr>> {
    let ip = match host {
        Host::Any if ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        Host::Any => Ipv4Addr::UNSPECIFIED.into(),
        Host::Ip(ip) => *ip,
        Host::Name(name) => return Ok(lookup_host((name.as_ref(), port)).await?.collect()),
    };
    Ok(vec![SocketAddr::new(ip, port)])
}

async fn connect_to(
    target: SocketAddr,
    source: Option<SocketAddr>,
    options: &TcpOptions,
) -> io::Result<Stream> {
    let socket = new_socket(target)?;
    options.prepare(&SockRef::from(&socket))?;
    options.tune(&SockRef::from(&socket), target.ip())?;
    if let Some(source) = source {
        // A reconnection from the same port must not wait for the old connection to fade.
        socket.set_reuseaddr(true)?;
        socket.bind(source)?;
    }
    let stream = socket.connect(target).await?;
    let peer = stream.peer_addr()?;
    if stream.local_addr()? == peer {
        // Where nobody listens at an ephemeral port, the kernel may choose that very port for this end and connect it to
        // itself. That is nobody's answer, and it would keep the port from its listener.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(Stream::tcp(stream, peer))
}

fn listen_at(local: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = new_socket(local)?;
    let settings = SockRef::from(&socket);
    if local.ip() == Ipv6Addr::UNSPECIFIED {
        // Systems differ in their default.
        settings.set_only_v6(false)?;
    }
    socket.set_reuseaddr(options.tcp.reuse_address)?;
    options.tcp.prepare(&settings)?;
    // Again for every connection; here for the user to hear of what is refused.
    options.tcp.tune(&settings, local.ip())?;
    socket.bind(local)?;
    socket.listen(options.backlog)
}

fn new_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}
