//! Request–reply: a question has one answer (REQ, REP).
//!
//! ```text
//! cargo run --example req_rep -- serve tcp://127.0.0.1:5555
//! cargo run --example req_rep -- ask   tcp://127.0.0.1:5555 Greenwich
//! ```
//!
//! The client gives up on a server that does not answer in time and asks again, so start them in
//! any order, and stop the server in between. The server answers each request in a task of its
//! own: a slow one holds up nobody.

use std::time::Duration;

use jackstay::{RepSocket, ReqSocket};
use tokio::time::{sleep, timeout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", at] => {
            let service = RepSocket::new();
            println!("bound to {}", service.bind(at).await?);
            loop {
                let request = service.accept().await?;
                tokio::spawn(async move {
                    sleep(Duration::from_millis(10)).await; // hard work
                    let answer = format!("noon in {}", request[0].escape_ascii());
                    // A client that is gone is no error of ours.
                    request.reply(answer).await
                });
            }
        }
        ["ask", at, question] => {
            let mut service = ReqSocket::new();
            service.connect(at)?;
            for attempt in 1..=3 {
                let question = question.to_owned();
                match timeout(Duration::from_secs(1), service.request(question)).await {
                    Ok(reply) => {
                        println!("{}", reply?[0].escape_ascii());
                        return Ok(());
                    }
                    // The request was dropped and so abandoned: its late reply never shows up.
                    Err(_) => eprintln!("attempt {attempt}: no reply"),
                }
            }
            Err("the service is not there".into())
        }
        _ => Err("usage: req_rep serve AT | ask AT QUESTION".into()),
    }
}
