//! How long the long form of a test is.

/// `n` times the environment variable `JACKSTAY_TIMES`, which is 1 if it is not set: repetitions, messages, seconds.
pub fn times(n: u64) -> u64 {
    let factor = match std::env::var("JACKSTAY_TIMES") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("JACKSTAY_TIMES is no number: {text:?}")),
        Err(_) => 1,
    };
    n * factor
}
