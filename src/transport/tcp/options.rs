//! [`TcpOptions`]: what the kernel is told about a connection.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How tcp connections are set up.
///
/// What the system refuses is an error of `bind`, or of the attempt to connect: no option is silently left out.
///
/// ```
/// use std::time::Duration;
/// use jackstay::{Keepalive, TcpOptions};
///
/// let options = TcpOptions::new()
///     .send_buffer(1 << 20)
///     .keepalive(Keepalive::new().idle(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    nodelay: bool,
    keepalive: Option<Keepalive>,
    send_buffer: Option<usize>,
    recv_buffer: Option<usize>,
    pub(super) reuse_address: bool,
    type_of_service: Option<u8>,
    device: Option<Box<str>>,
}

/// When and how often the system asks a silent peer for a sign of life; what is not set is up to the system.
///
/// Heartbeats, which also notice a program that hangs, are the better way where the peer speaks ZMTP 3.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    idle: Option<Duration>,
    interval: Option<Duration>,
    count: Option<u32>,
}

impl TcpOptions {
    /// The defaults: no delay, the system's buffer sizes, no keep-alive.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            send_buffer: None,
            recv_buffer: None,
            // On Windows it would let another program take the port over.
            reuse_address: cfg!(unix),
            type_of_service: None,
            device: None,
        }
    }

    /// Whether small packets leave at once, without waiting for an acknowledgement of the last one (`TCP_NODELAY`).
    /// On by default: messages are already gathered into large writes.
    #[must_use]
    pub const fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// Turns the system's keep-alive on (`SO_KEEPALIVE`).
    #[doc(alias = "ZMQ_TCP_KEEPALIVE")]
    #[must_use]
    pub const fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    /// The size of the kernel's send buffer in octets (`SO_SNDBUF`); the kernel rounds it, and caps it.
    #[doc(alias = "ZMQ_SNDBUF")]
    #[must_use]
    pub const fn send_buffer(mut self, octets: usize) -> Self {
        self.send_buffer = Some(octets);
        self
    }

    /// The size of the kernel's receive buffer in octets (`SO_RCVBUF`); the kernel rounds it, and caps it.
    #[doc(alias = "ZMQ_RCVBUF")]
    #[must_use]
    pub const fn recv_buffer(mut self, octets: usize) -> Self {
        self.recv_buffer = Some(octets);
        self
    }

    /// Whether a port can be bound while old connections of it linger (`SO_REUSEADDR`). On by default, except on Windows.
    #[must_use]
    pub const fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// The type of service, or traffic class, written into each packet: the six bits of the DSCP and two of the ECN.
    #[doc(alias = "ZMQ_TOS")]
    #[must_use]
    pub const fn type_of_service(mut self, octet: u8) -> Self {
        self.type_of_service = Some(octet);
        self
    }

    /// The network interface to which all traffic is bound (`SO_BINDTODEVICE`; Linux only).
    #[doc(alias = "ZMQ_BINDTODEVICE")]
    #[must_use]
    pub fn device(mut self, name: impl Into<Box<str>>) -> Self {
        self.device = Some(name.into());
        self
    }

    /// Applies what has to be there before the socket is bound, or connected; a listener hands it down.
    pub(super) fn prepare(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if let Some(octets) = self.send_buffer {
            set("send_buffer", socket.set_send_buffer_size(octets))?;
        }
        if let Some(octets) = self.recv_buffer {
            set("recv_buffer", socket.set_recv_buffer_size(octets))?;
        }
        if let Some(name) = &self.device {
            set("device", bind_device(socket, name))?;
        }
        Ok(())
    }

    /// Applies what belongs to each connection.
    pub(super) fn tune(&self, socket: &SockRef<'_>, ip: IpAddr) -> io::Result<()> {
        set("nodelay", socket.set_tcp_nodelay(self.nodelay))?;
        if let Some(keepalive) = &self.keepalive {
            set(
                "keepalive",
                socket.set_tcp_keepalive(&keepalive.parameters()),
            )?;
        }
        if let Some(octet) = self.type_of_service {
            set("type_of_service", set_type_of_service(socket, octet, ip))?;
        }
        Ok(())
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Keepalive {
    /// On, with the system's times.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            idle: None,
            interval: None,
            count: None,
        }
    }

    /// The silence after which the first probe is sent, in whole seconds.
    #[doc(alias = "ZMQ_TCP_KEEPALIVE_IDLE")]
    #[must_use]
    pub const fn idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    /// The time between two probes, in whole seconds.
    #[doc(alias = "ZMQ_TCP_KEEPALIVE_INTVL")]
    #[must_use]
    pub const fn interval(mut self, time: Duration) -> Self {
        self.interval = Some(time);
        self
    }

    /// The number of probes without an answer after which the connection is given up.
    #[doc(alias = "ZMQ_TCP_KEEPALIVE_CNT")]
    #[must_use]
    pub const fn count(mut self, probes: u32) -> Self {
        self.count = Some(probes);
        self
    }

    fn parameters(&self) -> TcpKeepalive {
        let mut parameters = TcpKeepalive::new();
        if let Some(time) = self.idle {
            parameters = parameters.with_time(time);
        }
        if let Some(time) = self.interval {
            parameters = parameters.with_interval(time);
        }
        if let Some(probes) = self.count {
            parameters = parameters.with_retries(probes);
        }
        parameters
    }
}

/// Names the option in the error.
fn set(option: &str, outcome: io::Result<()>) -> io::Result<()> {
    outcome.map_err(|error| io::Error::new(error.kind(), format!("tcp option {option}: {error}")))
}

#[cfg(target_os = "linux")]
fn bind_device(socket: &SockRef<'_>, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_device(_: &SockRef<'_>, _: &str) -> io::Result<()> {
    Err(super::super::unsupported(
        "this system cannot bind a connection to an interface",
    ))
}

#[cfg(unix)]
fn set_type_of_service(socket: &SockRef<'_>, octet: u8, ip: IpAddr) -> io::Result<()> {
    if ip.is_ipv6() {
        socket.set_tclass_v6(octet.into())?;
    }
    // Also for an IPv4 peer at a socket of both families.
    if ip.to_canonical().is_ipv4() {
        socket.set_tos_v4(octet.into())?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn set_type_of_service(_: &SockRef<'_>, _: u8, _: IpAddr) -> io::Result<()> {
    Err(super::super::unsupported(
        "this system cannot set the type of service",
    ))
}
