//! The model of what the library takes from Tokio does what Tokio's own does: both are told the same in the same order, and must
//! answer alike.

#![forbid(unsafe_code)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

/// `crate::sync` of the models here: the standard library's.
mod sync {
    pub use std::sync::{Mutex, MutexGuard};
}
#[path = "../model/notify.rs"]
mod notify;
#[path = "../../tests/support/times.rs"]
mod times;

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The next number of a sequence that follows from `seed`.
fn next(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// How many wait at most.
const WAITING: usize = 4;

/// What came of each step: whether it was over, and how often each had been woken.
type Answers = Vec<(Option<bool>, [usize; WAITING])>;

/// Takes random steps with one kind of notifier.
macro_rules! steps {
    ($notify:expr, $seed:expr) => {{
        let (notify, mut seed) = ($notify, $seed);
        let woken: [Arc<Woken>; WAITING] = Default::default();
        let mut waiting: [Option<Pin<Box<_>>>; WAITING] = Default::default();
        let mut answers = Answers::new();
        for _ in 0..40 {
            let which = next(&mut seed) as usize % WAITING;
            let slot = &mut waiting[which];
            let answer = match next(&mut seed) % 7 {
                0 => {
                    *slot = Some(Box::pin(notify.notified()));
                    None
                }
                1 => {
                    *slot = None;
                    None
                }
                2 => slot.as_mut().map(|there| there.as_mut().enable()),
                3 | 4 => slot.as_mut().map(|there| {
                    let waker = Waker::from(woken[which].clone());
                    there
                        .as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_ready()
                }),
                5 => {
                    notify.notify_one();
                    None
                }
                _ => {
                    notify.notify_waiters();
                    None
                }
            };
            // What is over is not asked again.
            if answer == Some(true) {
                *slot = None;
            }
            answers.push((
                answer,
                woken
                    .each_ref()
                    .map(|there| there.0.load(Ordering::Relaxed)),
            ));
        }
        answers
    }};
}

#[test]
fn notify_answers_as_tokios_does() {
    for seed in 0..times::times(20_000) {
        let model = notify::Notify::new();
        let theirs = tokio::sync::Notify::new();
        assert_eq!(steps!(&model, seed), steps!(&theirs, seed), "seed {seed}");
    }
}
