//! The stream after the handshake, as [`ZmtpCodec`] cuts it into messages and commands.

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::message::Message;
use crate::stream::{Cuts, read};
use crate::zmtp::{CodecError, Command, Item, ZmtpCodec};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    cuts: Cuts,
    max_message_size: u8,
    max_frames: u8,
    octets: &'a [u8],
}

/// F1 to F11: however a stream is cut, it holds the items that a plain reader finds in it, and ends where that ends; and what
/// was found says itself again when it is encoded.
pub fn frames(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    let octets = input.octets;
    let limits = (
        usize::from(input.max_message_size),
        usize::from(input.max_frames),
    );
    let expected = Plain::read(octets, limits);
    assert_eq!(decode(input.cuts.pieces(octets), limits), expected);
    says_itself_again(expected.items);
}

/// What a stream holds, up to its end or to its first fault.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) items: Vec<Item>,
    pub(super) faulty: bool,
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: (usize, usize)) -> Plain {
    let mut codec = ZmtpCodec::with_limits(limits.0, limits.1);
    let mut buf = BytesMut::new();
    let mut found = Plain::default();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buf) {
                Ok(Some(item)) => found.items.push(item),
                Ok(None) => break,
                Err(CodecError::Io(error)) => panic!("{error}"),
                Err(CodecError::Protocol(_)) => {
                    found.faulty = true;
                    return found;
                }
            }
        }
    }
    found
}

impl Plain {
    /// Reads the stream as the protocol has it, with no regard to speed.
    pub(super) fn read(mut octets: &[u8], limits: (usize, usize)) -> Self {
        let mut plain = Self::default();
        let mut frames = Vec::new();
        while let Some(frame) = Frame::read(&mut octets, &frames, limits).transpose() {
            match frame {
                Err(Fault) => {
                    plain.faulty = true;
                    break;
                }
                Ok(Frame::Command(command)) => plain.items.push(Item::Command(command)),
                Ok(Frame::Part { body, last }) => {
                    frames.push(body);
                    if last {
                        let message = std::mem::take(&mut frames).into_iter().collect();
                        plain.items.push(Item::Message(message));
                    }
                }
            }
        }
        plain
    }
}

enum Frame {
    Command(Command),
    Part { body: Bytes, last: bool },
}

struct Fault;

/// The longest command: a SUBSCRIBE with a topic of 64 KiB.
const COMMAND: usize = (64 << 10) + "\x09SUBSCRIBE".len();

impl Frame {
    /// The next frame of a message that has these `frames` so far; `None` if it is not complete.
    fn read(
        octets: &mut &[u8],
        frames: &[Bytes],
        (max_size, max_frames): (usize, usize),
    ) -> Result<Option<Self>, Fault> {
        let Some((&flags, rest)) = octets.split_first() else {
            return Ok(None);
        };
        let (more, long, command) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        if flags > 7 || (more && command) {
            return Err(Fault);
        }
        let (len, rest) = if long {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*len), rest)
        } else {
            let Some((len, rest)) = rest.split_first() else {
                return Ok(None);
            };
            (u64::from(*len), rest)
        };
        let begun: usize = frames.iter().map(Bytes::len).sum();
        let most = if command {
            COMMAND
        } else {
            max_size.saturating_sub(begun)
        };
        if len > most as u64 || (!command && frames.len() >= max_frames) {
            return Err(Fault);
        }
        let Some((body, rest)) = rest.split_at_checked(len as usize) else {
            return Ok(None);
        };
        *octets = rest;
        if !command {
            let body = Bytes::copy_from_slice(body);
            return Ok(Some(Self::Part { body, last: !more }));
        }
        let (&name_len, body) = body.split_first().ok_or(Fault)?;
        let (name, data) = body.split_at_checked(usize::from(name_len)).ok_or(Fault)?;
        let command = Command::new(name.to_vec(), data.to_vec()).ok_or(Fault)?;
        Ok(Some(Self::Command(command)))
    }
}

fn says_itself_again(items: Vec<Item>) {
    let mut codec = ZmtpCodec::new();
    let mut wire = BytesMut::new();
    for item in &items {
        let encoded = match item.clone() {
            Item::Message(message) => Encoder::<Message>::encode(&mut codec, message, &mut wire),
            Item::Command(command) => Encoder::<Command>::encode(&mut codec, command, &mut wire),
        };
        encoded.expect("never fails");
    }
    let again = std::iter::from_fn(|| codec.decode(&mut wire).unwrap());
    assert!(again.eq(items));
    assert!(wire.is_empty());
}
