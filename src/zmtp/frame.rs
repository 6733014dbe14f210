//! Frames: a flags octet, a length of 1 or 8 octets, a body (RFC 37, *Framing*).

use bytes::BufMut;

use super::error::ProtocolError;
use crate::message::Message;

/// What stands before the body of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    /// The octets of the body. Announced by the peer, not arrived: allocate nothing on its word.
    pub(crate) body_len: usize,
    /// The octets of this header itself, 2 or 9.
    pub(crate) header_len: usize,
}

/// The three frames there are; a command cannot be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A frame of a message, and another follows.
    More,
    /// The last or only frame of a message.
    Last,
    /// A command.
    Command,
}

impl FrameHeader {
    /// Reads the header at the head of `octets`; `None` if it is not complete.
    #[inline]
    pub(crate) fn parse(octets: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let Some((&flags, rest)) = octets.split_first() else {
            return Ok(None);
        };
        let kind = match flags & !LONG {
            0 => FrameKind::Last,
            MORE => FrameKind::More,
            COMMAND => FrameKind::Command,
            // F1, F4
            other if other & !(MORE | COMMAND) != 0 => {
                return Err(ProtocolError::ReservedFlags { flags });
            }
            _ => return Err(ProtocolError::ContinuedCommand { flags }),
        };
        // F3: the long form may carry any length.
        let (body_len, header_len) = if flags & LONG == 0 {
            let Some(&len) = rest.first() else {
                return Ok(None);
            };
            (usize::from(len), SHORT_HEADER)
        } else {
            let Some(&size) = rest.first_chunk() else {
                return Ok(None);
            };
            (long_len(u64::from_be_bytes(size))?, LONG_HEADER)
        };
        Ok(Some(Self {
            kind,
            body_len,
            header_len,
        }))
    }
}

/// The length of the body at the head of `octets`, and what is there behind the header, if that is the only frame of a
/// message and has a short header.
#[inline]
pub(crate) fn short_single(octets: &[u8]) -> Option<(usize, &[u8])> {
    match octets {
        [0, len, body @ ..] => Some((usize::from(*len), body)),
        _ => None,
    }
}

/// Appends the header of a message's frame; `len` octets of body have to follow.
#[inline]
pub(crate) fn put_header(out: &mut impl BufMut, more: bool, len: usize) {
    put(out, if more { MORE } else { 0 }, len);
}

/// Appends the header of a command; `len` octets of body have to follow.
pub(crate) fn put_command_header(out: &mut impl BufMut, len: usize) {
    put(out, COMMAND, len);
}

/// Appends a frame of any kind.
pub(crate) fn put_frame(out: &mut impl BufMut, kind: FrameKind, body: &[u8]) {
    let flags = match kind {
        FrameKind::More => MORE,
        FrameKind::Last => 0,
        FrameKind::Command => COMMAND,
    };
    put(out, flags, body.len());
    out.put_slice(body);
}

/// Appends all frames of `message`.
#[inline]
pub(crate) fn encode_message(message: &Message, out: &mut impl BufMut) {
    if !message.is_multipart() {
        let frame = message.first();
        put_header(out, false, frame.len());
        return out.put_slice(frame);
    }
    let frames = message.iter();
    let last = frames.len() - 1;
    for (index, frame) in frames.enumerate() {
        put_header(out, index < last, frame.len());
        out.put_slice(frame);
    }
}

/// How many octets `message` takes as frames.
#[inline]
pub(crate) fn encoded_len(message: &Message) -> usize {
    let framed = |len: usize| {
        len + if len <= usize::from(u8::MAX) {
            SHORT_HEADER
        } else {
            LONG_HEADER
        }
    };
    if !message.is_multipart() {
        return framed(message.first().len());
    }
    message.iter().map(|frame| framed(frame.len())).sum()
}

#[inline]
fn put(out: &mut impl BufMut, flags: u8, len: usize) {
    if let Ok(len) = u8::try_from(len) {
        out.put_slice(&[flags, len]);
    } else {
        let mut header = [flags | LONG; LONG_HEADER];
        header[1..].copy_from_slice(&(len as u64).to_be_bytes());
        out.put_slice(&header);
    }
}

/// F2: bit 63 is not part of the length; nor does a length count that no memory could hold.
fn long_len(size: u64) -> Result<usize, ProtocolError> {
    isize::try_from(size)
        .map(isize::unsigned_abs)
        .map_err(|_| ProtocolError::ImpossibleLength { size })
}

/// F1: the flags that have a meaning.
const MORE: u8 = 0b001;
const LONG: u8 = 0b010;
const COMMAND: u8 = 0b100;

