//! A connection from its first octet on: two sides, and somebody between them.

use std::fmt;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};

use super::curve;
use crate::identity::Identity;
use crate::mechanism::{Asked, Mechanism, Role};
use crate::memory::Held;
use crate::message::Message;
use crate::pattern::SocketType;
use crate::security::{Password, Principal, Refusal};
use crate::stream::{Cuts, read};
use crate::transport::PeerAddress;
use crate::zmtp::{
    Engine, Established, FrameKind, Handshake, HandshakeConfig, HandshakeError, Inbound, Limits,
    Metadata, Progress, Run,
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    plain: bool,
    connecting: SideInput<'a>,
    listening: SideInput<'a>,
    cuts: Cuts,
    meddles: Vec<Meddling<'a>>,
}

#[derive(Debug, Arbitrary)]
struct SideInput<'a> {
    socket_type: u8,
    identity: &'a [u8],
    property: &'a [u8],
    asks: bool,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Verdict {
    Accepted,
    Denied,
    NotNow,
}

/// What happens to a piece of the stream on its way.
#[derive(Debug, Arbitrary)]
enum Meddling<'a> {
    Nothing,
    Flip { at: u8, mask: u8 },
    Lose,
    Double,
    Add(&'a [u8]),
}

/// G1 to G10, N1 to N12, P1 to P6: if nobody meddles, two sides meet if they may, however the stream between them is cut, and
/// then a message crosses whole; and whatever happens, little memory is held.
pub fn handshake(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    let (connects, listens) = match input.plain {
        true => (
            Role::PlainClient {
                user: "joe".into(),
                password: Password::new("secret").unwrap(),
            },
            Role::PlainServer,
        ),
        false => (Role::Null, Role::Null),
    };
    let asks = |side: &SideInput, how| if side.asks { how } else { Asked::Never };
    let after = asks(&input.connecting, Asked::AfterReady);
    let before = asks(&input.listening, Asked::BeforeReady);
    input.play(
        |metadata| connects.begin(metadata, after).unwrap(),
        |metadata| listens.begin(metadata, before).unwrap(),
        (
            !input.plain && input.connecting.asks,
            input.plain || input.listening.asks,
        ),
    );
}

/// The same under CURVE, C1 to C14: whoever meddles is found out, and nothing that was changed is delivered.
pub fn curve_handshake(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    input.play(curve::client, curve::server, (false, true));
}

impl Input<'_> {
    /// `decide`: whether each side decides about the other.
    fn play(
        &self,
        connects: impl FnOnce(Bytes) -> Box<dyn Mechanism>,
        listens: impl FnOnce(Bytes) -> Box<dyn Mechanism>,
        decide: (bool, bool),
    ) {
        let now = Instant::now();
        let (here, there) = (self.connecting.config(), self.listening.config());
        let compatible = here.socket_type.compatible(there.socket_type);
        let types = (here.socket_type, there.socket_type);
        let held = Held::begin();
        let mut one = Side::new(
            connects(here.announcement()),
            here,
            self.connecting.verdict,
            now,
        );
        let mut other = Side::new(
            listens(there.announcement()),
            there,
            self.listening.verdict,
            now,
        );
        let mut meddles = self.meddles.iter();
        let mut crossed = self.talk(&mut one, &mut other, &mut meddles, now);
        assert!(held.more() <= 4 * crossed + SPARE);
        let alone = self
            .meddles
            .iter()
            .all(|it| matches!(it, Meddling::Nothing));
        let welcome =
            |decides: bool, side: &SideInput| !decides || side.verdict == Verdict::Accepted;
        if alone {
            // The listening side decides first.
            let other_meets = compatible && welcome(decide.1, &self.listening);
            let meet = other_meets && welcome(decide.0, &self.connecting);
            let have_met = (one.has_met(), other.has_met());
            assert_eq!(have_met, (meet, other_meets), "{one:?}, {other:?}");
            if meet {
                assert_eq!(one.met.as_ref().unwrap().peer.socket_type, types.1);
                assert_eq!(other.met.as_ref().unwrap().peer.socket_type, types.0);
                one.say("there");
                other.say("back");
                crossed += self.talk(&mut one, &mut other, &mut meddles, now);
                assert_eq!(
                    (&one.heard, &other.heard),
                    (&vec!["back".into()], &vec!["there".into()])
                );
            }
        }
        assert!(crossed <= MOST);
        one.end();
        other.end();
    }

    /// Lets both talk until neither has anything to say. Returns how many octets have arrived.
    fn talk<'a>(
        &self,
        one: &mut Side,
        other: &mut Side,
        meddles: &mut impl Iterator<Item = &'a Meddling<'a>>,
        now: Instant,
    ) -> usize {
        let mut crossed = 0;
        loop {
            let (there, back) = (one.leaves(), other.leaves());
            if there.is_empty() && back.is_empty() {
                return crossed;
            }
            for (octets, to) in [(there, &mut *other), (back, &mut *one)] {
                for piece in self.cuts.pieces(&octets) {
                    let piece = meddles.next().unwrap_or(&Meddling::Nothing).with(piece);
                    crossed += piece.len();
                    to.arrives(&piece, now);
                }
            }
        }
    }
}

