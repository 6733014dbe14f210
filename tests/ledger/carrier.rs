//! What messages are carried by, who reads them, and what the counters have to say of them.

use std::fmt;
use std::sync::Arc;

use jackstay::pattern::{CanReceive, Pattern};
use jackstay::security::Security;
#[cfg(feature = "curve")]
use jackstay::security::{AnyClient, KeyPair};
use jackstay::{Builder, Endpoint, Message, PeerId, RecvError, Socket, Stats};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::note::Book;
use crate::support::{Transport, eventually, within};

/// A transport, encrypted or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Plain(Transport),
    #[cfg(feature = "curve")]
    Curve(Transport),
}

#[cfg(feature = "curve")]
static SERVER: std::sync::LazyLock<Arc<KeyPair>> =
    std::sync::LazyLock::new(|| Arc::new(KeyPair::generate().expect("randomness")));

impl Carrier {
    pub fn transport(self) -> Transport {
        match self {
            Self::Plain(transport) => transport,
            #[cfg(feature = "curve")]
            Self::Curve(transport) => transport,
        }
    }

    /// The side that binds.
    pub fn bound<P: Pattern>(self, builder: Builder<P>) -> Arc<Socket<P>> {
        let security = match self {
            Self::Plain(_) => Security::default(),
            #[cfg(feature = "curve")]
            Self::Curve(_) => Security::curve_server(SERVER.clone(), AnyClient),
        };
        Arc::new(builder.security(security).build())
    }

    /// The side that connects.
    pub fn connected<P: Pattern>(self, builder: Builder<P>) -> Arc<Socket<P>> {
        let security = match self {
            Self::Plain(_) => Security::default(),
            #[cfg(feature = "curve")]
            Self::Curve(_) => {
                let own = KeyPair::generate().expect("randomness");
                Security::curve_client(*SERVER.public_key(), own)
            }
        };
        Arc::new(builder.security(security).build())
    }

    /// `n` messages, or fewer if each costs more.
    pub fn fewer(self, n: u64) -> u64 {
        match self {
            Self::Plain(_) => n,
            #[cfg(feature = "curve")]
            Self::Curve(_) => n / 4,
        }
    }

    pub fn is_wire(self) -> bool {
        self.transport() != Transport::Inproc
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(transport) => write!(f, "{transport:?}"),
            #[cfg(feature = "curve")]
            Self::Curve(transport) => write!(f, "CURVE over {transport:?}"),
        }
    }
}

/// Runs a scenario, written as `async fn(Carrier)`, over each carrier, and over tcp on a single thread, too.
macro_rules! over_each_carrier {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::carrier::Carrier;
            use crate::support::{Transport, whole};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn tcp() {
                whole(super::$test(Carrier::Plain(Transport::Tcp))).await;
            }

            #[tokio::test]
            async fn tcp_on_one_thread() {
                whole(super::$test(Carrier::Plain(Transport::Tcp))).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn ipc() {
                whole(super::$test(Carrier::Plain(Transport::Ipc))).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn inproc() {
                whole(super::$test(Carrier::Plain(Transport::Inproc))).await;
            }

            #[cfg(feature = "curve")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn curve_over_tcp() {
                whole(super::$test(Carrier::Curve(Transport::Tcp))).await;
            }

            #[cfg(feature = "curve")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn curve_over_ipc() {
                whole(super::$test(Carrier::Curve(Transport::Ipc))).await;
            }
        }
    )+};
}
pub(crate) use over_each_carrier;

/// Connects `connected`, and returns how `bound` knows it.
pub async fn acquaint<A: Pattern, B: Pattern>(
    bound: &Socket<A>,
    connected: &Socket<B>,
    at: &Endpoint,
) -> PeerId {
    let known: Vec<_> = bound.peers().iter().map(|peer| peer.id()).collect();
    connected.connect(at).expect("a good endpoint");
    within(bound.wait_for_peers(known.len() + 1)).await.unwrap();
    within(connected.wait_for_peers(1)).await.unwrap();
    let peers = bound.peers();
    let newcomer = peers.iter().find(|peer| !known.contains(&peer.id()));
    newcomer.expect("it came").id()
}

/// A task that books all that a socket receives.
pub struct Reader<P: Pattern> {
    pub socket: Arc<Socket<P>>,
    stop: CancellationToken,
    task: JoinHandle<Book>,
}

impl<P: CanReceive + 'static> Reader<P> {
    pub fn new(socket: &Arc<Socket<P>>) -> Self {
        Self::going_on(socket, Book::default())
    }

    /// With what was booked before.
    pub fn going_on(socket: &Arc<Socket<P>>, mut book: Book) -> Self {
        let stop = CancellationToken::new();
        let (reads, stopped) = (socket.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut stopped = std::pin::pin!(stopped.cancelled());
            let mut messages = Vec::new();
            for most in (1..9).cycle() {
                tokio::select! {
                    biased;
                    received = receive(&reads, &mut messages, most) => if received.is_err() {
                        break;
                    },
                    () = &mut stopped => break,
                };
                for message in messages.drain(..) {
                    book.take(&message);
                }
            }
            book
        });
        let socket = socket.clone();
        Self { socket, stop, task }
    }

    /// Waits until `expected` messages in all have arrived at this socket and none is left to be read. Then not one
    /// more has been read, and nothing was dropped.
    pub async fn until(self, expected: u64) -> Book {
        eventually(|| {
            let stats = self.socket.stats();
            assert!(
                stats.messages_received <= expected,
                "{expected} messages were handed over, and this came: {stats:?}"
            );
            (stats.messages_received == expected && stats.queued_in == 0) || self.is_finished()
        })
        .await;
        let socket = self.socket.clone();
        let book = self.stop().await;
        assert_eq!(read(&socket.stats()), book.count(), "{:?}", socket.stats());
        book
    }

    /// Whether the socket was closed, or a message was not as it should be.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// What was read until now, or until the socket was closed.
    pub async fn stop(self) -> Book {
        self.stop.cancel();
        within(self.task).await.expect("every message was in order")
    }
}

/// Receives a message alone, or up to `most` by the call for many.
async fn receive<P: CanReceive>(
    socket: &Socket<P>,
    messages: &mut Vec<Message>,
    most: usize,
) -> Result<(), RecvError> {
    if most == 1 {
        messages.push(socket.recv().await?);
    } else {
        socket.recv_many(messages, most).await?;
    }
    Ok(())
}

/// What `socket` counts once everything has left it.
pub async fn drained<P: Pattern>(socket: &Socket<P>) -> Stats {
    eventually(|| socket.stats().queued_out == 0).await;
    socket.stats()
}

/// What `send` took and the operating system has, of a socket that does not conflate what it receives.
pub fn handed_over(stats: &Stats) -> u64 {
    let dropped = &stats.dropped;
    stats.messages_sent
        - stats.queued_out as u64
        - dropped.peer_gone
        - dropped.linger
        - dropped.conflated
        - dropped.withdrawn
}

/// What arrived and was read, of a socket that does not conflate what it sends.
pub fn read(stats: &Stats) -> u64 {
    let dropped = &stats.dropped;
    stats.messages_received
        - stats.queued_in as u64
        - dropped.malformed
        - dropped.unexpected
        - dropped.forbidden
        - dropped.unmatched
        - dropped.unread
}

/// Says how a scenario ended; `--nocapture` shows it.
pub fn tell(scenario: &str, over: Carrier, sent: u64, delivered: u64, dropped: u64) {
    println!("ledger: {scenario}, {over}: sent {sent}, delivered {delivered}, dropped {dropped}");
}
