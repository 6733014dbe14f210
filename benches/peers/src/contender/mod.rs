//! Who is measured: one file a library, and one line in [`all`].

mod channel;
mod floor;
mod jackstay;
pub mod libzmq;
#[cfg(feature = "rivals")]
mod rivals;

use std::convert::Infallible;
use std::fmt::Display;
use std::future::{Future, pending};
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::cell::{Cell, KIB, Measure, Role, Seat};
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

/// A role plays until its process ends, or until it fails.
pub type Play = Result<Infallible, Fault>;

/// A library, used as its own documentation advises, with its default options.
///
/// Places to connect to are separated by commas. Who leaves a role out has to say so in [`Entry::offers`].
pub trait Contender: Send + Sync {
    /// Connects a socket for each sender to `at`, or one if they share it, and sends all letters.
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        refuse(at, letters)
    }

    /// Binds a socket for each tally to `at`, or one if they share it, and receives without end.
    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        refuse(at, (bound, tallies))
    }

    /// Connects to `at`, asks and waits, without end.
    fn request(&self, at: &str, letters: Letters, trips: Trips) -> Play {
        refuse(at, (letters, trips))
    }

    /// Binds to `at` and answers each letter with one that bears its number.
    fn reply(&self, at: &str, bound: Bound, tally: Tally, letters: Letters) -> Play {
        refuse(at, (bound, tally, letters))
    }

    /// Binds to `at`, knocks until all subscribers have heard it and sends all letters, dropping none.
    fn publish(&self, at: &str, bound: Bound, letters: Letters) -> Play {
        refuse(at, (bound, letters))
    }

    /// Connects a socket for each tally to `at`, subscribes it as wished and receives without end.
    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        refuse(at, (wishes, tallies))
    }

    /// Connects a DEALER to `at` that asks without end, with a window of questions under way.
    fn deal(&self, at: &str, letters: Letters, tally: Tally) -> Play {
        refuse(at, (letters, tally))
    }

    /// Binds a ROUTER to `at` that answers each letter with one that bears its number.
    fn route(&self, at: &str, bound: Bound, tally: Tally, letters: Letters) -> Play {
        refuse(at, (bound, tally, letters))
    }
}

/// What is known of a contender before it plays.
pub struct Entry {
    /// As in the tables and on the command line.
    pub name: &'static str,
    /// What is measured.
    pub version: fn() -> String,
    /// Whether it can play this cell at all, or why not.
    pub offers: fn(&Cell) -> Result<(), &'static str>,
    /// Makes one for a cell, with its runtime or context.
    pub make: fn(&Cell) -> Result<Box<dyn Contender>, Fault>,
}

/// Everyone, in the order of the tables.
pub fn all() -> Vec<Entry> {
    let mut all = vec![floor::ENTRY, libzmq::ENTRY];
    #[cfg(feature = "rivals")]
    all.extend(rivals::ENTRIES);
    all.extend([jackstay::SINGLE, jackstay::ENTRY]);
    all
}

/// Tells the other side where a role has bound, once.
pub struct Bound(pub mpsc::SyncSender<String>);

impl Bound {
    /// The endpoint as the other side connects to it.
    pub fn at(self, endpoint: impl Display) {
        // Nobody listens any more only when the process is about to end.
        let _ = self.0.send(endpoint.to_string());
    }

    /// The same of several sockets.
    pub fn at_all(self, endpoints: impl IntoIterator<Item = impl Display>) {
        let endpoints: Vec<_> = endpoints.into_iter().map(|one| one.to_string()).collect();
        self.at(endpoints.join(","));
    }
}

/// The version of a dependency, from the lock file this program was built with.
fn locked(name: &str) -> String {
    let mut lines = include_str!("../../Cargo.lock").lines();
    let heading = format!("name = \"{name}\"");
    let version = lines
        .find(|line| *line == heading)
        .and_then(|_| lines.next());
    version
        .and_then(|line| line.split('"').nth(1))
        .unwrap_or("unknown")
        .to_owned()
}

/// The runtime of a seat: multi-threaded with a worker for each processor, unless it is the current thread's.
fn runtime(seat: Seat) -> Result<Runtime, Fault> {
    let mut builder = match seat {
        Seat::Current => Builder::new_current_thread(),
        Seat::Task | Seat::Main | Seat::Blocking => Builder::new_multi_thread(),
    };
    Ok(builder.enable_all().build()?)
}

/// Plays all roles until the first of them fails: each in a task, or the only one from the future of `block_on`.
fn perform<R>(runtime: &Runtime, seat: Seat, roles: impl IntoIterator<Item = R>) -> Play
where
    R: Future<Output = Play> + Send + 'static,
{
    let mut roles = roles.into_iter();
    runtime.block_on(async {
        match seat {
            Seat::Task => {
                let mut tasks: JoinSet<Play> = roles.collect();
                tasks.join_next().await.ok_or("an empty crowd")??
            }
            Seat::Main | Seat::Current | Seat::Blocking => {
                roles.next().ok_or("nobody to play")?.await
            }
        }
    })
}

/// The only item where there is one for each of a crowd.
fn only<T>(crowd: Vec<T>) -> Result<T, Fault> {
    let mut crowd = crowd.into_iter();
    match (crowd.next(), crowd.next()) {
        (Some(one), None) => Ok(one),
        _ => Err("one socket, one peer: no crowd".into()),
    }
}

/// Keeps what has been sent on its way, and its socket open, when there are no more letters.
async fn rest<T>(socket: T) -> Play {
    let _open = socket;
    pending().await
}

/// How many messages a call hands over, where a library has a call for many: as many as make 16 KiB, up to a hundred or so,
/// of those that come in a stream; one, where each waits for another.
fn at_once(cell: &Cell) -> usize {
    let streams = cell.pattern.measure == Measure::Rate && cell.pattern.binds != Role::Route;
    let octets: usize = cell.sizes.iter().sum();
    let mean = octets / cell.sizes.len() * cell.frames;
    if streams {
        (16 * KIB / mean).clamp(1, TURN)
    } else {
        1
    }
}

fn refuse<T>(at: &str, _unused: T) -> Play {
    Err(format!("this role is not offered, at {at}").into())
}

/// Between two knocks of a publisher.
const KNOCKING: Duration = Duration::from_millis(1);
/// What is handed over in one go, before others have their turn.
const TURN: usize = 128;
