//! Runs one contender through one cell: two child processes, an eye on them, and an end to those that hang.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::cell::{Cell, Measure, Role, Transport};
use crate::child::Side;
use crate::process::{LINES, Process, this_program};
use crate::tally::Fault;

/// How long and how patiently to measure.
pub struct Plan {
    /// Time to settle, from the first message on.
    pub warm_up: Duration,
    /// Time over which messages are counted.
    pub window: Duration,
    /// What a run may take in all before its processes are ended.
    pub patience: Duration,
    /// Whether each side has half of the processors to itself, so that nobody gains by sharing one.
    pub apart: bool,
    /// Where the sockets of ipc lie.
    pub directory: PathBuf,
}

/// What one run yields.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What the cell is about: messages a second, or seconds.
    pub value: f64,
    /// Mean and 99th percentile of round trips in seconds, where they are measured.
    pub trips: Option<(f64, f64)>,
    /// Messages that were sent and did not arrive.
    pub lost: u64,
    /// What the side that binds spent. In one process it stands for both.
    pub binds: Cost,
    /// What the side that connects spent.
    pub connects: Option<Cost>,
}

/// What a process spent.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds of processor time for each message counted.
    pub processor: f64,
    /// The most octets of memory it ever held.
    pub peak: f64,
    /// How many of them it took after the first connection was begun.
    pub grown: f64,
}

/// The fault of those that the watchdog has ended.
#[derive(Debug)]
pub struct Stuck(String);

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Stuck {}

/// Runs `contender` through `cell` once.
pub fn measure(contender: &str, cell: &Cell, plan: &Plan) -> Result<Sample, Fault> {
    let _spinners = cell.awake.then(Spinners::start).transpose()?;
    let mut players = Players::start(contender, cell, plan)?;
    let (held, code) = (players.memory("VmRSS:")?, players.memory("RssFile:")?);
    let started = Instant::now();
    players.leader().tell("go")?;

    let gathers = cell.pattern.measure == Measure::Gather;
    let mut before = players.processor()?;
    let mut trips = None;
    if !gathers {
        players.expect("begin")?;
        before = players.processor()?;
    }
    if cell.pattern.measure == Measure::RoundTrip {
        trips = Some(numbers::<3>(&players.expect("times")?)?);
    }
    let [elapsed, count] = numbers(&players.expect("end")?)?;
    let since_go = started.elapsed();
    let (after, peak) = (players.processor()?, players.memory("VmHWM:")?);
    let code_after = players.memory("RssFile:")?;

    let lost = if gathers {
        cell.senders as f64 - count
    } else if cell.pattern.connects.streams() || cell.pattern.binds.streams() {
        players.settle(cell)?
    } else {
        0.0
    };
    let messages = count * cell.published();
    let cost = |of: usize| Cost {
        processor: (after[of] - before[of]) / messages,
        peak: peak[of],
        // Code that ran for the first time is nothing that was taken.
        grown: (peak[of] - code_after[of]) - (held[of] - code[of]),
    };
    Ok(Sample {
        value: match (cell.pattern.measure, trips) {
            (Measure::Gather, _) => since_go.as_secs_f64(),
            (Measure::RoundTrip, Some([_, median, _])) => median / NANOS,
            _ => messages / (elapsed / NANOS),
        },
        trips: trips.map(|[mean, _, p99]| (mean / NANOS, p99 / NANOS)),
        lost: whole(lost)?,
        binds: cost(0),
        connects: (players.processes.len() > 1).then(|| cost(1)),
    })
}

/// The processes of a run: the one that binds and the one that connects, or one that is both.
struct Players {
    processes: Vec<Process>,
    events: Receiver<String>,
    deadline: Instant,
    binder_leads: bool,
}

