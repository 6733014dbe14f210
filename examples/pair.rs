//! Exclusive pair: two ends and nobody else (PAIR). Here, a chat.
//!
//! ```text
//! cargo run --example pair -- bind    tcp://127.0.0.1:5580
//! cargo run --example pair -- connect tcp://127.0.0.1:5580
//! ```
//!
//! Type in either terminal; end with ctrl-d. A third one is refused until one leaves.

use jackstay::PairSocket;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let pair = PairSocket::new();
    match args[..] {
        ["bind", at] => println!("bound to {}", pair.bind(at).await?),
        ["connect", at] => pair.connect(at)?,
        _ => return Err("usage: pair bind AT | connect AT".into()),
    }
    let mut typed = BufReader::new(stdin()).lines();
    loop {
        // Whichever is first; to drop the other loses nothing.
        tokio::select! {
            message = pair.recv() => println!("> {}", message?[0].escape_ascii()),
            line = typed.next_line() => match line? {
                Some(line) => pair.send(line).await?,
                None => break,
            },
        }
    }
    pair.close().await?; // delivers what was typed last
    Ok(())
}
