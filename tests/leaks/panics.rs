//! Code of others that panics in a task of ours. It costs a connection at most: nobody hangs, the socket goes on, nothing is left.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::Duration;

use bytes::Bytes;
use jackstay::pattern::{CanSend, Pattern, Push};
use jackstay::security::{Authenticator, Candidate, Decision, Permissions, Principal, Security};
use jackstay::{
    Builder, DealerSocket, Identity, Message, PubSocket, PullSocket, PushSocket, Reconnect,
    RouterSocket, Socket, SubSocket,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::yield_now;

use crate::alone::{Held, alone};

use crate::support::{Transport, eventually, join, join_at, number_of, numbered, within};

const ANYWHERE: &str = "tcp://127.0.0.1:0";
/// What the panics of these tests say, which nobody needs to read.
const ON_PURPOSE: &str = "on purpose";

/// Panics once, at the time when it has been touched so often.
#[derive(Debug)]
struct Fuse(AtomicUsize);

impl Fuse {
    fn new(touches: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(touches)))
    }

    fn touch(&self) {
        let left = |touches: usize| touches.checked_sub(1);
        let touched = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        if touched == Ok(1) {
            std::panic::panic_any(ON_PURPOSE);
        }
    }

    fn is_blown(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// Runs `test`, and looks whether anything is left of it.
fn breaks_nothing<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&ON_PURPOSE) {
            told(info);
        }
    }));
    alone(|| async {
        let before = Held::now();
        test().await;
        before.is_restored().await;
    });
}

/// Comes back soon.
fn soon<P: Pattern>() -> Builder<P> {
    let millisecond = Duration::from_millis(1);
    Socket::builder().reconnect(Reconnect::default().first(millisecond))
}

/// Whoever comes next is served.
async fn goes_on(pull: &PullSocket) {
    let at = pull.bind(ANYWHERE).await.unwrap();
    let push = soon::<Push>().build();
    join_at(pull, &push, &at).await;
    push.send("next").await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "next");
    within(push.close()).await.unwrap();
}

/// Sends the same again and again.
async fn again<P: CanSend>(socket: &Socket<P>) {
    loop {
        socket.send("again").await.unwrap();
        yield_now().await;
    }
}

/// Panics where it is asked.
#[derive(Debug, Clone)]
struct Touchy {
    asked: Question,
    fuse: Arc<Fuse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Before there is a future.
    Who,
    /// In the future.
    WhoThen,
    Identity,
    Sending,
    Subscribing,
}

impl Touchy {
    fn at(&self, question: Question) {
        if self.asked == question {
            self.fuse.touch();
        }
    }
}

impl Authenticator for Touchy {
    fn authenticate<'a>(&'a self, _: &'a Candidate) -> Decision<'a> {
        self.at(Question::Who);
        Box::pin(async {
            self.at(Question::WhoThen);
            Ok(Principal::new("somebody").restricted(Arc::new(self.clone())))
        })
    }
}

impl Permissions for Touchy {
    fn may_use_identity(&self, _: &Principal, _: &Identity) -> bool {
        self.at(Question::Identity);
        true
    }

    fn may_send(&self, _: &Principal) -> bool {
        self.at(Question::Sending);
        true
    }

    fn may_subscribe(&self, _: &Principal, _: &[u8]) -> bool {
        self.at(Question::Subscribing);
        true
    }
}

/// An authenticator that panics once, and what says whether it has.
fn touchy(asked: Question) -> (Security, Arc<Fuse>) {
    let fuse = Fuse::new(1);
    let security = Security::null(Touchy {
        asked,
        fuse: fuse.clone(),
    });
    (security, fuse)
}

#[test]
fn an_authenticator_that_panics_costs_that_connection() {
    use Question::{Identity as Name, Sending, Who, WhoThen};
    for asked in [Who, WhoThen, Name, Sending] {
        breaks_nothing(|| async {
            let (security, fuse) = touchy(asked);
            let router = RouterSocket::builder().security(security).build();
            let at = router.bind(ANYWHERE).await.unwrap();
            let dealer: DealerSocket = soon()
                .identity(Identity::try_from("dealer").unwrap())
                .unwrap()
                .build();
            dealer.connect(&at).unwrap();
            // What the first connection has taken is lost with it.
            let message = tokio::select! {
                message = within(router.recv_from()) => message.unwrap().1,
                () = again(&dealer) => unreachable!(),
            };
            assert_eq!(message, "again");
            assert!(fuse.is_blown());
            within(dealer.close()).await.unwrap();
            within(router.close()).await.unwrap();
        });
    }
}

