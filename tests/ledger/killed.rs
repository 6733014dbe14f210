//! A process at the other end is killed under load, and another takes its place. Whoever is left goes on with that at once,
//! and what is lost was on its way in the moment of the kill: handed to the operating system, or in the process that died.
//!
//! The process is this test binary. Either end may be libzmq.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jackstay::{Endpoint, Message};

use crate::note::{Book, Note};
use crate::ports::{Port, Type, Whose};
use crate::support::seed::Chance;
use crate::support::times::times;
use crate::support::{LIMIT, Transport};

/// What the child is told by: whose it is, its type, whether it binds, where, and the number of its life.
const TOLD: &str = "JACKSTAY_TEST_CHILD";

/// One process after the other, of which each is killed.
struct Mortal {
    whose: Whose,
    plays: Type,
    binds: bool,
    at: Endpoint,
    life: u32,
}

/// How many numbers a process may say before it is listened to.
const SAID: usize = 1 << 16;

/// A process that lives.
struct Life {
    child: Child,
    /// The numbers that it got, until its end.
    got: Receiver<u64>,
    number: u32,
    born: Instant,
}

impl Mortal {
    fn next(&mut self) -> Life {
        self.life += 1;
        let Self {
            whose,
            plays,
            binds,
            at,
            life,
        } = self;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "killed::the_child"])
            .env(TOLD, format!("{whose:?} {plays:?} {binds} {at} {life}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (told, got) = sync_channel(SAID);
        thread::spawn(move || {
            // A line that was cut by the kill says nothing.
            for line in output.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("got ")
                    && let Ok(number) = number.trim_end_matches('.').parse()
                    && line.ends_with('.')
                {
                    let _ = told.send(number);
                }
            }
        });
        Life {
            child,
            got,
            number: *life,
            born: Instant::now(),
        }
    }
}

