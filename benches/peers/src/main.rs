//! Two processes, several libraries by turns: jackstay beside libzmq, its rivals in Rust and a bare tokio floor.
//!
//! See the README beside this crate for how to run it and how to read its tables.

mod cell;
mod cells;
mod child;
mod contender;
mod growth;
mod keys;
mod process;
mod run;
mod table;
mod tally;
mod targets;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use serde_json::json;

use crate::cell::Cell;
use crate::child::{Order, Side};
use crate::contender::Entry;
use crate::run::{Plan, Stuck};
use crate::table::{Results, Row};
use crate::tally::Fault;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("--spin") => child::spin(),
        Some("growth") => growth::bench(&arguments[1..]),
        Some("--grow") => growth::play(&arguments[1..]),
        Some("--role") => order(&arguments[1..]).map_or_else(Err, |order| Err(child::play(&order))),
        _ => Options::parse(&arguments)
            .and_then(|options| options.map_or(Ok(()), |options| bench(&options))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Options {
    cells: Vec<Cell>,
    contenders: Vec<Entry>,
    rounds: usize,
    seconds: f64,
    warm_up: f64,
    minutes: f64,
    apart: bool,
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
}

impl Options {
    /// `None` when the question was answered by printing.
    fn parse(arguments: &[String]) -> Result<Option<Self>, Fault> {
        let mut options = Self {
            cells: cells::all(),
            contenders: contender::all(),
            rounds: 3,
            seconds: 0.5,
            warm_up: 0.2,
            minutes: 15.0,
            apart: false,
            json: None,
            markdown: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--only" => {
                    let wanted = value()?;
                    options.cells.retain(|cell| {
                        wanted
                            .split(',')
                            .any(|part| cell.to_string().contains(part))
                    });
                }
                "--with" => {
                    let wanted = value()?;
                    options
                        .contenders
                        .retain(|entry| wanted.split(',').any(|name| name == entry.name));
                }
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--minutes" => options.minutes = value()?.parse()?,
                "--quick" => (options.rounds, options.seconds, options.warm_up) = (1, 0.2, 0.1),
                "--apart" => options.apart = true,
                "--json" => options.json = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--list" => {
                    options.cells.iter().for_each(|cell| println!("{cell}"));
                    return Ok(None);
                }
                // Cargo adds it to whatever it runs as a benchmark.
                "--bench" => {}
                "--help" | "-h" => {
                    println!("{HELP}");
                    return Ok(None);
                }
                other => return Err(format!("unknown option {other}\n\n{HELP}").into()),
            }
        }
        if options.cells.is_empty() || options.contenders.is_empty() || options.rounds == 0 {
            return Err("nothing to measure: see --list and --help".into());
        }
        Ok(Some(options))
    }

    /// Runs that a round consists of.
    fn runs(&self) -> usize {
        let offers = |cell| {
            self.contenders
                .iter()
                .filter(|entry| (entry.offers)(cell).is_ok())
                .count()
        };
        self.cells.iter().map(offers).sum()
    }
}

