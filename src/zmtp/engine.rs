//! [`Engine`]: one connection after its handshake. Octets in, messages out; no socket, no clock.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::codec::{Piece, ZmtpCodec};
use super::control::Control;
use super::error::ProtocolError;
use super::heartbeat::HeartbeatConfig;
use super::opening::Opening;
use super::run::Extent;
use super::{Limits, PeerMetadata};
use crate::mechanism::Open;
use crate::message::Message;
use crate::pattern::SocketType;

/// The protocol of one connection from the finished handshake to its end.
///
/// The owner reads to where [`body`](Self::body) says or behind what it has, tells that by [`heard`](Self::heard), and calls
/// [`receive`](Self::receive) until it returns `None`; then it writes what [`output`](Self::output) holds; when [`next_timeout`](Self::next_timeout) has come it reads once more and
/// calls [`on_timeout`](Self::on_timeout). Any error is the end of the connection. A call more than needed does no harm.
///
/// Messages to send do not pass through here: the sender encodes them into their outbox.
#[derive(Debug)]
pub(crate) struct Engine {
    codec: ZmtpCodec,
    /// Decrypts what arrives, if it has to be.
    opening: Option<Box<Opening>>,
    control: Control,
    output: BytesMut,
}

/// What a peer sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// Messages at the head of the buffer.
    Run(Extent),
    /// A message that was in pieces.
    Message(Message),
    /// A subscription to a topic.
    Subscribe(Bytes),
    /// The end of a subscription.
    Cancel(Bytes),
}

impl Engine {
    /// The engine of a socket of type `ours`, from the moment when its peer has told who it is.
    pub(crate) fn new(
        ours: SocketType,
        peer: &PeerMetadata,
        limits: Limits,
        heartbeat: Option<HeartbeatConfig>,
        open: Option<Box<dyn Open>>,
        now: Instant,
    ) -> Self {
        // H8: libzmq's DISH takes a PING for a fault.
        let deaf = ours == SocketType::Radio && peer.socket_type == SocketType::Dish;
        let publishes = matches!(ours, SocketType::Pub | SocketType::XPub);
        Self {
            codec: ZmtpCodec::with(limits),
            opening: open.map(|open| Box::new(Opening::new(open, limits))),
            control: Control::new(
                publishes,
                limits.max_command_rate,
                heartbeat.filter(|_| !deaf),
                now,
            ),
            output: BytesMut::new(),
        }
    }

    /// Takes what comes next off the head of `buf`: up to `most` messages in one run, a message that was in pieces, or a
    /// subscription. `None` if nothing is complete.
    ///
    /// A run stays where it is: cut it off [`front`](Self::front) before the next call. Commands that are only the
    /// engine's business are dealt with on the way.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        buf: &mut BytesMut,
        now: Instant,
        most: usize,
    ) -> Result<Option<Inbound>, ProtocolError> {
        loop {
            let front = match &mut self.opening {
                Some(opening) => opening.front(),
                None => &mut *buf,
            };
            let inbound = match self.codec.next(front, most)? {
                Some(Piece::Run(extent)) => Some(Inbound::Run(extent)),
                Some(Piece::Message(message)) => Some(Inbound::Message(message)),
                Some(Piece::Command(command)) => self.control.obey(&command, now)?,
                None => {
                    let opening = self.opening.as_mut();
                    if !opening.map_or(Ok(false), |opening| opening.open(buf))? {
                        return Ok(None);
                    }
                    None
                }
            };
            if inbound.is_some() {
                return Ok(inbound);
            }
        }
    }

    /// The buffer at whose head a run was found: `buf`, unless that is encrypted.
    pub(crate) fn front<'a>(&'a mut self, buf: &'a mut BytesMut) -> &'a mut BytesMut {
        match &mut self.opening {
            Some(opening) => opening.front(),
            None => buf,
        }
    }

    /// The buffer of a large body that is arriving, and how much of it is missing: the next octets of the connection are
    /// to be read there, not more.
    pub(crate) fn body(&mut self) -> Option<(&mut BytesMut, usize)> {
        match self.opening {
            Some(_) => None,
            None => self.codec.body(),
        }
    }

    /// See [`ZmtpCodec::spent`].
    pub(crate) fn spent(&mut self) -> Option<BytesMut> {
        self.codec.spent()
    }

    /// How much to read at most where no large body is arriving.
    pub(crate) fn read_ahead(&self) -> usize {
        match self.opening {
            Some(_) => usize::MAX,
            None => self.codec.read_ahead(),
        }
    }

    /// Something has arrived: a sign of life (H3).
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.control.heard(now);
    }

    /// The octets that the engine has to send: PONG and PING.
    ///
    /// The owner takes off what it has written. While something is left here, nothing is added, so that a peer which
    /// asks but does not read cannot make it grow (H6).
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        if self.output.is_empty() {
            self.control.speak(&mut self.output);
        }
        &mut self.output
    }

    /// When to call [`on_timeout`](Self::on_timeout); it moves with every `receive`.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.control.next_timeout()
    }

    /// Sends the heartbeat that is due, or finds that the peer is gone. Too early a call does nothing.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.control.on_timeout(now)
    }
}
