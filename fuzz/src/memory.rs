//! How much memory is held.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What was held when the measurement began.
pub(crate) struct Held(usize);

impl Held {
    pub(crate) fn begin() -> Self {
        Self(ALLOCATOR.allocated())
    }

    /// The octets that are held more since then.
    pub(crate) fn more(&self) -> usize {
        ALLOCATOR.allocated().saturating_sub(self.0)
    }
}
