//! [`Metadata`]: the properties that two peers tell each other in the handshake.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::error::{HandshakeError, shown};

/// Properties of a socket: names and values, told to every peer in the handshake (RFC 37, *The NULL Security Mechanism*).
///
/// Names compare without regard to case. Those beginning with `X-` belong to the application; see
/// [`set`](Self::set).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(Bytes, Bytes)>);

impl Metadata {
    /// No properties.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets a property of the application, in the place of one of the same name.
    ///
    /// # Errors
    /// [`MetadataError`] if the name or the value cannot be told to a peer.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) -> Result<(), MetadataError> {
        let value = value.into();
        let has_prefix = name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("X-"));
        let is_plain = name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-_.+".contains(&c));
        if !has_prefix || !is_plain || name.len() > MAX_NAME {
            return Err(MetadataError::Name);
        }
        let others = || {
            self.0
                .iter()
                .filter(|(other, _)| !same_name(other, name.as_bytes()))
        };
        let size: usize = others().map(|(name, value)| name.len() + value.len()).sum();
        if others().count() == MAX_OWN || size + name.len() + value.len() > MAX_OWN_SIZE {
            return Err(MetadataError::TooMuch);
        }
        self.0
            .retain(|(other, _)| !same_name(other, name.as_bytes()));
        self.0
            .push((Bytes::copy_from_slice(name.as_bytes()), value));
        Ok(())
    }

    /// The value of a property.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.value(name).map(Bytes::as_ref)
    }

    /// The properties in the order in which they were told.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Bytes> {
        // N2
        let property = self
            .0
            .iter()
            .find(|(other, _)| same_name(other, name.as_bytes()));
        property.map(|(_, value)| value)
    }

    /// Reads the properties that make up the whole of `octets`, at most `limit` of them.
    pub(crate) fn decode(mut octets: Bytes, limit: usize) -> Result<Self, HandshakeError> {
        let mut metadata = Self::new();
        while !octets.is_empty() {
            // N1
            let (name, value) =
                split_property(&mut octets).ok_or(HandshakeError::MalformedMetadata)?;
            // N8
            if metadata.0.iter().any(|(other, _)| same_name(other, &name)) {
                return Err(HandshakeError::DuplicateProperty { name: shown(&name) });
            }
            if metadata.0.len() == limit {
                return Err(HandshakeError::TooManyProperties { limit });
            }
            metadata.0.push((name, value));
        }
        metadata.0.shrink_to_fit();
        Ok(metadata)
    }

    /// Appends the properties.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        for (name, value) in &self.0 {
            put_property(out, name, value);
        }
    }
}

/// A property that cannot be told to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The name is not one of the application's.
    #[error(
        "a property's name is \"X-\" and then letters, digits, '-', '_', '.' or '+', at most 255 octets in all"
    )]
    Name,
    /// The properties together are more than a peer has to accept.
    #[error(
        "a socket has at most {MAX_OWN} properties of its own, of {MAX_OWN_SIZE} octets in all"
    )]
    TooMuch,
}

/// Appends one property. Its name has 1 to 255 octets, its value fits a handshake command: both are ours.
pub(crate) fn put_property(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.put_slice(name);
    out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
    out.put_slice(value);
}

fn split_property(octets: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let name_len = usize::from(*octets.first()?);
    let (value_len, _) = octets.get(1 + name_len..)?.split_first_chunk()?;
    let value_len = usize::try_from(u32::from_be_bytes(*value_len)).ok()?;
    let value_at = 1 + name_len + 4;
    if name_len == 0 || octets.len() - value_at < value_len {
        return None;
    }
    let mut property = octets.split_to(value_at + value_len);
    let value = property.split_off(value_at);
    Some((property.slice(1..=name_len), value))
}

