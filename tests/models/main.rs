//! Sockets against models of them: sequences of operations that are drawn at random, and for each a few lines that say
//! what must be observed. Everything is `inproc` on one thread with paused time, so that a sequence always does the same.
//!
//! A sequence that fails is shrunk, printed and kept in `main.regressions`, from where it is run again. `JACKSTAY_TIMES=100 cargo test --test models`
//! draws a hundred times as many.

#[path = "../support/mod.rs"]
mod support;

mod balance;
mod by_peer;
mod request;
mod subscription;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use jackstay::pattern::Pattern;
use jackstay::{Builder, Endpoint, Message, Reconnect};
use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};

use tokio::time::{sleep, timeout};

use crate::support::Transport;
use crate::support::seed::Chance;
use crate::support::times::times;

/// Peers of a socket.
const PEERS: usize = 3;
/// The mark of each socket; over `inproc` those of both sides add up (A7).
const MARK: usize = 2;

/// Paused time passes at once where nothing else happens: so a sequence that hangs is over soon.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Runs `model` with many sequences of operations.
fn check<O: Debug + Clone, F: Future<Output = ()>>(
    name: &'static str,
    operation: impl Strategy<Value = O>,
    model: impl Fn(Vec<O>) -> F,
) {
    let config = Config {
        cases: u32::try_from(times(200)).expect("not so many"),
        rng_seed: RngSeed::Fixed(Chance::of(name).next()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        source_file: Some(file!()),
        test_name: Some(name),
        ..Config::default()
    };
    let sequences = vec(operation, 1..60);
    let outcome = TestRunner::new(config).run(&sequences, |operations| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let whole = async { timeout(YEAR, model(operations)).await };
        runtime.block_on(whole).expect("the sequence hangs");
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{name}: {error}");
    }
}

/// Lets everything come to rest: time is paused, and passes only where nothing else can happen.
async fn settle() {
    sleep(Duration::from_secs(600)).await;
}

/// A socket that tries again soon, and always after the same time.
fn prompt<P: Pattern>(builder: Builder<P>) -> Builder<P> {
    let reconnect = Reconnect::default()
        .max(Duration::from_secs(1))
        .jitter(false);
    builder.reconnect(reconnect)
}

/// The names that peers are bound to, in this sequence alone.
fn names() -> [Endpoint; PEERS] {
    [(); PEERS].map(|()| Transport::Inproc.fixed())
}

fn text(message: &Message) -> String {
    String::from_utf8(message.first().to_vec()).expect("text")
}