impl SideInput<'_> {
    fn config(&self) -> HandshakeConfig {
        let socket_type = SocketType::ALL[usize::from(self.socket_type) % SocketType::ALL.len()];
        let mut properties = Metadata::new();
        properties.set("X-own", self.property.to_vec()).unwrap();
        // One that begins with a zero octet cannot be announced.
        let identity = match self.identity {
            [0, ..] => &[],
            identity => &identity[..identity.len().min(255)],
        };
        HandshakeConfig {
            socket_type,
            identity: Identity::try_from(identity).unwrap(),
            properties,
            address: PeerAddress::Adopted,
            domain: String::new(),
            limits: Limits::default(),
            heartbeat: None,
            timeout: 30 * SECOND,
        }
    }
}

impl Meddling<'_> {
    fn with(&self, piece: &[u8]) -> Vec<u8> {
        let mut piece = piece.to_vec();
        match *self {
            Self::Nothing => {}
            Self::Flip { at, mask } => {
                let at = usize::from(at) % piece.len();
                piece[at] ^= mask;
            }
            Self::Lose => piece.clear(),
            Self::Double => piece.extend_from_within(..),
            Self::Add(octets) => piece.extend_from_slice(octets),
        }
        piece
    }
}

/// One side of the connection.
struct Side {
    handshake: Handshake,
    verdict: Verdict,
    arrived: BytesMut,
    met: Option<Box<Established>>,
    failed: Option<HandshakeError>,
    /// Whether the connection has broken off after the handshake.
    broken: bool,
    heard: Vec<Message>,
    says: Vec<u8>,
    now: Instant,
}

impl Side {
    fn new(
        mechanism: Box<dyn Mechanism>,
        config: HandshakeConfig,
        verdict: Verdict,
        now: Instant,
    ) -> Self {
        Self {
            handshake: Handshake::new(config, mechanism, now),
            verdict,
            arrived: BytesMut::new(),
            met: None,
            failed: None,
            broken: false,
            heard: Vec::new(),
            says: Vec::new(),
            now,
        }
    }

    fn has_met(&self) -> bool {
        self.met.is_some()
    }

    fn arrives(&mut self, octets: &[u8], now: Instant) {
        self.arrived.extend_from_slice(octets);
        while self.met.is_none() && self.failed.is_none() {
            match self.handshake.input(&mut self.arrived, now) {
                Ok(Progress::Waiting) => return,
                Ok(Progress::Decide(_)) => self.decide(),
                Ok(Progress::Established(met)) => self.met = Some(met),
                Err(error) => self.failed = Some(error),
            }
        }
        if let Some(met) = &mut self.met
            && !self.broken
        {
            self.broken =
                receive(&mut met.engine, &mut self.arrived, now, &mut self.heard).is_none();
        } else {
            self.arrived.clear();
        }
    }

    fn decide(&mut self) {
        let verdict = match self.verdict {
            Verdict::Accepted => Ok(Principal::new("joe")),
            Verdict::Denied => Err(Refusal::denied("no")),
            Verdict::NotNow => Err(Refusal::temporary("not now")),
        };
        let accepted = verdict.is_ok();
        match self.handshake.decided(verdict) {
            Ok(()) => assert!(accepted),
            Err(error) => self.failed = Some(error),
        }
    }

    fn say(&mut self, text: &str) {
        let met = self.met.as_mut().expect("a finished handshake");
        match &mut met.seal {
            Some(seal) => seal.seal(FrameKind::Last, text.as_bytes(), &mut self.says),
            None => {
                self.says.extend([0, text.len() as u8]);
                self.says.extend(text.as_bytes());
            }
        }
    }

    /// What there is to send.
    fn leaves(&mut self) -> Vec<u8> {
        let mut octets = self.handshake.output().split().to_vec();
        octets.append(&mut self.says);
        octets
    }

    /// Every end has a reason.
    fn end(mut self) {
        let closed = self.handshake.closed();
        assert!(!closed.to_string().is_empty());
        if !self.has_met() && self.failed.is_none() {
            let deadline = self.handshake.deadline();
            assert_eq!(deadline, self.now + 30 * SECOND);
            let overdue = self.handshake.input(&mut self.arrived, deadline);
            assert!(overdue.is_err_and(|error| error == self.handshake.overdue()));
        }
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed {
            Some(error) => write!(f, "{error:?}"),
            None => write!(f, "met: {}", self.has_met()),
        }
    }
}

/// Takes in what `engine` makes of what has arrived; none if that is the end.
fn receive(
    engine: &mut Engine,
    arrived: &mut BytesMut,
    now: Instant,
    heard: &mut Vec<Message>,
) -> Option<()> {
    while let Some(inbound) = engine.receive(arrived, now, 1).ok()? {
        match inbound {
            Inbound::Run(extent) => {
                heard.push(Run::take_one(engine.front(arrived), extent).expect("one message"));
            }
            Inbound::Message(message) => heard.push(message),
            Inbound::Subscribe(_) | Inbound::Cancel(_) => {}
        }
    }
    Some(())
}

const SECOND: Duration = Duration::from_secs(1);
/// What two sides hold beyond what has arrived, in octets: each its state, and what it allocates ahead of a large body.
const SPARE: usize = 2 * ((64 << 10) + (16 << 10));
/// What two sides say to each other at most, in octets, with what is added.
const MOST: usize = 16 << 10;
