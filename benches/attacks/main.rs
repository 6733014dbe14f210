//! What hostile peers cost: each attack against a socket in a process of its own, and a healthy peer beside it.
//!
//! ```text
//! cargo bench --bench attacks --features curve            all of them, some two minutes
//! cargo bench --bench attacks --features curve -- PING    those whose name has this in it
//! ```
//!
//! Three processes: the socket under attack, the attacker, and this one, which plays the healthy peer and measures its
//! round trips, first in quiet, and then under attack. Between the two, the same attacker attacks a server that speaks no
//! protocol, and only accepts, reads and closes (`bare.rs`): what the attack costs whoever serves on this machine. It
//! prints a table, and fails if the healthy peer loses a message or a connection of the attacker ends otherwise than it has to.
//! An attack is a declaration in `attack.rs`.

mod attack;
mod bare;
mod healthy;
mod process;
mod victim;

#[path = "../../tests/support/mod.rs"]
mod support;

use support::raw;

use std::time::Duration;

use attack::{Attack, attacks};
use healthy::Healthy;
use process::{Process, as_a_server};

/// How long the healthy peer is measured: in quiet; while a bare server is attacked that it talks to; and while a socket is.
const QUIET: Duration = Duration::from_millis(1_500);
const BARE: Duration = Duration::from_millis(1_500);
const ATTACKED: Duration = Duration::from_millis(2_500);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [process::VICTIM, name] => {
            let victim = attack::named(name)?.victim;
            as_a_server(move || victim::run(victim))
        }
        [process::BARE, name] => {
            let bare = attack::named(name)?.bare();
            as_a_server(move || bare::run(bare))
        }
        [process::ATTACKER, name, at] => attack::run(attack::named(name)?, at).await,
        // A test run only proves that it builds.
        _ if !words.contains(&"--bench") => Ok(()),
        _ => {
            let wanted = words.iter().find(|word| !word.starts_with("--"));
            report(wanted.copied().unwrap_or_default()).await
        }
    }
}

/// Carries out the attacks whose name has `wanted` in it.
async fn report(wanted: &str) -> Outcome<()> {
    println!(
        "| attack | connections | how they ended | closed after | memory | p99 quiet | p99 bare server | p99 attacked | of quiet | of bare server |"
    );
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for attack in attacks().iter().filter(|each| each.name.contains(wanted)) {
        println!("{}", measure(attack).await?);
    }
    Ok(())
}

/// Carries out one attack; returns its line of the table.
async fn measure(attack: &Attack) -> Outcome<String> {
    let (mut victim, mut bare) = (Process::victim(attack)?, Process::bare(attack)?);
    let (at, elsewhere) = (victim.line()?, bare.line()?);
    let mut healthy = Healthy::connect(attack.victim, &at).await?;
    let quiet = healthy.round_trips(QUIET).await?;

    let mut without = Healthy::bare(&elsewhere).await?;
    let mut attacker = Process::attacker(attack, &elsewhere)?;
    attacker.line()?;
    let without = without.round_trips(BARE).await?;
    drop((attacker, bare));

    victim.ask("begin")?;
    let mut attacker = Process::attacker(attack, &at)?;
    attacker.line()?;
    let attacked = healthy.round_trips(ATTACKED).await?;
    let grown: f64 = victim.ask("memory")?.parse()?;
    let mut causes = Vec::new();
    let mut line = victim.ask("causes")?;
    while line != "." {
        causes.push(line);
        line = victim.line()?;
    }
    let seen = attacker.ask("end")?;
    let (connections, closed_after) = seen.split_once(' ').ok_or("not what an attacker says")?;
    let ended = attack.check(&causes)?;
    let of = |base: Duration| attacked.as_secs_f64() / base.as_secs_f64();
    Ok(format!(
        "| {} | {connections} | {ended} | {closed_after} | {grown:.1} MiB | {} | {} | {} | {:.1} | {:.1} |",
        attack.name,
        micros(quiet),
        micros(without),
        micros(attacked),
        of(quiet),
        of(without),
    ))
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
