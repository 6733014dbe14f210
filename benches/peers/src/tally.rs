//! The words of the trade: numbered letters on one side, a tally of them on the other.
//!
//! A letter begins with its sender, or with its topic where there are topics, and its number; a known pattern follows.
//! A tally refuses a letter that comes again, out of turn, cut or altered, and counts the rest where the referee can
//! see them. What is lost is known at the end, when senders have told how many they sent.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cell::{Cell, Measure, SPREAD};

/// Why a role could not play on.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Writes the letters of one sender: the same octets each time, but for the number and the topic.
pub struct Letters {
    sheet: Vec<u8>,
    sizes: &'static [usize],
    next: u64,
    /// How many are still to be written.
    left: u64,
    topics: Option<Topics>,
    post: Arc<Post>,
}

/// Reads letters, of any sender.
pub struct Tally {
    /// By sender.
    expected: Vec<u64>,
    /// By number, as [`Letters`] has them: size, and what [`look`] sees.
    shapes: Vec<(usize, u64)>,
    has_topics: bool,
    taken: u64,
    count: Arc<Count>,
}

/// What those who write letters in this process and those who watch them tell each other.
#[derive(Default)]
pub struct Post {
    /// The receivers are there.
    go: AtomicBool,
    /// No more letters.
    stop: AtomicBool,
    /// Letters written, of those that are wanted.
    sent: AtomicU64,
    /// How many still write.
    writers: Mutex<usize>,
    /// Told when `go` is set, and when a writer ends.
    news: Condvar,
}

/// The messages that a group of tallies has taken.
#[derive(Default)]
pub struct Score(Vec<Arc<Count>>);

/// Of one tally; read by the referee.
#[derive(Default)]
struct Count {
    taken: AtomicU64,
    heard_a_knock: AtomicBool,
}

/// Reads the answers to letters, and notes how long each took to come.
pub struct Trips {
    answers: Tally,
    times: Times,
}

/// The times of round trips, where the referee can take them.
#[derive(Clone, Default)]
pub struct Times(Arc<Mutex<Vec<Duration>>>);

impl Letters {
    /// Those of the sender with this number.
    pub fn new(cell: &Cell, sender: u64, post: &Arc<Post>) -> Self {
        let largest = cell.sizes.iter().copied().max().unwrap_or_default();
        assert!(largest >= HEADER, "a letter has room for its header");
        let mut sheet: Vec<u8> = (0..largest).map(pattern).collect();
        sheet[..NUMBER_AT].copy_from_slice(&sender.to_le_bytes());
        *lock(&post.writers) += 1;
        Self {
            sheet,
            sizes: cell.sizes,
            next: 0,
            left: if cell.pattern.measure == Measure::Gather {
                1
            } else {
                u64::MAX
            },
            topics: Topics::of(cell),
            post: Arc::clone(post),
        }
    }

    /// The next letter, which the caller copies into a message of its own; `None` when there are no more.
    #[inline]
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.left == 0 || self.post.stop.load(Ordering::Relaxed) {
            self.end();
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.left -= 1;
        if let Some(topics) = &self.topics {
            let (topic, wanted) = topics.of_letter(number);
            self.sheet[..NUMBER_AT].copy_from_slice(topic);
            if wanted {
                self.post.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(self.numbered(number))
    }

    /// The letter with this number.
    #[inline]
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        self.sheet[NUMBER_AT..HEADER].copy_from_slice(&number.to_le_bytes());
        &self.sheet[..self.sizes[turn(number, self.sizes.len())]]
    }

    /// A letter for subscribers that may not have subscribed yet, to be sent again and again until this is `None`: then
    /// all of them have heard one.
    pub fn knock(&mut self) -> Option<&[u8]> {
        if self.post.go.load(Ordering::Acquire) {
            return None;
        }
        if let Some(topics) = &self.topics {
            let name = &self.sheet[..NUMBER_AT];
            let name = if name == LAST_WISH {
                &topics.names[0]
            } else {
                LAST_WISH
            };
            self.sheet[..NUMBER_AT].copy_from_slice(name);
        }
        Some(self.numbered(KNOCK))
    }

    #[cold]
    fn end(&mut self) {
        // Told once, however often it is asked for more.
        if self.left != 0 || self.next != 0 {
            if self.topics.is_none() {
                self.post.sent.fetch_add(self.next, Ordering::Relaxed);
            }
            (self.left, self.next) = (0, 0);
            *lock(&self.post.writers) -= 1;
            self.post.news.notify_all();
        }
    }
}

impl Tally {
    /// A tally for `cell` that adds to `score`.
    pub fn new(cell: &Cell, score: &mut Score) -> Self {
        let shape = |&size: &usize| (size, look(&(0..size).map(pattern).collect::<Vec<_>>()));
        let count = Arc::default();
        score.0.push(Arc::clone(&count));
        Self {
            expected: vec![0; cell.senders],
            shapes: cell.sizes.iter().map(shape).collect(),
            has_topics: cell.pattern.topics > 0,
            taken: 0,
            count,
        }
    }

