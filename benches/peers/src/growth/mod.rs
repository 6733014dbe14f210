//! What things cost as they become many: connections, subscribers, subscriptions, octets of a message, places in a queue;
//! and what one subscriber that does not read costs the others.
//!
//! Where a library alone is under test, it has one process and a crowd of bare peers another ([`crowd`]). Streams are
//! the ordinary cells of this harness.

mod crowd;
mod letter;
mod library;
mod paper;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use self::crowd::Kind;
use self::library::{LIBRARIES, Library};
use self::paper::{Column, Line, Series, Unit};
use crate::cell::Cell;
use crate::cells::{self, MARKS, SIZES};
use crate::process::{LINES, Process};
use crate::run::{self, Plan};
use crate::tally::Fault;

/// Runs the series that `arguments` ask for, and writes down what comes out.
pub fn bench(arguments: &[String]) -> Result<(), Fault> {
    let Some(options) = Options::parse(arguments)? else {
        return Ok(());
    };
    let directory = env::temp_dir().join(format!("jackstay-growth-{}", process::id()));
    fs::create_dir_all(&directory)?;
    let mut stage = Stage {
        window: options.window,
        rounds: options.rounds,
        deadline: Instant::now() + options.time,
        most: options.most,
        directory,
    };
    let mut all = Vec::new();
    for (name, run) in SERIES {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        println!("\n{name}, with {:.0} s left", stage.left().as_secs_f64());
        all.push(run(&mut stage));
    }
    fs::remove_dir_all(&stage.directory)?;
    let mut head = crate::circumstances();
    head["seconds"] = options.window.as_secs_f64().into();
    head["rounds"] = options.rounds.into();
    let text = paper::markdown(&all, &head);
    println!("\n{text}");
    if let Some(path) = &options.markdown {
        fs::write(path, text)?;
    }
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", paper::json(&all, &head)))?;
    }
    if let Some(folder) = &options.plots {
        fs::create_dir_all(folder)?;
        for series in &all {
            if let Some(plot) = series.plot() {
                fs::write(folder.join(format!("growth-{}.svg", series.name)), plot)?;
            }
        }
    }
    let ours = |line: &Line| line.who == Library::Jackstay.name() && line.fault.is_some();
    if all.iter().flat_map(|series| &series.lines).any(ours) {
        return Err("jackstay has failed: see above".into());
    }
    Ok(())
}

/// The part of a child.
pub fn play(arguments: &[String]) -> Result<(), Fault> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let library = |name| Library::named(name).ok_or("no such library");
    let outcome = match arguments[..] {
        ["hold", name, heartbeat] => library::hold(library(name)?, heartbeat == "heartbeat"),
        ["publish", name, on_full] => library::publish(library(name)?, on_full == "waits"),
        ["crowd", kind, at, count] => {
            let kind = match kind.split_once('-') {
                Some(("topics", topics)) => Kind::Topics(topics.parse()?),
                _ if kind == "all" => Kind::All,
                _ => Kind::Idle,
            };
            crowd::play(kind, at, count.parse()?)
        }
        _ => Err("no such part".into()),
    };
    let Err(fault) = outcome;
    println!("fault {}", fault.to_string().replace('\n', " "));
    Err(fault)
}

struct Options {
    only: Vec<String>,
    rounds: usize,
    window: Duration,
    time: Duration,
    most: usize,
    markdown: Option<PathBuf>,
    json: Option<PathBuf>,
    plots: Option<PathBuf>,
}

impl Options {
    /// `None` when the question was answered by printing.
    fn parse(arguments: &[String]) -> Result<Option<Self>, Fault> {
        let mut options = Self {
            only: Vec::new(),
            rounds: 2,
            window: Duration::from_millis(1000),
            time: Duration::from_secs(6 * 60),
            most: usize::MAX,
            markdown: None,
            json: None,
            plots: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = value()?.parse()?,
                "--most" => options.most = value()?.parse()?,
                "--minutes" => {
                    options.time = Duration::try_from_secs_f64(value()?.parse::<f64>()? * 60.0)?;
                }
                "--quick" => {
                    (options.rounds, options.window) = (1, Duration::from_millis(300));
                }
                "--markdown" => options.markdown = Some(value()?.into()),
                "--json" => options.json = Some(value()?.into()),
                "--plots" => options.plots = Some(value()?.into()),
                "--help" | "-h" => {
                    println!("{HELP}");
                    return Ok(None);
                }
                other => return Err(format!("unknown option {other}\n\n{HELP}").into()),
            }
        }
        Ok(Some(options))
    }
}

