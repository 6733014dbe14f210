//! How much of a test is done: little in each run, and as much more as `JACKSTAY_TIMES` says.

use std::env::{self, VarError};
use std::sync::LazyLock;

/// `n`, or so many times that as the environment's `JACKSTAY_TIMES` says.
pub fn times(n: u64) -> u64 {
    static TIMES: LazyLock<u64> = LazyLock::new(|| match env::var("JACKSTAY_TIMES") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("JACKSTAY_TIMES is no number: {text:?}")),
        Err(VarError::NotPresent) => 1,
        Err(error) => panic!("JACKSTAY_TIMES: {error}"),
    });
    n * *TIMES
}
