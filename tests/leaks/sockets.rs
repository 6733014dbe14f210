//! Sockets that are dropped, whatever they were doing.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jackstay::security::{Candidate, Principal, Refusal, Security, from_fn};
use jackstay::{
    DealerSocket, EventKind, PairSocket, Proxy, PubSocket, PullSocket, PushSocket, RepSocket,
    ReqSocket, RouterSocket, SubSocket, TrySendError, XPubSocket, XSubSocket,
};
use tokio::sync::Notify;

use crate::alone::{alone, leaves_nothing};
use crate::support::raw::Raw;
use crate::support::times::times;
use crate::support::{Transport, event, join, join_at, poll_once, within};

const ANYWHERE: &str = "tcp://127.0.0.1:0";
const LINGER: Duration = Duration::from_millis(50);

#[test]
fn a_socket_leaves_nothing_whatever_it_was_doing() {
    alone(|| leaves_nothing(times(480), drop_in_state));
}

/// Makes sockets, brings them into one of all states, and drops them there.
async fn drop_in_state(round: u64) {
    let over = [Transport::Tcp, Transport::Ipc, Transport::Inproc];
    let over = over[usize::try_from(round / 16 % 3).unwrap()];
    match round % 16 {
        0 => untouched(),
        1 => bound(over).await,
        2 => awaiting_somebody(over).await,
        3 => shaking_hands().await,
        4 => being_decided_about().await,
        5 => full(over).await,
        6 => unread(over).await,
        7 => receiving(over).await,
        8 => asked(over).await,
        9 => asking(over).await,
        10 => subscribed(over).await,
        11 => watched(over).await,
        12 => closing().await,
        13 => proxied(over).await,
        14 => disconnecting().await,
        _ => reserved(over).await,
    }
}

fn untouched() {
    drop((PushSocket::new(), PullSocket::new(), PairSocket::new()));
    drop((PubSocket::new(), SubSocket::new(), XPubSocket::new()));
    drop((XSubSocket::new(), ReqSocket::new(), RepSocket::new()));
    drop((DealerSocket::new(), RouterSocket::new()));
}

async fn bound(over: Transport) {
    let router = RouterSocket::new();
    router.bind(over.any()).await.unwrap();
    router.bind(over.any()).await.unwrap();
}

/// With messages that nobody will ever take.
async fn awaiting_somebody(over: Transport) {
    let push = PushSocket::builder().linger(Duration::ZERO).build();
    push.connect(over.fixed()).unwrap();
    push.send("for nobody").await.unwrap();
}

async fn shaking_hands() {
    let pull = PullSocket::new();
    let at = pull.bind(ANYWHERE).await.unwrap();
    let mut events = pull.monitor();
    let silent = Raw::connect(&at).await;
    event(&mut events, |kind| matches!(kind, EventKind::Accepted)).await;
    drop(pull);
    drop(silent);
}

async fn being_decided_about() {
    let asked = Arc::new(Notify::new());
    let called = asked.clone();
    let authenticator = from_fn(move |_: Candidate| {
        called.notify_one();
        pending::<Result<Principal, Refusal>>()
    });
    let security = Security::null(authenticator);
    let pull = PullSocket::builder().security(security).build();
    let at = pull.bind(ANYWHERE).await.unwrap();
    let push = PushSocket::builder().linger(Duration::ZERO).build();
    push.connect(&at).unwrap();
    within(asked.notified()).await;
}

/// Nobody reads, and both queues are full.
async fn full(over: Transport) {
    let (push, pull) = (PushSocket::builder(), PullSocket::builder());
    let push = push.send_hwm(2).linger(Duration::ZERO).build();
    let pull = pull.recv_hwm(2).build();
    join(&pull, &push, over).await;
    let body = vec![7; 300_000];
    while push.try_send(body.clone()).is_ok() {}
    assert!(matches!(push.try_send("more"), Err(TrySendError::Full(_))));
}

