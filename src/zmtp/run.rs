//! [`Run`]: whole messages, still framed as they came.

use bytes::{Buf, Bytes, BytesMut};

use super::frame::{
    FrameHeader, FrameKind, LONG_HEADER, SHORT_HEADER, encode_message, short_single,
};
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
        let rest = self.octets.get(self.at..self.end)?;
        // Most are a single short frame: to hand its length up beside the message would move the message once more.
        if let Some(body_len) = short_single(rest) {
            let message = Message::from_head_of(rest.get(SHORT_HEADER..)?, body_len);
            self.at += SHORT_HEADER + body_len;
            self.messages -= 1;
            return message;
        }
        let (message, len) = decode(rest)?;
        self.at += len;
        self.messages -= 1;
        Some(message)
    }

    /// The buffer, for another use.
    pub(crate) fn into_octets(self) -> BytesMut {
        self.octets
    }
}

/// The message at the head of `octets`, and how many octets it takes there.
#[inline]
fn decode(octets: &[u8]) -> Option<(Message, usize)> {
    let header = FrameHeader::parse(octets).ok()??;
    if header.kind != FrameKind::Last {
        return multipart(octets);
    }
    let body = octets.get(header.header_len..)?;
    let message = Message::from_head_of(body, header.body_len)?;
    Some((message, header.header_len + header.body_len))
}

/// The message of several frames at the head of `octets`, and how many octets it takes there. All its frames share one
/// copy.
fn multipart(octets: &[u8]) -> Option<(Message, usize)> {
    let mut bodies = Vec::new();
    let mut at = 0;
    loop {
        let header = FrameHeader::parse(octets.get(at..)?).ok()??;
        let body = at + header.header_len;
        at = body + header.body_len;
        bodies.push(body..at);
        if header.kind == FrameKind::Last {
            break;
        }
    }
    let whole = Bytes::copy_from_slice(octets.get(..at)?);
    let frames = bodies.into_iter().map(|body| whole.slice(body));
    Some((Message::from_vec(frames.collect())?, at))
}