    /// Takes a letter, which must be whole and later than any of its sender before, and returns its number.
    #[inline]
    pub fn take(&mut self, letter: &[u8]) -> Result<u64, Fault> {
        let Some((sender, number)) = header(letter) else {
            return Err(format!("a letter of {} octets", letter.len()).into());
        };
        let sender = if self.has_topics { 0 } else { sender };
        let sender = usize::try_from(sender).unwrap_or(usize::MAX);
        let (size, sum) = self.shapes[turn(number, self.shapes.len())];
        match self.expected.get_mut(sender) {
            Some(expected)
                if number >= *expected && letter.len() == size && look(letter) == sum =>
            {
                if number == KNOCK {
                    let heard = !self.has_topics || letter.starts_with(LAST_WISH);
                    self.count.heard_a_knock.fetch_or(heard, Ordering::Release);
                    return Ok(number);
                }
                *expected = number + 1;
            }
            _ => return Err(self.refuse(sender, number, letter)),
        }
        self.taken += 1;
        self.count.taken.store(self.taken, Ordering::Relaxed);
        Ok(number)
    }

    /// Takes a message of `count` frames, all the same letter.
    #[inline]
    pub fn take_frames<'a>(
        &mut self,
        count: usize,
        frames: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Fault> {
        let mut frames = frames.into_iter();
        let first = frames.next().ok_or("a message without frames")?;
        self.take(first)?;
        let mut seen = 1;
        for frame in frames {
            if header(frame) != header(first)
                || look(frame) != look(first)
                || frame.len() != first.len()
            {
                return Err("a frame of another message".into());
            }
            seen += 1;
        }
        if seen == count {
            Ok(())
        } else {
            Err(format!("{seen} frames in place of {count}").into())
        }
    }

    #[cold]
    fn refuse(&self, sender: usize, number: u64, letter: &[u8]) -> Fault {
        let (size, _) = self.shapes[turn(number, self.shapes.len())];
        match self.expected.get(sender) {
            None => format!("a letter of sender {sender}"),
            Some(expected) if number < *expected => {
                format!("letter {number} came again or late, {expected} was due")
            }
            Some(_) if letter.len() != size => {
                format!(
                    "{} octets in place of {size} at letter {number}",
                    letter.len()
                )
            }
            Some(_) => format!("the octets of letter {number} are altered"),
        }
        .into()
    }
}

impl Post {
    /// Lets the writers begin.
    pub fn go(&self) {
        let _writers = lock(&self.writers);
        self.go.store(true, Ordering::Release);
        self.news.notify_all();
    }

    /// Waits until they may begin.
    pub fn await_go(&self) {
        self.wait_while(|_| !self.go.load(Ordering::Acquire));
    }

    /// Ends all writing, and tells how many letters each receiver that wants them all is to get.
    pub fn stop(&self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.wait_while(|writers| writers > 0);
        self.sent.load(Ordering::Relaxed)
    }

    fn wait_while(&self, writing: impl Fn(usize) -> bool) {
        let writers = lock(&self.writers);
        let _writers = self.news.wait_while(writers, |writers| writing(*writers));
    }
}

impl Score {
    /// Messages taken by now.
    pub fn total(&self) -> u64 {
        let taken = |count: &Arc<Count>| count.taken.load(Ordering::Relaxed);
        self.0.iter().map(taken).sum()
    }

