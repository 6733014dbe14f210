//! Every async call is dropped at each of its await points: nothing is lost, doubled or cut.
//!
//! Messages say their numbers. A call is polled 0, 1, 2… times and then dropped; what the socket accepted must arrive,
//! what it did not accept must not, and all of it in order.

mod adapters;
mod listing;
mod security;
#[path = "../support/mod.rs"]
mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jackstay::{
    DealerSocket, Identity, Message, Proxy, PubSocket, PullSocket, PushSocket, Reconnect,
    RepSocket, ReqSocket, RouterSocket, SubSocket, Subscription, Unroutable, XPubSocket,
};
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::support::{
    Transport, assert_numbers, eventually, for_each_transport, join, number_of, numbered, peers,
    within,
};

for_each_transport! {
    recv,
    recv_from,
    recv_with_peer,
    recv_subscription,
    recv_many,
    send,
    send_many,
    send_to,
    reserve,
    request,
    request_with_numbers,
    accept_and_reply,
    bind,
    unbind,
    disconnect,
    close,
    waiting_for_peers,
    waiting_for_subscribers,
    monitor,
    proxy,
}

/// Polls `future` until it is done, or has been pending for the `n`th time, and drops it then.
async fn dropped_after<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = n;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        let poll = future.as_mut().poll(cx).map(Some);
        left -= 1;
        match poll {
            Poll::Pending if left == 0 => Poll::Ready(None),
            poll => poll,
        }
    })
    .await
}

/// Uses up what the task may do before it has to let others run, so that a call is pending at its very first await.
async fn tire() {
    poll_fn(|cx| {
        while pin!(consume_budget()).poll(cx).is_ready() {}
        Poll::Ready(())
    })
    .await;
}

/// How often to poll in the `round`th attempt; every other one begins tired.
async fn polls(round: usize) -> usize {
    if round % 2 == 1 {
        tire().await;
    }
    round / 2 % 5
}

/// Sends `count` numbered messages, with pauses in which a receiver has to wait.
async fn send_slowly(push: PushSocket, count: usize) -> PushSocket {
    for n in 0..count {
        push.send(numbered(n)).await.unwrap();
        if n % 3 == 0 {
            yield_now().await;
        }
    }
    push
}

const COUNT: usize = 2_000;

/// Makes `call` until it gave `COUNT` results, each time dropping it after another poll. They say their numbers, by
/// `number`.
async fn each_dropped<T>(call: impl AsyncFn() -> T, number: impl Fn(T) -> usize) {
    let mut expected = 0;
    let mut round = 0;
    within(async {
        while expected < COUNT {
            if let Some(result) = dropped_after(polls(round).await, call()).await {
                assert_eq!(number(result), expected);
                expected += 1;
            }
            round += 1;
            yield_now().await;
        }
    })
    .await;
    assert!(round > COUNT, "nothing was dropped");
}

async fn recv(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::builder().recv_hwm(7).build());
    join(&pull, &push, over).await;
    let sender = tokio::spawn(send_slowly(push, COUNT));
    each_dropped(|| pull.recv(), |received| number_of(&received.unwrap())).await;
    within(sender).await.unwrap();
}

async fn recv_from(over: Transport) {
    let (dealer, router) = (
        DealerSocket::new(),
        RouterSocket::builder().recv_hwm(7).build(),
    );
    join(&router, &dealer, over).await;
    let sender = tokio::spawn(async move {
        for n in 0..COUNT {
            dealer.send(("part", n.to_string())).await.unwrap();
            yield_now().await;
        }
        dealer
    });
    each_dropped(
        || router.recv_from(),
        |received| {
            let (_, message) = received.unwrap();
            assert_eq!((message.len(), &message[0]), (2, &b"part"[..]));
            number_of(&message)
        },
    )
    .await;
    within(sender).await.unwrap();
}

async fn recv_with_peer(over: Transport) {
    let (dealer, router) = (
        DealerSocket::new(),
        RouterSocket::builder().recv_hwm(7).build(),
    );
    join(&router, &dealer, over).await;
    let sender = tokio::spawn(async move {
        for n in 0..COUNT {
            dealer.send(numbered(n)).await.unwrap();
            yield_now().await;
        }
        dealer
    });
    each_dropped(
        || router.recv_with_peer(),
        |received| {
            let (peer, message) = received.unwrap();
            assert!(peer.is_accepted());
            number_of(&message)
        },
    )
    .await;
    within(sender).await.unwrap();
}

