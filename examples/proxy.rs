//! Proxies: a fixed address between two crowds that come and go.
//!
//! ```text
//! cargo run --example proxy -- forwarder tcp://127.0.0.1:5561 tcp://127.0.0.1:5562
//! cargo run --example proxy -- queue     tcp://127.0.0.1:5563 tcp://127.0.0.1:5564
//! cargo run --example proxy -- streamer  tcp://127.0.0.1:5565 tcp://127.0.0.1:5566
//! ```
//!
//! | role      | connect to the first | connect to the second |
//! | --------- | -------------------- | --------------------- |
//! | forwarder | PUB, XPUB            | SUB, XSUB             |
//! | queue     | REQ, DEALER          | REP, DEALER           |
//! | streamer  | PUSH                 | PULL                  |
//!
//! Ctrl-c stops it; it then says what it has forwarded.

use jackstay::{DealerSocket, Proxy, PullSocket, PushSocket, RouterSocket, XPubSocket, XSubSocket};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["forwarder", publishers_at, subscribers_at] => {
            let (publishers, subscribers) = (XSubSocket::new(), XPubSocket::new());
            println!("bound to {}", publishers.bind(publishers_at).await?);
            println!("bound to {}", subscribers.bind(subscribers_at).await?);
            // Messages go from the first to the second, subscriptions the other way.
            forward(Proxy::new(&publishers, &subscribers)).await
        }
        ["queue", clients_at, services_at] => {
            let (clients, services) = (RouterSocket::new(), DealerSocket::new());
            println!("bound to {}", clients.bind(clients_at).await?);
            println!("bound to {}", services.bind(services_at).await?);
            forward(Proxy::new(&clients, &services)).await
        }
        ["streamer", sources_at, workers_at] => {
            let (sources, workers) = (PullSocket::new(), PushSocket::new());
            println!("bound to {}", sources.bind(sources_at).await?);
            println!("bound to {}", workers.bind(workers_at).await?);
            forward(Proxy::new(&sources, &workers)).await
        }
        _ => Err("usage: proxy forwarder|queue|streamer AT AT".into()),
    }
}

async fn forward(mut proxy: Proxy<'_>) -> Outcome {
    let control = proxy.control();
    tokio::select! {
        closed = proxy.run() => closed?,
        _ = tokio::signal::ctrl_c() => {}
    }
    let stats = control.stats();
    println!(
        "{} forth, {} back",
        stats.messages_to_back, stats.messages_to_front
    );
    Ok(())
}
