//! Everything at once, for hours: are messages lost, does something hang, does anything grow?
//!
//! ```text
//! cargo bench --bench soak --features curve -- --minutes 60              a seed is drawn and printed
//! cargo bench --bench soak --features curve -- --minutes 60 --seed 7     the same choices again
//! ```
//!
//! All patterns exchange numbered messages over tcp, ipc and inproc, under NULL, PLAIN and CURVE, some over sockets that last
//! as long as the run (`exchange.rs`), some over sockets that are made for a moment; peers come and go at sockets that stay,
//! services restart, strangers leave in the middle of a message (`visits.rs`). Each message is checked. Memory, files and
//! tasks are looked at all the time (`samples.rs`): one line a minute, and at the end a verdict. It fails after an error, if
//! files or tasks are left when all sockets are gone, and, where it ran for an hour, if the memory has grown by 1 % an
//! hour or more since the warm-up. It takes its time: some sixth of a processor.

mod exchange;
mod letter;
mod place;
mod samples;
mod soak;
mod visits;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cap::Cap;
use tokio::task::JoinSet;

use place::Place;
use samples::Samples;
use soak::{Outcome, Pace, Soak};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Between two bursts of an exchange that lasts, and between two visits.
const PAUSE: Duration = Duration::from_millis(250);

/// Below this duration growth is printed and not judged: it cannot be told from chance.
const JUDGED: Duration = Duration::from_secs(60 * 60);

/// The most that the memory may grow, in hundredths an hour.
const GROWTH: f64 = 1.0;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        // A test run only proves that it builds.
        return Ok(());
    }
    let minutes: f64 = argument(&args, "--minutes")?.unwrap_or(60.0);
    let drawn = u64::from(std::process::id()) << 32 | support::number() as u64;
    let seed = argument(&args, "--seed")?.unwrap_or(drawn);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(Duration::from_secs_f64(minutes * 60.0), seed))
}

fn argument<T: std::str::FromStr>(args: &[String], name: &str) -> Outcome<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Some(at) = args.iter().position(|arg| arg == name) else {
        return Ok(None);
    };
    let value = args.get(at + 1).ok_or("an argument has no value")?;
    Ok(Some(value.parse()?))
}

async fn run(duration: Duration, seed: u64) -> Outcome<()> {
    let begun = Instant::now();
    let before = samples::Now::take()?;
    println!(
        "seed {seed}, process {}, {duration:.0?}",
        std::process::id()
    );
    let soak = Arc::new(Soak::new(begun + duration, seed));
    let mut scenes = scenes(&soak);
    let running = scenes.len();
    println!("{running} scenes; before them: {before}");

    let mut samples = Samples::new(begun, duration);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    while Instant::now() < soak.deadline {
        second.tick().await;
        if let Some(line) = samples.sample()? {
            println!(
                "{line}, {} messages, {} errors",
                soak.passed(),
                soak.errors()
            );
        }
    }
    while let Some(ended) = scenes.join_next().await {
        if ended.is_err() {
            soak.failed("a scene", "it panicked".into());
        }
    }
    let left = samples::Now::settle(&before).await?;
    println!("after {:.0?}: {running} scenes over", begun.elapsed());
    println!("left when all sockets are gone: {left}");
    verdict(&soak, &samples, &before, &left, duration)
}

/// Prints what came of it, and fails if it is not what is claimed.
fn verdict(
    soak: &Soak,
    samples: &Samples,
    before: &samples::Now,
    left: &samples::Now,
    duration: Duration,
) -> Outcome<()> {
    let growth = samples.growth()?;
    println!(
        "verdict: {:.1} minutes, {} messages, {} errors, resident memory {}, heap {}, files {} to {}, tasks {} to {}",
        duration.as_secs_f64() / 60.0,
        soak.passed(),
        soak.errors(),
        growth.resident,
        growth.heap,
        before.files,
        left.files,
        before.tasks,
        left.tasks,
    );
    if soak.errors() > 0 {
        return Err("there were errors".into());
    }
    if (left.files, left.tasks) != (before.files, before.tasks) {
        return Err("files or tasks are left".into());
    }
    if duration >= JUDGED && growth.resident.percent_an_hour >= GROWTH {
        return Err("the memory grows".into());
    }
    Ok(())
}

/// Starts all that goes on.
fn scenes(soak: &Arc<Soak>) -> JoinSet<()> {
    let mut scenes = JoinSet::new();
    macro_rules! start {
        ($scene:path, $place:expr) => {{
            let (soak, place) = (soak.clone(), $place);
            let pace = Pace::lasting(&soak, PAUSE);
            scenes.spawn(async move {
                let outcome = $scene(&soak, place, pace).await;
                if let Err(error) = outcome {
                    soak.failed(&format!("{} over {place:?}", stringify!($scene)), error);
                }
            });
        }};
    }
    for place in Place::all() {
        start!(exchange::pipeline, place);
        start!(exchange::publishing, place);
        start!(exchange::subscribing, place);
        start!(exchange::requesting, place);
        start!(exchange::dealing, place);
        start!(exchange::pairing, place);
        start!(visits::makers, place);
        start!(visits::readers, place);
        start!(visits::askers, place);
        start!(visits::namesakes, place);
        start!(visits::moments, place);
        if place.has_wire() {
            start!(visits::restarts, place);
        }
        if place.is_tcp() {
            start!(visits::strangers, place);
        }
    }
    scenes
}
