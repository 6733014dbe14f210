//! [`Message`]: the one value that travels, 1..n frames of octets.

mod short;

use std::fmt;
use std::ops::Index;

use bytes::Bytes;

use self::short::{INLINE, Short};

/// A message: one or more frames, sent and received as a whole.
///
/// A message never has zero frames and is never cut: a peer gets all of its frames or none (RFC 37, *Framing*).
/// Most messages have a single frame; one of up to 64 octets lives inside the value, without an allocation.
/// Cloning is cheap: larger frames are shared, not copied.
///
/// ```
/// use jackstay::Message;
///
/// let single = Message::from("hello");
/// assert_eq!(single, "hello");
///
/// let multipart = Message::from(("greeting", vec![1u8, 2, 3]));
/// assert_eq!(multipart.len(), 2);
/// assert_eq!(&multipart[0], b"greeting");
/// assert_eq!(&multipart[1], [1, 2, 3]);
/// ```
#[derive(Clone)]
pub struct Message(Repr);

#[derive(Clone)]
enum Repr {
    /// One frame of at most [`INLINE`] octets.
    Inline(Short),
    /// One frame.
    One(Bytes),
    /// Frames in order; never empty. May hold a single frame after `pop_front`.
    Many(Vec<Bytes>),
}

impl Message {
    /// A message of one empty frame.
    #[must_use]
    pub const fn new() -> Self {
        Self(Repr::Inline(Short::EMPTY))
    }

    /// A message of one frame, copied from `frame`.
    ///
    /// Use this for borrowed data; owned data (`Vec<u8>`, `String`, `Bytes`) and `'static` data convert with `From`
    /// and are not copied when they are large.
    #[must_use]
    #[inline]
    pub fn copy_from_slice(frame: &[u8]) -> Self {
        let mut message = match Short::zeros(frame.len()) {
            Some(short) => Self(Repr::Inline(short)),
            None => Self(Repr::One(Bytes::copy_from_slice(frame))),
        };
        // Filled where it is: what is filled elsewhere has to be moved here.
        if let Repr::Inline(short) = &mut message.0 {
            short.octets_mut().copy_from_slice(frame);
        }
        message
    }

    /// A message of one frame, copied from the first `len` of `octets`; `None` if there are fewer.
    #[inline]
    pub(crate) fn from_head_of(octets: &[u8], len: usize) -> Option<Self> {
        match octets.first_chunk() {
            Some(chunk) if len <= INLINE => {
                let short = Short::head_of(chunk, len)?;
                Some(Self(Repr::Inline(short)))
            }
            _ => octets.get(..len).map(Self::copy_from_slice),
        }
    }

