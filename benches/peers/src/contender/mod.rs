//! Who is measured: one file a library, and one line in [`all`].

mod floor;
mod jackstay;
mod libzmq;
mod omq;

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};

use crate::cell::{Cell, Seat};
use crate::tally::{Fault, Letters, Tally, Trips};

/// A role plays until its process ends, or until it fails.
pub type Play = Result<Infallible, Fault>;

/// A library, used as its own documentation advises, with its default options.
///
/// Who leaves a role out does not offer its cells, which stay empty in the table.
pub trait Contender: Send + Sync {
    /// Connects to `at` and sends letters without end.
    fn push(&self, at: &str, letters: Letters) -> Play {
        refuse(at, letters)
    }

    /// Binds to `at` and receives without end.
    fn pull(&self, at: &str, bound: Bound, tally: Tally) -> Play {
        refuse(at, (bound, tally))
    }

    /// Connects to `at`, asks and waits, without end.
    fn request(&self, at: &str, seat: Seat, letters: Letters, trips: Trips) -> Play {
        refuse(at, (seat, letters, trips))
    }

    /// Binds to `at` and answers each letter with one that bears its number.
    fn reply(&self, at: &str, seat: Seat, bound: Bound, tally: Tally, letters: Letters) -> Play {
        refuse(at, (seat, bound, tally, letters))
    }

    /// Binds to `at`, waits for all subscribers and sends letters without end, dropping none.
    fn publish(&self, at: &str, bound: Bound, letters: Letters, subscribers: usize) -> Play {
        refuse(at, (bound, letters, subscribers))
    }

    /// Connects one socket for each tally to `at`, subscribes it to everything and receives without end.
    fn subscribe(&self, at: &str, tallies: Vec<Tally>) -> Play {
        refuse(at, tallies)
    }
}

/// What is known of a contender before it plays.
pub struct Entry {
    /// As in the table and on the command line.
    pub name: &'static str,
    /// What is measured.
    pub version: fn() -> String,
    /// Whether it can play this cell at all.
    pub offers: fn(&Cell) -> bool,
    /// Makes one for a cell, with its runtime or context.
    pub make: fn(&Cell) -> Result<Box<dyn Contender>, Fault>,
}

/// Everyone, in the order of the table.
pub fn all() -> Vec<Entry> {
    vec![floor::ENTRY, libzmq::ENTRY, omq::ENTRY, jackstay::ENTRY]
}

/// Tells the other side where a role has bound, once.
pub struct Bound(pub mpsc::SyncSender<String>);

impl Bound {
    /// The endpoint as the other side connects to it.
    pub fn at(self, endpoint: impl Display) {
        // Nobody listens any more only when the process is about to end.
        let _ = self.0.send(endpoint.to_string());
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

/// The runtime that every tokio-based contender gets: multi-threaded, a worker for each processor.
fn runtime() -> Result<Runtime, Fault> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Runs `role` from `seat`.
fn seated(
    runtime: &Runtime,
    seat: Seat,
    role: impl Future<Output = Play> + Send + 'static,
) -> Play {
    match seat {
        Seat::Task => runtime.block_on(async { tokio::spawn(role).await? }),
        Seat::Main => runtime.block_on(role),
    }
}

/// Runs a role for each member of a crowd, each in a task, until the first of them fails.
fn crowd<R>(runtime: &Runtime, roles: impl IntoIterator<Item = R>) -> Play
where
    R: Future<Output = Play> + Send + 'static,
{
    runtime.block_on(async {
        let mut tasks: tokio::task::JoinSet<Play> = roles.into_iter().collect();
        tasks.join_next().await.ok_or("an empty crowd")??
    })
}

fn refuse<T>(at: &str, _unused: T) -> Play {
    Err(format!("this role is not offered, at {at}").into())
}
