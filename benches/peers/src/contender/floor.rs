//! What is left without a library: bare tokio sockets, one copy of each message behind a ZMTP-like frame header into a
//! big chunk, one read of a big chunk and one look at each message in it. No queue, no mark, no order among peers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::channel::Channel;
use super::{Bound, Contender, Entry, KNOCKING, Play, locked, perform, rest, runtime};
use crate::cell::{Cell, KIB, Measure, Seat, Transport, WINDOW};
use crate::tally::{Fault, Letters, Tally, Trips, Wishes};

pub const ENTRY: Entry = Entry {
    name: "floor",
    version: || format!("tokio {}", locked("tokio")),
    offers: |cell| {
        if cell.pattern.topics > 0 {
            Err("no library, no filter")
        } else if cell.curve {
            Err("no library, no keys")
        } else if cell.shared || cell.frames > 1 || cell.seat == Seat::Blocking {
            Err("the wire knows no sockets to share, no frames and no blocking calls")
        } else {
            Ok(())
        }
    },
    make: |cell| {
        let (seat, runtime) = (cell.seat, runtime(cell.seat)?);
        Ok(if cell.transport == Transport::Inproc {
            Box::new(Channel {
                runtime,
                seat,
                far: Mutex::default(),
            })
        } else {
            Box::new(Floor {
                cell: *cell,
                runtime,
            })
        })
    },
};

struct Floor {
    cell: Cell,
    runtime: Runtime,
}

impl Contender for Floor {
    fn push(&self, at: &str, letters: Vec<Letters>) -> Play {
        let one = |mut letters| {
            let at = at.to_owned();
            async move {
                let mut streams = Vec::new();
                for at in at.split(',') {
                    streams.push(connect(at).await?);
                }
                let mut chunk = Vec::new();
                for turn in (0..streams.len()).cycle() {
                    chunk.clear();
                    if !fill(&mut chunk, &mut letters) {
                        break;
                    }
                    streams[turn].write_all(&chunk).await?;
                }
                rest(streams).await
            }
        };
        self.perform(letters.into_iter().map(one))
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let mut listeners = Vec::new();
        for _ in &tallies {
            listeners.push(self.runtime.block_on(Listener::bind(at))?);
        }
        let endpoints: Vec<_> = listeners.iter().map(|(_, at)| at.clone()).collect();
        bound.at_all(endpoints);
        let (senders, chunk) = (self.cell.senders, self.chunk());
        let one = |((listener, _), mut tally): ((Listener, String), Tally)| async move {
            if senders == 1 {
                return receive_all(Reader::new(listener.accept().await?, chunk), |letter| {
                    tally.take(letter).map(drop)
                })
                .await;
            }
            // Each connection has a reader, and all have one tally.
            let tally = Arc::new(Mutex::new(tally));
            let mut readers = tokio::task::JoinSet::new();
            for _ in 0..senders {
                let stream = listener.accept().await?;
                let tally = Arc::clone(&tally);
                readers.spawn(receive_all(Reader::new(stream, chunk), move |letter| {
                    lock(&tally).take(letter).map(drop)
                }));
            }
            readers.join_next().await.ok_or("no senders")??
        };
        self.perform(listeners.into_iter().zip(tallies).map(one))
    }