impl Life {
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the children do.
#[test]
#[ignore = "the other tests of this module start it and kill it, in a process of its own"]
fn the_child() {
    let told = std::env::var(TOLD).expect("what to do");
    let told: Vec<_> = told.split(' ').collect();
    let [whose, plays, binds, at, life] = told[..] else {
        panic!("{told:?}");
    };
    let whose = match whose {
        "Ours" => Whose::Ours,
        _ => Whose::Theirs,
    };
    let named = |plays_it: &&Type| format!("{plays_it:?}") == plays;
    let plays = *Type::ALL.iter().find(named).expect("a type");
    let port = plays.open(whose, binds == "true", &at.parse().expect("an endpoint"));
    live(plays, port, life.parse().expect("a number"));
}

fn live(plays: Type, mut port: Box<dyn Port>, life: u32) {
    let mut book = Book::default();
    match plays {
        Type::Push | Type::Pub => {
            for number in 0.. {
                port.send(Note::small(life, number).message());
                pace(plays, number);
            }
        }
        Type::Req => {
            for number in 0.. {
                let note = Note::small(life, number);
                port.send(note.message());
                let reply = port.recv(LIMIT).expect("a reply");
                assert_eq!(Note::of(&reply), note);
                println!("got {number}.");
            }
        }
        Type::Dealer => {
            for number in 0.. {
                port.send(Note::small(life, number).message());
                while let Some(reply) = port.recv(Duration::ZERO) {
                    // Some may be for the one who lived before.
                    if Note::of(&reply).sender == life {
                        println!("got {}.", book.take(&reply).number);
                    }
                }
            }
        }
        Type::Pull | Type::Sub => loop {
            let message = port.recv(Duration::MAX.min(100 * LIMIT)).expect("more");
            println!("got {}.", book.take(&message).number);
        },
        Type::Rep => loop {
            let message = port.recv(100 * LIMIT).expect("more");
            println!("got {}.", book.take(&message).number);
            port.send(message);
        },
        Type::Router => loop {
            let message = port.recv(100 * LIMIT).expect("more");
            println!("got {}.", book.take(&unnamed(message.clone())).number);
            port.send(message);
        },
    }
}

/// A publisher does not wait for its subscribers; this one waits a little, so that not all it says is too much.
fn pace(plays: Type, number: u64) {
    if plays == Type::Pub && number % 100 == 99 {
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Without the name of the peer in front.
fn unnamed(mut message: Message) -> Message {
    message.pop_front();
    message
}

/// What became of it all.
#[derive(Default)]
struct Tally {
    lives: Vec<Duration>,
    delivered: u64,
    lost: u64,
    most: u64,
}

impl Tally {
    /// A life went on with what came before; `missing` were lost in between.
    fn went_on(&mut self, after: Duration, missing: u64) {
        self.lives.push(after);
        self.lost += missing;
        self.most = self.most.max(missing);
        assert!(
            missing <= WINDOW,
            "{missing} messages were lost with one process"
        );
    }

    fn tell(mut self, scenario: &Scenario) {
        self.lives.sort_unstable();
        println!(
            "killed: {scenario:?}: {} kills, delivered {}, lost {}, most at once {}; went on after {} ms, at most {} ms",
            self.lives.len() - 1,
            self.delivered,
            self.lost,
            self.most,
            self.lives[self.lives.len() / 2].as_millis(),
            self.lives[self.lives.len() - 1].as_millis(),
        );
    }
}

/// How many messages may be on their way in the moment of a kill: in the queues of the one who dies (2,000 with libzmq, or
/// unlimited), and in the buffers of two kernels, which take some megabytes of small messages.
const WINDOW: u64 = 400_000;

#[derive(Debug, Clone, Copy)]
struct Scenario {
    stays: (Whose, Type),
    dies: (Whose, Type),
    /// Whether the one that stays binds.
    binds: bool,
    over: Transport,
}

impl Scenario {
    fn run(self) {
        let at = self.over.fixed();
        let (whose, plays) = self.dies;
        let binds = !self.binds;
        let mortal = Mortal {
            whose,
            plays,
            binds,
            at: at.clone(),
            life: 0,
        };
        let (whose, plays) = self.stays;
        let port = plays.open(whose, self.binds, &at);
        let tally = match plays {
            Type::Push | Type::Pub => feed(plays, port, mortal),
            Type::Pull | Type::Sub => eat(port, mortal),
            Type::Req => ask(port, mortal),
            Type::Rep | Type::Router => answer(plays, port, mortal),
            Type::Dealer => converse(port, mortal),
        };
        tally.tell(&self);
    }
}

/// How many kills, and of each after how many messages.
fn kills() -> impl Iterator<Item = u64> {
    (0..times(1))
        .map(|round| 100 + Chance::of_round(round).below(2_000))
        .chain([200])
}

/// Looks at what a child says, as far as it has said it.
struct Watched {
    life: Life,
    left: u64,
    last: Option<u64>,
    first: Option<(u64, Duration)>,
    count: u64,
}

impl Watched {
    fn new(life: Life, left: u64) -> Self {
        Self {
            life,
            left,
            last: None,
            first: None,
            count: 0,
        }
    }

    /// Takes what there is, and kills when it is enough.
    fn look(&mut self) -> ControlFlow<()> {
        while let Ok(number) = self.life.got.try_recv() {
            self.take(number);
            if self.count >= self.left {
                self.life.kill();
                return ControlFlow::Break(());
            }
        }
        let waits = self.life.born.elapsed();
        assert!(
            self.first.is_some() || waits < LIMIT,
            "nothing reaches the new process"
        );
        ControlFlow::Continue(())
    }

    fn take(&mut self, number: u64) {
        self.first.get_or_insert((number, self.life.born.elapsed()));
        self.last = Some(number);
        self.count += 1;
    }

    /// The rest of what it said before its end, in order and without a gap if there may be `none`.
    fn last_words(&mut self, gapless: bool) {
        loop {
            match self.life.got.recv_timeout(LIMIT) {
                Ok(number) => self.take(number),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not die"),
            }
        }
        if let (Some((first, _)), Some(last)) = (self.first, self.last) {
            assert!(
                !gapless || last - first + 1 == self.count,
                "a gap between {first} and {last}"
            );
        }
    }
}

/// PUSH or PUB stays: each of those who die gets one number after the other, and none that was there before.
fn feed(plays: Type, mut port: Box<dyn Port>, mut mortal: Mortal) -> Tally {
    let (mut tally, mut number, mut before) = (Tally::default(), 0, None);
    for kill in kills() {
        let mut watched = Watched::new(mortal.next(), kill);
        while watched.look().is_continue() {
            port.send(Note::small(0, number).message());
            pace(plays, number);
            number += 1;
        }
        watched.last_words(true);
        let (first, after) = watched.first.expect("it got some");
        // A publisher has nothing for subscribers that are not there.
        let missing = match (plays, before) {
            (Type::Push, None) => first,
            (Type::Push, Some(before)) => {
                assert!(
                    first > before,
                    "{first} came to the next, {before} to the one before"
                );
                first - before - 1
            }
            _ => 0,
        };
        tally.went_on(after, missing);
        tally.delivered += watched.count;
        before = watched.last;
    }
    if let Some(stats) = port.stats() {
        let left = stats.messages_sent - stats.queued_out as u64 - stats.dropped.peer_gone;
        assert!(tally.delivered <= left, "{} of {left}", tally.delivered);
        assert_eq!(stats.dropped.total(), stats.dropped.peer_gone);
        if plays == Type::Push {
            assert_eq!(stats.messages_sent, number);
            assert!(stats.dropped.peer_gone == 0 || !mortal.binds);
        }
    }
    tally
}

/// PULL or SUB stays: from each of those who die come one number after the other.
fn eat(mut port: Box<dyn Port>, mut mortal: Mortal) -> Tally {
    let (mut tally, mut book) = (Tally::default(), Book::default());
    let mut take = |message: &Message| {
        let note = Note::of(message);
        let before = book.last(note.sender);
        book.take(message);
        let gap = before.is_some_and(|before| before + 1 != note.number);
        assert!(!gap, "{note:?} came after {before:?}");
        (note.sender, before.is_none().then_some(note.number))
    };
    for kill in kills() {
        let mut life = mortal.next();
        let (mut left, mut after) = (kill, None);
        while left > 0 {
            let message = port.recv(LIMIT).expect("the next process is heard");
            let (sender, first) = take(&message);
            if sender == life.number {
                left -= 1;
                after.get_or_insert_with(|| life.born.elapsed());
            }
            assert!(first.is_none_or(|first| first == 0 || mortal.plays == Type::Pub));
            tally.delivered += 1;
        }
        life.kill();
        tally.went_on(after.expect("some came"), 0);
    }
    tally
}

/// REQ stays: each of its requests has its reply, from whomever.
fn ask(mut port: Box<dyn Port>, mut mortal: Mortal) -> Tally {
    let (mut tally, mut number) = (Tally::default(), 0);
    for kill in kills() {
        let mut watched = Watched::new(mortal.next(), kill / 4);
        while watched.look().is_continue() {
            let note = Note::small(0, number);
            port.send(note.message());
            let reply = port.recv(LIMIT).expect("the next process replies");
            assert_eq!(Note::of(&reply), note);
            number += 1;
            tally.delivered += 1;
        }
        watched.last_words(true);
        let (first, after) = watched.first.expect("it was asked");
        // The request that was under way is asked again, and none before.
        assert!(first <= number && number - first <= watched.count + 1);
        tally.went_on(after, 0);
    }
    tally
}

/// REP or ROUTER stays, and is left with replies to those who are no longer there.
fn answer(plays: Type, mut port: Box<dyn Port>, mut mortal: Mortal) -> Tally {
    let (mut tally, mut book) = (Tally::default(), Book::default());
    for kill in kills() {
        let mut watched = Watched::new(mortal.next(), u64::MAX);
        let (mut taken, mut after) = (0, None);
        while taken < kill / 2 {
            let message = port.recv(LIMIT).expect("the next process asks");
            let note = match plays {
                Type::Router => book.take(&unnamed(message.clone())),
                _ => book.take(&message),
            };
            if note.sender == watched.life.number {
                taken += 1;
                after.get_or_insert_with(|| watched.life.born.elapsed());
                assert_eq!(note.number, taken - 1, "a gap");
            }
            if taken == kill / 2 {
                watched.life.kill();
            }
            port.send(message);
            tally.delivered += 1;
        }
        // Replies may be dropped where a ROUTER finds its peer full.
        watched.last_words(plays == Type::Rep);
        assert!(watched.count <= taken);
        tally.went_on(after.expect("some came"), 0);
    }
    tally
}

/// DEALER stays, with a ROUTER that sends back what it gets.
fn converse(mut port: Box<dyn Port>, mut mortal: Mortal) -> Tally {
    let (mut tally, mut replies) = (Tally::default(), Book::default());
    let (mut number, mut before) = (0, None);
    for kill in kills() {
        let mut watched = Watched::new(mortal.next(), kill / 2);
        while watched.look().is_continue() {
            port.send(Note::small(0, number).message());
            number += 1;
            while let Some(reply) = port.recv(Duration::ZERO) {
                replies.take(&reply);
            }
        }
        watched.last_words(true);
        let (first, after) = watched.first.expect("it was asked");
        assert!(
            before.is_none_or(|before| first > before),
            "{first} came twice"
        );
        tally.went_on(after, first - before.map_or(0, |before| before + 1));
        tally.delivered += watched.count;
        before = watched.last;
    }
    assert!(replies.count() <= tally.delivered);
    if let Some(stats) = port.stats() {
        assert_eq!((stats.messages_sent, stats.dropped.total()), (number, 0));
    }
    tally
}

/// One module for each pair of types, in it who is whose and what is between.
macro_rules! killed {
    ($($name:ident: $stays:ident $how:ident, $dies:ident $(, $theirs:ident)?;)+) => {$(
        mod $name {
            use super::*;

            const OURS: Scenario = Scenario {
                stays: (Whose::Ours, Type::$stays),
                dies: (Whose::Ours, Type::$dies),
                binds: killed!(@ $how),
                over: Transport::Tcp,
            };

            #[test]
            fn ours_and_ours_over_tcp() {
                OURS.run();
            }

            #[test]
            fn ours_and_ours_over_ipc() {
                Scenario { over: Transport::Ipc, ..OURS }.run();
            }

            #[test]
            fn libzmq_dies() {
                Scenario { dies: (Whose::Theirs, Type::$dies), ..OURS }.run();
            }

            $(
                #[test]
                fn $theirs() {
                    Scenario { stays: (Whose::Theirs, Type::$stays), ..OURS }.run();
                }
            )?
        }
    )+};
    (@ binds) => { true };
    (@ connects) => { false };
}

killed! {
    a4_push_goes_on_with_what_is_queued: Push connects, Pull, libzmq_stays;
    a5_bound_push_goes_on_with_the_next: Push binds, Pull, libzmq_stays;
    pull_gets_all_that_left_the_dead: Pull binds, Push, libzmq_stays;
    r5_req_asks_again: Req connects, Rep;
    r6_rep_answers_the_next: Rep binds, Req, libzmq_stays;
    r8_dealer_goes_on_with_what_is_queued: Dealer connects, Router, libzmq_stays;
    r11_router_hands_the_name_over: Router binds, Dealer, libzmq_stays;
    s4_pub_does_not_wait: Pub binds, Sub, libzmq_stays;
    s9_sub_subscribes_again: Sub connects, Pub, libzmq_stays;
}
