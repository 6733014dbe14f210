//! omq-tokio, from the seat where it is fastest: on a borrowed current-thread runtime, as its own benchmark runs it,
//! and on a multi-threaded one where there are many connections. A context of its own I/O threads was slower in each.

use std::time::{Duration, Instant};

use omq_tokio::{Context, Error, Message, Options, Socket, SocketType, TrySendError};
use tokio::runtime::{Builder, Runtime};

use super::{Bound, Contender, Entry, Play, crowd, locked, runtime, seated};
use crate::cell::Seat;
use crate::tally::{Fault, Letters, Tally, Trips};

pub const ENTRY: Entry = Entry {
    name: "omq-tokio",
    version: || locked("omq-tokio"),
    offers: |_| true,
    make: |cell| {
        let runtime = if cell.crowd > 1 {
            runtime()?
        } else {
            Builder::new_current_thread().enable_all().build()?
        };
        let context = runtime.block_on(async { Context::current() });
        Ok(Box::new(Omq { context, runtime }))
    },
};

struct Omq {
    context: Context,
    runtime: Runtime,
}

impl Contender for Omq {
    fn push(&self, at: &str, letters: Letters) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Push));
        seated(&self.runtime, Seat::Task, async move {
            socket.connect(at).await?;
            send_all(&socket, letters).await
        })
    }

    fn pull(&self, at: &str, bound: Bound, tally: Tally) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Pull));
        seated(&self.runtime, Seat::Task, async move {
            bound.at(socket.bind(at).await?);
            receive_all(&socket, tally).await
        })
    }

    fn request(&self, at: &str, seat: Seat, mut letters: Letters, mut trips: Trips) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Req));
        seated(&self.runtime, seat, async move {
            socket.connect(at).await?;
            socket.wait_connected(1, PATIENCE).await?;
            loop {
                let start = Instant::now();
                socket.send(Message::from_slice(letters.next())).await?;
                trips.home(start, body(&socket.recv().await?))?;
            }
        })
    }

    fn reply(
        &self,
        at: &str,
        seat: Seat,
        bound: Bound,
        mut tally: Tally,
        mut letters: Letters,
    ) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Rep));
        seated(&self.runtime, seat, async move {
            bound.at(socket.bind(at).await?);
            loop {
                let number = tally.take(body(&socket.recv().await?))?;
                socket
                    .send(Message::from_slice(letters.numbered(number)))
                    .await?;
            }
        })
    }

    fn publish(&self, at: &str, bound: Bound, letters: Letters, subscribers: usize) -> Play {
        let options = Options {
            xpub_nodrop: true,
            ..Options::default()
        };
        let (at, socket) = (at.to_owned(), self.context.socket(SocketType::Pub, options));
        seated(&self.runtime, Seat::Task, async move {
            bound.at(socket.bind(at).await?);
            socket
                .wait_subscribed(subscribers.try_into()?, PATIENCE)
                .await?;
            send_all(&socket, letters).await
        })
    }

    fn subscribe(&self, at: &str, tallies: Vec<Tally>) -> Play {
        let one = |tally| {
            let (at, socket) = (at.to_owned(), self.socket(SocketType::Sub));
            async move {
                socket.connect(at).await?;
                socket.subscribe("").await?;
                receive_all(&socket, tally).await
            }
        };
        crowd(&self.runtime, tallies.into_iter().map(one))
    }
}

impl Omq {
    fn socket(&self, kind: SocketType) -> Socket {
        self.context.socket(kind, Options::default())
    }
}

/// Tries first and waits only when full, as its own benchmark does.
async fn send_all(socket: &Socket, mut letters: Letters) -> Play {
    loop {
        match socket.try_send(Message::from_slice(letters.next())) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => socket.send(message).await?,
            Err(error) => return Err(error.to_string().into()),
        }
    }
}

/// Waits for one and drains what else has come, then lets others run, as its own benchmark does.
async fn receive_all(socket: &Socket, mut tally: Tally) -> Play {
    loop {
        tally.take(body(&socket.recv().await?))?;
        for _ in 0..TURN {
            match socket.try_recv() {
                Ok(message) => tally.take(body(&message))?,
                Err(Error::WouldBlock) => break,
                Err(error) => return Err(Fault::from(error)),
            };
        }
        tokio::task::coop::consume_budget().await;
    }
}

fn body(message: &Message) -> &[u8] {
    message.part_slice(0).unwrap_or_default()
}

const PATIENCE: Duration = Duration::from_secs(10);
const TURN: usize = 128;
