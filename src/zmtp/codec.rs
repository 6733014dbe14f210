//! [`ZmtpCodec`]: octets to whole messages and commands, and back.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use super::Limits;
use super::command::Command;
use super::error::ProtocolError;
use super::frame::{FrameHeader, FrameKind, encode_message};
use super::run::{Extent, Run};
use crate::message::Message;

/// Cuts a stream of ZMTP octets, after the handshake, into whole messages and commands.
///
/// Fits [`tokio_util::codec::Framed`]. A message is returned when its last frame is complete; a part of one never is.
/// An error is final: where the next frame begins is not known.
#[derive(Debug)]
pub struct ZmtpCodec {
    limits: Limits,
    /// The whole messages that were found at the head of the buffer.
    found: Extent,
    /// The frames behind them that belong to a message whose end is not here.
    open: Open,
    /// The frames of a message that does not stay in one piece: one of them is large, or a command came between.
    frames: Vec<Bytes>,
    /// Their octets.
    size: usize,
    /// A large body that is arriving.
    body: Option<Body>,
    /// What is left of the buffer of the last one.
    spent: Option<BytesMut>,
    /// Whether the last frame was large.
    large: bool,
}

/// The frames of a message that are in the buffer.
#[derive(Debug, Default)]
struct Open {
    /// With their headers.
    len: usize,
    frames: usize,
    size: usize,
}

/// A body that has a buffer of its own, so that it is copied once at most.
#[derive(Debug)]
struct Body {
    kind: FrameKind,
    octets: BytesMut,
    /// How many there will be.
    len: usize,
}

/// What a stream of ZMTP carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A message, whole.
    Message(Message),
    /// A command; it may have come between two frames of a message.
    Command(Command),
}

/// What was found next.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Messages at the head of the buffer, which the caller has to cut off.
    Run(Extent),
    /// A message that was taken out of the buffer.
    Message(Message),
    /// A command, likewise.
    Command(Command),
}

impl ZmtpCodec {
    /// A codec with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    /// A codec that refuses messages of more octets or frames than these.
    #[must_use]
    pub fn with_limits(max_message_size: usize, max_frames: usize) -> Self {
        Self::with(Limits {
            max_message_size,
            max_frames,
            ..Limits::default()
        })
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self {
            limits,
            found: Extent::default(),
            open: Open::default(),
            frames: Vec::new(),
            size: 0,
            body: None,
            spent: None,
            large: false,
        }
    }

    /// Finds what comes next in `buf`: up to `most` messages in one piece, or something that is no part of such a run.
    /// `None` if nothing is complete.
    ///
    /// What was looked at once is not looked at again when more has arrived.
    #[inline]
    pub(crate) fn next(
        &mut self,
        buf: &mut BytesMut,
        most: usize,
    ) -> Result<Option<Piece>, ProtocolError> {
        let outcome = self.look(buf, most);
        if self.found.messages > 0 {
            self.large = false;
            // They come first, whatever else there is.
            return Ok(Some(Piece::Run(std::mem::take(&mut self.found))));
        }
        outcome
    }

