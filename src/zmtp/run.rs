//! [`Run`]: whole messages, still framed as they came.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::frame::{FrameHeader, FrameKind, LONG_HEADER, encode_message, short_single};
use crate::message::Message;

/// Whole messages one behind the other, in the octets that they arrived in.
///
/// Whoever reads them makes messages of them, one at a time. A few octets cross from task to task instead of as many
/// message values, and what is allocated for a body is freed by the same thread.
#[derive(Debug)]
pub(crate) struct Run {
    octets: BytesMut,
    /// Where the next message begins.
    at: usize,
    /// Behind the last message.
    end: usize,
    /// How many are left.
    messages: usize,
}

/// How far whole messages reach at the head of a buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) len: usize,
    pub(crate) messages: usize,
    /// The octets of their bodies.
    pub(crate) size: usize,
}

impl Run {
    /// Cuts `extent` off the head of `buf`.
    ///
    /// What fills most of `buf` leaves with it, and what is behind moves to the buffer that `fresh` gives; less than that
    /// is copied out, so that a small message never holds on to a large buffer.
    pub(crate) fn cut(
        buf: &mut BytesMut,
        extent: Extent,
        fresh: impl FnOnce() -> BytesMut,
    ) -> Self {
        let behind = buf.get(extent.len..).unwrap_or_default();
        let octets = if extent.len >= buf.capacity() / 4 && behind.len() <= extent.len {
            let mut fresh = fresh();
            fresh.extend_from_slice(behind);
            std::mem::replace(buf, fresh)
        } else {
            let octets = BytesMut::from(buf.get(..extent.len).unwrap_or_default());
            buf.advance(octets.len());
            octets
        };
        Self {
            at: 0,
            end: extent.len,
            messages: extent.messages,
            octets,
        }
    }

    /// An empty one, to be filled as far as `octets` has room.
    pub(crate) fn within(octets: BytesMut) -> Self {
        Self {
            octets,
            at: 0,
            end: 0,
            messages: 0,
        }
    }

    /// Puts `message` behind the others. `false` if there is no room.
    #[inline]
    pub(crate) fn append(&mut self, message: &Message) -> bool {
        let most = message.size() + LONG_HEADER * message.len();
        if self.octets.capacity() - self.octets.len() < most {
            return false;
        }
        encode_message(message, &mut self.octets);
        self.end = self.octets.len();
        self.messages += 1;
        true
    }

    /// Takes the one message of `extent` off the head of `buf`.
    pub(crate) fn take_one(buf: &mut BytesMut, extent: Extent) -> Option<Message> {
        let (message, len) = decode(&buf[..])?;
        debug_assert_eq!((len, 1), (extent.len, extent.messages));
        buf.advance(len);
        Some(message)
    }

    /// How many messages are left.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Makes a message of the next one.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.next_and_size(&mut 0)
    }

    /// The same, and adds the octets that it took, framed, to `size`.
    ///
    /// They are known before it is made: whoever looked at the message would have it moved once more, and each move of a
    /// small one takes as long as the rest of this.
    #[inline]
    pub(crate) fn next_and_size(&mut self, size: &mut usize) -> Option<Message> {
        let rest = self.octets.get(self.at..self.end)?;
        if let Some((body, len)) = single(rest) {
            let whole = rest.len() - body.len() + len;
            self.at += whole;
            self.messages -= 1;
            *size += whole;
            return Message::from_head_of(body, len);
        }
        let (message, whole) = multipart(rest)?;
        self.at += whole;
        self.messages -= 1;
        *size += whole;
        Some(message)
    }

    /// Makes messages of the next `count`, of which there are as many, and puts them behind those in `into`. The octets that
    /// they took, framed.
    #[inline]
    pub(crate) fn next_some(&mut self, into: &mut Vec<Message>, count: usize) -> usize {
        let mut size = 0;
        into.extend((0..count).map_while(|_| self.next_and_size(&mut size)));
        size
    }

    /// The buffer, for another use.
    pub(crate) fn into_octets(self) -> BytesMut {
        self.octets
    }
}

/// The message at the head of `octets`, and how many octets it takes there.
#[inline]
fn decode(octets: &[u8]) -> Option<(Message, usize)> {
    let Some((body, len)) = single(octets) else {
        return multipart(octets);
    };
    let whole = octets.len() - body.len() + len;
    Some((Message::from_head_of(body, len)?, whole))
}

/// What is behind the header at the head of `octets`, and the length of the body there, if that is a message of one frame.
#[inline(always)]
fn single(octets: &[u8]) -> Option<(&[u8], usize)> {
    // Most have a short header.
    if let Some((len, body)) = short_single(octets) {
        return Some((body, len));
    }
    let header = FrameHeader::parse(octets).ok()??;
    let body = octets.get(header.header_len..)?;
    (header.kind == FrameKind::Last).then_some((body, header.body_len))
}

