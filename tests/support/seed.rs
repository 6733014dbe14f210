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
        let seed = match env::var("JACKSTAY_SEED") {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("JACKSTAY_SEED is no number: {text:?}")),
            Err(_) => RandomState::new().hash_one(what),
        };
        println!("{what}: to see this again, JACKSTAY_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of this range, which is not empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        let width = (range.end - range.start) as u64;
        range.start + usize::try_from(self.next() % width).expect("below a usize")
    }
}
