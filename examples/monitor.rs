//! Monitor: what happens to a socket's connections, as it happens.
//!
//! ```text
//! cargo run --example monitor -- tcp://127.0.0.1:5556
//! cargo run --example pub_sub -- publish tcp://127.0.0.1:5556
//! ```
//!
//! Start and stop the publisher and see the subscriber look for it; or let something else listen
//! there, and see why the two do not get along. Calls do not fail for that: a peer's faults are
//! told here and nowhere else.

use jackstay::{EventKind, SubSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let at = std::env::args().nth(1).ok_or("usage: monitor AT")?;
    let socket = SubSocket::new();
    let mut events = socket.monitor(); // from now on
    socket.subscribe("")?;
    socket.connect(at)?;
    while let Some(event) = events.recv().await {
        println!("{event}");
        if let EventKind::HandshakeSucceeded = event.kind {
            for peer in socket.peers() {
                println!(
                    "  a {} that speaks {:?}",
                    peer.socket_type(),
                    peer.version()
                );
            }
        }
    }
    Ok(())
}
