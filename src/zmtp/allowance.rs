//! [`Allowance`]: how often a peer may do something.

use std::time::{Duration, Instant};

use super::after;

/// Lets something happen so many times a second, sustained. What is not used is saved up, to a bound.
#[derive(Debug, Clone)]
pub(crate) struct Allowance {
    /// The time that one takes at the highest rate allowed.
    each: Duration,
    /// The time that may be saved up.
    saved: Duration,
    /// When all so far would have happened at that rate.
    paid_until: Option<Instant>,
}

impl Allowance {
    /// At least once a second, and `saved` times at once.
    pub(crate) fn new(rate: u32, saved: u32) -> Self {
        let each = SECOND / rate.max(1);
        Self {
            each,
            saved: each.saturating_mul(saved),
            paid_until: None,
        }
    }

    /// It happens once more; false if that is too often.
    #[inline]
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        let begin = self.paid_until.map_or(now, |paid| paid.max(now));
        let paid_until = after(begin, self.each);
        self.paid_until = Some(paid_until);
        paid_until <= after(now, self.saved)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_allowed_for_ever_and_what_was_saved_up_at_once() {
        let start = Instant::now();
        let mut allowance = Allowance::new(1_000, 50);
        let ticks = |from: Instant| (0..5_000).map(move |ms| from + Duration::from_millis(ms));
        assert!(ticks(start).all(|now| allowance.spend(now)));
        let later = start + 100 * SECOND;
        assert!((0..50).all(|_| allowance.spend(later)));
        assert!(!allowance.spend(later));
        // Whoever goes on all the same has no more for it.
        assert!(!allowance.spend(later + Duration::from_millis(1)));
    }

    #[test]
    fn no_numbers_are_too_large() {
        let now = Instant::now();
        let mut boundless = Allowance::new(1, u32::MAX);
        assert!((0..1_000).all(|_| boundless.spend(now)));
        assert!(Allowance::new(u32::MAX, u32::MAX).spend(now));
    }
}
