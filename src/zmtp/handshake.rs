//! [`Handshake`]: from the first octet of a connection to two peers that know each other.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use super::engine::Engine;
use super::error::{HandshakeError, shown};
use super::frame::{FrameHeader, FrameKind};
use super::greeting::{GREETING_LEN, Greeting, Version, mechanism_name};
use super::heartbeat::HeartbeatConfig;
use super::metadata::{IDENTITY, Metadata, SOCKET_TYPE, put_property};
use super::{Limits, after, overslept};
use crate::identity::Identity;
use crate::mechanism::{Mechanism, Seal, Step};
use crate::pattern::SocketType;
use crate::security::{Candidate, Credentials, Principal, Refusal, RefusalStatus};
use crate::transport::PeerAddress;

/// What a socket says of itself, and what it bears.
#[derive(Debug, Clone)]
pub(crate) struct HandshakeConfig {
    pub(crate) socket_type: SocketType,
    /// Announced by REQ, DEALER and ROUTER only; not an automatic one.
    pub(crate) identity: Identity,
    /// Further properties to announce, of the application.
    pub(crate) properties: Metadata,
    /// Where the peer is.
    pub(crate) address: PeerAddress,
    /// What the authenticator is told of this socket.
    pub(crate) domain: String,
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
pub(crate) struct Established {
    pub(crate) peer: PeerMetadata,
    /// Who the peer is, if an authenticator was asked.
    pub(crate) principal: Option<Principal>,
    pub(crate) engine: Engine,
    /// Encrypts what is sent from now on; none if it travels as it is.
    pub(crate) seal: Option<Box<dyn Seal>>,
}

/// How far a handshake is.
pub(crate) enum Progress {
    /// The peer's next octets are awaited.
    Waiting,
    /// Somebody has to decide about the peer: see [`Handshake::decided`].
    Decide(Box<Candidate>),
    /// It is over.
    Established(Box<Established>),
}

/// The handshake of one connection, the same on both sides of it.
///
/// The owner writes what [`output`](Self::output) holds, at the start and after every [`input`](Self::input), also
/// after one that failed or finished; it calls `input` after every read and every decision, until that fails or returns
/// the [`Established`] connection. When [`deadline`](Self::deadline) has come, which each `input` may bring nearer, or the
/// connection is closed, it is told what that means by [`overdue`](Self::overdue) and [`closed`](Self::closed), and drops
/// the handshake with all secrets in it. A message may only be sent behind the whole output.
pub(crate) struct Handshake {
    config: HandshakeConfig,
    mechanism: Box<dyn Mechanism>,
    deadline: Instant,
    stage: Stage,
    /// Who the peer is, once an authenticator has said so.
    principal: Option<Principal>,
    output: BytesMut,
}

#[derive(Debug)]
enum Stage {
    /// The peer's greeting is awaited.
    Greeting,
    /// The peer's next command is awaited. `alike`: the greetings say that both sides are server.
    Commands { version: Version, alike: bool },
    /// The authenticator is asked, about a peer that has announced as much, or nothing yet.
    Decision {
        version: Version,
        peer: Option<PeerMetadata>,
    },
    /// The peer is accepted, and nothing more is awaited.
    Met(PeerMetadata),
    /// It failed, or it is over.
    Done,
}

impl Handshake {
    pub(crate) fn new(
        config: HandshakeConfig,
        mechanism: Box<dyn Mechanism>,
        now: Instant,
    ) -> Self {
        let greeting = Greeting::encode(&mechanism_name(mechanism.name()), mechanism.as_server());
        Self {
            // G10: set once; what arrives does not move it.
            deadline: after(now, config.timeout),
            config,
            mechanism,
            stage: Stage::Greeting,
            principal: None,
            output: BytesMut::from(&greeting[..]),
        }
    }

    /// Takes what belongs to the handshake off the head of `buf`, and leaves what follows.
    pub(crate) fn input(
        &mut self,
        buf: &mut BytesMut,
        now: Instant,
    ) -> Result<Progress, HandshakeError> {
        self.in_time(now)?;
        loop {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Greeting => {
                    self.stage = self.greet(buf)?;
                    if let Stage::Greeting = self.stage {
                        return Ok(Progress::Waiting);
                    }
                }
                Stage::Commands { version, alike } => {
                    let Some(body) = self.next_command(buf)? else {
                        self.stage = Stage::Commands { version, alike };
                        return Ok(Progress::Waiting);
                    };
                    match self.mechanism.receive(body, now, &mut self.output)? {
                        Step::Continue => self.stage = Stage::Commands { version, alike },
                        Step::Met(metadata) => {
                            let peer = self.meet(metadata, version)?;
                            self.mechanism.accept(&mut self.output);
                            self.stage = Stage::Met(peer);
                        }
                        Step::Decide {
                            credentials,
                            metadata,
                        } => {
                            let peer = metadata.map(|metadata| self.meet(metadata, version));
                            let peer = peer.transpose()?;
                            let candidate = self.candidate(peer.as_ref(), credentials);
                            self.stage = Stage::Decision { version, peer };
                            return Ok(Progress::Decide(Box::new(candidate)));
                        }
                    }
                }
                undecided @ Stage::Decision { .. } => {
                    self.stage = undecided;
                    return Ok(Progress::Waiting);
                }
                Stage::Met(peer) => {
                    return Ok(Progress::Established(Box::new(self.establish(peer, now))));
                }
                Stage::Done => return Err(HandshakeError::Closed),
            }
        }
    }

