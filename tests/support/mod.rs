//! What the integration tests share: transports to run a test over, limits of time, waiting without sleeping.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test binary uses its own part of this"
)]

pub mod raw;
pub mod relay;
pub mod seed;
pub mod times;

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use jackstay::pattern::Pattern;
use jackstay::{Endpoint, Event, EventKind, Message, Monitor, Socket};
use tokio::time::{Instant, sleep, timeout};

use self::times::times;

/// Longer than any healthy step takes, also on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Longer than any healthy test takes.
pub const TEST_LIMIT: Duration = Duration::from_secs(60);

/// The transports that a behaviour is tested over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Ipc,
    Inproc,
}

impl Transport {
    /// Where to bind: a new place at each call. `bind` returns the real one.
    pub fn any(self) -> String {
        match self {
            Self::Tcp => "tcp://127.0.0.1:0".into(),
            Self::Ipc => "ipc://*".into(),
            Self::Inproc => format!("inproc://test-{}", number()),
        }
    }

    /// A place that is known before anybody binds it, and stays the same when it is bound again.
    pub fn fixed(self) -> Endpoint {
        let text = match self {
            Self::Tcp => format!("tcp://127.0.0.1:{}", free_port()),
            Self::Ipc => {
                let file = format!("jackstay-test-{}-{}", std::process::id(), number());
                format!("ipc://{}", std::env::temp_dir().join(file).display())
            }
            Self::Inproc => self.any(),
        };
        text.parse().expect("an endpoint")
    }
}

/// A number that this process has not used yet.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A port below those that the system hands out by itself, so that nobody else gets it before its test binds it.
///
/// It is not bound to find out whether it is free: a process that is started meanwhile would have it for a moment longer.
fn free_port() -> u16 {
    loop {
        let port = 10_000 + (std::process::id().wrapping_mul(97) + number()) % 20_000;
        let port = u16::try_from(port).expect("below 30,000");
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            return port;
        }
    }
}

/// Runs a test body, written as `async fn(Transport)`, over each transport, and over tcp on a single thread, too.
macro_rules! for_each_transport {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            crate::support::over_each_wire!($test);

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn inproc() {
                whole(super::$test(Transport::Inproc)).await;
            }
        }
    )+};
}
pub(crate) use for_each_transport;

/// As [`for_each_transport`], for what in-process connections do not have: a queue of octets, a wire.
macro_rules! for_each_wire {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            crate::support::over_each_wire!($test);
        }
    )+};
}
pub(crate) use for_each_wire;

/// The tests that both have.
macro_rules! over_each_wire {
    ($test:ident) => {
        use crate::support::{Transport, whole};

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn tcp() {
            whole(super::$test(Transport::Tcp)).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn ipc() {
            whole(super::$test(Transport::Ipc)).await;
        }

        #[tokio::test]
        async fn tcp_on_one_thread() {
            whole(super::$test(Transport::Tcp)).await;
        }
    };
}
pub(crate) use over_each_wire;

/// Fails the test if it hangs. The long form of a test has so many times longer.
pub async fn whole(test: impl Future<Output = ()>) {
    let limit = lengthened(TEST_LIMIT);
    timeout(limit, test).await.expect("the test hangs");
}

/// `limit`, for a test that does so much more.
fn lengthened(limit: Duration) -> Duration {
    limit.saturating_mul(u32::try_from(times(1)).unwrap_or(u32::MAX))
}

/// Fails the test, and says where, if a step of it hangs.
#[track_caller]
pub fn within<F: Future>(step: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let limit = lengthened(LIMIT);
        match timeout(limit, step).await {
            Ok(value) => value,
            Err(_) => panic!("nothing happened within {limit:?} at {caller}"),
        }
    }
}

/// Polls `future` once: it has begun, and waits if it is pending.
pub async fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Waits until `check` holds, for what no event announces.
#[track_caller]
pub fn eventually(mut check: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let end = Instant::now() + LIMIT;
        while !check() {
            assert!(
                Instant::now() < end,
                "it did not come about within {LIMIT:?} at {caller}"
            );
            // Only paces the looks; how long it takes proves nothing.
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Waits for an event of this kind and returns it.
#[track_caller]
pub fn event(
    monitor: &mut Monitor,
    wanted: impl Fn(&EventKind) -> bool,
) -> impl Future<Output = Event> {
    let caller = Location::caller();
    async move {
        let mut seen = Vec::new();
        let found = timeout(LIMIT, async {
            loop {
                let event = monitor.recv().await.expect("the socket lives");
                if wanted(&event.kind) {
                    return event;
                }
                seen.push(event.to_string());
            }
        });
        match found.await {
            Ok(event) => event,
            Err(_) => panic!("no such event within {LIMIT:?} at {caller}; there were {seen:#?}"),
        }
    }
}

/// Binds one socket, connects the other to it, and waits until both know each other.
pub async fn join<A: Pattern, B: Pattern>(
    bound: &Socket<A>,
    connected: &Socket<B>,
    over: Transport,
) -> Endpoint {
    let at = bound.bind(over.any()).await.expect("a free endpoint");
    join_at(bound, connected, &at).await;
    at
}

/// Connects one socket to where the other is bound, and waits until both know each other.
pub async fn join_at<A: Pattern, B: Pattern>(
    bound: &Socket<A>,
    connected: &Socket<B>,
    at: &Endpoint,
) {
    let (before, behind) = (bound.peers().len(), connected.peers().len());
    connected.connect(at).expect("a good endpoint");
    within(bound.wait_for_peers(before + 1)).await.unwrap();
    within(connected.wait_for_peers(behind + 1)).await.unwrap();
}

/// Waits until `socket` has exactly `n` peers.
#[track_caller]
pub fn peers<P: Pattern>(socket: &Socket<P>, n: usize) -> impl Future<Output = ()> {
    eventually(move || socket.peers().len() == n)
}

/// A message that says its number.
pub fn numbered(n: usize) -> Message {
    n.to_string().into()
}

/// The number that a message says, in its last frame.
pub fn number_of(message: &Message) -> usize {
    let last = message.iter().next_back().expect("a message has a frame");
    std::str::from_utf8(last)
        .ok()
        .and_then(|text| {
            text.trim_start_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .ok()
        })
        .unwrap_or_else(|| panic!("{message:?} has no number"))
}

/// Messages that say these numbers.
pub fn many(numbers: Range<usize>) -> Vec<Message> {
    numbers.map(numbered).collect()
}

/// Fails the test unless `messages` say these numbers, in their order.
#[track_caller]
pub fn assert_numbers(messages: &[Message], numbers: Range<usize>) {
    let there: Vec<_> = messages.iter().map(number_of).collect();
    assert_eq!(there, numbers.collect::<Vec<_>>());
}
