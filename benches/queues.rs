//! The queues of a pipe, the policies over them, the topics and (with the feature `curve`) the encryption of frames, each
//! alone: no socket, no connection, no second task.
//!
//! They are private, and a public way in would be one to keep. So this program is made of the library's own source:
//! what is measured is the same code, under the same paths.

/// The library: `src/lib.rs`, as a module.
#[path = "../src/lib.rs"]
#[allow(
    dead_code,
    unused_imports,
    unfulfilled_lint_expectations,
    reason = "here it is no library with a public surface, and a part of it is used"
)]
mod source;

// So that what the modules call `crate::…` is found.
#[allow(
    unused_imports,
    reason = "for the modules; this program names what it uses"
)]
use source::*;

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio_util::codec::Encoder;

#[cfg(feature = "curve")]
use crate::mechanism::{Asked, Mechanism, Role, Step, Traffic};
use crate::message::Message;
use crate::options::Marks;
use crate::pipe::{
    Arrival, Claim, Load, Outgoing, Pipe, PipeConfig, Push, ReadyList, Take, Wake, Writing, buffers,
};
use crate::routing::{Audience, Dealt, FairQueue, FanOut, LoadBalance, TopicIndex};
#[cfg(feature = "curve")]
use crate::security::KeyPair;
use crate::transport::Stream;
use crate::zmtp::{Extent, Run, ZmtpCodec};
#[cfg(feature = "curve")]
use crate::zmtp::{FrameHeader, FrameKind};

/// The pipes of a socket without the socket, and what their sessions would hold.
struct Pipes {
    outgoing: Arc<Outgoing<()>>,
    config: PipeConfig,
    pipes: Vec<Arc<Pipe>>,
    /// What every parked session would wait on; it takes no octets.
    stream: Arc<Stream>,
    writing: Writing,
    replies: BytesMut,
}

impl Pipes {
    fn new(count: usize) -> Self {
        let outgoing = Arc::new(Outgoing::new(()));
        let config = PipeConfig {
            outgoing: outgoing.clone(),
            send: Marks::default(),
            recv: Marks::default(),
            conflate: false,
            loop_size: 0,
            readable: Arc::new(ReadyList::new(Wake::One)),
            writable: Arc::new(ReadyList::new(Wake::All)),
        };
        let (stream, _) = tokio::io::duplex(1);
        Self {
            pipes: (0..count).map(|_| Pipe::wire(&config, false)).collect(),
            outgoing,
            config,
            stream: Arc::new(Stream::adopted(stream)),
            writing: Writing::default(),
            replies: BytesMut::new(),
        }
    }

    /// What the session of the pipe does when it is woken: takes all that waits. Then it is all written.
    #[inline]
    fn take(&mut self, index: usize) -> usize {
        let pipe = &self.pipes[index];
        let mut cx = Context::from_waker(Waker::noop());
        let taken = pipe.outbox.poll_take(
            pipe,
            Some(&self.stream),
            &mut cx,
            &mut self.replies,
            &mut self.writing,
            Instant::now(),
        );
        if taken.is_pending() {
            return 0;
        }
        debug_assert_eq!(taken, std::task::Poll::Ready(Take::Write));
        let messages = self.writing.messages();
        self.writing.advance(self.writing.size());
        messages
    }

    fn push(&self, index: usize, message: &Message) -> Push {
        self.pipes[index].outbox.push(message, Claim::Turn)
    }

    fn take_all(&mut self) -> usize {
        (0..self.pipes.len()).map(|index| self.take(index)).sum()
    }

    /// What a session does after a read: cuts the messages off and appends them to the inbox.
    fn append(&self, index: usize, octets: &[u8], extent: Extent) {
        let pipe = &self.pipes[index];
        let mut read = buffers::take();
        read.extend_from_slice(octets);
        let load = Load {
            messages: extent.messages,
            octets: extent.size,
        };
        let run = Run::cut(&mut read, extent, buffers::take);
        buffers::give_back(read);
        pipe.inbox.append(pipe, Arrival::Run(run), load, extent.len);
    }
}