    /// The number of frames, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline(_) | Repr::One(_) => 1,
            Repr::Many(frames) => frames.len(),
        }
    }

    /// Whether there is more than one frame.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.len() > 1
    }

    /// The octets of all frames together, without any framing.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        match &self.0 {
            Repr::Inline(short) => short.len(),
            Repr::One(frame) => frame.len(),
            Repr::Many(frames) => frames.iter().map(Bytes::len).sum(),
        }
    }

    /// The first frame.
    #[must_use]
    #[inline]
    pub fn first(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(short) => short.octets(),
            Repr::One(frame) => frame,
            Repr::Many(frames) => &frames[0],
        }
    }

    /// The frame at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        match &self.0 {
            Repr::Many(frames) => frames.get(index).map(Bytes::as_ref),
            _ => (index == 0).then(|| self.first()),
        }
    }

    /// The frames in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        // A single frame is a slice of one: both shapes walk the same way.
        (0..self.len()).map(|index| match &self.0 {
            Repr::Many(frames) => frames[index].as_ref(),
            _ => self.first(),
        })
    }

    /// The frames in order, owned. Large frames are not copied.
    #[must_use]
    pub fn into_frames(self) -> impl ExactSizeIterator<Item = Bytes> + DoubleEndedIterator {
        self.into_vec().into_iter()
    }

    /// Puts `frame` before the others.
    pub fn push_front(&mut self, frame: impl Into<Bytes>) {
        self.put_before([frame.into()]);
    }

    /// Puts `frame` behind the others.
    pub fn push_back(&mut self, frame: impl Into<Bytes>) {
        self.as_many().push(frame.into());
    }

    /// Puts `frames` before the others, in their order.
    pub(crate) fn put_before<const N: usize>(&mut self, frames: [Bytes; N]) {
        if let Repr::Many(own) = &mut self.0 {
            own.splice(..0, frames);
        } else {
            let mut all = Vec::with_capacity(N + 1);
            all.extend(frames);
            std::mem::take(self).append_to(&mut all);
            self.0 = Repr::Many(all);
        }
    }

    /// Puts its frames behind those in `all`.
    pub(crate) fn append_to(self, all: &mut Vec<Bytes>) {
        match self.0 {
            Repr::Inline(short) => all.push(Bytes::copy_from_slice(short.octets())),
            Repr::One(frame) => all.push(frame),
            Repr::Many(mut frames) => all.append(&mut frames),
        }
    }

    /// Takes the first frame off, or returns `None` when it is the only one: a message is never empty.
    pub fn pop_front(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Repr::Many(frames) if frames.len() > 1 => Some(frames.remove(0)),
            _ => None,
        }
    }

    /// A message of one small frame, kept inline.
    #[inline]
    pub(crate) fn inline(frame: &[u8]) -> Option<Self> {
        (frame.len() <= INLINE).then(|| Self::copy_from_slice(frame))
    }

    /// A message of these frames; `None` without any.
    pub(crate) fn from_vec(mut frames: Vec<Bytes>) -> Option<Self> {
        match frames.len() {
            0 => None,
            1 => frames.pop().map(Self::from),
            _ => Some(Self(Repr::Many(frames))),
        }
    }

    /// The frame of a message that is kept inline: so many of these octets.
    #[inline]
    pub(crate) fn short(&self) -> Option<(&[u8; INLINE], usize)> {
        match &self.0 {
            Repr::Inline(short) => Some((short.chunk(), short.len())),
            Repr::One(_) | Repr::Many(_) => None,
        }
    }

    /// The frame at `index` as `Bytes` that can be kept without copying, when it is not inline.
    pub(crate) fn shared(&self, index: usize) -> Option<&Bytes> {
        match &self.0 {
            Repr::Inline(_) => None,
            Repr::One(frame) => (index == 0).then_some(frame),
            Repr::Many(frames) => frames.get(index),
        }
    }

    fn into_vec(self) -> Vec<Bytes> {
        match self.0 {
            Repr::Inline(short) => vec![Bytes::copy_from_slice(short.octets())],
            Repr::One(frame) => vec![frame],
            Repr::Many(frames) => frames,
        }
    }

    fn as_many(&mut self) -> &mut Vec<Bytes> {
        if !matches!(self.0, Repr::Many(_)) {
            let frames = std::mem::take(self).into_vec();
            self.0 = Repr::Many(frames);
        }
        match &mut self.0 {
            Repr::Many(frames) => frames,
            Repr::Inline(_) | Repr::One(_) => unreachable!("made multipart above"),
        }
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl Index<usize> for Message {
    type Output = [u8];

    /// The frame at `index`.
    ///
    /// # Panics
    /// If there is no such frame; [`Message::get`] returns an `Option` instead.
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
            .unwrap_or_else(|| panic!("frame {index} of a message of {} frames", self.len()))
    }
}

impl From<Bytes> for Message {
    #[inline]
    fn from(frame: Bytes) -> Self {
        Self::inline(&frame).unwrap_or(Self(Repr::One(frame)))
    }
}

impl From<Vec<u8>> for Message {
    #[inline]
    fn from(frame: Vec<u8>) -> Self {
        Self::inline(&frame).unwrap_or_else(|| Self(Repr::One(frame.into())))
    }
}

impl From<String> for Message {
    fn from(frame: String) -> Self {
        frame.into_bytes().into()
    }
}

impl From<&'static [u8]> for Message {
    fn from(frame: &'static [u8]) -> Self {
        Self::inline(frame).unwrap_or(Self(Repr::One(Bytes::from_static(frame))))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Message {
    fn from(frame: &'static [u8; N]) -> Self {
        frame.as_slice().into()
    }
}

impl From<&'static str> for Message {
    fn from(frame: &'static str) -> Self {
        frame.as_bytes().into()
    }
}