#[test]
fn an_authenticator_that_panics_where_a_socket_connects_costs_that_connection() {
    for asked in [Question::Who, Question::WhoThen, Question::Sending] {
        breaks_nothing(|| async {
            let push = PushSocket::new();
            let at = push.bind(ANYWHERE).await.unwrap();
            let (security, fuse) = touchy(asked);
            let pull: PullSocket = soon().security(security).build();
            pull.connect(&at).unwrap();
            within(pull.wait_for_peers(1)).await.unwrap();
            assert!(fuse.is_blown());
            // What the first connection has taken is lost with it.
            let message = tokio::select! {
                message = within(pull.recv()) => message.unwrap(),
                () = again(&push) => unreachable!(),
            };
            assert_eq!(message, "again");
            within(push.close()).await.unwrap();
            within(pull.close()).await.unwrap();
        });
    }
}

#[test]
fn permissions_that_panic_cost_the_subscriber_its_connection() {
    breaks_nothing(|| async {
        let (security, fuse) = touchy(Question::Subscribing);
        let publisher = PubSocket::builder().security(security).build();
        let at = publisher.bind(ANYWHERE).await.unwrap();
        let subscriber: SubSocket = soon().build();
        subscriber.subscribe("news").unwrap();
        subscriber.connect(&at).unwrap();
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        assert!(fuse.is_blown());
        publisher.send("news").await.unwrap();
        assert_eq!(within(subscriber.recv()).await.unwrap(), "news");
    });
}

/// A stream that panics in one of its methods.
struct Faulty {
    stream: DuplexStream,
    method: Method,
    fuse: Arc<Fuse>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Read,
    Write,
    Flush,
    Shutdown,
}

impl Faulty {
    fn in_method(&mut self, method: Method) -> Pin<&mut DuplexStream> {
        if self.method == method {
            self.fuse.touch();
        }
        Pin::new(&mut self.stream)
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_method(Method::Read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_method(Method::Write).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_method(Method::Flush).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_method(Method::Shutdown).poll_shutdown(cx)
    }
}

#[test]
fn a_stream_that_panics_is_lost_alone() {
    use Method::{Flush, Read, Shutdown, Write};
    for (method, most) in [(Read, 4), (Write, 3), (Flush, 3), (Shutdown, 1)] {
        for touches in 1..=most {
            breaks_nothing(|| async {
                let fuse = Fuse::new(touches);
                let (near, far) = duplex(64 << 10);
                let (push, pull) = (PushSocket::new(), PullSocket::new());
                push.adopt(Faulty {
                    stream: near,
                    method,
                    fuse: fuse.clone(),
                })
                .unwrap();
                pull.adopt(far).unwrap();
                if method == Shutdown {
                    within(push.wait_for_peers(1)).await.unwrap();
                } else {
                    // Within the handshake, or with one of these.
                    eventually(|| {
                        let _ = push.try_send("perhaps");
                        fuse.is_blown()
                    })
                    .await;
                }
                let _ = within(push.close()).await;
                assert!(fuse.is_blown());
                eventually(|| pull.peers().is_empty()).await;
                while pull.try_recv().is_ok() {}
                goes_on(&pull).await;
                within(pull.close()).await.unwrap();
            });
        }
    }
}

/// A waker that wakes, and may panic then.
struct Alarm {
    waker: Waker,
    fuse: Arc<Fuse>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.waker.wake_by_ref();
        self.fuse.touch();
    }
}

/// Does the same as `call`, with a waker that panics by `fuse`.
async fn alarmed<F: Future>(fuse: &Arc<Fuse>, call: F) -> F::Output {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let (waker, fuse) = (cx.waker().clone(), fuse.clone());
        let alarm = Waker::from(Arc::new(Alarm { waker, fuse }));
        call.as_mut().poll(&mut Context::from_waker(&alarm))
    })
    .await
}

#[test]
fn a_reader_whose_waker_panics_costs_nothing() {
    breaks_nothing(|| async {
        let pull = PullSocket::new();
        let push: PushSocket = soon().build();
        join(&pull, &push, Transport::Tcp).await;
        let fuse = Fuse::new(1);
        let sends = async {
            // Only when the reader waits.
            yield_now().await;
            push.send("first").await.unwrap();
        };
        let (message, ()) = tokio::join!(alarmed(&fuse, within(pull.recv())), sends);
        assert_eq!(message.unwrap(), "first");
        eventually(|| fuse.is_blown()).await;
        push.send("second").await.unwrap();
        assert_eq!(within(pull.recv()).await.unwrap(), "second");
    });
}

