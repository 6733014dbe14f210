//! Whoever leaves, leaves: a program that closes its sockets, drops them or just ends its runtime, in whatever state, is through within
//! the linger time, and its counters say to the message what its peers have not got.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackstay::pattern::{CanReceive, CanSend, Pattern, Pull};
use jackstay::{
    Builder, DealerSocket, Endpoint, Identity, OnFull, PairSocket, PubSocket, PullSocket,
    PushSocket, RepSocket, ReqSocket, RouterSocket, Socket, Stats, SubSocket, blocking,
};
use tokio::runtime::{self, Handle, Runtime};
use tokio::task::JoinSet;

use crate::carrier::{Carrier, Reader, handed_over};
use crate::note::Note;
use crate::support::seed::Chance;
use crate::support::times::times;
use crate::support::{Transport, eventually, peers, poll_once, within};

/// What a machine with much else to do may take beside the linger time.
const SLACK: Duration = Duration::from_secs(3);

/// A socket that is about to end.
trait Leaving: Send + Sync {
    /// How many messages `close` says that it did not deliver.
    fn close(&self) -> Pin<Box<dyn Future<Output = u64> + Send + '_>>;
    fn stats(&self) -> Stats;
}

impl<P: Pattern> Leaving for Socket<P> {
    fn close(&self) -> Pin<Box<dyn Future<Output = u64> + Send + '_>> {
        Box::pin(async {
            let closed = Self::close(self).await;
            closed.map_or_else(|undelivered| undelivered.messages() as u64, |()| 0)
        })
    }

    fn stats(&self) -> Stats {
        Self::stats(self)
    }
}

/// What leaves, and what is left of it.
#[derive(Default)]
struct Scene {
    leaving: Vec<Arc<dyn Leaving>>,
    /// Calls under way, on the runtime that ends.
    calls: JoinSet<()>,
    /// Senders, unless they are dropped, and the receivers that tell what they got of them.
    fed: Vec<(Option<Arc<dyn Leaving>>, Fed)>,
    /// Whatever has to stay.
    stays: Vec<Box<dyn std::any::Any>>,
}

enum Fed {
    /// Nobody is there: nothing is to arrive.
    Nobody,
    Reads(Reader<Pull>),
    /// It reads when all is over.
    Sleeps(Arc<PullSocket>),
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// A PUSH whose queue fills.
    Push,
    /// The same, with nobody at the other end, or somebody who never ends the handshake.
    PushToNobody,
    PushToMute,
    /// A PULL to whom much is sent.
    Pull,
    /// A PULL in many handshakes.
    PullAmongMute,
    Req,
    Rep,
    Dealer,
    Router,
    Pub,
    Sub,
    Pair,
    /// Bound and connected, and that is all.
    Idle,
}

const PARTS: [Part; 13] = [
    Part::Push,
    Part::PushToNobody,
    Part::PushToMute,
    Part::Pull,
    Part::PullAmongMute,
    Part::Req,
    Part::Rep,
    Part::Dealer,
    Part::Router,
    Part::Pub,
    Part::Sub,
    Part::Pair,
    Part::Idle,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Close,
    /// Begun, given up, and begun again, twice at a time.
    CloseTwice,
    /// Closed, and not waited for.
    CloseAndDropRuntime,
    DropSockets,
    /// The runtime goes on until the sockets are done.
    DropSocketsAndWait,
    DropRuntime,
    ShutdownTimeout,
    ShutdownBackground,
}

const ENDINGS: [Ending; 8] = [
    Ending::Close,
    Ending::CloseTwice,
    Ending::CloseAndDropRuntime,
    Ending::DropSockets,
    Ending::DropSocketsAndWait,
    Ending::DropRuntime,
    Ending::ShutdownTimeout,
    Ending::ShutdownBackground,
];

/// The peers, on the runtime that stays, and how the state is drawn.
struct Stage<'a> {
    peers: &'a Runtime,
    chance: Chance,
    linger: Duration,
}