/// How long things may take.
struct Stage {
    window: Duration,
    rounds: usize,
    deadline: Instant,
    /// No point beyond this.
    most: usize,
    directory: PathBuf,
}

impl Stage {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Measures a point of each series: `who` at `x`, unless there is no time left for it.
    fn point<const N: usize>(
        &self,
        series: &mut Series,
        who: &'static str,
        x: usize,
        measure: impl FnOnce(&Self) -> Result<[f64; N], Fault>,
    ) {
        if x > self.most && x != NO_LIMIT {
            return;
        }
        let (values, fault) = if self.left() < PATIENCE / 2 {
            (Vec::new(), Some("no time was left".to_owned()))
        } else {
            match measure(self) {
                Ok(values) => (values.to_vec(), None),
                Err(fault) => (Vec::new(), Some(fault.to_string())),
            }
        };
        let line = Line {
            who,
            x,
            values,
            fault,
        };
        println!("{}", series.told(&line));
        series.lines.push(line);
    }

    fn plan(&self) -> Plan {
        Plan {
            warm_up: self.window / 5,
            window: self.window / 2,
            patience: PATIENCE,
            apart: false,
            directory: self.directory.clone(),
        }
    }
}

/// The name of a series, and what runs it.
type Entry = (&'static str, fn(&mut Stage) -> Series);

const SERIES: [Entry; 7] = [
    ("connections", connections),
    ("heartbeats", heartbeats),
    ("subscribers", subscribers),
    ("subscriptions", subscriptions),
    ("sizes", sizes),
    ("marks", marks),
    ("slow", slow),
];

fn connections(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "connections",
        [
            "Idle connections: memory of the accepting side",
            "A PULL, and peers that connect, shake hands and say nothing more. Target: at most 8 KiB a connection. *Heap* is what the\n\
             allocator counts as in use, *resident* what the system has given, both since before the first connection.",
            "connections",
        ],
        &[
            Column::plotted("heap", Unit::Octets),
            Column::new("resident", Unit::Octets),
            Column::new("until all are connected", Unit::Seconds),
        ],
    );
    for count in [1, 10, 100, 1_000, 10_000] {
        for library in LIBRARIES {
            stage.point(&mut series, library.name(), count, |_| {
                let mut holder = Child::start(&["hold", library.name(), "plain"])?;
                let at = holder.expect("at")?;
                let (heap, resident) = (holder.heap()?, holder.process.memory("VmRSS:")?);
                let begun = Instant::now();
                let mut crowd = Child::start(&["crowd", "idle", &at, &count.to_string()])?;
                crowd.expect("connected")?;
                let taken = begun.elapsed().as_secs_f64();
                thread::sleep(SETTLING);
                // Asked twice: libzmq takes newcomers in when it is used.
                holder.heap()?;
                let each = |after: f64, before: f64| (after - before) / count as f64;
                let resident = each(holder.process.memory("VmRSS:")?, resident);
                Ok([each(holder.heap()?, heap), resident, taken])
            });
        }
    }
    series
}

fn heartbeats(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "heartbeats",
        [
            "Idle connections with a heartbeat each second: processor of the accepting side",
            "The share of one processor, in steps of 10 ms. Of libzmq 10,000 are left out: they took longer than 20 s to connect.",
            "connections",
        ],
        &[
            Column::plotted("processor", Unit::Percent),
            Column::new("a heartbeat", Unit::Seconds),
        ],
    );
    for count in [100, 1_000, 10_000] {
        for library in LIBRARIES {
            if library == Library::Libzmq && count > TOO_MANY {
                continue;
            }
            stage.point(&mut series, library.name(), count, |stage| {
                let mut holder = Child::start(&["hold", library.name(), "heartbeat"])?;
                let at = holder.expect("at")?;
                let mut crowd = Child::start(&["crowd", "idle", &at, &count.to_string()])?;
                crowd.expect("connected")?;
                holder.heap()?;
                thread::sleep(SETTLING);
                let (before, begun) = (holder.process.processor()?, Instant::now());
                thread::sleep(stage.window.max(Duration::from_secs(1)) * 2);
                let elapsed = begun.elapsed().as_secs_f64();
                let spent = holder.process.processor()? - before;
                crowd.check()?;
                Ok([100.0 * spent / elapsed, spent / elapsed / count as f64])
            });
        }
    }
    series
}

