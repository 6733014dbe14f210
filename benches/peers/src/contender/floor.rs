//! What is left without a library: bare tokio sockets, one copy of each message behind a ZMTP-like frame header into a
//! big chunk, one read of a big chunk and one look at each message in it. No queue, no mark, no second peer in view.

use std::pin::Pin;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;

use super::{Bound, Contender, Entry, Play, crowd, locked, runtime, seated};
use crate::cell::{Seat, Transport};
use crate::tally::{Fault, Letters, Tally, Trips};

pub const ENTRY: Entry = Entry {
    name: "floor",
    version: || format!("tokio {}", locked("tokio")),
    offers: |cell| cell.transport != Transport::Inproc,
    make: |_| Ok(Box::new(Floor(runtime()?))),
};

struct Floor(Runtime);

impl Contender for Floor {
    fn push(&self, at: &str, mut letters: Letters) -> Play {
        let at = at.to_owned();
        seated(&self.0, Seat::Task, async move {
            let mut stream = connect(&at).await?;
            let mut chunk = Vec::new();
            loop {
                fill(&mut chunk, &mut letters);
                stream.write_all(&chunk).await?;
            }
        })
    }

    fn pull(&self, at: &str, bound: Bound, tally: Tally) -> Play {
        let at = at.to_owned();
        seated(&self.0, Seat::Task, async move {
            let listener = Listener::bind(&at, bound).await?;
            receive_all(listener.accept().await?, tally).await
        })
    }

    /// Without frames: both know the size.
    fn request(&self, at: &str, seat: Seat, mut letters: Letters, mut trips: Trips) -> Play {
        let at = at.to_owned();
        seated(&self.0, seat, async move {
            let mut stream = connect(&at).await?;
            let mut answer = letters.numbered(0).to_vec();
            loop {
                let start = Instant::now();
                stream.write_all(letters.next()).await?;
                stream.read_exact(&mut answer).await?;
                trips.home(start, &answer)?;
            }
        })
    }

    fn reply(
        &self,
        at: &str,
        seat: Seat,
        bound: Bound,
        mut tally: Tally,
        mut letters: Letters,
    ) -> Play {
        let at = at.to_owned();
        seated(&self.0, seat, async move {
            let listener = Listener::bind(&at, bound).await?;
            let mut stream = listener.accept().await?;
            let mut question = letters.numbered(0).to_vec();
            loop {
                stream.read_exact(&mut question).await?;
                let number = tally.take(&question)?;
                stream.write_all(letters.numbered(number)).await?;
            }
        })
    }

    fn publish(&self, at: &str, bound: Bound, mut letters: Letters, subscribers: usize) -> Play {
        let at = at.to_owned();
        seated(&self.0, Seat::Task, async move {
            let listener = Listener::bind(&at, bound).await?;
            let mut streams = Vec::new();
            for _ in 0..subscribers {
                streams.push(listener.accept().await?);
            }
            let mut chunk = Vec::new();
            loop {
                fill(&mut chunk, &mut letters);
                for stream in &mut streams {
                    stream.write_all(&chunk).await?;
                }
            }
        })
    }

    fn subscribe(&self, at: &str, tallies: Vec<Tally>) -> Play {
        let one = |tally| {
            let at = at.to_owned();
            async move { receive_all(connect(&at).await?, tally).await }
        };
        crowd(&self.0, tallies.into_iter().map(one))
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
    async fn bind(at: &str, bound: Bound) -> Result<Self, Fault> {
        match Address::parse(at)? {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                bound.at(format_args!("tcp://{}", listener.local_addr()?));
                Ok(Self::Tcp(listener))
            }
            Address::Ipc(path) => {
                let listener = UnixListener::bind(path)?;
                bound.at(at);
                Ok(Self::Ipc(listener))
            }
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

fn tcp(stream: TcpStream) -> Result<Stream, Fault> {
    stream.set_nodelay(true)?;
    Ok(Box::pin(stream))
}

/// Fills a chunk with framed letters, with one at least.
fn fill(chunk: &mut Vec<u8>, letters: &mut Letters) {
    chunk.clear();
    loop {
        let before = chunk.len();
        let letter = letters.next();
        match u8::try_from(letter.len()) {
            Ok(length) => chunk.extend_from_slice(&[SHORT, length]),
            Err(_) => {
                chunk.push(LONG);
                chunk.extend_from_slice(&(letter.len() as u64).to_be_bytes());
            }
        }
        chunk.extend_from_slice(letter);
        let frame = chunk.len() - before;
        if chunk.len() + frame > CHUNK {
            return;
        }
    }
}

/// Reads chunks and parses frames out of them. A frame too long for that is read into a buffer of its own.
async fn receive_all(mut stream: Stream, mut tally: Tally) -> Play {
    let mut chunk = vec![0; CHUNK];
    let mut large = Vec::new();
    let (mut start, mut end) = (0, 0);
    loop {
        let missing = loop {
            match parse(&chunk[start..end])? {
                Parsed::Frame { header, body } if body > LARGE => {
                    let here = (end - start - header).min(body);
                    large.resize(body, 0);
                    large[..here].copy_from_slice(&chunk[start + header..start + header + here]);
                    stream.read_exact(&mut large[here..]).await?;
                    tally.take(&large)?;
                    start += header + here;
                }
                Parsed::Frame { header, body } if header + body <= end - start => {
                    tally.take(&chunk[start + header..start + header + body])?;
                    start += header + body;
                }
                Parsed::Frame { header, body } => break header + body,
                Parsed::Nothing => break LONGEST_HEADER,
            }
        };
        if start == end || start + missing > CHUNK {
            chunk.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
        match stream.read(&mut chunk[end..]).await? {
            0 => return Err("the sender has gone".into()),
            read => end += read,
        }
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

const SHORT: u8 = 0;
const LONG: u8 = 2;
const LONGEST_HEADER: usize = 9;
const CHUNK: usize = 256 * 1024;
/// From here on a copy to the front of the chunk would cost more than a read of its own.
const LARGE: usize = CHUNK / 8;
