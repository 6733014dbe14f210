//! Frames after the handshake, and what may become of them on the way.

use std::hash::{DefaultHasher, Hash, Hasher};

use arbitrary::Arbitrary;

use super::KEY;
use super::boxes::{HEAD, SharedKey};
use super::said::{Change, number};
use super::traffic::{self, Side};
use crate::mechanism::{Open, Traffic};
use crate::stream::read;
use crate::zmtp::{FrameHeader, FrameKind};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    sealed: Vec<(Kind, &'a [u8])>,
    arrives: Vec<Arrival<'a>>,
}

/// In the order of their flags (C6).
#[derive(Debug, Clone, Copy, Hash, Arbitrary)]
enum Kind {
    Last,
    More,
    Command,
}

#[derive(Debug, Arbitrary)]
enum Arrival<'a> {
    /// A frame that was sealed, by its number, perhaps changed; it may be one that has arrived before.
    Sealed(u8, Change<'a>),
    /// A box of somebody who has the key, with any number, flags and all.
    Own {
        #[arbitrary(with = number)]
        number: u64,
        text: &'a [u8],
    },
    Raw(&'a [u8]),
}

/// C6, C8, C9: what opens is what was sealed, with a higher number than whatever opened before; nothing else does, and then
/// nothing has changed.
pub fn curve_traffic(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    let key = key_for(&input.sealed);
    let mut sender = begin(Side::Client, &key);
    let sealed: Vec<Sealed> = input
        .sealed
        .iter()
        .map(|&(kind, body)| Sealed::new(&mut sender, kind, body))
        .collect();
    let mut receiver = begin(Side::Server, &key);
    let mut heard = HEARD;
    for arrival in input.arrives.iter().take(64) {
        let mut body = match arrival {
            Arrival::Sealed(index, change) if !sealed.is_empty() => {
                change.apply(&sealed[usize::from(*index) % sealed.len()].wire)
            }
            Arrival::Sealed(..) => continue,
            Arrival::Own { number, text } => own(*number, text, &key),
            Arrival::Raw(octets) => octets.to_vec(),
        };
        let text = match arrival {
            Arrival::Own { number, text } if *number > heard => Some((*number, text.to_vec())),
            Arrival::Own { .. } => None,
            Arrival::Sealed(..) | Arrival::Raw(_) => sealed
                .iter()
                .find(|it| it.wire == body && it.number > heard)
                .map(|it| (it.number, it.text.clone())),
        };
        // Its number counts though its flags do not.
        heard = text.as_ref().map_or(heard, |(number, _)| *number);
        let expected = text.as_ref().and_then(|(_, text)| frame(text));
        let opened = receiver.open.open(&mut body);
        let opened = opened.ok().map(|(kind, at)| (kind, &body[at..]));
        assert_eq!(opened, expected, "{arrival:?}");
    }
}

/// A key for these frames alone: libFuzzer remembers what it saw compared, and would bring what was sealed in another run.
fn key_for(frames: &[(Kind, &[u8])]) -> SharedKey {
    let mut hasher = DefaultHasher::new();
    frames.hash(&mut hasher);
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    SharedKey::own(&key)
}

/// A frame that was sealed.
struct Sealed {
    number: u64,
    /// Flags and body.
    text: Vec<u8>,
    wire: Vec<u8>,
}

impl Sealed {
    fn new(sender: &mut Traffic, kind: Kind, body: &[u8]) -> Self {
        let mut wire = Vec::new();
        sender.seal.seal(kind.into(), body, &mut wire);
        assert_eq!(wire.len(), sender.seal.sealed_len(body.len()));
        let header = FrameHeader::parse(&wire).unwrap().unwrap();
        // C7
        assert_eq!(header.kind, FrameKind::Last);
        let wire = wire.split_off(header.header_len);
        assert_eq!(wire.len(), header.body_len);
        assert_eq!(wire.len(), body.len() + sender.open.overhead());
        let number = wire[8..].first_chunk().map(|it| u64::from_be_bytes(*it));
        Self {
            number: number.unwrap(),
            text: [&[kind as u8], body].concat(),
            wire,
        }
    }
}

/// The frame within a box, if it is one.
fn frame(text: &[u8]) -> Option<(FrameKind, &[u8])> {
    let (flags, body) = text.split_first()?;
    let kind = match flags {
        0 => FrameKind::Last,
        1 => FrameKind::More,
        2 => FrameKind::Command,
        _ => return None,
    };
    Some((kind, body))
}

impl From<Kind> for FrameKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::More => Self::More,
            Kind::Last => Self::Last,
            Kind::Command => Self::Command,
        }
    }
}

/// The body of a MESSAGE with this in its box.
fn own(number: u64, text: &[u8], key: &SharedKey) -> Vec<u8> {
    let mut body = [&[0; HEAD], text].concat();
    key.under(b"CurveZMQMESSAGEC")
        .seal(number.to_be_bytes(), &mut body);
    body[..8].copy_from_slice(b"\x07MESSAGE");
    body[8..16].copy_from_slice(&number.to_be_bytes());
    body
}

/// The frames of `plain`, sealed; what is behind the last whole one stays as it is.
pub(in crate::targets) fn sealed(mut plain: &[u8]) -> Vec<u8> {
    let mut sender = begin(Side::Client, &SharedKey::own(&USUAL_KEY));
    let mut wire = Vec::new();
    while let Ok(Some(header)) = FrameHeader::parse(plain) {
        let Some(end) = header.header_len.checked_add(header.body_len) else {
            break;
        };
        let Some(frame) = plain.split_off(..end) else {
            break;
        };
        sender
            .seal
            .seal(header.kind, &frame[header.header_len..], &mut wire);
    }
    wire.extend_from_slice(plain);
    wire
}

/// What opens the frames of [`sealed`].
pub(in crate::targets) fn opener() -> Box<dyn Open> {
    begin(Side::Server, &SharedKey::own(&USUAL_KEY)).open
}

fn begin(ours: Side, key: &SharedKey) -> Traffic {
    traffic::begin(key, ours, HEARD + 1, HEARD)
}

const USUAL_KEY: [u8; KEY] = [11; KEY];
/// The last number of the handshake.
const HEARD: u64 = 2;
