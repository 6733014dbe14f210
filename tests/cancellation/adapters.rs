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
    within(async {
        while expected < COUNT {
            let mut messages = pull.stream();
            for _ in 0..2 {
                if let Some(message) = dropped_after(polls(rounds).await, messages.next()).await {
                    assert_eq!(number_of(&message.unwrap()), expected);
                    expected += 1;
                }
                rounds += 1;
                yield_now().await;
            }
        }
    })
    .await;
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
    within(async {
        for n in 0..COUNT {
            sink.feed(large(n)).await.unwrap();
            while dropped_after(polls(dropped).await, SinkExt::<Message>::flush(&mut sink))
                .await
                .is_none()
            {
                dropped += 1;
                yield_now().await;
            }
        }
        push.send("end").await.unwrap();
    })
    .await;
    assert!(dropped > 0, "nothing was dropped");
    assert_eq!(
        within(reader).await.unwrap(),
        (0..COUNT).collect::<Vec<_>>()
    );
}
