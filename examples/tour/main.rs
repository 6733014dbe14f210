//! The tour: thirteen processes of this one example at work together, and a table that shows it.
//!
//! ```text
//! cargo run --release --example tour [-- --seconds N]
//! ```
//!
//! * a pipeline: a ventilator deals tasks out to three workers, which push results to a sink;
//! * a feed: a publisher, and three subscribers with a filter each;
//! * a service: two clients ask, a server replies.
//!
//! The first process is the conductor (`conductor.rs`). It starts the others: this program again,
//! with a role and endpoints for arguments. The roles are here, and with them all messaging.

mod conductor;

use std::cell::Cell;
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use jackstay::{PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, SubSocket};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => conductor::conduct(6).await,
        ["--seconds", seconds] => conductor::conduct(seconds.parse()?).await,
        [name, conductor, ref peers @ ..] => {
            let role = Role::new(name, conductor)?;
            role.perform(play(&role, peers)).await
        }
        _ => Err(USAGE.into()),
    }
}

async fn play(role: &Role<'_>, peers: &[&str]) -> Outcome {
    match (role.name, peers) {
        ("ventilator", []) => ventilator(role).await,
        ("worker 1" | "worker 2" | "worker 3", [from, to]) => worker(role, from, to).await,
        ("sink", []) => sink(role).await,
        ("publisher", []) => publisher(role).await,
        ("all" | "temp." | "temp.hall", [feed]) => subscriber(role, feed).await,
        ("server", []) => server(role).await,
        ("client 1" | "client 2", [service]) => client(role, service).await,
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "usage: tour [--seconds N]";

// --- the pipeline: each message to one worker, and no queue beyond its mark ----------------------

async fn ventilator(role: &Role<'_>) -> Outcome {
    let tasks = PushSocket::new();
    println!("{}", tasks.bind("tcp://127.0.0.1:0").await?);
    role.until_stop(tasks.wait_for_peers(3)).await.transpose()?;
    while !role.stop.is_cancelled() {
        tasks.send(vec![b'.'; 64]).await?; // waits while all workers are busy
        role.count();
    }
    Ok(tasks.close().await?) // an error if something could not be delivered
}

async fn worker(role: &Role<'_>, from: &str, to: &str) -> Outcome {
    let (tasks, results) = (PullSocket::new(), PushSocket::new());
    tasks.connect(from)?;
    results.connect(to)?;
    while let Some(task) = role.until_stop(tasks.recv()).await {
        results.send(task?).await?;
        role.count();
    }
    Ok(results.close().await?)
}

async fn sink(role: &Role<'_>) -> Outcome {
    let results = PullSocket::new();
    println!("{}", results.bind("tcp://127.0.0.1:0").await?);
    while let Some(result) = role.until_stop(results.recv()).await {
        assert_eq!(result?.size(), 64);
        role.count();
    }
    Ok(())
}

// --- the feed: each message to all who want it, and nobody waits for anybody ---------------------

async fn publisher(role: &Role<'_>) -> Outcome {
    let feed = PubSocket::new();
    println!("{}", feed.bind("tcp://127.0.0.1:0").await?);
    role.until_stop(feed.wait_for_subscribers(3))
        .await
        .transpose()?;
    let mut beat = interval(Duration::from_millis(1));
    while !role.stop.is_cancelled() {
        beat.tick().await;
        for topic in ["temp.hall", "temp.attic", "wind.roof", "rain.roof"].repeat(5) {
            feed.send((topic, "21.5")).await?;
        }
        // A message counts once for each subscriber that it was queued for.
        role.done.set(feed.stats().messages_sent);
    }
    Ok(feed.close().await?)
}

async fn subscriber(role: &Role<'_>, from: &str) -> Outcome {
    let topic = if role.name == "all" { "" } else { role.name };
    let feed = SubSocket::new();
    feed.subscribe(topic)?;
    feed.connect(from)?;
    while let Some(reading) = role.until_stop(feed.recv()).await {
        assert!(reading?.first().starts_with(topic.as_bytes()));
        role.count();
    }
    Ok(())
}

// --- the service: each request has its reply -----------------------------------------------------

async fn server(role: &Role<'_>) -> Outcome {
    let service = RepSocket::new();
    println!("{}", service.bind("tcp://127.0.0.1:0").await?);
    while let Some(request) = role.until_stop(service.accept()).await {
        request?.reply("noon").await?;
        role.count();
    }
    Ok(())
}

async fn client(role: &Role<'_>, to: &str) -> Outcome {
    let mut service = ReqSocket::new();
    service.connect(to)?;
    while !role.stop.is_cancelled() {
        assert_eq!(service.request("what time is it?").await?, "noon");
        role.count();
    }
    Ok(())
}

// --- what all roles share ------------------------------------------------------------------------

struct Role<'a> {
    name: &'a str,
    /// How many messages it has dealt with.
    done: Cell<u64>,
    /// The way to the conductor.
    reports: PushSocket,
    /// Cancelled when the conductor closes our standard input, or is gone.
    stop: CancellationToken,
}

impl<'a> Role<'a> {
    fn new(name: &'a str, conductor: &str) -> Outcome<Self> {
        let (reports, stop) = (PushSocket::new(), CancellationToken::new());
        reports.connect(conductor)?;
        let cancel = stop.clone();
        // A thread, since a task that reads standard input would hold up the end of the runtime.
        std::thread::spawn(move || {
            let _ = stdin().read_to_end(&mut Vec::new());
            cancel.cancel();
        });
        Ok(Self {
            name,
            done: Cell::new(0),
            reports,
            stop,
        })
    }

    /// What comes next, or `None` when it is time to stop: a `recv` that is dropped loses nothing.
    async fn until_stop<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(next).await
    }

    fn count(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// Does `work` to its end, and tells the conductor ten times a second how far it is.
    async fn perform(&self, work: impl Future<Output = Outcome>) -> Outcome {
        tokio::pin!(work);
        let mut beat = interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                outcome = &mut work => break outcome?,
                _ = beat.tick() => self.report("at work").await?,
            }
        }
        self.report("finished").await?;
        Ok(self.reports.close().await?)
    }

    async fn report(&self, state: &str) -> Outcome {
        let (name, done) = (self.name.to_owned(), self.done.get().to_string());
        Ok(self.reports.send([name, done, state.to_owned()]).await?)
    }
}
