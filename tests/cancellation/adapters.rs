//! Sockets as streams and sinks, which poll calls of the socket.

use std::pin::pin;

use futures_util::{SinkExt, StreamExt};
use jackstay::{Message, PullSocket, PushSocket};
use tokio::task::yield_now;

use crate::support::{Transport, for_each_transport, join, number_of, within};
use crate::{COUNT, dropped_after, large, polls, read_all, send_slowly};

for_each_transport! {
    stream,
    sink,
}

/// The stream is dropped with its call at every other round.
async fn stream(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::builder().recv_hwm(7).build());
    join(&pull, &push, over).await;
    let sender = tokio::spawn(send_slowly(push, COUNT));
    let mut expected = 0;
    let mut rounds = 0;
    while expected < COUNT {
        let mut messages = pull.stream();
        for _ in 0..2 {
            let next = dropped_after(polls(rounds).await, messages.next());
            if let Some(message) = within(next).await {
                assert_eq!(number_of(&message.unwrap()), expected);
                expected += 1;
            }
            rounds += 1;
            if expected == COUNT {
                break;
            }
            yield_now().await;
        }
    }
    assert!(rounds > COUNT, "nothing was dropped");
    within(sender).await.unwrap();
}

/// A sink that is kept holds on to the message whose flush was dropped.
async fn sink(over: Transport) {
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::builder().recv_hwm(2).build();
    join(&pull, &push, over).await;
    let reader = tokio::spawn(read_all(pull));
    let mut sink = pin!(push.sink());
    let mut dropped = 0;
    for n in 0..COUNT {
        within(sink.feed(large(n))).await.unwrap();
        loop {
            let flushed = SinkExt::<Message>::flush(&mut sink);
            let flushed = within(dropped_after(polls(dropped).await, flushed)).await;
            if let Some(flushed) = flushed {
                break flushed.unwrap();
            }
            dropped += 1;
            yield_now().await;
        }
    }
    within(push.send("end")).await.unwrap();
    assert!(dropped > 0, "nothing was dropped");
    assert_eq!(
        within(reader).await.unwrap(),
        (0..COUNT).collect::<Vec<_>>()
    );
}
