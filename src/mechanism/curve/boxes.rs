//! The boxes of CURVE: X25519, XSalsa20 and Poly1305, put together as NaCl's `crypto_box` does.
//!
//! The first 16 octets of a nonce only go into the key, with HSalsa20, and the last 8 into the stream. Since all frames
//! of one direction begin their nonces alike, [`BoxKey`] does the first part once for all of them.

use poly1305::Poly1305;
use poly1305::universal_hash::NewUniversalHash;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit, StreamCipherCore};
use salsa20::{SalsaCore, hsalsa};
use subtle::ConstantTimeEq;
use x25519_dalek::x25519;
use zeroize::Zeroizing;

use super::{KEY, LONG_NONCE, SHORT_NONCE, TAG};
use crate::zmtp::HandshakeError;

/// A key that only two sides have.
pub(super) struct SharedKey(Zeroizing<[u8; KEY]>);

impl SharedKey {
    /// The key that who has `secret` shares with who has the secret half of `public`.
    ///
    /// C14: refuses a public key that would make the same key with every secret.
    pub(super) fn between(secret: &[u8; KEY], public: &[u8; KEY]) -> Result<Self, HandshakeError> {
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
        let key = hsalsa::<U10>((&*self.0).into(), prefix.into());
        BoxKey(Zeroizing::new(key.into()))
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

/// A shared key for all nonces with the same first 16 octets.
pub(super) struct BoxKey(Zeroizing<[u8; KEY]>);

impl BoxKey {
    /// Encrypts the octets from [`HEAD`] on, in place, and writes their tag before them. The head's own first 16 octets
    /// are zeros then.
    pub(super) fn seal(&self, nonce: [u8; SHORT_NONCE], octets: &mut [u8]) {
        // The first 32 octets of the stream are the key of the tag: encrypting zeros shows them, and the rest of the
        // stream meets the text where it stands.
        let Some((head, _)) = octets.split_first_chunk_mut::<HEAD>() else {
            return;
        };
        *head = [0; HEAD];
        self.stream(nonce).apply_keystream_partial(octets.into());
        if let Some((head, text)) = octets.split_first_chunk_mut::<HEAD>() {
            let tag = tag(head, text);
            head[HEAD - TAG..].copy_from_slice(&tag);
            head[..HEAD - TAG].fill(0);
        }
    }

    /// Decrypts the octets from [`HEAD`] on, in place, if the tag before them is theirs.
    pub(super) fn open(&self, nonce: [u8; SHORT_NONCE], octets: &mut [u8]) -> bool {
        let Some((head, text)) = octets.split_first_chunk_mut::<HEAD>() else {
            return false;
        };
        // The first block of the stream: half of it the key of the tag, half of it for the text.
        let mut block = Zeroizing::new([0; 2 * HEAD]);
        let mut stream = self.stream(nonce);
        stream.write_keystream_block((&mut *block).into());
        let (key, first) = block.split_at(HEAD);
        let Some(key) = key.first_chunk() else {
            return false;
        };
        if !bool::from(tag(key, text).ct_eq(&head[HEAD - TAG..])) {
            return false;
        }
        let (start, rest) = text.split_at_mut(text.len().min(HEAD));
        for (octet, key) in start.iter_mut().zip(first) {
            *octet ^= key;
        }
        stream.apply_keystream_partial(rest.into());
        true
    }

    /// Block by block: a box is asked for in one go, so that nothing needs to be kept of a block for the next call.
    fn stream(&self, nonce: [u8; SHORT_NONCE]) -> SalsaCore<U10> {
        SalsaCore::new((&*self.0).into(), (&nonce).into())
    }
}

fn tag(key: &[u8; KEY], text: &[u8]) -> [u8; TAG] {
    Poly1305::new(key.into())
        .compute_unpadded(text)
        .into_bytes()
        .into()
}

/// What [`BoxKey`] needs before the text, the tag included.
pub(super) const HEAD: usize = 32;
