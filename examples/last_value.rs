//! Last value: only the newest message of a topic is of interest (XPUB, SUB with `conflate`).
//!
//! ```text
//! cargo run --example last_value -- publish tcp://127.0.0.1:5590
//! cargo run --example last_value -- watch   tcp://127.0.0.1:5590 ship.2
//! ```
//!
//! The publisher sees who subscribes and repeats the last value for them, so that they need not
//! wait for the next. A watcher looks every now and then, and always finds the newest.

use std::collections::HashMap;
use std::time::Duration;

use jackstay::{SubSocket, Subscription, Verbosity, XPubSocket};
use tokio::time::{interval, sleep};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["publish", at] => {
            // Every subscription is told, not only the first to a topic.
            let verbosity = Verbosity::Subscriptions;
            let feed = XPubSocket::builder().verbosity(verbosity).build();
            println!("bound to {}", feed.bind(at).await?);
            let mut last = HashMap::from([("ship.1", 0), ("ship.2", 0)]);
            let mut beat = interval(Duration::from_millis(1));
            loop {
                tokio::select! {
                    subscription = feed.recv_subscription() => {
                        let Subscription::Subscribe(_, topic) = subscription? else { continue };
                        for (ship, position) in &last {
                            if ship.as_bytes().starts_with(&topic) {
                                feed.send([ship.to_string(), position.to_string()]).await?;
                            }
                        }
                    }
                    _ = beat.tick() => {
                        for (ship, position) in &mut last {
                            *position += 1;
                            feed.send([ship.to_string(), position.to_string()]).await?;
                        }
                    }
                }
            }
        }
        ["watch", at, topic] => {
            let feed = SubSocket::builder().conflate(true).build();
            feed.subscribe(topic)?;
            feed.connect(at)?;
            loop {
                let message = feed.recv().await?;
                let [ship, position] = [0, 1].map(|frame| message[frame].escape_ascii());
                println!("{ship} is at {position}");
                sleep(Duration::from_millis(100)).await; // meanwhile, a hundred more arrive
            }
        }
        _ => Err("usage: last_value publish AT | watch AT TOPIC".into()),
    }
}
