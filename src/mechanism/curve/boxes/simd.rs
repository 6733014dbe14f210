//! [`BoxKey`] by the `dryoc` crate, which uses the vector instructions that it finds when the program runs.

use dryoc::classic::crypto_box::{
    crypto_box_detached_afternm_inplace, crypto_box_open_detached_afternm_inplace,
};
use zeroize::Zeroizing;

use super::{HEAD, KEY, SHORT_NONCE, TAG};

/// A shared key, and how all nonces begin. The two are mixed for each box anew, since nothing there takes a key that has the
/// beginning in it: a tenth of a microsecond.
pub(in super::super) struct BoxKey {
    shared: Zeroizing<[u8; KEY]>,
    prefix: [u8; PREFIX],
}

impl BoxKey {
    pub(super) fn new(shared: &[u8; KEY], prefix: &[u8; PREFIX]) -> Self {
        Self {
            shared: Zeroizing::new(*shared),
            prefix: *prefix,
        }
    }

    /// Encrypts the octets from [`HEAD`] on, in place, and writes their tag before them. The head's own first 16 octets
    /// hold nothing of the key then.
    pub(in super::super) fn seal(&self, nonce: [u8; SHORT_NONCE], octets: &mut [u8]) {
        let Some((head, text)) = octets.split_first_chunk_mut::<HEAD>() else {
            return;
        };
        if let Some(tag) = head.last_chunk_mut::<TAG>() {
            crypto_box_detached_afternm_inplace(text, tag, &self.nonce(nonce), &self.shared);
        }
    }

    /// Decrypts the octets from [`HEAD`] on, in place, if the tag before them is theirs.
    pub(in super::super) fn open(&self, nonce: [u8; SHORT_NONCE], octets: &mut [u8]) -> bool {
        let Some((head, text)) = octets.split_first_chunk_mut::<HEAD>() else {
            return false;
        };
        // Compares in constant time, and leaves the text as it is if it is not the tag's.
        head.last_chunk::<TAG>().is_some_and(|tag| {
            let nonce = self.nonce(nonce);
            crypto_box_open_detached_afternm_inplace(text, tag, &nonce, &self.shared).is_ok()
        })
    }

    fn nonce(&self, rest: [u8; SHORT_NONCE]) -> [u8; PREFIX + SHORT_NONCE] {
        let mut nonce = [0; PREFIX + SHORT_NONCE];
        nonce[..PREFIX].copy_from_slice(&self.prefix);
        nonce[PREFIX..].copy_from_slice(&rest);
        nonce
    }
}

/// The octets that all nonces begin with.
const PREFIX: usize = 16;
