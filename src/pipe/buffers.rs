//! Buffers to read into: as many as are in use at a time, not one for each connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;

/// The room of one buffer.
pub(crate) const ROOM: usize = 256 << 10;
/// How many are kept for their next use.
const KEPT: usize = 16;

/// More than so many are too many for a process that has next to nothing to read.
const FEW: usize = 2;
/// How long nobody has needed what is freed.
const IDLE: Duration = Duration::from_secs(1);

/// Buffers that nothing is read into. None holds anything.
struct Spare(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    buffers: Vec<BytesMut>,
    /// The fewest there were since `looked`: so many have not been needed.
    least: usize,
    looked: Option<Instant>,
}

static SPARE: Spare = Spare(Mutex::new(Idle {
    buffers: Vec::new(),
    least: 0,
    looked: None,
}));

/// An empty buffer with [`ROOM`].
pub(crate) fn take() -> BytesMut {
    SPARE.take()
}

/// Keeps `buffer` for its next use, if it is one of these. Whether more are kept now than a process needs that has next to
/// nothing to read: then [`shrink`] should be called in a while.
pub(crate) fn give_back(buffer: BytesMut) -> bool {
    SPARE.give_back(buffer)
}

/// Frees those that nobody has needed for a second. Whether there are still as many.
pub(crate) fn shrink(now: Instant) -> bool {
    let left = SPARE.shrink(now);
    if left == 0 {
        lock(&SPENT.0).clear();
    }
    left > FEW
}

/// Buffers of large bodies. Their messages may still be read; when the last of one is gone, its buffer is free.
struct Spent(Mutex<VecDeque<BytesMut>>);

static SPENT: Spent = Spent(Mutex::new(VecDeque::new()));

/// Keeps the empty rest of a buffer whose octets have become a message, to be used again when that is gone.
pub(crate) fn keep(spent: BytesMut) {
    SPENT.keep(spent);
}

/// Puts a free buffer of the right size, if there is one, in the place of `body`, of which `missing` octets are to be read:
/// memory that was just read is in the processor's cache, and fresh memory has to be mapped page by page.
pub(crate) fn lend(body: &mut BytesMut, missing: usize) {
    SPENT.lend(body, missing);
}

impl Spare {
    fn take(&self) -> BytesMut {
        let mut idle = lock(&self.0);
        let spare = idle.buffers.pop();
        idle.least = idle.least.min(idle.buffers.len());
        drop(idle);
        spare.unwrap_or_else(|| BytesMut::with_capacity(ROOM))
    }

    fn give_back(&self, mut buffer: BytesMut) -> bool {
        buffer.clear();
        let fits = buffer.try_reclaim(ROOM) && buffer.capacity() < 2 * ROOM;
        let buffers = &mut lock(&self.0).buffers;
        if fits && buffers.len() < KEPT {
            buffers.push(buffer);
        }
        buffers.len() > FEW
    }

    /// How many are left.
    fn shrink(&self, now: Instant) -> usize {
        let mut idle = lock(&self.0);
        let looked = idle.looked.get_or_insert(now);
        if now.saturating_duration_since(*looked) < IDLE {
            return idle.buffers.len();
        }
        *looked = now;
        let needed = idle.buffers.len() - idle.least;
        let needless = idle.buffers.split_off(needed);
        idle.least = needed;
        drop(idle);
        drop(needless);
        needed
    }
}

impl Spent {
    fn keep(&self, spent: BytesMut) {
        let mut kept = lock(&self.0);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(spent);
    }

    fn lend(&self, body: &mut BytesMut, missing: usize) {
        let len = body.len() + missing;
        if len > ROOM || body.capacity() >= len {
            return;
        }
        let mut kept = lock(&self.0);
        let fits = |spent: &mut BytesMut| spent.try_reclaim(len) && spent.capacity() <= 2 * len;
        let Some(mut free) = kept
            .iter_mut()
            .position(fits)
            .and_then(|index| kept.remove(index))
        else {
            return;
        };
        drop(kept);
        free.extend_from_slice(body);
        *body = free;
    }
}

