//! Sockets that are joined by a stream of octets: handshake, pump and good-bye are in it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pipe::lock;
use crate::sync::Mutex;
use crate::tasks::{block_on, draw, maybe, number_of, numbered, pause, spawn};
use crate::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Scenario,
    SubSocket,
};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "wire_push_pull",
        about: "two tasks send through marks of 1: each message once, those of a task in order",
        run: || block_on(push_pull()),
    },
    Scenario {
        name: "wire_breaks",
        about: "the stream breaks at any moment: what was read came once and in order, and what was accepted and not read is no more than the accounts say",
        run: || block_on(breaks()),
    },
    Scenario {
        name: "wire_close",
        about: "whoever closes has written what was accepted before",
        run: || block_on(close()),
    },
    Scenario {
        name: "wire_dealer_router",
        about: "both sides send at once through marks of 1, one call in two is dropped on the way: all comes once, in order",
        run: || block_on(dealer_router()),
    },
    Scenario {
        name: "wire_stream",
        about: "a stream of messages and its calls are dropped at any of their awaits: each message comes once, in order",
        run: || block_on(stream()),
    },
    Scenario {
        name: "wire_req_rep",
        about: "each request has its answer",
        run: || block_on(req_rep()),
    },
    Scenario {
        name: "wire_pub_sub",
        about: "what is published after a subscription is known comes once, in order",
        run: || block_on(pub_sub()),
    },
];

/// Two ends of a stream that reads and writes as little at a time as it likes.
fn duplex() -> (End, End) {
    let (here, there) = (Arc::default(), Arc::default());
    let near = End {
        reads: Arc::clone(&here),
        writes: Arc::clone(&there),
    };
    let far = End {
        reads: there,
        writes: here,
    };
    (near, far)
}

struct End {
    reads: Arc<Mutex<Way>>,
    writes: Arc<Mutex<Way>>,
}

/// One direction.
#[derive(Default)]
struct Way {
    octets: VecDeque<u8>,
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The most octets under way.
const ROOM: usize = 64;

impl Way {
    fn wake(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.reader.take().into_iter().chain(self.writer.take())
    }
}

fn end(way: &Mutex<Way>) {
    let mut way = lock(way);
    way.over = true;
    let woken = way.wake();
    drop(way);
    woken.for_each(Waker::wake);
}

impl End {
    /// Breaks the stream, for both ends.
    fn breaker(&self) -> impl FnOnce() + Send + 'static {
        let ways = [self.reads.clone(), self.writes.clone()];
        move || ways.iter().for_each(|way| end(way))
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut way = lock(&self.reads);
        if way.octets.is_empty() {
            if way.over {
                return Poll::Ready(Ok(()));
            }
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = way.octets.len().min(buf.remaining());
        let n = most - draw(2) * draw(most);
        for octet in way.octets.drain(..n) {
            buf.put_slice(&[octet]);
        }
        let woken = way.writer.take();
        drop(way);
        woken.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.writes);
        if way.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let most = buf.len().min(ROOM - way.octets.len());
        if most == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = most - draw(2) * draw(most);
        way.octets.extend(&buf[..n]);
        let woken = way.reader.take();
        drop(way);
        woken.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.writes);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.breaker()();
    }
}

