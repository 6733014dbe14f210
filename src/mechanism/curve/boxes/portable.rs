//! [`BoxKey`] by the `salsa20` and `poly1305` crates: pure Rust, for every processor, and the default.

use poly1305::Poly1305;
use poly1305::universal_hash::NewUniversalHash;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit, StreamCipherCore};
use salsa20::{SalsaCore, hsalsa};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{HEAD, KEY, SHORT_NONCE, TAG};

/// A shared key for all nonces with the same first 16 octets, which are in it already: the first 16 octets of a nonce only
/// go into the key, with HSalsa20, and the last 8 into the stream.
pub(in super::super) struct BoxKey(Zeroizing<[u8; KEY]>);

impl BoxKey {
    pub(super) fn new(shared: &[u8; KEY], prefix: &[u8; 16]) -> Self {
        let key = hsalsa::<U10>(shared.into(), prefix.into());
        Self(Zeroizing::new(key.into()))
    }

    /// Encrypts the octets from [`HEAD`] on, in place, and writes their tag before them. The head's own first 16 octets
    /// hold nothing of the key then.
    pub(in super::super) fn seal(&self, nonce: [u8; SHORT_NONCE], octets: &mut [u8]) {
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
    pub(in super::super) fn open(&self, nonce: [u8; SHORT_NONCE], octets: &mut [u8]) -> bool {
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
