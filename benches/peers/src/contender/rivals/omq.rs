//! omq-tokio, from the seat where it is fastest: on a borrowed current-thread runtime, as its own benchmark runs it,
//! and on a multi-threaded one where there are many connections. A context of its own I/O threads was slower in each.

use std::collections::VecDeque;
use std::time::Instant;

use jackstay::security::KeyPair;
use omq_tokio::{
    Context, CurveKeypair, CurvePublicKey, CurveSecretKey, Message, Options, Socket, SocketType,
    TrySendError,
};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::offers_no_seats;
use crate::cell::{Cell, Seat, WINDOW};
use crate::contender::{
    Bound, Contender, Entry, KNOCKING, Play, at_once, locked, only, perform, rest, runtime,
};
use crate::keys;
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "omq-tokio",
    version: || locked("omq-tokio"),
    offers: offers_no_seats,
    make: |cell| {
        let many = cell.senders.max(cell.receivers) > 1;
        let runtime = runtime(if many { Seat::Task } else { Seat::Current })?;
        let context = runtime.block_on(async { Context::current() });
        Ok(Box::new(Omq {
            cell: *cell,
            context,
            runtime,
        }))
    },
};

struct Omq {
    cell: Cell,
    context: Context,
    runtime: Runtime,
}

impl Contender for Omq {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let at_once = at_once(&self.cell);
        let one = |letters| {
            let (at, socket) = (at.to_owned(), self.socket(SocketType::Push));
            async move {
                socket.connect(at).await?;
                send_all(&socket, letters, at_once).await?;
                rest(socket).await
            }
        };
        perform(&self.runtime, Seat::Task, letters.into_iter().map(one))
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Pull));
        let (tally, at_once) = (only(tallies)?, at_once(&self.cell));
        let role = async move {
            bound.at(socket.bind(at).await?);
            receive_all(&socket, tally, at_once).await
        };
        perform(&self.runtime, Seat::Task, [role])
    }

    fn request(&self, at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Req));
        let role = async move {
            socket.connect(at).await?;
            while let Some(letter) = letters.next() {
                let start = Instant::now();
                socket.send(Message::from_slice(letter)).await?;
                trips.home(start, body(&socket.recv().await?))?;
            }
            rest(socket).await
        };
        perform(&self.runtime, self.cell.seat, [role])
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Rep));
        let role = async move {
            bound.at(socket.bind(at).await?);
            loop {
                let answer = letters.numbered(tally.take(body(&socket.recv().await?))?);
                socket.send(Message::from_slice(answer)).await?;
            }
        };
        perform(&self.runtime, self.cell.seat, [role])
    }

    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let options = Options {
            xpub_nodrop: true,
            ..Options::default()
        };
        let (at, socket) = (at.to_owned(), self.context.socket(SocketType::Pub, options));
        let at_once = at_once(&self.cell);
        let role = async move {
            bound.at(socket.bind(at).await?);
            while let Some(letter) = letters.knock() {
                socket.send(Message::from_slice(letter)).await?;
                sleep(KNOCKING).await;
            }
            send_all(&socket, letters, at_once).await?;
            rest(socket).await
        };
        perform(&self.runtime, Seat::Task, [role])
    }

    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let at_once = at_once(&self.cell);
        let one = |mut tally: Tally| {
            let (at, socket) = (at.to_owned(), self.socket(SocketType::Sub));
            let wishes = wishes.clone();
            async move {
                socket.connect(at).await?;
                for topic in wishes.at_once {
                    socket.subscribe(topic).await?;
                }
                if let Some(topic) = wishes.after_the_first {
                    tally.take(body(&socket.recv().await?))?;
                    socket.subscribe(topic).await?;
                }
                receive_all(&socket, tally, at_once).await
            }
        };
        perform(&self.runtime, Seat::Task, tallies.into_iter().map(one))
    }

    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Dealer));
        let role = async move {
            socket.connect(at).await?;
            let mut sent = 0;
            while let Some(letter) = letters.next() {
                socket.send(Message::from_slice(letter)).await?;
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
        let (at, socket) = (at.to_owned(), self.socket(SocketType::Router));
        let role = async move {
            bound.at(socket.bind(at).await?);
            let socket = socket.identity_routing()?;
            loop {
                let (peer, question) = socket.recv_from().await?;
                let answer = letters.numbered(tally.take(body(&question))?);
                socket.send_to(&peer, Message::from_slice(answer)).await?;
            }
        };
        perform(&self.runtime, Seat::Task, [role])
    }
}

impl Omq {
    fn socket(&self, kind: SocketType) -> Socket {
        let options = Options::default();
        let options = match kind {
            SocketType::Pull if self.cell.curve => options.curve_server(pair(&keys::server())),
            SocketType::Push if self.cell.curve => {
                let server = CurvePublicKey::from_bytes(*keys::server().public_key().as_bytes());
                options.curve_client(pair(&keys::client()), server)
            }
            _ => options,
        };
        self.context.socket(kind, options)
    }
}

/// By its calls for many, which are faster than those that its own benchmark makes: a message a call, tried first and waited
/// for when full.
async fn send_all(socket: &Socket, mut letters: Letters, at_once: usize) -> Result<(), Fault> {
    let mut messages = VecDeque::with_capacity(at_once);
    loop {
        while messages.len() < at_once
            && let Some(letter) = letters.next()
        {
            messages.push_back(Message::from_slice(letter));
        }
        if messages.is_empty() {
            return Ok(());
        }
        match socket.try_send_many(&mut messages, at_once) {
            Ok(_) => {}
            Err(TrySendError::Full(message)) => socket.send(message).await?,
            Err(error) => return Err(error.to_string().into()),
        }
    }
}

/// Waits for one and takes what else has come, then lets others run.
async fn receive_all(socket: &Socket, mut tally: Tally, at_once: usize) -> Play {
    let mut messages = Vec::with_capacity(at_once);
    loop {
        socket.recv_many_into(at_once, &mut messages).await?;
        for message in &messages {
            tally.take(body(message))?;
        }
        messages.clear();
        tokio::task::coop::consume_budget().await;
    }
}

fn pair(keys: &KeyPair) -> CurveKeypair {
    CurveKeypair {
        public: CurvePublicKey::from_bytes(*keys.public_key().as_bytes()),
        secret: CurveSecretKey::from_bytes(*keys.secret_key().as_bytes()),
    }
}

fn body(message: &Message) -> &[u8] {
    message.part_slice(0).unwrap_or_default()
}
