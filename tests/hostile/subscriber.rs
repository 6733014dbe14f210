//! Subscribers of octets, and publishers that they cannot bring down.

use jackstay::zmtp::{ProtocolError, Version};
use jackstay::{
    DisconnectCause, EventKind, Message, Monitor, PubSocket, SubSocket, Subscription, XPubSocket,
};
use tokio::net::TcpListener;

use crate::support::raw::{GREETING, Raw, command, frame, greeting, ready};
use crate::support::{Transport, event, eventually, join, whole, within};

#[tokio::test]
async fn s2_both_forms_from_both_versions_at_any_time() {
    whole(async {
        let xpub = XPubSocket::new();
        let at = xpub.bind("tcp://127.0.0.1:0").await.unwrap();
        for (minor, version) in [(0, Version::V3_0), (1, Version::V3_1)] {
            let greeting = greeting(3, minor, b"NULL");
            let mut raw = Raw::connect(&at)
                .await
                .with_hands_shaken(&greeting, &ready("XSUB"))
                .await;
            within(xpub.wait_for_peers(1)).await.unwrap();
            let peer = &xpub.peers()[0];
            assert_eq!(peer.version(), version);
            let (peer, subscribe, cancel) =
                (peer.id(), Subscription::Subscribe, Subscription::Cancel);
            raw.write(&command("SUBSCRIBE", b"a")).await;
            raw.write(&frame(0, b"\x01b")).await;
            raw.write(&frame(0, b"\0a")).await;
            raw.write(&command("CANCEL", b"b")).await;
            // S7
            raw.write(&command("CANCEL", b"never")).await;
            raw.write(&frame(0, b"\0never")).await;
            raw.write(&frame(0, b"hello")).await;
            for expected in [
                subscribe(peer, "a".into()),
                subscribe(peer, "b".into()),
                cancel(peer, "a".into()),
                cancel(peer, "b".into()),
                Subscription::Message(peer, "hello".into()),
            ] {
                assert_eq!(within(xpub.recv_subscription()).await.unwrap(), expected);
            }
            drop(raw);
            eventually(|| xpub.peers().is_empty()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn s2_a_publisher_of_version_3_0_gets_messages_and_one_of_3_1_commands() {
    whole(async {
        for minor in [0, 1] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let sub = SubSocket::new();
            sub.subscribe("topic").unwrap();
            sub.connect(jackstay::Endpoint::from(listener.local_addr().unwrap()))
                .unwrap();
            let greeting = greeting(3, minor, b"NULL");
            let mut raw = Raw::accept(&listener)
                .await
                .with_hands_shaken(&greeting, &ready("PUB"))
                .await;
            let subscription = raw.read_frame().await;
            sub.unsubscribe("topic").unwrap();
            let cancel = raw.read_frame().await;
            let expected = match minor {
                0 => [(0, b"\x01topic".to_vec()), (0, b"\0topic".to_vec())],
                _ => [
                    (4, b"\x09SUBSCRIBEtopic".to_vec()),
                    (4, b"\x06CANCELtopic".to_vec()),
                ],
            };
            assert_eq!([subscription, cancel], expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_with_too_many_subscriptions_is_closed_and_the_others_go_on() {
    whole(async {
        let publisher = PubSocket::builder().max_subscriptions(100).build();
        let sub = SubSocket::new();
        sub.subscribe("").unwrap();
        let at = join(&publisher, &sub, Transport::Tcp).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        let mut events = publisher.monitor();
        let mut raw = Raw::shake_hands(&at, "SUB").await;
        for n in 0..100 {
            raw.write(&command("SUBSCRIBE", format!("<{n}>").as_bytes()))
                .await;
        }
        // The same ones again are not more.
        raw.write(&command("SUBSCRIBE", b"<7>")).await;
        within(publisher.wait_for_subscribers(2)).await.unwrap();
        raw.write(&command("PING", b"\0\0")).await;
        assert_eq!(raw.read_frame().await.1, b"\x04PONG");
        raw.write(&command("SUBSCRIBE", b"one more")).await;
        raw.read_to_end().await;
        let too_many = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::Disconnected(DisconnectCause::TooManySubscriptions { limit: 100 })
            )
        };
        event(&mut events, too_many).await;
        eventually(|| publisher.peers().len() == 1).await;
        publisher.send("<7> news").await.unwrap();
        assert_eq!(within(sub.recv()).await.unwrap(), "<7> news");
        assert_eq!(publisher.stats().dropped.total(), 0);
    })
    .await;
}

#[tokio::test]
async fn s10_what_was_not_subscribed_is_filtered_and_counted() {
    whole(async {
        let sub = SubSocket::new();
        sub.subscribe("a").unwrap();
        let at = sub.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::shake_hands(&at, "PUB").await;
        for text in ["b", "a1", "", "ba"] {
            raw.write(&frame(0, text.as_bytes())).await;
        }
        raw.write(&[frame(1, b"a2"), frame(0, b"b")].concat()).await;
        assert_eq!(within(sub.recv()).await.unwrap(), "a1");
        assert_eq!(
            within(sub.recv()).await.unwrap(),
            Message::from(["a2", "b"])
        );
        assert_eq!(sub.stats().dropped.unmatched, 3);
    })
    .await;
}

#[tokio::test]
async fn s5_a_subscriber_that_floods_a_publisher_with_messages_is_not_heard() {
    whole(async {
        let publisher = PubSocket::new();
        let at = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::connect(&at)
            .await
            .with_hands_shaken(&GREETING, &ready("XSUB"))
            .await;
        for _ in 0..100 {
            raw.write(&frame(0, b"noise").repeat(100)).await;
        }
        raw.write(&command("SUBSCRIBE", b"t")).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        assert_eq!(publisher.stats().dropped.unexpected, 10_000);
        publisher.send("t").await.unwrap();
        assert_eq!(raw.read_frame().await, (0, b"t".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn s5_a_subscriber_that_floods_a_publisher_that_does_not_listen_is_held_to_the_mark() {
    whole(async {
        let xpub = XPubSocket::builder().recv_hwm(10).build();
        let at = xpub.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::shake_hands(&at, "XSUB").await;
        for _ in 0..100 {
            raw.write(&frame(0, b"noise").repeat(100)).await;
        }
        // A subscription is heard all the same, and the connection stays.
        raw.write(&command("SUBSCRIBE", b"t")).await;
        within(xpub.wait_for_subscribers(1)).await.unwrap();
        xpub.send("t").await.unwrap();
        assert_eq!(raw.read_frame().await, (0, b"t".to_vec()));
        let stats = xpub.stats();
        assert_eq!((stats.queued_in, stats.dropped.unread), (11, 9_990));
        for _ in 0..10 {
            assert_eq!(within(xpub.recv()).await.unwrap(), "noise");
        }
        assert_eq!(within(xpub.recv()).await.unwrap(), "\x01t");
    })
    .await;
}

/// Waits until a connection of a publisher ends, and tells why.
async fn why_closed(events: &mut Monitor) -> DisconnectCause {
    let ends = |kind: &EventKind| matches!(kind, EventKind::Disconnected(_));
    match event(events, ends).await.kind {
        EventKind::Disconnected(cause) => cause,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_topic_that_is_too_long_closes_in_either_form_and_the_longest_allowed_does_not() {
    whole(async {
        let publisher = PubSocket::new();
        let sub = SubSocket::new();
        sub.subscribe("").unwrap();
        let at = join(&publisher, &sub, Transport::Tcp).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        let longest = vec![b'x'; 64 << 10];
        let as_message = |topic: &[u8]| frame(0, &[b"\x01", topic].concat());
        for allowed in [command("SUBSCRIBE", &longest), as_message(&longest)] {
            let mut raw = Raw::shake_hands(&at, "SUB").await;
            raw.write(&allowed).await;
            within(publisher.wait_for_subscribers(2)).await.unwrap();
            drop(raw);
            eventually(|| publisher.peers().len() == 1).await;
        }
        let mut events = publisher.monitor();
        let too_long = [&longest[..], b"x"].concat();
        let mut raw = Raw::shake_hands(&at, "SUB").await;
        raw.write(&as_message(&too_long)).await;
        let cause = why_closed(&mut events).await;
        let (size, limit) = (65_537, 65_536);
        assert!(
            matches!(cause, DisconnectCause::TopicTooLong { size: s, limit: l } if (s, l) == (size, limit)),
            "{cause}"
        );
        // In a command, its header tells.
        let mut raw = Raw::shake_hands(&at, "SUB").await;
        raw.write(&command("SUBSCRIBE", &too_long)).await;
        let cause = why_closed(&mut events).await;
        let (size, limit) = (size + 10, limit + 10);
        let expected = ProtocolError::CommandTooLarge { size, limit };
        assert!(
            matches!(&cause, DisconnectCause::Protocol(error) if *error == expected),
            "{cause}"
        );
        publisher.send("news").await.unwrap();
        assert_eq!(within(sub.recv()).await.unwrap(), "news");
    })
    .await;
}

#[tokio::test]
async fn s13_a_topic_of_1_mib_works_when_it_is_allowed() {
    whole(async {
        let publisher = PubSocket::builder().max_topic_size(1 << 20).build();
        let sub = SubSocket::new();
        let topic = vec![b'x'; 1 << 20];
        sub.subscribe(&topic).unwrap();
        join(&publisher, &sub, Transport::Tcp).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        publisher.send(topic[1..].to_vec()).await.unwrap();
        publisher.send((topic.clone(), "body")).await.unwrap();
        let message = within(sub.recv()).await.unwrap();
        assert!(message[0] == topic && message[1] == *b"body");
    })
    .await;
}

#[tokio::test]
async fn topics_that_are_too_much_together_close() {
    whole(async {
        let publisher = PubSocket::builder().max_subscriptions_size(1_000).build();
        let at = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut events = publisher.monitor();
        let mut raw = Raw::shake_hands(&at, "SUB").await;
        for first in 0..11 {
            raw.write(&command("SUBSCRIBE", &[first; 100])).await;
        }
        let cause = why_closed(&mut events).await;
        assert!(
            matches!(cause, DisconnectCause::TooManySubscriptions { .. }),
            "{cause}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_changes_its_mind_without_end_is_closed_and_the_others_go_on() {
    whole(async {
        let publisher = PubSocket::builder()
            .max_subscriptions(100)
            .max_subscription_rate(50)
            .build();
        let sub = SubSocket::new();
        sub.subscribe("").unwrap();
        let at = join(&publisher, &sub, Transport::Tcp).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        let mut events = publisher.monitor();
        let commands = [command("SUBSCRIBE", b"t"), command("CANCEL", b"t")].concat();
        let messages = [frame(0, b"\x01t"), frame(0, b"\0t")].concat();
        for changes in [commands, messages] {
            let mut raw = Raw::shake_hands(&at, "SUB").await;
            // All that it may have, three times, and a second's worth.
            raw.write(&changes.repeat(175)).await;
            raw.write(&command("PING", b"\0\0")).await;
            assert_eq!(raw.read_frame().await.1, b"\x04PONG");
            raw.write(&changes.repeat(5_000)).await;
            let cause = why_closed(&mut events).await;
            assert!(
                matches!(cause, DisconnectCause::SubscriptionFlood { limit: 50 }),
                "{cause}"
            );
        }
        publisher.send("news").await.unwrap();
        assert_eq!(within(sub.recv()).await.unwrap(), "news");
    })
    .await;
}

#[tokio::test]
async fn s9_a_healthy_subscriber_may_come_with_all_topics_and_exchange_them_all_at_once() {
    whole(async {
        let publisher = PubSocket::new();
        let sub = SubSocket::new();
        let topic = |set: char, n: usize| format!("{set}{n:05}");
        const ALL: usize = 65_536;
        for n in 0..ALL {
            sub.subscribe(topic('a', n)).unwrap();
        }
        join(&publisher, &sub, Transport::Tcp).await;
        for n in 0..ALL {
            sub.unsubscribe(topic('a', n)).unwrap();
        }
        for n in 0..ALL {
            sub.subscribe(topic('b', n)).unwrap();
        }
        let last = topic('b', ALL - 1);
        let mut events = publisher.monitor();
        let heard = async {
            loop {
                publisher.send(last.clone()).await.unwrap();
                if let Ok(message) = sub.try_recv() {
                    return message;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(within(heard).await, *last);
        let ended = std::iter::from_fn(|| events.try_recv())
            .find(|event| matches!(event.kind, EventKind::Disconnected(_)));
        assert!(ended.is_none(), "{ended:?}");
    })
    .await;
}

#[tokio::test]
async fn a_million_subscriptions_are_cut_at_the_limit_and_leave_nothing() {
    whole(async {
        let publisher = PubSocket::new();
        let sub = SubSocket::new();
        sub.subscribe("").unwrap();
        let at = join(&publisher, &sub, Transport::Tcp).await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        let mut events = publisher.monitor();
        let mut raw = Raw::shake_hands(&at, "SUB").await;
        let attack = async {
            for thousand in 0..1_000_u32 {
                let topics = (0..1_000).map(|n| (thousand * 1_000 + n).to_be_bytes());
                let octets: Vec<u8> = topics
                    .flat_map(|topic| command("SUBSCRIBE", &topic))
                    .collect();
                raw.write(&octets).await;
            }
        };
        let healthy = async {
            loop {
                publisher.send("news").await.unwrap();
                assert_eq!(within(sub.recv()).await.unwrap(), "news");
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = healthy => unreachable!("it has no end"),
            ((), cause) = async { tokio::join!(attack, why_closed(&mut events)) } => {
                let limit = 65_536;
                assert!(
                    matches!(cause, DisconnectCause::TooManySubscriptions { limit: l } if l == limit),
                    "{cause}"
                );
            }
        }
        eventually(|| publisher.peers().len() == 1).await;
        // The end of its topics.
        assert_eq!(publisher.stats().dropped.total(), 0);
    })
    .await;
}
