//! [`ZmtpCodec`]: octets to whole messages and commands, and back.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use super::Limits;
use super::command::Command;
use super::error::ProtocolError;
use super::frame::{FrameHeader, FrameKind, encode_message};
use crate::mechanism::Open;
use crate::message::Message;

/// Cuts a stream of ZMTP octets, after the handshake, into whole messages and commands.
///
/// Fits [`tokio_util::codec::Framed`]. A message is returned when its last frame is complete; a part of one never is.
/// An error is final: where the next frame begins is not known.
#[derive(Debug)]
pub struct ZmtpCodec {
    limits: Limits,
    /// The frames of the message that has begun to arrive.
    frames: Vec<Bytes>,
    /// Their octets.
    size: usize,
    /// How many octets were left when nothing was complete.
    left: usize,
}

/// What a stream of ZMTP carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A message, whole.
    Message(Message),
    /// A command; it may have come between two frames of a message.
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
            frames: Vec::new(),
            size: 0,
            left: 0,
        }
    }

    /// Takes messages off the head of `buf` and gives them to `deliver` until that says no, until `obey` makes something
    /// of a command, or until nothing is complete.
    ///
    /// A message is built where it is delivered: to hand it up through results would cost more than to decode it.
    #[inline]
    pub(crate) fn decode_each<T>(
        &mut self,
        buf: &mut BytesMut,
        mut deliver: impl FnMut(Message) -> bool,
        mut obey: impl FnMut(Command) -> Result<Option<T>, ProtocolError>,
    ) -> Result<Option<T>, ProtocolError> {
        while let Some(header) = FrameHeader::parse(buf)? {
            self.check(&header)?;
            if buf.len() < header.header_len + header.body_len {
                break;
            }
            if let Break(end) = self.take_frame(&header, buf, &mut deliver, &mut obey)? {
                return Ok(end);
            }
        }
        self.left = buf.len();
        Ok(None)
    }

    /// The same for an encrypted stream: each frame there holds another, which `open` brings to light.
    pub(crate) fn open_each<T>(
        &mut self,
        open: &mut dyn Open,
        buf: &mut BytesMut,
        mut deliver: impl FnMut(Message) -> bool,
        mut obey: impl FnMut(Command) -> Result<Option<T>, ProtocolError>,
    ) -> Result<Option<T>, ProtocolError> {
        while let Some(outer) = FrameHeader::parse(buf)? {
            let inner_len = outer.body_len.checked_sub(open.overhead());
            let (Some(inner_len), false) = (inner_len, outer.kind == FrameKind::More) else {
                return Err(ProtocolError::NotEncrypted);
            };
            // What kind of frame is within is not known before all of it is here.
            let limit = self.limits.command();
            if inner_len > limit {
                let size = inner_len;
                return Err(ProtocolError::MessageTooLarge { size, limit });
            }
            let end = outer.header_len + outer.body_len;
            let Some(body) = buf.get_mut(outer.header_len..end) else {
                break;
            };
            let (kind, at) = open.open(body)?;
            let inner = FrameHeader {
                kind,
                body_len: inner_len,
                header_len: outer.header_len + at,
            };
            self.check(&inner)?;
            if let Break(end) = self.take_frame(&inner, buf, &mut deliver, &mut obey)? {
                return Ok(end);
            }
        }
        self.left = buf.len();
        Ok(None)
    }

    /// Takes the frame of `header`, which is complete, off the head of `buf`.
    #[inline(always)]
    fn take_frame<T>(
        &mut self,
        header: &FrameHeader,
        buf: &mut BytesMut,
        deliver: &mut impl FnMut(Message) -> bool,
        obey: &mut impl FnMut(Command) -> Result<Option<T>, ProtocolError>,
    ) -> Result<ControlFlow<Option<T>>, ProtocolError> {
        let end = header.header_len + header.body_len;
        let go_on = if header.kind == FrameKind::Last
            && self.frames.is_empty()
            && header.body_len < SHARED_FROM
            && let Some(body) = buf.get(header.header_len..end)
        {
            let go_on = deliver(Message::copy_from_slice(body));
            buf.advance(end);
            go_on
        } else {
            buf.advance(header.header_len);
            let body = take(buf, header.body_len);
            if header.kind == FrameKind::Command {
                if let Some(item) = obey(Command::decode(body)?)? {
                    return Ok(Break(Some(item)));
                }
                true
            } else {
                self.accept(header.kind, body).is_none_or(deliver)
            }
        };
        Ok(if go_on { Continue(()) } else { Break(None) })
    }

    /// Whether something may have arrived since [`next`](Self::next) last found nothing complete.
    #[inline]
    pub(crate) fn is_news(&self, buf: &BytesMut) -> bool {
        buf.len() != self.left
    }

    /// The octets still missing of the frame at the head of `buf`, 0 if that is not known.
    pub(crate) fn missing(buf: &[u8]) -> usize {
        match FrameHeader::parse(buf) {
            Ok(Some(header)) => (header.header_len + header.body_len).saturating_sub(buf.len()),
            Ok(None) | Err(_) => 0,
        }
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
        let size = self.size.saturating_add(header.body_len);
        let limit = self.limits.max_message_size;
        if size > limit {
            return Err(ProtocolError::MessageTooLarge { size, limit });
        }
        let limit = self.limits.max_frames;
        if self.frames.len() >= limit {
            return Err(ProtocolError::TooManyFrames { limit });
        }
        Ok(())
    }

    /// Takes in a whole frame of a message.
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
        let mut message = None;
        let deliver = |delivered| {
            message = Some(Item::Message(delivered));
            false
        };
        let command = self.decode_each(src, deliver, |command| Ok(Some(Item::Command(command))))?;
        Ok(message.or(command))
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

/// The next `len` octets of `buf`: copied if few, so that they do not hold on to the whole buffer, else shared.
fn take(buf: &mut BytesMut, len: usize) -> Bytes {
    if len < SHARED_FROM {
        let body = Bytes::copy_from_slice(&buf[..len]);
        buf.advance(len);
        body
    } else {
        buf.split_to(len).freeze()
    }
}

/// From this length on a body is worth holding on to the buffer that it arrived in.
const SHARED_FROM: usize = 1024;

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
        let limit = 64 * 1024;
        let long = b"\x06\0\0\0\0\0\x01\0\x01";
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
    }

    #[test]
    fn a_small_body_is_copied_and_a_large_one_shared() {
        for (len, shared) in [(65, false), (1023, false), (1024, true), (5000, true)] {
            let mut buf = BytesMut::new();
            encode_message(&Message::from(vec![7; len]), &mut buf);
            let octets = buf.as_ptr_range();
            let Ok(Some(Item::Message(message))) = ZmtpCodec::new().decode(&mut buf) else {
                panic!("no message of {len} octets");
            };
            assert_eq!(message.size(), len);
            assert_eq!(octets.contains(&message.first().as_ptr()), shared, "{len}");
        }
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
