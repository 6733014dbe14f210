//! Messages that say their number, and the account of those that arrive.

use bytes::Bytes;
use jackstay::Message;

/// The message of this number: one to three frames, all of which follow from it.
pub fn message(number: u64) -> Message {
    let check = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let head = [number.to_be_bytes(), check.to_be_bytes()].concat();
    let long = if number % 97 == 96 {
        20_000
    } else {
        number % 3 * 300
    };
    let filler = |len: u64| {
        let octet = u8::try_from(number % 251).expect("below 256");
        Bytes::from(vec![octet; usize::try_from(len).expect("it is short")])
    };
    let body = [filler(number % 7 * 40), filler(long)];
    let frames = usize::try_from(number % 3).expect("below 3");
    std::iter::once(Bytes::from(head))
        .chain(body.into_iter().take(frames))
        .collect()
}

/// The number of a message, if all of it is as it was made.
pub fn number(arrived: &Message) -> Option<u64> {
    let octets = arrived.first().first_chunk()?;
    let number = u64::from_be_bytes(*octets);
    (message(number) == *arrived).then_some(number)
}

/// What arrived from one sender.
#[derive(Debug, Default, Clone, Copy)]
pub struct Account {
    /// How many arrived as they were made.
    pub received: u64,
    /// The number of the last one.
    pub last: Option<u64>,
    /// Runs of numbers without a gap.
    pub runs: u64,
    /// How many did not.
    pub changed: u64,
}

impl Account {
    /// F7, F8: takes the next message, which is whole, not doubled, and in order.
    pub fn enter(&mut self, message: &Message) {
        let number = number(message).unwrap_or_else(|| panic!("{message:?} was never sent"));
        assert!(
            self.last < Some(number),
            "{number} came after {:?}: doubled, or out of order",
            self.last
        );
        if self.last.map_or(0, |last| last + 1) < number || self.last.is_none() {
            self.runs += 1;
        }
        self.last = Some(number);
        self.received += 1;
    }

    /// The same where the network changes octets and nobody can notice.
    pub fn enter_if_unchanged(&mut self, message: &Message) {
        match number(message) {
            Some(_) => self.enter(message),
            None => self.changed += 1,
        }
    }
}
