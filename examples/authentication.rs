//! Authentication: who may connect, by password or by address, and what each side sees of it.
//!
//! ```text
//! cargo run --example authentication -- serve tcp://127.0.0.1:5557 tcp://127.0.0.1:5558
//! cargo run --example authentication -- ask tcp://127.0.0.1:5557 joe secret
//! cargo run --example authentication -- ask tcp://127.0.0.1:5557 joe guess
//! cargo run --example authentication -- ask tcp://127.0.0.1:5558
//! cargo run --example authentication -- ask "tcp://127.0.0.2:0;127.0.0.1:5558"
//! ```
//!
//! At its first endpoint the server wants a name and a password; at the second it looks at addresses only, and
//! 127.0.0.2 is not welcome. Type `joe` at the server to shut joe out: the list of users can be changed at any time.
//! Both mechanisms are for networks on which nobody listens; CURVE, with the feature `curve`, is for all others.

use std::io::stdin;
use std::sync::Arc;
use std::thread;

use jackstay::security::{AddressFilter, Password, Security, UserList};
use jackstay::{EventKind, RepSocket, ReqSocket};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", passwords, addresses] => {
            let users = Arc::new(UserList::new());
            users.insert("joe", Password::new("secret")?);
            users.insert("jane", Password::new("hidden")?);
            let filter = AddressFilter::deny(["127.0.0.2/32".parse()?]);
            let by_password = service(Security::plain_server(users.clone()), passwords).await?;
            let by_address = service(Security::null(filter), addresses).await?;
            thread::spawn(move || {
                for name in stdin().lines().map_while(Result::ok) {
                    println!("shut out {name}: {}", users.remove(&name));
                }
            });
            tokio::try_join!(greet(by_password), greet(by_address)).map(|_| ())
        }
        ["ask", at] => ask(ReqSocket::builder().build(), at).await,
        ["ask", at, user, password] => {
            let security = Security::plain_client(user, password)?;
            ask(ReqSocket::builder().security(security).build(), at).await
        }
        _ => Err("usage: authentication serve AT AT | ask AT [USER PASSWORD]".into()),
    }
}

/// A service for whom `security` lets in, which tells what becomes of its connections.
async fn service(security: Security, at: &str) -> Result<RepSocket, Box<dyn std::error::Error>> {
    let service = RepSocket::builder().security(security).build();
    println!("bound to {}", service.bind(at).await?);
    let mut events = service.monitor();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("{event}");
        }
    });
    Ok(service)
}

/// Greets each client by the name that it has proved to have.
async fn greet(service: RepSocket) -> Outcome {
    loop {
        let request = service.accept().await?;
        let user = request.peer().and_then(|peer| {
            let user = peer.principal()?.user_id();
            (!user.is_empty()).then(|| user.to_owned())
        });
        let greeting = format!("hello, {}", user.as_deref().unwrap_or("stranger"));
        // A client that is gone is no error of ours.
        let _ = request.reply(greeting).await;
    }
}

/// Asks once, and learns from the monitor if it is refused: a call does not fail for what peers do.
async fn ask(mut service: ReqSocket, at: &str) -> Outcome {
    let mut events = service.monitor();
    service.connect(at)?;
    let refused = async {
        while let Some(event) = events.recv().await {
            if let EventKind::HandshakeFailed(error) = event.kind {
                return error.to_string();
            }
        }
        "the socket is closed".into()
    };
    tokio::select! {
        reply = service.request("who am I?") => println!("{}", reply?[0].escape_ascii()),
        reason = refused => return Err(reason.into()),
    }
    Ok(())
}
