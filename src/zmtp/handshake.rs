//! [`Handshake`]: from the first octet of a connection to two peers that know each other.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use super::command::put_error;
use super::engine::Engine;
use super::error::{HandshakeError, shown};
use super::frame::{FrameHeader, FrameKind};
use super::greeting::{GREETING_LEN, Greeting, Version, mechanism_name};
use super::heartbeat::HeartbeatConfig;
use super::metadata::{IDENTITY, Metadata, SOCKET_TYPE, put_property};
use super::{Limits, after};
use crate::identity::Identity;
use crate::mechanism::{Mechanism, Null};
use crate::pattern::SocketType;

/// What a socket says of itself, and what it bears.
#[derive(Debug, Clone)]
pub(crate) struct HandshakeConfig {
    pub(crate) socket_type: SocketType,
    /// Announced by REQ, DEALER and ROUTER only; not an automatic one.
    pub(crate) identity: Identity,
    /// Further properties to announce, of the application.
    pub(crate) properties: Metadata,
    pub(crate) limits: Limits,
    pub(crate) heartbeat: Option<HeartbeatConfig>,
    /// For the handshake as a whole.
    pub(crate) timeout: Duration,
}

/// What a peer said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerMetadata {
    pub(crate) socket_type: SocketType,
    /// Empty if the peer announced none.
    pub(crate) identity: Identity,
    /// All that it announced.
    pub(crate) properties: Metadata,
    /// The version that the connection speaks.
    pub(crate) version: Version,
}

/// A finished handshake.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) peer: PeerMetadata,
    pub(crate) engine: Engine,
}

/// The handshake of one connection, the same on both sides of it.
///
/// The owner writes what [`output`](Self::output) holds, at the start and after every [`input`](Self::input), also
/// after one that failed or finished; it calls `input` after every read and when [`deadline`](Self::deadline) has come,
/// until that fails or returns the [`Established`] connection. A message may only be sent behind the whole output.
pub(crate) struct Handshake {
    config: HandshakeConfig,
    mechanism: Box<dyn Mechanism>,
    deadline: Instant,
    /// Known from the peer's greeting on.
    version: Option<Version>,
    output: BytesMut,
}

impl Handshake {
    pub(crate) fn new(config: HandshakeConfig, now: Instant) -> Self {
        let mechanism = Box::new(Null::new(announcement(&config)));
        let greeting = Greeting::encode(&mechanism_name(mechanism.name()), mechanism.as_server());
        Self {
            // G10: set once.
            deadline: after(now, config.timeout),
            config,
            mechanism,
            version: None,
            output: BytesMut::from(&greeting[..]),
        }
    }

    /// Takes what belongs to the handshake off the head of `buf`, and leaves what follows.
    pub(crate) fn input(
        &mut self,
        buf: &mut BytesMut,
        now: Instant,
    ) -> Result<Option<Established>, HandshakeError> {
        if now >= self.deadline {
            return Err(HandshakeError::TimedOut);
        }
        let version = match self.version {
            Some(version) => version,
            None => match self.greet(buf)? {
                Some(version) => version,
                None => return Ok(None),
            },
        };
        while let Some(body) = self.next_command(buf)? {
            let Some(metadata) = self.mechanism.receive(body, &mut self.output)? else {
                continue;
            };
            let peer = PeerMetadata::new(metadata, version, &self.config).inspect_err(|error| {
                // N5: the peer is told.
                put_error(&mut self.output, &error.to_string());
            })?;
            let HandshakeConfig {
                socket_type,
                limits,
                heartbeat,
                ..
            } = self.config;
            let engine = Engine::new(socket_type, &peer, limits, heartbeat, now);
            return Ok(Some(Established { peer, engine }));
        }
        Ok(None)
    }

    /// The octets to send. The owner takes off what it has written.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// When the handshake has to be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    fn greet(&mut self, buf: &mut BytesMut) -> Result<Option<Version>, HandshakeError> {
        let Some(Greeting { version, mechanism }) = Greeting::decode(buf)? else {
            return Ok(None);
        };
        buf.advance(GREETING_LEN);
        // G8: all octets count, also those behind the first zero.
        let ours = self.mechanism.name();
        if mechanism != mechanism_name(ours) {
            let len = mechanism
                .iter()
                .rposition(|&octet| octet != 0)
                .map_or(0, |last| last + 1);
            let theirs = shown(&mechanism[..len]);
            return Err(HandshakeError::MechanismMismatch { ours, theirs });
        }
        self.version = Some(version);
        // N3: without waiting for the peer's.
        self.mechanism.start(&mut self.output);
        Ok(Some(version))
    }

    /// The body of the next command, once it is complete.
    fn next_command(&self, buf: &mut BytesMut) -> Result<Option<Bytes>, HandshakeError> {
        let Some(header) = FrameHeader::parse(buf)? else {
            return Ok(None);
        };
        // N4, N11
        if header.kind != FrameKind::Command {
            return Err(HandshakeError::PrematureMessage);
        }
        // F11
        let limit = self.config.limits.max_handshake_command;
        if header.body_len > limit {
            let size = header.body_len;
            return Err(HandshakeError::CommandTooLarge { size, limit });
        }
        let end = header.header_len + header.body_len;
        let Some(body) = buf.get(header.header_len..end).map(Bytes::copy_from_slice) else {
            return Ok(None);
        };
        buf.advance(end);
        Ok(Some(body))
    }
}

impl PeerMetadata {
    /// Reads what a peer announced to a socket of `config`, and refuses what cannot be.
    fn new(
        metadata: Bytes,
        version: Version,
        config: &HandshakeConfig,
    ) -> Result<Self, HandshakeError> {
        let properties = Metadata::decode(metadata, config.limits.max_properties)?;
        let name = properties
            .get(SOCKET_TYPE)
            .ok_or(HandshakeError::MissingSocketType)?;
        let theirs = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or_else(|| HandshakeError::UnknownSocketType {
                theirs: shown(name),
            })?;
        let ours = config.socket_type;
        if !ours.compatible(theirs) {
            return Err(HandshakeError::IncompatibleSocketType { ours, theirs });
        }
        // N7
        let identity = properties.value(IDENTITY).cloned().unwrap_or_default();
        let identity = Identity::new(identity).map_err(HandshakeError::IdentityTooLong)?;
        if identity.is_automatic() {
            return Err(HandshakeError::IdentityReserved);
        }
        Ok(Self {
            socket_type: theirs,
            identity,
            properties,
            version,
        })
    }
}

/// What to tell the peer.
fn announcement(config: &HandshakeConfig) -> Bytes {
    let mut metadata = BytesMut::new();
    put_property(
        &mut metadata,
        SOCKET_TYPE.as_bytes(),
        config.socket_type.as_str().as_bytes(),
    );
    // N7
    if matches!(
        config.socket_type,
        SocketType::Req | SocketType::Dealer | SocketType::Router
    ) {
        put_property(
            &mut metadata,
            IDENTITY.as_bytes(),
            config.identity.as_bytes(),
        );
    }
    config.properties.encode(&mut metadata);
    metadata.freeze()
}
