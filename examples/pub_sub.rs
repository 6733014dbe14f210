//! Publish–subscribe: each message goes to everybody who wants it (PUB, SUB).
//!
//! ```text
//! cargo run --example pub_sub -- publish   tcp://127.0.0.1:5556
//! cargo run --example pub_sub -- subscribe tcp://127.0.0.1:5556 temp. wind.
//! ```
//!
//! Start and stop either side when you like: the publisher does not care, and a subscriber finds
//! it again. It misses what is published in the meantime. Without a topic it gets everything.

use std::time::Duration;

use jackstay::{PubSocket, SubSocket};
use tokio::time::interval;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["publish", at] => {
            let feed = PubSocket::new();
            println!("bound to {}", feed.bind(at).await?);
            let mut beat = interval(Duration::from_millis(100));
            for reading in 0.. {
                beat.tick().await;
                for topic in ["temp.hall", "temp.attic", "wind.roof", "rain.roof"] {
                    // Never waits: who is not there, or too slow, misses it.
                    feed.send((topic, format!("{}", reading % 30))).await?;
                }
            }
        }
        ["subscribe", at, ref topics @ ..] => {
            let feed = SubSocket::new();
            feed.connect(at)?;
            if topics.is_empty() {
                feed.subscribe("")?;
            }
            for topic in topics {
                feed.subscribe(topic)?; // whatever starts with it
            }
            loop {
                let message = feed.recv().await?;
                let [topic, reading] = [0, 1].map(|frame| message[frame].escape_ascii());
                println!("{topic} {reading}");
            }
        }
        _ => return Err("usage: pub_sub publish AT | subscribe AT [TOPIC]...".into()),
    }
    Ok(())
}
