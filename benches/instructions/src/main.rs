//! How many instructions a message costs, beside what it cost when that was last recorded.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/instructions/Cargo.toml               # fails if one costs 10 % more
//! $ cargo run --release --manifest-path benches/instructions/Cargo.toml -- --record   # these are the figures from now on
//! ```
//!
//! Time depends on the machine and its neighbours; the number of instructions hardly does. Each case runs twice under
//! valgrind, once doing something twice as often, and the difference counts. So what is done once is left out.

mod cases;
mod script;

use std::error::Error;
use std::fmt::Write;
use std::process::{Command, ExitCode, Output};
use std::{env, fs};

use crate::cases::{CASES, Case};

type Fault = Box<dyn Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => compare(),
        ["--record"] => record(),
        ["--run", name, count] => run(name, count).map(|()| ExitCode::SUCCESS),
        _ => Err("usage: jackstay-instructions [--record]".into()),
    };
    done.unwrap_or_else(|fault| {
        eprintln!("{fault}");
        ExitCode::FAILURE
    })
}

/// Prints what each case costs and cost, and fails if one costs more.
fn compare() -> Result<ExitCode, Fault> {
    let recorded = fs::read_to_string(RECORDED)?;
    let mut slower = Vec::new();
    let mut faster = false;
    println!("{:<36}{:>10}{:>10}", "instructions", "now", "recorded");
    for case in CASES {
        let now = count(case)?;
        let Some(before) = figure(&recorded, case.name) else {
            println!("{:<36}{now:>10.1}{:>10}", case.name, "–");
            faster = true;
            continue;
        };
        let change = (now / before - 1.0) * 100.0;
        println!("{:<36}{now:>10.1}{before:>10.1}  {change:+.1} %", case.name);
        if change > TOLERANCE {
            slower.push(case.name);
        }
        faster |= change < -TOLERANCE;
    }
    let (ours, theirs) = (compiler()?, recorded.lines().nth(1).unwrap_or_default());
    if !theirs.ends_with(&ours) {
        println!("Nothing is concluded: recorded with another compiler than {ours}. {RECORD_ANEW}");
    } else if !slower.is_empty() {
        let slower = slower.join(", ");
        eprintln!(
            "More than {TOLERANCE} % above what was recorded: {slower}.\nFind out why. If it has to be, say so in the \
             commit that records it. {RECORD_ANEW}"
        );
        return Ok(ExitCode::FAILURE);
    } else if faster {
        println!("Some cost less than was recorded, or are new. {RECORD_ANEW}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts, and writes the figures down.
fn record() -> Result<ExitCode, Fault> {
    let compiler = compiler()?;
    let mut text = format!(
        "# Instructions on {ARCH}, written by `jackstay-instructions --record`\n# with {compiler}\n",
        ARCH = env::consts::ARCH
    );
    for case in CASES {
        writeln!(text, "{:<36}{:>10.1}", case.name, count(case)?)?;
    }
    print!("{text}");
    fs::write(RECORDED, text)?;
    Ok(ExitCode::SUCCESS)
}

/// The figure of a case in what was recorded.
fn figure(recorded: &str, name: &str) -> Option<f64> {
    let mut lines = recorded.lines();
    lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The instructions of one time.
fn count(case: &Case) -> Result<f64, Fault> {
    let few = instructions(case.name, case.count)?;
    let many = instructions(case.name, 2 * case.count)?;
    Ok((many - few) / case.count as f64)
}

/// The instructions of a process that runs the case `name`, doing it `count` times.
fn instructions(name: &str, count: usize) -> Result<f64, Fault> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg("--cachegrind-out-file=/dev/null")
        .arg(env::current_exe()?)
        .args(["--run", name, &count.to_string()])
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .output()
        .map_err(|error| format!("valgrind is needed: apt-get install valgrind ({error})"))?;
    let Output { status, stderr, .. } = output;
    let report = String::from_utf8_lossy(&stderr);
    if !status.success() {
        return Err(format!("{name}: {status}\n{report}").into());
    }
    let line = report.lines().find_map(|line| line.split_once("refs:"));
    let (_, total) = line.ok_or_else(|| format!("no count in what valgrind says:\n{report}"))?;
    Ok(total.trim().replace(',', "").parse()?)
}

/// What a process under valgrind does.
fn run(name: &str, count: &str) -> Result<(), Fault> {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.ok_or("no such case")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    (case.run)(&runtime, count.parse()?);
    Ok(())
}

fn compiler() -> Result<String, Fault> {
    let output = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded.txt");
const RECORD_ANEW: &str = "To record anew: cargo run --release --manifest-path benches/instructions/Cargo.toml -- --record";
/// What a case may cost more than was recorded, in percent.
const TOLERANCE: f64 = 10.0;
/// glibc copies memory in the same way on each processor: with more instructions than it could on most.
const PLAIN_COPIES: &str =
    "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";
