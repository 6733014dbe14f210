//! Where sockets meet: a transport and a mechanism.

use jackstay::pattern::Pattern;
use jackstay::security::{Password, Security, UserList};
use jackstay::{Builder, Endpoint, Reconnect, Socket};
use std::time::Duration;

use crate::soak::Outcome;
use crate::support::Transport;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Tcp,
    TcpPlain,
    #[cfg(feature = "curve")]
    TcpCurve,
    Ipc,
    #[cfg(feature = "curve")]
    IpcCurve,
    Inproc,
}

const USER: &str = "joe";
const PASSWORD: &str = "secret";

impl Place {
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::Tcp,
            Self::TcpPlain,
            #[cfg(feature = "curve")]
            Self::TcpCurve,
            Self::Ipc,
            #[cfg(feature = "curve")]
            Self::IpcCurve,
            Self::Inproc,
        ]
        .into_iter()
    }

    pub fn is_tcp(self) -> bool {
        self.transport() == Transport::Tcp
    }

    pub fn has_wire(self) -> bool {
        self.transport() != Transport::Inproc
    }

    fn transport(self) -> Transport {
        match self {
            Self::Tcp | Self::TcpPlain => Transport::Tcp,
            Self::Ipc => Transport::Ipc,
            #[cfg(feature = "curve")]
            Self::TcpCurve => Transport::Tcp,
            #[cfg(feature = "curve")]
            Self::IpcCurve => Transport::Ipc,
            Self::Inproc => Transport::Inproc,
        }
    }

    /// Binds `socket` where nobody is.
    pub async fn bind<P: Pattern>(self, socket: &Socket<P>) -> Outcome<Endpoint> {
        Ok(socket.bind(self.transport().any()).await?)
    }

    /// An endpoint that can be bound again and again.
    pub fn fixed(self) -> Endpoint {
        self.transport().fixed()
    }

    /// A socket to be bound here.
    pub fn server<P: Pattern>(self) -> Outcome<Builder<P>> {
        let builder = Socket::builder();
        Ok(match self {
            Self::Tcp | Self::Ipc | Self::Inproc => builder,
            Self::TcpPlain => {
                let users = UserList::new();
                users.insert(USER, Password::new(PASSWORD)?);
                builder.security(Security::plain_server(users))
            }
            #[cfg(feature = "curve")]
            Self::TcpCurve | Self::IpcCurve => builder.security(curve::server()),
        })
    }

    /// A socket that connects to one here.
    pub fn client<P: Pattern>(self) -> Outcome<Builder<P>> {
        let reconnect = Reconnect::default()
            .first(Duration::from_millis(10))
            .max(Duration::from_millis(200));
        let builder = Socket::builder().reconnect(reconnect);
        Ok(match self {
            Self::Tcp | Self::Ipc | Self::Inproc => builder,
            Self::TcpPlain => builder.security(Security::plain_client(USER, PASSWORD)?),
            #[cfg(feature = "curve")]
            Self::TcpCurve | Self::IpcCurve => builder.security(curve::client()?),
        })
    }
}

#[cfg(feature = "curve")]
mod curve {
    use jackstay::security::{AnyClient, KeyError, KeyPair, SecretKey, Security};

    fn key() -> KeyPair {
        SecretKey::from_bytes(&[7; 32]).into()
    }

    pub fn server() -> Security {
        Security::curve_server(key(), AnyClient)
    }

    pub fn client() -> Result<Security, KeyError> {
        let own = KeyPair::generate()?;
        Ok(Security::curve_client(*key().public_key(), own))
    }
}
