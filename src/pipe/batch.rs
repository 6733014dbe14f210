//! [`Writing`]: encoded messages in order, and how far they have been written.

use std::io::IoSlice;

use bytes::Bytes;

use crate::message::Message;
use crate::zmtp::{FrameHeader, FrameKind, put_header};

/// Messages encoded one behind the other, ready for the wire.
///
/// Headers and small bodies stand in one contiguous buffer; a large body stays where it is and is written from there.
/// Frames are self-delimiting, so after a broken connection the rest can be cut at a message boundary.
#[derive(Default)]
pub(crate) struct Writing {
    /// Frame headers and small bodies.
    octets: Vec<u8>,
    /// Large bodies, each with its place: the length of `octets` before it.
    bodies: Vec<(usize, Bytes)>,
    messages: usize,
    /// Wire octets of everything here.
    size: usize,
    /// How much of `octets` is written.
    octets_done: usize,
    /// How many of `bodies` are written whole.
    bodies_done: usize,
    /// How much of the next body is written.
    body_done: usize,
}

/// Bodies of at least this size are written from where they are instead of being copied.
const LARGE: usize = 32 << 10;
/// An empty buffer larger than this is given back to the allocator at once.
const KEEP: usize = 2 << 20;
/// The same of one that nobody needs for now.
const KEEP_IDLE: usize = 4 << 10;

impl Writing {
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether some of it is written.
    pub fn is_begun(&self) -> bool {
        // A body comes behind its header.
        self.octets_done > 0
    }

    /// Messages that are not written whole are all counted.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Wire octets, written ones included.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Appends `message`.
    #[inline(always)]
    pub fn push(&mut self, message: &Message) {
        if let Some((chunk, len)) = message.short() {
            let before = self.octets.len();
            put_header(&mut self.octets, false, len);
            // A copy of known length needs no call, and reads the octets as they were written: a wider load would wait.
            let end = self.octets.len() + len;
            self.octets.extend_from_slice(chunk);
            self.octets.truncate(end);
            self.size += end - before;
        } else {
            self.push_frames(message);
        }
        self.messages += 1;
    }

    fn push_frames(&mut self, message: &Message) {
        if message.is_multipart() {
            let last = message.len() - 1;
            for (index, body) in message.iter().enumerate() {
                self.push_frame(index < last, body, message.shared(index));
            }
        } else {
            self.push_frame(false, message.first(), message.shared(0));
        }
    }

    #[inline]
    fn push_frame(&mut self, more: bool, body: &[u8], shared: Option<&Bytes>) {
        let before = self.octets.len();
        put_header(&mut self.octets, more, body.len());
        match shared {
            Some(shared) if body.len() >= LARGE => {
                self.bodies.push((self.octets.len(), shared.clone()));
                self.size += body.len();
            }
            _ => self.octets.extend_from_slice(body),
        }
        self.size += self.octets.len() - before;
    }

    /// Appends octets that are framed already and are no messages: commands.
    pub fn push_framed(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.size += octets.len();
    }

