//! Sockets of one process.

use std::sync::Arc;

use crate::tasks::{block_on, draw, maybe, number_of, numbered, pause, spawn};
use crate::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Scenario,
    SubSocket, XPubSocket, XSubSocket,
};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "push_pull",
        about: "two tasks send on one socket, two receive on another, through marks of 1: each message once",
        run: || block_on(push_pull()),
    },
    Scenario {
        name: "push_pull_in_order",
        about: "connect and bind in any order; one sends, one receives: each message once, in order",
        run: || block_on(push_pull_in_order()),
    },
    Scenario {
        name: "calls_given_up",
        about: "send, recv and reserve are dropped at any of their awaits: what was accepted comes once, in order, and nothing else",
        run: || block_on(calls_given_up()),
    },
    Scenario {
        name: "close_while_sending",
        about: "the receiver closes while there is sent: what was accepted was read or is counted",
        run: || block_on(close_while_sending()),
    },
    Scenario {
        name: "close_while_receiving",
        about: "the sender closes, then the receiver, while two tasks receive: every call returns",
        run: || block_on(close_while_receiving()),
    },
    Scenario {
        name: "req_rep",
        about: "two that ask and one that answers: each gets the answer to its question",
        run: || block_on(req_rep()),
    },
    Scenario {
        name: "requests_given_up",
        about: "a request is dropped at any of its awaits, then another is made: its answer is its own",
        run: || block_on(requests_given_up()),
    },
    Scenario {
        name: "dealer_router",
        about: "two that send and receive at once, and one that sends back what comes: each gets its own, in order",
        run: || block_on(dealer_router()),
    },
    Scenario {
        name: "pub_sub",
        about: "what is published after a subscription is known comes once, in order, until it is taken back",
        run: || block_on(pub_sub()),
    },
    Scenario {
        name: "xpub_xsub",
        about: "one subscribes and cancels while the other reads that, publishes and closes: nobody waits for ever",
        run: || block_on(xpub_xsub()),
    },
    Scenario {
        name: "connect_and_disconnect",
        about: "one that connects, sends and disconnects while the other binds: what was accepted was delivered or is told",
        run: || block_on(connect_and_disconnect()),
    },
];

const AT: &str = "inproc://here";

async fn push_pull() {
    let push = Arc::new(PushSocket::builder().send_hwm(1).build());
    let pull = Arc::new(PullSocket::builder().recv_hwm(1).build());
    pull.bind(AT).await.unwrap();
    push.connect(AT).unwrap();
    let senders = [0, 2].map(|first| {
        let push = push.clone();
        spawn(async move {
            for n in first..first + 2 {
                push.send(numbered(n)).await.unwrap();
            }
        })
    });
    let readers = [(); 2].map(|()| {
        let pull = pull.clone();
        spawn(async move { [pull.recv().await.unwrap(), pull.recv().await.unwrap()] })
    });
    let mut read = Vec::new();
    for reader in readers {
        read.extend(reader.await.unwrap().iter().map(number_of));
    }
    read.sort_unstable();
    assert_eq!(read, [0, 1, 2, 3]);
    for sender in senders {
        sender.await.unwrap();
    }
    push.close().await.unwrap();
    pull.close().await.unwrap();
}

async fn push_pull_in_order() {
    let push = PushSocket::builder().send_hwm(1).build();
    let pull = PullSocket::builder().recv_hwm(1).build();
    let sender = spawn(async move {
        push.connect(AT).unwrap();
        for n in 0..6 {
            push.send(numbered(n)).await.unwrap();
        }
        push.close().await.unwrap();
    });
    pull.bind(AT).await.unwrap();
    for n in 0..6 {
        assert_eq!(number_of(&pull.recv().await.unwrap()), n);
    }
    sender.await.unwrap();
    pull.close().await.unwrap();
}

