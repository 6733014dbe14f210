//! Security mechanisms: what two peers say to each other between greeting and first message.
//!
//! A mechanism is one file that implements [`Mechanism`]. One that encrypts what follows the handshake has two more
//! places to stand, and no other: an [`Open`] where the codec takes frames in, and a [`Seal`] between the outbox, where
//! frames are self-delimiting, and the transport.

#[cfg(feature = "curve")]
mod curve;
mod null;
mod plain;

use std::fmt;
#[cfg(feature = "curve")]
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

#[cfg(feature = "curve")]
use self::curve::{CurveClient, CurveServer, Entropy};
use self::null::Null;
use self::plain::{PlainClient, PlainServer};
use crate::security::{Credentials, Password};
#[cfg(feature = "curve")]
use crate::security::{KeyPair, PublicKey};
use crate::zmtp::{FrameKind, HandshakeError, ProtocolError, put_error};

/// The part of one side in the handshake of one connection.
pub(crate) trait Mechanism: Send + Sync {
    /// The name in the greeting, at most 20 octets.
    fn name(&self) -> &'static str;

    /// Whether this side is the server, as the greeting has it.
    fn as_server(&self) -> bool;

    /// Appends the commands with which this side begins, once the greetings agree.
    fn start(&mut self, output: &mut BytesMut);

    /// Takes the body of the peer's next command and appends the commands that answer it.
    fn receive(
        &mut self,
        body: Bytes,
        now: Instant,
        output: &mut BytesMut,
    ) -> Result<Step, HandshakeError>;

    /// The peer is accepted, as far as the last step showed it: appends the commands that tell it so.
    fn accept(&mut self, output: &mut BytesMut);

    /// The peer is refused: tells it why, if this side may.
    fn refuse(&self, reason: &str, output: &mut BytesMut) {
        put_error(output, reason);
    }

    /// Whether the peer's next command takes long to answer: much longer than it takes the peer to say it.
    fn labours(&self) -> bool {
        false
    }

    /// When this side forgets what it needs to go on with the handshake, if that is before its end, and what that means.
    fn expires(&self) -> Option<(Instant, HandshakeError)> {
        None
    }

    /// What it most likely means that the peer closes the connection now.
    fn closed(&self) -> HandshakeError {
        HandshakeError::Closed
    }

    /// What encrypts the frames after the handshake; none if they travel as they are.
    fn traffic(&mut self) -> Option<Traffic> {
        None
    }
}

/// What has become of a handshake with one more command.
#[derive(Debug)]
pub(crate) enum Step {
    /// The peer's next command is awaited.
    Continue,
    /// The peer has shown who it is, and what it announces if that is known already. To be accepted or refused.
    Decide {
        credentials: Credentials,
        metadata: Option<Bytes>,
    },
    /// The peer has announced this, and nothing more is awaited. To be accepted or refused.
    Met(Bytes),
}

/// Both directions of an encrypted connection.
pub(crate) struct Traffic {
    pub(crate) seal: Box<dyn Seal>,
    pub(crate) open: Box<dyn Open>,
}

/// Encrypts frames on their way out.
pub(crate) trait Seal: Send {
    /// Appends a frame, encrypted and framed anew.
    fn seal(&mut self, kind: FrameKind, body: &[u8], out: &mut Vec<u8>);

    /// How many octets [`seal`](Self::seal) appends for a frame whose body has `len`.
    fn sealed_len(&self, len: usize) -> usize;
}

/// Decrypts frames on their way in.
pub(crate) trait Open: Send + fmt::Debug {
    /// Decrypts the body of a frame where it stands; the body of the frame within is its rest from the returned place
    /// on.
    fn open(&mut self, body: &mut [u8]) -> Result<(FrameKind, usize), ProtocolError>;

    /// How many octets the body of an encrypted frame has beyond that of the frame within.
    fn overhead(&self) -> usize;
}

/// Which mechanism, as which side, with which secrets.
#[derive(Clone)]
pub(crate) enum Role {
    Null,
    PlainClient {
        user: String,
        password: Password,
    },
    PlainServer,
    #[cfg(feature = "curve")]
    CurveClient {
        server: PublicKey,
        own: Arc<KeyPair>,
    },
    #[cfg(feature = "curve")]
    CurveServer {
        own: Arc<KeyPair>,
    },
}

impl Role {
    /// This side's part in a new handshake, in which it announces `metadata`.
    ///
    /// `asked` is who decides about peers that show nothing of themselves.
    pub(crate) fn begin(
        &self,
        metadata: Bytes,
        asked: Asked,
    ) -> Result<Box<dyn Mechanism>, HandshakeError> {
        Ok(match self {
            Self::Null => Box::new(Null::new(metadata, asked)),
            Self::PlainClient { user, password } => {
                Box::new(PlainClient::new(user, password, metadata))
            }
            Self::PlainServer => Box::new(PlainServer::new(metadata)),
            #[cfg(feature = "curve")]
            Self::CurveClient { server, own } => {
                let entropy = Entropy::draw()?;
                Box::new(CurveClient::new(*server, own.clone(), metadata, &entropy)?)
            }
            #[cfg(feature = "curve")]
            Self::CurveServer { own } => {
                Box::new(CurveServer::new(own.clone(), metadata, Entropy::draw()?))
            }
        })
    }
}

/// Shows no secret.
impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "NULL",
            Self::PlainClient { .. } => "PLAIN client",
            Self::PlainServer => "PLAIN server",
            #[cfg(feature = "curve")]
            Self::CurveClient { .. } => "CURVE client",
            #[cfg(feature = "curve")]
            Self::CurveServer { .. } => "CURVE server",
        })
    }
}

/// Whether an authenticator is asked about peers under NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// There is none.
    Never,
    /// When the peer's READY is there; ours has left by then.
    AfterReady,
    /// Before our READY leaves, so that nothing is sent to a peer that is refused. For one side of a connection only,
    /// or both would wait.
    BeforeReady,
}

#[cfg(test)]
mod tests;
