//! libzmq through the crate `zmq`: blocking calls on plain threads, one context with its one I/O thread.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use zmq::{Context, DONTWAIT, Error, Message, POLLIN, SNDMORE, Socket, SocketType};

use super::{Bound, Contender, Entry, KNOCKING, Play, TURN};
use crate::cell::{Cell, Measure, WINDOW};
use crate::keys;
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "libzmq",
    version: || {
        let (major, minor, patch) = zmq::version();
        format!("{major}.{minor}.{patch}")
    },
    offers: |cell| {
        if cell.shared {
            Err("its sockets are not for more than one thread")
        } else {
            Ok(())
        }
    },
    make: |cell| {
        Ok(Box::new(Libzmq {
            cell: *cell,
            context: Context::new(),
        }))
    },
};

struct Libzmq {
    cell: Cell,
    context: Context,
}

impl Contender for Libzmq {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let frames = self.cell.frames;
        let sockets = letters.iter().map(|_| self.connect(SocketType::PUSH, at));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let senders = sockets.into_iter().zip(letters);
        if self.cell.pattern.measure == Measure::Gather {
            // A thread for each of a thousand letters would only tell what threads cost.
            let mut open = Vec::new();
            for (socket, letters) in senders {
                open.push(send_all(socket, letters, frames)?);
            }
            rest(open)
        } else {
            crowd(senders.map(|(socket, letters)| move || rest(send_all(socket, letters, frames)?)))
        }
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let frames = self.cell.frames;
        let sockets = tallies.iter().map(|_| self.bind(SocketType::PULL, at));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        bound.at_all(
            sockets
                .iter()
                .map(last_endpoint)
                .collect::<Result<Vec<_>, _>>()?,
        );
        crowd(
            sockets
                .into_iter()
                .zip(tallies)
                .map(|(socket, tally)| move || receive_all(&socket, tally, frames)),
        )
    }

    fn request(&self, at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let socket = self.connect(SocketType::REQ, at)?;
        let mut message = Message::new();
        while let Some(letter) = letters.next() {
            let start = Instant::now();
            socket.send(Message::from(letter), 0)?;
            socket.recv(&mut message, 0)?;
            trips.home(start, &message)?;
        }
        rest(socket)
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let socket = self.bind(SocketType::REP, at)?;
        bound.at(last_endpoint(&socket)?);
        let mut message = Message::new();
        loop {
            socket.recv(&mut message, 0)?;
            let number = tally.take(&message)?;
            socket.send(Message::from(letters.numbered(number)), 0)?;
        }
    }

    /// As an XPUB, which can be told not to drop.
    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let mut socket = self.context.socket(SocketType::XPUB)?;
        set_nodrop(&mut socket)?;
        socket.bind(at)?;
        bound.at(last_endpoint(&socket)?);
        let mut subscription = Message::new();
        while let Some(letter) = letters.knock() {
            socket.send(Message::from(letter), 0)?;
            socket.poll(POLLIN, i64::try_from(KNOCKING.as_millis())?)?;
            while socket.recv(&mut subscription, DONTWAIT).is_ok() {}
        }
        rest(send_all(socket, letters, 1)?)
    }

    fn subscribe(&self, at: &str, wishes: Wishes, mut tallies: Vec<Tally>) -> Play {
        let mut sockets = Vec::new();
        let mut message = Message::new();
        for tally in &mut tallies {
            let socket = self.context.socket(SocketType::SUB)?;
            // Subscriptions above the mark would be dropped.
            socket.set_sndhwm(0)?;
            for topic in &wishes.at_once {
                socket.set_subscribe(topic)?;
            }
            socket.connect(at)?;
            if let Some(topic) = &wishes.after_the_first {
                socket.recv(&mut message, 0)?;
                tally.take(&message)?;
                socket.set_subscribe(topic)?;
            }
            sockets.push(socket);
        }
        if tallies.len() == 1 {
            let (socket, tally) = (super::only(sockets)?, super::only(tallies)?);
            return receive_all(&socket, tally, 1);
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

    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let socket = self.connect(SocketType::DEALER, at)?;
        let mut message = Message::new();
        let mut sent = 0;
        while let Some(letter) = letters.next() {
            socket.send(Message::from(letter), 0)?;
            sent += 1;
            if sent >= WINDOW {
                socket.recv(&mut message, 0)?;
                tally.take(&message)?;
            }
        }
        rest(socket)
    }

    fn route(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let socket = self.bind(SocketType::ROUTER, at)?;
        bound.at(last_endpoint(&socket)?);
        let mut message = Message::new();
        loop {
            let mut peer = Message::new();
            socket.recv(&mut peer, 0)?;
            socket.recv(&mut message, 0)?;
            let number = tally.take(&message)?;
            socket.send(peer, SNDMORE)?;
            socket.send(Message::from(letters.numbered(number)), 0)?;
        }
    }
}

