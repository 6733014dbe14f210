//! Many peers in one process, on bare TCP: the same for every library, cheap, and all that they get is checked.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process;
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, LocalSet, spawn_local};

use super::letter::{self, LETTER};
use crate::tally::Fault;

/// What all of a crowd do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are there, and answer what keeps a connection alive.
    Idle,
    /// They subscribe to everything and read it.
    All,
    /// They subscribe, told to, to topics of their own.
    Topics(u32),
}

/// Plays for ever `count` peers that connect to `at`.
///
/// Tells `connected`; `heard PHASE` when all have heard a knock of it; `count NANOSECONDS LETTERS MISSED` when asked to
/// `count`; `fault TEXT`. Obeys `subscribe`, `slow on` and `slow off`: one more subscriber that reads nothing.
pub fn play(kind: Kind, at: &str, count: usize) -> Result<Infallible, Fault> {
    let at: SocketAddr = at.trim_start_matches("tcp://").parse()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (told, mut orders) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            // The crowd has gone only when the process is about to end.
            let _ = told.send(line);
        }
        process::exit(0);
    });
    LocalSet::new().block_on(&runtime, async {
        let crowd = Rc::new(Crowd::new(kind, count));
        let streams = crowd.connect(at).await?;
        println!("connected");
        let begun = Instant::now();
        let mut slow = None;
        loop {
            let order = orders.recv().await.ok_or("no orders")?;
            match order.as_str() {
                "subscribe" => crowd.subscribe(&streams),
                "count" => println!(
                    "count {} {} {}",
                    begun.elapsed().as_nanos(),
                    crowd.taken.get(),
                    crowd.missed.get()
                ),
                "slow on" => slow = Some(open(at, "SUB", b"").await?),
                "slow off" => drop(slow.take()),
                other => return Err(format!("no order is called {other}").into()),
            }
        }
    })
}

struct Crowd {
    kind: Kind,
    count: usize,
    /// How many have heard each phase of knocking.
    heard: [Cell<usize>; letter::PHASES],
    taken: Cell<u64>,
    missed: Cell<u64>,
    /// What all read into, one after another.
    buffer: RefCell<Vec<u8>>,
}

/// One of the crowd.
struct Member {
    /// The beginning of a frame.
    begun: Vec<u8>,
    /// The number of the next letter.
    due: u64,
    /// Phases of knocking that it has heard.
    heard: usize,
}

impl Crowd {
    fn new(kind: Kind, count: usize) -> Self {
        Self {
            kind,
            count,
            heard: Default::default(),
            taken: Cell::new(0),
            missed: Cell::new(0),
            buffer: RefCell::new(vec![0; BUFFER]),
        }
    }

    /// Connects all, a few at a time.
    async fn connect(self: &Rc<Self>, at: SocketAddr) -> Result<Vec<Rc<TcpStream>>, Fault> {
        let (socket_type, topic): (_, &'static [u8]) = match self.kind {
            Kind::Idle => ("PUSH", b""),
            Kind::All => ("SUB", b""),
            Kind::Topics(_) => ("SUB", letter::KNOCKS[0]),
        };
        let places = Rc::new(Semaphore::new(AT_ONCE));
        let mut joining = JoinSet::new();
        for _ in 0..self.count {
            let places = places.clone();
            joining.spawn_local(async move {
                let _place = places.acquire().await;
                open(at, socket_type, topic).await
            });
        }
        let mut streams = Vec::new();
        while let Some(stream) = joining.join_next().await {
            let stream = Rc::new(stream??);
            streams.push(stream.clone());
            let crowd = self.clone();
            spawn_local(async move {
                let Err(fault) = crowd.serve(&stream).await;
                println!("fault {fault}");
            });
        }
        Ok(streams)
    }

    /// Each asks for its share of the topics, and then to be knocked at again.
    fn subscribe(self: &Rc<Self>, streams: &[Rc<TcpStream>]) {
        let Kind::Topics(topics) = self.kind else {
            return;
        };
        for (first, stream) in (0..).zip(streams) {
            let mut octets = Vec::new();
            for topic in (first..topics).step_by(streams.len()) {
                put_subscribe(&mut octets, &letter::topic(topic));
            }
            put_subscribe(&mut octets, letter::KNOCKS[1]);
            let stream = stream.clone();
            spawn_local(async move {
                if let Err(error) = write_all(&stream, &octets).await {
                    println!("fault {error}");
                }
            });
        }
    }