#[test]
fn a_writer_whose_waker_panics_costs_nothing() {
    breaks_nothing(|| async {
        let (push, pull) = (PushSocket::builder().send_hwm(1), PullSocket::builder());
        let (push, pull) = (push.build(), pull.recv_hwm(1).build());
        join(&push, &pull, Transport::Tcp).await;
        let fuse = Fuse::new(1);
        let writes = alarmed(&fuse, async {
            while !fuse.is_blown() {
                push.send(vec![7; 300_000]).await.unwrap();
            }
            push.send("last").await.unwrap();
        });
        let reads = async { while within(pull.recv()).await.unwrap() != "last" {} };
        tokio::join!(writes, reads);
    });
}

#[test]
fn a_waker_that_panics_when_a_peer_comes_costs_nothing() {
    breaks_nothing(|| async {
        let push = PushSocket::new();
        let at = push.bind(ANYWHERE).await.unwrap();
        let pull: PullSocket = soon().build();
        let fuse = Fuse::new(1);
        let comes = async {
            yield_now().await;
            pull.connect(&at).unwrap();
        };
        let (waited, ()) = tokio::join!(alarmed(&fuse, within(push.wait_for_peers(1))), comes);
        waited.unwrap();
        eventually(|| fuse.is_blown()).await;
        // Whoever is there is somebody, and gets all there is.
        eventually(|| push.peers().len() == 1 && pull.peers().len() == 1).await;
        for number in 0..10 {
            push.send(numbered(number)).await.unwrap();
        }
        for number in 0..10 {
            assert_eq!(number_of(&within(pull.recv()).await.unwrap()), number);
        }
    });
}

#[test]
fn a_monitor_whose_waker_panics_costs_nothing() {
    for wakes in 1..6 {
        breaks_nothing(|| async {
            let pull = PullSocket::new();
            let mut monitor = pull.monitor();
            let fuse = Fuse::new(wakes);
            let watches = alarmed(&fuse, async { while monitor.recv().await.is_some() {} });
            let works = async {
                // Each event finds the monitor waiting.
                yield_now().await;
                let at = pull.bind(ANYWHERE).await.unwrap();
                let push: PushSocket = soon().build();
                while !fuse.is_blown() {
                    push.connect(&at).unwrap();
                    push.send("here").await.unwrap();
                    assert_eq!(within(pull.recv()).await.unwrap(), "here");
                    push.disconnect(&at).await.unwrap();
                    eventually(|| pull.peers().is_empty()).await;
                }
                goes_on(&pull).await;
                drop(pull);
            };
            tokio::join!(watches, works);
        });
    }
}

/// The octets of a message that panic when they are freed elsewhere than in the thread that made them, once.
struct Sore {
    octets: Vec<u8>,
    home: ThreadId,
    fuse: Arc<Fuse>,
}

impl Sore {
    fn message(fuse: &Arc<Fuse>) -> Message {
        let sore = Self {
            octets: vec![7; 100_000],
            home: std::thread::current().id(),
            fuse: fuse.clone(),
        };
        Bytes::from_owner(sore).into()
    }
}

impl AsRef<[u8]> for Sore {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Drop for Sore {
    fn drop(&mut self) {
        if std::thread::current().id() != self.home {
            self.fuse.touch();
        }
    }
}

#[test]
fn a_message_whose_octets_panic_when_they_are_freed_costs_its_connection() {
    breaks_nothing(|| async {
        let pull = PullSocket::new();
        let push: PushSocket = soon().build();
        join(&pull, &push, Transport::Tcp).await;
        let fuse = Fuse::new(1);
        while !fuse.is_blown() {
            // Behind this one it waits, so that mostly its connection is the last to hold it.
            push.send(vec![7; 3_000_000]).await.unwrap();
            push.send(Sore::message(&fuse)).await.unwrap();
            tokio::select! {
                message = within(pull.recv()) => drop(message.unwrap()),
                () = eventually(|| fuse.is_blown()) => {}
            }
        }
        push.send("next").await.unwrap();
        while within(pull.recv()).await.unwrap() != "next" {}
    });
}

#[test]
fn a_message_whose_octets_panic_when_it_is_dropped_unsent_lets_its_socket_close() {
    breaks_nothing(|| async {
        let push = PushSocket::builder().linger(Duration::ZERO).build();
        push.connect(Transport::Tcp.fixed()).unwrap();
        let fuse = Fuse::new(1);
        push.send(Sore::message(&fuse)).await.unwrap();
        let _ = within(push.close()).await;
        assert!(fuse.is_blown());
    });
}
