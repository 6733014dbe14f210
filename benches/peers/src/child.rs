//! What a child process does: plays its role for ever and, if the role measures, acts as referee beside it.
//!
//! It talks to its parent in lines: `at ENDPOINT` once bound, `begin` and `end NANOSECONDS MESSAGES` around the
//! measured window, with `times MEAN P50 P99` before the end of round trips, and `fault TEXT` when it cannot go on. It
//! ends when its standard input does, so none outlives its parent.

use std::convert::Infallible;
use std::io::{self, Read};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cell::{Cell, Measure, Role};
use crate::contender::{Bound, Contender, Entry, Play};
use crate::tally::{Fault, Letters, Score, Tally, Times, Trips};

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
    thread::spawn(end_with_parent);
    let Err(fault) = perform(order);
    println!("fault {}", fault.to_string().replace('\n', " "));
    fault
}

/// Turns in circles, until the parent ends.
pub fn spin() -> ! {
    thread::spawn(end_with_parent);
    loop {
        std::hint::spin_loop();
    }
}

fn perform(order: &Order) -> Result<Infallible, Fault> {
    let contender: Arc<dyn Contender> = (order.entry.make)(&order.cell)?.into();
    let mut stage = Stage {
        cell: order.cell,
        score: Score::default(),
        times: Times::default(),
    };
    let Order { at, side, cell, .. } = order;
    let (bound, place) = mpsc::sync_channel(1);
    let (told, faults) = mpsc::sync_channel(1);
    let start = |part: Part| {
        let (contender, told) = (Arc::clone(&contender), told.clone());
        thread::spawn(move || {
            let Err(fault) = part(&*contender);
            // The referee has gone only when the process is about to end.
            let _ = told.send(fault);
        });
    };

    if *side != Side::Connects {
        start(stage.part(cell.pattern.binds, at, Bound(bound)));
        match (await_place(&place, &faults)?, side) {
            (place, Side::Both) => start(stage.part(
                cell.pattern.connects,
                &place,
                Bound(mpsc::sync_channel(1).0),
            )),
            (place, _) => println!("at {place}"),
        }
    } else {
        start(stage.part(cell.pattern.connects, at, Bound(bound)));
    }

    if stage.measures() {
        stage.referee(&faults, order.warm_up, order.window)?;
    }
    Err(faults.recv()?)
}

type Part = Box<dyn FnOnce(&dyn Contender) -> Play + Send>;

/// What the referee sees of the roles played in this process.
struct Stage {
    cell: Cell,
    score: Score,
    times: Times,
}

impl Stage {
    fn part(&mut self, role: Role, at: &str, bound: Bound) -> Part {
        let Cell {
            size, crowd, seat, ..
        } = self.cell;
        let at = at.to_owned();
        let letters = Letters::new(size);
        match role {
            Role::Push => Box::new(move |contender| contender.push(&at, letters)),
            Role::Pull => {
                let tally = Tally::new(size, &mut self.score);
                Box::new(move |contender| contender.pull(&at, bound, tally))
            }
            Role::Request => {
                let trips = Trips::new(Tally::new(size, &mut self.score), self.times.clone());
                Box::new(move |contender| contender.request(&at, seat, letters, trips))
            }
            Role::Reply => {
                let tally = Tally::new(size, &mut Score::default());
                Box::new(move |contender| contender.reply(&at, seat, bound, tally, letters))
            }
            Role::Publish => {
                Box::new(move |contender| contender.publish(&at, bound, letters, crowd))
            }
            Role::Subscribe => {
                let tallies = (0..crowd)
                    .map(|_| Tally::new(size, &mut self.score))
                    .collect();
                Box::new(move |contender| contender.subscribe(&at, tallies))
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
        while !self.score.all_begun() {
            pass(faults, Duration::from_millis(1))?;
        }
        pass(faults, warm_up)?;
        self.times.take();
        println!("begin");
        let (start, before) = (Instant::now(), self.score.total());
        let mut count = 0;
        // A window too short for a library that delivers in rare bursts is opened again.
        while count < LEAST {
            pass(faults, window)?;
            count = self.score.total() - before;
        }
        let elapsed = start.elapsed();
        if self.cell.pattern.measure == Measure::RoundTrip {
            let mut times = self.times.take();
            times.sort_unstable();
            let at = |percent: usize| {
                times
                    .get(times.len() * percent / 100)
                    .map_or(0, Duration::as_nanos)
            };
            let mean = times.iter().sum::<Duration>().as_nanos() / times.len().max(1) as u128;
            println!("times {mean} {} {}", at(50), at(99));
        }
        println!("end {} {count}", elapsed.as_nanos());
        Ok(())
    }
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

fn end_with_parent() {
    let _ = io::stdin().read(&mut [0]);
    process::exit(0);
}

/// Messages that make a rate.
const LEAST: u64 = 100;
