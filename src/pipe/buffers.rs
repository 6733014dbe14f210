//! Buffers to read into: as many as are in use at a time, not one for each connection.

use std::sync::Mutex;

use bytes::BytesMut;

use super::lock;

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
