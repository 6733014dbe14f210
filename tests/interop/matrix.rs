//! Every pair of types that may talk, over tcp and ipc, bound by either side, with every mechanism in both roles. Each
//! cell exchanges messages in every direction that the pattern has, and checks what arrives and in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jackstay::pattern::{CanReceive, CanSend};
use jackstay::{
    Builder, DealerSocket, Identity, Message, PairSocket, PubSocket, PullSocket, PushSocket,
    RepSocket, ReqSocket, RouterSocket, Socket, SubSocket, XPubSocket, XSubSocket,
};

use crate::secured::Secured;
use crate::support::{Transport, within};
use crate::theirs::Link;

/// One module for each pair, in it one for each transport and in that one for each mechanism; one test for each side
/// that binds.
macro_rules! matrix {
    ($($pair:ident: $exchange:expr;)+) => {$(
        mod $pair {
            use super::*;
            matrix!(@transport tcp, Transport::Tcp, $exchange);
            matrix!(@transport ipc, Transport::Ipc, $exchange);
        }
    )+};
    (@transport $name:ident, $over:expr, $exchange:expr) => {
        mod $name {
            use super::*;
            matrix!(@secured null, Null, $over, $exchange);
            matrix!(@secured plain_client, PlainClient, $over, $exchange);
            matrix!(@secured plain_server, PlainServer, $over, $exchange);
            #[cfg(feature = "curve")]
            matrix!(@secured curve_client, CurveClient, $over, $exchange);
            #[cfg(feature = "curve")]
            matrix!(@secured curve_server, CurveServer, $over, $exchange);
        }
    };
    (@secured $name:ident, $secured:ident, $over:expr, $exchange:expr) => {
        mod $name {
            use super::*;

            const OURS_BINDS: Link = Link {
                over: $over,
                ours_binds: true,
                secured: Secured::$secured,
            };

            #[tokio::test]
            async fn ours_binds() {
                crate::support::whole($exchange(OURS_BINDS)).await;
            }

            #[tokio::test]
            async fn theirs_binds() {
                let link = Link { ours_binds: false, ..OURS_BINDS };
                crate::support::whole($exchange(link)).await;
            }
        }
    };
}

matrix! {
    push_pull: |link| ours_to_theirs(PushSocket::builder(), zmq::PULL, link);
    pull_push: |link| theirs_to_ours(PullSocket::builder(), zmq::PUSH, link);
    pair_pair: |link| both_ways(PairSocket::builder(), zmq::PAIR, link);
    pub_sub: |link| publish(PubSocket::builder(), zmq::SUB, link);
    pub_xsub: |link| publish(PubSocket::builder(), zmq::XSUB, link);
    xpub_sub: |link| publish(XPubSocket::builder(), zmq::SUB, link);
    xpub_xsub: |link| publish(XPubSocket::builder(), zmq::XSUB, link);
    sub_pub: |link| subscribe(SubSocket::builder(), zmq::PUB, link);
    sub_xpub: |link| subscribe(SubSocket::builder(), zmq::XPUB, link);
    xsub_pub: |link| subscribe(XSubSocket::builder(), zmq::PUB, link);
    xsub_xpub: |link| subscribe(XSubSocket::builder(), zmq::XPUB, link);
    req_rep: ask_rep;
    req_router: ask_router;
    rep_req: answer_req;
    rep_dealer: answer_dealer;
    dealer_rep: deal_to_rep;
    dealer_dealer: |link| both_ways(DealerSocket::builder(), zmq::DEALER, link);
    dealer_router: deal_to_router;
    router_req: route_to_req;
    router_dealer: route_to_dealer;
    router_router: route_to_router;
}

/// How many messages each direction carries.
const MESSAGES: usize = 500;

async fn send_numbered(ours: &Socket<impl CanSend>) {
    for n in 0..MESSAGES {
        ours.send(("part", n.to_string())).await.unwrap();
    }
}

async fn recv_numbered(ours: &Socket<impl CanReceive>) {
    for n in 0..MESSAGES {
        assert_eq!(
            within(ours.recv()).await.unwrap(),
            Message::from(("part", n.to_string()))
        );
    }
}

async fn ours_to_theirs(ours: Builder<impl CanSend>, theirs: zmq::SocketType, link: Link) {
    let ours = link.ours(ours);
    let mut theirs = link.theirs(theirs);
    link.join(&ours, &theirs).await;
    tokio::join!(send_numbered(&ours), theirs.recv_numbered(MESSAGES));
}

async fn theirs_to_ours(ours: Builder<impl CanReceive>, theirs: zmq::SocketType, link: Link) {
    let ours = link.ours(ours);
    let mut theirs = link.theirs(theirs);
    link.join(&ours, &theirs).await;
    tokio::join!(recv_numbered(&ours), theirs.send_numbered(MESSAGES));
}