/// Flags and a length of one octet.
pub(crate) const SHORT_HEADER: usize = 2;
/// Flags and a length of eight octets.
pub(crate) const LONG_HEADER: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_a_message_takes_is_known_before_it_is_encoded() {
        let single = [0, 1, 255, 256, 70_000].map(|len| Message::from(vec![7; len]));
        let multipart = [vec!["", ""], vec!["a", "", "bc"]].map(Message::from_iter);
        let mixed = Message::from(("a", vec![7; 300], vec![8; 255], ""));
        for message in single.into_iter().chain(multipart).chain([mixed]) {
            let mut octets = Vec::new();
            encode_message(&message, &mut octets);
            assert_eq!(encoded_len(&message), octets.len());
        }
    }

    fn header(octets: &[u8]) -> Option<(FrameKind, usize, usize)> {
        FrameHeader::parse(octets)
            .unwrap()
            .map(|header| (header.kind, header.body_len, header.header_len))
    }

    #[test]
    fn f1_three_flags_have_a_meaning_and_any_other_bit_is_an_error() {
        assert_eq!(header(&[0, 5]), Some((FrameKind::Last, 5, 2)));
        assert_eq!(header(&[1, 5]), Some((FrameKind::More, 5, 2)));
        assert_eq!(header(&[4, 255]), Some((FrameKind::Command, 255, 2)));
        for flags in 8..=255 {
            // The first octet alone is enough to know.
            assert_eq!(
                FrameHeader::parse(&[flags]),
                Err(ProtocolError::ReservedFlags { flags })
            );
        }
    }

    #[test]
    fn f2_a_long_size_has_eight_octets_and_bit_63_is_an_error() {
        let long = [2, 0, 0, 0, 1, 2, 3, 4, 5];
        assert_eq!(header(&long), Some((FrameKind::Last, 0x1_0203_0405, 9)));
        let most = [3, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(
            header(&most),
            Some((FrameKind::More, isize::MAX as usize, 9))
        );
        let size = 1 << 63;
        assert_eq!(
            FrameHeader::parse(&[2, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Err(ProtocolError::ImpossibleLength { size })
        );
    }

    #[test]
    fn f3_the_long_form_of_a_short_body_is_accepted() {
        assert_eq!(
            header(&[2, 0, 0, 0, 0, 0, 0, 0, 1]),
            Some((FrameKind::Last, 1, 9))
        );
        assert_eq!(
            header(&[6, 0, 0, 0, 0, 0, 0, 0, 0]),
            Some((FrameKind::Command, 0, 9))
        );
    }

    #[test]
    fn f4_more_on_a_command_is_an_error() {
        for flags in [0b101, 0b111] {
            assert_eq!(
                FrameHeader::parse(&[flags]),
                Err(ProtocolError::ContinuedCommand { flags })
            );
        }
    }

    #[test]
    fn a_header_that_is_not_complete_is_awaited() {
        let long = [2, 0, 0, 0, 0, 0, 0, 1, 0];
        for cut in 0..long.len() {
            assert_eq!(header(&long[..cut]), None);
        }
        assert_eq!(header(&[0]), None);
    }

    #[test]
    fn what_is_put_parses_back_on_both_sides_of_the_short_form() {
        for len in [0, 1, 255, 256, 70_000] {
            for (more, kind) in [(false, FrameKind::Last), (true, FrameKind::More)] {
                let mut out = Vec::new();
                put_header(&mut out, more, len);
                assert_eq!(header(&out), Some((kind, len, out.len())));
                assert_eq!(out.len(), if len < 256 { 2 } else { 9 });
            }
            let mut out = Vec::new();
            put_command_header(&mut out, len);
            assert_eq!(header(&out), Some((FrameKind::Command, len, out.len())));
        }
    }

    #[test]
    fn a_single_short_frame_is_known_by_its_first_octets() {
        assert_eq!(short_single(&[0, 5, 1]), Some((5, &[1][..])));
        for other in [
            &[1, 5][..],
            &[4, 5],
            &[2, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0],
            &[],
        ] {
            assert_eq!(short_single(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_message_is_encoded_frame_by_frame() {
        let mut out = Vec::new();
        encode_message(&Message::from("hello"), &mut out);
        encode_message(&Message::from(("", vec![7; 256], "z")), &mut out);
        let mut expected = b"\0\x05hello\x01\0\x03\0\0\0\0\0\0\x01\0".to_vec();
        expected.extend([7; 256]);
        expected.extend(b"\0\x01z");
        assert_eq!(out, expected);
    }
}