async fn recv_subscription(over: Transport) {
    let (sub, xpub) = (SubSocket::new(), XPubSocket::new());
    join(&xpub, &sub, over).await;
    let subscriber = tokio::spawn(async move {
        for n in 0..COUNT {
            sub.subscribe(n.to_string()).unwrap();
            yield_now().await;
        }
        sub
    });
    each_dropped(
        || xpub.recv_subscription(),
        |event| {
            let Ok(Subscription::Subscribe(_, topic)) = event else {
                panic!("{event:?}")
            };
            number_of(&topic.into())
        },
    )
    .await;
    within(subscriber).await.unwrap();
}

async fn recv_many(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::builder().recv_hwm(7).build());
    join(&pull, &push, over).await;
    let sender = tokio::spawn(send_slowly(push, COUNT));
    let mut messages = Vec::new();
    let mut dropped = 0;
    within(async {
        for round in 0.. {
            let (before, limit) = (messages.len(), 1 + round % 9);
            let call = pull.recv_many(&mut messages, limit);
            let received = dropped_after(polls(round).await, call).await;
            let received = received.map_or(0, |received| {
                let count = received.unwrap();
                assert!((1..=limit).contains(&count), "{count}, up to {limit}");
                count
            });
            assert_eq!(messages.len(), before + received);
            dropped += usize::from(received == 0);
            if messages.len() == COUNT {
                break;
            }
            yield_now().await;
        }
    })
    .await;
    assert!(dropped > 0, "nothing was dropped");
    assert_numbers(&messages, 0..COUNT);
    within(sender).await.unwrap();
}

/// Reads until the end is announced; tells the numbers.
async fn read_all(pull: PullSocket) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let message = pull.recv().await.unwrap();
        if message == "end" {
            return numbers;
        }
        assert_eq!(message.size(), 20_000 + message[1].len());
        numbers.push(number_of(&message));
        yield_now().await;
    }
}

fn large(n: usize) -> Message {
    (vec![0; 20_000], n.to_string()).into()
}

async fn send(over: Transport) {
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::builder().recv_hwm(2).build();
    join(&pull, &push, over).await;
    let reader = tokio::spawn(read_all(pull));
    let mut accepted = Vec::new();
    for n in 0..COUNT {
        if let Some(sent) = within(dropped_after(polls(n).await, push.send(large(n)))).await {
            sent.unwrap();
            accepted.push(n);
        }
    }
    within(push.send("end")).await.unwrap();
    assert_eq!(within(reader).await.unwrap(), accepted);
    assert!(
        (1..COUNT).contains(&accepted.len()),
        "{} of {COUNT}",
        accepted.len()
    );
}

/// What was not sent is given up in one round, and sent before anything else in the next.
async fn send_many(over: Transport) {
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::builder().recv_hwm(2).build();
    join(&pull, &push, over).await;
    let mut numbers = 0..;
    // Nobody reads yet, and this is more than the kernel takes.
    let mut batch: Vec<_> = numbers.by_ref().take(1_000).map(large).collect();
    yield_now().await;
    let cut = dropped_after(1, push.send_many(&mut batch)).await;
    let sent = 1_000 - batch.len();
    assert!(cut.is_none() && sent > 0, "{sent} of 1,000");
    assert_numbers(&batch, sent..1_000);
    batch.clear();
    let reader = tokio::spawn(read_all(pull));
    let mut accepted: Vec<_> = (0..sent).collect();
    let mut whole = 0;
    for round in 0..COUNT / 2 {
        batch.extend(numbers.by_ref().take(5 - batch.len()).map(large));
        let all: Vec<_> = batch.iter().map(number_of).collect();
        let call = push.send_many(&mut batch);
        let sent = within(dropped_after(polls(round).await, call)).await;
        let (gone, left) = all.split_at(all.len() - batch.len());
        assert!(batch.iter().map(number_of).eq(left.iter().copied()));
        accepted.extend_from_slice(gone);
        if let Some(sent) = sent {
            sent.unwrap();
            assert_eq!(left, []);
            whole += 1;
        }
        if round % 2 == 0 {
            batch.clear();
        }
    }
    within(push.send("end")).await.unwrap();
    assert_eq!(within(reader).await.unwrap(), accepted);
    assert!((1..COUNT / 2).contains(&whole), "{whole} whole");
}

