//! What is measured: a [`Cell`] is one pattern over one transport, with its message size, crowd and seat.
//!
//! Each pattern is a file beside this one: what its two sides do, and the cells in which they do it.

mod pub_sub;
mod push_pull;
mod req_rep;

use std::fmt;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Who does what.
    pub pattern: &'static Pattern,
    /// What lies between the two.
    pub transport: Transport,
    /// Octets of a message.
    pub size: usize,
    /// How many sockets the crowded side has, 1 where no side is.
    pub crowd: usize,
    /// Where the calls are made from.
    pub seat: Seat,
}

/// Two roles facing each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its name in the table and on the command line.
    pub name: &'static str,
    /// The heading of its table.
    pub title: &'static str,
    /// The role that binds, and starts first.
    pub binds: Role,
    /// The role that connects.
    pub connects: Role,
    /// What is counted, and by which role.
    pub measure: Measure,
}

/// The part of one process in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends without end.
    Push,
    /// Receives without end.
    Pull,
    /// Asks, and waits for the answer.
    Request,
    /// Answers.
    Reply,
    /// Sends without end to every subscriber.
    Publish,
    /// Receives without end, with as many sockets as the crowd counts.
    Subscribe,
}

/// What the measuring role reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Messages taken by all its sockets, a second. More is better.
    Rate,
    /// Time from a request to its reply. Less is better.
    RoundTrip,
}

/// What lies between the two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Loopback.
    Tcp,
    /// Unix domain sockets.
    Ipc,
    /// One process that plays both roles.
    Inproc,
}

/// From where a library with an async interface is called. A blocking one has one seat only: a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// A task spawned on the multi-threaded runtime.
    Task,
    /// The future given to `block_on`, as in `#[tokio::main]`.
    Main,
}

/// Every cell there is, in the order of the table.
pub fn all() -> Vec<Cell> {
    [push_pull::cells(), req_rep::cells(), pub_sub::cells()].concat()
}

impl Role {
    /// Whether this is the role whose messages or round trips are counted.
    pub fn measures(self) -> bool {
        matches!(self, Self::Pull | Self::Request | Self::Subscribe)
    }
}

impl Transport {
    /// Its scheme, which is also its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ipc => "ipc",
            Self::Inproc => "inproc",
        }
    }
}

impl fmt::Display for Cell {
    /// `pattern/transport/size`, with the crowd or the seat where the pattern has one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}",
            self.pattern.name,
            self.transport.name(),
            Octets(self.size)
        )?;
        if self.pattern.measure == Measure::RoundTrip {
            f.write_str(match self.seat {
                Seat::Task => "/task",
                Seat::Main => "/main",
            })?;
        }
        if self.pattern.connects == Role::Subscribe {
            write!(f, "/{}", self.crowd)?;
        }
        Ok(())
    }
}

/// A size as people write it: `64B`, `16KiB`, `1MiB`.
struct Octets(usize);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            size if size >= MIB && size % MIB == 0 => write!(f, "{}MiB", size / MIB),
            size if size >= KIB && size % KIB == 0 => write!(f, "{}KiB", size / KIB),
            size => write!(f, "{size}B"),
        }
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names: Vec<String> = all().iter().map(ToString::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"push-pull/tcp/64B".to_owned()));
        assert!(names.contains(&"req-rep/ipc/64B/main".to_owned()));
        assert!(names.contains(&"pub-sub/tcp/1KiB/64".to_owned()));
    }

    #[test]
    fn exactly_one_side_measures() {
        for cell in all() {
            assert_ne!(
                cell.pattern.binds.measures(),
                cell.pattern.connects.measures()
            );
        }
    }
}
