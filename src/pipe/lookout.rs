//! Looking for a moment before a thread sleeps.

use std::cell::Cell;
use std::hint::spin_loop;
use std::time::Instant;

use tokio::task::try_id;

use crate::sync::MOMENT;

thread_local! {
    /// How many waits of this thread pass before it looks again, and how many did before its last look, if that was in vain.
    static PASS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Where looking is of no use, it is tried once in so many waits.
const RARELY: u32 = 255;

/// Looks on for what another thread of this process may be about to bring, until `there` is true, for [`MOMENT`] at most.
/// `false` if it is not; or at once if looking was in vain of late.
///
/// To put a thread to sleep and to wake it takes ten times as long as to answer a short question. Two threads that talk over
/// `inproc`, from `block_on` or by blocking sockets, would do little else. A task never looks on: others want its thread.
pub(super) fn sees(there: impl Fn() -> bool) -> bool {
    if MOMENT.is_zero() || try_id().is_some() {
        return false;
    }
    let (pass, passed) = PASS.get();
    if pass > 0 {
        PASS.set((pass - 1, passed));
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
        false => RARELY.min(2 * passed + 1),
    };
    PASS.set((pass, pass));
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often something is looked for in so many waits, if it is never `there` or always.
    fn looks(waits: usize, there: bool) -> usize {
        let looks = Cell::new(0);
        for _ in 0..waits {
            let before = looks.get();
            let seen = sees(|| {
                looks.set(before + 1);
                there
            });
            assert_eq!(seen, there && looks.get() > before);
        }
        looks.get()
    }

    // Each test has a thread of its own.
    #[test]
    fn where_it_is_of_no_use_it_is_done_the_less_and_where_it_is_always() {
        assert_eq!(looks(100, true), 100);
        // After 0, 1, 3, 7, … 127 that were passed over, then 255 at most.
        assert_eq!(looks(255, false), 8);
        assert_eq!(looks(2 * 256, false), 2);
        assert_eq!(looks(256, true), 1);
        assert_eq!(looks(100, true), 100);
    }

    #[tokio::test]
    async fn a_task_does_not_look() {
        let task = tokio::spawn(async { looks(100, true) });
        assert_eq!(task.await.unwrap(), 0);
    }
}
