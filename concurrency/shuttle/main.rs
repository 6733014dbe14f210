//! Whole sockets under [shuttle](https://docs.rs/shuttle): a task may be stopped at each lock and each atomic, and who goes on is
//! drawn by lot. A task that waits for ever is a failure, as is a message that is lost, doubled or out of order.
//!
//! `concurrency/run shuttle`, or some: `concurrency/run shuttle NAME`. Each scenario is tried with as many schedules as its line says, or so many
//! times that as `JACKSTAY_TIMES` says. The schedules follow from a seed, which is printed, and can be given as `JACKSTAY_SEED`. A failure
//! prints the seed of its one schedule: `SHUTTLE_RANDOM_SEED=… concurrency/run shuttle NAME` begins with that.

#![forbid(unsafe_code)]

/// The library: `src/lib.rs`, as a module.
#[path = "../../src/lib.rs"]
#[allow(
    dead_code,
    unused_imports,
    unfulfilled_lint_expectations,
    reason = "here it is no library with a public surface, and a part of it is used"
)]
mod source;
#[allow(dead_code, reason = "a model of what Tokio has")]
mod sync;
#[path = "../../tests/support/times.rs"]
mod times;

mod inproc;
mod tasks;
mod wires;

use std::time::{Instant, SystemTime};

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, MaxSteps, Runner};

// So that what the modules call `crate::…` is found.
#[allow(
    unused_imports,
    reason = "for the modules; the scenarios name what they use"
)]
use source::*;

/// What is tried: its name, what happens in it, and that.
struct Scenario {
    name: &'static str,
    about: &'static str,
    run: fn(),
}

/// Schedules of each scenario in the short form.
const SCHEDULES: u64 = 400;
/// More than any of them needs.
const STEPS: usize = 100_000;
const STACK: usize = 256 << 10;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name == wanted);
    let seed = match std::env::var("JACKSTAY_SEED") {
        Ok(seed) => seed.parse().expect("JACKSTAY_SEED is no number"),
        Err(_) => SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |now| now.as_nanos() as u64),
    };
    println!("JACKSTAY_SEED={seed}");
    // Timers have a place to be set, and never fire.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let mut schedules = 0;
    for scenario in inproc::SCENARIOS.iter().chain(wires::SCENARIOS) {
        if chosen(scenario.name) {
            schedules += scenario.try_some(seed);
        }
    }
    assert!(schedules > 0, "no scenario is called so");
    println!("{schedules} schedules in all");
}

impl Scenario {
    fn try_some(&self, seed: u64) -> usize {
        println!("{}: {}", self.name, self.about);
        let begun = Instant::now();
        let count = usize::try_from(times::times(SCHEDULES)).unwrap();
        let mut config = Config::new();
        config.stack_size = STACK;
        config.max_steps = MaxSteps::FailAfter(STEPS);
        config.silence_warnings = true;
        let tried = Runner::new(RandomScheduler::new_from_seed(seed, count), config).run(self.run);
        println!(
            "    {tried} schedules, {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        tried
    }
}
