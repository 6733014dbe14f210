//! What is counted: each [`Case`] does something so many times.

use std::hint::black_box;

use jackstay::zmtp::{Item, ZmtpCodec};
use jackstay::{Message, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket};
use tokio::runtime::Runtime;
use tokio_util::codec::{Decoder, Encoder};

use crate::script::{REPEATED, Script, encoded};

/// One line of the table.
pub struct Case {
    pub name: &'static str,
    /// How many times it is done in a short run: a multiple of [`REPEATED`].
    pub count: usize,
    /// Does it so many times.
    pub run: fn(&Runtime, usize),
}

/// All of them, by the way of a message.
pub const CASES: &[Case] = &[
    case("codec: encode 16 B", |_, count| encode(16, count)),
    case("codec: encode 1 KiB", |_, count| encode(1 << 10, count)),
    case("codec: decode 16 B", |_, count| decode(16, count)),
    case("codec: decode 1 KiB", |_, count| decode(1 << 10, count)),
    case("outbox: PUSH sends 16 B", |runtime, count| {
        runtime.block_on(send(16, count));
    }),
    case("outbox: PUSH sends 1 KiB", |runtime, count| {
        runtime.block_on(send(1 << 10, count));
    }),
    case("outbox: PUSH sends 16 B, 128 a call", |runtime, count| {
        runtime.block_on(send_many(16, count));
    }),
    case("inbox: PULL receives 16 B", |runtime, count| {
        runtime.block_on(receive(16, count));
    }),
    case("inbox: PULL receives 1 KiB", |runtime, count| {
        runtime.block_on(receive(1 << 10, count));
    }),
    case("inbox: PULL receives 16 B, 128 a call", |runtime, count| {
        runtime.block_on(receive_many(16, count));
    }),
    case("fan-out: PUB sends 64 B to 8", |runtime, count| {
        let eight = (0..8).map(|_| Script::new("SUB").subscribe(b""));
        runtime.block_on(publish(eight.collect(), "feed.price", count));
    }),
    case("topics: PUB, 1 of 10,000 matches", |runtime, count| {
        let topic = "venue.07.symbol.0042.price";
        runtime.block_on(publish(vec![many_topics()], topic, count));
    }),
    case("topics: PUB, 0 of 10,000 match", |runtime, count| {
        let topic = "venue.07.symbol.0042 price";
        runtime.block_on(publish(vec![many_topics()], topic, count));
    }),
    Case {
        name: "REQ and REP: a round trip of 64 B",
        count: 5_000,
        run: |runtime, count| runtime.block_on(ask(count)),
    },
    Case {
        name: "REQ and REP: a round trip of 64 B over tcp",
        count: 5_000,
        run: |runtime, count| runtime.block_on(ask_over_tcp(count)),
    },
    case("PUSH to PULL: 64 B over tcp", |runtime, count| {
        runtime.block_on(carry(count));
    }),
];

const fn case(name: &'static str, run: fn(&Runtime, usize)) -> Case {
    let count = 20_000;
    Case { name, count, run }
}

fn encode(size: usize, count: usize) {
    let message = body(size);
    let mut codec = ZmtpCodec::new();
    let mut out = encoded(&message, REPEATED);
    for _ in 0..count / REPEATED {
        out.clear();
        for _ in 0..REPEATED {
            let message = black_box(&message).clone();
            codec.encode(message, &mut out).expect("never fails");
        }
        black_box(&out);
    }
}

fn decode(size: usize, count: usize) {
    let octets = encoded(&body(size), REPEATED);
    let mut codec = ZmtpCodec::new();
    let mut read = octets.clone();
    for _ in 0..count / REPEATED {
        read.clear();
        read.extend_from_slice(&octets);
        for _ in 0..REPEATED {
            let item = codec.decode(&mut read).expect("well-formed frames");
            assert!(matches!(black_box(item), Some(Item::Message(_))));
        }
    }
}

/// The policy, the outbox and the session that empties it into a connection which takes everything.
async fn send(size: usize, count: usize) {
    let socket = PushSocket::new();
    let adopted = socket.adopt(Script::new("PULL"));
    adopted.expect("a runtime");
    socket.wait_for_peers(1).await.expect("an open socket");
    let body = vec![7; size];
    for _ in 0..count {
        let message = Message::copy_from_slice(black_box(&body));
        socket.send(message).await.expect("an open socket");
    }
}