/// So many messages are queued between two turns of a session, below the mark. No session is parked meanwhile, so that
/// the sender never writes by itself.
const BURST: usize = 500;

fn outbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    for burst in [1, 10, BURST] {
        group.throughput(Throughput::Elements(burst as u64));
        let id = BenchmarkId::new("push and take 64 B", burst);
        group.bench_function(id, |b| {
            let mut pipes = Pipes::new(1);
            let message = body(64);
            b.iter(|| {
                for _ in 0..burst {
                    let pushed = pipes.push(0, black_box(&message));
                    debug_assert_eq!(pushed, Push::Done { full: false });
                }
                assert_eq!(pipes.take(0), burst);
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("push and take 64 B, session parked", |b| {
        let mut pipes = Pipes::new(1);
        let message = body(64);
        b.iter(|| {
            // With nothing there, the session parks and leaves its waker.
            assert_eq!(pipes.take(0), 0);
            black_box(pipes.push(0, black_box(&message)));
            assert_eq!(pipes.take(0), 1);
        });
    });
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, size) in [("16 B", 16), ("1 KiB", 1 << 10), ("16 KiB", 16 << 10)] {
        group.bench_function(format!("push {name}"), |b| {
            let mut pipes = Pipes::new(1);
            let message = body(size);
            let mut round = |pipes: &mut Pipes| {
                for _ in 0..BURST {
                    black_box(pipes.push(0, black_box(&message)));
                }
            };
            let undo = |pipes: &mut Pipes| assert_eq!(pipes.take(0), BURST);
            b.iter_custom(|iterations| measure(iterations, &mut pipes, |_| {}, &mut round, undo));
        });
    }
}

fn inbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("inbox");
    for burst in [1, 10, BURST] {
        group.throughput(Throughput::Elements(burst as u64));
        let id = BenchmarkId::new("append and refill", burst);
        group.bench_function(id, |b| {
            let pipes = Pipes::new(1);
            let (octets, extent) = arrived(burst);
            let mut read = VecDeque::new();
            let mut freed = Load::default();
            b.iter(|| {
                pipes.append(0, &octets, extent);
                pipes.config.readable.drain(|pipe| drop(black_box(pipe)));
                assert!(pipes.pipes[0].inbox.refill(freed, &mut read).is_some());
                freed.messages = burst;
                freed.octets = 64 * burst;
                while black_box(Arrival::next(&mut read, &mut 0)).is_some() {}
            });
        });
    }
}

/// So many messages of 64 B as they come from a peer.
fn arrived(messages: usize) -> (BytesMut, Extent) {
    let mut octets = BytesMut::new();
    for _ in 0..messages {
        let encoded = ZmtpCodec::new().encode(body(64), &mut octets);
        assert!(encoded.is_ok());
    }
    let extent = Extent {
        len: octets.len(),
        messages,
        size: 64 * messages,
    };
    (octets, extent)
}

fn fair_queue(c: &mut Criterion) {
    let mut group = c.benchmark_group("fair queue");
    group.throughput(Throughput::Elements(BURST as u64));
    for count in [1, 4, 100] {
        group.bench_function(BenchmarkId::new("pop 64 B, pipes", count), |b| {
            let mut queue = FairQueue::default();
            let mut pipes = Pipes::new(count);
            let (octets, extent) = arrived(BURST / count);
            let mut fill = |pipes: &mut Pipes| {
                for index in 0..count {
                    pipes.append(index, &octets, extent);
                }
            };
            let mut round = |pipes: &mut Pipes| {
                pipes.config.readable.drain(|pipe| queue.add(pipe));
                let mut popped = 0;
                while let Some(message) = queue.pop() {
                    black_box((&message, queue.source()));
                    popped += 1;
                }
                assert_eq!(popped, BURST);
            };
            b.iter_custom(|iterations| {
                measure(iterations, &mut pipes, &mut fill, &mut round, |_| {})
            });
        });
    }
}

fn load_balance(c: &mut Criterion) {
    let mut group = c.benchmark_group("load balance");
    group.throughput(Throughput::Elements(BURST as u64));
    for count in [1, 4, 100] {
        group.bench_function(BenchmarkId::new("send 64 B, pipes", count), |b| {
            let mut pipes = Pipes::new(count);
            let mut balance = LoadBalance::default();
            pipes
                .pipes
                .iter()
                .for_each(|pipe| balance.add(pipe.clone()));
            let message = body(64);
            let mut round = |pipes: &mut Pipes| {
                for _ in 0..BURST {
                    let mut send = |queues: &mut _| {
                        matches!(
                            balance.try_send(queues, black_box(&message), Claim::Turn),
                            Dealt::To(_)
                        )
                    };
                    assert!(pipes.outgoing.with(|sending| send(&mut sending.queues)));
                }
            };
            let undo = |pipes: &mut Pipes| assert_eq!(pipes.take_all(), BURST);
            b.iter_custom(|iterations| measure(iterations, &mut pipes, |_| {}, &mut round, undo));
        });
    }
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan out");
    for count in [1, 8, 64, 1_000] {
        let id = BenchmarkId::new("send 64 B, all want it, pipes", count);
        fan_out_to(&mut group, id, count, |_| true);
    }
    for count in [64, 1_000] {
        let id = BenchmarkId::new("send 64 B, one wants it, pipes", count);
        fan_out_to(&mut group, id, count, |index| index == count / 2);
    }
}

/// Each of `count` pipes has topics of its own; those that `wants` names have one that the message has, too. Elements
/// are copies.
fn fan_out_to(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    id: BenchmarkId,
    count: usize,
    wants: impl Fn(usize) -> bool,
) {
    const SENT: usize = 50;
    let mut pipes = Pipes::new(count);
    let mut fan_out = FanOut::new(Audience::Subscribers);
    let mut audience = 0;
    for (index, pipe) in pipes.pipes.iter().enumerate() {
        fan_out.add(pipe.clone());
        for topic in 0..10 {
            fan_out.subscribe(pipe, format!("peer.{index}.{topic}").as_bytes());
        }
        if wants(index) {
            fan_out.subscribe(pipe, b"feed.");
            audience += 1;
        }
    }
    let message = Message::from(format!("{:64}", "feed.price"));
    group.throughput(Throughput::Elements((SENT * audience) as u64));
    group.bench_function(id, |b| {
        let mut round = |pipes: &mut Pipes| {
            for _ in 0..SENT {
                pipes
                    .outgoing
                    .with(|sending| fan_out.send(&mut sending.queues, black_box(&message), false));
            }
        };
        let undo = |pipes: &mut Pipes| assert_eq!(pipes.take_all(), SENT * audience);
        b.iter_custom(|iterations| measure(iterations, &mut pipes, |_| {}, &mut round, undo));
    });
}

fn topics(c: &mut Criterion) {
    const SUBSCRIPTIONS: usize = 10_000;
    const PEERS: usize = 100;
    let topic = |number: usize| format!("venue.{:02}.symbol.{:04}.", number % 50, number / 50);
    let mut index = TopicIndex::new();
    for number in 0..SUBSCRIPTIONS {
        index.insert(topic(number).as_bytes(), number % PEERS);
    }
    // A topic on the way to others: "a", "aa", …, each of another peer.
    for depth in 1..=16 {
        index.insert("a".repeat(depth).as_bytes(), depth);
    }
    let hit = topic(SUBSCRIPTIONS / 2) + "price";
    let cases = [
        ("one topic", hit.as_str(), 1),
        ("no topic, first octet", "other", 0),
        ("no topic, last octet", "venue.07.symbol.0042 price", 0),
        ("16 nested topics", "aaaaaaaaaaaaaaaaaaaaaaaa", 16),
    ];
    let mut group = c.benchmark_group("topic index of 10,000");
    group.throughput(Throughput::Elements(1));
    for (name, first_frame, expected) in cases {
        group.bench_function(format!("match {name}"), |b| {
            b.iter(|| {
                let mut matched = 0;
                index.for_each_match(black_box(first_frame.as_bytes()), |peer| {
                    black_box(peer);
                    matched += 1;
                });
                assert_eq!(matched, expected);
            });
        });
    }
    group.bench_function("insert and remove", |b| {
        let added = topic(SUBSCRIPTIONS + 7);
        b.iter(|| {
            black_box(index.insert(black_box(added.as_bytes()), 7));
            black_box(index.remove(black_box(added.as_bytes()), 7));
        });
    });
}

/// 64 frames of one connection under CURVE, in one buffer; divide by 64 for one box.
#[cfg(feature = "curve")]
fn curve(c: &mut Criterion) {
    const FRAMES: u64 = 64;
    let mut group = c.benchmark_group("CURVE");
    for (name, size) in [("64 B", 64), ("1 KiB", 1 << 10), ("16 KiB", 16 << 10)] {
        let body = vec![7; size];
        let (mut client, mut server) = connected();
        group.throughput(Throughput::Elements(FRAMES));
        let mut sealed = Vec::new();
        group.bench_function(format!("seal {name}"), |b| {
            b.iter(|| {
                sealed.clear();
                for _ in 0..FRAMES {
                    client
                        .seal
                        .seal(FrameKind::Last, black_box(&body), &mut sealed);
                }
                sealed.len()
            });
        });
        group.bench_function(format!("open {name}"), |b| {
            let mut seal = || {
                let mut frame = Vec::new();
                client.seal.seal(FrameKind::Last, &body, &mut frame);
                let header = FrameHeader::parse(&frame).expect("a frame");
                frame.split_off(header.expect("a whole one").header_len)
            };
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let mut frames: Vec<_> = (0..FRAMES).map(|_| seal()).collect();
                    let begun = Instant::now();
                    for frame in &mut frames {
                        black_box(server.open.open(frame).expect("it opens"));
                    }
                    spent += begun.elapsed();
                }
                spent
            });
        });
    }
}

