//! The keys of the cells under CURVE: the side that binds is the server, and the same in every process.

use jackstay::security::{KeyPair, SecretKey};

/// A key of CURVE.
pub type Key = [u8; 32];

/// The key pair of the side that binds.
pub fn server() -> KeyPair {
    KeyPair::from(SecretKey::from_bytes(&SERVER))
}

/// The key pair of the side that connects.
pub fn client() -> KeyPair {
    KeyPair::from(SecretKey::from_bytes(&CLIENT))
}

/// Any octets are a secret, as long as nobody cares.
const SERVER: Key = [0x5e; 32];
const CLIENT: Key = [0xc1; 32];