fn subscribers(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "subscribers",
        [
            "Subscribers: what the publisher spends on a copy",
            "A PUB that sends 64 B, as fast as all of its subscribers take it. They are bare and have one thread in all. Of libzmq 10,000\n\
             are left out: they took longer than 20 s to be heard from.",
            "subscribers",
        ],
        &[
            Column::plotted("processor a copy", Unit::Seconds),
            Column::new("copies a second", Unit::Rate),
        ],
    );
    for count in [1, 10, 100, 1_000, 10_000] {
        for library in LIBRARIES {
            if library == Library::Libzmq && count > TOO_MANY {
                continue;
            }
            stage.point(&mut series, library.name(), count, |stage| {
                let (mut publisher, mut crowd) = publishing(library, "waits", "all", count)?;
                publisher.process.tell("send 1")?;
                thread::sleep(stage.window / 5);
                let spent = Spent::over(stage.window, &publisher, &mut crowd)?;
                settle(&mut publisher, &mut crowd, count as u64)?;
                let (processor, rate) = spent.each()?;
                Ok([processor, rate])
            });
        }
    }
    series
}

fn subscriptions(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "subscriptions",
        [
            "Subscriptions: what a topic takes, what a message costs",
            "Topics of 9 octets, spread over as many as 128 subscribers; each message of 64 B matches one, in no order. Targets: at most\n\
             200 octets a topic; a cost that is flat or grows with the logarithm.",
            "topics",
        ],
        &[
            Column::new("heap a topic", Unit::Octets),
            Column::plotted("processor a message", Unit::Seconds),
            Column::new("messages a second", Unit::Rate),
        ],
    );
    for topics in [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        for library in LIBRARIES {
            stage.point(&mut series, library.name(), topics, |stage| {
                let kind = format!("topics-{topics}");
                let members = topics.min(128);
                let (mut publisher, mut crowd) = publishing(library, "waits", &kind, members)?;
                let before = publisher.heap()?;
                publisher.process.tell("knock 2")?;
                crowd.process.tell("subscribe")?;
                crowd.expect("heard")?;
                thread::sleep(IDLE);
                let heap = (publisher.heap()? - before) / topics as f64;
                publisher.process.tell(&format!("send {topics}"))?;
                thread::sleep(stage.window / 5);
                let spent = Spent::over(stage.window, &publisher, &mut crowd)?;
                settle(&mut publisher, &mut crowd, 1)?;
                let (processor, rate) = spent.each()?;
                Ok([heap, processor, rate])
            });
        }
    }
    series
}

fn sizes(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "sizes",
        [
            "Sizes: octets a second",
            "PUSH→PULL over tcp, from room for a number to the largest message that is accepted by default.",
            "octets of a message",
        ],
        &[
            Column::plotted("octets a second", Unit::Rate),
            Column::new("messages a second", Unit::Rate),
        ],
    );
    for (place, size) in SIZES.into_iter().enumerate() {
        for who in ["floor", "libzmq", "jackstay"] {
            stage.point(&mut series, who, size, |stage| {
                let rate = rate(who, &cells::of_size(place), stage)?;
                Ok([rate * size as f64, rate])
            });
        }
    }
    series
}

fn marks(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "marks",
        [
            "Marks: messages a second",
            "PUSH→PULL over tcp, 64 B, with the same mark on both sides.",
            "mark",
        ],
        &[Column::plotted("messages a second", Unit::Rate)],
    );
    for mark in MARKS {
        let x = if mark == 0 { NO_LIMIT } else { mark };
        for library in LIBRARIES {
            stage.point(&mut series, library.name(), x, |stage| {
                Ok([rate(library.name(), &cells::of_mark(mark), stage)?])
            });
        }
    }
    series
}

