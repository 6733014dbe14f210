//! [`Identity`]: the name by which a ROUTER or REP socket knows a peer.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use thiserror::Error;

/// The name of a peer: 0 to 255 octets.
///
/// A peer may announce a name of its own choice, which must not begin with a zero octet (RFC 37, *The NULL Security
/// Mechanism*). To a peer that announces none, a ROUTER socket gives an automatic name, which does: see
/// [`is_automatic`](Self::is_automatic). Both kinds can be taken from a frame and sent to.
///
/// Names of up to 22 octets live inside the value, without an allocation.
#[derive(Clone)]
pub struct Identity(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, octets: [u8; INLINE] },
    Shared(Bytes),
}

impl Identity {
    /// The identity of these octets.
    ///
    /// # Errors
    /// [`IdentityError`] if there are more than 255.
    pub fn new(octets: impl Into<Bytes>) -> Result<Self, IdentityError> {
        let octets = octets.into();
        match Self::inline(&octets) {
            Some(identity) => Ok(identity),
            None if octets.len() <= MAX => Ok(Self(Repr::Shared(octets))),
            None => Err(IdentityError { len: octets.len() }),
        }
    }

    /// The octets of the name.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, octets } => &octets[..usize::from(*len)],
            Repr::Shared(octets) => octets,
        }
    }

    /// Whether the name is empty, as of a peer that announces none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Whether the name begins with a zero octet, as those do that a ROUTER socket gives. A socket cannot announce such
    /// a name.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.as_bytes().first() == Some(&0)
    }

    /// The automatic name number `number`: R10, 5 octets, the first of them zero.
    pub(crate) fn automatic(number: u32) -> Self {
        let mut octets = [0; INLINE];
        octets[1..5].copy_from_slice(&number.to_be_bytes());
        Self(Repr::Inline { len: 5, octets })
    }

    /// The octets as a frame.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Repr::Inline { .. } => Bytes::copy_from_slice(self.as_bytes()),
            Repr::Shared(octets) => octets.clone(),
        }
    }

    fn inline(name: &[u8]) -> Option<Self> {
        let mut octets = [0; INLINE];
        let len = u8::try_from(name.len()).ok()?;
        octets.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self(Repr::Inline { len, octets }))
    }
}

/// The empty name.
impl Default for Identity {
    fn default() -> Self {
        Self(Repr::Inline {
            len: 0,
            octets: [0; INLINE],
        })
    }
}

impl TryFrom<&[u8]> for Identity {
    type Error = IdentityError;

    fn try_from(name: &[u8]) -> Result<Self, Self::Error> {
        match Self::inline(name) {
            Some(identity) => Ok(identity),
            None => Self::new(Bytes::copy_from_slice(name)),
        }
    }
}

impl<const N: usize> TryFrom<&[u8; N]> for Identity {
    type Error = IdentityError;

    fn try_from(name: &[u8; N]) -> Result<Self, Self::Error> {
        name.as_slice().try_into()
    }
}

impl TryFrom<&str> for Identity {
    type Error = IdentityError;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        name.as_bytes().try_into()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Identity {}

/// Agrees with the hash of the octets, so that a map can be asked with a slice.
impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Identity {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Identity {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The octets, with those that are not printable ASCII escaped.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(\"{self}\")")
    }
}

/// A name of more than 255 octets, which no peer could be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an identity has at most 255 octets, this one has {len}; choose a shorter name")]
pub struct IdentityError {
    len: usize,
}

/// N7: the longest name.
const MAX: usize = 255;

/// As much as fits beside the length in the space that `Bytes` takes anyway.
const INLINE: usize = 22;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn n7_an_identity_has_0_to_255_octets() {
        for len in [0, 1, INLINE, INLINE + 1, 255] {
            let octets = vec![b'x'; len];
            let owned = Identity::new(octets.clone()).unwrap();
            assert_eq!(owned.as_bytes(), octets);
            assert_eq!(owned.to_bytes(), octets);
            assert_eq!(Identity::try_from(octets.as_slice()), Ok(owned));
        }
        assert_eq!(Identity::new(vec![1; 256]), Err(IdentityError { len: 256 }));
        assert!(Identity::default().is_empty());
    }

    #[test]
    fn r10_an_automatic_identity_begins_with_zero_and_survives_a_frame() {
        let automatic = Identity::automatic(0x0102_0304);
        assert_eq!(automatic.as_bytes(), [0, 1, 2, 3, 4]);
        assert!(automatic.is_automatic());
        assert_eq!(Identity::new(automatic.to_bytes()), Ok(automatic));
        assert!(!Identity::try_from("worker").unwrap().is_automatic());
    }

    #[test]
    fn a_map_can_be_asked_with_octets() {
        let long = "a name that is too long to be inline";
        let map: HashMap<_, _> = ["short", long]
            .map(|name| (Identity::try_from(name).unwrap(), name))
            .into();
        assert_eq!(map.get(&b"short"[..]), Some(&"short"));
        assert_eq!(map.get(long.as_bytes()), Some(&long));
    }

    #[test]
    fn display_escapes_what_is_not_printable() {
        let identity = Identity::automatic(7);
        assert_eq!(identity.to_string(), r"\x00\x00\x00\x00\x07");
        assert_eq!(
            format!("{identity:?}"),
            r#"Identity("\x00\x00\x00\x00\x07")"#
        );
    }

    #[test]
    fn the_value_is_as_small_as_bytes() {
        assert_eq!(size_of::<Identity>(), size_of::<Bytes>());
    }
}
