//! [`Sealing`]: encrypts what was taken from the outbox, on its way to the stream.

use crate::mechanism::Seal;
use crate::pipe::Writing;

/// Encrypts frames in batches, each into one contiguous buffer, and keeps count of what that means for the plain
/// messages: if the connection breaks, those go back whose last octet was not written (A4).
pub(super) struct Sealing {
    seal: Box<dyn Seal>,
    /// Encrypted frames.
    batch: Vec<u8>,
    /// How much of them is written.
    written: usize,
    /// The octets of the plain frames that they stand for: those next in line.
    plain: usize,
}

/// A batch takes no further frame from this size on.
const FULL: usize = 256 << 10;
/// An empty buffer larger than this is given back to the allocator.
const KEEP: usize = 512 << 10;

impl Sealing {
    pub fn new(seal: Box<dyn Seal>) -> Self {
        Self {
            seal,
            batch: Vec::new(),
            written: 0,
            plain: 0,
        }
    }

    /// What is to be written next, for the frames of `writing` that are not written.
    pub fn next(&mut self, writing: &Writing) -> &[u8] {
        if self.batch.is_empty() {
            for frame in writing.rest() {
                self.seal.seal(frame.kind, frame.body, &mut self.batch);
                self.plain += frame.wire_len;
                if self.batch.len() >= FULL {
                    break;
                }
            }
        }
        &self.batch[self.written..]
    }

    /// Notes that `n` more octets of the batch are written, and of `writing` what they stand for once that is clear.
    pub fn advance(&mut self, n: usize, writing: &mut Writing) {
        self.written += n;
        if self.written == self.batch.len() {
            writing.advance(self.plain);
            self.plain = 0;
            self.written = 0;
            if self.batch.capacity() > KEEP {
                self.batch = Vec::new();
            }
            self.batch.clear();
        }
    }

    /// The connection is gone: notes in `writing` which frames of the last batch were written whole.
    pub fn settle(self, writing: &mut Writing) {
        let mut sealed = 0;
        let whole = writing.rest().take_while(|frame| {
            sealed += self.seal.sealed_len(frame.body.len());
            sealed <= self.written
        });
        let plain = whole.map(|frame| frame.wire_len).sum();
        writing.advance(plain);
    }
}
