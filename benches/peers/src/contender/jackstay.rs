//! This project, as its README shows it: sockets called from tokio tasks, with many small messages a call where they come in
//! a stream. A second contender hands over every message by a call of its own.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jackstay::pattern::{CanReceive, CanSend};
use jackstay::security::{KeyList, Security};
use jackstay::{
    DealerSocket, Message, OnFull, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket,
    RouterSocket, Socket, SubSocket, blocking,
};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::{
    Bound, Contender, Entry, KNOCKING, Play, at_once, locked, only, perform, rest, runtime,
};
use crate::cell::{Cell, Seat, WINDOW};
use crate::keys;
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "jackstay",
    version,
    offers: |_| Ok(()),
    make: |cell| make(cell, at_once(cell)),
};

pub const SINGLE: Entry = Entry {
    name: "jackstay-single",
    version,
    offers: |cell| match at_once(cell) {
        1 => Err("jackstay does so itself"),
        _ => Ok(()),
    },
    make: |cell| make(cell, 1),
};

fn version() -> String {
    let curve = if cfg!(feature = "simd") {
        "curve-simd"
    } else {
        "curve"
    };
    format!("{} ({curve})", locked("jackstay"))
}

fn make(cell: &Cell, at_once: usize) -> Result<Box<dyn Contender>, Fault> {
    Ok(Box::new(Jackstay {
        cell: *cell,
        at_once,
        runtime: runtime(cell.seat)?,
    }))
}

struct Jackstay {
    cell: Cell,
    /// How many messages a call, of those that come in a stream.
    at_once: usize,
    runtime: Runtime,
}

impl Contender for Jackstay {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let frames = self.cell.frames;
        if self.cell.seat == Seat::Blocking {
            return push_blocking(at, self.at_once, only(letters)?);
        }
        let _context = self.runtime.enter();
        let sockets = self.sockets(letters.len(), || self.push_socket());
        for socket in &sockets {
            at.split(',').try_for_each(|at| socket.connect(at))?;
        }
        let sockets = sockets.into_iter().cycle();
        let at_once = self.at_once;
        let one = |(socket, mut letters): (Arc<PushSocket>, Letters)| async move {
            send_all(&socket, &mut letters, at_once, frames).await?;
            rest(socket).await
        };
        self.perform(sockets.zip(letters).map(one))
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let frames = self.cell.frames;
        if self.cell.seat == Seat::Blocking {
            return pull_blocking(at, bound, self.at_once, only(tallies)?);
        }
        let sockets = self.sockets(tallies.len(), || self.pull_socket());
        let mut endpoints = Vec::new();
        for socket in &sockets {
            endpoints.push(self.runtime.block_on(socket.bind(at))?);
        }
        bound.at_all(endpoints);
        let sockets = sockets.into_iter().cycle();
        let at_once = self.at_once;
        let one = |(socket, mut tally): (Arc<PullSocket>, Tally)| async move {
            receive_all(&socket, &mut tally, at_once, frames).await
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
        let (at, at_once) = (at.to_owned(), self.at_once);
        self.perform([async move {
            let socket = PubSocket::builder().on_full(OnFull::Wait).build();
            bound.at(socket.bind(at).await?);
            while let Some(letter) = letters.knock() {
                socket.send(Message::copy_from_slice(letter)).await?;
                sleep(KNOCKING).await;
            }
            send_all(&socket, &mut letters, at_once, 1).await?;
            rest(socket).await
        }])
    }

    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let at_once = self.at_once;
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
                receive_all(&socket, &mut tally, at_once, 1).await
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

async fn send_all<P: CanSend>(
    socket: &Socket<P>,
    letters: &mut Letters,
    at_once: usize,
    frames: usize,
) -> Result<(), Fault> {
    if at_once == 1 {
        while let Some(letter) = letters.next() {
            socket.send(message(letter, frames)).await?;
        }
        return Ok(());
    }
    let mut messages = Vec::with_capacity(at_once);
    while write(letters, at_once, frames, &mut messages) {
        socket.send_many(&mut messages).await?;
    }
    Ok(())
}

/// Makes messages of the next letters; `false` if there are no more.
fn write(letters: &mut Letters, at_once: usize, frames: usize, into: &mut Vec<Message>) -> bool {
    while into.len() < at_once
        && let Some(letter) = letters.next()
    {
        into.push(message(letter, frames));
    }
    !into.is_empty()
}

async fn receive_all<P: CanReceive>(
    socket: &Socket<P>,
    tally: &mut Tally,
    at_once: usize,
    frames: usize,
) -> Play {
    if at_once == 1 {
        loop {
            take(tally, frames, &socket.recv().await?)?;
        }
    }
    let mut messages = Vec::with_capacity(at_once);
    loop {
        socket.recv_many(&mut messages, at_once).await?;
        for message in &messages {
            take(tally, frames, message)?;
        }
        messages.clear();
    }
}

#[inline]
fn take(tally: &mut Tally, frames: usize, message: &Message) -> Result<(), Fault> {
    if frames == 1 {
        tally.take(message.first())?;
    } else {
        tally.take_frames(frames, message.iter())?;
    }
    Ok(())
}

fn push_blocking(at: &str, at_once: usize, mut letters: Letters) -> Play {
    let socket = blocking::PushSocket::new();
    socket.connect(at)?;
    if at_once == 1 {
        while let Some(letter) = letters.next() {
            socket.send(message(letter, 1))?;
        }
    }
    let mut messages = Vec::with_capacity(at_once);
    while write(&mut letters, at_once, 1, &mut messages) {
        socket.send_many(&mut messages)?;
    }
    loop {
        std::thread::park();
    }
}

fn pull_blocking(at: &str, bound: Bound, at_once: usize, mut tally: Tally) -> Play {
    let socket = blocking::PullSocket::new();
    bound.at(socket.bind(at)?);
    if at_once == 1 {
        loop {
            take(&mut tally, 1, &socket.recv()?)?;
        }
    }
    let mut messages = Vec::with_capacity(at_once);
    loop {
        socket.recv_many(&mut messages, at_once)?;
        for message in &messages {
            take(&mut tally, 1, message)?;
        }
        messages.clear();
    }
}

/// A message of so many copies of a letter.
#[inline]
fn message(letter: &[u8], frames: usize) -> Message {
    if frames == 1 {
        Message::copy_from_slice(letter)
    } else {
        (0..frames)
            .map(|_| Bytes::copy_from_slice(letter))
            .collect()
    }
}
