//! Asynchronous client and server: many requests under way at once (DEALER, ROUTER).
//!
//! ```text
//! cargo run --example dealer_router -- serve tcp://127.0.0.1:5570
//! cargo run --example dealer_router -- ask   tcp://127.0.0.1:5570 ada
//! ```
//!
//! The client sends ten requests before it looks at a reply; each carries a number of its own, as
//! replies come in the order in which they are ready. The server knows its clients by name.

use std::sync::Arc;
use std::time::Duration;

use jackstay::{DealerSocket, Identity, RouterSocket};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", at] => {
            let clients = Arc::new(RouterSocket::new());
            println!("bound to {}", clients.bind(at).await?);
            for request in 0u64.. {
                let (client, message) = clients.recv_from().await?;
                println!("{client} asks {:?}", message);
                let clients = clients.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(40 - request % 4 * 10)).await; // hard work
                    let mut reply = message;
                    reply.push_back("done");
                    clients.send_to(&client, reply).await
                });
            }
        }
        ["ask", at, name] => {
            let name = Identity::try_from(name)?;
            let server = DealerSocket::builder().identity(name)?.build();
            server.connect(at)?;
            for number in 0..10 {
                server.send(number.to_string()).await?;
            }
            for _ in 0..10 {
                let reply = server.recv().await?;
                println!("{} {}", reply[0].escape_ascii(), reply[1].escape_ascii());
            }
        }
        _ => return Err("usage: dealer_router serve AT | ask AT NAME".into()),
    }
    Ok(())
}
