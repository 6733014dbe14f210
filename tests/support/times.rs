//! How long the tests go on.

/// `n`, or as many times that as the variable `JACKSTAY_TIMES` says: the long form of a test.
pub fn times(n: u64) -> u64 {
    let times = std::env::var("JACKSTAY_TIMES").unwrap_or_else(|_| "1".to_owned());
    let times: u64 = times.parse().expect("JACKSTAY_TIMES is no number");
    n * times
}