    /// Without frames: both know the size.
    fn request(&self, at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let mut stream = connect(&at).await?;
            let mut answer = letters.numbered(0).to_vec();
            while let Some(letter) = letters.next() {
                let start = Instant::now();
                stream.write_all(letter).await?;
                stream.read_exact(&mut answer).await?;
                trips.home(start, &answer)?;
            }
            rest(stream).await
        }])
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let mut stream = accept(&at, bound).await?;
            let mut question = letters.numbered(0).to_vec();
            loop {
                stream.read_exact(&mut question).await?;
                let number = tally.take(&question)?;
                stream.write_all(letters.numbered(number)).await?;
            }
        }])
    }

    fn publish(&self, at: &str, bound: Bound, mut letters: Letters) -> Play {
        let (at, subscribers) = (at.to_owned(), self.cell.receivers);
        self.perform([async move {
            let (listener, place) = Listener::bind(&at).await?;
            bound.at(place);
            let mut streams = Vec::new();
            for _ in 0..subscribers {
                streams.push(listener.accept().await?);
            }
            let mut chunk = Vec::new();
            loop {
                chunk.clear();
                if let Some(letter) = letters.knock() {
                    frame(&mut chunk, letter);
                    sleep(KNOCKING).await;
                } else if !fill(&mut chunk, &mut letters) {
                    break;
                }
                for stream in &mut streams {
                    stream.write_all(&chunk).await?;
                }
            }
            rest(streams).await
        }])
    }

    fn subscribe(&self, at: &str, _wishes: Wishes, tallies: Vec<Tally>) -> Play {
        let chunk = self.chunk();
        let one = |mut tally: Tally| {
            let at = at.to_owned();
            async move {
                let reader = Reader::new(connect(&at).await?, chunk);
                receive_all(reader, |letter| tally.take(letter).map(drop)).await
            }
        };
        self.perform(tallies.into_iter().map(one))
    }

    /// Asks again, in one write, as much as one read has answered.
    fn deal(&self, at: &str, mut letters: Letters, mut tally: Tally) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let mut reader = Reader::new(connect(&at).await?, CHUNK);
            let mut chunk = Vec::new();
            let mut room = WINDOW;
            loop {
                chunk.clear();
                for _ in 0..room {
                    frame(&mut chunk, letters.next().unwrap_or_default());
                }
                reader.stream.write_all(&chunk).await?;
                room = 0;
                reader
                    .read(&mut |letter| {
                        room += 1;
                        tally.take(letter).map(drop)
                    })
                    .await?;
            }
        }])
    }

    fn route(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let at = at.to_owned();
        self.perform([async move {
            let mut reader = Reader::new(accept(&at, bound).await?, CHUNK);
            let mut chunk = Vec::new();
            loop {
                chunk.clear();
                reader
                    .read(&mut |letter| {
                        frame(&mut chunk, letters.numbered(tally.take(letter)?));
                        Ok(())
                    })
                    .await?;
                reader.stream.write_all(&chunk).await?;
            }
        }])
    }
}

impl Floor {
    fn perform<R>(&self, roles: impl IntoIterator<Item = R>) -> Play
    where
        R: Future<Output = Play> + Send + 'static,
    {
        perform(&self.runtime, self.cell.seat, roles)
    }

    /// What is read at once. A reader that waits for a single small message has a small buffer.
    fn chunk(&self) -> usize {
        match self.cell.pattern.measure {
            Measure::Gather => KIB,
            Measure::Rate | Measure::RoundTrip => CHUNK,
        }
    }
}

/// Either transport behind one pointer: a call through it is paid once a chunk.
type Stream = Pin<Box<dyn Both>>;

trait Both: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Both for T {}

enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

impl Listener {
    /// Comes with the endpoint to connect to.
    async fn bind(at: &str) -> Result<(Self, String), Fault> {
        match Address::parse(at)? {
            Address::Tcp(address) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(address.parse()?)?;
                let listener = socket.listen(BACKLOG)?;
                let place = format!("tcp://{}", listener.local_addr()?);
                Ok((Self::Tcp(listener), place))
            }
            Address::Ipc(path) => Ok((Self::Ipc(UnixListener::bind(path)?), at.to_owned())),
        }
    }

    async fn accept(&self) -> Result<Stream, Fault> {
        match self {
            Self::Tcp(listener) => tcp(listener.accept().await?.0),
            Self::Ipc(listener) => Ok(Box::pin(listener.accept().await?.0)),
        }
    }
}

