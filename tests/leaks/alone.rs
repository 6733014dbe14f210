//! A test that has the process to itself, and what the process holds before it and behind it.

use std::future::Future;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::ALLOCATOR;
use crate::support::times::times;

/// What the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub tasks: usize,
    pub files: usize,
    /// Octets.
    pub heap: usize,
}

impl Held {
    pub fn now() -> Self {
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            files: files(),
            heap: ALLOCATOR.allocated(),
        }
    }

    /// Waits until no more tasks and files are held than here; returns what is held then.
    pub async fn is_restored(self) -> Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = Self::now();
            if now.tasks <= self.tasks && now.files <= self.files {
                return now;
            }
            assert!(
                Instant::now() < end,
                "left behind: {now:?}, before: {self:?}"
            );
            // Only paces the looks; how long it takes proves nothing.
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until no more of the heap is held than here, but for few buffers to read into and a little.
    pub async fn keeps_no_room(self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let grown = Self::now().heap.saturating_sub(self.heap);
            if grown <= FEW * BUFFER + LITTLE {
                return;
            }
            assert!(Instant::now() < end, "{grown} octets more are kept");
            // Only paces the looks; how long it takes proves nothing.
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[cfg(target_os = "linux")]
fn files() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").expect("it is Linux");
    files.count()
}

/// The system does not tell: what is looked at here are tasks and memory.
#[cfg(not(target_os = "linux"))]
fn files() -> usize {
    0
}

/// Longer than a good-bye, a linger time and a back-off together.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any healthy test takes that is run once.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test while no other one runs, on a runtime of its own with two threads.
pub fn alone<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    static ONE: Mutex<()> = Mutex::new(());
    // A test that failed does not spoil the next one.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let limit = LIMIT * u32::try_from(times(1)).expect("not so many");
    runtime.block_on(async { timeout(limit, test()).await.expect("the test hangs") });
}

/// Does `round` so often, a few at a time, in tasks. Behind each tenth of them no task and no file may be left, and
/// behind the later ones no memory may be lost that is there behind the earlier ones.
pub async fn leaves_nothing<F>(rounds: u64, round: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let before = Held::now();
    let part = rounds / PARTS;
    // Finds everything cold, and is not measured.
    repeat(0..part, &round).await;
    let mut heaps = Vec::new();
    for each in 1..=PARTS {
        repeat(each * part..(each + 1) * part, &round).await;
        heaps.push(before.is_restored().await.heap);
    }
    println!("{rounds} rounds: {before:?} before, heap behind each tenth {heaps:?}");
    let half = heaps.len() / 2;
    let (earlier, later) = heaps.split_at_mut(half);
    let (earlier, later) = (median(earlier), median(later));
    let lost = lost(earlier, later);
    assert_eq!(lost, 0, "in {} rounds", rounds / 2);
}

/// The octets by which the heap has grown from `earlier` to `later`, but for whole buffers to read into, of which the process
/// keeps some for its next connections, and for a task or so that has just ended.
pub fn lost(earlier: usize, later: usize) -> usize {
    let grown = later.saturating_sub(earlier);
    let buffers = ((grown + BUFFER / 2) / BUFFER).min(BUFFERS);
    let rest = grown.abs_diff(buffers * BUFFER);
    if rest <= CHANCE { 0 } else { rest }
}

fn median(figures: &mut [usize]) -> usize {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

async fn repeat<F>(rounds: Range<u64>, round: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for each in rounds {
        running.spawn(round(each));
        if running.len() >= AT_A_TIME {
            ended(running.join_next().await);
        }
    }
    while !running.is_empty() {
        ended(running.join_next().await);
    }
}

fn ended(round: Option<Result<(), JoinError>>) {
    round.expect("one runs").expect("a good round");
}

const PARTS: u64 = 10;
const AT_A_TIME: usize = 8;
/// Octets.
const CHANCE: usize = 3 << 10;
/// Room for some messages in a queue.
const LITTLE: usize = 16 << 10;
/// Octets of a buffer, how many are kept for the next connections, and where little is to be read.
const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 16;
const FEW: usize = 2;