    /// Whether no tally adds to it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every tally has heard the publisher knock.
    pub fn all_heard_a_knock(&self) -> bool {
        let heard = |count: &Arc<Count>| count.heard_a_knock.load(Ordering::Acquire);
        self.0.iter().all(heard)
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
        lock(&self.times.0).push(time);
        Ok(())
    }
}

impl Times {
    /// Takes out all that were noted.
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// What a subscriber asks for.
#[derive(Clone)]
pub struct Wishes {
    /// Before anything else.
    pub at_once: Vec<Vec<u8>>,
    /// When the first message has come. Whatever order a library tells its first subscriptions in, this one is told
    /// after them: who gets its messages gets all.
    pub after_the_first: Option<Vec<u8>>,
}

impl Wishes {
    /// Those of the subscribers in `cell`.
    pub fn of(cell: &Cell) -> Self {
        let topics = cell.pattern.topics;
        if topics == 0 {
            Self {
                at_once: vec![Vec::new()],
                after_the_first: None,
            }
        } else {
            Self {
                at_once: (0..topics).map(|topic| name(topic).to_vec()).collect(),
                after_the_first: Some(LAST_WISH.to_vec()),
            }
        }
    }
}

/// The topics of letters: all that are wanted, and many that are not, in an order that looks like none.
struct Topics {
    names: Vec<[u8; NUMBER_AT]>,
    wanted: u32,
}

impl Topics {
    fn of(cell: &Cell) -> Option<Self> {
        let wanted = cell.pattern.topics;
        (wanted > 0).then(|| Self {
            names: (0..wanted * SPREAD).map(name).collect(),
            wanted,
        })
    }

    /// The topic of a letter, and whether it is wanted.
    fn of_letter(&self, number: u64) -> (&[u8; NUMBER_AT], bool) {
        let topic = number.wrapping_mul(STRIDE) % self.names.len() as u64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "less than the number of names"
        )]
        let name = &self.names[topic as usize];
        (name, topic < u64::from(self.wanted))
    }
}

/// The text of a topic: none begins another.
fn name(topic: u32) -> [u8; NUMBER_AT] {
    let mut name = [b't'; NUMBER_AT];
    let digits = format!("{topic:07}");
    for (place, digit) in name[1..].iter_mut().zip(digits.bytes()) {
        *place = digit;
    }
    name
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline]
fn header(letter: &[u8]) -> Option<(u64, u64)> {
    let (sender, rest) = letter.split_first_chunk()?;
    let number = rest.first_chunk()?;
    Some((u64::from_le_bytes(*sender), u64::from_le_bytes(*number)))
}

/// Looks at an octet of each cache line behind the header, and at the last.
#[inline]
fn look(letter: &[u8]) -> u64 {
    let body = letter.get(HEADER..).unwrap_or_default();
    let lines = body.iter().step_by(LINE);
    lines
        .chain(body.last())
        .map(|&octet| u64::from(octet))
        .sum()
}

