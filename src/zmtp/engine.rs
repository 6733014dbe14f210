//! [`Engine`]: one connection after its handshake. Octets in, messages out; no socket, no clock.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::codec::ZmtpCodec;
use super::control::Control;
use super::error::ProtocolError;
use super::heartbeat::HeartbeatConfig;
use super::{Limits, PeerMetadata};
use crate::mechanism::Open;
use crate::message::Message;
use crate::pattern::SocketType;

/// The protocol of one connection from the finished handshake to its end.
///
/// The owner, after every read from the connection, calls [`receive`](Self::receive) until it returns `None`, then
/// writes what [`output`](Self::output) holds; when [`next_timeout`](Self::next_timeout) has come it reads once more and
/// calls [`on_timeout`](Self::on_timeout). Any error is the end of the connection. A call more than needed does no harm.
///
/// Messages to send do not pass through here: the sender encodes them into their outbox.
#[derive(Debug)]
pub(crate) struct Engine {
    codec: ZmtpCodec,
    /// Decrypts what arrives, if it has to be.
    open: Option<Box<dyn Open>>,
    control: Control,
    output: BytesMut,
}

/// What a peer sends beside messages. A topic may share the buffer that it arrived in: copy it to keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inbound {
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
            open,
            control: Control::new(publishes, heartbeat.filter(|_| !deaf), now),
            output: BytesMut::new(),
        }
    }

    /// Moves messages from the head of `buf` to `batch`, until that holds `most`, until a subscription follows them, or
    /// until none is complete.
    ///
    /// Commands that are only the engine's business are dealt with on the way.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        buf: &mut BytesMut,
        now: Instant,
        batch: &mut VecDeque<Message>,
        most: usize,
    ) -> Result<Option<Inbound>, ProtocolError> {
        // H3: a look at the same octets once more is no sign of life.
        if self.codec.is_news(buf) {
            self.control.heard(now);
        }
        let Self {
            codec,
            open,
            control,
            ..
        } = self;
        let deliver = |message| {
            batch.push_back(message);
            batch.len() < most
        };
        let obey = |command| control.obey(&command, now);
        match open {
            None => codec.decode_each(buf, deliver, obey),
            Some(open) => codec.open_each(&mut **open, buf, deliver, obey),
        }
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

    /// Takes `now` for a sign of life, though nothing was read.
    ///
    /// For an owner that does not read, because its inbox is full: it cannot know that the peer is silent.
    pub(crate) fn excuse_silence(&mut self, now: Instant) {
        self.control.heard(now);
    }

    /// How many octets to make room for before the next read, as far as the frame at the head of `buf` tells; 0 if it
    /// does not.
    pub(crate) fn wire_hint(&self, buf: &BytesMut) -> usize {
        // F2: an announced size is only a word; room grows with what has arrived.
        ZmtpCodec::missing(buf).min(buf.len().max(MAX_AHEAD))
    }
}

/// F2: what may be allocated for a frame beyond what has arrived, at least.
const MAX_AHEAD: usize = 64 * 1024;
