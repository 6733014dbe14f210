//! PUB and SUB: who gets what, and that no slow subscriber matters to anybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jackstay::{
    EventKind, Message, OnFull, PubSocket, SubSocket, SubscribeError, TryRecvError, XPubSocket,
    XSubSocket,
};

use crate::support::{
    Transport, assert_numbers, event, eventually, for_each_transport, for_each_wire, join, join_at,
    many, number_of, numbered, peers, within,
};

for_each_transport! {
    s1_a_message_goes_to_those_whose_prefix_matches,
    s1_topics_are_octets_and_only_the_first_frame_counts,
    s1_either_side_may_bind,
    s3_subscribing_twice_is_undone_by_unsubscribing_twice,
    s3_the_last_cancel_stops_the_messages_at_the_publisher,
    s4_a_message_that_nobody_wants_is_gone,
    s4_a_full_subscriber_alone_misses_messages_and_they_are_counted,
    s4_what_a_full_subscriber_misses_of_many_is_counted_one_by_one,
    s5_pub_discards_what_subscribers_send,
    s8_with_nodrop_a_publisher_waits_for_the_slowest,
    s8_with_nodrop_a_publisher_waits_at_a_limit_in_octets,
    s8_with_nodrop_none_of_many_is_dropped,
    s9_ten_thousand_subscriptions_made_before_connect_all_take_effect,
    s9_subscriptions_are_replayed_at_a_reconnect,
    s9_a_subscription_reaches_publishers_that_come_later,
    s10_a_subscriber_filters_again_what_has_arrived,
    s10_of_many_a_subscriber_gets_those_it_subscribed_to,
    s11_invert_matching_sends_what_was_not_subscribed,
    s11_of_many_an_inverted_subscriber_gets_the_others,
    a13_a_second_connect_to_the_same_endpoint_does_nothing,
    a15_two_publishers_share_a_subscriber_evenly,
    a17_conflate_keeps_the_last_message,
    a17_conflate_keeps_the_last_of_many,
    every_subscriber_of_many_gets_every_message,
    every_subscriber_gets_every_message_of_one_call,
    every_message_is_counted_once,
}

for_each_wire! {
    s10_a_full_subscriber_stops_reading,
}

/// A publisher and a subscriber to `topics` that know of each other.
async fn subscribed(topics: &[&str], over: Transport) -> (PubSocket, SubSocket) {
    let (publisher, sub) = (PubSocket::new(), SubSocket::new());
    for topic in topics {
        sub.subscribe(topic).unwrap();
    }
    join(&publisher, &sub, over).await;
    effective(&publisher, &sub, topics).await;
    (publisher, sub)
}

/// Waits until the publisher knows all of `topics`, and reads away what was published to find out.
async fn effective(publisher: &PubSocket, sub: &SubSocket, topics: &[&str]) {
    for topic in topics {
        let probe = Message::from((topic.as_bytes().to_vec(), "probe"));
        eventually(|| {
            let before = publisher.stats().messages_sent;
            publisher.try_send(probe.clone()).unwrap();
            publisher.stats().messages_sent > before
        })
        .await;
        while within(sub.recv()).await.unwrap() != probe {}
    }
}

async fn s1_a_message_goes_to_those_whose_prefix_matches(over: Transport) {
    let publisher = PubSocket::new();
    let at = publisher.bind(over.any()).await.unwrap();
    let wanted: [(&[&str], &[&str]); 4] = [
        (&["a"], &["a1", "ab2", "ac6"]),
        (&["ab", "b"], &["ab2", "b3"]),
        (&["c"], &["c4"]),
        (&[""], &["a1", "ab2", "b3", "c4", "d5", "ac6"]),
    ];
    let mut subs = Vec::new();
    for (n, (topics, _)) in wanted.iter().enumerate() {
        let sub = SubSocket::new();
        join_at(&publisher, &sub, &at).await;
        for topic in *topics {
            sub.subscribe(topic).unwrap();
        }
        // Subscriptions keep their order: with this one, all are in effect.
        let own = format!("own {n}");
        sub.subscribe(&own).unwrap();
        effective(&publisher, &sub, &[&own]).await;
        subs.push(sub);
    }
    for topic in ["a1", "ab2", "b3", "c4", "d5", "ac6"] {
        publisher.send(topic).await.unwrap();
    }
    for (sub, (_, expected)) in subs.iter().zip(wanted) {
        for topic in expected {
            assert_eq!(within(sub.recv()).await.unwrap(), *topic);
        }
        assert_eq!(sub.try_recv(), Err(TryRecvError::Empty));
    }
}

