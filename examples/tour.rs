//! The tour: twelve processes of this one example at work together, and a table that shows it.
//!
//! ```text
//! cargo run --release --example tour [-- --seconds N]
//! ```
//!
//! * a pipeline: a ventilator deals tasks out to three workers, which push results to a sink;
//! * a feed: a publisher and three subscribers, each with a filter of its own;
//! * a service: two clients ask, one server replies.
//!
//! The first process, the conductor, starts the others: the same program with a role for an argument. Each tells the
//! conductor how far it is over one more pipeline, and stops when its standard input ends: so none outlives the
//! conductor. At the end everything that was sent has to have arrived.

use std::cell::Cell;
use std::collections::HashMap;
use std::env;
use std::io::{Read, stdin};
use std::process::Stdio;
use std::time::Duration;

use jackstay::{PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, SubSocket};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => conduct(6).await,
        ["--seconds", seconds] => conduct(seconds.parse()?).await,
        [name, reports, ref peers @ ..] => {
            let role = Role::new(name, reports)?;
            match (name.split(' ').next(), peers) {
                (Some("ventilator"), []) => ventilator(role).await,
                (Some("worker"), [from, to]) => worker(role, from, to).await,
                (Some("sink"), []) => sink(role).await,
                (Some("publisher"), []) => publisher(role).await,
                (Some("subscriber"), [from, topic]) => subscriber(role, from, topic).await,
                (Some("server"), []) => server(role).await,
                (Some("client"), [to]) => client(role, to).await,
                _ => Err(USAGE.into()),
            }
        }
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "usage: tour [--seconds N]";

// ---------------------------------------------------------------------------------------------------------- pipeline

async fn ventilator(role: Role<'_>) -> Outcome {
    let tasks = PushSocket::new();
    println!("{}", tasks.bind("tcp://127.0.0.1:0").await?);
    let work = async {
        tasks.wait_for_peers(3).await;
        while role.goes_on() {
            // Waits while every worker is busy: the sink's pace is everybody's pace.
            tasks.send([b'.'; 64].to_vec()).await?;
        }
        Ok(())
    };
    role.perform(work, || tasks.stats().messages_sent).await?;
    Ok(tasks.close().await?)
}

async fn worker(role: Role<'_>, from: &str, to: &str) -> Outcome {
    let (tasks, results) = (PullSocket::new(), PushSocket::new());
    tasks.connect(from)?;
    results.connect(to)?;
    let work = async {
        while let Some(task) = role.until_stop(tasks.recv()).await {
            results.send(task?).await?;
        }
        Ok(())
    };
    role.perform(work, || results.stats().messages_sent).await?;
    Ok(results.close().await?)
}

async fn sink(role: Role<'_>) -> Outcome {
    let results = PullSocket::new();
    println!("{}", results.bind("tcp://127.0.0.1:0").await?);
    let count = Cell::new(0);
    let work = async {
        while let Some(result) = role.until_stop(results.recv()).await {
            result?;
            count.set(count.get() + 1);
        }
        Ok(())
    };
    role.perform(work, || count.get()).await
}

// -------------------------------------------------------------------------------------------------------------- feed

async fn publisher(role: Role<'_>) -> Outcome {
    let feed = PubSocket::new();
    println!("{}", feed.bind("tcp://127.0.0.1:0").await?);
    let work = async {
        feed.wait_for_subscribers(3).await;
        let mut beat = interval(Duration::from_millis(1));
        while role.goes_on() {
            beat.tick().await;
            for reading in 0..10 {
                for topic in ["temp.hall", "temp.attic", "wind.roof", "rain.roof"] {
                    feed.send((topic, reading.to_string())).await?;
                }
            }
        }
        Ok(())
    };
    // One message for three subscribers counts three times: this is how many have to arrive.
    role.perform(work, || feed.stats().messages_sent).await?;
    Ok(feed.close().await?)
}

async fn subscriber(role: Role<'_>, from: &str, topic: &str) -> Outcome {
    let feed = SubSocket::new();
    feed.subscribe(topic)?;
    feed.connect(from)?;
    let count = Cell::new(0);
    let work = async {
        while let Some(reading) = role.until_stop(feed.recv()).await {
            assert!(reading?.first().starts_with(topic.as_bytes()));
            count.set(count.get() + 1);
        }
        Ok(())
    };
    role.perform(work, || count.get()).await
}