impl Players {
    /// Starts them, up to where the leading role may begin.
    fn start(contender: &str, cell: &Cell, plan: &Plan) -> Result<Self, Fault> {
        let (lines, events) = mpsc::sync_channel(LINES);
        let start = |side, at: &str| {
            let (half, side) = match side {
                Side::Binds => (Some(0), "binds"),
                Side::Connects => (Some(1), "connects"),
                Side::Both => (None, "both"),
            };
            let (warm_up, window) = (plan.warm_up.as_millis(), plan.window.as_millis());
            let order = [side, contender, &cell.to_string(), at];
            let order = ["--role"].iter().chain(&order).map(ToString::to_string);
            let order: Vec<_> = order
                .chain([warm_up.to_string(), window.to_string()])
                .collect();
            Process::start(&order, half.filter(|_| plan.apart), lines.clone())
        };
        let mut players = Self {
            processes: Vec::new(),
            events,
            deadline: Instant::now() + plan.patience,
            binder_leads: cell.pattern.binds.leads(),
        };
        if cell.transport == Transport::Inproc {
            players.processes.push(start(Side::Both, "inproc://cell")?);
        } else {
            let at = endpoint(cell, plan);
            players.processes.push(start(Side::Binds, &at)?);
            let place = players.expect("at")?;
            players.processes.push(start(Side::Connects, &place)?);
        }
        players.expect(if cell.pattern.binds == Role::Publish {
            "heard"
        } else {
            "ready"
        })?;
        Ok(players)
    }

    /// The process that sends of its own accord.
    fn leader(&mut self) -> &mut Process {
        let last = self.processes.len() - 1;
        &mut self.processes[if self.binder_leads { 0 } else { last }]
    }

    fn follower(&mut self) -> &mut Process {
        let last = self.processes.len() - 1;
        &mut self.processes[if self.binder_leads { last } else { 0 }]
    }

    /// Ends the sending, waits for the last message, and tells how many are lost.
    fn settle(&mut self, cell: &Cell) -> Result<f64, Fault> {
        self.leader().tell("stop")?;
        let [sent] = numbers(&self.expect("sent")?)?;
        let wanted = whole(sent)? * cell.copies();
        self.follower().tell(&format!("settle {wanted}"))?;
        let [settled] = numbers(&self.expect("settled")?)?;
        Ok(wanted as f64 - settled)
    }

    fn processor(&self) -> Result<Vec<f64>, Fault> {
        self.processes.iter().map(Process::processor).collect()
    }

    fn memory(&self, which: &str) -> Result<Vec<f64>, Fault> {
        let memory = |process: &Process| process.memory(which);
        self.processes.iter().map(memory).collect()
    }

    /// Waits for the line that begins with `word`, and gives the rest of it.
    fn expect(&mut self, word: &str) -> Result<String, Fault> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.events.recv_timeout(left) else {
                let text = self.complaint(&format!("ended by the watchdog, waiting for «{word}»"));
                return Err(Stuck(text).into());
            };
            match line.split_once(' ').unwrap_or((&line, "")) {
                (first, rest) if first == word => return Ok(rest.to_owned()),
                ("fault", fault) => return Err(self.complaint(fault).into()),
                // A library may print too.
                _ => {}
            }
        }
    }

    /// Ends all, and adds to `text` what the first that complained had to say.
    fn complaint(&mut self, text: &str) -> String {
        let complaints: Vec<String> = self.processes.iter_mut().map(Process::end).collect();
        let mut lines = complaints.iter().flat_map(|complaint| complaint.lines());
        match lines.find(|line| !line.trim().is_empty()) {
            Some(line) => format!("{text} ({})", line.trim()),
            None => text.to_owned(),
        }
    }
}

fn endpoint(cell: &Cell, plan: &Plan) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    match cell.transport {
        Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
        Transport::Ipc => {
            let name = NEXT.fetch_add(1, Ordering::Relaxed);
            format!("ipc://{}/{name}", plan.directory.display())
        }
        Transport::Inproc => "inproc://cell".to_owned(),
    }
}

/// Processes of idle priority that turn in circles, one a processor, so that none of them ever sleeps. They end with
/// this value.
struct Spinners(Vec<Child>);

impl Spinners {
    /// Starts one for each processor.
    fn start() -> Result<Self, Fault> {
        let spin = || {
            Command::new("chrt")
                .args(["--idle", "0"])
                .arg(this_program())
                .arg("--spin")
                .stdin(Stdio::piped())
                .spawn()
        };
        let count = thread::available_parallelism()?.get();
        Ok(Self((0..count).map(|_| spin()).collect::<Result<_, _>>()?))
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn numbers<const N: usize>(text: &str) -> Result<[f64; N], Fault> {
    let numbers = text.split_whitespace().map(str::parse);
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
    numbers
        .try_into()
        .map_err(|_| format!("not {N} numbers: {text}").into())
}

/// A count that cannot be negative.
fn whole(number: f64) -> Result<u64, Fault> {
    if number < 0.0 {
        return Err(format!("{} messages more than were sent", -number).into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    Ok(number as u64)
}

const NANOS: f64 = 1e9;
