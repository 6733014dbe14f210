//! [`Backoff`]: how long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::options::Reconnect;

/// The delays between attempts: doubling, bounded, and drawn at random so that many clients do not return at once.
pub(super) struct Backoff<'a> {
    policy: &'a Reconnect,
    next: Duration,
}

impl<'a> Backoff<'a> {
    pub fn new(policy: &'a Reconnect) -> Self {
        Self {
            policy,
            next: policy.first,
        }
    }

    /// An attempt succeeded: begin anew.
    pub fn reset(&mut self) {
        self.next = self.policy.first;
    }

    pub fn delay(&mut self) -> Duration {
        let bound = self.next.min(self.policy.max);
        self.next = self.next.saturating_mul(2).min(self.policy.max);
        if self.policy.jitter {
            bound.mul_f64(random())
        } else {
            bound
        }
    }
}

/// A number in 0..1. A hasher of the standard library is keyed at random; nothing better is needed here.
fn random() -> f64 {
    f64::from((RandomState::new().hash_one(0) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_and_begin_anew() {
        let policy = Reconnect::default()
            .first(Duration::from_millis(100))
            .max(Duration::from_millis(350))
            .jitter(false);
        let mut backoff = Backoff::new(&policy);
        let delays: Vec<_> = (0..4).map(|_| backoff.delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.delay().as_millis(), 100);
    }

    #[test]
    fn jitter_spreads_the_delays_below_the_bound() {
        let policy = Reconnect::default();
        let delays: Vec<_> = (0..64).map(|_| Backoff::new(&policy).delay()).collect();
        assert!(delays.iter().all(|delay| *delay <= policy.first));
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }
}
