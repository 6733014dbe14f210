//! zeromq (zmq.rs) on tokio's multi-threaded runtime: `send` and `recv`, a message each. What streams does so from the
//! future of `block_on`, as in its own benchmarks: from a task, it fills its queues before the first octet leaves.

use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeromq::{
    DealerSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Socket, SocketRecv,
    SocketSend, SubSocket, XPubSocket, ZmqMessage,
};

use super::offers_no_curve;
use crate::cell::{Cell, Seat, Transport, WINDOW};
use crate::contender::{
    Bound, Contender, Entry, KNOCKING, Play, locked, only, perform, rest, runtime,
};
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "zeromq",
    version: || locked("zeromq"),
    offers: |cell| {
        if cell.transport == Transport::Inproc {
            Err("it has no inproc")
        } else {
            offers_no_curve(cell)
        }
    },
    make: |cell| {
        Ok(Box::new(Zeromq {
            cell: *cell,
            runtime: runtime(Seat::Task)?,
        }))
    },
};

struct Zeromq {
    cell: Cell,
    runtime: Runtime,
}

impl Contender for Zeromq {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let one = |mut letters: Letters| {
            let at = at.to_owned();
            async move {
                let mut socket = PushSocket::new();
                socket.connect(&at).await?;
                while let Some(letter) = letters.next() {
                    socket.send(message(letter)).await?;
                }
                rest(socket).await
            }
        };
        perform(
            &self.runtime,
            seat(self.cell.senders),
            letters.into_iter().map(one),
        )
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let (at, mut tally) = (at.to_owned(), only(tallies)?);
        let role = async move {
            let mut socket = PullSocket::new();
            bound.at(socket.bind(&at).await?);
            loop {
                tally.take(body(&socket.recv().await?)?)?;
            }
        };
        perform(&self.runtime, Seat::Main, [role])
    }

    fn request(&self, at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let at = at.to_owned();
        let role = async move {
            let mut socket = ReqSocket::new();
            socket.connect(&at).await?;
            while let Some(letter) = letters.next() {
                let start = Instant::now();
                socket.send(message(letter)).await?;
                trips.home(start, body(&socket.recv().await?)?)?;
            }
            rest(socket).await
        };
        perform(&self.runtime, self.cell.seat, [role])
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        let role = async move {
            let mut socket = RepSocket::new();
            bound.at(socket.bind(&at).await?);
            loop {
                let number = tally.take(body(&socket.recv().await?)?)?;
                socket.send(message(letters.numbered(number))).await?;
            }
        };
        perform(&self.runtime, self.cell.seat, [role])
    }

    /// As an XPUB, which waits where its PUB would drop.
    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let at = at.to_owned();
        let role = async move {
            let mut socket = XPubSocket::new();
            bound.at(socket.bind(&at).await?);
            while let Some(letter) = letters.knock() {
                socket.send(message(letter)).await?;
                // It hears of subscriptions only while it receives.
                if let Ok(Err(fault)) = timeout(KNOCKING, hear(&mut socket)).await {
                    return Err(fault);
                }
            }
            while let Some(letter) = letters.next() {
                socket.send(message(letter)).await?;
            }
            rest(socket).await
        };
        perform(&self.runtime, Seat::Main, [role])
    }

    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let one = |mut tally: Tally| {
            let (at, wishes) = (at.to_owned(), wishes.clone());
            async move {
                let mut socket = SubSocket::new();
                socket.connect(&at).await?;
                for topic in &wishes.at_once {
                    socket.subscribe(std::str::from_utf8(topic)?).await?;
                }
                if let Some(topic) = &wishes.after_the_first {
                    tally.take(body(&socket.recv().await?)?)?;
                    socket.subscribe(std::str::from_utf8(topic)?).await?;
                }
                loop {
                    tally.take(body(&socket.recv().await?)?)?;
                }
            }
        };
        perform(
            &self.runtime,
            seat(self.cell.receivers),
            tallies.into_iter().map(one),
        )
    }

    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let at = at.to_owned();
        let role = async move {
            let mut socket = DealerSocket::new();
            socket.connect(&at).await?;
            let mut sent = 0;
            while let Some(letter) = letters.next() {
                socket.send(message(letter)).await?;
                sent += 1;
                if sent >= WINDOW {
                    tally.take(body(&socket.recv().await?)?)?;
                }
            }
            rest(socket).await
        };
        perform(&self.runtime, Seat::Main, [role])
    }

    fn route(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        let role = async move {
            let mut socket = RouterSocket::new();
            bound.at(socket.bind(&at).await?);
            loop {
                let mut question = socket.recv().await?;
                let letter = question.split_off(1);
                let number = tally.take(body(&letter)?)?;
                question.push_back(Bytes::copy_from_slice(letters.numbered(number)));
                socket.send(question).await?;
            }
        };
        perform(&self.runtime, Seat::Main, [role])
    }
}

fn seat(crowd: usize) -> Seat {
    if crowd == 1 { Seat::Main } else { Seat::Task }
}

async fn hear(socket: &mut XPubSocket) -> Play {
    loop {
        socket.recv().await?;
    }
}

fn message(letter: &[u8]) -> ZmqMessage {
    Bytes::copy_from_slice(letter).into()
}

fn body(message: &ZmqMessage) -> Result<&[u8], Fault> {
    Ok(message.get(0).ok_or("a message without frames")?)
}
