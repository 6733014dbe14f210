//! What a server has to bear in any case: one that speaks no protocol, and only accepts, reads and closes.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::Outcome;
use crate::healthy::NAME;
use crate::process::told;

/// What such a server does with those who are not the healthy peer.
#[derive(Debug, Clone, Copy)]
pub struct Bare {
    /// Whether it closes them after their first words; else it reads them for ever.
    pub closes: bool,
    /// How many connections it has at most; it closes those that come then.
    pub most: usize,
}

/// Is attacked until its input ends. Whoever says the healthy peer's name has it all back.
pub async fn run(bare: Bare) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(bare.most));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            if let Ok(place) = places.clone().try_acquire_owned() {
                let _ = stream.set_nodelay(true);
                tokio::spawn(async move {
                    let _place = place;
                    read(stream, bare.closes).await;
                });
            }
        }
    });
    while told().recv().await.is_some() {}
    Ok(())
}

async fn read(mut stream: TcpStream, closes: bool) {
    let mut octets = vec![0; 8 << 10];
    while let Ok(n @ 1..) = stream.read(&mut octets).await {
        if octets.starts_with(NAME.as_bytes()) {
            if stream.write_all(&octets[..n]).await.is_err() {
                return;
            }
        } else if closes {
            return;
        }
    }
}
