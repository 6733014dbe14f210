//! Letters of 64 octets: a topic, a number, and a pattern that shows whether they are whole.

/// A letter with room for another topic and number.
pub struct Sheet([u8; LETTER]);

impl Sheet {
    pub fn new() -> Self {
        Self([PATTERN; LETTER])
    }

    /// The letter with this topic and number.
    pub fn write(&mut self, topic_number: u32, number: u64) -> &[u8] {
        self.0[..TOPIC].copy_from_slice(&topic(topic_number));
        self.0[TOPIC..HEADER].copy_from_slice(&number.to_le_bytes());
        &self.0
    }

    /// A letter that only tells that the way is open, in this phase from 1 on.
    pub fn knock(&mut self, phase: usize) -> &[u8] {
        self.0[..2].copy_from_slice(KNOCKS[phase - 1]);
        &self.0
    }
}

/// The topic with this number, far from those of its neighbours.
pub fn topic(number: u32) -> [u8; TOPIC] {
    let scattered = number.wrapping_mul(0x9e37_79b1);
    let mut topic = [b'.'; TOPIC];
    for (place, digit) in topic[..TOPIC - 1].iter_mut().enumerate() {
        let digits = scattered >> (4 * place) & 0xf;
        *digit = b"0123456789abcdef"[digits as usize];
    }
    topic
}

/// The phase of a letter that knocks.
pub fn knock(letter: &[u8]) -> Option<usize> {
    let phase = KNOCKS.iter().position(|knock| letter.starts_with(*knock))?;
    Some(phase + 1)
}

/// The number of a letter that is whole.
pub fn number(letter: &[u8]) -> Option<u64> {
    let (number, rest) = letter.get(TOPIC..)?.split_first_chunk()?;
    let whole = letter.len() == LETTER && rest.iter().all(|octet| *octet == PATTERN);
    whole.then_some(u64::from_le_bytes(*number))
}

/// The octets of a letter.
pub const LETTER: usize = 64;
/// Those of a topic, with what ends it.
const TOPIC: usize = 9;
const HEADER: usize = TOPIC + size_of::<u64>();
const PATTERN: u8 = 0xa5;
/// How often a publisher finds out whether all hear it.
pub const PHASES: usize = 2;
/// No topic begins like these.
pub const KNOCKS: [&[u8]; PHASES] = [b"~1", b"~2"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let mut sheet = Sheet::new();
        assert_eq!(knock(sheet.knock(2)), Some(2));
        let letter = sheet.write(7, 1 << 40);
        assert_eq!((knock(letter), number(letter)), (None, Some(1 << 40)));
        assert!(letter.starts_with(&topic(7)));
        assert_eq!(number(&letter[1..]), None);
    }
}
