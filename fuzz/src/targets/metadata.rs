//! The properties that a peer announces.

use bytes::{Bytes, BytesMut};

use crate::zmtp::{HandshakeError, Metadata};

/// N1, N2, N8: properties are all of the octets or none, say themselves again when they are encoded, and are found by their
/// names, of which there are no two alike.
pub fn metadata(data: &[u8]) {
    let Some((&limit, octets)) = data.split_first() else {
        return;
    };
    let limit = usize::from(limit);
    match Metadata::decode(Bytes::copy_from_slice(octets), limit) {
        Ok(metadata) => {
            let mut again = BytesMut::new();
            metadata.encode(&mut again);
            assert_eq!(again, octets);
            assert!(metadata.iter().len() <= limit);
            for (name, value) in metadata.iter() {
                assert!(!name.is_empty());
                let upper = name.to_ascii_uppercase();
                if let Ok(upper) = str::from_utf8(&upper) {
                    assert_eq!(metadata.get(upper), Some(value));
                }
            }
        }
        Err(HandshakeError::TooManyProperties { limit: told }) => assert_eq!(told, limit),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