async fn calls_given_up() {
    let push = PushSocket::builder().send_hwm(1).build();
    let pull = PullSocket::builder().recv_hwm(1).build();
    pull.bind(AT).await.unwrap();
    push.connect(AT).unwrap();
    let sender = spawn(async move {
        let mut next = 0;
        while next < 5 {
            if draw(3) == 0 {
                if let Some(permit) = maybe(push.reserve()).await {
                    let permit = permit.unwrap();
                    if draw(2) == 0 {
                        permit.send(numbered(next)).unwrap();
                        next += 1;
                    }
                }
            } else if let Some(sent) = maybe(push.send(numbered(next))).await {
                sent.unwrap();
                next += 1;
            }
            pause().await;
        }
        push.close().await.unwrap();
    });
    let mut expected = 0;
    while expected < 5 {
        if let Some(received) = maybe(pull.recv()).await {
            assert_eq!(number_of(&received.unwrap()), expected);
            expected += 1;
        }
        pause().await;
    }
    sender.await.unwrap();
    pull.close().await.unwrap();
}

async fn close_while_sending() {
    let push = Arc::new(PushSocket::builder().send_hwm(1).build());
    let pull = PullSocket::builder().recv_hwm(1).build();
    // The other way round, what is sent when the receiver is gone would wait for the next to bind, up to the linger time.
    push.bind(AT).await.unwrap();
    pull.connect(AT).unwrap();
    push.wait_for_peers(1).await.unwrap();
    let sender = spawn({
        let push = push.clone();
        async move {
            let mut accepted = 0;
            while accepted < 5 && push.send(numbered(accepted)).await.is_ok() {
                accepted += 1;
            }
            u64::from(accepted)
        }
    });
    let mut read = 0;
    for n in 0..draw(3) {
        assert_eq!(usize::from(number_of(&pull.recv().await.unwrap())), n);
        read += 1;
    }
    pull.close().await.unwrap();
    let unread = pull.stats().dropped.unread;
    let left = push
        .close()
        .await
        .err()
        .map_or(0, |left| left.messages as u64);
    let accepted = sender.await.unwrap();
    assert_eq!(
        accepted,
        read + unread + left,
        "read, unread, left: {:?}",
        (read, unread, left)
    );
}

async fn close_while_receiving() {
    let push = PushSocket::new();
    let pull = Arc::new(PullSocket::new());
    pull.bind(AT).await.unwrap();
    push.connect(AT).unwrap();
    push.wait_for_peers(1).await.unwrap();
    let readers = [(); 2].map(|()| {
        let pull = pull.clone();
        spawn(async move {
            let mut read = 0;
            while pull.recv().await.is_ok() {
                read += 1;
            }
            read
        })
    });
    for n in 0..3 {
        push.send(numbered(n)).await.unwrap();
    }
    push.close().await.unwrap();
    pull.close().await.unwrap();
    let mut read = 0;
    for reader in readers {
        read += reader.await.unwrap();
    }
    assert_eq!(read + pull.stats().dropped.unread, 3);
}

async fn req_rep() {
    let rep = RepSocket::new();
    rep.bind(AT).await.unwrap();
    let asking = [0, 10].map(|first| {
        spawn(async move {
            let mut req = ReqSocket::new();
            req.connect(AT).unwrap();
            for n in first..first + 2 {
                assert_eq!(number_of(&req.request(numbered(n)).await.unwrap()), n + 100);
            }
            req.close().await.unwrap();
        })
    });
    for _ in 0..4 {
        let request = rep.accept().await.unwrap();
        spawn(async move {
            let n = number_of(request.message());
            request.reply(numbered(n + 100)).await.unwrap();
        });
    }
    for asking in asking {
        asking.await.unwrap();
    }
    rep.close().await.unwrap();
}

async fn requests_given_up() {
    let rep = Arc::new(RepSocket::new());
    rep.bind(AT).await.unwrap();
    let answering = spawn({
        let rep = rep.clone();
        async move {
            while let Ok(request) = rep.accept().await {
                let n = number_of(request.message());
                request.reply(numbered(n)).await.ok();
            }
        }
    });
    // With a number, an abandoned request does not cost the connection, which is made anew after a delay.
    let mut req = ReqSocket::builder().correlate(true).build();
    req.connect(AT).unwrap();
    for n in 0..3 {
        if let Some(reply) = maybe(req.request(numbered(n))).await {
            assert_eq!(number_of(&reply.unwrap()), n);
        }
    }
    assert_eq!(number_of(&req.request(numbered(9)).await.unwrap()), 9);
    req.close().await.unwrap();
    rep.close().await.unwrap();
    answering.await.unwrap();
}

