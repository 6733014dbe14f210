//! XPUB and XSUB: subscriptions that can be seen, decided on and sent by hand.

use jackstay::{
    Message, SubSocket, Subscription, Subscriptions, TryRecvError, Verbosity, XPubSocket,
    XSubSocket,
};

use crate::support::{
    Transport, assert_numbers, eventually, for_each_transport, join, join_at, many, peers, within,
};

for_each_transport! {
    s5_xpub_delivers_what_subscribers_send,
    s6_xpub_reports_the_first_subscription_and_the_last_cancel,
    s6_verbose_reports_every_subscription,
    s6_verboser_reports_every_cancel_too,
    s6_a_peer_that_leaves_cancels_each_topic_that_nobody_else_has,
    s8_manual_subscriptions_take_effect_when_they_are_granted,
    s6_a_leaving_peer_orphans_what_it_asked_for_in_manual_mode,
    s8_manual_last_value_goes_to_the_last_subscriber_only,
    s8_the_last_value_is_the_first_of_many_only,
    s8_a_welcome_message_greets_each_peer,
    s12_xsub_subscribes_by_message_and_by_call,
    s12_xsub_subscribes_by_messages_among_many,
    s12_xsub_sends_to_every_publisher,
    s12_xsub_sends_many_to_every_publisher,
    an_xpub_that_reads_while_it_drops_what_is_too_much_for_it_stays_alive,
}

/// The next subscription event as the message that it is.
async fn next(xpub: &XPubSocket) -> String {
    String::from_utf8(within(xpub.recv()).await.unwrap().first().to_vec()).unwrap()
}

async fn two_subs(xpub: &XPubSocket, over: Transport) -> [SubSocket; 2] {
    let at = xpub.bind(over.any()).await.unwrap();
    let subs = [SubSocket::new(), SubSocket::new()];
    for sub in &subs {
        join_at(xpub, sub, &at).await;
    }
    subs
}

async fn s5_xpub_delivers_what_subscribers_send(over: Transport) {
    let (xpub, xsub) = (XPubSocket::new(), XSubSocket::new());
    join(&xpub, &xsub, over).await;
    let peer = xpub.peers()[0].id();
    xsub.send(("hello", "publisher")).await.unwrap();
    xsub.subscribe("t").unwrap();
    xsub.unsubscribe("t").unwrap();
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(within(xpub.recv_subscription()).await.unwrap());
    }
    // Subscriptions may overtake messages, but not each other.
    let message = Subscription::Message(peer, ("hello", "publisher").into());
    let at = events
        .iter()
        .position(|event| *event == message)
        .expect("the message");
    events.remove(at);
    assert_eq!(
        events,
        [
            Subscription::Subscribe(peer, "t".into()),
            Subscription::Cancel(peer, "t".into())
        ]
    );
}

async fn s6_xpub_reports_the_first_subscription_and_the_last_cancel(over: Transport) {
    let xpub = XPubSocket::new();
    let [one, other] = two_subs(&xpub, over).await;
    one.subscribe("a").unwrap();
    assert_eq!(next(&xpub).await, "\x01a");
    other.subscribe("a").unwrap();
    other.subscribe("b").unwrap();
    assert_eq!(next(&xpub).await, "\x01b");
    one.unsubscribe("a").unwrap();
    one.subscribe("c").unwrap();
    assert_eq!(next(&xpub).await, "\x01c");
    other.unsubscribe("a").unwrap();
    assert_eq!(next(&xpub).await, "\0a");
    assert_eq!(xpub.try_recv(), Err(TryRecvError::Empty));
}

async fn s6_verbose_reports_every_subscription(over: Transport) {
    let xpub = XPubSocket::builder()
        .verbosity(Verbosity::Subscriptions)
        .build();
    let [one, other] = two_subs(&xpub, over).await;
    for sub in [&one, &other] {
        sub.subscribe("a").unwrap();
        assert_eq!(next(&xpub).await, "\x01a");
    }
    one.unsubscribe("a").unwrap();
    one.subscribe("b").unwrap();
    assert_eq!(next(&xpub).await, "\x01b");
    other.unsubscribe("a").unwrap();
    assert_eq!(next(&xpub).await, "\0a");
}

