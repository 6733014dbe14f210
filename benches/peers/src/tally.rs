//! The words of the trade: numbered letters on one side, a tally of them on the other.
//!
//! Every message carries its number in its first eight octets and a known pattern after them. The tally refuses one
//! that is lost, doubled, out of turn, cut or altered, and counts the rest where the referee can see them.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a role could not play on.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Writes letters: the same octets each time, but for the number.
pub struct Letters {
    sheet: Vec<u8>,
    next: u64,
}

/// Reads the letters of one sender.
pub struct Tally {
    expected: u64,
    size: usize,
    sum: u64,
    /// Read by the referee.
    count: Arc<AtomicU64>,
}

/// The messages that a group of tallies has taken.
#[derive(Default)]
pub struct Score(Vec<Arc<AtomicU64>>);

/// Reads the answers to letters, and notes how long each took to come.
pub struct Trips {
    answers: Tally,
    times: Times,
}

/// The times of round trips, where the referee can take them.
#[derive(Clone, Default)]
pub struct Times(Arc<Mutex<Vec<Duration>>>);

impl Letters {
    /// Letters of `size` octets, numbered from zero.
    pub fn new(size: usize) -> Self {
        assert!(size >= NUMBER, "a letter has room for its number");
        Self {
            sheet: (0..size).map(pattern).collect(),
            next: 0,
        }
    }

    /// The next letter. The caller copies it into a message of its own.
    #[inline]
    pub fn next(&mut self) -> &[u8] {
        let number = self.next;
        self.next += 1;
        self.numbered(number)
    }

    /// The letter with this number.
    #[inline]
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        self.sheet[..NUMBER].copy_from_slice(&number.to_le_bytes());
        &self.sheet
    }
}

impl Tally {
    /// A tally of letters of `size` octets that adds to `score`.
    pub fn new(size: usize, score: &mut Score) -> Self {
        let sum = look(&(0..size).map(pattern).collect::<Vec<_>>());
        let count = Arc::default();
        score.0.push(Arc::clone(&count));
        Self {
            expected: 0,
            size,
            sum,
            count,
        }
    }

    /// Takes a letter, which must be whole and the next in turn, and returns its number.
    #[inline]
    pub fn take(&mut self, letter: &[u8]) -> Result<u64, Fault> {
        let number = letter.first_chunk().copied().map(u64::from_le_bytes);
        if number != Some(self.expected) || letter.len() != self.size || look(letter) != self.sum {
            return Err(self.refuse(letter, number));
        }
        self.expected += 1;
        self.count.store(self.expected, Ordering::Relaxed);
        Ok(self.expected - 1)
    }

    #[cold]
    fn refuse(&self, letter: &[u8], number: Option<u64>) -> Fault {
        let Self { expected, size, .. } = self;
        match number {
            _ if letter.len() != *size => format!(
                "{} octets in place of {size} at message {expected}",
                letter.len()
            ),
            Some(number) if number > *expected => {
                format!("message {number} came, {expected} is lost or late")
            }
            Some(number) if number < *expected => {
                format!("message {number} came again or late, {expected} was due")
            }
            _ => format!("the octets of message {expected} are altered"),
        }
        .into()
    }
}

impl Score {
    /// Messages taken by now.
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// Whether no tally adds to it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every tally has taken a message.
    pub fn all_begun(&self) -> bool {
        self.0.iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }
}

impl Trips {
    /// Trips whose answers are counted in `answers`.
    pub fn new(answers: Tally, times: Times) -> Self {
        Self { answers, times }
    }

    /// Takes the answer to the letter that set out at `start`.
    #[inline]
    pub fn home(&mut self, start: Instant, answer: &[u8]) -> Result<(), Fault> {
        let time = start.elapsed();
        self.answers.take(answer)?;
        self.times.lock().push(time);
        Ok(())
    }
}

impl Times {
    /// Takes out all that were noted.
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at an octet of each cache line behind the number, and at the last.
#[inline]
fn look(letter: &[u8]) -> u64 {
    let body = letter.get(NUMBER..).unwrap_or_default();
    let lines = body.iter().step_by(LINE);
    lines
        .chain(body.last())
        .map(|&octet| u64::from(octet))
        .sum()
}

#[allow(clippy::cast_possible_truncation, reason = "the remainder fits")]
fn pattern(at: usize) -> u8 {
    (at * 31 % 251) as u8
}

const NUMBER: usize = size_of::<u64>();
const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(size: usize) -> (Tally, Score) {
        let mut score = Score::default();
        (Tally::new(size, &mut score), score)
    }

    #[test]
    fn letters_in_turn_are_counted() {
        for size in [8, 16, 64, 100, 1024] {
            let (mut tally, score) = tally(size);
            let mut letters = Letters::new(size);
            assert!(!score.all_begun());
            for number in 0..10 {
                assert_eq!(tally.take(letters.next()).unwrap(), number);
            }
            assert_eq!(score.total(), 10);
        }
    }

    #[test]
    fn what_is_lost_doubled_cut_or_altered_is_told() {
        let (mut tally, score) = tally(64);
        let mut letters = Letters::new(64);
        tally.take(letters.next()).unwrap();
        let told = |error: Fault| error.to_string();
        assert!(told(tally.take(letters.numbered(2)).unwrap_err()).contains("1 is lost"));
        assert!(told(tally.take(letters.numbered(0)).unwrap_err()).contains("came again"));
        assert!(told(tally.take(&letters.numbered(1)[..32]).unwrap_err()).contains("32 octets"));
        let mut bad = letters.numbered(1).to_vec();
        bad[8] ^= 1;
        assert!(told(tally.take(&bad).unwrap_err()).contains("altered"));
        tally.take(letters.numbered(1)).unwrap();
        assert_eq!(score.total(), 2);
    }
}
