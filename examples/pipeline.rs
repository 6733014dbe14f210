//! Pipeline: tasks go out to workers in turn, results come in from all of them (PUSH, PULL).
//!
//! ```text
//! cargo run --example pipeline -- sink       tcp://127.0.0.1:5558 1000
//! cargo run --example pipeline -- ventilator tcp://127.0.0.1:5557 1000
//! cargo run --example pipeline -- worker     tcp://127.0.0.1:5557 tcp://127.0.0.1:5558
//! ```
//!
//! Start as many workers as you like, when you like. The ends bind, since they are the ones that
//! everybody has to know; workers come and go.

use std::str::from_utf8;

use jackstay::{PullSocket, PushSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["ventilator", at, count] => {
            let tasks = PushSocket::new();
            println!("bound to {}", tasks.bind(at).await?);
            for number in 1..=count.parse::<u64>()? {
                // Waits while there is no worker, or none with room.
                tasks.send(number.to_string()).await?;
            }
            // Waits until everything is on its way, and is an error if it is not.
            tasks.close().await?;
        }
        ["worker", tasks_at, results_at] => {
            let (tasks, results) = (PullSocket::new(), PushSocket::new());
            tasks.connect(tasks_at)?;
            results.connect(results_at)?;
            loop {
                let task = tasks.recv().await?;
                let number: u64 = from_utf8(task.first())?.parse()?;
                results.send((number * number).to_string()).await?;
            }
        }
        ["sink", at, count] => {
            let results = PullSocket::new();
            println!("bound to {}", results.bind(at).await?);
            let mut sum = 0;
            for _ in 0..count.parse()? {
                let result = results.recv().await?;
                sum += from_utf8(result.first())?.parse::<u64>()?;
            }
            println!("{count} results, their sum is {sum}");
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

const USAGE: &str = "usage: pipeline ventilator AT COUNT | worker TASKS RESULTS | sink AT COUNT";