    #[inline]
    fn look(&mut self, buf: &mut BytesMut, most: usize) -> Result<Option<Piece>, ProtocolError> {
        while self.found.messages < most {
            if self.body.is_some() {
                match self.fill_body(buf) {
                    Some(message) => return Ok(Some(Piece::Message(message))),
                    None if self.body.is_some() => return Ok(None),
                    None => continue,
                }
            }
            let at = self.found.len + self.open.len;
            let Some(header) = FrameHeader::parse(buf.get(at..).unwrap_or_default())? else {
                return Ok(None);
            };
            self.check(&header)?;
            let len = header.header_len + header.body_len;
            let stays = header.kind != FrameKind::Command && header.body_len < LARGE;
            if stays && self.frames.is_empty() {
                if buf.len() - at < len {
                    return Ok(None);
                }
                self.open.len += len;
                self.open.frames += 1;
                self.open.size += header.body_len;
                if header.kind == FrameKind::Last {
                    let whole = std::mem::take(&mut self.open);
                    self.found.len += whole.len;
                    self.found.messages += 1;
                    self.found.size += whole.size;
                }
                continue;
            }
            if self.found.messages > 0 {
                return Ok(None);
            }
            self.lift_open(buf)?;
            if stays || header.kind == FrameKind::Command {
                if buf.len() < len {
                    return Ok(None);
                }
                buf.advance(header.header_len);
                let body = Bytes::copy_from_slice(&buf[..header.body_len]);
                buf.advance(header.body_len);
                if header.kind == FrameKind::Command {
                    return Ok(Some(Piece::Command(Command::decode(body)?)));
                }
                if let Some(message) = self.accept(header.kind, body) {
                    return Ok(Some(Piece::Message(message)));
                }
            } else {
                buf.advance(header.header_len);
                let first = buf.len().max(MAX_AHEAD).min(header.body_len);
                self.body = Some(Body {
                    kind: header.kind,
                    octets: BytesMut::with_capacity(first),
                    len: header.body_len,
                });
            }
        }
        Ok(None)
    }

    /// The buffer of a large body that is arriving, and how much of it is missing.
    pub(crate) fn body(&mut self) -> Option<(&mut BytesMut, usize)> {
        let Body { octets, len, .. } = self.body.as_mut()?;
        let missing = *len - octets.len();
        if octets.capacity() == octets.len() {
            // F2: an announced size is only a word; room grows with what has arrived.
            octets.reserve(octets.len().max(MAX_AHEAD).min(missing));
        }
        Some((octets, missing))
    }

    /// The empty rest of the buffer of the last large body, which is free when its message is gone.
    pub(crate) fn spent(&mut self) -> Option<BytesMut> {
        self.spent.take()
    }

    /// How much to read at most where no large body is arriving.
    pub(crate) fn read_ahead(&self) -> usize {
        // Where one body was large the next may be, and would only be copied out of the buffer.
        if self.large {
            BETWEEN_LARGE
        } else {
            usize::MAX
        }
    }

    /// Moves what has arrived of a large body to its buffer. Returns the message that it completes.
    fn fill_body(&mut self, buf: &mut BytesMut) -> Option<Message> {
        let body = self.body.as_mut()?;
        // Some of it may have been read straight to where it belongs.
        let here = buf.len().min(body.len - body.octets.len());
        body.octets.extend_from_slice(&buf[..here]);
        buf.advance(here);
        if body.octets.len() < body.len {
            return None;
        }
        let mut body = self.body.take()?;
        self.large = true;
        let octets = body.octets.split().freeze();
        self.spent = Some(body.octets);
        self.accept(body.kind, octets)
    }

    /// Takes the open frames out of the buffer: what follows them does not stay there.
    fn lift_open(&mut self, buf: &mut BytesMut) -> Result<(), ProtocolError> {
        let mut open = buf.split_to(std::mem::take(&mut self.open).len).freeze();
        while let Some(header) = FrameHeader::parse(&open)? {
            open.advance(header.header_len);
            let body = open.split_to(header.body_len);
            self.accept(header.kind, Bytes::copy_from_slice(&body));
        }
        Ok(())
    }

    /// Refuses a frame by its header, before its body is waited for.
    #[inline]
    fn check(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        if header.kind == FrameKind::Command {
            let limit = self.limits.command();
            if header.body_len > limit {
                let size = header.body_len;
                return Err(ProtocolError::CommandTooLarge { size, limit });
            }
            return Ok(());
        }
        // F11: the message as a whole counts.
        let begun = self.size + self.open.size;
        let size = begun.saturating_add(header.body_len);
        let limit = self.limits.max_message_size;
        if size > limit {
            return Err(ProtocolError::MessageTooLarge { size, limit });
        }
        let limit = self.limits.max_frames;
        if self.frames.len() + self.open.frames >= limit {
            return Err(ProtocolError::TooManyFrames { limit });
        }
        Ok(())
    }

