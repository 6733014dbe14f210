//! The library's queues under [loom](https://docs.rs/loom): two or three threads, and every order of their steps, with what the
//! memory orderings allow. A thread that waits for ever, in any of them, is a failure.
//!
//! `concurrency/run loom`, or one of them: `concurrency/run loom NAME`. What fails, fails again: nothing is random. With
//! `JACKSTAY_TIMES` above 1, models whose preemptions are bounded are tried with a higher bound.

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

mod inbox;
mod inproc;
mod outbox;
mod pipes;
mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

// So that what the modules call `crate::…` is found.
#[allow(
    unused_imports,
    reason = "for the modules; the models name what they use"
)]
use source::*;

/// What is tried.
struct Model {
    name: &'static str,
    /// What holds in every order of steps.
    proves: &'static str,
    /// How often a thread may be stopped where it could go on: all orders, or so often, and so often in the long form.
    bound: Option<(usize, usize)>,
    run: fn(),
}

const fn all(name: &'static str, proves: &'static str, run: fn()) -> Model {
    Model {
        name,
        proves,
        bound: None,
        run,
    }
}

const fn bounded(
    name: &'static str,
    bound: (usize, usize),
    proves: &'static str,
    run: fn(),
) -> Model {
    Model {
        name,
        proves,
        bound: Some(bound),
        run,
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let models = [
        outbox::MODELS,
        inbox::MODELS,
        inproc::MODELS,
        sockets::MODELS,
    ]
    .concat_models();
    // Timers have a place to be set, and never fire.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(outbox::open_kernel());
    let _context = runtime.enter();
    let mut tried = 0;
    for model in models {
        if wanted.is_empty() || wanted.iter().any(|name| model.name.contains(name)) {
            model.try_all();
            tried += 1;
        }
    }
    assert!(tried > 0, "no model is called so");
}

trait ConcatModels {
    fn concat_models(self) -> Vec<&'static Model>;
}

impl<const N: usize> ConcatModels for [&'static [Model]; N] {
    fn concat_models(self) -> Vec<&'static Model> {
        self.into_iter().flatten().collect()
    }
}

impl Model {
    fn try_all(&self) {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 20_000;
        builder.preemption_bound = self
            .bound
            .map(|(short, long)| if times::times(1) > 1 { long } else { short });
        println!("{}: {}", self.name, self.proves);
        let begun = Instant::now();
        let executions = Arc::new(AtomicU64::new(0));
        let (counted, run) = (executions.clone(), self.run);
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            run();
        });
        let bound = match builder.preemption_bound {
            None => "all orders".to_owned(),
            Some(bound) => format!("all orders with up to {bound} preemptions"),
        };
        println!(
            "    {} executions, {bound}, {:.1} s",
            executions.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64()
        );
    }
}