/// Both sides of a connection under CURVE, which have shaken hands.
#[cfg(feature = "curve")]
fn connected() -> (Traffic, Traffic) {
    let (server_key, client_key) = (KeyPair::generate(), KeyPair::generate());
    let (server_key, client_key) = (server_key.expect("keys"), client_key.expect("keys"));
    let client = Role::CurveClient {
        server: *server_key.public_key(),
        own: Arc::new(client_key),
    };
    let server = Role::CurveServer {
        own: Arc::new(server_key),
    };
    let begin = |role: Role| role.begin(bytes::Bytes::new(), Asked::Never).expect("keys");
    let (mut client, mut server) = (begin(client), begin(server));
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    client.start(&mut there);
    // HELLO, WELCOME, INITIATE, READY.
    while !there.is_empty() {
        let step = server.receive(command(&mut there), Instant::now(), &mut back);
        if let Step::Decide { .. } = step.expect("an honest client") {
            server.accept(&mut back);
        }
        let step = client.receive(command(&mut back), Instant::now(), &mut there);
        step.expect("an honest server");
    }
    let traffic = |mut side: Box<dyn Mechanism>| side.traffic().expect("encrypted");
    (traffic(client), traffic(server))
}

/// The body of the command in `octets`.
#[cfg(feature = "curve")]
fn command(octets: &mut BytesMut) -> bytes::Bytes {
    let header = FrameHeader::parse(octets).expect("a frame");
    let mut frame = octets.split();
    frame
        .split_off(header.expect("a whole one").header_len)
        .freeze()
}

#[cfg(not(feature = "curve"))]
fn curve(_: &mut Criterion) {}

/// Measures `round` alone, of `prepare`, `round`, `undo` in turn.
fn measure(
    iterations: u64,
    pipes: &mut Pipes,
    mut prepare: impl FnMut(&mut Pipes),
    mut round: impl FnMut(&mut Pipes),
    mut undo: impl FnMut(&mut Pipes),
) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..iterations {
        prepare(pipes);
        let begun = Instant::now();
        round(pipes);
        spent += begun.elapsed();
        undo(pipes);
    }
    spent
}

fn body(size: usize) -> Message {
    Message::from(vec![7; size])
}

criterion_group!(
    benches,
    outbox,
    inbox,
    fair_queue,
    load_balance,
    fan_out,
    topics,
    curve
);
criterion_main!(benches);