fn same_name(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// N2: the spelling of the wire.
pub(crate) const SOCKET_TYPE: &str = "Socket-Type";
pub(crate) const IDENTITY: &str = "Identity";

const MAX_NAME: usize = 255;
/// More would not pass through the handshake of a peer with our limits.
const MAX_OWN: usize = 30;
const MAX_OWN_SIZE: usize = 60 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(octets: &[u8]) -> Result<Metadata, HandshakeError> {
        Metadata::decode(Bytes::copy_from_slice(octets), 3)
    }

    #[test]
    fn n1_properties_are_a_name_and_a_value_each() {
        let metadata = decode(b"\x01a\0\0\0\x02xy\x03X-b\0\0\0\0").unwrap();
        let properties: Vec<_> = metadata.iter().collect();
        assert_eq!(properties, [(&b"a"[..], &b"xy"[..]), (b"X-b", b"")]);
        assert_eq!(decode(b""), Ok(Metadata::new()));
    }

    #[test]
    fn n1_an_empty_name_an_overrun_or_trailing_octets_are_errors() {
        let whole = b"\x01a\0\0\0\x02xy";
        for cut in 1..whole.len() {
            assert_eq!(
                decode(&whole[..cut]),
                Err(HandshakeError::MalformedMetadata)
            );
        }
        for wrong in [
            &b"\0\0\0\0\0"[..],
            b"\x01a\0\0\0\x02xy!",
            b"\x01a\xff\xff\xff\xffxy",
        ] {
            assert_eq!(decode(wrong), Err(HandshakeError::MalformedMetadata));
        }
    }

    #[test]
    fn n2_names_compare_without_case() {
        let metadata = decode(b"\x0bsOCKET-tYPE\0\0\0\x03PUB").unwrap();
        assert_eq!(metadata.get(SOCKET_TYPE), Some(&b"PUB"[..]));
        assert_eq!(metadata.get("other"), None);
    }

    #[test]
    fn n8_duplicates_are_errors_even_in_another_case() {
        assert_eq!(
            decode(b"\x03X-a\0\0\0\0\x03x-A\0\0\0\0"),
            Err(HandshakeError::DuplicateProperty { name: "x-A".into() })
        );
    }

    #[test]
    fn the_number_of_properties_is_limited() {
        assert!(decode(b"\x01a\0\0\0\0\x01b\0\0\0\0\x01c\0\0\0\0").is_ok());
        assert_eq!(
            decode(b"\x01a\0\0\0\0\x01b\0\0\0\0\x01c\0\0\0\0\x01d\0\0\0\0"),
            Err(HandshakeError::TooManyProperties { limit: 3 })
        );
    }

    #[test]
    fn n9_the_application_sets_names_that_begin_with_x() {
        let mut metadata = Metadata::new();
        metadata.set("X-Name", "one").unwrap();
        metadata.set("x-name", "two").unwrap();
        assert_eq!(metadata.get("X-NAME"), Some(&b"two"[..]));
        let long = format!("X-{}", "n".repeat(254));
        for wrong in [
            "",
            "X",
            "Name",
            "Socket-Type",
            "X-a b",
            "X-é",
            long.as_str(),
        ] {
            assert_eq!(metadata.set(wrong, ""), Err(MetadataError::Name), "{wrong}");
        }
        let long = &long[..255];
        assert_eq!(metadata.set(long, ""), Ok(()));
        let much = vec![0; MAX_OWN_SIZE];
        assert_eq!(metadata.set("X-a", much), Err(MetadataError::TooMuch));

        let mut out = BytesMut::new();
        metadata.encode(&mut out);
        assert_eq!(decode(&out), Ok(metadata));
    }

    // What is refused here would be refused by a peer with our limits.
    #[test]
    fn a_socket_has_so_many_properties_of_its_own_of_so_many_octets() {
        let mut metadata = Metadata::new();
        for number in 0..MAX_OWN {
            metadata.set(&format!("X-{number}"), "").unwrap();
        }
        assert_eq!(metadata.set("X-more", ""), Err(MetadataError::TooMuch));
        assert_eq!(metadata.set("X-0", "another"), Ok(()));
        assert_eq!(metadata.iter().len(), MAX_OWN);

        let mut metadata = Metadata::new();
        metadata.set("X-one", vec![0; 1_000]).unwrap();
        let rest = MAX_OWN_SIZE - "X-one".len() - 1_000 - "X-two".len();
        let over = metadata.set("X-two", vec![0; rest + 1]);
        assert_eq!(over, Err(MetadataError::TooMuch));
        assert_eq!(metadata.set("X-two", vec![0; rest]), Ok(()));
        assert_eq!(metadata.set("X-3", ""), Err(MetadataError::TooMuch));
        // In the place of one, only what that leaves counts.
        assert_eq!(metadata.set("X-one", vec![1; 1_000]), Ok(()));
    }
}
