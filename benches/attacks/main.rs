//! What hostile peers cost: each attack against a socket in a process of its own, and a healthy peer beside it.
//!
//! ```text
//! cargo bench --bench attacks --features curve            all of them, some three minutes
//! cargo bench --bench attacks --features curve -- PING    those whose name has this in it
//! ```
//!
//! Three processes: the socket under attack, the attacker, at the lowest priority, since a real one has processors of its
//! own, and this one, which plays the healthy peer and measures its round trips, first in quiet, and last under attack.
//! Between the two, the same attacker attacks a neighbour, which is the same socket in a process of its own: what the attack
//! costs whoever shares the machine's processors with its two sides. It prints a table, and fails if the healthy peer loses
//! a message or a connection of the attacker ends otherwise than it has to.
//! An attack is a declaration in `attack.rs`.

mod attack;
mod healthy;
mod process;
mod victim;

#[path = "../../tests/support/mod.rs"]
mod support;

use support::raw;

use std::time::Duration;

use attack::{Attack, attacks};
use healthy::Healthy;
use process::Process;

/// How long the healthy peer is measured in quiet, and while somebody is attacked: a neighbour, and the socket that it
/// talks to.
const QUIET: Duration = Duration::from_millis(1_500);
const ATTACKED: Duration = Duration::from_millis(2_500);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [process::VICTIM, name] => {
            let victim = attack::named(name)?.victim;
            process::as_a_server(move || victim::run(victim))
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
        "| attack | connections | how they ended | closed after | memory | p99 quiet | p99 neighbour attacked | p99 attacked | × quiet | × neighbour |"
    );
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for attack in attacks().iter().filter(|each| each.name.contains(wanted)) {
        println!("{}", measure(attack).await?);
    }
    Ok(())
}

/// Carries out one attack; returns its line of the table.
async fn measure(attack: &Attack) -> Outcome<String> {
    let (mut victim, mut neighbour) = (Process::victim(attack)?, Process::victim(attack)?);
    let (at, next_door) = (victim.line()?, neighbour.line()?);
    let mut healthy = Healthy::connect(attack.victim, &at).await?;
    // Both have one, so that the attacker finds the same.
    let its_own = Healthy::connect(attack.victim, &next_door).await?;
    let quiet = healthy.round_trips(QUIET).await?;

    let mut attacker = Process::attacker(attack, &next_door)?;
    attacker.line()?;
    let beside = healthy.round_trips(ATTACKED).await?;
    drop((attacker, its_own, neighbour));

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
        micros(beside),
        micros(attacked),
        of(quiet),
        of(beside),
    ))
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
