//! This project, as its README shows it: sockets called from tokio tasks, a message a call.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jackstay::security::{KeyList, Security};
use jackstay::{
    DealerSocket, Message, OnFull, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket,
    RouterSocket, SubSocket, blocking,
};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::{Bound, Contender, Entry, KNOCKING, Play, locked, only, perform, rest, runtime};
use crate::cell::{Cell, Seat, WINDOW};
use crate::keys;
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "jackstay",
    version: || {
        let curve = if cfg!(feature = "simd") {
            "curve-simd"
        } else {
            "curve"
        };
        format!("{} ({curve})", locked("jackstay"))
    },
    offers: |_| Ok(()),
    make: |cell| {
        Ok(Box::new(Jackstay {
            cell: *cell,
            runtime: runtime(cell.seat)?,
        }))
    },
};

struct Jackstay {
    cell: Cell,
    runtime: Runtime,
}

impl Contender for Jackstay {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let frames = self.cell.frames;
        if self.cell.seat == Seat::Blocking {
            return push_blocking(at, only(letters)?);
        }
        let _context = self.runtime.enter();
        let sockets = self.sockets(letters.len(), || self.push_socket());
        for socket in &sockets {
            at.split(',').try_for_each(|at| socket.connect(at))?;
        }
        let sockets = sockets.into_iter().cycle();
        let one = |(socket, mut letters): (Arc<PushSocket>, Letters)| async move {
            while let Some(letter) = letters.next() {
                socket.send(message(letter, frames)).await?;
            }
            rest(socket).await
        };
        self.perform(sockets.zip(letters).map(one))
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let frames = self.cell.frames;
        if self.cell.seat == Seat::Blocking {
            return pull_blocking(at, bound, only(tallies)?);
        }
        let sockets = self.sockets(tallies.len(), || self.pull_socket());
        let mut endpoints = Vec::new();
        for socket in &sockets {
            endpoints.push(self.runtime.block_on(socket.bind(at))?);
        }
        bound.at_all(endpoints);
        let sockets = sockets.into_iter().cycle();
        let one = |(socket, mut tally): (Arc<PullSocket>, Tally)| async move {
            loop {
                let message = socket.recv().await?;
                if frames == 1 {
                    tally.take(message.first())?;
                } else {
                    tally.take_frames(frames, message.iter())?;
                }
            }
        };
        self.perform(sockets.zip(tallies).map(one))
    }

    fn request(&self, at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let mut socket = ReqSocket::new();
            socket.connect(at)?;
            while let Some(letter) = letters.next() {
                let start = Instant::now();
                let answer = socket.request(Message::copy_from_slice(letter)).await?;
                trips.home(start, answer.first())?;
            }
            rest(socket).await
        }])
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let socket = RepSocket::new();
            bound.at(socket.bind(at).await?);
            loop {
                let request = socket.accept().await?;
                let answer = letters.numbered(tally.take(request.first())?);
                request.reply(Message::copy_from_slice(answer)).await?;
            }
        }])
    }

    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let socket = PubSocket::builder().on_full(OnFull::Wait).build();
            bound.at(socket.bind(at).await?);
            while let Some(letter) = letters.knock() {
                socket.send(Message::copy_from_slice(letter)).await?;
                sleep(KNOCKING).await;
            }
            while let Some(letter) = letters.next() {
                socket.send(Message::copy_from_slice(letter)).await?;
            }
            rest(socket).await
        }])
    }

    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let one = |mut tally: Tally| {
            let (at, wishes) = (at.to_owned(), wishes.clone());
            async move {
                let socket = SubSocket::new();
                for topic in wishes.at_once {
                    socket.subscribe(topic)?;
                }
                socket.connect(at)?;
                if let Some(topic) = wishes.after_the_first {
                    tally.take(socket.recv().await?.first())?;
                    socket.subscribe(topic)?;
                }
                loop {
                    tally.take(socket.recv().await?.first())?;
                }
            }
        };
        self.perform(tallies.into_iter().map(one))
    }

    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let socket = DealerSocket::new();
            socket.connect(at)?;
            let mut sent = 0;
            while let Some(letter) = letters.next() {
                socket.send(Message::copy_from_slice(letter)).await?;
                sent += 1;
                if sent >= WINDOW {
                    tally.take(socket.recv().await?.first())?;
                }
            }
            rest(socket).await
        }])
    }

    fn route(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let socket = RouterSocket::new();
            bound.at(socket.bind(at).await?);
            loop {
                let (peer, question) = socket.recv_from().await?;
                let answer = letters.numbered(tally.take(question.first())?);
                let answer = Message::copy_from_slice(answer);
                socket.send_to(&peer, answer).await?;
            }
        }])
    }
}

impl Jackstay {
    /// One for each of the crowd, or one for all.
    fn sockets<S>(&self, crowd: usize, new: impl Fn() -> S) -> Vec<Arc<S>> {
        let count = if self.cell.shared { 1 } else { crowd };
        (0..count).map(|_| Arc::new(new())).collect()
    }

    fn push_socket(&self) -> PushSocket {
        let mut builder = PushSocket::builder();
        if self.cell.curve {
            let server = *keys::server().public_key();
            builder = builder.security(Security::curve_client(server, keys::client()));
        }
        match self.cell.mark {
            Some(mark) => builder.send_hwm(mark).build(),
            None => builder.build(),
        }
    }

    fn pull_socket(&self) -> PullSocket {
        let mut builder = PullSocket::builder();
        if self.cell.curve {
            let clients = KeyList::new();
            clients.insert(*keys::client().public_key());
            builder = builder.security(Security::curve_server(keys::server(), clients));
        }
        match self.cell.mark {
            Some(mark) => builder.recv_hwm(mark).build(),
            None => builder.build(),
        }
    }

    fn perform<R>(&self, roles: impl IntoIterator<Item = R>) -> Play
    where
        R: Future<Output = Play> + Send + 'static,
    {
        perform(&self.runtime, self.cell.seat, roles)
    }
}

fn push_blocking(at: &str, mut letters: Letters) -> Play {
    let socket = blocking::PushSocket::new();
    socket.connect(at)?;
    while let Some(letter) = letters.next() {
        socket.send(Message::copy_from_slice(letter))?;
    }
    loop {
        std::thread::park();
    }
}

fn pull_blocking(
    at: &str,
    bound: Bound,
    mut tally: Tally,
) -> Result<std::convert::Infallible, Fault> {
    let socket = blocking::PullSocket::new();
    bound.at(socket.bind(at)?);
    loop {
        tally.take(socket.recv()?.first())?;
    }
}

/// A message of so many copies of a letter.
fn message(letter: &[u8], frames: usize) -> Message {
    if frames == 1 {
        Message::copy_from_slice(letter)
    } else {
        (0..frames)
            .map(|_| Bytes::copy_from_slice(letter))
            .collect()
    }
}