async fn s1_topics_are_octets_and_only_the_first_frame_counts(over: Transport) {
    let xpub = XPubSocket::new();
    let sub = SubSocket::new();
    sub.subscribe([0, 255, 1]).unwrap();
    join(&xpub, &sub, over).await;
    within(xpub.recv()).await.unwrap();
    xpub.send([vec![0, 255], vec![0, 255, 1]]).await.unwrap();
    xpub.send([vec![0, 255, 1, 2], vec![9], vec![]])
        .await
        .unwrap();
    xpub.send([vec![], vec![0, 255, 1]]).await.unwrap();
    xpub.send(vec![0, 255, 1]).await.unwrap();
    assert_eq!(
        within(sub.recv()).await.unwrap(),
        Message::from([vec![0, 255, 1, 2], vec![9], vec![]])
    );
    assert_eq!(within(sub.recv()).await.unwrap(), &[0, 255, 1]);
    assert_eq!(sub.stats().messages_received, 2);
}

async fn s1_either_side_may_bind(over: Transport) {
    let (publisher, sub) = (PubSocket::new(), SubSocket::new());
    sub.subscribe("t").unwrap();
    join(&sub, &publisher, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    publisher.send("t1").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "t1");
}

async fn s3_subscribing_twice_is_undone_by_unsubscribing_twice(over: Transport) {
    let xpub = XPubSocket::new();
    let sub = SubSocket::new();
    join(&xpub, &sub, over).await;
    sub.subscribe("t").unwrap();
    sub.subscribe("t").unwrap();
    assert_eq!(within(xpub.recv()).await.unwrap(), "\x01t");
    sub.unsubscribe("t").unwrap();
    sub.subscribe("other").unwrap();
    // No cancel came before this.
    assert_eq!(within(xpub.recv()).await.unwrap(), "\x01other");
    xpub.send("t1").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "t1");
    sub.unsubscribe("t").unwrap();
    assert_eq!(within(xpub.recv()).await.unwrap(), "\0t");
    assert_eq!(sub.unsubscribe("t"), Err(SubscribeError::NotSubscribed));
    xpub.send("t2").await.unwrap();
    xpub.send("other").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "other");
}

async fn s3_the_last_cancel_stops_the_messages_at_the_publisher(over: Transport) {
    let (publisher, sub) = subscribed(&["a", "b"], over).await;
    sub.unsubscribe("a").unwrap();
    eventually(|| {
        let before = publisher.stats().messages_sent;
        publisher.try_send("a").unwrap();
        publisher.stats().messages_sent == before
    })
    .await;
    publisher.send("b").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "b");
}

async fn s4_a_message_that_nobody_wants_is_gone(over: Transport) {
    let publisher = PubSocket::new();
    publisher.send("to nobody").await.unwrap();
    let sub = SubSocket::new();
    join(&publisher, &sub, over).await;
    publisher.send("not subscribed").await.unwrap();
    sub.subscribe("").unwrap();
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    publisher.send("wanted").await.unwrap();
    assert_eq!(within(sub.recv()).await.unwrap(), "wanted");
    assert_eq!(publisher.stats().messages_sent, 1);
    assert_eq!(publisher.stats().dropped.total(), 0);
}

