//! rzmq on tokio's multi-threaded runtime: `send` and `recv`, a message each. What streams one way has its cork on and
//! its throttle off, as in the figures of its README; what asks and answers has neither.

use std::time::Instant;

use bytes::Bytes;
use rzmq::socket::{
    ADAPTIVE_THROTTLE, CURVE_PUBLIC_KEY, CURVE_SECRET_KEY, CURVE_SERVER, CURVE_SERVER_KEY,
    LAST_ENDPOINT, SUBSCRIBE, TCP_CORK, XPUB_NODROP,
};
use rzmq::{Context, Msg, MsgFlags, Socket, SocketType, ZmqError};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::offers_no_seats;
use crate::cell::{Cell, Measure, Seat, WINDOW};
use crate::contender::{
    Bound, Contender, Entry, KNOCKING, Play, locked, only, perform, rest, runtime,
};
use crate::keys;
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "rzmq",
    version: || locked("rzmq"),
    offers: offers_no_seats,
    make: |cell| {
        let runtime = runtime(Seat::Task)?;
        let context = {
            let _inside = runtime.enter();
            Context::new()?
        };
        Ok(Box::new(Rzmq {
            cell: *cell,
            context,
            runtime,
        }))
    },
};

struct Rzmq {
    cell: Cell,
    context: Context,
    runtime: Runtime,
}

impl Contender for Rzmq {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let curve = self.cell.curve;
        let one = |mut letters: Letters| {
            let (at, context, streams) = (at.to_owned(), self.context.clone(), self.streams());
            async move {
                let socket = socket(&context, SocketType::Push, streams).await?;
                if curve {
                    let client = keys::client();
                    let server = keys::server();
                    for (option, key) in [
                        (CURVE_SERVER_KEY, server.public_key().as_bytes()),
                        (CURVE_PUBLIC_KEY, client.public_key().as_bytes()),
                        (CURVE_SECRET_KEY, client.secret_key().as_bytes()),
                    ] {
                        socket.set_option_raw(option, key).await?;
                    }
                }
                socket.connect(&at).await?;
                while let Some(letter) = letters.next() {
                    socket.send(message(letter)).await?;
                }
                rest(socket).await
            }
        };
        perform(&self.runtime, Seat::Task, letters.into_iter().map(one))
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let (at, context, streams) = (at.to_owned(), self.context.clone(), self.streams());
        let curve = self.cell.curve;
        let mut tally = only(tallies)?;
        let role = async move {
            let socket = socket(&context, SocketType::Pull, streams).await?;
            if curve {
                let server = keys::server();
                socket.set_option(CURVE_SERVER, 1i32).await?;
                let secret = server.secret_key().as_bytes();
                socket.set_option_raw(CURVE_SECRET_KEY, secret).await?;
            }
            bound.at(bind(&socket, &at).await?);
            loop {
                tally.take(body(&socket.recv().await?))?;
            }
        };
        perform(&self.runtime, Seat::Task, [role])
    }

    fn request(&self, at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let (at, context) = (at.to_owned(), self.context.clone());
        let role = async move {
            let socket = socket(&context, SocketType::Req, false).await?;
            socket.connect(&at).await?;
            while let Some(letter) = letters.next() {
                let start = Instant::now();
                socket.send(message(letter)).await?;
                trips.home(start, body(&socket.recv().await?))?;
            }
            rest(socket).await
        };
        perform(&self.runtime, self.cell.seat, [role])
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let (at, context) = (at.to_owned(), self.context.clone());
        let role = async move {
            let socket = socket(&context, SocketType::Rep, false).await?;
            bound.at(bind(&socket, &at).await?);
            loop {
                let number = tally.take(body(&socket.recv().await?))?;
                socket.send(message(letters.numbered(number))).await?;
            }
        };
        perform(&self.runtime, self.cell.seat, [role])
    }

    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let (at, context) = (at.to_owned(), self.context.clone());
        let role = async move {
            let socket = socket(&context, SocketType::Pub, true).await?;
            socket.set_option(XPUB_NODROP, 1i32).await?;
            bound.at(bind(&socket, &at).await?);
            while let Some(letter) = letters.knock() {
                socket.send(message(letter)).await?;
                sleep(KNOCKING).await;
            }
            while let Some(letter) = letters.next() {
                socket.send(message(letter)).await?;
            }
            rest(socket).await
        };
        perform(&self.runtime, Seat::Task, [role])
    }

    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let one = |mut tally: Tally| {
            let (at, context, wishes) = (at.to_owned(), self.context.clone(), wishes.clone());
            async move {
                let socket = socket(&context, SocketType::Sub, true).await?;
                socket.connect(&at).await?;
                for topic in &wishes.at_once {
                    socket.set_option_raw(SUBSCRIBE, topic).await?;
                }
                if let Some(topic) = &wishes.after_the_first {
                    tally.take(body(&socket.recv().await?))?;
                    socket.set_option_raw(SUBSCRIBE, topic).await?;
                }
                loop {
                    tally.take(body(&socket.recv().await?))?;
                }
            }
        };
        perform(&self.runtime, Seat::Task, tallies.into_iter().map(one))
    }

    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let (at, context) = (at.to_owned(), self.context.clone());
        let role = async move {
            let socket = socket(&context, SocketType::Dealer, false).await?;
            socket.connect(&at).await?;
            let mut sent = 0;
            while let Some(letter) = letters.next() {
                socket.send(message(letter)).await?;
                sent += 1;
                if sent >= WINDOW {
                    tally.take(body(&socket.recv().await?))?;
                }
            }
            rest(socket).await
        };
        perform(&self.runtime, Seat::Task, [role])
    }

    fn route(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let (at, context) = (at.to_owned(), self.context.clone());
        let role = async move {
            let socket = socket(&context, SocketType::Router, false).await?;
            bound.at(bind(&socket, &at).await?);
            loop {
                let mut question = socket.recv_multipart().await?.into_iter();
                let (Some(mut peer), Some(letter)) = (question.next(), question.next()) else {
                    return Err("a question without its peer".into());
                };
                let number = tally.take(body(&letter))?;
                peer.set_flags(MsgFlags::MORE);
                let answer = vec![peer, message(letters.numbered(number))];
                socket.send_multipart(answer).await?;
            }
        };
        perform(&self.runtime, Seat::Task, [role])
    }
}

impl Rzmq {
    fn streams(&self) -> bool {
        self.cell.pattern.measure == Measure::Rate
    }
}

async fn socket(context: &Context, kind: SocketType, streams: bool) -> Result<Socket, ZmqError> {
    let socket = context.socket(kind)?;
    if streams {
        socket.set_option(TCP_CORK, 1i32).await?;
        socket.set_option(ADAPTIVE_THROTTLE, 0i32).await?;
    }
    Ok(socket)
}

/// Comes with the endpoint to connect to.
async fn bind(socket: &Socket, at: &str) -> Result<String, Fault> {
    socket.bind(at).await?;
    let place = socket.get_option(LAST_ENDPOINT).await?;
    Ok(String::from_utf8(place)?.trim_end_matches('\0').to_owned())
}

fn message(letter: &[u8]) -> Msg {
    Msg::from_bytes(Bytes::copy_from_slice(letter))
}

fn body(message: &Msg) -> &[u8] {
    message.data().unwrap_or_default()
}
