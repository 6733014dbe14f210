//! Streams of octets out of a short input: unfolded, so that a large body needs few octets of input, and cut in pieces.

use arbitrary::{Arbitrary, Unstructured};

/// `folded`, in which [`RUN`], an octet of length and one of content stand for a run of that content.
pub(crate) fn unfold(mut folded: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(folded.len());
    while let Some((&octet, rest)) = folded.split_first() {
        match (octet, rest) {
            (RUN, [len, content, rest @ ..]) => {
                let len = size(*len).min(MOST.saturating_sub(octets.len()));
                // A long run is for a body: as headers of many short frames it would only take time.
                let content = if len > SHORT {
                    content | 0x80
                } else {
                    *content
                };
                octets.resize(octets.len() + len, content);
                folded = rest;
            }
            _ => {
                octets.push(octet);
                folded = rest;
            }
        }
    }
    octets
}

/// No frame begins like that, so that it is seldom needed for itself.
const RUN: u8 = 0xfb;
const SHORT: usize = 256;
/// So long a stream does not become longer by runs: enough for a large body whose buffer has to grow.
const MOST: usize = 160 << 10;

/// Where a stream is cut: the sizes of its pieces, over and over.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Cuts([u8; 3]);

impl Cuts {
    /// The stream in pieces, none of them empty, and not very many.
    pub(crate) fn pieces(self, mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
        let least = octets.len() / 512;
        let mut sizes = self.0.into_iter().cycle();
        std::iter::from_fn(move || {
            let size = (size(sizes.next()?) + least).min(octets.len());
            let piece = octets.split_off(..size)?;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// From 1 octet to more than a large body has.
fn size(octet: u8) -> usize {
    match octet {
        0..240 => 1 + usize::from(octet),
        _ => usize::from(octet - 239) << 13,
    }
}

/// What `data` says in the form of a `T`; none if it is too short for one.
pub(crate) fn read<'a, T: Arbitrary<'a>>(data: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(data)).ok()
}
