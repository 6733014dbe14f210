//! One side goes and comes back; what was queued meanwhile follows.

use jackstay::{DealerSocket, Message, PullSocket, PushSocket, SubSocket, XPubSocket};

use crate::support::{Transport, number_of, numbered, peers, whole, within};
use crate::theirs::Theirs;

/// A libzmq socket bound to a place that is the same each time.
fn bound(socket_type: zmq::SocketType, at: &jackstay::Endpoint) -> Theirs {
    let theirs = Theirs::new(socket_type);
    theirs.bind(&at.to_string());
    theirs
}

async fn a4_our_queue_survives_the_restart_of_libzmq(over: Transport) {
    let ours = PushSocket::new();
    let at = over.fixed();
    ours.connect(&at).unwrap();
    for round in 0..3 {
        for n in 0..200 {
            within(ours.send(("part", n.to_string()))).await.unwrap();
        }
        let mut theirs = bound(zmq::PULL, &at);
        theirs.recv_numbered(200).await;
        assert_eq!(ours.stats().messages_sent, 200 * (round + 1));
        drop(theirs);
        peers(&ours, 0).await;
    }
    assert_eq!(ours.stats().dropped.total(), 0);
}

async fn a4_the_queue_of_libzmq_survives_our_restart(over: Transport) {
    let at = over.fixed();
    let mut theirs = Theirs::new(zmq::PUSH).with(|socket| socket.set_reconnect_ivl(10));
    let monitored = theirs.context().socket(zmq::PAIR).unwrap();
    monitored.set_rcvtimeo(10_000).unwrap();
    theirs
        .socket()
        .monitor("inproc://events", zmq::SocketEvent::DISCONNECTED as i32)
        .unwrap();
    monitored.connect("inproc://events").unwrap();
    let mut events = Some(monitored);
    theirs.connect(&at);
    for _ in 0..3 {
        theirs.send_numbered(200).await;
        let ours = PullSocket::new();
        ours.bind(&at).await.unwrap();
        for n in 0..200 {
            let message = within(ours.recv()).await.unwrap();
            assert_eq!(message, Message::from(("part", n.to_string())));
        }
        ours.close().await.unwrap();
        // What it sends before it knows that ours is gone is lost in the kernel.
        let socket = events.take().unwrap();
        let told = tokio::task::spawn_blocking(move || {
            socket.recv_multipart(0).expect("it notices");
            socket
        });
        events = Some(within(told).await.unwrap());
    }
}

async fn s9_our_subscriptions_reach_a_new_libzmq(over: Transport) {
    let ours = SubSocket::new();
    let at = over.fixed();
    ours.connect(&at).unwrap();
    for topic in 0..100 {
        ours.subscribe(format!("<{topic}>")).unwrap();
    }
    for _ in 0..3 {
        let mut theirs = bound(zmq::XPUB, &at);
        theirs
            .run(|socket| {
                for _ in 0..100 {
                    assert_eq!(socket.recv_bytes(0).unwrap()[0], 1);
                }
                for topic in 0..100 {
                    socket.send(&format!("<{topic}>"), 0).unwrap();
                }
            })
            .await;
        for topic in 0..100 {
            assert_eq!(
                within(ours.recv()).await.unwrap(),
                format!("<{topic}>").as_str()
            );
        }
        drop(theirs);
        peers(&ours, 0).await;
    }
}

async fn s9_the_subscriptions_of_libzmq_reach_a_new_ours(over: Transport) {
    let at = over.fixed();
    let mut theirs = Theirs::new(zmq::SUB).with(|socket| {
        socket.set_reconnect_ivl(10)?;
        socket.set_subscribe(b"a")?;
        socket.set_subscribe(b"b")
    });
    theirs.connect(&at);
    for n in 0..3 {
        let ours = XPubSocket::new();
        ours.bind(&at).await.unwrap();
        for _ in 0..2 {
            assert_eq!(theirs.attend(ours.recv()).await.unwrap().first()[0], 1);
        }
        for topic in ["a", "b"] {
            ours.send(format!("{topic}{n}")).await.unwrap();
            assert_eq!(theirs.recv().await, [format!("{topic}{n}").into_bytes()]);
        }
        ours.close().await.unwrap();
    }
}

async fn a4_a_dealer_keeps_what_it_could_not_send_to_libzmq(over: Transport) {
    let ours = DealerSocket::new();
    let at = over.fixed();
    ours.connect(&at).unwrap();
    for n in 0..3 {
        within(ours.send(numbered(n))).await.unwrap();
        let mut theirs = bound(zmq::ROUTER, &at);
        let frames = theirs.recv().await;
        assert_eq!(frames[1], n.to_string().into_bytes());
        theirs.send(&[&frames[0], n.to_string().as_bytes()]).await;
        assert_eq!(number_of(&within(ours.recv()).await.unwrap()), n);
        drop(theirs);
        peers(&ours, 0).await;
    }
}

crate::support::for_each_wire! {
    a4_our_queue_survives_the_restart_of_libzmq,
    a4_the_queue_of_libzmq_survives_our_restart,
    s9_our_subscriptions_reach_a_new_libzmq,
    s9_the_subscriptions_of_libzmq_reach_a_new_ours,
    a4_a_dealer_keeps_what_it_could_not_send_to_libzmq,
}

#[tokio::test]
async fn a11_what_is_queued_when_we_close_reaches_libzmq() {
    whole(async {
        let ours = PushSocket::new();
        let mut theirs = Theirs::new(zmq::PULL);
        ours.connect(theirs.bind("tcp://127.0.0.1:*")).unwrap();
        for n in 0..1_000 {
            ours.send(("part", n.to_string())).await.unwrap();
        }
        let (closed, ()) = tokio::join!(ours.close(), theirs.recv_numbered(1_000));
        closed.unwrap();
    })
    .await;
}
