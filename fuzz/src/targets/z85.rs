//! Keys as texts.

#[path = "../../../src/security/z85.rs"]
#[allow(clippy::module_inception, reason = "it is named after its file")]
mod z85;

use crate::security::{KeyError, PublicKey, SecretKey};

/// C15: what decodes is encoded as it was, and what is encoded decodes to itself; a key is 40 such characters.
pub fn z85(data: &[u8]) {
    let text = &data[..data.len() / 5 * 5];
    let mut octets = vec![0; text.len() / 5 * 4];
    match z85::decode_into(text, &mut octets) {
        Ok(()) => assert_eq!(z85::encode(&octets).as_bytes(), text),
        Err(at) => assert!(at < text.len() && at.is_multiple_of(5)),
    }
    let octets = &data[..data.len() / 4 * 4];
    let mut again = vec![0; octets.len()];
    z85::decode_into(z85::encode(octets).as_bytes(), &mut again).unwrap();
    assert_eq!(again, octets);
    if let Ok(text) = str::from_utf8(data) {
        keys(text);
    }
}

fn keys(text: &str) {
    match text.parse::<SecretKey>() {
        Ok(secret) => {
            assert_eq!(secret.to_z85().as_str(), text);
            match text.parse::<PublicKey>() {
                Ok(public) => assert_eq!(public.to_string(), text),
                Err(error) => assert_eq!(error, KeyError::LowOrder),
            }
        }
        Err(error) => assert_eq!(text.parse::<PublicKey>(), Err(error)),
    }
}
