//! What all scenes share: when it ends, what has passed and what went wrong, and the choices of chance.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Longer than any step takes, also beside other work.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Soak {
    pub deadline: Instant,
    seed: u64,
    scenes: AtomicU64,
    passed: AtomicU64,
    errors: AtomicU64,
}

impl Soak {
    pub fn new(deadline: Instant, seed: u64) -> Self {
        Self {
            deadline,
            seed,
            scenes: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// So many messages have arrived and are what they should be.
    pub fn count(&self, messages: u64) {
        self.passed.fetch_add(messages, Ordering::Relaxed);
    }

    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What `scene` does has failed.
    pub fn failed(&self, scene: &str, error: Box<dyn Error + Send + Sync>) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        println!("ERROR (seed {}): {scene}: {error}", self.seed);
    }

    /// Chance for one scene: the same for the same seed.
    fn chance(&self) -> Chance {
        let scene = self.scenes.fetch_add(1, Ordering::Relaxed);
        Chance(self.seed ^ scene.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Fails if `step` takes too long.
pub async fn within<T, E: Into<Box<dyn Error + Send + Sync>>>(
    what: impl Display,
    step: impl Future<Output = Result<T, E>>,
) -> Outcome<T> {
    match timeout(PATIENCE, step).await {
        Ok(done) => done.map_err(|error| format!("{what}: {}", error.into()).into()),
        Err(_) => Err(format!("{what}: nothing happened for {PATIENCE:?}").into()),
    }
}

/// Fails with `what` unless it holds.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { Err(what().into()) }
}

/// Numbers that look drawn by chance (splitmix64).
pub struct Chance(u64);

impl Chance {
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// Another source of chance, which follows from this one.
    pub fn split(&mut self) -> Self {
        Self(self.draw())
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// When a scene does the next thing, and when it is over.
pub struct Pace {
    soak: Arc<Soak>,
    pub chance: Chance,
    pause: Duration,
    /// How often yet; none: until the end.
    left: Option<u64>,
}

impl Pace {
    /// Until the end, with pauses around `pause`.
    pub fn lasting(soak: &Arc<Soak>, pause: Duration) -> Self {
        Self {
            soak: soak.clone(),
            chance: soak.chance(),
            pause,
            left: None,
        }
    }

    /// `times`, one after the other.
    pub fn times(&mut self, times: u64) -> Self {
        Self {
            soak: self.soak.clone(),
            chance: self.chance.split(),
            pause: Duration::ZERO,
            left: Some(times),
        }
    }

    /// Waits for the next time; `false` if there is none.
    pub async fn next(&mut self) -> bool {
        match &mut self.left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {
                let most = 2_000 * self.pause.as_millis() as u64;
                sleep(Duration::from_micros(self.chance.below(most))).await;
            }
        }
        self.left.is_some() || Instant::now() < self.soak.deadline
    }
}