    /// Takes in a whole frame of a message that does not stay in one piece.
    fn accept(&mut self, kind: FrameKind, body: Bytes) -> Option<Message> {
        self.size += body.len();
        self.frames.push(body);
        if kind == FrameKind::More {
            return None;
        }
        // F7: only now, all frames together.
        self.size = 0;
        Message::from_vec(std::mem::take(&mut self.frames))
    }
}

impl Default for ZmtpCodec {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for ZmtpCodec {
    type Item = Item;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Item>, CodecError> {
        let piece = self.next(src, 1)?;
        Ok(piece.and_then(|piece| match piece {
            Piece::Run(extent) => Run::cut(src, extent, BytesMut::new)
                .next()
                .map(Item::Message),
            Piece::Message(message) => Some(Item::Message(message)),
            Piece::Command(command) => Some(Item::Command(command)),
        }))
    }
}

impl Encoder<Message> for ZmtpCodec {
    type Error = CodecError;

    fn encode(&mut self, message: Message, dst: &mut BytesMut) -> Result<(), CodecError> {
        encode_message(&message, dst);
        Ok(())
    }
}

impl Encoder<Command> for ZmtpCodec {
    type Error = CodecError;

    fn encode(&mut self, command: Command, dst: &mut BytesMut) -> Result<(), CodecError> {
        command.encode(dst);
        Ok(())
    }
}

/// Why a [`Framed`](tokio_util::codec::Framed) stream of ZMTP ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// From this length on a body gets a buffer of its own, and is read straight to it.
const LARGE: usize = 32 << 10;
/// F2: what may be allocated for a large body beyond what has arrived, at least.
const MAX_AHEAD: usize = 64 << 10;
/// How much is read at a time between large bodies.
const BETWEEN_LARGE: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// All items of `octets`, which arrive at once.
    fn decode(mut codec: ZmtpCodec, octets: &[u8]) -> Result<Vec<Item>, ProtocolError> {
        let mut buf = BytesMut::from(octets);
        let decoded = std::iter::from_fn(|| codec.decode(&mut buf).transpose());
        let items: Result<_, _> = decoded.collect();
        items.map_err(|error| match error {
            CodecError::Protocol(error) => error,
            CodecError::Io(error) => panic!("{error}"),
        })
    }

    #[test]
    fn f7_a_part_of_a_message_is_never_returned() {
        let octets = b"\x01\x01a\x01\0\0\x01c\x01\x01x";
        for cut in 0..8 {
            assert_eq!(decode(ZmtpCodec::new(), &octets[..cut]), Ok(vec![]));
        }
        let whole = vec![Item::Message(Message::from(("a", "", "c")))];
        assert_eq!(decode(ZmtpCodec::new(), octets), Ok(whole));
    }

    #[test]
    fn f10_frames_of_no_octets_are_legal_anywhere() {
        let messages = ["", "a"].map(|body| Item::Message(Message::from(body)));
        assert_eq!(
            decode(ZmtpCodec::new(), b"\0\0\0\x01a"),
            Ok(messages.into())
        );
        let empty = Item::Message(Message::from(["", "", ""]));
        assert_eq!(
            decode(ZmtpCodec::new(), b"\x01\0\x01\0\0\0"),
            Ok(vec![empty])
        );
    }

    #[test]
    fn f11_the_size_limit_covers_the_whole_message_and_is_known_from_the_headers() {
        let codec = || ZmtpCodec::with_limits(10, 3);
        assert_eq!(
            decode(codec(), b"\x01\x0512345\0\x0567890").map(|items| items.len()),
            Ok(1)
        );
        // The size starts anew with each message.
        assert_eq!(
            decode(codec(), b"\0\x051234\n\0\x0a1234567890").map(|items| items.len()),
            Ok(2)
        );
        let too_large = |size| Err(ProtocolError::MessageTooLarge { size, limit: 10 });
        assert_eq!(decode(codec(), b"\0\x0b"), too_large(11));
        assert_eq!(decode(codec(), b"\x01\x0512345\0\x06"), too_large(11));
        let longest = [&b"\x01\x0512345\x02"[..], &[0x7f], &[0xff; 7]].concat();
        assert_eq!(
            decode(codec(), &longest),
            too_large(isize::MAX as usize + 5)
        );
    }