/// As [`super::lock`], for what belongs to the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> Spare {
        Spare(Mutex::default())
    }

    fn spent() -> Spent {
        Spent(Mutex::default())
    }

    #[test]
    fn a_buffer_that_is_given_back_is_taken_again_empty() {
        let spare = spare();
        let mut buffer = spare.take();
        assert!(buffer.is_empty() && buffer.capacity() >= ROOM);
        buffer.extend_from_slice(b"read");
        let place = buffer.as_ptr();
        spare.give_back(buffer);
        let again = spare.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(lock(&spare.0).buffers.len(), 0);
    }

    #[test]
    fn only_a_free_buffer_of_the_right_size_is_kept_and_only_so_many() {
        let spare = spare();
        let kept = || lock(&spare.0).buffers.len();
        for (room, is_kept) in [
            (1, false),
            (ROOM - 1, false),
            (ROOM, true),
            (ROOM + ROOM / 2, true),
            (2 * ROOM, false),
        ] {
            spare.give_back(BytesMut::with_capacity(room));
            assert_eq!(kept(), usize::from(is_kept), "{room}");
            lock(&spare.0).buffers.clear();
        }
        let mut buffer = BytesMut::zeroed(ROOM);
        let message = buffer.split_to(1).freeze();
        spare.give_back(buffer);
        assert_eq!(kept(), 0, "a message holds on to it");
        drop(message);
        let buffers: Vec<_> = (0..KEPT + 3).map(|_| spare.take()).collect();
        for buffer in buffers {
            spare.give_back(buffer);
        }
        assert_eq!(kept(), KEPT);
    }

    #[test]
    fn those_that_nobody_needed_for_a_second_are_freed() {
        let spare = spare();
        let begin = Instant::now();
        let kept_after = |seconds| {
            let left = spare.shrink(begin + Duration::from_secs_f64(seconds));
            assert_eq!(lock(&spare.0).buffers.len(), left);
            left
        };
        let use_at_once = |count| {
            let buffers: Vec<_> = (0..count).map(|_| spare.take()).collect();
            for buffer in buffers {
                spare.give_back(buffer);
            }
        };
        use_at_once(5);
        // It has not been looked before, and then not for long enough.
        assert_eq!(kept_after(0.0), 5);
        assert_eq!(kept_after(0.9), 5);
        assert_eq!(kept_after(1.0), 5, "they were needed");
        use_at_once(2);
        assert_eq!(kept_after(2.0), 2);
        assert_eq!(kept_after(3.0), 0);
    }

    // Of the process, so that other tests may take some of them meanwhile.
    #[test]
    fn what_is_given_back_and_kept_is_there_for_all_connections() {
        assert!(take().capacity() >= ROOM);
        for _ in 0..KEPT {
            give_back(BytesMut::with_capacity(ROOM));
        }
        assert!(!lock(&SPARE.0).buffers.is_empty());
        for _ in 0..KEPT {
            let mut buffer = BytesMut::zeroed(LEN);
            drop(buffer.split());
            keep(buffer);
        }
        let mut body = BytesMut::new();
        lend(&mut body, LEN);
        assert!(body.capacity() >= LEN);
    }

    const LEN: usize = 100_000;

    /// A message of `len` octets, and where it is; `spent` has the rest of its buffer.
    fn message(spent: &Spent, len: usize) -> (bytes::Bytes, *const u8) {
        let mut buffer = BytesMut::zeroed(len);
        let message = buffer.split().freeze();
        spent.keep(buffer);
        let place = message.as_ptr();
        (message, place)
    }

    #[test]
    fn the_buffer_of_a_body_is_used_again_when_its_message_is_gone_and_not_before() {
        let spent = spent();
        let (message, place) = message(&spent, LEN);
        let mut body = BytesMut::from("begun");
        spent.lend(&mut body, LEN - 5);
        assert_ne!(body.as_ptr(), place);
        drop(message);
        spent.lend(&mut body, LEN - 5);
        assert_eq!((body.as_ptr(), &body[..]), (place, &b"begun"[..]));
        assert!(body.capacity() >= LEN);
        let mut next = BytesMut::new();
        spent.lend(&mut next, LEN);
        assert_eq!(next.capacity(), 0, "it is lent once");
    }

    #[test]
    fn a_body_gets_a_buffer_that_is_not_much_too_large_and_only_if_it_needs_one() {
        let spent = spent();
        let (large, place) = message(&spent, LEN);
        drop(large);
        for (room, len) in [(LEN, LEN), (0, LEN + 1), (0, LEN / 2 - 1)] {
            let mut body = BytesMut::with_capacity(room);
            spent.lend(&mut body, len);
            assert_eq!(body.capacity(), room, "{len}");
        }
        let mut body = BytesMut::new();
        spent.lend(&mut body, LEN / 2);
        assert_eq!(body.as_ptr(), place);
        // The largest of all is as large as what is read into.
        for (len, is_lent) in [(ROOM, true), (ROOM + 1, false)] {
            drop(message(&spent, len));
            let mut body = BytesMut::new();
            spent.lend(&mut body, len);
            assert_eq!(body.capacity() >= len, is_lent, "{len}");
        }
    }

    #[test]
    fn so_many_buffers_of_bodies_are_kept_and_the_oldest_goes_first() {
        let spent = spent();
        for _ in 0..KEPT {
            drop(message(&spent, LEN));
        }
        drop(message(&spent, LEN / 10));
        let sizes = lock(&spent.0)
            .iter_mut()
            .fold((0, 0), |(large, small), buffer| {
                match buffer.try_reclaim(LEN) {
                    true => (large + 1, small),
                    false => (large, small + 1),
                }
            });
        assert_eq!(sizes, (KEPT - 1, 1));
    }
}