enum Address<'a> {
    Tcp(&'a str),
    Ipc(&'a str),
}

impl<'a> Address<'a> {
    fn parse(endpoint: &'a str) -> Result<Self, Fault> {
        match endpoint.split_once("://") {
            Some(("tcp", address)) => Ok(Self::Tcp(address)),
            Some(("ipc", path)) => Ok(Self::Ipc(path)),
            _ => Err(format!("no floor under {endpoint}").into()),
        }
    }
}

async fn connect(at: &str) -> Result<Stream, Fault> {
    match Address::parse(at)? {
        Address::Tcp(address) => tcp(TcpStream::connect(address).await?),
        Address::Ipc(path) => Ok(Box::pin(UnixStream::connect(path).await?)),
    }
}

/// Binds, and accepts the only peer.
async fn accept(at: &str, bound: Bound) -> Result<Stream, Fault> {
    let (listener, place) = Listener::bind(at).await?;
    bound.at(place);
    listener.accept().await
}

fn tcp(stream: TcpStream) -> Result<Stream, Fault> {
    stream.set_nodelay(true)?;
    Ok(Box::pin(stream))
}

/// Fills a chunk with framed letters, with one at least; `false` when there are no more.
fn fill(chunk: &mut Vec<u8>, letters: &mut Letters) -> bool {
    while let Some(letter) = letters.next() {
        let before = chunk.len();
        frame(chunk, letter);
        let frame = chunk.len() - before;
        if chunk.len() + frame > CHUNK {
            break;
        }
    }
    !chunk.is_empty()
}

fn frame(chunk: &mut Vec<u8>, letter: &[u8]) {
    match u8::try_from(letter.len()) {
        Ok(length) => chunk.extend_from_slice(&[SHORT, length]),
        Err(_) => {
            chunk.push(LONG);
            chunk.extend_from_slice(&(letter.len() as u64).to_be_bytes());
        }
    }
    chunk.extend_from_slice(letter);
}

async fn receive_all(mut reader: Reader, mut take: impl FnMut(&[u8]) -> Result<(), Fault>) -> Play {
    loop {
        reader.read(&mut take).await?;
    }
}

/// Reads chunks and parses frames out of them. A frame too long for that is read into a buffer of its own.
struct Reader {
    stream: Stream,
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    large: Vec<u8>,
}

impl Reader {
    fn new(stream: Stream, chunk: usize) -> Self {
        Self {
            stream,
            chunk: vec![0; chunk],
            start: 0,
            end: 0,
            large: Vec::new(),
        }
    }

    /// Reads once, and hands over all the letters that are whole by now.
    async fn read(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.stream.read(&mut self.chunk[self.end..]).await? {
            0 => return Err("the other side has gone".into()),
            read => self.end += read,
        }
        let missing = loop {
            let Self {
                chunk, start, end, ..
            } = self;
            match parse(&chunk[*start..*end])? {
                Parsed::Frame { header, body } if header + body <= *end - *start => {
                    take(&chunk[*start + header..*start + header + body])?;
                    *start += header + body;
                }
                Parsed::Frame { header, body } if body > chunk.len() / 8 => {
                    self.large.clear();
                    self.large.extend_from_slice(&chunk[*start + header..*end]);
                    let here = self.large.len();
                    self.large.resize(body, 0);
                    (self.start, self.end) = (0, 0);
                    self.stream.read_exact(&mut self.large[here..]).await?;
                    take(&self.large)?;
                }
                Parsed::Frame { header, body } => break header + body,
                Parsed::Nothing => break LONGEST_HEADER,
            }
        };
        if self.start == self.end || self.start + missing > self.chunk.len() {
            self.chunk.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        Ok(())
    }
}

enum Parsed {
    Frame { header: usize, body: usize },
    Nothing,
}

fn parse(octets: &[u8]) -> Result<Parsed, Fault> {
    Ok(match octets {
        [SHORT, length, ..] => Parsed::Frame {
            header: 2,
            body: usize::from(*length),
        },
        [LONG, rest @ ..] => match rest.first_chunk() {
            Some(length) => Parsed::Frame {
                header: LONGEST_HEADER,
                body: u64::from_be_bytes(*length).try_into()?,
            },
            None => Parsed::Nothing,
        },
        [] | [SHORT] => Parsed::Nothing,
        [other, ..] => return Err(format!("a frame begins with {other}").into()),
    })
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHORT: u8 = 0;
const LONG: u8 = 2;
const LONGEST_HEADER: usize = 9;
const CHUNK: usize = 256 * KIB;
/// Enough for all cells: who finds no place in it comes a second later.
const BACKLOG: u32 = 4096;