/// The message of several frames at the head of `octets`, and how many octets it takes there. If more than two of them have
/// any, all share one copy.
fn multipart(octets: &[u8]) -> Option<(Message, usize)> {
    let (mut at, mut count, mut filled) = (0, 0, 0);
    loop {
        let (body, last) = frame(octets, at)?;
        at = body.end;
        count += 1;
        filled += usize::from(!body.is_empty());
        if last {
            break;
        }
    }
    let whole = octets
        .get(..at)
        .filter(|_| filled > 2)
        .map(Bytes::copy_from_slice);
    let mut frames = Vec::with_capacity(count);
    let mut next = 0;
    while next < at {
        let (body, _) = frame(octets, next)?;
        next = body.end;
        frames.push(match &whole {
            Some(whole) => whole.slice(body),
            None => Bytes::copy_from_slice(octets.get(body)?),
        });
    }
    Some((Message::from_vec(frames)?, at))
}

/// Where the body of the frame that begins at `at` is, and whether it is the last of its message.
#[inline]
fn frame(octets: &[u8], at: usize) -> Option<(Range<usize>, bool)> {
    let header = FrameHeader::parse(octets.get(at..)?).ok()??;
    let body = at + header.header_len;
    Some((body..body + header.body_len, header.kind == FrameKind::Last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zmtp::encoded_len;

    fn encoded(messages: &[Message], room: usize) -> (BytesMut, Extent) {
        let mut octets = BytesMut::with_capacity(room);
        for message in messages {
            encode_message(message, &mut octets);
        }
        let extent = Extent {
            len: octets.len(),
            messages: messages.len(),
            size: messages.iter().map(Message::size).sum(),
        };
        (octets, extent)
    }

    fn messages_of(run: &mut Run) -> Vec<Message> {
        let mut size = 0;
        let messages = std::iter::from_fn(|| run.next_and_size(&mut size)).collect::<Vec<_>>();
        assert_eq!(size, messages.iter().map(encoded_len).sum::<usize>());
        messages
    }

    #[test]
    fn some_messages_are_made_behind_others_and_the_rest_is_left() {
        let messages: [Message; 6] = [
            "short".into(),
            "".into(),
            ("two", "frames").into(),
            vec![7; 300].into(),
            (vec![8; 300], "").into(),
            "last".into(),
        ];
        let (mut buf, extent) = encoded(&messages, 1_000);
        let mut run = Run::cut(&mut buf, extent, BytesMut::new);
        let mut made = vec![Message::from("there")];
        assert_eq!(run.next_some(&mut made, 0), 0);
        assert_eq!(run.next_some(&mut made, 3), 7 + 2 + 13);
        assert_eq!(run.messages(), 3);
        assert_eq!(run.next_some(&mut made, 2), 309 + 311);
        assert_eq!(made[0], "there");
        assert_eq!(made[1..], messages[..5]);
        assert_eq!((run.messages(), run.next().unwrap()), (1, "last".into()));
    }

    // Reads are large: what is one message of many octets must not be copied, nor a small one hold on to them.
    #[test]
    fn what_fills_a_buffer_leaves_with_it_and_a_small_part_is_copied_out() {
        let messages = [Message::from(vec![7; 300]), "a".into()];
        for (room, behind, leaves) in [
            (400, 0, true),
            (4 * 305, 100, true),
            (4 * 305 + 50, 100, false),
            (800, 320, false),
        ] {
            let (mut buf, extent) = encoded(&messages, room);
            assert_eq!((buf.capacity(), extent.len), (room, 312));
            buf.resize(extent.len + behind, 9);
            let place = buf.as_ptr();
            let run = Run::cut(&mut buf, extent, BytesMut::new);
            assert_eq!(
                run.octets.as_ptr() == place,
                leaves,
                "{room}, {behind} behind"
            );
            assert_eq!(buf, vec![9; behind]);
            assert_eq!(run.messages(), 2);
            assert_eq!(messages_of(&mut { run }), messages);
        }
    }

    #[test]
    fn messages_are_put_into_a_buffer_as_far_as_it_has_room_and_it_never_grows() {
        let message = Message::from("message");
        // A header may take nine octets.
        for (room, fit) in [(15, 0), (16, 1), (24, 1), (25, 2), (16 + 3 * 9, 4)] {
            let mut run = Run::within(BytesMut::with_capacity(room));
            let put = (0..10).take_while(|_| run.append(&message)).count();
            assert_eq!((put, run.messages()), (fit, fit), "{room}");
            assert_eq!(messages_of(&mut run), vec![message.clone(); fit]);
            assert_eq!(run.into_octets().capacity(), room);
        }
        let frames = Message::from(["x"; 10]);
        for (room, fits) in [(30, false), (99, false), (100, true)] {
            let mut run = Run::within(BytesMut::with_capacity(room));
            assert_eq!(run.append(&frames), fits, "{room}");
            assert_eq!(run.into_octets().capacity(), room);
        }
    }
}