/// Measures every cell, its contenders by turns, and prints the tables.
fn bench(options: &Options) -> Result<(), Fault> {
    let directory = env::temp_dir().join(format!("jackstay-peers-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let window = Duration::try_from_secs_f64(options.seconds)?;
    let warm_up = Duration::try_from_secs_f64(options.warm_up)?;
    let plan = Plan {
        warm_up,
        window,
        patience: warm_up + window + PATIENCE,
        apart: options.apart,
        directory,
    };
    let deadline = Instant::now() + Duration::try_from_secs_f64(options.minutes * 60.0)?;
    let (title, head) = heading(options);
    println!("{title}");
    announce(options, &plan);

    let mut rows: Vec<Row> = options
        .cells
        .iter()
        .map(|cell| empty(cell, options))
        .collect();
    let in_time = || Instant::now() + plan.patience <= deadline;
    for round in (0..options.rounds).take_while(|_| in_time()) {
        println!("\nround {} of {}", round + 1, options.rounds);
        print_name("");
        options
            .contenders
            .iter()
            .for_each(|entry| print_value(entry.name));
        println!();
        for row in rows.iter_mut().take_while(|_| in_time()) {
            measure(row, round, &plan, in_time);
        }
    }
    let tables = table::markdown(&rows);
    println!("\n{tables}");
    if let Some(path) = &options.markdown {
        fs::write(path, format!("{title}\n{tables}"))?;
    }
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", table::json(&rows, &head)))?;
    }
    fs::remove_dir_all(&plan.directory)?;
    let results = || rows.iter().flat_map(|row| &row.results);
    let missing = results()
        .filter(|results| results.absent.is_none())
        .map(|results| options.rounds.saturating_sub(results.samples.len()))
        .sum::<usize>();
    if missing > 0 {
        println!("{missing} runs failed, or found no time.");
    }
    match results().find(|results| results.contender == "jackstay" && results.trouble().is_some()) {
        Some(_) => Err("jackstay has failed or lost messages: see the notes".into()),
        None => Ok(()),
    }
}

/// Tells what is about to happen, and how long it takes.
fn announce(options: &Options, plan: &Plan) {
    let runs = options.runs() * options.rounds;
    let expected = (plan.warm_up + plan.window + OVERHEAD).as_secs_f64() * runs as f64 / 60.0;
    println!(
        "{runs} runs of {} contenders in {} cells, {} rounds: about {expected:.1} minutes; what does not end within {} minutes is left out.",
        options.contenders.len(),
        options.cells.len(),
        options.rounds,
        options.minutes,
    );
}

fn empty(cell: &Cell, options: &Options) -> Row {
    let results = |entry: &Entry| Results {
        contender: entry.name,
        absent: (entry.offers)(cell).err(),
        samples: Vec::new(),
        faults: Vec::new(),
    };
    Row {
        cell: *cell,
        results: options.contenders.iter().map(results).collect(),
    }
}

/// Runs each contender once through the cell of `row`, as long as there is time, and prints a line.
fn measure(row: &mut Row, round: usize, plan: &Plan, in_time: impl Fn() -> bool) {
    // Each round begins with another one: nobody always follows the same neighbour.
    let first = round % row.results.len();
    row.results.rotate_left(first);
    let mut told: Vec<String> = Vec::new();
    for results in &mut row.results {
        // Who got stuck would do so again, at the cost of everybody's time.
        let stuck = results.faults.iter().any(|fault| fault.is::<Stuck>());
        let plays = results.absent.is_none() && !stuck;
        if plays && in_time() {
            match run::measure(results.contender, &row.cell, plan) {
                Ok(sample) => results.samples.push(sample),
                Err(fault) => results.faults.push(fault),
            }
        } else if plays {
            told.push(String::new());
            continue;
        }
        told.push(results.latest(&row.cell));
    }
    row.results.rotate_right(first);
    told.rotate_right(first);
    print_name(&row.cell.to_string());
    told.iter().for_each(|value| print_value(value));
    println!();
}

fn print_name(name: &str) {
    print!("{name:<32}");
}

fn print_value(value: &str) {
    print!("{value:>12}");
}

/// Where and when something was measured.
fn circumstances() -> serde_json::Value {
    let told = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        output.map_or_else(String::new, |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    };
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let seconds_since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    json!({
        "commit": told("git", &["describe", "--always", "--dirty"]),
        "compiler": told("rustc", &["--version"]),
        "processor": processor.trim_start_matches([' ', '\t', ':']),
        "processors": thread::available_parallelism().map_or(0, usize::from),
        "system": told("uname", &["-sr"]),
        "congestion_control": fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")
            .unwrap_or_default()
            .trim(),
        "date": told("date", &["-u", "+%F"]),
        "unix_time": seconds_since_1970,
    })
}

/// What was measured, where and when: for people, and for programs.
fn heading(options: &Options) -> (String, serde_json::Value) {
    let mut head = circumstances();
    let names: Vec<_> = options
        .contenders
        .iter()
        .map(|entry| format!("{} {}", entry.name, (entry.version)()))
        .collect();
    let Options {
        rounds,
        seconds,
        warm_up,
        apart,
        ..
    } = options;
    let share = if *apart {
        "half for each side"
    } else {
        "shared by both sides"
    };

    let of = |what: &str| head[what].as_str().unwrap_or_default().to_owned();
    let title = format!(
        "{names}; commit {commit}; {compiler}; {count} × {processor}, {share}; {system}, tcp with {congestion}; {date}. {rounds} interleaved rounds of \
         {seconds} s after {warm_up} s: medians and ranges. «× a»: how many times better than a, by medians. What there are \
         two of stands for the asking or sending side + the other.\n",
        names = names.join(", "),
        commit = of("commit"),
        compiler = of("compiler"),
        count = head["processors"],
        processor = of("processor"),
        system = of("system"),
        congestion = of("congestion_control"),
        date = of("date"),
    );
    head["contenders"] = json!(names);
    head["rounds"] = json!(rounds);
    head["seconds"] = json!(seconds);
    head["warm_up_seconds"] = json!(warm_up);
    head["apart"] = json!(apart);
    (title, head)
}

/// The order of a child, as [`run`] writes it on its command line.
fn order(arguments: &[String]) -> Result<Order, Fault> {
    let [side, contender, cell, at, warm_up, window] = arguments else {
        return Err("a role takes six arguments".into());
    };
    let side = match side.as_str() {
        "binds" => Side::Binds,
        "connects" => Side::Connects,
        "both" => Side::Both,
        other => return Err(format!("no side is called {other}").into()),
    };
    Ok(Order {
        entry: contender::all()
            .into_iter()
            .find(|entry| entry.name == contender)
            .ok_or("no such contender")?,
        cell: cells::named(cell).ok_or("no such cell")?,
        side,
        at: at.clone(),
        warm_up: Duration::from_millis(warm_up.parse()?),
        window: Duration::from_millis(window.parse()?),
    })
}

/// Beyond warm-up and window: for starting, connecting and settling.
const PATIENCE: Duration = Duration::from_secs(8);
/// What of it a run usually takes.
const OVERHEAD: Duration = Duration::from_millis(250);

const HELP: &str = "\
Measures jackstay, libzmq, rivals in Rust and a bare tokio floor by turns, two processes a cell.

  --only PART,…    cells whose name contains one of these
  --with NAME,…    these contenders
  --rounds N       rounds (3)
  --seconds S      measured window of a run (0.5)
  --minutes M      no run begins that could end later (15)
  --quick          one round of 0.2 s: does everything work?
  --apart          gives each side half of the processors
  --markdown FILE  writes the tables there
  --json FILE      writes every sample there
  --list           prints the names of the cells

growth, with options of its own (growth --help), measures what things cost as they become many.";