impl Libzmq {
    fn connect(&self, kind: SocketType, at: &str) -> Result<Socket, Fault> {
        let socket = self.socket(kind)?;
        if self.cell.curve {
            let client = keys::client();
            socket.set_curve_serverkey(keys::server().public_key().as_bytes())?;
            socket.set_curve_publickey(client.public_key().as_bytes())?;
            socket.set_curve_secretkey(client.secret_key().as_bytes())?;
        }
        at.split(',').try_for_each(|at| socket.connect(at))?;
        Ok(socket)
    }

    fn bind(&self, kind: SocketType, at: &str) -> Result<Socket, Fault> {
        let socket = self.socket(kind)?;
        if self.cell.curve {
            socket.set_curve_server(true)?;
            socket.set_curve_secretkey(keys::server().secret_key().as_bytes())?;
        }
        socket.bind(at)?;
        Ok(socket)
    }

    fn socket(&self, kind: SocketType) -> Result<Socket, Fault> {
        let socket = self.context.socket(kind)?;
        if let Some(mark) = self.cell.mark {
            let mark = mark.try_into()?;
            socket.set_sndhwm(mark)?;
            socket.set_rcvhwm(mark)?;
        }
        Ok(socket)
    }
}

/// Plays each role in a thread of its own, until the first of them fails.
fn crowd<R>(roles: impl Iterator<Item = R>) -> Play
where
    R: FnOnce() -> Play + Send + 'static,
{
    let (told, faults) = mpsc::sync_channel(1);
    for role in roles {
        let told = told.clone();
        thread::spawn(move || {
            let Err(fault) = role();
            // Whoever is not the first to fail is not heard.
            let _ = told.try_send(fault);
        });
    }
    drop(told);
    Err(faults.recv()?)
}

fn send_all(socket: Socket, mut letters: Letters, frames: usize) -> Result<Socket, Fault> {
    while let Some(letter) = letters.next() {
        for _ in 1..frames {
            socket.send(Message::from(letter), SNDMORE)?;
        }
        socket.send(Message::from(letter), 0)?;
    }
    Ok(socket)
}

fn receive_all(socket: &Socket, mut tally: Tally, frames: usize) -> Play {
    let mut messages: Vec<_> = (0..frames).map(|_| Message::new()).collect();
    loop {
        for message in &mut messages {
            socket.recv(message, 0)?;
        }
        match &messages[..] {
            [message] => {
                tally.take(message)?;
            }
            messages => tally.take_frames(frames, messages.iter().map(|message| &message[..]))?,
        }
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

/// Keeps what has been sent on its way when there are no more letters.
fn rest<T>(_open: T) -> Play {
    loop {
        thread::park();
    }
}

pub fn last_endpoint(socket: &Socket) -> Result<String, Fault> {
    socket
        .get_last_endpoint()?
        .map_err(|_| "an endpoint that is not text".into())
}

/// Makes a full subscriber hold the publisher up, where it would lose messages. The crate has no call for it.
pub fn set_nodrop(socket: &mut Socket) -> Result<(), Fault> {
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
