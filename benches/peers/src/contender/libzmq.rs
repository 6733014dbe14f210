//! libzmq through the crate `zmq`: blocking calls on plain threads, one context with its one I/O thread.

use std::time::Instant;

use zmq::{Context, DONTWAIT, Error, Message, POLLIN, Socket, SocketType};

use super::{Bound, Contender, Entry, Play};
use crate::cell::Seat;
use crate::tally::{Fault, Letters, Tally, Trips};

pub const ENTRY: Entry = Entry {
    name: "libzmq",
    version: || {
        let (major, minor, patch) = zmq::version();
        format!("{major}.{minor}.{patch}")
    },
    offers: |_| true,
    make: |_| Ok(Box::new(Libzmq(Context::new()))),
};

struct Libzmq(Context);

impl Contender for Libzmq {
    fn push(&self, at: &str, mut letters: Letters) -> Play {
        let socket = self.0.socket(SocketType::PUSH)?;
        socket.connect(at)?;
        loop {
            socket.send(Message::from(letters.next()), 0)?;
        }
    }

    fn pull(&self, at: &str, bound: Bound, mut tally: Tally) -> Play {
        let socket = self.bind(SocketType::PULL, at, bound)?;
        let mut message = Message::new();
        loop {
            socket.recv(&mut message, 0)?;
            tally.take(&message)?;
        }
    }

    fn request(&self, at: &str, _seat: Seat, mut letters: Letters, mut trips: Trips) -> Play {
        let socket = self.0.socket(SocketType::REQ)?;
        socket.connect(at)?;
        let mut message = Message::new();
        loop {
            let start = Instant::now();
            socket.send(Message::from(letters.next()), 0)?;
            socket.recv(&mut message, 0)?;
            trips.home(start, &message)?;
        }
    }

    fn reply(
        &self,
        at: &str,
        _seat: Seat,
        bound: Bound,
        mut tally: Tally,
        mut letters: Letters,
    ) -> Play {
        let socket = self.bind(SocketType::REP, at, bound)?;
        let mut message = Message::new();
        loop {
            socket.recv(&mut message, 0)?;
            let number = tally.take(&message)?;
            socket.send(Message::from(letters.numbered(number)), 0)?;
        }
    }

    /// An XPUB, which hears of its subscribers where a PUB would have to guess when they are all there.
    fn publish(&self, at: &str, bound: Bound, mut letters: Letters, subscribers: usize) -> Play {
        let mut socket = self.0.socket(SocketType::XPUB)?;
        socket.set_xpub_verbose(true)?;
        set_nodrop(&mut socket)?;
        socket.bind(at)?;
        bound.at(last_endpoint(&socket)?);
        for _ in 0..subscribers {
            socket.recv_msg(0)?;
        }
        loop {
            socket.send(Message::from(letters.next()), 0)?;
        }
    }

    fn subscribe(&self, at: &str, mut tallies: Vec<Tally>) -> Play {
        let mut sockets = Vec::new();
        for _ in &tallies {
            let socket = self.0.socket(SocketType::SUB)?;
            socket.set_subscribe(b"")?;
            socket.connect(at)?;
            sockets.push(socket);
        }
        let mut message = Message::new();
        if let ([socket], [tally]) = (&sockets[..], &mut tallies[..]) {
            loop {
                socket.recv(&mut message, 0)?;
                tally.take(&message)?;
            }
        }
        let mut items: Vec<_> = sockets
            .iter()
            .map(|socket| socket.as_poll_item(POLLIN))
            .collect();
        loop {
            zmq::poll(&mut items, -1)?;
            let ready = items
                .iter()
                .zip(&sockets)
                .zip(&mut tallies)
                .filter(|((item, _), _)| item.is_readable());
            for ((_, socket), tally) in ready {
                drain(socket, &mut message, tally)?;
            }
        }
    }
}

impl Libzmq {
    fn bind(&self, kind: SocketType, at: &str, bound: Bound) -> Result<Socket, Fault> {
        let socket = self.0.socket(kind)?;
        socket.bind(at)?;
        bound.at(last_endpoint(&socket)?);
        Ok(socket)
    }
}

/// Takes what is there, but no more than a turn's worth: the other sockets wait.
fn drain(socket: &Socket, message: &mut Message, tally: &mut Tally) -> Result<(), Fault> {
    for _ in 0..TURN {
        match socket.recv(message, DONTWAIT) {
            Ok(()) => tally.take(message)?,
            Err(Error::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(())
}

fn last_endpoint(socket: &Socket) -> Result<String, Fault> {
    socket
        .get_last_endpoint()?
        .map_err(|_| "an endpoint that is not text".into())
}

/// Makes a full subscriber hold the publisher up, where it would lose messages. The crate has no call for it.
fn set_nodrop(socket: &mut Socket) -> Result<(), Fault> {
    let on: i32 = 1;
    let option = zmq_sys::ZMQ_XPUB_NODROP.try_into()?;
    #[expect(
        unsafe_code,
        reason = "the only way to an option that the crate leaves out"
    )]
    // SAFETY: the socket is open and borrowed; the value is a live integer of the size given.
    let code = unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            option,
            (&raw const on).cast(),
            size_of_val(&on),
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err("XPUB_NODROP was refused".into())
    }
}

/// Messages taken from one socket before the next has its turn.
const TURN: usize = 1000;