    /// Fills `slices` with what is to be written next.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut at = self.octets_done;
        let mut skip = self.body_done;
        let mut bodies = self.bodies[self.bodies_done..].iter();
        while filled < slices.len() {
            let body = bodies.next();
            let until = body.map_or(self.octets.len(), |(place, _)| *place);
            if at < until {
                slices[filled] = IoSlice::new(&self.octets[at..until]);
                filled += 1;
                at = until;
            }
            let Some((_, body)) = body else { break };
            if filled < slices.len() {
                slices[filled] = IoSlice::new(&body[skip..]);
                filled += 1;
                skip = 0;
            }
        }
        filled
    }

    /// Notes that `n` more octets are written. At the end everything is forgotten and the buffers are kept for reuse.
    pub fn advance(&mut self, mut n: usize) {
        loop {
            let until = self
                .bodies
                .get(self.bodies_done)
                .map_or(self.octets.len(), |(place, _)| *place);
            let step = n.min(until - self.octets_done);
            self.octets_done += step;
            n -= step;
            if n == 0 {
                break;
            }
            let left = self.bodies[self.bodies_done].1.len() - self.body_done;
            let step = n.min(left);
            self.body_done += step;
            n -= step;
            if step == left {
                self.bodies_done += 1;
                self.body_done = 0;
            }
        }
        if self.octets_done == self.octets.len() && self.bodies_done == self.bodies.len() {
            self.clear();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.octets.capacity() > KEEP {
            self.octets = Vec::new();
        }
        self.octets.clear();
        self.messages = 0;
        self.size = 0;
        self.octets_done = 0;
        self.bodies_done = 0;
        self.body_done = 0;
        // Last: what frees a body is the code of others, and may panic.
        self.bodies.clear();
    }

    /// Whether it has a buffer that is too large to be kept by who has no use for it.
    #[inline]
    pub fn is_roomy(&self) -> bool {
        self.octets.capacity() > KEEP_IDLE
    }

    /// Gives such a buffer back, if nothing is in it.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.is_roomy() {
            *self = Self::default();
        }
    }

    /// What no peer has: the messages that are not written whole, from their beginning (A4). Commands are left out, and
    /// what a peer of 3.0 gets in their place: it looks like messages, but nobody sent it as one.
    pub fn into_unsent(self) -> Self {
        let mut rest = Self::default();
        if self.messages == 0 {
            return rest;
        }
        let written = self.written();
        let mut wire = 0;
        let mut message = Vec::new();
        for frame in self.frames(0, 0) {
            wire += frame.wire_len;
            if frame.kind == FrameKind::Command {
                continue;
            }
            message.push(frame.to_bytes());
            if frame.kind == FrameKind::Last {
                if wire > written {
                    rest.push(&message.drain(..).collect());
                }
                message.clear();
            }
        }
        rest
    }

    /// The frames that are not written. Between two frames only: none may be half written.
    pub fn rest(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames(self.octets_done, self.bodies_done)
    }

    fn frames(&self, at: usize, body: usize) -> Frames<'_> {
        Frames { of: self, at, body }
    }

    /// Puts `later` behind what is here.
    pub fn append(&mut self, later: &Self) {
        debug_assert_eq!(
            later.written(),
            0,
            "only what is not begun can go behind something"
        );
        let place = self.octets.len();
        self.octets.extend_from_slice(&later.octets);
        let bodies = later.bodies.iter();
        self.bodies
            .extend(bodies.map(|(at, body)| (at + place, body.clone())));
        self.messages += later.messages;
        self.size += later.size;
    }

    fn written(&self) -> usize {
        let bodies = self.bodies[..self.bodies_done]
            .iter()
            .map(|(_, body)| body.len());
        self.octets_done + bodies.sum::<usize>() + self.body_done
    }
}

/// Walks the frames of a [`Writing`].
struct Frames<'a> {
    of: &'a Writing,
    at: usize,
    body: usize,
}

/// One frame of a [`Writing`].
pub(crate) struct Frame<'a> {
    pub kind: FrameKind,
    pub body: &'a [u8],
    shared: Option<&'a Bytes>,
    /// The octets of header and body.
    pub wire_len: usize,
}

