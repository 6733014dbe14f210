//! The library under test, in a process of its own: it accepts a crowd, or publishes to one.

use std::convert::Infallible;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use jackstay::{Heartbeat, Message, OnFull, PubSocket, PullSocket};
use tokio::runtime::Runtime;
use tokio::time::sleep;
use zmq::{Context, DONTWAIT, POLLIN, SocketType};

use super::letter::Sheet;
use crate::contender::libzmq::{last_endpoint, set_nodrop};
use crate::tally::Fault;

/// Who is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    Jackstay,
    Libzmq,
}

pub const LIBRARIES: [Library; 2] = [Library::Libzmq, Library::Jackstay];

impl Library {
    pub fn name(self) -> &'static str {
        match self {
            Self::Jackstay => "jackstay",
            Self::Libzmq => "libzmq",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        LIBRARIES.into_iter().find(|known| known.name() == name)
    }
}

/// Binds a PULL and tells `at ENDPOINT`; then, told `heap`, how many octets of the heap are in use.
pub fn hold(library: Library, heartbeat: bool) -> Result<Infallible, Fault> {
    match library {
        Library::Jackstay => {
            let runtime = Runtime::new()?;
            let mut builder = PullSocket::builder();
            if heartbeat {
                builder = builder.heartbeat(Heartbeat::every(HEARTBEAT)?);
            }
            let socket = builder.build();
            println!("at {}", runtime.block_on(socket.bind(ANYWHERE))?);
            obey(|_| Ok(()))
        }
        Library::Libzmq => {
            let socket = Context::new().socket(SocketType::PULL)?;
            if heartbeat {
                socket.set_heartbeat_ivl(HEARTBEAT.as_millis().try_into()?)?;
            }
            socket.bind(ANYWHERE)?;
            println!("at {}", last_endpoint(&socket)?);
            // Its newcomers are taken in by the thread that uses it.
            obey(|_| match socket.poll(POLLIN, 0) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            })
        }
    }
}

/// Binds a PUB, or an XPUB where only that can wait, and tells `at ENDPOINT`. Then it obeys: `knock PHASE` until told
/// otherwise; `send TOPICS` without end, of so many topics; `rest`, upon which it tells how many letters it has `sent`;
/// `heap`.
pub fn publish(library: Library, waits: bool) -> Result<Infallible, Fault> {
    let desk = Arc::new(Desk::default());
    let author = Author::new(desk.clone());
    thread::spawn(move || {
        let outcome = match library {
            Library::Jackstay => publish_with_jackstay(author, waits),
            Library::Libzmq => publish_with_libzmq(author, waits),
        };
        let Err(fault) = outcome;
        println!("fault {fault}");
    });
    obey(|order| desk.obey(order))
}

fn publish_with_jackstay(mut author: Author, waits: bool) -> Result<Infallible, Fault> {
    Runtime::new()?.block_on(async {
        let role = tokio::spawn(async move {
            let on_full = if waits { OnFull::Wait } else { OnFull::Drop };
            let socket = PubSocket::builder().on_full(on_full).build();
            println!("at {}", socket.bind(ANYWHERE).await?);
            loop {
                match author.next() {
                    Step::Send(letter) => socket.send(Message::copy_from_slice(letter)).await?,
                    Step::Knock(letter) => {
                        socket.send(Message::copy_from_slice(letter)).await?;
                        sleep(KNOCKING).await;
                    }
                    Step::Rest => sleep(MOMENT).await,
                }
            }
        });
        role.await?
    })
}

fn publish_with_libzmq(mut author: Author, waits: bool) -> Result<Infallible, Fault> {
    let mut socket = Context::new().socket(SocketType::XPUB)?;
    if waits {
        set_nodrop(&mut socket)?;
    }
    socket.bind(ANYWHERE)?;
    println!("at {}", last_endpoint(&socket)?);
    let mut subscription = zmq::Message::new();
    loop {
        let pause = match author.next() {
            Step::Send(letter) => {
                socket.send(zmq::Message::from(letter), 0)?;
                continue;
            }
            Step::Knock(letter) => {
                socket.send(zmq::Message::from(letter), 0)?;
                KNOCKING
            }
            Step::Rest => MOMENT,
        };
        socket.poll(POLLIN, pause.as_millis().try_into()?)?;
        while socket.recv(&mut subscription, DONTWAIT).is_ok() {}
    }
}

/// What the publisher is to do, where its thread looks between letters.
#[derive(Default)]
struct Desk {
    sends: AtomicBool,
    topics: AtomicU32,
    /// The phase of knocking; 0 is none.
    knocks: AtomicUsize,
}

impl Desk {
    fn obey(&self, order: &str) -> Result<(), Fault> {
        let (word, number) = order.split_once(' ').unwrap_or((order, ""));
        self.knocks.store(0, Ordering::Relaxed);
        match word {
            "knock" => self.knocks.store(number.parse()?, Ordering::Relaxed),
            "send" => {
                self.topics.store(number.parse()?, Ordering::Relaxed);
                self.sends.store(true, Ordering::Release);
            }
            "rest" => self.sends.store(false, Ordering::Release),
            _ => {}
        }
        Ok(())
    }
}

/// Writes what the desk asks for.
struct Author {
    desk: Arc<Desk>,
    sheet: Sheet,
    /// How many letters are written.
    number: u64,
    /// Whether the last step was a letter.
    sending: bool,
}

enum Step<'a> {
    Send(&'a [u8]),
    /// A letter, and a pause.
    Knock(&'a [u8]),
    /// A pause.
    Rest,
}

impl Author {
    fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            sheet: Sheet::new(),
            number: 0,
            sending: false,
        }
    }

    fn next(&mut self) -> Step<'_> {
        if self.desk.sends.load(Ordering::Acquire) {
            self.sending = true;
            let number = self.number;
            self.number += 1;
            let topics = u64::from(self.desk.topics.load(Ordering::Relaxed).max(1));
            // Topics come in no order that a cache could learn.
            let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            let topic = u32::try_from(scattered % topics).unwrap_or_default();
            return Step::Send(self.sheet.write(topic, number));
        }
        if std::mem::take(&mut self.sending) {
            println!("sent {}", self.number);
        }
        match self.desk.knocks.load(Ordering::Relaxed) {
            0 => Step::Rest,
            phase => Step::Knock(self.sheet.knock(phase)),
        }
    }
}

/// Obeys the parent: `heap` here, the rest by `order`. Ends with the parent.
fn obey(order: impl Fn(&str) -> Result<(), Fault>) -> Result<Infallible, Fault> {
    for line in io::stdin().lines() {
        let line = line?;
        order(&line)?;
        if line == "heap" {
            println!("heap {}", heap());
        }
    }
    process::exit(0)
}

/// Octets of the heap in use, whoever took them: both libraries use the allocator of the system.
fn heap() -> usize {
    #[expect(unsafe_code, reason = "the allocator tells in no other way")]
    // SAFETY: it takes no arguments and reads the allocator's own counts, under the allocator's own locks.
    let counts = unsafe { libc::mallinfo2() };
    counts.uordblks + counts.hblkhd
}

const ANYWHERE: &str = "tcp://127.0.0.1:0";
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Between two knocks: long enough for a crowd of ten thousand that is still coming, each of whom is knocked at.
const KNOCKING: Duration = Duration::from_millis(300);
const MOMENT: Duration = Duration::from_millis(1);