async fn send_to(over: Transport) {
    let router = RouterSocket::builder()
        .unroutable(Unroutable::Wait)
        .send_hwm(2)
        .build();
    let name = Identity::try_from("reader").unwrap();
    let dealer = DealerSocket::builder()
        .recv_hwm(2)
        .identity(name.clone())
        .unwrap()
        .build();
    join(&router, &dealer, over).await;
    let reader = tokio::spawn(async move {
        let mut numbers = Vec::new();
        loop {
            let message = dealer.recv().await.unwrap();
            if message == "end" {
                return numbers;
            }
            numbers.push(number_of(&message));
            yield_now().await;
        }
    });
    let mut accepted = Vec::new();
    for n in 0..COUNT {
        if let Some(sent) = within(dropped_after(
            polls(n).await,
            router.send_to(&name, large(n)),
        ))
        .await
        {
            sent.unwrap();
            accepted.push(n);
        }
    }
    within(router.send_to(&name, "end")).await.unwrap();
    assert_eq!(within(reader).await.unwrap(), accepted);
    assert_eq!(router.stats().dropped.total(), 0);
}

async fn reserve(over: Transport) {
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::builder().recv_hwm(2).build();
    join(&pull, &push, over).await;
    let reader = tokio::spawn(read_all(pull));
    let mut accepted = Vec::new();
    for n in 0..COUNT {
        if let Some(permit) = within(dropped_after(polls(n).await, push.reserve())).await {
            // Some permits are given back.
            if n % 7 != 0 {
                permit.unwrap().send(large(n)).unwrap();
                accepted.push(n);
            }
        }
    }
    within(push.send("end")).await.unwrap();
    assert_eq!(within(reader).await.unwrap(), accepted);
    // No place is kept by anybody.
    assert_eq!(push.stats().messages_sent, 1 + accepted.len() as u64);
}

async fn ask(mut req: ReqSocket, over: Transport) {
    let rep = RepSocket::new();
    join(&rep, &req, over).await;
    let service = tokio::spawn(async move {
        while let Ok(request) = rep.accept().await {
            yield_now().await;
            let reply = format!("reply {}", request.first().escape_ascii());
            request.reply(reply).await.unwrap();
        }
    });
    let mut answered = 0;
    for n in 0..200 {
        if let Some(reply) = within(dropped_after(polls(n).await, req.request(numbered(n)))).await {
            // Its own, never that of an abandoned one.
            assert_eq!(reply.unwrap(), format!("reply {n}").as_str());
            answered += 1;
        }
    }
    let reply = within(req.request("last")).await.unwrap();
    assert_eq!(reply, "reply last");
    assert!((1..200).contains(&answered), "{answered} of 200");
    service.abort();
}

/// An abandoned request costs a connection when it has no number.
fn quick() -> Reconnect {
    Reconnect::default()
        .first(Duration::from_millis(1))
        .max(Duration::from_millis(2))
}

async fn request(over: Transport) {
    ask(ReqSocket::builder().reconnect(quick()).build(), over).await;
}

async fn request_with_numbers(over: Transport) {
    ask(ReqSocket::builder().correlate(true).build(), over).await;
}