/// Windows with the slow one and without it take turns on the same connections: whatever else happens on the machine
/// happens to both.
fn slow(stage: &mut Stage) -> Series {
    let mut series = Series::new(
        "slow",
        [
            "A subscriber that does not read: what the others keep",
            "Of what they get without it. The publisher sends 64 B as fast as it can and drops what a subscriber has no room for. Windows\n\
             with the slow one and without it take turns; how far the quarters lie apart tells how far the median can be trusted. Target:\n\
             98 %.",
            "others",
        ],
        &[
            Column::new("median", Unit::Percent),
            Column::new("a quarter is below", Unit::Percent),
            Column::new("a quarter is above", Unit::Percent),
            Column::new("copies a second without it", Unit::Rate),
        ],
    );
    for library in LIBRARIES {
        stage.point(&mut series, library.name(), OTHERS, |stage| {
            let (mut publisher, mut crowd) = publishing(library, "drops", "all", OTHERS)?;
            publisher.process.tell("send 1")?;
            thread::sleep(stage.window);
            let mut shares = Vec::new();
            let mut without = Vec::new();
            for pair in 0..PAIRS {
                let mut rates = [0.0; 2];
                // Neither is always the first.
                for with in [pair % 2, 1 - pair % 2] {
                    crowd.process.tell(["slow off", "slow on"][with])?;
                    // Until its queues are full, or gone.
                    thread::sleep(stage.window / 10);
                    rates[with] =
                        Spent::over(stage.window * 4 / 10, &publisher, &mut crowd)?.rate();
                }
                shares.push(100.0 * rates[1] / rates[0].max(1.0));
                without.push(rates[0]);
            }
            crowd.check()?;
            shares.sort_by(f64::total_cmp);
            let quarter = |quarter: usize| shares[(PAIRS - 1) * quarter / 4];
            let without = without.iter().sum::<f64>() / PAIRS as f64;
            Ok([quarter(2), quarter(1), quarter(3), without])
        });
    }
    series
}

/// The median of some rounds of an ordinary cell.
fn rate(who: &'static str, cell: &Cell, stage: &Stage) -> Result<f64, Fault> {
    let plan = stage.plan();
    let mut rates = Vec::new();
    for _ in 0..stage.rounds {
        let sample = run::measure(who, cell, &plan)?;
        if sample.lost > 0 {
            return Err(format!("{} messages were lost", sample.lost).into());
        }
        rates.push(sample.value);
    }
    crate::table::middle(rates.into_iter()).ok_or_else(|| "no rounds".into())
}

/// A publisher and a crowd of subscribers who have all heard it.
fn publishing(
    library: Library,
    on_full: &str,
    kind: &str,
    count: usize,
) -> Result<(Child, Child), Fault> {
    let mut publisher = Child::start(&["publish", library.name(), on_full])?;
    let at = publisher.expect("at")?;
    publisher.process.tell("knock 1")?;
    let mut crowd = Child::start(&["crowd", kind, &at, &count.to_string()])?;
    crowd.expect("heard")?;
    Ok((publisher, crowd))
}

/// Ends the sending, and waits until `copies` of each letter have come: none may be missing.
fn settle(publisher: &mut Child, crowd: &mut Child, copies: u64) -> Result<(), Fault> {
    publisher.process.tell("rest")?;
    let sent: u64 = publisher.expect("sent")?.parse()?;
    let (mut last, mut since) = (crowd.count()?, Instant::now());
    while last.taken < sent * copies {
        if since.elapsed() > QUIET {
            return Err(format!("{} of {} copies came", last.taken, sent * copies).into());
        }
        thread::sleep(MOMENT);
        let now = crowd.count()?;
        if now.taken != last.taken {
            (last, since) = (now, Instant::now());
        }
    }
    match crowd.count()? {
        Count {
            missed: 0, taken, ..
        } if taken == sent * copies => Ok(()),
        Count { missed, taken, .. } => {
            Err(format!("{taken} copies of {sent} letters came, {missed} were missed").into())
        }
    }
}