// ----------------------------------------------------------------------------------------------------------- service

async fn server(role: Role<'_>) -> Outcome {
    let service = RepSocket::new();
    println!("{}", service.bind("tcp://127.0.0.1:0").await?);
    let work = async {
        while let Some(request) = role.until_stop(service.accept()).await {
            let request = request?;
            let reply = request.message().clone();
            request.reply(reply).await?;
        }
        Ok(())
    };
    role.perform(work, || service.stats().messages_received).await
}

async fn client(role: Role<'_>, to: &str) -> Outcome {
    let mut service = ReqSocket::new();
    service.connect(to)?;
    let count = Cell::new(0);
    let work = async {
        while role.goes_on() {
            service.request("what time is it?").await?;
            count.set(count.get() + 1);
        }
        Ok(())
    };
    role.perform(work, || count.get()).await
}

// ---------------------------------------------------------------------------------------------------- what they share

/// One process of the tour.
struct Role<'a> {
    name: &'a str,
    reports: PushSocket,
    stop: CancellationToken,
}

impl<'a> Role<'a> {
    fn new(name: &'a str, conductor: &str) -> Outcome<Self> {
        let reports = PushSocket::new();
        reports.connect(conductor)?;
        let stop = CancellationToken::new();
        let token = stop.clone();
        // A thread of its own, since a task that reads standard input would hold up the end of the runtime.
        std::thread::spawn(move || {
            let _ = stdin().read_to_end(&mut Vec::new());
            token.cancel();
        });
        Ok(Self { name, reports, stop })
    }

    fn goes_on(&self) -> bool {
        !self.stop.is_cancelled()
    }

    async fn until_stop<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(next).await
    }

    /// Does `work` to its end, and tells the conductor ten times a second what has been done.
    async fn perform(&self, work: impl Future<Output = Outcome>, done: impl Fn() -> u64) -> Outcome {
        tokio::pin!(work);
        let mut beat = interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                outcome = &mut work => break outcome?,
                _ = beat.tick() => self.reports.send([self.name.to_owned(), done().to_string()]).await?,
            }
        }
        self.reports.send([self.name.to_owned(), done().to_string(), "finished".to_owned()]).await?;
        Ok(self.reports.close().await?)
    }
}

// --------------------------------------------------------------------------------------------------------- conductor

async fn conduct(seconds: u64) -> Outcome {
    let reports = PullSocket::new();
    let mut cast = Cast { conductor: reports.bind("tcp://127.0.0.1:0").await?.to_string(), children: Vec::new() };
    let tasks = cast.start_bound("ventilator").await?;
    let results = cast.start_bound("sink").await?;
    for worker in ["worker 1", "worker 2", "worker 3"] {
        cast.start(worker, &[&tasks, &results])?;
    }
    let feed = cast.start_bound("publisher").await?;
    for (subscriber, topic) in [("subscriber 1", ""), ("subscriber 2", "temp."), ("subscriber 3", "temp.hall")] {
        cast.start(subscriber, &[&feed, topic])?;
    }
    let service = cast.start_bound("server").await?;
    cast.start("client 1", &[&service])?;
    cast.start("client 2", &[&service])?;

    println!("{HEADER}");
    let mut score = Score::default();
    let begun = Instant::now();
    for second in 1..=seconds {
        let before = score.clone();
        let from = Instant::now();
        let next = begun + Duration::from_secs(second);
        let go_on = tokio::select! {
            _ = tokio::signal::ctrl_c() => false,
            outcome = score.read(&reports) => return outcome,
            () = tokio::time::sleep_until(next) => true,
        };
        println!("{second:>6}  {}", score.since(&before, from.elapsed()));
        if !go_on {
            break;
        }
    }

    // First those stop that send of their own accord; then, when all of theirs has arrived, the others.
    cast.stop(&["ventilator", "publisher", "client 1", "client 2"]);
    let settled = async {
        while !(score.finished == 4 && score.balance().iter().all(|(sent, arrived)| sent == arrived)) {
            score.read_one(&reports).await?;
        }
        Outcome::Ok(())
    };
    let settled = timeout(Duration::from_secs(10), settled).await;
    Ok(())
}
