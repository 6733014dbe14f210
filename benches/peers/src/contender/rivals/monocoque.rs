//! monocoque on its own `LocalRuntime`, one connection a socket, as its documentation advises for throughput: writes
//! are coalesced and flushed, bursts are drained from what one read has brought.

use std::time::Instant;

use bytes::Bytes;
use compio_io::{AsyncRead, AsyncWrite};
use monocoque::rt::{
    LocalRuntime, TcpListener, TcpStream, UnixListener, UnixStream, sleep, spawn_detached,
};
use monocoque::zmq::{
    DealerSocket, PubSocket, PullFanIn, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket,
    SocketOptions, SubSocket,
};
use tokio::sync::mpsc;

use super::offers_no_curve;
use crate::cell::{Cell, Seat, Transport, WINDOW};
use crate::contender::{Bound, Contender, Entry, KNOCKING, Play, locked, only, rest};
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "monocoque",
    version: || locked("monocoque-rs"),
    offers: |cell| {
        if cell.transport == Transport::Inproc {
            Err("its inproc is a pipe without sockets of these types")
        } else {
            offers_no_curve(cell)
        }
    },
    make: |cell| Ok(Box::new(Monocoque(*cell))),
};

struct Monocoque(Cell);

impl Contender for Monocoque {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let one = |letters| {
            let at = at.to_owned();
            async move {
                let options = SocketOptions::default().with_write_coalescing(true);
                match Place::parse(&at)? {
                    Place::Tcp(at) => {
                        let stream = TcpStream::connect(at).await?;
                        let socket = PushSocket::from_tcp_with_options(stream, options).await?;
                        send_all(socket, letters).await
                    }
                    Place::Ipc(at) => {
                        let stream = UnixStream::connect(at).await?;
                        send_all(PushSocket::with_options(stream, options).await?, letters).await
                    }
                }
            }
        };
        perform(Seat::Task, letters.into_iter().map(one))
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let (at, tally, senders) = (at.to_owned(), only(tallies)?, self.0.senders);
        let role = async move {
            match Place::parse(&at)? {
                Place::Tcp(at) if senders > 1 => {
                    let listener = listen(at, bound).await?;
                    let options = SocketOptions::default();
                    let sink = PullFanIn::accept_workers(&listener, senders, options).await?;
                    merge(sink, tally).await
                }
                Place::Tcp(at) => {
                    let (stream, _) = listen(at, bound).await?.accept().await?;
                    receive_all(PullSocket::from_tcp(stream).await?, tally).await
                }
                Place::Ipc(path) => {
                    let stream = accept_ipc(path, bound).await?;
                    receive_all(PullSocket::new(stream).await?, tally).await
                }
            }
        };
        perform(Seat::Task, [role])
    }

    fn request(&self, at: &str, letters: Letters, trips: Trips) -> Play {
        let at = at.to_owned();
        let role = async move {
            match Place::parse(&at)? {
                Place::Tcp(at) => {
                    let stream = TcpStream::connect(at).await?;
                    ask_all(ReqSocket::from_tcp(stream).await?, letters, trips).await
                }
                Place::Ipc(at) => {
                    let stream = UnixStream::connect(at).await?;
                    ask_all(ReqSocket::from_unix_stream(stream).await?, letters, trips).await
                }
            }
        };
        perform(self.0.seat, [role])
    }

    fn reply(&self, at: &str, bound: Bound, tally: Tally, letters: Letters) -> Play {
        let at = at.to_owned();
        let role = async move {
            match Place::parse(&at)? {
                Place::Tcp(at) => {
                    let (stream, _) = listen(at, bound).await?.accept().await?;
                    answer_all(RepSocket::from_tcp(stream).await?, tally, letters).await
                }
                Place::Ipc(path) => {
                    let stream = accept_ipc(path, bound).await?;
                    let socket = RepSocket::from_unix_stream(stream).await?;
                    answer_all(socket, tally, letters).await
                }
            }
        };
        perform(self.0.seat, [role])
    }

    /// It cannot be told to wait and drops what its worker has no room for, but counts that. With one worker, what is
    /// dropped has reached nobody and can be sent again.
    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let (at, subscribers) = (at.to_owned(), self.0.receivers);
        let role = async move {
            let Place::Tcp(at) = Place::parse(&at)? else {
                return Err("PUB over tcp only".into());
            };
            let options = SocketOptions::default().with_write_coalescing(true);
            let mut socket = PubSocket::bind_with_workers_opts(at, 1, options).await?;
            bound.at(format_args!("tcp://{}", socket.local_addr()?));
            for _ in 0..subscribers {
                socket.accept_subscriber().await?;
            }
            while let Some(letter) = letters.knock() {
                publish_one(&mut socket, letter).await?;
                sleep(KNOCKING).await;
            }
            while let Some(letter) = letters.next() {
                publish_one(&mut socket, letter).await?;
            }
            rest(socket).await
        };
        perform(Seat::Task, [role])
    }

    fn subscribe(&self, at: &str, wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let one = |mut tally: Tally| {
            let (at, wishes) = (at.to_owned(), wishes.clone());
            async move {
                let mut socket = SubSocket::connect(&at).await?;
                let mut frames = Vec::new();
                for topic in &wishes.at_once {
                    socket.subscribe(topic).await?;
                }
                if let Some(topic) = &wishes.after_the_first {
                    socket.recv_into(&mut frames).await?;
                    tally.take(body(&frames)?)?;
                    socket.subscribe(topic).await?;
                }
                while socket.recv_into(&mut frames).await? {
                    tally.take(body(&frames)?)?;
                    while socket.try_recv_into(&mut frames)? {
                        tally.take(body(&frames)?)?;
                    }
                }
                Err("the publisher has gone".into())
            }
        };
        perform(Seat::Task, tallies.into_iter().map(one))
    }

    /// Asks again, in one flush, as much as one read has answered.
    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let at = at.to_owned();
        let role = async move {
            let mut socket = DealerSocket::connect(&at).await?;
            let mut frames = Vec::new();
            let mut under_way = 0;
            loop {
                while under_way < WINDOW
                    && let Some(letter) = letters.next()
                {
                    socket.send_buffered(message(letter))?;
                    under_way += 1;
                }
                socket.flush().await?;
                let mut more = socket.recv_into(&mut frames).await?;
                if !more {
                    return Err("the other side has gone".into());
                }
                while more {
                    tally.take(body(&frames)?)?;
                    under_way -= 1;
                    more = socket.try_recv_into(&mut frames)?;
                }
            }
        };
        perform(Seat::Task, [role])
    }

    fn route(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        let role = async move {
            let Place::Tcp(at) = Place::parse(&at)? else {
                return Err("ROUTER over tcp only".into());
            };
            let (stream, _) = listen(at, bound).await?.accept().await?;
            let mut socket = RouterSocket::from_tcp(stream).await?;
            let mut frames = Vec::new();
            while socket.recv_into(&mut frames).await? {
                let mut more = true;
                while more {
                    let number = tally.take(body(&frames)?)?;
                    let peer = frames.first().cloned().unwrap_or_default();
                    let answer = Bytes::copy_from_slice(letters.numbered(number));
                    socket.send_buffered(vec![peer, answer])?;
                    more = socket.try_recv_into(&mut frames)?;
                }
                socket.flush().await?;
            }
            Err("the other side has gone".into())
        };
        perform(Seat::Task, [role])
    }
}