/// Each element becomes a frame.
impl<T: Into<Bytes>, const N: usize> From<[T; N]> for Message {
    fn from(frames: [T; N]) -> Self {
        const { assert!(N > 0, "a message has at least one frame") };
        frames.into_iter().collect()
    }
}

/// Each item becomes a frame; without items the message is one empty frame.
impl<T: Into<Bytes>> FromIterator<T> for Message {
    fn from_iter<I: IntoIterator<Item = T>>(frames: I) -> Self {
        Self::from_vec(frames.into_iter().map(Into::into).collect()).unwrap_or_default()
    }
}

macro_rules! from_tuple {
    ($($name:ident)+) => {
        /// Each element becomes a frame.
        impl<$($name: Into<Bytes>),+> From<($($name,)+)> for Message {
            #[expect(non_snake_case, reason = "the type parameters name the fields")]
            fn from(($($name,)+): ($($name,)+)) -> Self {
                Self::from_vec(vec![$($name.into()),+]).unwrap_or_default()
            }
        }
    };
}
from_tuple!(A B);
from_tuple!(A B C);
from_tuple!(A B C D);
from_tuple!(A B C D E);
from_tuple!(A B C D E F);
from_tuple!(A B C D E F G);
from_tuple!(A B C D E F G H);

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Message {}

/// A single frame of these octets.
impl PartialEq<[u8]> for Message {
    fn eq(&self, other: &[u8]) -> bool {
        !self.is_multipart() && self.first() == other
    }
}

impl PartialEq<&[u8]> for Message {
    fn eq(&self, other: &&[u8]) -> bool {
        *self == **other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Message {
    fn eq(&self, other: &&[u8; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        *self == *other.as_bytes()
    }
}

impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        *self == *other.as_bytes()
    }
}

/// Frames as escaped text, each cut after 64 octets: `Message["greeting", "hello"]`.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        f.write_str("Message[")?;
        for (index, frame) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "\"{}\"", frame[..frame.len().min(SHOWN)].escape_ascii())?;
            if frame.len() > SHOWN {
                write!(f, "… {} octets", frame.len())?;
            }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_small() {
        assert_eq!(size_of::<Message>(), 72);
        assert_eq!(size_of::<Option<Message>>(), 72);
    }

    #[test]
    fn every_conversion_gives_its_frames() {
        assert_eq!(Message::from("a"), "a");
        assert_eq!(Message::from(String::from("b")), "b");
        assert_eq!(Message::from(vec![7; 500]), &[7; 500]);
        assert_eq!(Message::from(b"c"), b"c");
        assert_eq!(Message::from(Bytes::from_static(b"d")), "d");
        let frames = Message::from(["x", "", "z"]);
        assert_eq!(frames.iter().collect::<Vec<_>>(), [&b"x"[..], b"", b"z"]);
        let tuple = Message::from(("key", vec![1, 2], Bytes::new()));
        assert_eq!(tuple.len(), 3);
        assert_eq!(tuple.size(), 5);
        assert_eq!(Message::new(), "");
        assert_eq!(Message::new().len(), 1);
    }

    #[test]
    fn frames_come_and_go_at_the_front_but_one_stays() {
        let mut message = Message::from("body");
        message.push_front("");
        message.push_front("id");
        assert_eq!(message.len(), 3);
        assert_eq!(message.pop_front().as_deref(), Some(&b"id"[..]));
        assert_eq!(message.pop_front().as_deref(), Some(&b""[..]));
        assert_eq!(message.pop_front(), None);
        assert_eq!(message, "body");
        assert_eq!(message.get(1), None);
    }

    #[test]
    fn one_large_frame_is_shared_by_clones() {
        let message = Message::from(vec![1; 1000]);
        let clone = message.clone();
        assert_eq!(message[0].as_ptr(), clone[0].as_ptr());
    }

    #[test]
    fn debug_shows_readable_frames_and_cuts_long_ones() {
        let message = Message::from((Bytes::from_static(b"a\0"), vec![b'x'; 100]));
        let shown = format!("{message:?}");
        assert!(shown.starts_with(r#"Message["a\x00", "xxx"#), "{shown}");
        assert!(shown.ends_with("… 100 octets]"), "{shown}");
    }
}
