//! Two processes, several libraries by turns: jackstay beside libzmq, omq-tokio and a bare tokio floor.
//!
//! See the README beside this crate for how to run it and how to read its tables.

mod cell;
mod child;
mod contender;
mod run;
mod table;
mod tally;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, process, thread};

use serde_json::json;

use crate::cell::Cell;
use crate::child::{Order, Side};
use crate::contender::Entry;
use crate::run::{Plan, Spinners};
use crate::table::{Results, Row};
use crate::tally::Fault;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("--spin") => child::spin(),
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
    awake: bool,
    apart: bool,
    json: Option<PathBuf>,
}

impl Options {
    /// `None` when the question was answered by printing.
    fn parse(arguments: &[String]) -> Result<Option<Self>, Fault> {
        let mut options = Self {
            cells: cell::all(),
            contenders: contender::all(),
            rounds: 5,
            seconds: 1.0,
            warm_up: 0.3,
            awake: false,
            apart: false,
            json: None,
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
                "--quick" => (options.rounds, options.seconds, options.warm_up) = (1, 0.2, 0.1),
                "--awake" => options.awake = true,
                "--apart" => options.apart = true,
                "--json" => options.json = Some(value()?.into()),
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
}

/// Measures every cell, its contenders by turns, and prints the tables.
fn bench(options: &Options) -> Result<(), Fault> {
    let directory = env::temp_dir().join(format!("jackstay-peers-{}", process::id()));
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

    let spinners = if options.awake {
        Some(Spinners::start()?)
    } else {
        None
    };
    let rows: Vec<Row> = options
        .cells
        .iter()
        .map(|cell| measure(cell, options, &plan))
        .collect();
    drop(spinners);
    let (title, head) = heading(options);
    println!("{title}\n{}", table::markdown(&rows));
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", table::json(&rows, head)))?;
    }
    fs::remove_dir_all(&plan.directory)?;
    match rows
        .iter()
        .flat_map(|row| &row.results)
        .map(|results| results.faults.len())
        .sum()
    {
        0 => Ok(()),
        failed => Err(format!("{failed} runs failed").into()),
    }
}

fn measure(cell: &Cell, options: &Options, plan: &Plan) -> Row {
    let empty = |entry: &Entry| Results {
        contender: entry.name,
        offered: (entry.offers)(cell),
        samples: Vec::new(),
        faults: Vec::new(),
    };
    let mut results: Vec<Results> = options.contenders.iter().map(empty).collect();
    for round in 0..options.rounds {
        // Each round begins with another one: nobody always follows the same neighbour.
        let first = round % results.len();
        results.rotate_left(first);
        for results in results.iter_mut().filter(|results| results.offered) {
            let told = match run::measure(results.contender, cell, plan) {
                Ok(sample) => {
                    results.samples.push(sample);
                    table::shown(cell, &sample)
                }
                Err(fault) => {
                    results.faults.push(fault.to_string());
                    format!("failed: {fault}")
                }
            };
            eprintln!("{cell}, round {}, {}: {told}", round + 1, results.contender);
        }
        results.rotate_right(first);
    }
    Row {
        cell: *cell,
        results,
    }
}

/// What was measured, where and when: for people, and for programs.
fn heading(options: &Options) -> (String, serde_json::Value) {
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
    let processor = processor.trim_start_matches([' ', '\t', ':']);
    let count = thread::available_parallelism().map_or(0, usize::from);
    let system = told("uname", &["-sr"]);
    let date = told("date", &["-u", "+%F"]);
    let compiler = told("rustc", &["--version"]);
    let commit = told("git", &["describe", "--always", "--dirty"]);
    let names: Vec<_> = options
        .contenders
        .iter()
        .map(|entry| format!("{} {}", entry.name, (entry.version)()))
        .collect();
    let Options {
        rounds,
        seconds,
        warm_up,
        awake,
        apart,
        ..
    } = options;
    let rest = if *awake {
        "kept awake"
    } else {
        "free to sleep"
    };
    let share = if *apart {
        "half for each side"
    } else {
        "shared by both sides"
    };

    let title = format!(
        "{names}; commit {commit}; {compiler}; {count} × {processor}; {system}; {date}; processors {rest}, {share}. {rounds} interleaved rounds of \
         {seconds} s after {warm_up} s: medians and ranges. «a × b»: how many times better a is than b, by medians.\n",
        names = names.join(", "),
    );
    let seconds_since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let head = json!({
        "contenders": names, "commit": commit, "compiler": compiler, "processor": processor, "processors": count,
        "system": system, "date": date, "unix_time": seconds_since_1970,
        "rounds": rounds, "seconds": seconds, "warm_up_seconds": warm_up, "awake": awake, "apart": apart,
    });
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
        cell: cell::all()
            .into_iter()
            .find(|known| known.to_string() == *cell)
            .ok_or("no such cell")?,
        side,
        at: at.clone(),
        warm_up: Duration::from_millis(warm_up.parse()?),
        window: Duration::from_millis(window.parse()?),
    })
}

/// Beyond warm-up and window: for starting, connecting and settling.
const PATIENCE: Duration = Duration::from_secs(15);

const HELP: &str = "\
Measures jackstay, libzmq, omq-tokio and a bare tokio floor by turns, two processes a cell.

  --only PART,…   cells whose name contains one of these
  --with NAME,…   these contenders
  --rounds N      rounds a cell (5)
  --seconds S     measured window of a run (1)
  --quick         one round of 0.2 s: does everything work?
  --awake         keeps the processors from sleeping, for steady round trips
  --apart         gives each side half of the processors
  --json FILE     writes every sample there
  --list          prints the names of the cells";
