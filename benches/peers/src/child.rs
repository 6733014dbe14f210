//! What a child process does: plays its role for ever and, if the role measures, acts as referee beside it.
//!
//! It talks to its parent in lines. It tells `at ENDPOINT` once bound; `ready` when it waits for a `go` to connect and
//! send; `heard` when all subscribers have heard the publisher knock, upon which the publisher is told `go`; `begin` and
//! `end NANOSECONDS MESSAGES` around the measured window, with `times MEAN P50 P99` before the end of round trips. Told
//! to `stop`, a sender tells how many letters it `sent`; told with what number to `settle`, a receiver waits for them
//! and tells how many it has. `fault TEXT` comes when it cannot go on. It ends when its standard input does, so none
//! outlives its parent.

use std::convert::Infallible;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::cell::{Cell, MIB, Measure, Role};
use crate::contender::{Bound, Contender, Entry, Play};
use crate::tally::{Fault, Letters, Post, Score, Tally, Times, Trips, Wishes};

/// What the parent wants of this process.
pub struct Order {
    /// Who plays.
    pub entry: Entry,
    /// What is played.
    pub cell: Cell,
    /// Which side of it.
    pub side: Side,
    /// Where to bind, or where the other has bound.
    pub at: String,
    /// Time given to queues, buffers and processors to settle, from the first message on.
    pub warm_up: Duration,
    /// Time over which messages are counted.
    pub window: Duration,
}

/// The roles of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The role that binds.
    Binds,
    /// The role that connects.
    Connects,
    /// Both, for a transport within one process.
    Both,
}

/// Plays. Comes back only with a fault, which has been told.
pub fn play(order: &Order) -> Fault {
    let Err(fault) = perform(order);
    println!("fault {}", fault.to_string().replace('\n', " "));
    fault
}

/// Turns in circles, until the parent ends.
pub fn spin() -> ! {
    thread::spawn(|| {
        let _ = io::stdin().lines().last();
        process::exit(0);
    });
    loop {
        std::hint::spin_loop();
    }
}

fn perform(order: &Order) -> Result<Infallible, Fault> {
    let Order { at, side, cell, .. } = order;
    let contender: Arc<dyn Contender> = (order.entry.make)(cell)?.into();
    let mut stage = Stage {
        cell: *cell,
        score: Score::default(),
        times: Times::default(),
        post: Arc::default(),
    };
    let (told, faults) = mpsc::sync_channel(1);
    let start = |part: Part| {
        let (contender, told) = (Arc::clone(&contender), told.clone());
        thread::spawn(move || {
            let Err(fault) = part(&*contender);
            // The referee has gone only when the process is about to end.
            let _ = told.send(fault);
        });
    };
    let settle = obey(&stage.post);

    let mut place = at.clone();
    if *side != Side::Connects {
        let (bound, places) = mpsc::sync_channel(1);
        start(stage.part(cell.pattern.binds, at, Bound(bound)));
        place = await_place(&places, &faults)?;
        println!("at {place}");
    }
    if *side != Side::Binds {
        let part = stage.part(
            cell.pattern.connects,
            &place,
            Bound(mpsc::sync_channel(1).0),
        );
        if cell.pattern.connects.leads() {
            println!("ready");
            stage.post.await_go();
        }
        start(part);
    }
    drop(told);
    if stage.measures() {
        stage.referee(&faults, order.warm_up, order.window)?;
        stage.settle(&faults, &settle)?;
    }
    Err(faults.recv()?)
}

type Part = Box<dyn FnOnce(&dyn Contender) -> Play + Send>;

/// What the referee sees of the roles played in this process.
struct Stage {
    cell: Cell,
    score: Score,
    times: Times,
    post: Arc<Post>,
}

impl Stage {
    fn part(&mut self, role: Role, at: &str, bound: Bound) -> Part {
        let (cell, at) = (self.cell, at.to_owned());
        let letters = |sender| Letters::new(&cell, sender, &self.post);
        let mut tally = || Tally::new(&cell, &mut self.score);
        let unheard = || Tally::new(&cell, &mut Score::default());
        match role {
            Role::Push => {
                let letters = (0..cell.senders as u64).map(letters).collect();
                Box::new(move |contender| contender.push(&at, letters))
            }
            Role::Pull => {
                let tallies = (0..cell.receivers).map(|_| tally()).collect();
                Box::new(move |contender| contender.pull(&at, bound, tallies))
            }
            Role::Request => {
                let (trips, letters) = (Trips::new(tally(), self.times.clone()), letters(0));
                Box::new(move |contender| contender.request(&at, letters, trips))
            }
            Role::Reply => {
                let (tally, letters) = (unheard(), letters(0));
                Box::new(move |contender| contender.reply(&at, bound, tally, letters))
            }
            Role::Publish => {
                let letters = letters(0);
                Box::new(move |contender| contender.publish(&at, bound, letters))
            }
            Role::Subscribe => {
                let wishes = Wishes::of(&cell);
                let tallies = (0..cell.receivers).map(|_| tally()).collect();
                Box::new(move |contender| contender.subscribe(&at, wishes, tallies))
            }
            Role::Deal => {
                let (tally, letters) = (tally(), letters(0));
                Box::new(move |contender| contender.deal(&at, letters, tally))
            }
            Role::Route => {
                let (tally, letters) = (unheard(), letters(0));
                Box::new(move |contender| contender.route(&at, bound, tally, letters))
            }
        }
    }