async fn s4_a_full_subscriber_alone_misses_messages_and_they_are_counted(over: Transport) {
    let publisher = PubSocket::builder().send_hwm(8).build();
    let at = publisher.bind(over.any()).await.unwrap();
    let stuck = SubSocket::builder().recv_hwm(8).build();
    let reader = SubSocket::builder().recv_hwm(8).build();
    for sub in [&stuck, &reader] {
        sub.subscribe("").unwrap();
        join_at(&publisher, sub, &at).await;
    }
    within(publisher.wait_for_subscribers(2)).await.unwrap();
    let mut sent: usize = 0;
    while publisher.stats().dropped.full < 100 {
        assert!(sent < 100_000, "nothing is dropped");
        within(publisher.send((vec![0; 50_000], sent.to_string())))
            .await
            .unwrap();
        assert_eq!(number_of(&within(reader.recv()).await.unwrap()), sent);
        sent += 1;
    }
    // The stuck one gets the rest, whole and in order.
    let dropped = usize::try_from(publisher.stats().dropped.full).unwrap();
    let mut last = None;
    for _ in 0..sent - dropped {
        let message = within(stuck.recv()).await.unwrap();
        assert_eq!(message.size(), 50_000 + message[1].len());
        let n = number_of(&message);
        assert!(last < Some(n), "{n} after {last:?}");
        last = Some(n);
    }
    assert_eq!(stuck.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(publisher.peers().len(), 2);
}

async fn s4_what_a_full_subscriber_misses_of_many_is_counted_one_by_one(over: Transport) {
    let publisher = PubSocket::builder().send_hwm(8).build();
    let at = publisher.bind(over.any()).await.unwrap();
    let [stuck, reader] = [(); 2].map(|()| SubSocket::builder().recv_hwm(8).build());
    for sub in [&stuck, &reader] {
        sub.subscribe("").unwrap();
        join_at(&publisher, sub, &at).await;
    }
    within(publisher.wait_for_subscribers(2)).await.unwrap();
    let large = |n: usize| Message::from((vec![0; 50_000], n.to_string()));
    let mut read = Vec::new();
    while publisher.stats().dropped.full < 100 {
        let sent = read.len();
        assert!(sent < 100_000, "nothing is dropped");
        // No more than the one that reads has room for.
        let mut messages: Vec<_> = (sent..sent + 7).map(large).collect();
        within(publisher.send_many(&mut messages)).await.unwrap();
        assert!(messages.is_empty());
        while read.len() < sent + 7 {
            within(reader.recv_many(&mut read, 7)).await.unwrap();
        }
    }
    let sent = read.len();
    assert_numbers(&read, 0..sent);
    let stats = publisher.stats();
    let all = 2 * sent as u64;
    assert_eq!(stats.messages_sent + stats.dropped.full, all);
    // The stuck one gets the rest, whole and in order.
    let copies = sent - usize::try_from(stats.dropped.full).unwrap();
    let mut rest = Vec::new();
    while rest.len() < copies {
        within(stuck.recv_many(&mut rest, 7)).await.unwrap();
    }
    let none = stuck.try_recv_many(&mut rest, 7);
    assert_eq!(none, Err(TryRecvError::Empty));
    let numbers: Vec<_> = rest.iter().map(number_of).collect();
    let ordered = numbers.windows(2).all(|two| two[0] < two[1]);
    assert!(ordered && numbers.len() == copies, "{numbers:?}");
    assert!(rest.iter().all(|message| message[0].len() == 50_000));
}

async fn s5_pub_discards_what_subscribers_send(over: Transport) {
    let (publisher, xsub) = (PubSocket::new(), XSubSocket::new());
    join(&publisher, &xsub, over).await;
    xsub.send("for the publisher").await.unwrap();
    eventually(|| publisher.stats().dropped.unexpected == 1).await;
    xsub.subscribe("t").unwrap();
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    publisher.send("t").await.unwrap();
    assert_eq!(within(xsub.recv()).await.unwrap(), "t");
}

async fn s8_with_nodrop_a_publisher_waits_for_the_slowest(over: Transport) {
    let publisher = PubSocket::builder().send_hwm(2).on_full(OnFull::Wait);
    let subs = [(); 2].map(|()| SubSocket::builder().recv_hwm(2).build());
    nothing_is_dropped(&publisher.build(), subs, over).await;
}

async fn s8_with_nodrop_a_publisher_waits_at_a_limit_in_octets(over: Transport) {
    const TWO: usize = 60_000;
    let publisher = PubSocket::builder()
        .send_buffer_limit(TWO)
        .on_full(OnFull::Wait);
    let subs = [(); 2].map(|()| SubSocket::builder().recv_buffer_limit(TWO).build());
    nothing_is_dropped(&publisher.build(), subs, over).await;
}

/// Publishes far more than the queues take, in messages of 50,000 octets.
async fn nothing_is_dropped(publisher: &PubSocket, subs: [SubSocket; 2], over: Transport) {
    let at = publisher.bind(over.any()).await.unwrap();
    for sub in &subs {
        sub.subscribe("").unwrap();
        join_at(publisher, sub, &at).await;
    }
    within(publisher.wait_for_subscribers(2)).await.unwrap();
    let sent = async {
        for n in 0..500 {
            let message = (vec![0; 50_000], n.to_string());
            publisher.send(message).await.unwrap();
        }
    };
    let received = async |sub: &SubSocket| {
        for n in 0..500 {
            assert_eq!(number_of(&sub.recv().await.unwrap()), n);
        }
        assert_eq!(sub.stats().messages_received, 500);
    };
    within(async { tokio::join!(sent, received(&subs[0]), received(&subs[1])) }).await;
    assert_eq!(publisher.stats().dropped.total(), 0);
}

async fn s8_with_nodrop_none_of_many_is_dropped(over: Transport) {
    let publisher = PubSocket::builder().send_hwm(2).on_full(OnFull::Wait);
    let publisher = publisher.build();
    let at = publisher.bind(over.any()).await.unwrap();
    let subs = [(); 2].map(|()| SubSocket::builder().recv_hwm(2).build());
    for sub in &subs {
        sub.subscribe("").unwrap();
        join_at(&publisher, sub, &at).await;
    }
    within(publisher.wait_for_subscribers(2)).await.unwrap();
    let large = |n: usize| Message::from((vec![0; 50_000], n.to_string()));
    let mut messages: Vec<_> = (0..500).map(large).collect();
    let received = async |sub: &SubSocket| {
        let mut received = Vec::new();
        while received.len() < 500 {
            sub.recv_many(&mut received, 3).await.unwrap();
        }
        assert_numbers(&received, 0..500);
    };
    let sent = publisher.send_many(&mut messages);
    let (sent, (), ()) =
        within(async { tokio::join!(sent, received(&subs[0]), received(&subs[1])) }).await;
    sent.unwrap();
    assert!(messages.is_empty());
    let stats = publisher.stats();
    assert_eq!((stats.messages_sent, stats.dropped.total()), (1_000, 0));
}

async fn s9_ten_thousand_subscriptions_made_before_connect_all_take_effect(over: Transport) {
    const TOPICS: usize = 10_000;
    let xpub = XPubSocket::builder().send_hwm(0).build();
    let sub = SubSocket::builder().recv_hwm(0).build();
    let topic = |n: usize| format!("<{n}>");
    for n in 0..TOPICS {
        sub.subscribe(topic(n)).unwrap();
    }
    join(&xpub, &sub, over).await;
    for _ in 0..TOPICS {
        assert_eq!(within(xpub.recv()).await.unwrap().first()[0], 1);
    }
    for n in 0..TOPICS {
        xpub.send(topic(n)).await.unwrap();
    }
    for n in 0..TOPICS {
        assert_eq!(within(sub.recv()).await.unwrap(), topic(n).as_str());
    }
}

async fn s9_subscriptions_are_replayed_at_a_reconnect(over: Transport) {
    let sub = SubSocket::new();
    let at = over.fixed();
    sub.connect(&at).unwrap();
    for round in 0..3 {
        sub.subscribe(round.to_string()).unwrap();
        let xpub = XPubSocket::new();
        xpub.bind(&at).await.unwrap();
        for _ in 0..=round {
            assert_eq!(within(xpub.recv()).await.unwrap().first()[0], 1);
        }
        for topic in 0..=round {
            xpub.send(topic.to_string()).await.unwrap();
            assert_eq!(
                within(sub.recv()).await.unwrap(),
                topic.to_string().as_str()
            );
        }
        xpub.close().await.unwrap();
        peers(&sub, 0).await;
    }
}

async fn s9_a_subscription_reaches_publishers_that_come_later(over: Transport) {
    let sub = SubSocket::new();
    sub.subscribe("t").unwrap();
    let at = sub.bind(over.any()).await.unwrap();
    for n in 0..5 {
        let publisher = PubSocket::new();
        join_at(&sub, &publisher, &at).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        publisher.send(format!("t{n}")).await.unwrap();
        assert_eq!(within(sub.recv()).await.unwrap(), format!("t{n}").as_str());
        publisher.close().await.unwrap();
        peers(&sub, 0).await;
    }
}

async fn s10_a_subscriber_filters_again_what_has_arrived(over: Transport) {
    let (publisher, sub) = subscribed(&["a", "b"], over).await;
    let before = sub.stats().messages_received;
    publisher.send("a1").await.unwrap();
    publisher.send("b1").await.unwrap();
    eventually(|| sub.stats().messages_received == before + 2).await;
    sub.unsubscribe("a").unwrap();
    assert_eq!(sub.try_recv().unwrap(), "b1");
    assert_eq!(sub.stats().dropped.unmatched, 1);
}

async fn s10_of_many_a_subscriber_gets_those_it_subscribed_to(over: Transport) {
    let (publisher, sub) = subscribed(&["a", "b"], over).await;
    let before = sub.stats().messages_received;
    let mut messages = ["a1", "b1", "c1", "a2", "b2", "b3", "a3", "a4"]
        .map(Message::from)
        .to_vec();
    publisher.send_many(&mut messages).await.unwrap();
    eventually(|| sub.stats().messages_received == before + 7).await;
    sub.unsubscribe("a").unwrap();
    // Those that are not wanted do not count for the limit.
    let mut received = Vec::new();
    assert_eq!(within(sub.recv_many(&mut received, 2)).await, Ok(2));
    assert_eq!(received, ["b1", "b2"]);
    assert_eq!(sub.stats().dropped.unmatched, 2);
    assert_eq!(sub.try_recv_many(&mut received, 0), Ok(0));
    assert_eq!(sub.try_recv_many(&mut received, 9), Ok(1));
    assert_eq!(received, ["b1", "b2", "b3"]);
    let none = sub.try_recv_many(&mut received, 9);
    assert_eq!(none, Err(TryRecvError::Empty));
    let stats = sub.stats();
    assert_eq!((stats.dropped.unmatched, stats.queued_in), (4, 0));
}

async fn s10_a_full_subscriber_stops_reading(over: Transport) {
    let publisher = PubSocket::builder()
        .send_hwm(1)
        .on_full(OnFull::Wait)
        .build();
    let sub = SubSocket::builder().recv_hwm(3).build();
    sub.subscribe("").unwrap();
    join(&publisher, &sub, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    let body = vec![0; 1 << 20];
    // The mark at the receiver is exact; the rest waits in the system's buffers and at the sender.
    let mut sent: u64 = 0;
    while sent < 50
        && tokio::time::timeout(Duration::from_millis(500), publisher.send(body.clone()))
            .await
            .is_ok()
    {
        sent += 1;
    }
    assert!(sent < 50, "nothing holds the publisher back");
    assert_eq!(sub.stats().queued_in, 3);
    for _ in 0..sent {
        within(sub.recv()).await.unwrap();
    }
}

async fn s11_invert_matching_sends_what_was_not_subscribed(over: Transport) {
    let publisher = PubSocket::builder().invert_matching(true).build();
    let sub = SubSocket::builder().invert_matching(true).build();
    sub.subscribe("noise").unwrap();
    join(&publisher, &sub, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    for text in ["noise 1", "signal 1", "noise 2", "signal 2"] {
        publisher.send(text).await.unwrap();
    }
    assert_eq!(within(sub.recv()).await.unwrap(), "signal 1");
    assert_eq!(within(sub.recv()).await.unwrap(), "signal 2");
    assert_eq!(publisher.stats().messages_sent, 2);
}

async fn s11_of_many_an_inverted_subscriber_gets_the_others(over: Transport) {
    let publisher = PubSocket::builder().invert_matching(true).build();
    let sub = SubSocket::builder().invert_matching(true).build();
    sub.subscribe("noise").unwrap();
    join(&publisher, &sub, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    let mut messages = [
        "noise 1", "hum 1", "signal 1", "noise 2", "hum 2", "signal 2",
    ]
    .map(Message::from)
    .to_vec();
    publisher.send_many(&mut messages).await.unwrap();
    assert_eq!(publisher.stats().messages_sent, 4);
    eventually(|| sub.stats().messages_received == 4).await;
    // What has arrived is filtered again.
    sub.subscribe("hum").unwrap();
    let mut received = Vec::new();
    assert_eq!(within(sub.recv_many(&mut received, 9)).await, Ok(2));
    assert_eq!(received, ["signal 1", "signal 2"]);
    assert_eq!(sub.stats().dropped.unmatched, 2);
}

async fn a13_a_second_connect_to_the_same_endpoint_does_nothing(over: Transport) {
    let xpub = XPubSocket::new();
    let sub = SubSocket::new();
    sub.subscribe("").unwrap();
    let at = join(&xpub, &sub, over).await;
    sub.connect(&at).unwrap();
    assert_eq!(sub.endpoints(), std::slice::from_ref(&at));
    within(xpub.recv()).await.unwrap();
    for n in 0..10 {
        xpub.send(numbered(n)).await.unwrap();
        assert_eq!(number_of(&within(sub.recv()).await.unwrap()), n);
    }
    assert_eq!(xpub.peers().len(), 1);
    // Once disconnected, it can be connected again.
    sub.disconnect(&at).await.unwrap();
    peers(&xpub, 0).await;
    join_at(&xpub, &sub, &at).await;
}

async fn a15_two_publishers_share_a_subscriber_evenly(over: Transport) {
    let sub = SubSocket::builder().recv_hwm(100).build();
    sub.subscribe("").unwrap();
    let at = sub.bind(over.any()).await.unwrap();
    let publishers = [(); 2].map(|()| {
        PubSocket::builder()
            .on_full(OnFull::Wait)
            .send_hwm(100)
            .build()
    });
    for publisher in &publishers {
        join_at(&sub, publisher, &at).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
    }
    for n in 0..100 {
        for (source, publisher) in publishers.iter().enumerate() {
            publisher
                .send([source.to_string(), n.to_string()])
                .await
                .unwrap();
        }
    }
    eventually(|| sub.stats().queued_in == 200).await;
    let mut sources = Vec::new();
    for _ in 0..200 {
        sources.push(within(sub.recv()).await.unwrap()[0][0]);
    }
    let first_half = sources[..100]
        .iter()
        .filter(|source| **source == b'0')
        .count();
    assert!((45..=55).contains(&first_half), "{first_half} of 100");
}

async fn a17_conflate_keeps_the_last_message(over: Transport) {
    let publisher = PubSocket::new();
    let sub = SubSocket::builder().conflate(true).build();
    sub.subscribe("").unwrap();
    join(&publisher, &sub, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    for n in 0..50 {
        publisher.send(numbered(n)).await.unwrap();
    }
    eventually(|| sub.stats().messages_received == 50).await;
    assert_eq!(number_of(&within(sub.recv()).await.unwrap()), 49);
    assert_eq!(sub.try_recv(), Err(TryRecvError::Empty));
}

async fn a17_conflate_keeps_the_last_of_many(over: Transport) {
    let publisher = PubSocket::new();
    let sub = SubSocket::builder().conflate(true).build();
    sub.subscribe("").unwrap();
    join(&publisher, &sub, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    publisher.send_many(&mut many(0..50)).await.unwrap();
    eventually(|| sub.stats().messages_received == 50).await;
    let mut received = Vec::new();
    assert_eq!(within(sub.recv_many(&mut received, 9)).await, Ok(1));
    assert_numbers(&received, 49..50);
    assert_eq!(sub.stats().dropped.conflated, 49);
}

async fn every_subscriber_of_many_gets_every_message(over: Transport) {
    const SUBS: usize = 64;
    const MESSAGES: usize = 200;
    let publisher = PubSocket::new();
    let at = publisher.bind(over.any()).await.unwrap();
    let subs: Vec<_> = (0..SUBS).map(|_| SubSocket::new()).collect();
    for sub in &subs {
        sub.subscribe("").unwrap();
        sub.connect(&at).unwrap();
    }
    within(publisher.wait_for_subscribers(SUBS)).await.unwrap();
    for n in 0..MESSAGES {
        publisher.send(numbered(n)).await.unwrap();
    }
    for sub in &subs {
        for n in 0..MESSAGES {
            assert_eq!(number_of(&within(sub.recv()).await.unwrap()), n);
        }
    }
    assert_eq!(publisher.stats().messages_sent, (SUBS * MESSAGES) as u64);
}

// Some of them are kept once for all.
async fn every_subscriber_gets_every_message_of_one_call(over: Transport) {
    const SUBS: usize = 20;
    const MESSAGES: usize = 5_000;
    let publisher = PubSocket::builder().send_hwm(0).build();
    let at = publisher.bind(over.any()).await.unwrap();
    let subs: Vec<_> = (0..SUBS).map(|_| SubSocket::new()).collect();
    for sub in &subs {
        sub.subscribe("").unwrap();
        sub.connect(&at).unwrap();
    }
    within(publisher.wait_for_subscribers(SUBS)).await.unwrap();
    assert_eq!(publisher.try_send_many(&mut many(0..100)), Ok(100));
    publisher.send_many(&mut many(100..MESSAGES)).await.unwrap();
    for sub in &subs {
        let mut received = Vec::new();
        while received.len() < MESSAGES {
            within(sub.recv_many(&mut received, 300)).await.unwrap();
        }
        assert_numbers(&received, 0..MESSAGES);
    }
    let stats = publisher.stats();
    let copies = (SUBS * MESSAGES) as u64;
    assert_eq!((stats.messages_sent, stats.dropped.total()), (copies, 0));
}

async fn every_message_is_counted_once(over: Transport) {
    let publisher = PubSocket::builder().send_hwm(5).build();
    let mut monitor = publisher.monitor();
    let sub = SubSocket::builder().recv_hwm(5).build();
    sub.subscribe("").unwrap();
    join(&publisher, &sub, over).await;
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    for _ in 0..500_u64 {
        publisher.send(vec![0; 100_000]).await.unwrap();
    }
    // Offered is accepted or dropped at once; accepted arrives or is still queued.
    assert_eq!(
        publisher.stats().messages_sent + publisher.stats().dropped.full,
        500
    );
    let mut read = 0;
    while read < publisher.stats().messages_sent {
        within(sub.recv()).await.unwrap();
        read += 1;
    }
    assert_eq!(sub.stats().messages_received, read);
    // The last may arrive before its sender knows that it has left.
    eventually(|| publisher.stats().queued_out == 0).await;
    assert_eq!(sub.stats().queued_in, 0);
    sub.close().await.unwrap();
    event(&mut monitor, |kind| {
        matches!(kind, EventKind::Disconnected(_))
    })
    .await;
    peers(&publisher, 0).await;
    assert_eq!(publisher.stats().dropped.peer_gone, 0);
}

// The publisher's session left it to the loop, and nothing of the runtime runs behind that.
#[test]
fn the_last_message_of_a_loop_leaves_although_its_runtime_stood_still() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (publisher, sub) = runtime.block_on(subscribed(&[""], Transport::Tcp));
    for _ in 0..50 {
        runtime.block_on(async {
            for n in 0..100 {
                publisher.send(numbered(n)).await.unwrap();
            }
            assert_eq!(number_of(&within(sub.recv()).await.unwrap()), 0);
            publisher.send(numbered(100)).await.unwrap();
        });
        runtime.block_on(async {
            for n in 1..=100 {
                assert_eq!(number_of(&within(sub.recv()).await.unwrap()), n);
            }
        });
    }
}

// Whoever publishes to thousands holds their sessions up with each message.
#[tokio::test]
async fn a_publisher_to_many_lets_go_of_its_thread_the_oftener() {
    let one_by_one = async |publisher: &PubSocket| {
        for n in 0..1_600 {
            publisher.send(numbered(n)).await.unwrap();
        }
    };
    // 102,400 copies.
    assert_eq!(turns_between(one_by_one).await, 3);
    let at_once = async |publisher: &PubSocket| {
        publisher.send_many(&mut many(0..1_600)).await.unwrap();
    };
    assert_eq!(turns_between(at_once).await, 3);
}

/// How many turns others have while 1,600 messages are sent to 64 subscribers.
async fn turns_between(send: impl AsyncFn(&PubSocket)) -> usize {
    let publisher = PubSocket::builder()
        .on_full(OnFull::Wait)
        .send_hwm(0)
        .build();
    let at = publisher.bind(Transport::Inproc.any()).await.unwrap();
    let subs: Vec<_> = std::iter::repeat_with(|| SubSocket::builder().recv_hwm(0).build())
        .take(64)
        .collect();
    for sub in &subs {
        sub.subscribe("").unwrap();
        join_at(&publisher, sub, &at).await;
    }
    within(publisher.wait_for_subscribers(subs.len()))
        .await
        .unwrap();
    let turns = Arc::<AtomicUsize>::default();
    let others = turns.clone();
    let going_on = tokio::spawn(async move {
        loop {
            others.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    send(&publisher).await;
    let had = turns.load(Ordering::Relaxed);
    going_on.abort();
    for sub in &subs {
        assert_eq!(sub.stats().queued_in, 1_600);
    }
    had
}