impl Frame<'_> {
    fn to_bytes(&self) -> Bytes {
        self.shared
            .cloned()
            .unwrap_or_else(|| Bytes::copy_from_slice(self.body))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let header = FrameHeader::parse(&self.of.octets[self.at..]).ok()??;
        self.at += header.header_len;
        let shared = match self.of.bodies.get(self.body) {
            Some((place, body)) if *place == self.at => Some(body),
            _ => None,
        };
        let body = match shared {
            Some(body) => {
                self.body += 1;
                body
            }
            None => {
                let from = self.at;
                self.at += header.body_len;
                &self.of.octets[from..self.at]
            }
        };
        Some(Frame {
            kind: header.kind,
            body,
            shared,
            wire_len: header.header_len + body.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Everything that is to be written, taken `step` octets at a time, at most `most` octets.
    fn write(writing: &mut Writing, step: usize, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !writing.is_empty() && out.len() < most {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = writing.slices(&mut slices);
            let mut taken = 0;
            for slice in &slices[..filled] {
                assert!(!slice.is_empty());
                let n = slice.len().min(step - taken).min(most - out.len());
                out.extend_from_slice(&slice[..n]);
                taken += n;
            }
            writing.advance(taken);
        }
        out
    }

    fn messages() -> Vec<Message> {
        vec![
            "a".into(),
            ("key", vec![1; LARGE], "tail").into(),
            vec![2; 300].into(),
            [vec![3; LARGE + 1], vec![4; LARGE]].into(),
            "".into(),
        ]
    }

    fn writing(messages: &[Message]) -> Writing {
        let mut writing = Writing::default();
        messages.iter().for_each(|message| writing.push(message));
        writing
    }

    #[test]
    fn any_partial_write_gives_the_same_octets() {
        let whole = write(&mut writing(&messages()), usize::MAX, usize::MAX);
        assert_eq!(whole.len(), writing(&messages()).size());
        for step in [1, 2, 7, 1000, LARGE] {
            assert_eq!(
                write(&mut writing(&messages()), step, usize::MAX),
                whole,
                "step {step}"
            );
        }
    }

    // A4, F8: a half-written message is sent again whole, a written one never again.
    #[test]
    fn the_unsent_rest_begins_with_the_message_that_is_not_written_whole() {
        let all = messages();
        let size = writing(&all).size();
        for cut in (0..size)
            .step_by(997)
            .chain([0, 1, 2, 3, size - 2, size - 1])
        {
            let mut half = writing(&all);
            write(&mut half, usize::MAX, cut);
            let mut whole = 0;
            let sent = all.iter().take_while(|message| {
                whole += writing(std::slice::from_ref(message)).size();
                whole <= cut
            });
            let expected = &all[sent.count()..];
            let mut rest = half.into_unsent();
            assert_eq!(rest.messages(), expected.len(), "cut at {cut}");
            let octets = write(&mut rest, usize::MAX, usize::MAX);
            assert_eq!(
                octets,
                write(&mut writing(expected), usize::MAX, usize::MAX),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn what_comes_later_is_put_behind_with_its_large_bodies_in_their_places() {
        let all = messages();
        let (first, later) = all.split_at(2);
        let mut both = writing(first);
        both.append(&writing(later));
        assert_eq!(both.messages(), first.len() + later.len());
        assert_eq!(both.size(), writing(&messages()).size());
        let octets = write(&mut both, usize::MAX, usize::MAX);
        let whole = write(&mut writing(&messages()), usize::MAX, usize::MAX);
        assert!(octets == whole);
    }

    // What is left is whole: the session's end looks at it.
    #[test]
    fn a_body_that_panics_when_it_is_freed_leaves_nothing_behind() {
        struct Bomb(Vec<u8>);

        impl AsRef<[u8]> for Bomb {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("octets that panic when they are freed");
            }
        }

        let mut writing = Writing::default();
        let bomb = Bytes::from_owner(Bomb(vec![0; LARGE]));
        writing.push(&Message::from(bomb));
        writing.push(&"behind it".into());
        let size = writing.size();
        let written = AssertUnwindSafe(|| writing.advance(size));
        assert!(catch_unwind(written).is_err());
        assert!(writing.is_empty() && !writing.is_begun());
        assert!(writing.into_unsent().is_empty());
    }

    #[test]
    fn small_messages_leave_in_one_piece_and_a_large_body_from_where_it_is() {
        let mut slices = [IoSlice::new(&[]); 3];
        let body = Bytes::from(vec![7; LARGE - 1]);
        let small = writing(&["a".into(), body.into(), vec![8; 300].into()]);
        assert_eq!(small.slices(&mut slices), 1);
        let body = Bytes::from(vec![7; LARGE]);
        let large = writing(&["a".into(), body.clone().into(), "b".into()]);
        assert_eq!(large.slices(&mut slices), 3);
        assert_eq!(slices[1].as_ptr(), body.as_ptr());
    }

    #[test]
    fn it_is_begun_from_its_first_octet_to_its_last() {
        let mut writing = writing(&messages());
        let size = writing.size();
        assert!(!writing.is_begun() && !writing.is_empty());
        for _ in 1..size {
            writing.advance(1);
            assert!(writing.is_begun());
            assert_eq!((writing.size(), writing.messages()), (size, 5));
        }
        writing.advance(1);
        assert!(!writing.is_begun() && writing.is_empty());
        assert_eq!((writing.size(), writing.messages()), (0, 0));
    }

    #[test]
    fn what_is_framed_already_is_written_as_it_is() {
        let mut writing = writing(&["m".into()]);
        writing.push_framed(b"\x04\x05\x04PING");
        writing.push_framed(b"");
        assert_eq!((writing.size(), writing.messages()), (10, 1));
        assert_eq!(
            write(&mut writing, 7, usize::MAX),
            b"\0\x01m\x04\x05\x04PING"
        );
    }

    // A thousand idle connections that were busy once must not keep what that took.
    #[test]
    fn a_queue_keeps_its_buffer_for_the_next_batch_unless_that_is_huge() {
        for (len, kept) in [(1_000, true), (KEEP + 1, false)] {
            let mut writing = Writing::default();
            writing.push_framed(&vec![7; len]);
            writing.clear();
            assert_eq!(writing.octets.capacity() >= len, kept);
        }
    }

    #[test]
    fn commands_are_not_part_of_the_rest() {
        let mut command = Vec::new();
        command.extend_from_slice(b"\x04\x05\x04PING");
        let mut writing = Writing::default();
        writing.push_framed(&command);
        writing.push(&"m".into());
        assert_eq!(writing.into_unsent().messages(), 1);
    }

    #[test]
    fn subscriptions_to_a_peer_of_3_0_are_not_part_of_the_rest() {
        let mut writing = Writing::default();
        writing.push_framed(b"\0\x02\x01t");
        assert!(writing.into_unsent().is_empty());
    }
}
