//! Subscribers of octets, and publishers that they cannot bring down.

use jackstay::zmtp::Version;
use jackstay::{
    DisconnectCause, EventKind, Message, PubSocket, SubSocket, Subscription, XPubSocket,
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
