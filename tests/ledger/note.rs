//! Messages that tell who sent them and which they are, and a book of those that came.

use jackstay::Message;

use crate::support::seed::mixed;

/// What a message says. All its octets follow from this: whoever gets it makes it anew and compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    pub sender: u32,
    pub number: u64,
    pub size: Size,
}

/// How large a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Up to 64 octets in one frame; one in 64 has three frames and up to 700 octets.
    Small,
    /// 16 to 64 KiB.
    Large,
}

/// What messages begin with, in turn.
pub const TOPICS: [u8; 3] = *b"abc";

/// Topic, size, sender, number.
const HEAD: usize = 14;
/// The most octets of a small frame.
const SMALL: usize = 64;

impl Note {
    pub fn small(sender: u32, number: u64) -> Self {
        let size = Size::Small;
        Self {
            sender,
            number,
            size,
        }
    }

    pub fn large(sender: u32, number: u64) -> Self {
        let size = Size::Large;
        Self {
            sender,
            number,
            size,
        }
    }

    /// Which of [`TOPICS`] it begins with.
    pub fn topic(&self) -> usize {
        (self.number % 3) as usize
    }

    fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[0] = TOPICS[self.topic()];
        head[1] = match self.size {
            Size::Small => b's',
            Size::Large => b'l',
        };
        head[2..6].copy_from_slice(&self.sender.to_be_bytes());
        head[6..].copy_from_slice(&self.number.to_be_bytes());
        head
    }

    pub fn message(&self) -> Message {
        let drawn = mixed((u64::from(self.sender) << 40) ^ self.number);
        let some = |most: u64| (drawn % most) as usize;
        match self.size {
            Size::Small if (drawn >> 32).is_multiple_of(64) => {
                let (one, two) = (some(300), some(337));
                let frames = [
                    self.head().to_vec(),
                    filled(one, drawn),
                    filled(two, !drawn),
                ];
                Message::from(frames)
            }
            Size::Small => {
                let mut frame = [0; SMALL];
                frame[..HEAD].copy_from_slice(&self.head());
                let len = HEAD + some((SMALL - HEAD + 1) as u64);
                fill(&mut frame[HEAD..len], drawn);
                Message::copy_from_slice(&frame[..len])
            }
            Size::Large => {
                let mut frame = filled((16 << 10) + some(48 << 10), drawn);
                frame[..HEAD].copy_from_slice(&self.head());
                Message::from(frame)
            }
        }
    }

    /// What `message` says.
    ///
    /// # Panics
    /// If a single octet of it is not as it was sent.
    pub fn of(message: &Message) -> Self {
        let head = message.first();
        assert!(head.len() >= HEAD, "cut: {message:?}");
        let number = |at: &[u8]| at.iter().fold(0, |n, octet| n << 8 | u64::from(*octet));
        let note = Self {
            sender: number(&head[2..6]) as u32,
            number: number(&head[6..HEAD]),
            size: if head[1] == b'l' {
                Size::Large
            } else {
                Size::Small
            },
        };
        assert!(
            *message == note.message(),
            "{note:?} came cut or changed: {message:?}"
        );
        note
    }
}

/// Who sent what.
#[derive(Debug, Default)]
pub struct Book {
    /// The last number of each sender.
    last: Vec<Option<u64>>,
    /// Messages of each topic.
    pub topics: [u64; 3],
}

impl Book {
    /// Books `message`.
    ///
    /// # Panics
    /// If it is not whole, is here already, or comes behind a later one of its sender.
    pub fn take(&mut self, message: &Message) -> Note {
        let note = Note::of(message);
        let sender = note.sender as usize;
        if self.last.len() <= sender {
            self.last.resize(sender + 1, None);
        }
        let last = self.last[sender].replace(note.number);
        assert!(
            last.is_none_or(|last| last < note.number),
            "{note:?} came behind number {last:?}: twice, or out of order"
        );
        self.topics[note.topic()] += 1;
        note
    }

    /// How many messages came.
    pub fn count(&self) -> u64 {
        self.topics.iter().sum()
    }

    /// The number of the last message of `sender`.
    pub fn last(&self, sender: u32) -> Option<u64> {
        *self.last.get(sender as usize)?
    }
}

fn filled(len: usize, word: u64) -> Vec<u8> {
    let mut octets = vec![0; len];
    fill(&mut octets, word);
    octets
}

fn fill(octets: &mut [u8], mut word: u64) {
    for some in octets.chunks_mut(8) {
        some.copy_from_slice(&word.to_le_bytes()[..some.len()]);
        word = word.rotate_left(9).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