async fn s6_verboser_reports_every_cancel_too(over: Transport) {
    let xpub = XPubSocket::builder().verbosity(Verbosity::All).build();
    let subs = two_subs(&xpub, over).await;
    for sub in &subs {
        sub.subscribe("a").unwrap();
        assert_eq!(next(&xpub).await, "\x01a");
    }
    for sub in &subs {
        sub.unsubscribe("a").unwrap();
        assert_eq!(next(&xpub).await, "\0a");
    }
}

async fn s6_a_peer_that_leaves_cancels_each_topic_that_nobody_else_has(over: Transport) {
    let xpub = XPubSocket::new();
    let [leaving, staying] = two_subs(&xpub, over).await;
    for topic in ["a", "b", "shared"] {
        leaving.subscribe(topic).unwrap();
        next(&xpub).await;
    }
    staying.subscribe("shared").unwrap();
    staying.subscribe("end").unwrap();
    assert_eq!(next(&xpub).await, "\x01end");
    drop(leaving);
    let mut cancelled = [next(&xpub).await, next(&xpub).await];
    cancelled.sort();
    assert_eq!(cancelled, ["\0a", "\0b"]);
    peers(&xpub, 1).await;
    assert_eq!(xpub.try_recv(), Err(TryRecvError::Empty));
    xpub.send("shared 1").await.unwrap();
    assert_eq!(within(staying.recv()).await.unwrap(), "shared 1");
}

async fn s8_manual_subscriptions_take_effect_when_they_are_granted(over: Transport) {
    let xpub = XPubSocket::builder()
        .subscriptions(Subscriptions::Manual)
        .build();
    let sub = SubSocket::new();
    join(&xpub, &sub, over).await;
    sub.subscribe("a").unwrap();
    sub.subscribe("granted").unwrap();
    let Subscription::Subscribe(peer, topic) = within(xpub.recv_subscription()).await.unwrap()
    else {
        panic!("no subscription")
    };
    assert_eq!(topic, "a");
    assert_eq!(peer, xpub.peers()[0].id());
    xpub.send("a1").await.unwrap();
    assert_eq!(xpub.stats().messages_sent, 0);
    // Another topic than the one that was asked for.
    xpub.subscribe_peer(peer, "granted").unwrap();
    within(xpub.wait_for_subscribers(1)).await.unwrap();
    xpub.send("a2").await.unwrap();
    xpub.send("granted 1").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "granted 1");
    assert_eq!(
        within(xpub.recv_subscription()).await.unwrap(),
        Subscription::Subscribe(peer, "granted".into())
    );
    sub.unsubscribe("a").unwrap();
    assert_eq!(
        within(xpub.recv_subscription()).await.unwrap(),
        Subscription::Cancel(peer, "a".into())
    );
    xpub.unsubscribe_peer(peer, "granted").unwrap();
    xpub.send("granted 2").await.unwrap();
    assert_eq!(xpub.stats().messages_sent, 1);
}

async fn s6_a_leaving_peer_orphans_what_it_asked_for_in_manual_mode(over: Transport) {
    let xpub = XPubSocket::builder()
        .subscriptions(Subscriptions::Manual)
        .build();
    let [leaving, staying] = two_subs(&xpub, over).await;
    for (sub, topic) in [
        (&leaving, "own"),
        (&leaving, "shared"),
        (&staying, "shared"),
    ] {
        sub.subscribe(topic).unwrap();
        assert_eq!(next(&xpub).await, format!("\x01{topic}"));
    }
    leaving.close().await.unwrap();
    assert_eq!(next(&xpub).await, "\0own");
    peers(&xpub, 1).await;
    assert_eq!(xpub.try_recv(), Err(TryRecvError::Empty));
}