async fn accept_and_reply(over: Transport) {
    let (dealer, rep) = (DealerSocket::new(), RepSocket::new());
    join(&rep, &dealer, over).await;
    let dealer = Arc::new(dealer);
    let asker = tokio::spawn({
        let dealer = dealer.clone();
        async move {
            for n in 0..500 {
                dealer.send(("", n.to_string())).await.unwrap();
                yield_now().await;
            }
        }
    });
    let mut expected = 0;
    let mut round = 0;
    let mut replied = Vec::new();
    within(async {
        while expected < 500 {
            if let Some(request) = dropped_after(polls(round).await, rep.accept()).await {
                let request = request.unwrap();
                assert_eq!(number_of(&request), expected);
                // A reply is sent at the first poll, and not before.
                if dropped_after(expected % 3, request.reply(numbered(expected)))
                    .await
                    .is_some()
                {
                    replied.push(expected);
                }
                expected += 1;
            }
            round += 1;
            yield_now().await;
        }
    })
    .await;
    assert_eq!(replied, (0..500).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    for n in replied {
        assert_eq!(number_of(&within(dealer.recv()).await.unwrap()), n);
    }
    within(asker).await.unwrap();
}

async fn bind(over: Transport) {
    for n in 0.. {
        let at = over.fixed();
        let (one, other) = (PullSocket::new(), PullSocket::new());
        let bound = within(dropped_after(n, one.bind(&at))).await;
        if let Some(bound) = bound {
            assert!(n > 0 && bound.is_ok());
            return;
        }
        // The place is free, and the socket still good.
        other.bind(&at).await.unwrap();
        let push = PushSocket::new();
        join(&one, &push, over).await;
        assert_eq!(one.endpoints().len(), 1);
    }
}

async fn unbind(over: Transport) {
    for n in 0.. {
        let at = over.fixed();
        let (one, other) = (PullSocket::new(), PullSocket::new());
        one.bind(&at).await.unwrap();
        let unbound = within(dropped_after(n, one.unbind(&at))).await;
        if n > 0 {
            // Begun is as good as done.
            assert_eq!(one.endpoints().len(), 0);
            within(async {
                while other.bind(&at).await.is_err() {
                    yield_now().await;
                }
            })
            .await;
        }
        if let Some(unbound) = unbound {
            return unbound.unwrap();
        }
    }
}

async fn disconnect(over: Transport) {
    for n in 0.. {
        let (push, pull) = (PushSocket::new(), PullSocket::new());
        let at = join(&pull, &push, over).await;
        for number in 0..100 {
            push.send(numbered(number)).await.unwrap();
        }
        let disconnected = within(dropped_after(n, push.disconnect(&at))).await;
        for number in 0..100 {
            assert_eq!(number_of(&within(pull.recv()).await.unwrap()), number);
        }
        if n > 0 {
            peers(&pull, 0).await;
            peers(&push, 0).await;
        }
        if let Some(disconnected) = disconnected {
            return disconnected.unwrap();
        }
    }
}

async fn close(over: Transport) {
    for n in 0.. {
        let (push, pull) = (PushSocket::new(), PullSocket::new());
        join(&pull, &push, over).await;
        for number in 0..100 {
            push.send(numbered(number)).await.unwrap();
        }
        let closed = within(dropped_after(n, push.close())).await;
        for number in 0..100 {
            assert_eq!(number_of(&within(pull.recv()).await.unwrap()), number);
        }
        if n > 0 {
            assert!(push.send("x").await.is_err());
            peers(&pull, 0).await;
            within(push.close()).await.unwrap();
        }
        if let Some(closed) = closed {
            return closed.unwrap();
        }
    }
}

async fn waiting_for_peers(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    for n in 0..5 {
        assert_eq!(dropped_after(n.min(1), pull.wait_for_peers(1)).await, None);
    }
    let at = pull.bind(over.any()).await.unwrap();
    push.connect(at).unwrap();
    within(pull.wait_for_peers(1)).await.unwrap();
    assert_eq!(dropped_after(1, pull.wait_for_peers(1)).await, Some(Ok(())));
    assert_eq!(dropped_after(1, pull.wait_for_peers(2)).await, None);
}

async fn waiting_for_subscribers(over: Transport) {
    let (publisher, sub) = (PubSocket::new(), SubSocket::new());
    join(&publisher, &sub, over).await;
    for n in 0..5 {
        assert_eq!(
            dropped_after(n.min(1), publisher.wait_for_subscribers(1)).await,
            None
        );
    }
    sub.subscribe("t").unwrap();
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    publisher.send("t").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "t");
}

async fn monitor(over: Transport) {
    let pull = PullSocket::new();
    let (mut whole, mut cut) = (pull.monitor(), pull.monitor());
    let at = pull.bind(over.any()).await.unwrap();
    let busy = tokio::spawn(async move {
        for _ in 0..50 {
            let push = PushSocket::new();
            push.connect(&at).unwrap();
            push.wait_for_peers(1).await.unwrap();
            push.close().await.unwrap();
        }
        eventually(|| pull.peers().is_empty()).await;
        pull.close().await.unwrap();
    });
    let mut seen = Vec::new();
    for round in 0.. {
        match within(dropped_after(polls(round).await, cut.recv())).await {
            Some(Some(event)) => seen.push(event.to_string()),
            Some(None) => break,
            None => yield_now().await,
        }
    }
    let mut expected = Vec::new();
    while let Some(event) = within(whole.recv()).await {
        expected.push(event.to_string());
    }
    assert_eq!(seen, expected);
    assert!(seen.len() > 100, "{seen:#?}");
    within(busy).await.unwrap();
}

async fn proxy(over: Transport) {
    let (source, sink) = (PushSocket::new(), PullSocket::builder().recv_hwm(3).build());
    let front = PullSocket::builder().recv_hwm(3).build();
    let back = PushSocket::builder().send_hwm(3).build();
    join(&front, &source, over).await;
    join(&sink, &back, over).await;
    let sender = tokio::spawn(send_slowly(source, COUNT));
    let mut proxy = Proxy::new(&front, &back);
    let control = proxy.control();
    let reader = tokio::spawn(async move {
        for n in 0..COUNT {
            assert_eq!(number_of(&sink.recv().await.unwrap()), n);
            yield_now().await;
        }
        control.stop();
        sink
    });
    within(async {
        for round in 0.. {
            if let Some(stopped) = dropped_after(polls(round).await, proxy.run()).await {
                return stopped.unwrap();
            }
            yield_now().await;
        }
    })
    .await;
    assert_eq!(proxy.control().stats().messages_to_back, COUNT as u64);
    within(reader).await.unwrap();
    within(sender).await.unwrap();
}
