//! Chance that can be had again: all of it comes from one number, which a test that fails has printed.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From the environment's `JACKSTAY_SEED`, else anew. Says which, and of what.
    pub fn of(what: &str) -> Self {
        let seed = given().unwrap_or_else(|| RandomState::new().hash_one(what));
        println!("{what}: to see this again, JACKSTAY_SEED={seed}");
        Self(seed)
    }

    /// For one round of many, from the environment's `JACKSTAY_SEED`, else from 1. Says which.
    pub fn of_round(round: u64) -> Self {
        let seed = given().unwrap_or(1);
        println!("JACKSTAY_SEED={seed}, round {round}");
        Self(mixed(seed).wrapping_add(round << 32))
    }

    pub fn next(&mut self) -> u64 {
        let next = mixed(self.0);
        self.0 = self.0.wrapping_add(STEP);
        next
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.within(0..choices.len())]
    }

    /// A number of this range, which is not empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        let width = (range.end - range.start) as u64;
        range.start + usize::try_from(self.below(width)).expect("below a usize")
    }
}

/// A number that looks random and follows from `n`.
pub fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(STEP);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn given() -> Option<u64> {
    let text = env::var("JACKSTAY_SEED").ok()?;
    let seed = text.parse();
    Some(seed.unwrap_or_else(|_| panic!("JACKSTAY_SEED is no number: {text:?}")))
}
