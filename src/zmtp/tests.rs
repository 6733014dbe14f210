//! Two sides face each other in one thread: no socket, no clock but the one that a test moves.

#[cfg(feature = "curve")]
mod curve;
mod decision;
mod hostile;
mod libzmq;
mod pairs;
mod traffic;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::frame::encode_message;
use super::*;
use crate::identity::Identity;
use crate::mechanism::{Asked, Role};
use crate::message::Message;
use crate::pattern::SocketType;
use crate::transport::PeerAddress;

const SECOND: Duration = Duration::from_secs(1);

fn config(socket_type: SocketType) -> HandshakeConfig {
    HandshakeConfig {
        address: PeerAddress::Adopted,
        domain: String::new(),
        socket_type,
        identity: Identity::default(),
        properties: Metadata::new(),
        limits: Limits::default(),
        heartbeat: None,
        timeout: 30 * SECOND,
    }
}

fn begin(config: HandshakeConfig, now: Instant) -> Handshake {
    let mechanism = Role::Null.begin(config.announcement(), Asked::Never);
    Handshake::new(config, mechanism.unwrap(), now)
}

/// One side of a connection in its handshake.
struct Side {
    handshake: Handshake,
    /// What has arrived and was not taken.
    arrived: BytesMut,
    result: Result<Option<Established>, HandshakeError>,
}

impl Side {
    fn new(config: HandshakeConfig, now: Instant) -> Self {
        Self {
            handshake: begin(config, now),
            arrived: BytesMut::new(),
            result: Ok(None),
        }
    }

    fn pending(&self) -> bool {
        matches!(self.result, Ok(None))
    }

    fn arrive(&mut self, octets: &[u8], now: Instant) {
        self.arrived.extend_from_slice(octets);
        if self.pending() {
            self.result = match self.handshake.input(&mut self.arrived, now) {
                Ok(Progress::Waiting) => Ok(None),
                Ok(Progress::Established(established)) => Ok(Some(*established)),
                Ok(Progress::Decide(_)) => panic!("NULL asks nobody"),
                Err(error) => Err(error),
            };
        }
    }

    /// Takes up to `most` octets that are to be sent.
    fn leave(&mut self, most: usize) -> BytesMut {
        let output = self.handshake.output();
        let len = output.len().min(most);
        output.split_to(len)
    }

    #[track_caller]
    fn established(self) -> Established {
        self.result
            .expect("no error")
            .expect("an end of the handshake")
    }

    #[track_caller]
    fn error(&self) -> HandshakeError {
        match &self.result {
            Err(error) => error.clone(),
            Ok(_) => panic!("no error"),
        }
    }
}

/// Lets the two talk, `step` octets at a time each way, until neither has anything to say.
fn talk(one: &mut Side, other: &mut Side, step: usize, now: Instant) {
    loop {
        let there = one.leave(step);
        let back = other.leave(step);
        if there.is_empty() && back.is_empty() {
            return;
        }
        other.arrive(&there, now);
        one.arrive(&back, now);
    }
}

/// A connection between sockets of these types.
#[track_caller]
fn connect(
    one: HandshakeConfig,
    other: HandshakeConfig,
    now: Instant,
) -> (Established, Established) {
    let (mut one, mut other) = (Side::new(one, now), Side::new(other, now));
    talk(&mut one, &mut other, usize::MAX, now);
    (one.established(), other.established())
}

/// A peer's greeting, with NULL.
fn greeting(minor: u8) -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[..16].copy_from_slice(b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL");
    greeting[11] = minor;
    greeting
}

/// A peer's READY.
fn ready(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in properties {
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(*value);
    }
    let mut frame = vec![6];
    frame.extend((body.len() as u64).to_be_bytes());
    frame.extend(body);
    frame
}

/// One thing that an engine makes of what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(Message),
    Subscribe(Bytes),
    Cancel(Bytes),
}

impl Engine {
    fn receive_one(
        &mut self,
        buf: &mut BytesMut,
        now: Instant,
    ) -> Result<Option<Seen>, ProtocolError> {
        let inbound = self.receive(buf, now, 1)?;
        Ok(inbound.map(|inbound| match inbound {
            Inbound::Run(extent) => {
                let front = self.front(buf);
                Seen::Message(Run::take_one(front, extent).unwrap())
            }
            Inbound::Message(message) => Seen::Message(message),
            Inbound::Subscribe(topic) => Seen::Subscribe(topic),
            Inbound::Cancel(topic) => Seen::Cancel(topic),
        }))
    }
}

/// Everything that `engine` makes of `buf`.
fn receive_all(
    engine: &mut Engine,
    buf: &mut BytesMut,
    now: Instant,
) -> Result<Vec<Seen>, ProtocolError> {
    if !buf.is_empty() {
        engine.heard(now);
    }
    std::iter::from_fn(|| engine.receive_one(buf, now).transpose()).collect()
}

/// Octets as random as a test needs, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}
