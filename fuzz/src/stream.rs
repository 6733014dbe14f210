//! Streams of octets out of an input.

use arbitrary::{Arbitrary, Unstructured};

/// Where a stream is cut: the sizes of its pieces, over and over.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Cuts([u8; 3]);

impl Cuts {
    /// The stream in pieces, none of them empty.
    pub(crate) fn pieces(self, mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut sizes = self.0.into_iter().cycle();
        std::iter::from_fn(move || {
            let size = size(sizes.next()?).min(octets.len());
            let piece = octets.split_off(..size)?;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// From 1 octet to more than a large body has.
fn size(octet: u8) -> usize {
    match octet {
        0..200 => 1 + usize::from(octet),
        _ => usize::from(octet - 199) << 10,
    }
}

/// What `data` says in the form of a `T`; none if it is too short for one.
pub(crate) fn read<'a, T: Arbitrary<'a>>(data: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(data)).ok()
}