async fn unread(over: Transport) {
    // The rest would be kept for as long for a PULL that comes back.
    let push = PushSocket::builder().linger(LINGER).build();
    let pull = PullSocket::new();
    join(&pull, &push, over).await;
    for size in [1, 100, 10_000, 300_000] {
        push.send(vec![7; size]).await.unwrap();
    }
    let first = within(pull.recv()).await.unwrap();
    assert_eq!(first.size(), 1);
}

/// In a task that is aborted.
async fn receiving(over: Transport) {
    let (one, other) = (PairSocket::new(), PairSocket::new());
    join(&one, &other, over).await;
    let one = Arc::new(one);
    let receiver = one.clone();
    let task = tokio::spawn(async move { receiver.recv().await });
    other.send("first").await.unwrap();
    assert_eq!(within(task).await.unwrap().unwrap(), "first");
    let receiver = one.clone();
    let task = tokio::spawn(async move { receiver.recv().await });
    task.abort();
}

/// The request outlives its socket.
async fn asked(over: Transport) {
    let (rep, mut req) = (RepSocket::new(), ReqSocket::new());
    join(&rep, &req, over).await;
    let (request, replied) = {
        let mut asking = pin!(req.request("?"));
        assert!(poll_once(&mut asking).await.is_pending());
        let request = within(rep.accept()).await.unwrap();
        drop(rep);
        (request, within(asking).await)
    };
    assert!(replied.is_err());
    assert!(request.reply("too late").await.is_err());
}

/// The request is given up, and so is the socket.
async fn asking(over: Transport) {
    let (rep, mut req) = (RepSocket::new(), ReqSocket::new());
    join(&rep, &req, over).await;
    {
        let mut asking = pin!(req.request("?"));
        assert!(poll_once(&mut asking).await.is_pending());
        within(rep.accept()).await.unwrap();
    }
}

/// And the news of it is not read.
async fn subscribed(over: Transport) {
    let (publisher, subscriber) = (XPubSocket::new(), SubSocket::new());
    for topic in 0..100_u8 {
        subscriber.subscribe([topic, 1]).unwrap();
    }
    join(&publisher, &subscriber, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    subscriber.unsubscribe([7, 1]).unwrap();
}

/// The monitor outlives its socket.
async fn watched(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let mut events = pull.monitor();
    join(&pull, &push, over).await;
    drop((push, pull));
    while within(events.recv()).await.is_some() {}
}

/// With messages that the peer does not read, in a `close` that is given up.
async fn closing() {
    let push = PushSocket::new();
    let at = push.bind(ANYWHERE).await.unwrap();
    let deaf = Raw::shake_hands(&at, "PULL").await;
    within(push.wait_for_peers(1)).await.unwrap();
    for _ in 0..100 {
        if push.try_send(vec![7; 300_000]).is_err() {
            break;
        }
    }
    {
        let mut closing = pin!(push.close());
        assert!(poll_once(&mut closing).await.is_pending());
    }
    drop(push);
    drop(deaf);
}

/// In the middle of a run.
async fn proxied(over: Transport) {
    let (front, back) = (PullSocket::new(), PushSocket::new());
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&front, &push, over).await;
    join(&back, &pull, over).await;
    let mut proxy = Proxy::new(&front, &back);
    push.send("through").await.unwrap();
    tokio::select! {
        _ = proxy.run() => panic!("nobody stops it"),
        message = within(pull.recv()) => assert_eq!(message.unwrap(), "through"),
    }
}

/// In a `disconnect` that is given up.
async fn disconnecting() {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let at = pull.bind(ANYWHERE).await.unwrap();
    join_at(&pull, &push, &at).await;
    let mut leaving = pin!(push.disconnect(&at));
    let _ = poll_once(&mut leaving).await;
}

/// With a place that is kept and not used.
async fn reserved(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    let permit = within(push.reserve()).await.unwrap();
    drop(pull);
    drop(permit);
}