    /// Reads for one of them, for ever.
    async fn serve(&self, stream: &TcpStream) -> Result<Infallible, Fault> {
        let mut member = Member {
            begun: Vec::new(),
            due: 0,
            heard: 0,
        };
        loop {
            stream.readable().await?;
            let mut buffer = self.buffer.borrow_mut();
            let begun = member.begun.len();
            buffer[..begun].copy_from_slice(&member.begun);
            let read = match stream.try_read(&mut buffer[begun..]) {
                Ok(0) => return Err("the library has closed a connection".into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let mut octets = &buffer[..begun + read];
            while let Some((flags, body, rest)) = frame(octets)? {
                if flags & COMMAND != 0 {
                    answer(stream, body)?;
                } else {
                    self.take(&mut member, body)?;
                }
                octets = rest;
            }
            member.begun.clear();
            member.begun.extend_from_slice(octets);
        }
    }

    /// A letter must be whole and later than the one before.
    fn take(&self, member: &mut Member, octets: &[u8]) -> Result<(), Fault> {
        if let Some(phase) = letter::knock(octets) {
            if member.heard < phase {
                member.heard = phase;
                let heard = &self.heard[phase - 1];
                heard.set(heard.get() + 1);
                if heard.get() == self.count {
                    println!("heard {phase}");
                }
            }
            return Ok(());
        }
        let number = letter::number(octets).ok_or("a letter that is cut or altered")?;
        if number < member.due {
            return Err(
                format!("letter {number} came again or late, {} was due", member.due).into(),
            );
        }
        if self.kind == Kind::All && member.due > 0 {
            self.missed.set(self.missed.get() + number - member.due);
        }
        member.due = number + 1;
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }
}

/// Connects, shakes hands and subscribes, if it is a subscriber.
async fn open(at: SocketAddr, socket_type: &str, topic: &[u8]) -> Result<TcpStream, Fault> {
    let mut stream = TcpStream::connect(at).await?;
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10..12].copy_from_slice(&[3, 1]);
    greeting[12..16].copy_from_slice(b"NULL");
    let mut octets = greeting.to_vec();
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend(u32::try_from(socket_type.len())?.to_be_bytes());
    ready.extend(socket_type.as_bytes());
    put_command(&mut octets, &ready);
    stream.write_all(&octets).await?;
    stream.read_exact(&mut greeting).await?;
    let mut header = [0; 2];
    stream.read_exact(&mut header).await?;
    let mut ready = vec![0; usize::from(header[1])];
    stream.read_exact(&mut ready).await?;
    if header[0] != COMMAND || !ready.starts_with(b"\x05READY") {
        return Err("the handshake failed".into());
    }
    if socket_type == "SUB" {
        let mut octets = Vec::new();
        put_subscribe(&mut octets, topic);
        stream.write_all(&octets).await?;
    }
    Ok(stream)
}

/// Flags and body of the first frame, and what comes behind it, if it is there whole.
fn frame(octets: &[u8]) -> Result<Option<(u8, &[u8], &[u8])>, Fault> {
    let [flags, len, rest @ ..] = octets else {
        return Ok(None);
    };
    if flags & !COMMAND != 0 {
        return Err("a frame that is long, or not the last".into());
    }
    let body = rest.split_at_checked(usize::from(*len));
    Ok(body.map(|(body, rest)| (*flags, body, rest)))
}

/// A PING wants its context back.
fn answer(stream: &TcpStream, command: &[u8]) -> Result<(), Fault> {
    let Some(ping) = command.strip_prefix(b"\x04PING") else {
        return Ok(());
    };
    let mut pong = b"\x04PONG".to_vec();
    pong.extend(ping.get(2..).unwrap_or_default());
    let mut octets = Vec::new();
    put_command(&mut octets, &pong);
    // An idle connection takes a few octets.
    stream.try_write(&octets)?;
    Ok(())
}

async fn write_all(stream: &TcpStream, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        stream.writable().await?;
        match stream.try_write(octets) {
            Ok(written) => octets = &octets[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn put_subscribe(octets: &mut Vec<u8>, topic: &[u8]) {
    put_command(octets, &[b"\x09SUBSCRIBE", topic].concat());
}

/// All of ours are short.
fn put_command(octets: &mut Vec<u8>, body: &[u8]) {
    octets.push(COMMAND);
    octets.push(u8::try_from(body.len()).unwrap_or(u8::MAX));
    octets.extend(body);
}

/// The bit of the flags that says so.
const COMMAND: u8 = 4;
/// Handshakes under way at a time: no library is to take the crowd for an attack.
const AT_ONCE: usize = 16;
/// Room for many letters, and the beginning of one before them.
const BUFFER: usize = (256 << 10) + LETTER + 2;