async fn push_pull() {
    let push = Arc::new(PushSocket::builder().send_hwm(1).build());
    let pull = PullSocket::builder().recv_hwm(1).build();
    let (near, far) = duplex();
    pull.adopt(near).unwrap();
    push.adopt(far).unwrap();
    let senders = [0, 10].map(|first| {
        let push = push.clone();
        spawn(async move {
            for n in first..first + 3 {
                push.send(numbered(n)).await.unwrap();
            }
        })
    });
    let mut next = [0, 10];
    for _ in 0..6 {
        let n = number_of(&pull.recv().await.unwrap());
        let next = &mut next[usize::from(n / 10)];
        assert_eq!(n, *next);
        *next += 1;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    pull.close().await.unwrap();
    push.close().await.unwrap();
}

async fn breaks() {
    let push = Arc::new(PushSocket::builder().send_hwm(2).build());
    let pull = Arc::new(PullSocket::new());
    let (near, far) = duplex();
    let breaker = near.breaker();
    pull.adopt(near).unwrap();
    push.adopt(far).unwrap();
    push.wait_for_peers(1).await.unwrap();
    let sender = spawn({
        let push = push.clone();
        async move {
            let mut accepted = 0;
            while accepted < 4 && push.send(numbered(accepted)).await.is_ok() {
                accepted += 1;
            }
            usize::from(accepted)
        }
    });
    let reader = spawn({
        let pull = pull.clone();
        async move {
            let mut read = 0;
            while let Ok(message) = pull.recv().await {
                assert_eq!(usize::from(number_of(&message)), read);
                read += 1;
            }
            read
        }
    });
    spawn(async move { breaker() }).await.unwrap();
    push.close().await.ok();
    let accepted = sender.await.unwrap();
    pull.close().await.unwrap();
    let read = reader.await.unwrap();
    let stats = push.stats();
    assert_eq!(stats.messages_sent, accepted as u64);
    assert_eq!(stats.queued_out, 0);
    assert!(read as u64 + stats.dropped.peer_gone + stats.dropped.linger <= accepted as u64);
}

async fn close() {
    let push = PushSocket::builder().linger_forever().build();
    let pull = PullSocket::builder().recv_hwm(1).build();
    let (near, far) = duplex();
    pull.adopt(near).unwrap();
    push.adopt(far).unwrap();
    let sender = spawn(async move {
        for n in 0..3 {
            push.send(numbered(n)).await.unwrap();
        }
        push.close().await.unwrap();
    });
    for n in 0..3 {
        assert_eq!(number_of(&pull.recv().await.unwrap()), n);
    }
    sender.await.unwrap();
    pull.close().await.unwrap();
}

async fn dealer_router() {
    let dealer = Arc::new(DealerSocket::builder().send_hwm(1).recv_hwm(1).build());
    let router = RouterSocket::builder().recv_hwm(1).build();
    let (near, far) = duplex();
    router.adopt(near).unwrap();
    dealer.adopt(far).unwrap();
    let sender = spawn({
        let dealer = dealer.clone();
        async move {
            let mut next = 0;
            while next < 4 {
                if let Some(sent) = maybe(dealer.send(numbered(next))).await {
                    sent.unwrap();
                    next += 1;
                }
            }
        }
    });
    let echo = spawn(async move {
        let mut echoed = 0;
        while echoed < 4 {
            if let Some(received) = maybe(router.recv_from()).await {
                let (who, message) = received.unwrap();
                router.send_to(&who, message).await.unwrap();
                echoed += 1;
            }
        }
        router
    });
    let mut expected = 0;
    while expected < 4 {
        if let Some(received) = maybe(dealer.recv()).await {
            assert_eq!(number_of(&received.unwrap()), expected);
            expected += 1;
        }
    }
    sender.await.unwrap();
    let router = echo.await.unwrap();
    dealer.close().await.unwrap();
    router.close().await.unwrap();
}

async fn stream() {
    let push = PushSocket::new();
    let pull = PullSocket::builder().recv_hwm(2).build();
    let (near, far) = duplex();
    pull.adopt(near).unwrap();
    push.adopt(far).unwrap();
    let sender = spawn(async move {
        for n in 0..6 {
            push.send(numbered(n)).await.unwrap();
        }
        push
    });
    let mut expected = 0;
    while expected < 6 {
        let mut messages = pull.stream();
        for _ in 0..2 {
            let next = poll_fn(|cx| Pin::new(&mut messages).poll_next(cx));
            if let Some(message) = maybe(next).await {
                assert_eq!(number_of(&message.unwrap()), expected);
                expected += 1;
            }
            pause().await;
        }
    }
    sender.await.unwrap().close().await.unwrap();
    pull.close().await.unwrap();
}

async fn req_rep() {
    let mut req = ReqSocket::new();
    let rep = RepSocket::new();
    let (near, far) = duplex();
    rep.adopt(near).unwrap();
    req.adopt(far).unwrap();
    let asking = spawn(async move {
        for n in 0..3 {
            assert_eq!(number_of(&req.request(numbered(n)).await.unwrap()), n + 100);
        }
        req.close().await.unwrap();
    });
    for _ in 0..3 {
        let request = rep.accept().await.unwrap();
        let n = number_of(request.message());
        request.reply(numbered(n + 100)).await.unwrap();
    }
    asking.await.unwrap();
    rep.close().await.unwrap();
}

async fn pub_sub() {
    let (publisher, sub) = (PubSocket::new(), SubSocket::new());
    let (near, far) = duplex();
    publisher.adopt(near).unwrap();
    sub.adopt(far).unwrap();
    sub.subscribe("").unwrap();
    let publishing = spawn(async move {
        publisher.wait_for_subscribers(1).await.unwrap();
        for n in 0..3 {
            publisher.send(numbered(n)).await.unwrap();
        }
        publisher
    });
    for n in 0..3 {
        assert_eq!(number_of(&sub.recv().await.unwrap()), n);
    }
    let publisher = publishing.await.unwrap();
    publisher.close().await.unwrap();
    sub.close().await.unwrap();
}