enum Place<'a> {
    Tcp(&'a str),
    Ipc(&'a str),
}

impl<'a> Place<'a> {
    fn parse(endpoint: &'a str) -> Result<Self, Fault> {
        match endpoint.split_once("://") {
            Some(("tcp", address)) => Ok(Self::Tcp(address)),
            Some(("ipc", path)) => Ok(Self::Ipc(path)),
            _ => Err(format!("no way to {endpoint}").into()),
        }
    }
}

/// Plays all roles until the first of them fails: each in a task, or the only one from the future of `block_on`.
fn perform<R>(seat: Seat, roles: impl IntoIterator<Item = R>) -> Play
where
    R: Future<Output = Play> + 'static,
{
    let mut roles = roles.into_iter();
    LocalRuntime::new()?.block_on(async {
        if seat != Seat::Task {
            return roles.next().ok_or("nobody to play")?.await;
        }
        let (told, mut faults) = mpsc::channel(1);
        for role in roles {
            let told = told.clone();
            spawn_detached(async move {
                let Err(fault) = role.await;
                // Whoever is not the first to fail is not heard.
                let _ = told.try_send(fault);
            });
        }
        drop(told);
        Err(faults.recv().await.ok_or("an empty crowd")?)
    })
}

async fn listen(at: &str, bound: Bound) -> Result<TcpListener, Fault> {
    let listener = TcpListener::bind(at).await?;
    bound.at(format_args!("tcp://{}", listener.local_addr()?));
    Ok(listener)
}

async fn accept_ipc(path: &str, bound: Bound) -> Result<UnixStream, Fault> {
    let listener = UnixListener::bind(path).await?;
    bound.at(format_args!("ipc://{path}"));
    Ok(listener.accept().await?.0)
}

async fn send_all<S>(mut socket: PushSocket<S>, mut letters: Letters) -> Play
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(letter) = letters.next() {
        socket.send_one(Bytes::copy_from_slice(letter)).await?;
    }
    socket.flush().await?;
    rest(socket).await
}

async fn receive_all<S>(mut socket: PullSocket<S>, mut tally: Tally) -> Play
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = Vec::new();
    while socket.recv_into(&mut frames).await? {
        tally.take(body(&frames)?)?;
        while socket.try_recv_into(&mut frames)? {
            tally.take(body(&frames)?)?;
        }
    }
    Err("the sender has gone".into())
}

async fn merge(mut sink: PullFanIn, mut tally: Tally) -> Play {
    while let Some(messages) = sink.recv_batch().await? {
        for frames in messages {
            tally.take(body(&frames)?)?;
        }
    }
    Err("the senders have gone".into())
}

async fn ask_all<S>(mut socket: ReqSocket<S>, mut letters: Letters, mut trips: Trips) -> Play
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = Vec::new();
    while let Some(letter) = letters.next() {
        let start = Instant::now();
        socket.send_one(Bytes::copy_from_slice(letter)).await?;
        socket.recv_into(&mut frames).await?;
        trips.home(start, body(&frames)?)?;
    }
    rest(socket).await
}

async fn answer_all<S>(mut socket: RepSocket<S>, mut tally: Tally, mut letters: Letters) -> Play
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = Vec::new();
    while socket.recv_into(&mut frames).await? {
        let number = tally.take(body(&frames)?)?;
        socket.send(message(letters.numbered(number))).await?;
    }
    Err("the other side has gone".into())
}

async fn publish_one(socket: &mut PubSocket, letter: &[u8]) -> Result<(), Fault> {
    let frames = [Bytes::copy_from_slice(letter)];
    loop {
        let dropped = socket.drop_count();
        socket.send_frames(&frames).await?;
        if socket.drop_count() == dropped {
            return Ok(());
        }
        // The worker has a thread of its own.
        std::thread::yield_now();
    }
}

fn message(letter: &[u8]) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(letter)]
}

fn body(frames: &[Bytes]) -> Result<&[u8], Fault> {
    Ok(frames.last().ok_or("a message without frames")?)
}
