//! Starts the other processes, prints the table, stops them and adds up.

use std::collections::HashMap;
use std::env;
use std::process::Stdio;
use std::time::Duration;

use jackstay::PullSocket;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::Outcome;

const TITLES: &str = "   ── pipeline, messages/s ────────────────────── \
    ── feed, messages/s ───────────────── ── service ───────";
const WORKERS: [&str; 3] = ["worker 1", "worker 2", "worker 3"];
const SUBSCRIBERS: [&str; 3] = ["all", "temp.", "temp.hall"];
const CLIENTS: [&str; 2] = ["client 1", "client 2"];
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn conduct(seconds: u64) -> Outcome {
    let mut interrupted = tokio::spawn(tokio::signal::ctrl_c());
    let reports = PullSocket::new();
    let mut cast = Cast::new(reports.bind("tcp://127.0.0.1:0").await?.to_string());
    let tasks = cast.start_bound("ventilator").await?;
    let results = cast.start_bound("sink").await?;
    cast.start(&WORKERS, &[&tasks, &results])?;
    let feed = cast.start_bound("publisher").await?;
    cast.start(&SUBSCRIBERS, &[&feed])?;
    let service = cast.start_bound("server").await?;
    cast.start(&CLIENTS, &[&service])?;

    println!("{TITLES}");
    println!(" s{} requests/s µs each", columns(str::to_owned));
    let mut score = Score::default();
    let begun = Instant::now();
    for second in 1..=seconds {
        let (last, from) = (score.done.clone(), Instant::now());
        let stopped = tokio::select! {
            _ = &mut interrupted => true,
            () = sleep_until(begun + Duration::from_secs(second)) => false,
            failed = score.listen(&reports, |_| false) => return failed,
        };
        println!("{second:2}{}", score.rates(&last, from.elapsed()));
        if stopped {
            break;
        }
    }

    // First those stop that begin something; then, when all of it has arrived, the others.
    cast.stop(&["ventilator", "publisher", "client 1", "client 2"]);
    let equal = |(_, sent, arrived)| sent == arrived;
    let settled = |score: &Score| score.finished == 4 && score.sums().into_iter().all(equal);
    let settled = timeout(PATIENCE, score.listen(&reports, settled)).await;
    println!();
    for (what, sent, arrived) in score.sums() {
        let verdict = match sent == arrived {
            true => "nothing lost",
            false => "LOST",
        };
        let (sent, arrived) = (grouped(sent), grouped(arrived));
        println!("{what:8} {sent:>12} sent {arrived:>12} arrived   {verdict}");
    }
    cast.end().await?;
    settled.map_err(|_| "what was sent and what arrived are not the same")?
}

/// The processes.
struct Cast {
    conductor: String,
    children: HashMap<&'static str, Child>,
}

impl Cast {
    fn new(conductor: String) -> Self {
        Self {
            conductor,
            children: HashMap::new(),
        }
    }

    fn start(&mut self, names: &[&'static str], peers: &[&str]) -> Outcome {
        for name in names {
            let mut command = Command::new(env::current_exe()?);
            command
                .args([name, &*self.conductor])
                .args(peers)
                .kill_on_drop(true);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            #[cfg(unix)]
            command.process_group(0); // ctrl-c is for the conductor alone
            self.children.insert(name, command.spawn()?);
        }
        Ok(())
    }

    /// Starts one that binds, and returns the endpoint that it prints.
    async fn start_bound(&mut self, name: &'static str) -> Outcome<String> {
        self.start(&[name], &[])?;
        let stdout = self
            .children
            .get_mut(name)
            .and_then(|child| child.stdout.take());
        let mut lines = BufReader::new(stdout.ok_or("no output")?).lines();
        Ok(lines
            .next_line()
            .await?
            .ok_or_else(|| format!("{name} did not start"))?)
    }

    fn stop(&mut self, names: &[&'static str]) {
        for name in names {
            self.children.get_mut(name).map(|child| child.stdin.take());
        }
    }

    /// Stops all, and waits for their ends.
    async fn end(self) -> Outcome {
        for (name, mut child) in self.children {
            let status = timeout(PATIENCE, child.wait()).await??;
            if !status.success() {
                return Err(format!("{name} failed: {status}").into());
            }
        }
        Ok(())
    }
}

/// What each process has done.
#[derive(Default)]
struct Score {
    done: HashMap<String, u64>,
    finished: usize,
}

impl Score {
    /// Reads reports until it is `enough`.
    async fn listen(&mut self, reports: &PullSocket, enough: impl Fn(&Self) -> bool) -> Outcome {
        while !enough(self) {
            let report = reports.recv().await?;
            let [name, done, state] = [0, 1, 2].map(|at| String::from_utf8_lossy(&report[at]));
            self.done.insert(name.into_owned(), done.parse()?);
            self.finished += usize::from(state == "finished");
        }
        Ok(())
    }

    /// What was sent and what arrived.
    fn sums(&self) -> [(&'static str, u64, u64); 3] {
        let sum = |names: &[&str]| names.iter().filter_map(|name| self.done.get(*name)).sum();
        [
            ("pipeline", sum(&["ventilator"]), sum(&["sink"])),
            ("feed", sum(&["publisher"]), sum(&SUBSCRIBERS)),
            ("service", sum(&CLIENTS), sum(&["server"])),
        ]
    }

    /// What was done since `last`, a second: the end of a row.
    fn rates(&self, last: &HashMap<String, u64>, time: Duration) -> String {
        let rate = |name: &str| {
            let [before, now] = [last, &self.done].map(|done| done.get(name).copied());
            (now.unwrap_or(0) - before.unwrap_or(0)) as f64 / time.as_secs_f64()
        };
        let rates = columns(|name| format!("{:.1}k", rate(name) / 1e3));
        let requests: f64 = CLIENTS.iter().map(|name| rate(name)).sum();
        let each = CLIENTS.len() as f64 / requests * 1e6;
        format!("{rates}{:>11}{each:>8.0}", grouped(requests as u64))
    }
}

/// What `cell` says of each process, below each other in all rows.
fn columns(cell: impl Fn(&str) -> String) -> String {
    let pipeline = ["ventilator"].iter().chain(&WORKERS).chain(&["sink"]);
    let names = pipeline.chain(&["publisher"]).chain(&SUBSCRIBERS);
    names
        .map(|name| format!("{:>1$}", cell(name), name.len().max(8) + 1))
        .collect()
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
