//! The models of what the library takes from Tokio do what Tokio's own do: both are told the same in the same order, and must
//! answer alike.

#![forbid(unsafe_code)]

use std::pin::{Pin, pin};
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
#[path = "../model/watch.rs"]
mod watch;

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

/// Whether a future is over at its first poll, and what wakes it.
fn polled<F: Future>(future: F) -> bool {
    pin!(future)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// Takes random steps with one kind of watch.
macro_rules! watched {
    ($sender:expr, $seed:expr) => {{
        let (sender, mut seed) = ($sender, $seed);
        let mut receiver = sender.subscribe();
        let mut answers = Vec::new();
        for _ in 0..20 {
            let value = next(&mut seed) % 4;
            answers.push(match next(&mut seed) % 6 {
                0 => sender.send_replace(value),
                1 => u64::from(sender.send_if_modified(|there| {
                    *there = value;
                    value % 2 == 0
                })),
                2 => *sender.borrow(),
                3 => *receiver.borrow_and_update(),
                4 => u64::from(polled(receiver.wait_for(|there| *there == value))),
                _ => u64::from(polled(receiver.changed())),
            });
        }
        drop(sender);
        answers.push(u64::from(polled(receiver.wait_for(|there| *there == 9))));
        answers
    }};
}

#[test]
fn watch_answers_as_tokios_does() {
    for seed in 0..times::times(20_000) {
        let model = watch::Sender::new(0);
        let theirs = tokio::sync::watch::Sender::new(0);
        assert_eq!(watched!(model, seed), watched!(theirs, seed), "seed {seed}");
    }
}

#[test]
fn a_change_wakes_whoever_waits_for_it() {
    let sender = watch::Sender::new(0);
    let mut receiver = sender.subscribe();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut waiting = pin!(receiver.wait_for(|there| *there == 2));
    let mut poll = || {
        waiting
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    };
    assert!(!poll());
    sender.send_modify(|there| *there = 1);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(!poll());
    sender.send_replace(2);
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert!(poll());
}
