//! The boxes of CURVE: X25519, XSalsa20 and Poly1305, put together as NaCl's `crypto_box` does.
//!
//! Since all frames of one direction begin their nonces alike, a [`BoxKey`] has the first 16 octets in it. There are two of
//! them, alike in all but speed: `portable.rs`, and with the feature `curve-simd` `simd.rs` in its place.

// Tests hold the one against the other.
#[cfg(any(test, not(feature = "curve-simd")))]
mod portable;
#[cfg(feature = "curve-simd")]
mod simd;

use std::thread;

use salsa20::cipher::consts::U10;
use salsa20::hsalsa;
use subtle::ConstantTimeEq;
use x25519_dalek::x25519;
use zeroize::Zeroizing;

#[cfg(not(feature = "curve-simd"))]
pub(super) use self::portable::BoxKey;
#[cfg(feature = "curve-simd")]
pub(super) use self::simd::BoxKey;
use super::{KEY, LONG_NONCE, SHORT_NONCE, TAG};
use crate::zmtp::HandshakeError;

/// A key that only two sides have.
pub(super) struct SharedKey(Zeroizing<[u8; KEY]>);

impl SharedKey {
    /// The key that who has `secret` shares with who has the secret half of `public`.
    ///
    /// C14: refuses a public key that would make the same key with every secret.
    ///
    /// Nothing in a handshake takes longer, and strangers can ask for it: whoever waits for this processor goes first.
    pub(super) fn between(secret: &[u8; KEY], public: &[u8; KEY]) -> Result<Self, HandshakeError> {
        thread::yield_now();
        let point = Zeroizing::new(x25519(*secret, *public));
        if bool::from(point.ct_eq(&[0; KEY])) {
            return Err(HandshakeError::LowOrderKey);
        }
        let key = hsalsa::<U10>((&*point).into(), &Default::default());
        Ok(Self(Zeroizing::new(key.into())))
    }

    /// A key that one side has alone.
    pub(super) fn own(secret: &[u8; KEY]) -> Self {
        Self(Zeroizing::new(*secret))
    }

    /// The key for all nonces that begin with `prefix`.
    pub(super) fn under(&self, prefix: &[u8; 16]) -> BoxKey {
        BoxKey::new(&self.0, prefix)
    }

    /// A box that holds `parts` in a row.
    pub(super) fn seal(&self, nonce: &Nonce, parts: &[&[u8]]) -> Vec<u8> {
        let text: usize = parts.iter().map(|part| part.len()).sum();
        let mut octets = Vec::with_capacity(HEAD + text);
        octets.resize(HEAD, 0);
        for part in parts {
            octets.extend_from_slice(part);
        }
        self.under(&nonce.prefix).seal(nonce.rest, &mut octets);
        octets.split_off(HEAD - TAG)
    }

    /// What a box holds; `None` if it was made with another key or nonce, or was changed.
    pub(super) fn open(&self, nonce: &Nonce, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut octets = Zeroizing::new(Vec::with_capacity(HEAD - TAG + sealed.len()));
        octets.resize(HEAD - TAG, 0);
        octets.extend_from_slice(sealed);
        let opened = self.under(&nonce.prefix).open(nonce.rest, &mut octets);
        opened.then(|| Zeroizing::new(octets.split_off(HEAD)))
    }
}

/// A number used once with a key.
pub(super) struct Nonce {
    prefix: [u8; 16],
    rest: [u8; SHORT_NONCE],
}

impl Nonce {
    /// With a random part, for keys that outlive a connection.
    pub(super) fn long(prefix: &[u8; 8], random: &[u8; LONG_NONCE]) -> Self {
        let (head, rest) = random.split_at(8);
        let mut nonce = Self {
            prefix: [0; 16],
            rest: [0; SHORT_NONCE],
        };
        nonce.prefix[..8].copy_from_slice(prefix);
        nonce.prefix[8..].copy_from_slice(head);
        nonce.rest.copy_from_slice(rest);
        nonce
    }

    /// With a number, for the keys of a connection.
    pub(super) fn short(prefix: &[u8; 16], number: u64) -> Self {
        Self {
            prefix: *prefix,
            rest: number.to_be_bytes(),
        }
    }
}

/// What a [`BoxKey`] needs before the text, the tag included.
pub(super) const HEAD: usize = 32;

#[cfg(test)]
mod tests;
