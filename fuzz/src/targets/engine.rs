//! A connection after its handshake, from the first octet to the last.

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Buf, Bytes, BytesMut};

use super::curve::{opener, sealed};
use super::frames::Plain;
use crate::identity::Identity;
use crate::mechanism::Open;
use crate::memory::Held;
use crate::message::Message;
use crate::pattern::SocketType;
use crate::stream::{Cuts, read, unfold};
use crate::zmtp::{
    Engine, HeartbeatConfig, Inbound, Item, Limits, Metadata, PeerMetadata, ProtocolError, Run,
    Version,
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    cuts: Cuts,
    /// The messages of a run, at most.
    most: u8,
    #[arbitrary(with = limit)]
    max_message_size: usize,
    max_frames: u8,
    publishes: bool,
    /// How many milliseconds lie between two pieces.
    tick: u8,
    heartbeat: u8,
    folded: &'a [u8],
}

/// F7, F8, H1 to H6, N10, N12: a stream makes the same messages, subscriptions and end however it is cut, and the messages
/// that a plain reader finds in it; nothing else is said than one PONG and one PING; and no more memory is held than was
/// received, and little beyond.
pub fn engine(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    let wire = unfold(input.folded);
    let (seen, end) = input.check(&wire, || None);
    let plain = Plain::read(
        &wire,
        (input.max_message_size, usize::from(input.max_frames)),
    );
    let mut found = plain.items.into_iter().filter_map(|item| match item {
        Item::Message(message) => Some(message),
        Item::Command(_) => None,
    });
    for seen in seen {
        if let Seen::Message(message) = seen {
            assert_eq!(found.next(), Some(message));
        }
    }
    if end.is_none() {
        assert!(!plain.faulty);
        assert_eq!(found.next(), None);
    }
}

/// The same where frames are encrypted: C6 to C9.
pub fn encrypted_engine(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    let wire = sealed(&unfold(input.folded));
    input.check(&wire, || Some(opener()));
}

/// A size limit of any magnitude up to the usual one.
fn limit(input: &mut Unstructured) -> arbitrary::Result<usize> {
    let exponent = input.int_in_range(0..=26)?;
    Ok(1 << exponent)
}

/// One thing that an engine makes of what it reads.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Message(Message),
    Subscribe(Bytes),
    Cancel(Bytes),
}

impl Input<'_> {
    fn check(
        &self,
        wire: &[u8],
        open: impl Fn() -> Option<Box<dyn Open>>,
    ) -> (Vec<Seen>, Option<ProtocolError>) {
        let now = Instant::now();
        let most = usize::from(self.most).max(1);
        let whole = Reader::new(self.engine(open(), now)).read([wire], 1, now);
        let pieces = self.cuts.pieces(wire);
        let cut = Reader::new(self.engine(open(), now)).read(pieces, most, now);
        assert_eq!(whole, cut);
        self.live(wire, &open, now);
        whole
    }

    fn engine(&self, open: Option<Box<dyn Open>>, now: Instant) -> Engine {
        let (ours, theirs) = match self.publishes {
            true => (SocketType::XPub, SocketType::Sub),
            false => (SocketType::Pull, SocketType::Push),
        };
        let peer = PeerMetadata {
            socket_type: theirs,
            identity: Identity::default(),
            properties: Metadata::new(),
            version: Version::V3_1,
        };
        let limits = Limits {
            max_message_size: self.max_message_size,
            max_frames: usize::from(self.max_frames),
            ..Limits::default()
        };
        let heartbeat = HeartbeatConfig {
            interval: u32::from(self.heartbeat >> 4) * MILLISECOND,
            timeout: u32::from(self.heartbeat & 15) * MILLISECOND,
            ttl: u32::from(self.heartbeat) * MILLISECOND,
        };
        Engine::new(ours, &peer, limits, Some(heartbeat), open, now)
    }

    /// Reads the stream while time passes, writes little, and keeps nothing.
    fn live(&self, wire: &[u8], open: impl Fn() -> Option<Box<dyn Open>>, mut now: Instant) {
        let held = Held::begin();
        let mut reader = Reader::new(self.engine(open(), now));
        let most = usize::from(self.most).max(1);
        let mut received = 0;
        for piece in self.cuts.pieces(wire) {
            now += u32::from(self.tick) * MILLISECOND;
            received += piece.len();
            let end = reader.take(piece, most, now, drop);
            let allowed = 4 * received + usize::from(self.max_frames) * 64 + SPARE;
            assert!(held.more() <= allowed, "{} > {allowed}", held.more());
            let due = reader.engine.next_timeout().is_some_and(|at| at <= now);
            if end.is_err() || (due && reader.engine.on_timeout(now).is_err()) {
                return;
            }
            let output = reader.engine.output();
            // H6: however much was asked for.
            assert!(output.len() <= 64);
            output.advance(output.len().min(3));
        }
    }
}

/// An engine, and what has arrived for it.
struct Reader {
    engine: Engine,
    arrived: BytesMut,
}

impl Reader {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            arrived: BytesMut::new(),
        }
    }

    /// All that the pieces are made of, and the end, if there is one.
    fn read<'a>(
        mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        most: usize,
        now: Instant,
    ) -> (Vec<Seen>, Option<ProtocolError>) {
        let mut seen = Vec::new();
        for piece in pieces {
            if let Err(end) = self.take(piece, most, now, |one| seen.push(one)) {
                return (seen, Some(end));
            }
        }
        (seen, None)
    }

    /// Takes in a piece as a session does: what belongs to a large body goes there at once.
    fn take(
        &mut self,
        mut piece: &[u8],
        most: usize,
        now: Instant,
        mut see: impl FnMut(Seen),
    ) -> Result<(), ProtocolError> {
        while !piece.is_empty() {
            let (room, most_here) = match self.engine.body() {
                Some(body) => body,
                None => (&mut self.arrived, self.engine.read_ahead()),
            };
            let (here, rest) = piece.split_at(piece.len().min(most_here));
            room.extend_from_slice(here);
            piece = rest;
            self.engine.heard(now);
            while let Some(inbound) = self.engine.receive(&mut self.arrived, now, most)? {
                match inbound {
                    Inbound::Message(message) => see(Seen::Message(message)),
                    Inbound::Subscribe(topic) => see(Seen::Subscribe(topic)),
                    Inbound::Cancel(topic) => see(Seen::Cancel(topic)),
                    Inbound::Run(extent) => {
                        assert!((1..=most).contains(&extent.messages));
                        let front = self.engine.front(&mut self.arrived);
                        let mut run = Run::cut(front, extent, BytesMut::new);
                        let mut size = 0;
                        while let Some(message) = run.next() {
                            size += message.size();
                            see(Seen::Message(message));
                        }
                        assert_eq!((run.messages(), size), (0, extent.size));
                    }
                }
            }
        }
        Ok(())
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
/// What may be held beyond what was received, in octets: what is allocated ahead of a large body, and the empty engine.
const SPARE: usize = (64 << 10) + (16 << 10);
