//! Buffers to read into: as many as are in use at a time, not one for each connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

/// The room of one buffer.
pub(crate) const ROOM: usize = 256 << 10;
/// How many are kept for their next use.
const KEPT: usize = 16;

static SPARE: Mutex<Vec<BytesMut>> = Mutex::new(Vec::new());

/// An empty buffer with [`ROOM`].
pub(crate) fn take() -> BytesMut {
    let spare = lock(&SPARE).pop();
    spare.unwrap_or_else(|| BytesMut::with_capacity(ROOM))
}

/// Keeps `buffer` for its next use, if it is one of these.
pub(crate) fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.try_reclaim(ROOM) && buffer.capacity() < 2 * ROOM {
        let mut spare = lock(&SPARE);
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    }
}

/// Buffers of large bodies. Their messages may still be read; when the last of one is gone, its buffer is free.
static SPENT: Mutex<VecDeque<BytesMut>> = Mutex::new(VecDeque::new());

/// Keeps the empty rest of a buffer whose octets have become a message, to be used again when that is gone.
pub(crate) fn keep(spent: BytesMut) {
    let mut kept = lock(&SPENT);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(spent);
}

/// As [`super::lock`], for what belongs to the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a free buffer of the right size, if there is one, in the place of `body`, of which `missing` octets are to be read:
/// memory that was just read is in the processor's cache, and fresh memory has to be mapped page by page.
pub(crate) fn lend(body: &mut BytesMut, missing: usize) {
    let len = body.len() + missing;
    if len > ROOM || body.capacity() >= len {
        return;
    }
    let mut kept = lock(&SPENT);
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

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the buffers belong to the process.
    #[test]
    fn the_buffer_of_a_body_is_used_again_when_its_message_is_gone_and_not_before() {
        const LEN: usize = 100_000;
        let mut first = BytesMut::from(&[7; LEN][..]);
        let message = first.split().freeze();
        let place = message.as_ptr();
        keep(first);
        let mut body = BytesMut::from("begun");
        lend(&mut body, LEN - 5);
        assert_ne!(body.as_ptr(), place);
        drop(message);
        lend(&mut body, LEN - 5);
        assert_eq!((body.as_ptr(), &body[..]), (place, &b"begun"[..]));
        assert!(body.capacity() >= LEN);
    }
}