async fn s8_manual_last_value_goes_to_the_last_subscriber_only(over: Transport) {
    let xpub = XPubSocket::builder()
        .subscriptions(Subscriptions::ManualLastValue)
        .build();
    let [early, late] = two_subs(&xpub, over).await;
    for sub in [&early, &late] {
        sub.subscribe("t").unwrap();
        let Subscription::Subscribe(peer, topic) = within(xpub.recv_subscription()).await.unwrap()
        else {
            panic!("no subscription")
        };
        xpub.subscribe_peer(peer, &topic).unwrap();
        // Only the one that has just come.
        xpub.send("t: last value").await.unwrap();
        assert_eq!(within(sub.recv()).await.unwrap(), "t: last value");
    }
    assert_eq!(xpub.stats().messages_sent, 2);
    assert_eq!(early.try_recv(), Err(TryRecvError::Empty));
    // What follows goes to all.
    xpub.send("t: news").await.unwrap();
    for sub in [&early, &late] {
        assert_eq!(within(sub.recv()).await.unwrap(), "t: news");
    }
}

async fn s8_the_last_value_is_the_first_of_many_only(over: Transport) {
    let xpub = XPubSocket::builder()
        .subscriptions(Subscriptions::ManualLastValue)
        .build();
    let [early, late] = two_subs(&xpub, over).await;
    for sub in [&early, &late] {
        sub.subscribe("t").unwrap();
        let Subscription::Subscribe(peer, topic) = within(xpub.recv_subscription()).await.unwrap()
        else {
            panic!("no subscription")
        };
        xpub.subscribe_peer(peer, &topic).unwrap();
    }
    let texts = ["t: last value", "t: news", "t: more", "t: even more"];
    let mut messages = texts.map(Message::from).to_vec();
    xpub.send_many(&mut messages).await.unwrap();
    assert!(messages.is_empty());
    for (sub, expected) in [(&early, &texts[1..]), (&late, &texts[..])] {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            within(sub.recv_many(&mut received, 9)).await.unwrap();
        }
        assert_eq!(received, expected);
    }
    assert_eq!(xpub.stats().messages_sent, 7);
}

async fn s8_a_welcome_message_greets_each_peer(over: Transport) {
    let xpub = XPubSocket::builder().welcome_message("W").build();
    let at = xpub.bind(over.any()).await.unwrap();
    for _ in 0..3 {
        let sub = SubSocket::new();
        sub.subscribe("W").unwrap();
        sub.connect(&at).unwrap();
        assert_eq!(within(sub.recv()).await.unwrap(), "W");
    }
}

async fn s12_xsub_subscribes_by_message_and_by_call(over: Transport) {
    let (xpub, xsub) = (XPubSocket::new(), XSubSocket::new());
    // Before there is a peer, too.
    xsub.send("\x01early").await.unwrap();
    join(&xpub, &xsub, over).await;
    assert_eq!(next(&xpub).await, "\x01early");
    xsub.send("\x01a").await.unwrap();
    assert_eq!(next(&xpub).await, "\x01a");
    xsub.subscribe("b").unwrap();
    assert_eq!(next(&xpub).await, "\x01b");
    for text in ["a1", "b1", "c1", "early 1"] {
        xpub.send(text).await.unwrap();
    }
    for text in ["a1", "b1", "early 1"] {
        assert_eq!(within(xsub.recv()).await.unwrap(), text);
    }
    xsub.send("\0a").await.unwrap();
    assert_eq!(next(&xpub).await, "\0a");
    // S7: what was not subscribed cannot be cancelled.
    xsub.send("\0never").await.unwrap();
    xsub.send("\0b").await.unwrap();
    assert_eq!(next(&xpub).await, "\0b");
}

async fn s12_xsub_subscribes_by_messages_among_many(over: Transport) {
    let batch = [
        "1", "\x01a", "2", "\x01b", "\0a", "3", "4", "\0never", "5", "\x01c",
    ];
    let one_by_one = async |xsub: &XSubSocket| {
        for text in batch {
            xsub.send(text).await.unwrap();
        }
    };
    let at_once = async |xsub: &XSubSocket| {
        let mut messages = batch.map(Message::from).to_vec();
        xsub.send_many(&mut messages).await.unwrap();
        assert!(messages.is_empty());
    };
    let tried = async |xsub: &XSubSocket| {
        let mut messages = batch.map(Message::from).to_vec();
        assert_eq!(xsub.try_send_many(&mut messages), Ok(batch.len()));
    };
    let expected = subscribes_and_sends(one_by_one, over).await;
    assert_eq!(subscribes_and_sends(at_once, over).await, expected);
    assert_eq!(subscribes_and_sends(tried, over).await, expected);
}

