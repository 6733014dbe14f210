//! Chance that can be had again.

use crate::note::mixed;

/// Draws numbers that follow from a seed and a round.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// For `round` of a test. `JACKSTAY_SEED` is the seed, 1 if it is not set; both are printed, which a test that fails
    /// shows.
    pub fn of(round: u64) -> Self {
        let seed = std::env::var("JACKSTAY_SEED").map_or(1, |seed| seed.parse().expect("a number"));
        println!("JACKSTAY_SEED={seed}, round {round}");
        Self(mixed(seed).wrapping_add(round << 32))
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mixed(self.0) % n
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
