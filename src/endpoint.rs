//! [`Endpoint`]: where a socket binds or connects, parsed from and printed as a URL.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use parse::{MAX_NAME, MAX_PATH};

mod parse;
#[cfg(test)]
mod tests;

/// Where a socket binds, or what it connects to.
///
/// | written | is |
/// | --- | --- |
/// | `tcp://host:5555` | a name or an IPv4 address; names are resolved anew at every attempt to connect |
/// | `tcp://[::1]:5555` | an IPv6 address; a zone may follow it: `tcp://[fe80::1%eth0]:5555` |
/// | `tcp://*:5555` | all interfaces (bind only) |
/// | `tcp://host:0`, `tcp://host:*` | any free port (bind only); the port chosen comes back from `bind` |
/// | `tcp://192.0.2.7:0;host:5555` | connects from the local address before the `;`, port 0 for any (connect only) |
/// | `ipc:///run/app.sock`, `ipc://app.sock` | a Unix domain socket at an absolute or relative path |
/// | `ipc://@name` | a name in Linux's abstract namespace: no file, gone with its listener |
/// | `ipc://*` | a new path in the directory for temporary files (bind only) |
/// | `inproc://name` | a name within this process, of 1 to 255 octets |
///
/// The name of a network interface (`tcp://eth0:5555`) is not looked up as one: it is taken for a host name.
///
/// ```
/// use jackstay::Endpoint;
///
/// let endpoint: Endpoint = "tcp://localhost:5555".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://localhost:5555");
/// assert_eq!(endpoint.port(), Some(5555));
/// # Ok::<(), jackstay::ParseEndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(
    /// Each connection names its endpoint, which may have thousands.
    Arc<Address>,
);

/// Why a text is not an [`Endpoint`], or not one for this use.
///
/// Each carries the text as given; the message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseEndpointError {
    /// There is no `://`.
    #[error("{0:?} has no scheme: write tcp://host:port, ipc://path or inproc://name")]
    MissingScheme(String),
    /// The scheme is none that this library speaks.
    #[error(
        "{0:?} has an unknown scheme: the known ones are tcp, ipc and inproc, in small letters"
    )]
    UnknownScheme(String),
    /// A tcp endpoint ends with its host.
    #[error("{0:?} has no port: write tcp://host:port")]
    MissingPort(String),
    /// The port is not a number, or is too large.
    #[error("{0:?} has no valid port: write 1 to 65535, or 0 or * to bind any free one")]
    InvalidPort(String),
    /// A tcp endpoint begins with its port.
    #[error("{0:?} has no host: write a name or an address, or * to bind all interfaces")]
    EmptyHost(String),
    /// The host is neither a name nor an address.
    #[error(
        "{0:?} has an invalid host: write a name of ASCII letters, digits, '-', '_' and '.', or an address"
    )]
    InvalidHost(String),
    /// An IPv6 address runs into the port.
    #[error(
        "{0:?} has more than one colon: write an IPv6 address in brackets, like tcp://[::1]:5555"
    )]
    UnbracketedIpv6(String),
    /// What is in brackets is not an IPv6 address, or what follows it is not a port.
    #[error("{0:?} has an invalid IPv6 address: write it like tcp://[::1]:5555")]
    InvalidIpv6(String),
    /// What is before the `;` is not an address with a port.
    #[error(
        "{0:?} has an invalid source: write an address and a port before the ';', like tcp://192.0.2.7:0;host:5555"
    )]
    InvalidSource(String),
    /// An ipc endpoint without a path, or an abstract one without a name.
    #[error("{0:?} has no path: write ipc:///absolute/path, ipc://relative/path or ipc://@name")]
    EmptyPath(String),
    /// The path of an ipc endpoint contains the octet 0, which would end it.
    #[error("{0:?} has a NUL in its path: write it without")]
    NulInPath(String),
    /// The operating system has no room for so long a path.
    #[error(
        "{0:?} has a path too long for the system: write one of at most {MAX_PATH} octets, for instance a relative one"
    )]
    PathTooLong(String),
    /// The name of an inproc endpoint is empty or too long.
    #[error("{0:?} has no valid name: write one of 1 to {MAX_NAME} octets")]
    InvalidName(String),
    /// A wildcard says where to listen, not whom to reach.
    #[error("{0:?} can only be bound: write the host and the port to connect to, or the path")]
    BindOnly(String),
    /// A source address says where to connect from.
    #[error("{0:?} can only be connected: write the address to listen at without a source")]
    ConnectOnly(String),
}