/// Checks what comes of nine messages of an XSUB, of which four change its subscriptions: whether it gets what it wants then,
/// and how many messages it counts.
async fn subscribes_and_sends(send: impl AsyncFn(&XSubSocket), over: Transport) -> u64 {
    let (xpub, xsub) = (XPubSocket::new(), XSubSocket::new());
    join(&xpub, &xsub, over).await;
    send(&xsub).await;
    let mut received = Vec::new();
    while received.len() < 9 {
        within(xpub.recv_many(&mut received, 4)).await.unwrap();
    }
    // Subscriptions may overtake messages, but not each other.
    let (subscriptions, messages): (Vec<_>, Vec<_>) =
        received.iter().partition(|message| message.first()[0] <= 1);
    assert_eq!(subscriptions, ["\x01a", "\x01b", "\0a", "\x01c"]);
    assert_eq!(messages, ["1", "2", "3", "4", "5"]);
    let mut messages = ["a", "b", "c", "d"].map(Message::from).to_vec();
    xpub.send_many(&mut messages).await.unwrap();
    let mut received = Vec::new();
    while received.len() < 2 {
        within(xsub.recv_many(&mut received, 9)).await.unwrap();
    }
    assert_eq!(received, ["b", "c"]);
    assert_eq!(xpub.try_recv(), Err(TryRecvError::Empty));
    xsub.stats().messages_sent
}

async fn s12_xsub_sends_many_to_every_publisher(over: Transport) {
    let xsub = XSubSocket::new();
    let xpubs = [XPubSocket::new(), XPubSocket::new()];
    for xpub in &xpubs {
        join(xpub, &xsub, over).await;
    }
    xsub.send_many(&mut many(10..500)).await.unwrap();
    for xpub in &xpubs {
        let mut received = Vec::new();
        while received.len() < 490 {
            within(xpub.recv_many(&mut received, 100)).await.unwrap();
        }
        assert_numbers(&received, 10..500);
    }
    eventually(|| xsub.stats().queued_out == 0).await;
    assert_eq!(xsub.stats().messages_sent, 980);
}

async fn s12_xsub_sends_to_every_publisher(over: Transport) {
    let xsub = XSubSocket::new();
    let xpubs = [XPubSocket::new(), XPubSocket::new()];
    for xpub in &xpubs {
        join(xpub, &xsub, over).await;
    }
    xsub.send(["up", "stream"]).await.unwrap();
    for xpub in &xpubs {
        assert_eq!(
            within(xpub.recv()).await.unwrap(),
            Message::from(["up", "stream"])
        );
    }
    eventually(|| xsub.stats().queued_out == 0).await;
    assert_eq!(xsub.stats().messages_sent, 2);
}

// Within a process, whoever counted a drop under the lock of the reader waited for the reader, who waited for the sender.
async fn an_xpub_that_reads_while_it_drops_what_is_too_much_for_it_stays_alive(over: Transport) {
    const SENT: u64 = 20_000;
    let xpub = XPubSocket::builder().recv_hwm(1).build();
    let xsub = XSubSocket::builder().send_hwm(1).build();
    join(&xpub, &xsub, over).await;
    let flood = tokio::spawn(async move {
        for _ in 0..SENT {
            xsub.send("flood").await.unwrap();
        }
        xsub
    });
    let mut received = 0;
    while !flood.is_finished() {
        match xpub.try_recv() {
            Ok(_) => received += 1,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    let xsub = flood.await.unwrap();
    eventually(|| xsub.stats().queued_out == 0).await;
    let lost = xsub.stats().dropped.full;
    eventually(|| {
        received += std::iter::from_fn(|| xpub.try_recv().ok()).count() as u64;
        received + lost + xpub.stats().dropped.unread == SENT
    })
    .await;
}