    fn measures(&self) -> bool {
        !self.score.is_empty()
    }

    fn referee(
        &self,
        faults: &Receiver<Fault>,
        warm_up: Duration,
        window: Duration,
    ) -> Result<(), Fault> {
        if self.cell.pattern.binds == Role::Publish {
            while !self.score.all_heard_a_knock() {
                pass(faults, MOMENT)?;
            }
            println!("heard");
        }
        while self.score.total() == 0 {
            pass(faults, MOMENT)?;
        }
        if self.cell.pattern.measure == Measure::Gather {
            return self.gather(faults);
        }
        pass(faults, warm_up)?;
        self.times.take();
        println!("begin");
        let (start, before) = (Instant::now(), self.score.total());
        let mut count = 0;
        // A window too short for a library that delivers in rare bursts is opened again.
        let large = self.cell.sizes.iter().any(|&size| size >= MIB);
        let least = if large { FEW } else { LEAST };
        while count < least {
            pass(faults, window)?;
            count = self.score.total() - before;
        }
        let elapsed = start.elapsed();
        if self.cell.pattern.measure == Measure::RoundTrip {
            self.tell_times();
        }
        println!("end {} {count}", elapsed.as_nanos());
        Ok(())
    }

    /// Waits for a message of each sender, as long as any come.
    fn gather(&self, faults: &Receiver<Fault>) -> Result<(), Fault> {
        let (start, wanted) = (Instant::now(), self.cell.senders as u64);
        self.await_total(faults, wanted, RETRIED)?;
        let (elapsed, count) = (start.elapsed(), self.score.total());
        println!("end {} {count}", elapsed.as_nanos());
        Ok(())
    }

    fn tell_times(&self) {
        let mut times = self.times.take();
        times.sort_unstable();
        let at = |percent: usize| {
            let time = times.get(times.len() * percent / 100);
            time.map_or(0, Duration::as_nanos)
        };
        let mean = times.iter().sum::<Duration>().as_nanos() / times.len().max(1) as u128;
        println!("times {mean} {} {}", at(50), at(99));
    }

    /// Waits for the last letters, when the parent has told how many there are.
    fn settle(&self, faults: &Receiver<Fault>, settle: &Receiver<u64>) -> Result<(), Fault> {
        if let Ok(wanted) = settle.recv() {
            self.await_total(faults, wanted, QUIET)?;
            println!("settled {}", self.score.total());
        }
        Ok(())
    }

    /// Waits until so many have come, or until no more have come for a while.
    fn await_total(
        &self,
        faults: &Receiver<Fault>,
        wanted: u64,
        quiet: Duration,
    ) -> Result<(), Fault> {
        let (mut last, mut since) = (self.score.total(), Instant::now());
        while last < wanted && since.elapsed() < quiet {
            pass(faults, MOMENT)?;
            let now = self.score.total();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }
}

/// Obeys the parent from now on, and hands over the numbers it is to settle with.
fn obey(post: &Arc<Post>) -> Receiver<u64> {
    let (settle, numbers): (SyncSender<u64>, _) = mpsc::sync_channel(1);
    let post = Arc::clone(post);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("go", _) => post.go(),
                ("stop", _) => println!("sent {}", post.stop()),
                ("settle", number) => {
                    // The referee has gone only when the process is about to end.
                    let _ = settle.send(number.parse().unwrap_or_default());
                }
                _ => {}
            }
        }
        process::exit(0);
    });
    numbers
}

/// Lets time pass, unless a role fails.
fn pass(faults: &Receiver<Fault>, time: Duration) -> Result<(), Fault> {
    match faults.recv_timeout(time) {
        Ok(fault) => Err(fault),
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err("a role has panicked".into()),
    }
}

fn await_place(place: &Receiver<String>, faults: &Receiver<Fault>) -> Result<String, Fault> {
    match place.recv() {
        Ok(place) => Ok(place),
        Err(_) => Err(faults
            .recv_timeout(Duration::from_secs(1))
            .unwrap_or_else(|_| "it never bound".into())),
    }
}

/// Messages that make a rate.
const LEAST: u64 = 100;
/// The same if they are large.
const FEW: u64 = 10;
const MOMENT: Duration = Duration::from_micros(500);
/// Without a message for so long, those that are missing are lost.
const QUIET: Duration = Duration::from_secs(1);
/// The same where a connection may have to be tried again, and the system waits 1 s, then 2 s with that.
const RETRIED: Duration = Duration::from_secs(4);