/// What was taken over a time, and what it cost the publisher.
struct Spent {
    seconds: f64,
    taken: f64,
    processor: f64,
}

impl Spent {
    fn over(window: Duration, publisher: &Child, crowd: &mut Child) -> Result<Self, Fault> {
        let (processor, before) = (publisher.process.processor()?, crowd.count()?);
        thread::sleep(window);
        let after = crowd.count()?;
        Ok(Self {
            seconds: (after.nanos - before.nanos) / 1e9,
            taken: (after.taken - before.taken) as f64,
            processor: publisher.process.processor()? - processor,
        })
    }

    /// What one copy cost the publisher, and how many came in a second.
    fn each(&self) -> Result<(f64, f64), Fault> {
        if self.taken == 0.0 {
            return Err("nothing came".into());
        }
        Ok((self.processor / self.taken, self.rate()))
    }

    fn rate(&self) -> f64 {
        self.taken / self.seconds
    }
}

/// A process, and what it tells.
struct Child {
    process: Process,
    lines: Receiver<String>,
}

/// What a crowd has taken by then.
struct Count {
    nanos: f64,
    taken: u64,
    missed: u64,
}

impl Child {
    fn start(part: &[&str]) -> Result<Self, Fault> {
        let (told, lines) = mpsc::sync_channel(LINES);
        let arguments: Vec<String> = ["--grow"]
            .iter()
            .chain(part)
            .map(ToString::to_string)
            .collect();
        let process = Process::start(&arguments, None, told)?;
        Ok(Self { process, lines })
    }

    /// Waits for the line that begins with `word`, and gives the rest of it.
    fn expect(&mut self, word: &str) -> Result<String, Fault> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(format!("stuck, waiting for «{word}»").into());
            };
            match line.split_once(' ').unwrap_or((&line, "")) {
                (first, rest) if first == word => return Ok(rest.to_owned()),
                ("fault", fault) => return Err(fault.into()),
                // Told before it was asked for.
                _ => {}
            }
        }
    }

    /// Fails if it has told of a fault.
    fn check(&mut self) -> Result<(), Fault> {
        match self.lines.try_iter().find(|line| line.starts_with("fault")) {
            Some(fault) => Err(fault.into()),
            None => Ok(()),
        }
    }

    /// Octets of its heap in use.
    fn heap(&mut self) -> Result<f64, Fault> {
        self.process.tell("heap")?;
        Ok(self.expect("heap")?.parse()?)
    }

    fn count(&mut self) -> Result<Count, Fault> {
        self.process.tell("count")?;
        let told = self.expect("count")?;
        let mut numbers = told.split(' ');
        let mut number = || numbers.next().ok_or("a count is three numbers");
        Ok(Count {
            nanos: number()?.parse()?,
            taken: number()?.parse()?,
            missed: number()?.parse()?,
        })
    }
}

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Without a letter for so long, those that are missing are lost.
const QUIET: Duration = Duration::from_secs(2);
/// As long as a library may keep memory that nobody needs.
const IDLE: Duration = Duration::from_secs(3);
/// Until what was taken for a handshake is given back.
const SETTLING: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_millis(10);
/// Those who read, beside one who does not.
const OTHERS: usize = 999;
/// How often the slow one comes and goes.
const PAIRS: usize = 20;
/// libzmq took longer than [`PATIENCE`] for ten thousand that are to be heard from.
const TOO_MANY: usize = 1_000;
/// A mark that is none, as a place on the axis.
const NO_LIMIT: usize = usize::MAX;

const HELP: &str = "\
Measures what things cost as they become many, jackstay beside libzmq.

  --only NAME,…    of connections, heartbeats, subscribers, subscriptions, sizes, marks, slow
  --rounds N       rounds of sizes and marks, whose median counts (2)
  --most N         no point beyond this
  --minutes M      what does not begin in this time is left out (6)
  --quick          short windows: does everything work?
  --markdown FILE  writes the tables there
  --json FILE      writes every value there
  --plots FOLDER   draws growth-NAME.svg there";