async fn both_ways(ours: Builder<impl CanSend + CanReceive>, theirs: zmq::SocketType, link: Link) {
    let ours = link.ours(ours);
    let mut theirs = link.theirs(theirs);
    link.join(&ours, &theirs).await;
    for _ in 0..2 {
        tokio::join!(send_numbered(&ours), theirs.recv_numbered(MESSAGES));
        tokio::join!(recv_numbered(&ours), theirs.send_numbered(MESSAGES));
    }
}

/// Ours publishes.
async fn publish(
    ours: Builder<impl CanSend + jackstay::pattern::CanPublish>,
    theirs: zmq::SocketType,
    link: Link,
) {
    let ours = link.ours(ours);
    let mut theirs = link.theirs(theirs);
    link.join(&ours, &theirs).await;
    if theirs.socket().get_socket_type() == Ok(zmq::SUB) {
        theirs.socket().set_subscribe(b"part").unwrap();
    } else {
        theirs.send(&[b"\x01part"]).await;
    }
    theirs.attend(ours.wait_for_subscribers(1)).await.unwrap();
    ours.send("not subscribed to").await.unwrap();
    tokio::join!(send_numbered(&ours), theirs.recv_numbered(MESSAGES));
}

/// Ours subscribes.
async fn subscribe(
    ours: Builder<impl CanReceive + jackstay::pattern::CanSubscribe>,
    theirs: zmq::SocketType,
    link: Link,
) {
    let ours = link.ours(ours);
    // It calls as fast as it can, and must not drop what matters meanwhile.
    let mut theirs = link.theirs(theirs).with(|socket| socket.set_sndhwm(0));
    link.join(&ours, &theirs).await;
    ours.subscribe("part").unwrap();
    ours.subscribe("begin").unwrap();
    // libzmq's PUB does not tell when a subscription is in effect: it calls until ours hears.
    let heard = Arc::new(AtomicBool::new(false));
    let heard_there = heard.clone();
    let called = theirs.run(move |socket| {
        while !heard_there.load(Ordering::Acquire) {
            socket.send("begin", 0).unwrap();
            std::thread::yield_now();
        }
        socket.send("not subscribed to", 0).unwrap();
        socket.send("begin: end", 0).unwrap();
    });
    let hears = async {
        assert_eq!(within(ours.recv()).await.unwrap(), "begin");
        heard.store(true, Ordering::Release);
        while within(ours.recv()).await.unwrap() != "begin: end" {}
    };
    tokio::join!(called, hears);
    tokio::join!(recv_numbered(&ours), theirs.send_numbered(MESSAGES));
}

async fn ask_rep(link: Link) {
    let mut ours = link.ours(ReqSocket::builder());
    let mut theirs = link.theirs(zmq::REP);
    link.join(&ours, &theirs).await;
    for n in 0..50 {
        let asked = ours.request(("", "question", n.to_string()));
        let replied = async {
            let request = theirs.recv().await;
            assert_eq!(
                request,
                [
                    b"".to_vec(),
                    b"question".to_vec(),
                    n.to_string().into_bytes()
                ]
            );
            theirs
                .send(&[b"answer", b"", n.to_string().as_bytes()])
                .await;
        };
        let (reply, ()) = tokio::join!(within(asked), replied);
        assert_eq!(reply.unwrap(), Message::from(("answer", "", n.to_string())));
    }
}

async fn ask_router(link: Link) {
    let ours = ReqSocket::builder()
        .identity(Identity::try_from("asker").unwrap())
        .unwrap();
    let mut ours = link.ours(ours);
    let mut theirs = link.theirs(zmq::ROUTER);
    link.join(&ours, &theirs).await;
    for n in 0..50 {
        let asked = ours.request(n.to_string());
        let replied = async {
            let request = theirs.recv().await;
            assert_eq!(
                request,
                [b"asker".to_vec(), b"".to_vec(), n.to_string().into_bytes()]
            );
            theirs
                .send(&[b"asker", b"", b"answer", n.to_string().as_bytes()])
                .await;
        };
        let (reply, ()) = tokio::join!(within(asked), replied);
        assert_eq!(reply.unwrap(), Message::from(("answer", n.to_string())));
    }
}

async fn answer_req(link: Link) {
    let ours = link.ours(RepSocket::builder());
    let mut theirs = link.theirs(zmq::REQ);
    link.join(&ours, &theirs).await;
    for n in 0..50 {
        theirs
            .send(&[b"question", b"", n.to_string().as_bytes()])
            .await;
        let request = within(ours.accept()).await.unwrap();
        assert_eq!(*request, Message::from(("question", "", n.to_string())));
        request.reply(("", "answer", n.to_string())).await.unwrap();
        assert_eq!(
            theirs.recv().await,
            [b"".to_vec(), b"answer".to_vec(), n.to_string().into_bytes()]
        );
    }
}