    #[test]
    fn the_number_of_frames_is_limited() {
        let codec = || ZmtpCodec::with_limits(10, 3);
        assert_eq!(
            decode(codec(), b"\x01\0\x01\0\0\0").map(|items| items.len()),
            Ok(1)
        );
        let too_many = Err(ProtocolError::TooManyFrames { limit: 3 });
        assert_eq!(decode(codec(), b"\x01\0\x01\0\x01\0\0\0"), too_many);
    }

    #[test]
    fn a_command_has_its_own_limit_and_may_come_between_two_frames() {
        let octets = b"\x01\x01a\x04\x05\x04PING\0\x01b";
        let expected = vec![
            Item::Command(Command::new("PING", "").unwrap()),
            Item::Message(Message::from(["a", "b"])),
        ];
        assert_eq!(decode(ZmtpCodec::with_limits(2, 2), octets), Ok(expected));
        // A subscription to the longest topic.
        let limit = 10 + 64 * 1024;
        let longest = b"\x06\0\0\0\0\0\x01\0\x0a";
        assert_eq!(decode(ZmtpCodec::with_limits(10, 1), longest), Ok(vec![]));
        let long = b"\x06\0\0\0\0\0\x01\0\x0b";
        let too_large = Err(ProtocolError::CommandTooLarge {
            size: limit + 1,
            limit,
        });
        assert_eq!(decode(ZmtpCodec::with_limits(10, 1), long), too_large);
    }

    #[test]
    fn f5_a_malformed_command_is_an_error() {
        let malformed = Err(ProtocolError::MalformedCommand { name: "" });
        for wrong in [&b"\x04\0"[..], b"\x04\x01\0", b"\x04\x02\x02A"] {
            assert_eq!(decode(ZmtpCodec::new(), wrong), malformed);
        }
        let told = malformed.map_err(|error| error.to_string());
        assert_eq!(told, Err("the peer sent a malformed command".to_owned()));
    }

    #[test]
    fn a_large_body_is_read_to_a_buffer_of_its_own() {
        for (len, own) in [(LARGE - 1, false), (LARGE, true), (1 << 20, true)] {
            let mut codec = ZmtpCodec::new();
            let (mut octets, mut buf) = (BytesMut::new(), BytesMut::new());
            let messages = ["small".into(), Message::from(vec![7; len]), "next".into()];
            for message in &messages {
                encode_message(message, &mut octets);
            }
            let mut decoded = Vec::new();
            let mut owned = false;
            while !octets.is_empty() {
                let (room, most) = match codec.body() {
                    Some(body) => body,
                    None => (&mut buf, 5000),
                };
                owned |= most != 5000;
                room.extend_from_slice(&octets.split_to(most.min(octets.len()).min(5000)));
                decoded.extend(std::iter::from_fn(|| codec.decode(&mut buf).unwrap()));
            }
            assert_eq!(owned, own, "{len}");
            assert_eq!(decoded, messages.map(Item::Message), "{len}");
        }
    }

    // As `Framed` has it: all octets come through the one buffer.
    #[test]
    fn a_large_body_that_arrives_in_pieces_takes_nothing_of_what_follows() {
        for piece in [1_000, LARGE, MAX_AHEAD, usize::MAX] {
            let mut codec = ZmtpCodec::new();
            let (mut octets, mut buf) = (BytesMut::new(), BytesMut::new());
            let messages = [
                Message::from(("key", vec![7; 5 * LARGE], "tail")),
                "next".into(),
                [vec![8; LARGE], vec![9; LARGE]].into(),
            ];
            for message in &messages {
                encode_message(message, &mut octets);
            }
            let mut decoded = Vec::new();
            while !octets.is_empty() {
                let arrived = octets.split_to(piece.min(octets.len()));
                buf.extend_from_slice(&arrived);
                decoded.extend(std::iter::from_fn(|| codec.decode(&mut buf).unwrap()));
            }
            assert_eq!(decoded, messages.map(Item::Message), "{piece}");
        }
    }

