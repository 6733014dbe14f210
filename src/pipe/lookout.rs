//! [`Lookout`]: looking for a moment before a thread sleeps.

use std::hint::spin_loop;
use std::time::Instant;

use tokio::task::try_id;

use crate::sync::MOMENT;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Looks on for a moment for what another thread of this process may be about to bring.
///
/// To put a thread to sleep and to wake it takes ten times as long as to answer a short question. Two threads that talk over
/// `inproc`, from `block_on` or by blocking sockets, would do little else. A task never looks on: others want its thread. Nor is
/// it done for what comes from elsewhere, which takes longer.
#[derive(Default)]
pub(super) struct Lookout {
    /// There are peers in this process.
    near: AtomicBool,
    /// So many waits pass before the next look.
    pass: AtomicU32,
    /// And so many did before the last, if that was in vain.
    passed: AtomicU32,
}

/// Where looking is of no use, it is tried once in so many waits.
const RARELY: u32 = 255;

impl Lookout {
    /// There is a peer in this process.
    pub fn expect_near(&self) {
        self.near.store(true, Ordering::Relaxed);
    }

    /// Looks until `there` is true, for [`MOMENT`] at most. `false` if it is not; or at once if that is likely, or this is a task.
    ///
    /// Two threads may count as one: nothing depends on the numbers.
    pub fn sees(&self, there: impl Fn() -> bool) -> bool {
        if !self.near.load(Ordering::Relaxed) || try_id().is_some() {
            return false;
        }
        let pass = self.pass.load(Ordering::Relaxed);
        if pass > 0 {
            self.pass.store(pass - 1, Ordering::Relaxed);
            return false;
        }
        let begin = Instant::now();
        let seen = loop {
            if there() {
                break true;
            }
            if begin.elapsed() >= MOMENT {
                break false;
            }
            (0..16).for_each(|_| spin_loop());
        };
        let pass = match seen {
            true => 0,
            false => RARELY.min(2 * self.passed.load(Ordering::Relaxed) + 1),
        };
        self.passed.store(pass, Ordering::Relaxed);
        self.pass.store(pass, Ordering::Relaxed);
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often something is looked for in so many waits, if it is never `there` or always.
    fn looks(lookout: &Lookout, waits: usize, there: bool) -> usize {
        let looks = Cell::new(0);
        for _ in 0..waits {
            let before = looks.get();
            let seen = lookout.sees(|| {
                looks.set(before + 1);
                there
            });
            assert_eq!(seen, there && looks.get() > before);
        }
        looks.get()
    }

    #[test]
    fn what_is_not_in_this_process_is_not_looked_for() {
        assert_eq!(looks(&Lookout::default(), 100, true), 0);
    }

    #[test]
    fn where_it_is_of_no_use_it_is_done_the_less_and_where_it_is_always() {
        let lookout = Lookout::default();
        lookout.expect_near();
        assert_eq!(looks(&lookout, 100, true), 100);
        // After 0, 1, 3, 7, … 127 that were passed over, then 255 at most.
        assert_eq!(looks(&lookout, 255, false), 8);
        assert_eq!(looks(&lookout, 2 * 256, false), 2);
        assert_eq!(looks(&lookout, 256, true), 1);
        assert_eq!(looks(&lookout, 100, true), 100);
    }

    #[tokio::test]
    async fn a_task_does_not_look() {
        let task = tokio::spawn(async {
            let lookout = Lookout::default();
            lookout.expect_near();
            looks(&lookout, 100, true)
        });
        assert_eq!(task.await.unwrap(), 0);
    }
}
