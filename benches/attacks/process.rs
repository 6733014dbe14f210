//! The other processes: this program again, told by its arguments what to be.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Outcome;
use crate::attack::Attack;

/// What the arguments of a process begin with.
pub const VICTIM: &str = "--victim";
pub const ATTACKER: &str = "--attacker";

/// A process that answers each line with one, or more. Dropped, it is killed.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Its first line says where it is bound.
    pub fn victim(attack: &Attack) -> Outcome<Self> {
        let limit = attack.victim.files();
        let limited = limit.map_or(String::new(), |files| format!("ulimit -n {files} && "));
        Self::start(&format!("{limited}exec"), &[VICTIM, attack.name])
    }

    /// Its first line says that the attack has begun.
    pub fn attacker(attack: &Attack, at: &str) -> Outcome<Self> {
        Self::start("exec nice -n 19", &[ATTACKER, attack.name, at])
    }

    /// `how`: what the shell is told to begin this program with.
    fn start(how: &str, args: &[&str]) -> Outcome<Self> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{how} \"$0\" \"$@\"")])
            .arg(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self {
            child,
            input,
            output,
        })
    }

    pub fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("a process ended too early".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Says something, and waits for the answer's first line.
    pub fn ask(&mut self, what: &str) -> Outcome<String> {
        writeln!(self.input, "{what}")?;
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves on more than the one thread of the program's own runtime, as servers do.
pub fn as_a_server<F: Future<Output = Outcome<()>>>(
    serve: impl FnOnce() -> F + Send + 'static,
) -> Outcome<()> {
    let server = std::thread::spawn(move || -> Result<(), String> {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        let served = runtime.block_on(serve());
        served.map_err(|error| error.to_string())
    });
    server.join().map_err(|_| "it panicked")??;
    Ok(())
}

/// The lines that this process is told, in a thread of their own.
pub fn told() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, lines) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}