    #[test]
    fn f11_the_frames_of_a_message_in_pieces_are_counted_together() {
        let codec = || ZmtpCodec::with_limits(3 * LARGE, 3);
        let frames = |count: usize, len: usize| {
            let mut octets = BytesMut::new();
            let message = std::iter::repeat_n(vec![7; len], count).collect();
            encode_message(&message, &mut octets);
            decode(codec(), &octets).map(|items| items.len())
        };
        assert_eq!(frames(3, LARGE), Ok(1));
        let (size, limit) = (3 * LARGE + 3, 3 * LARGE);
        assert_eq!(
            frames(3, LARGE + 1),
            Err(ProtocolError::MessageTooLarge { size, limit })
        );
        assert_eq!(frames(4, 0), Err(ProtocolError::TooManyFrames { limit: 3 }));
        // The next message is counted anew.
        let mut octets = BytesMut::new();
        for _ in 0..2 {
            encode_message(
                &Message::from([(); 3].map(|()| vec![7; LARGE])),
                &mut octets,
            );
        }
        assert_eq!(decode(codec(), &octets).map(|items| items.len()), Ok(2));
    }

    #[test]
    fn a_run_tells_how_far_it_reaches_and_ends_before_what_does_not_stay() {
        let mut codec = ZmtpCodec::new();
        let mut buf = BytesMut::new();
        encode_message(&"a".into(), &mut buf);
        encode_message(&("bc", "def").into(), &mut buf);
        let len = buf.len();
        buf.extend_from_slice(b"\x04\x05\x04PING");
        encode_message(&Message::from(vec![7; LARGE]), &mut buf);
        let run = |messages, len, size| Extent {
            len,
            messages,
            size,
        };
        let mut next = |buf: &mut BytesMut, most| codec.next(buf, most).unwrap();
        let Some(Piece::Run(extent)) = next(&mut buf, usize::MAX) else {
            panic!("no run");
        };
        assert_eq!(extent, run(2, len, 6));
        drop(Run::cut(&mut buf, extent, BytesMut::new));
        let command = next(&mut buf, usize::MAX);
        assert!(matches!(command, Some(Piece::Command(_))), "{command:?}");
        let large = next(&mut buf, usize::MAX);
        assert!(matches!(large, Some(Piece::Message(_))), "{large:?}");
        // No more than are wanted.
        encode_message(&"a".into(), &mut buf);
        encode_message(&"bc".into(), &mut buf);
        let Some(Piece::Run(extent)) = next(&mut buf, 1) else {
            panic!("no run");
        };
        assert_eq!(extent, run(1, 3, 1));
    }

    #[test]
    fn what_was_found_before_an_error_comes_first() {
        let mut codec = ZmtpCodec::new();
        let mut buf = BytesMut::from(&b"\0\x01a\0\x01b\xff"[..]);
        let Ok(Some(Piece::Run(extent))) = codec.next(&mut buf, usize::MAX) else {
            panic!("no run");
        };
        let mut run = Run::cut(&mut buf, extent, BytesMut::new);
        assert_eq!(
            [run.next(), run.next()],
            ["a", "b"].map(|body| Some(body.into()))
        );
        assert!(codec.next(&mut buf, usize::MAX).is_err());
    }

    #[test]
    fn decoder_and_encoder_are_each_others_reverse() {
        let mut codec = ZmtpCodec::new();
        let mut buf = BytesMut::new();
        let message = Message::from(("a", vec![1; 300]));
        let command = Command::new("HELLO", "data").unwrap();
        codec.encode(message.clone(), &mut buf).unwrap();
        codec.encode(command.clone(), &mut buf).unwrap();
        assert_eq!(
            codec.decode(&mut buf).unwrap(),
            Some(Item::Message(message))
        );
        assert_eq!(
            codec.decode(&mut buf).unwrap(),
            Some(Item::Command(command))
        );
        assert_eq!(codec.decode(&mut buf).unwrap(), None);
        buf.extend_from_slice(&[0xff]);
        let error = codec.decode(&mut buf).unwrap_err();
        assert!(error.to_string().contains("0xff"), "{error}");
    }
}
