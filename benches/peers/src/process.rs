//! [`Process`]: a child of this program, and what it spends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use crate::tally::Fault;

/// A child, which does not outlive this value.
pub struct Process {
    child: Child,
    complaints: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts this program with other `arguments`, on the first or second `half` of the processors if that is given. What
    /// it prints goes to `lines`.
    pub fn start(
        arguments: &[String],
        half: Option<usize>,
        lines: SyncSender<String>,
    ) -> Result<Self, Fault> {
        let mut command = Command::new("sh");
        command.args(["-c", LIMITS, "sh"]);
        if let Some(half) = half {
            command.args(["taskset", "--cpu-list", &processors(half)?]);
        }
        let mut child = command
            .arg(this_program())
            .args(arguments)
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

    pub fn tell(&mut self, line: &str) -> Result<(), Fault> {
        let stdin = self.child.stdin.as_mut().ok_or("a child without pipes")?;
        Ok(writeln!(stdin, "{line}")?)
    }

    /// Seconds of processor time spent so far, as precise as the kernel's ticks.
    pub fn processor(&self) -> Result<f64, Fault> {
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

    /// Octets of memory: `VmRSS:` now, `RssFile:` those of files, which is code; or `VmHWM:` at their peak.
    pub fn memory(&self, which: &str) -> Result<f64, Fault> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(which))
            .ok_or("no memory is told")?;
        let kib: f64 = line.trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }

    /// Ends it, and gives what it wrote to its standard error.
    pub fn end(&mut self) -> String {
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
pub fn this_program() -> String {
    format!("/proc/{}/exe", std::process::id())
}

/// The first or the second half of the processors.
fn processors(half: usize) -> Result<String, Fault> {
    let all = thread::available_parallelism()?.get();
    let (first, last) = (half * all / 2, ((half + 1) * all / 2).saturating_sub(1));
    Ok(format!("{first}-{last}"))
}

/// A thousand connections need more files than many systems allow at first. Queues without a bound need more memory
/// than there is: they end at 16 GiB.
const LIMITS: &str = "ulimit -S -n $(ulimit -H -n); ulimit -S -v 16777216; exec \"$@\"";
/// More than the children of a run ever tell, unless a library is talkative.
pub const LINES: usize = 64;
/// Of the clock that `/proc` counts in, the same on every Linux.
const TICKS: f64 = 100.0;
