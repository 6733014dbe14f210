//! The same sockets without an async runtime: calls that block, with time limits.
//!
//! ```text
//! cargo run --example blocking -- serve tcp://127.0.0.1:5555
//! cargo run --example blocking -- ask   tcp://127.0.0.1:5555 Greenwich
//! ```
//!
//! It talks to the example `req_rep` as well: what a peer is written with does not show.

use std::time::Duration;

use jackstay::blocking::{RepSocket, ReqSocket};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", at] => {
            let service = RepSocket::new();
            println!("bound to {}", service.bind(at)?);
            loop {
                let request = service.accept()?;
                let answer = format!("midnight in {}", request[0].escape_ascii());
                request.reply(answer)?;
            }
        }
        ["ask", at, question] => {
            let mut service = ReqSocket::new();
            service.connect(at)?;
            let reply = service.request_timeout(question.to_owned(), Duration::from_secs(5))?;
            println!("{}", reply[0].escape_ascii());
            Ok(())
        }
        _ => Err("usage: blocking serve AT | ask AT QUESTION".into()),
    }
}
