//! Messages that say their number, and the account of those that arrive.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

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
#[derive(Default)]
pub struct Account {
    /// How many arrived as they were made.
    pub received: u64,
    /// The highest number.
    pub last: Option<u64>,
    /// How many came behind a higher number. A reader that is behind has what is left of one connection and what came through
    /// the next before it, and takes from each in turn.
    pub back: u64,
    /// Runs of numbers without a gap; no connection has more than one where it alone carries messages.
    pub runs: u64,
    /// How many did not arrive as they were made.
    pub changed: u64,
    seen: HashSet<u64>,
    /// The number that each run goes on with.
    next: HashSet<u64>,
}

impl Account {
    /// F7, F8: takes the next message, which is whole and not doubled.
    pub fn enter(&mut self, message: &Message) {
        let number = number(message).unwrap_or_else(|| panic!("{message:?} was never sent"));
        assert!(self.seen.insert(number), "{number} came twice");
        self.runs += u64::from(!self.next.remove(&number));
        self.next.insert(number + 1);
        self.back += u64::from(self.last > Some(number));
        self.last = self.last.max(Some(number));
        self.received += 1;
    }

    /// Whether all of these numbers have come.
    pub fn has_all(&self, mut numbers: Range<u64>) -> bool {
        numbers.all(|number| self.seen.contains(&number))
    }

    /// As [`enter`](Self::enter), where the network changes octets and nobody can notice.
    pub fn enter_if_unchanged(&mut self, message: &Message) {
        match number(message) {
            Some(_) => self.enter(message),
            None => self.changed += 1,
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("received", &self.received)
            .field("last", &self.last)
            .field("back", &self.back)
            .field("runs", &self.runs)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}