/// Whose turn it is among `count`, a power of two.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are enough")]
fn turn(number: u64, count: usize) -> usize {
    number as usize & (count - 1)
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder fits")]
fn pattern(at: usize) -> u8 {
    (at * 31 % 251) as u8
}

const NUMBER_AT: usize = size_of::<u64>();
const HEADER: usize = NUMBER_AT + size_of::<u64>();
const LINE: usize = 64;
/// The number of a letter that does not count.
const KNOCK: u64 = u64::MAX;
const LAST_WISH: &[u8; NUMBER_AT] = b"lastwish";
/// Has no divisor in common with the number of topics.
const STRIDE: u64 = 7919;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cells;

    fn cell(name: &str) -> Cell {
        let mut cells = cells::all().into_iter();
        cells.find(|cell| cell.to_string() == name).unwrap()
    }

    fn tally(cell: &Cell) -> (Tally, Score) {
        let mut score = Score::default();
        (Tally::new(cell, &mut score), score)
    }

    #[test]
    fn letters_of_every_shape_are_counted_and_their_end_is_told() {
        for name in [
            "push-pull/tcp/16B",
            "push-pull/tcp/64B/64-1",
            "seats/tcp/mixed",
        ] {
            let cell = cell(name);
            let (post, (mut tally, score)) = (Arc::default(), tally(&cell));
            let mut letters: Vec<_> = (0..cell.senders as u64)
                .map(|sender| Letters::new(&cell, sender, &post))
                .collect();
            for number in 0..20 {
                for letters in &mut letters {
                    assert_eq!(
                        tally.take(letters.next().unwrap()).unwrap(),
                        number,
                        "{name}"
                    );
                }
            }
            post.stop.store(true, Ordering::Relaxed);
            for letters in &mut letters {
                assert!(letters.next().is_none());
                assert!(letters.next().is_none());
            }
            assert_eq!(post.stop(), 20 * cell.senders as u64);
            assert_eq!(score.total(), 20 * cell.senders as u64);
        }
    }

    #[test]
    fn what_comes_again_cut_or_altered_is_refused() {
        let cell = cell("push-pull/tcp/64B");
        let (mut tally, score) = tally(&cell);
        let mut letters = Letters::new(&cell, 0, &Arc::default());
        tally.take(letters.numbered(1)).unwrap();
        let told = |error: Fault| error.to_string();
        assert!(told(tally.take(letters.numbered(0)).unwrap_err()).contains("came again"));
        assert!(told(tally.take(&letters.numbered(2)[..32]).unwrap_err()).contains("32 octets"));
        let mut bad = letters.numbered(2).to_vec();
        bad[HEADER] ^= 1;
        assert!(told(tally.take(&bad).unwrap_err()).contains("altered"));
        bad[0] = 9;
        assert!(told(tally.take(&bad).unwrap_err()).contains("sender 9"));
        tally.take(letters.numbered(2)).unwrap();
        assert_eq!(score.total(), 2);
    }

    #[test]
    fn frames_of_another_message_and_frames_too_few_are_refused() {
        let cell = cell("seats/tcp/64Bx2");
        let (mut tally, _) = tally(&cell);
        let mut letters = Letters::new(&cell, 0, &Arc::default());
        let mut letter = || letters.next().unwrap().to_vec();
        let [a, b, c] = [letter(), letter(), letter()];
        tally.take_frames(2, [&a[..], &a[..]]).unwrap();
        assert!(tally.take_frames(2, [&b[..], &a[..]]).is_err());
        assert!(tally.take_frames(2, [&c[..]]).is_err());
    }

    #[test]
    fn one_letter_in_ten_bears_a_topic_that_is_wanted() {
        let cell = cell("topics/tcp/64B/1-1");
        let post = Arc::default();
        let mut letters = Letters::new(&cell, 0, &post);
        let wanted: HashSet<_> = Wishes::of(&cell).at_once.into_iter().collect();
        assert_eq!(wanted.len(), 10_000);
        let hits = (0..100_000)
            .filter(|_| wanted.contains(&letters.next().unwrap()[..NUMBER_AT]))
            .count();
        assert_eq!(hits, 10_000);
        assert_eq!(post.sent.load(Ordering::Relaxed), 10_000);
    }

    #[test]
    fn with_topics_only_a_knock_on_the_last_is_heard() {
        let cell = cell("topics/tcp/64B/1-1");
        let (mut tally, score) = tally(&cell);
        let mut letters = Letters::new(&cell, 0, &Arc::default());
        let last = Wishes::of(&cell).after_the_first.unwrap();
        for heard in [true, false, true] {
            let knock = letters.knock().unwrap();
            assert_eq!(knock.starts_with(&last), heard);
            let Tally { count, .. } = &tally;
            count.heard_a_knock.store(false, Ordering::Relaxed);
            tally.take(knock).unwrap();
            assert_eq!(score.all_heard_a_knock(), heard);
        }
        assert_eq!(score.total(), 0);
    }

    #[test]
    fn a_knock_is_heard_and_does_not_count() {
        let cell = cell("pub-sub/tcp/64B/1-1");
        let post = Arc::default();
        let (mut tally, score) = tally(&cell);
        let mut letters = Letters::new(&cell, 0, &post);
        assert!(!score.all_heard_a_knock());
        tally.take(letters.knock().unwrap()).unwrap();
        assert!(score.all_heard_a_knock());
        assert_eq!(score.total(), 0);
        post.go();
        assert!(letters.knock().is_none());
    }
}