async fn send_many(size: usize, count: usize) {
    let socket = PushSocket::new();
    let adopted = socket.adopt(Script::new("PULL"));
    adopted.expect("a runtime");
    socket.wait_for_peers(1).await.expect("an open socket");
    let body = vec![7; size];
    let mut messages = Vec::with_capacity(AT_ONCE);
    let mut left = count;
    while left > 0 {
        let some = left.min(AT_ONCE);
        messages.extend((0..some).map(|_| Message::copy_from_slice(black_box(&body))));
        socket
            .send_many(&mut messages)
            .await
            .expect("an open socket");
        left -= some;
    }
}

/// The session that reads from a connection where everything is there, the inbox and the policy.
async fn receive(size: usize, count: usize) {
    let socket = PullSocket::new();
    let adopted = socket.adopt(Script::new("PUSH").send(&body(size), count));
    adopted.expect("a runtime");
    for _ in 0..count {
        black_box(socket.recv().await.expect("an open socket"));
    }
}

async fn receive_many(size: usize, count: usize) {
    let socket = PullSocket::new();
    let adopted = socket.adopt(Script::new("PUSH").send(&body(size), count));
    adopted.expect("a runtime");
    let mut messages = Vec::with_capacity(AT_ONCE);
    let mut left = count;
    while left > 0 {
        let received = socket.recv_many(&mut messages, AT_ONCE).await;
        left -= received.expect("an open socket");
        black_box(&messages);
        messages.clear();
    }
}

/// So many messages a call, where a call hands over many.
const AT_ONCE: usize = 128;

async fn publish(subscribers: Vec<Script>, topic: &str, count: usize) {
    // The sessions have their turn only between so many sends.
    let socket = PubSocket::builder().send_hwm(10_000).build();
    let expected = subscribers.len();
    for subscriber in subscribers {
        socket.adopt(subscriber).expect("a runtime");
    }
    let heard = socket.wait_for_subscribers(expected).await;
    heard.expect("an open socket");
    let body = format!("{topic:64}");
    for _ in 0..count {
        let message = Message::copy_from_slice(black_box(body.as_bytes()));
        socket.send(message).await.expect("an open socket");
    }
    assert_eq!(
        socket.stats().dropped.full,
        0,
        "nobody is slow, so nothing is dropped"
    );
}

/// A subscriber of 10,000 topics, the last of which tells that all have come.
fn many_topics() -> Script {
    let topics = (0..10_000).map(|n| format!("venue.{:02}.symbol.{:04}.", n % 50, n / 50));
    topics.fold(Script::new("SUB"), |script, topic| {
        script.subscribe(topic.as_bytes())
    })
}

async fn ask(count: usize) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (requester, replier) = (ReqSocket::new(), RepSocket::new());
    replier.adopt(far).expect("a runtime");
    requester.adopt(near).expect("a runtime");
    converse(requester, replier, count).await;
}

async fn ask_over_tcp(count: usize) {
    let (requester, replier) = (ReqSocket::new(), RepSocket::new());
    let at = replier.bind("tcp://127.0.0.1:0").await;
    requester
        .connect(at.expect("a free port"))
        .expect("an endpoint");
    converse(requester, replier, count).await;
}

async fn converse(mut requester: ReqSocket, replier: RepSocket, count: usize) {
    tokio::spawn(async move {
        loop {
            let request = replier.accept().await.expect("an open socket");
            let answer = request.first().to_vec();
            request.reply(answer).await.expect("an open socket");
        }
    });
    let body = [7; 64];
    for _ in 0..count {
        let answer = requester.request(Message::copy_from_slice(&body)).await;
        assert_eq!(answer.expect("an answer").first(), body);
    }
}

async fn carry(count: usize) {
    let pull = PullSocket::new();
    let at = pull.bind("tcp://127.0.0.1:0").await.expect("a free port");
    let push = PushSocket::new();
    push.connect(at).expect("an endpoint");
    tokio::spawn(async move {
        for _ in 0..count {
            let sent = push.send(Message::copy_from_slice(&[7; 64])).await;
            sent.expect("an open socket");
        }
        // What is on its way needs the socket.
        push.close().await.expect("everything is delivered");
    });
    for _ in 0..count {
        black_box(pull.recv().await.expect("an open socket"));
    }
}

fn body(size: usize) -> Message {
    Message::from(vec![7; size])
}