async fn dealer_router() {
    let router = Arc::new(RouterSocket::new());
    router.bind(AT).await.unwrap();
    let dealers = [0, 10].map(|first| {
        spawn(async move {
            let dealer = Arc::new(DealerSocket::builder().send_hwm(1).build());
            dealer.connect(AT).unwrap();
            let sender = spawn({
                let dealer = dealer.clone();
                async move {
                    for n in first..first + 3 {
                        dealer.send(numbered(n)).await.unwrap();
                    }
                }
            });
            for n in first..first + 3 {
                assert_eq!(number_of(&dealer.recv().await.unwrap()), n);
            }
            sender.await.unwrap();
            dealer.close().await.unwrap();
        })
    });
    for _ in 0..6 {
        let (who, message) = router.recv_from().await.unwrap();
        router.send_to(&who, message).await.unwrap();
    }
    for dealer in dealers {
        dealer.await.unwrap();
    }
    router.close().await.unwrap();
}

async fn pub_sub() {
    let (publisher, sub) = (Arc::new(PubSocket::new()), SubSocket::new());
    publisher.bind(AT).await.unwrap();
    let publishing = spawn({
        let publisher = publisher.clone();
        async move {
            publisher.wait_for_subscribers(1).await.unwrap();
            for n in 0..4 {
                publisher.send(numbered(n)).await.unwrap();
            }
        }
    });
    sub.connect(AT).unwrap();
    sub.subscribe("").unwrap();
    for n in 0..4 {
        assert_eq!(number_of(&sub.recv().await.unwrap()), n);
    }
    publishing.await.unwrap();
    sub.unsubscribe("").unwrap();
    publisher.send("not wanted").await.unwrap();
    assert!(sub.try_recv().is_err());
    sub.close().await.unwrap();
    publisher.close().await.unwrap();
}

async fn xpub_xsub() {
    let xpub = Arc::new(XPubSocket::builder().send_hwm(1).build());
    let xsub = Arc::new(XSubSocket::builder().recv_hwm(1).build());
    xpub.bind(AT).await.unwrap();
    xsub.connect(AT).unwrap();
    let reading = spawn({
        let xpub = xpub.clone();
        async move { while xpub.recv().await.is_ok() {} }
    });
    let publishing = spawn({
        let xpub = xpub.clone();
        async move {
            for _ in 0..4 {
                xpub.send("topic").await.ok();
                pause().await;
            }
        }
    });
    let receiving = spawn({
        let xsub = xsub.clone();
        async move { while xsub.recv().await.is_ok() {} }
    });
    for n in 0..3 {
        xsub.subscribe("t").unwrap();
        xsub.send(("to", "the publisher")).await.unwrap();
        if n != 2 {
            xsub.unsubscribe("t").unwrap();
        }
    }
    match draw(2) {
        0 => xsub.close().await.unwrap(),
        _ => xpub.close().await.unwrap(),
    }
    publishing.await.unwrap();
    xpub.close().await.unwrap();
    xsub.close().await.unwrap();
    reading.await.unwrap();
    receiving.await.unwrap();
}

async fn connect_and_disconnect() {
    let push = PushSocket::builder().linger_forever().build();
    let pull = Arc::new(PullSocket::new());
    let sender = spawn(async move {
        push.connect(AT).unwrap();
        for n in 0..3 {
            push.send(numbered(n)).await.unwrap();
        }
        push.disconnect(AT).await.unwrap();
        push.close().await.unwrap();
    });
    pull.bind(AT).await.unwrap();
    for n in 0..3 {
        assert_eq!(number_of(&pull.recv().await.unwrap()), n);
    }
    sender.await.unwrap();
    pull.unbind(AT).await.unwrap();
    pull.close().await.unwrap();
}
