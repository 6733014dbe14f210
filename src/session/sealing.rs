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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::zmtp::FrameKind;

    /// Makes of each frame a longer one, whose length tells where it begins.
    struct Longer;

    impl Seal for Longer {
        fn seal(&mut self, _: FrameKind, body: &[u8], out: &mut Vec<u8>) {
            out.resize(out.len() + self.sealed_len(body.len()), 0xee);
        }

        fn sealed_len(&self, len: usize) -> usize {
            40 + len
        }
    }

    fn messages() -> Vec<Message> {
        vec![
            "a".into(),
            ("key", vec![1; 20_000], "tail").into(),
            "".into(),
            vec![2; 300_000].into(),
            vec![3; 100].into(),
            "z".into(),
        ]
    }

    fn writing(messages: &[Message]) -> Writing {
        let mut writing = Writing::default();
        messages.iter().for_each(|message| writing.push(message));
        writing
    }

    fn sealed_size(message: &Message) -> usize {
        message.iter().map(|frame| 40 + frame.len()).sum()
    }

    /// Writes `most` octets, `step` at a time; returns how many there were.
    fn write(sealing: &mut Sealing, writing: &mut Writing, step: usize, most: usize) -> usize {
        let mut written = 0;
        while !writing.is_empty() && written < most {
            let n = sealing.next(writing).len().min(step).min(most - written);
            sealing.advance(n, writing);
            written += n;
        }
        written
    }

    #[test]
    fn every_frame_is_sealed_once_however_it_is_written() {
        let whole: usize = messages().iter().map(sealed_size).sum();
        for step in [7, 1000, usize::MAX] {
            let mut writing = writing(&messages());
            let mut sealing = Sealing::new(Box::new(Longer));
            let written = write(&mut sealing, &mut writing, step, usize::MAX);
            assert_eq!(written, whole, "step {step}");
        }
    }

    // A4
    #[test]
    fn what_is_lost_with_the_connection_begins_with_the_message_that_is_not_written_whole() {
        let all = messages();
        let size: usize = all.iter().map(sealed_size).sum();
        for cut in (0..size).step_by(1997).chain([0, 1, 40, 41, 42, size - 1]) {
            let mut writing = writing(&all);
            let mut sealing = Sealing::new(Box::new(Longer));
            write(&mut sealing, &mut writing, usize::MAX, cut);
            sealing.settle(&mut writing);
            let mut whole = 0;
            let sent = all.iter().take_while(|message| {
                whole += sealed_size(message);
                whole <= cut
            });
            let expected = all.len() - sent.count();
            assert_eq!(writing.into_unsent().messages(), expected, "cut at {cut}");
        }
    }
}