    /// Whether `buf` has a whole command that takes long to answer.
    pub(crate) fn labours(&self, buf: &[u8]) -> bool {
        let commands = match self.stage {
            Stage::Greeting => buf.get(GREETING_LEN..),
            Stage::Commands { .. } => Some(buf),
            Stage::Decision { .. } | Stage::Met(_) | Stage::Done => None,
        };
        let Some(commands) = commands.filter(|_| self.mechanism.labours()) else {
            return false;
        };
        matches!(FrameHeader::parse(commands), Ok(Some(header))
            if commands.len() - header.header_len >= header.body_len)
    }

    /// The authenticator's answer about the candidate of [`Progress::Decide`].
    pub(crate) fn decided(
        &mut self,
        verdict: Result<Principal, Refusal>,
    ) -> Result<(), HandshakeError> {
        let Stage::Decision { version, peer } = std::mem::replace(&mut self.stage, Stage::Done)
        else {
            return Ok(());
        };
        match verdict {
            Ok(principal) => {
                self.principal = Some(principal);
                self.mechanism.accept(&mut self.output);
                self.stage = match peer {
                    Some(peer) => Stage::Met(peer),
                    None => Stage::Commands {
                        version,
                        alike: false,
                    },
                };
                Ok(())
            }
            Err(refusal) => {
                // Whoever may try again is not told anything: an ERROR is for ever (RFC 27).
                if refusal.status != RefusalStatus::Temporary {
                    let status = refusal.status.code().to_string();
                    self.mechanism.refuse(&status, &mut self.output);
                }
                Err(HandshakeError::Denied(refusal))
            }
        }
    }

    /// The octets to send. The owner takes off what it has written.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// When the handshake has to be over, or this step of it.
    pub(crate) fn deadline(&self) -> Instant {
        let step = self.mechanism.expires();
        step.map_or(self.deadline, |(at, _)| at.min(self.deadline))
    }

    /// It is `now`. `Err` if the deadline has come; whoever noticed it far too late has the whole time anew.
    pub(crate) fn in_time(&mut self, now: Instant) -> Result<(), HandshakeError> {
        if overslept(self.deadline, self.config.timeout, now) {
            self.deadline = after(now, self.config.timeout);
        }
        if now >= self.deadline() {
            return Err(self.overdue());
        }
        Ok(())
    }

    /// What it means that the handshake is not over yet at its deadline.
    pub(crate) fn overdue(&self) -> HandshakeError {
        if let Some((at, error)) = self.mechanism.expires()
            && at < self.deadline
        {
            return error;
        }
        match self.stage {
            Stage::Decision { .. } => HandshakeError::Undecided,
            Stage::Commands { alike: true, .. } => HandshakeError::SameRole {
                mechanism: self.mechanism.name(),
                as_server: true,
            },
            _ => HandshakeError::TimedOut,
        }
    }

    /// What it most likely means that the peer has closed the connection.
    pub(crate) fn closed(&self) -> HandshakeError {
        match self.stage {
            Stage::Greeting => HandshakeError::Closed,
            _ => self.mechanism.closed(),
        }
    }

    fn greet(&mut self, buf: &mut BytesMut) -> Result<Stage, HandshakeError> {
        let Some(greeting) = Greeting::decode(buf)? else {
            return Ok(Stage::Greeting);
        };
        buf.advance(GREETING_LEN);
        // G8: all octets count, also those behind the first zero.
        let ours = self.mechanism.name();
        if greeting.mechanism != mechanism_name(ours) {
            let len = greeting
                .mechanism
                .iter()
                .rposition(|&octet| octet != 0)
                .map_or(0, |last| last + 1);
            let theirs = shown(&greeting.mechanism[..len]);
            return Err(HandshakeError::MechanismMismatch { ours, theirs });
        }
        // N3: without waiting for the peer's.
        self.mechanism.start(&mut self.output);
        Ok(Stage::Commands {
            version: greeting.version,
            alike: greeting.as_server && self.mechanism.as_server(),
        })
    }

    /// Reads what the peer announced. One that cannot be a peer is told why (N5).
    fn meet(&mut self, metadata: Bytes, version: Version) -> Result<PeerMetadata, HandshakeError> {
        PeerMetadata::new(metadata, version, &self.config).inspect_err(|error| {
            self.mechanism.refuse(&error.to_string(), &mut self.output);
        })
    }

    fn candidate(&self, peer: Option<&PeerMetadata>, credentials: Credentials) -> Candidate {
        let mut candidate = Candidate::new(self.config.address, credentials);
        candidate.domain.clone_from(&self.config.domain);
        if let Some(peer) = peer {
            candidate.socket_type = Some(peer.socket_type);
            candidate.identity = peer.identity.clone();
        }
        candidate
    }

    fn establish(&mut self, peer: PeerMetadata, now: Instant) -> Established {
        let HandshakeConfig {
            socket_type,
            limits,
            heartbeat,
            ..
        } = self.config;
        let (seal, open) = self
            .mechanism
            .traffic()
            .map(|traffic| (traffic.seal, traffic.open))
            .unzip();
        Established {
            engine: Engine::new(socket_type, &peer, limits, heartbeat, open, now),
            peer,
            principal: self.principal.take(),
            seal,
        }
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

impl HandshakeConfig {
    /// What to tell the peer.
    pub(crate) fn announcement(&self) -> Bytes {
        let mut metadata = BytesMut::new();
        put_property(
            &mut metadata,
            SOCKET_TYPE.as_bytes(),
            self.socket_type.as_str().as_bytes(),
        );
        // N7
        if matches!(
            self.socket_type,
            SocketType::Req | SocketType::Dealer | SocketType::Router
        ) {
            put_property(&mut metadata, IDENTITY.as_bytes(), self.identity.as_bytes());
        }
        self.properties.encode(&mut metadata);
        metadata.freeze()
    }
}