impl Stage<'_> {
    fn over(&mut self) -> Transport {
        self.chance
            .one_of(&[Transport::Tcp, Transport::Ipc, Transport::Inproc])
    }

    fn carrier(&mut self) -> Carrier {
        let over = self.over();
        match self.chance.below(3) {
            #[cfg(feature = "curve")]
            0 if over != Transport::Inproc => Carrier::Curve(over),
            _ => Carrier::Plain(over),
        }
    }

    /// Joins what leaves to what stays; either may bind.
    async fn join<A: Pattern + 'static, B: Pattern + 'static>(
        &mut self,
        leaves: Builder<A>,
        stays: Builder<B>,
    ) -> (Arc<Socket<A>>, Arc<Socket<B>>) {
        let over = self.carrier();
        let at = over.transport().any();
        let (leaves, stays) = if self.chance.below(2) == 0 {
            let (leaves, stays) = (over.bound(leaves), over.connected(stays));
            let at = leaves.bind(at).await.expect("a free endpoint");
            let _context = self.peers.enter();
            stays.connect(at).expect("an endpoint");
            (leaves, stays)
        } else {
            let (leaves, stays) = (over.connected(leaves), over.bound(stays));
            let there = stays.clone();
            let bound = self.peers.spawn(async move { there.bind(at).await });
            leaves.connect(bound.await.unwrap().unwrap()).unwrap();
            (leaves, stays)
        };
        // Else in the middle of the handshake.
        if self.chance.below(4) > 0 {
            within(leaves.wait_for_peers(1)).await.unwrap();
        }
        (leaves, stays)
    }

    async fn enter(&mut self, part: Part, scene: &mut Scene) {
        let linger = self.linger;
        let hwm = self.chance.one_of(&[1, 10, 1_000]);
        match part {
            Part::Push => {
                let push = PushSocket::builder().linger(linger).send_hwm(hwm);
                let (push, pull) = self.join(push, PullSocket::builder()).await;
                let fed = if self.chance.below(2) == 0 {
                    let _context = self.peers.enter();
                    Fed::Reads(Reader::new(&pull))
                } else {
                    Fed::Sleeps(pull.clone())
                };
                scene.fed.push((Some(push.clone()), fed));
                self.flood(push.clone(), scene);
                scene.leaving.push(push);
            }
            Part::PushToNobody | Part::PushToMute => {
                let push = PushSocket::builder().linger(linger).send_hwm(hwm).build();
                let push = Arc::new(push);
                if matches!(part, Part::PushToMute) {
                    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
                    push.connect(Endpoint::from(mute.local_addr().unwrap()))
                        .unwrap();
                    scene.stays.push(Box::new(mute));
                } else {
                    push.connect(self.over().fixed()).unwrap();
                }
                scene.fed.push((Some(push.clone()), Fed::Nobody));
                self.flood(push.clone(), scene);
                scene.leaving.push(push);
            }
            Part::Pull => {
                let pull = PullSocket::builder().linger(linger).recv_hwm(hwm);
                let (pull, push) = self.join(pull, PushSocket::builder()).await;
                self.feed(push);
                self.read(pull.clone(), scene);
                scene.leaving.push(pull);
            }
            Part::PullAmongMute => {
                let pull = Arc::new(PullSocket::builder().linger(linger).build());
                let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
                for said in 0..self.chance.below(20) as usize {
                    let mut raw = TcpStream::connect(("127.0.0.1", at.port().unwrap())).unwrap();
                    raw.write_all(&crate::support::raw::GREETING[..3 * said])
                        .unwrap();
                    scene.stays.push(Box::new(raw));
                }
                self.read(pull.clone(), scene);
                scene.leaving.push(pull);
            }
            Part::Req => {
                let req = ReqSocket::builder().linger(linger).correlate(hwm == 1);
                let (req, rep) = self.join(req, RepSocket::builder()).await;
                let mut req = Arc::into_inner(req).expect("nobody else has it");
                self.peers.spawn(async move {
                    // It keeps what it is asked now and then.
                    let mut kept = Vec::new();
                    while let Ok(request) = rep.accept().await {
                        match kept.len() < 10 {
                            true => kept.push(request),
                            false => drop(request.reply("yes").await),
                        }
                    }
                });
                scene
                    .calls
                    .spawn(async move { while req.request("?").await.is_ok() {} });
            }
            Part::Rep => {
                let rep = RepSocket::builder().linger(linger);
                let (rep, req) = self.join(rep, ReqSocket::builder()).await;
                let mut req = Arc::into_inner(req).expect("nobody else has it");
                self.peers
                    .spawn(async move { while req.request("?").await.is_ok() {} });
                let (answers, kept) = (rep.clone(), self.chance.below(50));
                scene.calls.spawn(async move {
                    for _ in 0..kept {
                        let Ok(request) = answers.accept().await else {
                            return;
                        };
                        let _ = request.reply("yes").await;
                    }
                    // The last one is kept.
                    let _kept = answers.accept().await;
                    let _ = answers.accept().await;
                });
                scene.leaving.push(rep);
            }
            Part::Dealer => {
                let dealer = DealerSocket::builder().linger(linger).send_hwm(hwm);
                let (dealer, router) = self.join(dealer, RouterSocket::builder()).await;
                self.peers.spawn(send_back(router));
                self.flood(dealer.clone(), scene);
                self.read(dealer.clone(), scene);
                scene.leaving.push(dealer);
            }
            Part::Router => {
                let router = RouterSocket::builder().linger(linger).send_hwm(hwm);
                let (router, dealer) = self.join(router, DealerSocket::builder()).await;
                self.feed(dealer);
                let _nobody = router.send_to(&Identity::new("nobody").unwrap(), "?").await;
                scene.calls.spawn(send_back(router.clone()));
                scene.leaving.push(router);
            }
            Part::Pub => {
                let on_full = self.chance.one_of(&[OnFull::Drop, OnFull::Wait]);
                let publisher = PubSocket::builder().linger(linger).on_full(on_full);
                let sub = SubSocket::builder().recv_hwm(hwm);
                let (publisher, sub) = self.join(publisher, sub).await;
                sub.subscribe("").unwrap();
                self.flood(publisher.clone(), scene);
                scene.stays.push(Box::new(sub));
                scene.leaving.push(publisher);
            }
            Part::Sub => {
                let sub = SubSocket::builder().linger(linger).recv_hwm(hwm);
                let (sub, publisher) = self.join(sub, PubSocket::builder()).await;
                sub.subscribe("").unwrap();
                self.feed(publisher);
                self.read(sub.clone(), scene);
                scene.leaving.push(sub);
            }
            Part::Pair => {
                let pair = PairSocket::builder().linger(linger).send_hwm(hwm);
                let (pair, other) = self.join(pair, PairSocket::builder()).await;
                self.feed(other);
                self.flood(pair.clone(), scene);
                self.read(pair.clone(), scene);
                scene.leaving.push(pair);
            }
            Part::Idle => {
                let dealer = Arc::new(DealerSocket::builder().linger(linger).build());
                dealer.bind(self.over().any()).await.unwrap();
                dealer.connect(self.over().fixed()).unwrap();
                let waits = dealer.clone();
                scene.calls.spawn(async move {
                    let _ = waits.wait_for_peers(9).await;
                });
                scene.leaving.push(dealer);
            }
        }
    }

    /// Sends on the runtime that ends, for as long as that goes.
    fn flood<P: CanSend + 'static>(&mut self, socket: Arc<Socket<P>>, scene: &mut Scene) {
        let most = self.chance.one_of(&[0, 1, 20, u64::MAX]);
        scene.calls.spawn(async move { send(&socket, most).await });
    }

    /// Sends on the runtime that stays, until nobody has been there for long enough.
    fn feed<P: CanSend + 'static>(&mut self, socket: Arc<Socket<P>>) {
        let most = self.chance.one_of(&[0, 1, 20, 20_000]);
        self.peers.spawn(async move {
            let _ = tokio::time::timeout(SLACK, send(&socket, most)).await;
        });
    }

    /// Reads for a while on the runtime that ends, or waits for a first message.
    fn read<P: CanReceive + 'static>(&mut self, socket: Arc<Socket<P>>, scene: &mut Scene) {
        let most = self.chance.one_of(&[0, 1, 20, u64::MAX]);
        scene.calls.spawn(async move {
            for _ in 0..most {
                if socket.recv().await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn send<P: CanSend>(socket: &Socket<P>, most: u64) {
    for number in 0..most {
        let note = match number % 20 {
            19 => Note::large(0, number),
            _ => Note::small(0, number),
        };
        if socket.send(note.message()).await.is_err() {
            return;
        }
    }
}

async fn send_back(router: Arc<RouterSocket>) {
    while let Ok((from, message)) = router.recv_from().await {
        if router.send_to(&from, message).await.is_err() {
            return;
        }
    }
}

/// Everybody closes at once, while calls are under way.
async fn close(scene: &mut Scene, twice: bool) {
    let mut closing = JoinSet::new();
    for socket in &scene.leaving {
        let socket = socket.clone();
        closing.spawn(async move {
            if twice {
                let mut given_up = pin!(socket.close());
                let _ = poll_once(&mut given_up.as_mut()).await;
                let (one, other) = tokio::join!(socket.close(), socket.close());
                assert_eq!(one, other);
            }
            let undelivered = socket.close().await;
            let stats = socket.stats();
            assert_eq!((stats.dropped.linger, stats.queued_out), (undelivered, 0));
        });
    }
    closing.join_all().await;
}

/// Draws a state, and leaves it; returns how much longer than the linger time that took. `round` is all that it depends on, but
/// for the speed of the machine.
fn leave(round: u64, stays: &Runtime) -> Duration {
    let mut chance = Chance::of_round(round);
    let linger = Duration::from_millis(chance.one_of(&[0, 10, 50, 200]));
    let ending = chance.one_of(&ENDINGS);
    let runtime = match chance.below(3) {
        0 => runtime::Builder::new_current_thread().enable_all().build(),
        threads => runtime::Builder::new_multi_thread()
            .worker_threads(threads as usize)
            .enable_all()
            .build(),
    };
    let runtime = runtime.expect("a runtime");
    let parts: Vec<_> = (0..=chance.below(3))
        .map(|_| chance.one_of(&PARTS))
        .collect();
    let pause = Duration::from_micros(chance.below(10_000));
    println!("{parts:?}, lingering for {linger:?}, after {pause:?}: {ending:?}");
    let mut stage = Stage {
        peers: stays,
        chance,
        linger,
    };
    let mut scene = Scene::default();
    let begun = runtime.block_on(async {
        for part in parts {
            stage.enter(part, &mut scene).await;
        }
        // Not to wait for anything: it is part of the state.
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        match ending {
            Ending::Close | Ending::CloseTwice => {
                close(&mut scene, ending == Ending::CloseTwice).await;
                let through = begun.elapsed();
                assert!(through < linger + SLACK, "closing took {through:?}");
            }
            Ending::CloseAndDropRuntime => {
                for socket in &scene.leaving {
                    let mut closing = pin!(socket.close());
                    let _ = poll_once(&mut closing.as_mut()).await;
                }
            }
            Ending::DropSockets | Ending::DropSocketsAndWait => {
                scene.calls.shutdown().await;
                scene.leaving.clear();
                scene.fed.iter_mut().for_each(|(sender, _)| *sender = None);
                if ending == Ending::DropSocketsAndWait {
                    let tasks = Handle::current().metrics();
                    eventually(|| tasks.num_alive_tasks() == 0).await;
                }
            }
            Ending::DropRuntime | Ending::ShutdownTimeout | Ending::ShutdownBackground => {}
        }
        begun
    });
    match ending {
        Ending::ShutdownTimeout => runtime.shutdown_timeout(Duration::from_millis(50)),
        Ending::ShutdownBackground => runtime.shutdown_background(),
        _ => drop(runtime),
    }
    let through = begun.elapsed();
    assert!(through < linger + SLACK, "ending took {through:?}");
    stays.block_on(settle(scene, linger));
    through.saturating_sub(linger)
}

/// What a sender counts is what its receiver got, and every call has ended.
async fn settle(mut scene: Scene, linger: Duration) {
    within(async { while scene.calls.join_next().await.is_some() {} }).await;
    for socket in &scene.leaving {
        let begun = Instant::now();
        within(socket.close()).await;
        assert!(
            begun.elapsed() < linger + SLACK,
            "closing took {:?}",
            begun.elapsed()
        );
    }
    for (sender, fed) in scene.fed {
        let reader = match fed {
            Fed::Reads(reader) => Some(reader),
            Fed::Sleeps(pull) => Some(Reader::new(&pull)),
            Fed::Nobody => None,
        };
        let book = match (sender, reader) {
            (Some(sender), Some(reader)) => {
                let stats = sender.stats();
                assert_eq!(stats.queued_out, 0);
                reader.until(handed_over(&stats)).await
            }
            (Some(sender), None) => {
                assert_eq!(handed_over(&sender.stats()), 0, "{:?}", sender.stats());
                continue;
            }
            (None, Some(reader)) => {
                peers(&reader.socket, 0).await;
                eventually(|| reader.socket.stats().queued_in == 0).await;
                reader.stop().await
            }
            (None, None) => continue,
        };
        assert_eq!(book.last(0), book.count().checked_sub(1), "the first ones");
    }
}

#[test]
fn a_program_is_through_within_the_linger_time_whatever_it_is_at() {
    let stays = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let late = rounds().map(|round| leave(round, &stays)).max();
    println!(
        "exits: {:?}, at most {late:?} later than the linger time",
        rounds()
    );
}

/// Threads at a blocking socket, in a state that is drawn, and what becomes of them when it is closed.
async fn leave_blocking(round: u64, stays: &Runtime) -> Duration {
    let mut chance = Chance::of_round(round);
    let linger = Duration::from_millis(chance.one_of(&[0, 10, 50, 200]));
    let over = chance.one_of(&[Transport::Tcp, Transport::Ipc, Transport::Inproc]);
    let (hwm, senders) = (chance.one_of(&[1, 10, 1_000]), chance.below(3) as u32);
    let (somebody, sleeps) = (chance.below(4) > 0, chance.below(2) == 0);
    let pause = Duration::from_micros(chance.below(10_000));
    println!(
        "{senders} senders, {somebody}, {sleeps}, mark {hwm}, {linger:?}, {over:?}, {pause:?}"
    );
    let pull = Arc::new(PullSocket::new());
    let at = match somebody {
        true => pull.bind(over.any()).await.expect("a free endpoint"),
        false => over.fixed(),
    };
    let push = PushSocket::builder().linger(linger).send_hwm(hwm).build();
    let push = Arc::new(blocking::PushSocket::from(push));
    let dealer = Arc::new(blocking::DealerSocket::new());
    let mut threads = Vec::new();
    for sender in 0..senders {
        let push = push.clone();
        threads.push(stays.spawn_blocking(move || {
            (0..u64::MAX).find(|number| push.send(Note::small(sender, *number).message()).is_err())
        }));
    }
    for waits in [true, false] {
        let dealer = dealer.clone();
        threads.push(stays.spawn_blocking(move || match waits {
            true => dealer.recv().err().map(|_| 0),
            false => dealer.recv_timeout(pause).err().map(|_| 0),
        }));
    }
    let closing = push.clone();
    let closed = stays.spawn_blocking(move || {
        closing.connect(&at).expect("an endpoint");
        dealer.connect(at).expect("an endpoint");
        // Not to wait for anything: it is part of the state.
        std::thread::park_timeout(pause);
        let begun = Instant::now();
        let undelivered = closing.close();
        dealer.close().expect("it sent nothing");
        (
            begun.elapsed(),
            undelivered.map_or_else(|it| it.messages() as u64, |()| 0),
        )
    });
    let reader = (!sleeps).then(|| Reader::new(&pull));
    let (through, undelivered) = within(closed).await.unwrap();
    assert!(through < linger + SLACK, "closing took {through:?}");
    let mut accepted = 0;
    for thread in threads {
        accepted += within(thread).await.unwrap().expect("the socket is closed");
    }
    let stats = push.stats();
    assert_eq!(
        (stats.messages_sent, stats.dropped.linger),
        (accepted, undelivered)
    );
    let reader = reader.unwrap_or_else(|| Reader::new(&pull));
    let book = reader.until(accepted - undelivered).await;
    assert!(somebody || book.count() == 0);
    through.saturating_sub(linger)
}

#[test]
fn a_blocking_program_is_through_within_the_linger_time_whatever_its_threads_are_at() {
    let stays = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let late = rounds().map(|round| stays.block_on(leave_blocking(round, &stays)));
    let late = late.max();
    println!(
        "exits of blocking programs: {:?}, at most {late:?} later than the linger time",
        rounds()
    );
}

/// All, or the one that is asked for by `JACKSTAY_ROUND`.
fn rounds() -> std::ops::Range<u64> {
    match std::env::var("JACKSTAY_ROUND") {
        Ok(round) => {
            let round = round.parse().expect("a number");
            round..round + 1
        }
        Err(_) => 0..times(20),
    }
}
