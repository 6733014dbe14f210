//! What is measured: a [`Cell`] is one line of the tables. The list of them is a file of its own, `cells.rs`.

use std::fmt;

/// One line of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Who does what.
    pub pattern: &'static Pattern,
    /// What lies between the two.
    pub transport: Transport,
    /// Octets of a frame. Messages take them by turns; there are a power of two of them.
    pub sizes: &'static [usize],
    /// Frames of a message, all alike.
    pub frames: usize,
    /// How many send, each in a task or thread of its own.
    pub senders: usize,
    /// How many receive, likewise.
    pub receivers: usize,
    /// Whether all senders share one socket, and all receivers another; else each has its own.
    pub shared: bool,
    /// How many messages may wait on each side; none for the default. 0 is no limit.
    pub mark: Option<usize>,
    /// Whether all is encrypted, and both sides know each other's keys.
    pub curve: bool,
    /// Where the calls are made from.
    pub seat: Seat,
    /// Whether the processors are kept from sleeping.
    pub awake: bool,
}

/// Two roles facing each other.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its name in the tables and on the command line.
    pub name: &'static str,
    /// The heading of its table.
    pub title: &'static str,
    /// The role that binds, and starts first.
    pub binds: Role,
    /// The role that connects.
    pub connects: Role,
    /// What is measured.
    pub measure: Measure,
    /// How many topics a subscriber asks for, of [`SPREAD`] times as many that are published. 0: it wants everything.
    pub topics: u32,
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
    /// Receives without end.
    Subscribe,
    /// Asks, with [`WINDOW`] questions under way.
    Deal,
    /// Answers each to whom it came from.
    Route,
}

/// What a cell is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Messages a second. More is better.
    Rate,
    /// Time from a request to its reply. Less is better.
    RoundTrip,
    /// Time until one message of each sender has arrived, with connecting. Less is better.
    Gather,
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
    /// A task spawned on a multi-threaded runtime.
    Task,
    /// The future given to `block_on` of such a runtime, as in `#[tokio::main]`.
    Main,
    /// The future given to `block_on` of a current-thread runtime.
    Current,
    /// A plain thread, by the blocking calls of the library.
    Blocking,
}

impl Cell {
    /// How many copies of each message arrive.
    pub fn copies(&self) -> u64 {
        match self.pattern.binds {
            Role::Publish => self.receivers as u64,
            _ => 1,
        }
    }

    /// How many messages stand behind each that arrives: where topics are filtered, the others count too.
    pub fn published(&self) -> f64 {
        match self.pattern.topics {
            0 => 1.0,
            _ => f64::from(SPREAD),
        }
    }
}

impl Role {
    /// Whether it sends of its own accord.
    pub fn leads(self) -> bool {
        match self {
            Self::Push | Self::Request | Self::Publish | Self::Deal => true,
            Self::Pull | Self::Reply | Self::Subscribe | Self::Route => false,
        }
    }

    /// Whether nothing answers what it sends, so that its end has to be awaited to know of losses.
    pub fn streams(self) -> bool {
        matches!(self, Self::Push | Self::Publish)
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

impl Seat {
    fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Main => "main",
            Self::Current => "current-thread",
            Self::Blocking => "blocking",
        }
    }
}

impl fmt::Display for Cell {
    /// `pattern/transport/size`, then what is out of the ordinary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.pattern.name, self.transport.name())?;
        match self.sizes {
            [size] => write!(f, "{}", Octets(*size))?,
            _ => f.write_str("mixed")?,
        }
        if self.frames > 1 {
            write!(f, "x{}", self.frames)?;
        }
        if (self.senders, self.receivers) != (1, 1) || self.pattern.binds == Role::Publish {
            write!(f, "/{}-{}", self.senders, self.receivers)?;
        }
        if self.shared {
            f.write_str("/shared")?;
        }
        if self.curve {
            f.write_str("/curve")?;
        }
        if let Some(mark) = self.mark {
            write!(f, "/mark-{mark}")?;
        }
        if self.pattern.measure == Measure::RoundTrip {
            let rest = if self.awake { "awake" } else { "asleep" };
            write!(f, "/{}/{rest}", self.seat.name())
        } else if self.seat != Seat::Task {
            write!(f, "/{}", self.seat.name())
        } else {
            Ok(())
        }
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

/// Of so many topics that are published, a subscriber has asked for one.
pub const SPREAD: u32 = 10;
/// Questions that a DEALER has under way.
pub const WINDOW: usize = 100;
pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;