/// What an endpoint is inside: one variant for each transport.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp(TcpAddress),
    Ipc(IpcAddress),
    /// A name of 1 to 255 octets.
    Inproc(Box<str>),
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TcpAddress {
    /// The local address to connect from.
    pub(crate) source: Option<SocketAddr>,
    pub(crate) host: Host,
    /// 0 is any free port.
    pub(crate) port: u16,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// All interfaces.
    Any,
    Ip(IpAddr),
    /// A name for the resolver; with a colon in it, an IPv6 address with its zone, which the resolver understands too.
    Name(Box<str>),
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum IpcAddress {
    /// A new path, chosen when binding.
    Any,
    Path(PathBuf),
    /// A name in the abstract namespace, without the leading NUL.
    Abstract(Box<[u8]>),
}

impl Endpoint {
    /// The port of a tcp endpoint, 0 for a wildcard; `None` for other transports.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.address() {
            Address::Tcp(address) => Some(address.port),
            Address::Ipc(_) | Address::Inproc(_) => None,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0
    }

    /// Refuses what cannot be listened at.
    pub(crate) fn check_bind(&self) -> Result<(), ParseEndpointError> {
        match self.address() {
            Address::Tcp(TcpAddress {
                source: Some(_), ..
            }) => Err(ParseEndpointError::ConnectOnly(self.to_string())),
            Address::Tcp(_) | Address::Ipc(_) | Address::Inproc(_) => Ok(()),
        }
    }

    /// Refuses what cannot be connected to.
    pub(crate) fn check_connect(&self) -> Result<(), ParseEndpointError> {
        match self.address() {
            Address::Tcp(
                TcpAddress {
                    host: Host::Any, ..
                }
                | TcpAddress { port: 0, .. },
            )
            | Address::Ipc(IpcAddress::Any) => Err(ParseEndpointError::BindOnly(self.to_string())),
            Address::Tcp(_) | Address::Ipc(_) | Address::Inproc(_) => Ok(()),
        }
    }
}

impl IpcAddress {
    /// The address of a listener found at `path`.
    pub(crate) fn from_path(path: &Path) -> Self {
        let special =
            path.as_os_str() == "*" || path.as_os_str().as_encoded_bytes().starts_with(b"@");
        // Printed bare, such a file name would read as a wildcard or an abstract name.
        Self::Path(if special {
            Path::new(".").join(path)
        } else {
            path.into()
        })
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self(Arc::new(address))
    }
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Address::parse(text)
            .map(Self::from)
            .map_err(|fault| fault(text.to_owned()))
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = ParseEndpointError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = ParseEndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = ParseEndpointError;

    fn try_from(text: &String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<&Endpoint> for Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        endpoint.clone()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                Host::Name(format!("{}%{}", v6.ip(), v6.scope_id()).into())
            }
            _ => Host::Ip(address.ip()),
        };
        Self::from(Address::Tcp(TcpAddress {
            source: None,
            host,
            port: address.port(),
        }))
    }
}

impl From<IpcAddress> for Endpoint {
    fn from(address: IpcAddress) -> Self {
        Self::from(Address::Ipc(address))
    }
}

/// Lets methods take both texts and endpoints: an endpoint needs no parsing.
impl From<Infallible> for ParseEndpointError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Prints what parses to the same endpoint.
///
/// The exception is a path that is not UTF-8, which only an adopted listener can have: its odd octets print as `\u{FFFD}`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Address::Tcp(TcpAddress { source, host, port }) => {
                f.write_str("tcp://")?;
                if let Some(source) = source {
                    write!(f, "{source};")?;
                }
                match host {
                    Host::Any => write!(f, "*:{port}"),
                    Host::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, *port)),
                    Host::Name(name) if name.contains(':') => write!(f, "[{name}]:{port}"),
                    Host::Name(name) => write!(f, "{name}:{port}"),
                }
            }
            Address::Ipc(IpcAddress::Any) => f.write_str("ipc://*"),
            Address::Ipc(IpcAddress::Path(path)) => write!(f, "ipc://{}", path.display()),
            Address::Ipc(IpcAddress::Abstract(name)) => {
                write!(f, "ipc://@{}", String::from_utf8_lossy(name))
            }
            Address::Inproc(name) => write!(f, "inproc://{name}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({:?})", self.to_string())
    }
}
