//! Load balancing by demand: a task goes to the worker that asked for it first (ROUTER, REQ).
//!
//! ```text
//! cargo run --example load_balancer -- broker tcp://127.0.0.1:5571 tcp://127.0.0.1:5572
//! cargo run --example load_balancer -- worker tcp://127.0.0.1:5572 bob
//! cargo run --example load_balancer -- ask    tcp://127.0.0.1:5571 "a question"
//! ```
//!
//! PUSH deals out in turn, whoever is how slow. Here a worker says when it is ready, and gets one
//! task at a time. Clients see a plain service, as with a REP.

use std::collections::VecDeque;

use jackstay::{Identity, Message, OnPeerLoss, ReqSocket, RouterSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["broker", clients_at, workers_at] => broker(clients_at, workers_at).await,
        ["worker", at, name] => {
            // Should the broker restart, this worker offers itself to the new one.
            let again = OnPeerLoss::Resend;
            let mut broker = ReqSocket::builder().on_peer_loss(again).build();
            broker.connect(at)?;
            let mut result = Message::from("ready");
            loop {
                // A worker *asks* for work; its next question carries the result of the last.
                let task = broker.request(result).await?;
                let question = &task[task.len() - 1];
                let answer = format!("{name} says: {}? Yes.", question.escape_ascii());
                // What stands before the question names the client; it goes back as it came.
                let envelope = task.len() - 1;
                result = task.into_frames().take(envelope).collect();
                result.push_back(answer);
            }
        }
        ["ask", at, question] => {
            let mut service = ReqSocket::new();
            service.connect(at)?;
            let reply = service.request(question.to_owned()).await?;
            println!("{}", reply[0].escape_ascii());
            Ok(())
        }
        _ => Err("usage: load_balancer broker CLIENTS WORKERS | worker AT NAME | ask AT X".into()),
    }
}

async fn broker(clients_at: &str, workers_at: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (clients, workers) = (RouterSocket::new(), RouterSocket::new());
    println!("bound to {}", clients.bind(clients_at).await?);
    println!("bound to {}", workers.bind(workers_at).await?);
    let mut ready: VecDeque<Identity> = VecDeque::new();
    loop {
        tokio::select! {
            // Without a worker nothing is read: requests wait with their clients.
            request = clients.recv_from(), if !ready.is_empty() => {
                let (client, mut task) = request?;
                task.push_front(client.as_bytes().to_vec());
                task.push_front(""); // the delimiter that a REQ expects
                if let Some(worker) = ready.pop_front() {
                    workers.send_to(&worker, task).await?;
                }
            }
            result = workers.recv_from() => {
                let (worker, mut result) = result?;
                ready.push_back(worker);
                result.pop_front(); // the delimiter that a REQ puts
                // "ready" has no frame before the last, and so no client.
                if let Some(client) = result.pop_front() {
                    clients.send_to(&Identity::new(client)?, result).await?;
                }
            }
        }
    }
}