async fn answer_dealer(link: Link) {
    let ours = link.ours(RepSocket::builder());
    let mut theirs = link.theirs(zmq::DEALER);
    link.join(&ours, &theirs).await;
    // Many under way at once, with and without an envelope.
    for n in 0..50 {
        theirs.send(&[b"", n.to_string().as_bytes()]).await;
        theirs
            .send(&[b"envelope", b"", n.to_string().as_bytes()])
            .await;
    }
    for n in 0..50 {
        for envelope in [&[b"".to_vec()][..], &[b"envelope".to_vec(), b"".to_vec()]] {
            let request = within(ours.accept()).await.unwrap();
            assert_eq!(*request, n.to_string().as_str());
            request.reply(("answer", n.to_string())).await.unwrap();
            let reply = [envelope, &[b"answer".to_vec(), n.to_string().into_bytes()]].concat();
            assert_eq!(theirs.recv().await, reply);
        }
    }
}

async fn deal_to_rep(link: Link) {
    let ours = link.ours(DealerSocket::builder());
    let mut theirs = link.theirs(zmq::REP);
    link.join(&ours, &theirs).await;
    for n in 0..50 {
        ours.send(("id", "", n.to_string())).await.unwrap();
        assert_eq!(theirs.recv().await, [n.to_string().into_bytes()]);
        theirs.send(&[b"answer"]).await;
        assert_eq!(
            within(ours.recv()).await.unwrap(),
            Message::from(("id", "", "answer"))
        );
    }
}

async fn deal_to_router(link: Link) {
    let ours = DealerSocket::builder()
        .identity(Identity::try_from("dealer").unwrap())
        .unwrap();
    let ours = link.ours(ours);
    let mut theirs = link.theirs(zmq::ROUTER);
    link.join(&ours, &theirs).await;
    for n in 0..MESSAGES {
        ours.send(("part", n.to_string())).await.unwrap();
    }
    theirs
        .run(|socket| {
            for n in 0..MESSAGES {
                let frames = socket.recv_multipart(0).unwrap();
                assert_eq!(
                    frames,
                    [
                        b"dealer".to_vec(),
                        b"part".to_vec(),
                        n.to_string().into_bytes()
                    ]
                );
                socket.send_multipart(frames, 0).unwrap();
            }
        })
        .await;
    recv_numbered(&ours).await;
}

async fn route_to_req(link: Link) {
    let ours = link.ours(RouterSocket::builder());
    let mut theirs = link
        .theirs(zmq::REQ)
        .with(|socket| socket.set_identity(b"asker"));
    link.join(&ours, &theirs).await;
    for n in 0..50 {
        theirs.send(&[n.to_string().as_bytes()]).await;
        let (from, request) = within(ours.recv_from()).await.unwrap();
        assert_eq!(
            (from.as_bytes(), &request),
            (&b"asker"[..], &Message::from(("", n.to_string())))
        );
        ours.send_to(&from, ("", "answer", n.to_string()))
            .await
            .unwrap();
        assert_eq!(
            theirs.recv().await,
            [b"answer".to_vec(), n.to_string().into_bytes()]
        );
    }
}

async fn route_to_dealer(link: Link) {
    let ours = link.ours(RouterSocket::builder());
    let mut theirs = link
        .theirs(zmq::DEALER)
        .with(|socket| socket.set_identity(b"dealer"));
    link.join(&ours, &theirs).await;
    let routed = async {
        for n in 0..MESSAGES {
            let (from, message) = within(ours.recv_from()).await.unwrap();
            assert_eq!(
                (from.as_bytes(), &message),
                (&b"dealer"[..], &Message::from(("part", n.to_string())))
            );
            ours.send_to(&from, message).await.unwrap();
        }
    };
    tokio::join!(routed, async {
        theirs.send_numbered(MESSAGES).await;
        theirs.recv_numbered(MESSAGES).await;
    });
}

async fn route_to_router(link: Link) {
    let ours = RouterSocket::builder()
        .identity(Identity::try_from("ours").unwrap())
        .unwrap();
    let ours = link.ours(ours);
    let mut theirs = link
        .theirs(zmq::ROUTER)
        .with(|socket| socket.set_identity(b"theirs"));
    link.join(&ours, &theirs).await;
    let to = Identity::try_from("theirs").unwrap();
    for n in 0..100 {
        ours.send_to(&to, ("", n.to_string())).await.unwrap();
        assert_eq!(
            theirs.recv().await,
            [b"ours".to_vec(), b"".to_vec(), n.to_string().into_bytes()]
        );
        theirs
            .send(&[b"ours", b"back", n.to_string().as_bytes()])
            .await;
        let (from, message) = within(ours.recv_from()).await.unwrap();
        assert_eq!(
            (from.as_bytes(), message),
            (&b"theirs"[..], Message::from(("back", n.to_string())))
        );
    }
}
