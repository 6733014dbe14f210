//! Runs one contender through one cell: two child processes, an eye on them, and an end to those that hang.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cell::{Cell, Measure, Transport};
use crate::child::Side;
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
    /// Messages, or round trips, a second.
    pub rate: f64,
    /// The times of round trips, where they are measured.
    pub times: Option<RoundTrips>,
    /// What the side that binds spent. In one process it stands for both.
    pub binds: Cost,
    /// What the side that connects spent.
    pub connects: Option<Cost>,
}

/// Seconds that a round trip took.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrips {
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
}

/// What a process spent.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds of processor time for each message counted.
    pub processor: f64,
    /// The most octets of memory it ever held.
    pub peak: f64,
}

/// Runs `contender` through `cell` once.
pub fn measure(contender: &str, cell: &Cell, plan: &Plan) -> Result<Sample, Fault> {
    let deadline = Instant::now() + plan.patience;
    let (lines, events) = mpsc::sync_channel(LINES);
    let start = |side, at: &str| Process::start(contender, cell, side, at, plan, lines.clone());

    let mut processes = Vec::new();
    if cell.transport == Transport::Inproc {
        processes.push(start(Side::Both, "inproc://cell")?);
    } else {
        processes.push(start(Side::Binds, &endpoint(cell, plan))?);
        let place = expect(&events, deadline, "at", &mut processes)?;
        processes.push(start(Side::Connects, &place)?);
    }

    expect(&events, deadline, "begin", &mut processes)?;
    let before = times(&processes)?;
    let mut round_trips = None;
    if cell.pattern.measure == Measure::RoundTrip {
        let told = numbers(&expect(&events, deadline, "times", &mut processes)?)?;
        let [mean, p50, p99] = told[..] else {
            return Err("times that are not three".into());
        };
        round_trips = Some(RoundTrips {
            mean: mean / NANOS,
            p50: p50 / NANOS,
            p99: p99 / NANOS,
        });
    }
    let told = numbers(&expect(&events, deadline, "end", &mut processes)?)?;
    let after = times(&processes)?;
    let [elapsed, count] = told[..] else {
        return Err("an end without its count".into());
    };

    let cost = |index: usize| -> Result<Cost, Fault> {
        Ok(Cost {
            processor: (after[index] - before[index]) / count,
            peak: processes[index].peak()?,
        })
    };
    Ok(Sample {
        rate: count / (elapsed / NANOS),
        times: round_trips,
        binds: cost(0)?,
        connects: if processes.len() > 1 {
            Some(cost(1)?)
        } else {
            None
        },
    })
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
pub struct Spinners(Vec<Child>);

impl Spinners {
    /// Starts one for each processor.
    pub fn start() -> Result<Self, Fault> {
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

/// A child, which does not outlive this value.
struct Process {
    child: Child,
    complaints: Option<JoinHandle<String>>,
}

impl Process {
    fn start(
        contender: &str,
        cell: &Cell,
        side: Side,
        at: &str,
        plan: &Plan,
        lines: SyncSender<String>,
    ) -> Result<Self, Fault> {
        let (half, side) = match side {
            Side::Binds => (Some(0), "binds"),
            Side::Connects => (Some(1), "connects"),
            Side::Both => (None, "both"),
        };
        let mut command = match half.filter(|_| plan.apart) {
            Some(half) => on_half(half)?,
            None => Command::new(this_program()),
        };
        let (warm_up, window) = (plan.warm_up.as_millis(), plan.window.as_millis());
        let mut child = command
            .args(["--role", side, contender, &cell.to_string(), at])
            .args([warm_up.to_string(), window.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("a child without pipes".into());
        };
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
            let _ = lines.send("fault a process ended".to_owned());
        });
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self {
            child,
            complaints: Some(complaints),
        })
    }

    /// Seconds of processor time spent so far, as precise as the kernel's ticks.
    fn processor(&self) -> Result<f64, Fault> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name before the last parenthesis may hold anything; user and system time are the 12th and 13th after it.
        let fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2);
        let ticks = fields.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS)
    }

    fn peak(&self) -> Result<f64, Fault> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("no peak of memory is told")?;
        let kib: f64 = line.trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }

    /// Ends it, and gives what it wrote to its standard error.
    fn end(&mut self) -> String {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The very program that runs, even if another has been built in its place meanwhile.
fn this_program() -> String {
    format!("/proc/{}/exe", std::process::id())
}

/// This program on the first or the second half of the processors.
fn on_half(half: usize) -> Result<Command, Fault> {
    let all = thread::available_parallelism()?.get();
    let processors = half * all / 2..=((half + 1) * all / 2).saturating_sub(1);
    let mut command = Command::new("taskset");
    command
        .args([
            "--cpu-list",
            &format!("{}-{}", processors.start(), processors.end()),
        ])
        .arg(this_program());
    Ok(command)
}

/// Waits for the line that begins with `word`, and gives the rest of it.
fn expect(
    events: &Receiver<String>,
    deadline: Instant,
    word: &str,
    processes: &mut [Process],
) -> Result<String, Fault> {
    let told = loop {
        let Ok(line) = events.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        else {
            break format!("ended by the watchdog, waiting for «{word}»");
        };
        match line.split_once(' ').unwrap_or((&line, "")) {
            (first, rest) if first == word => return Ok(rest.to_owned()),
            ("fault", fault) => break fault.to_owned(),
            // A library may print too.
            _ => {}
        }
    };
    let complaints: Vec<String> = processes.iter_mut().map(Process::end).collect();
    let complaint = complaints
        .iter()
        .flat_map(|text| text.lines())
        .find(|line| !line.trim().is_empty());
    Err(match complaint {
        Some(line) => format!("{told} ({})", line.trim()),
        None => told,
    }
    .into())
}

fn times(processes: &[Process]) -> Result<Vec<f64>, Fault> {
    processes.iter().map(Process::processor).collect()
}

fn numbers(text: &str) -> Result<Vec<f64>, Fault> {
    Ok(text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?)
}

/// More than both children ever tell, unless a library is talkative.
const LINES: usize = 64;
const NANOS: f64 = 1e9;
/// Of the clock that `/proc` counts in, the same on every Linux.
const TICKS: f64 = 100.0;
