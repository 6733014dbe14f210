//! Subscriptions on the wire: commands to peers of version 3.1, messages to those of 3.0, and libzmq's own habits.

use jackstay::{Message, PubSocket, SubSocket, XPubSocket, XSubSocket};

use crate::support::relay::Relay;
use crate::support::{eventually, whole, within};
use crate::theirs::{TCP, Theirs};

/// The next event of an XPUB.
async fn next(ours: &XPubSocket) -> Message {
    within(ours.recv()).await.unwrap()
}

#[tokio::test]
async fn s3_libzmqs_sub_subscribes_many_times_and_cancels_once() {
    whole(async {
        let ours = PubSocket::new();
        let mut theirs = Theirs::new(zmq::SUB);
        TCP.join(&ours, &theirs).await;
        for _ in 0..3 {
            theirs.socket().set_subscribe(b"a").unwrap();
        }
        theirs.socket().set_subscribe(b"b").unwrap();
        theirs.attend(ours.wait_for_subscribers(1)).await.unwrap();
        for _ in 0..3 {
            theirs.socket().set_unsubscribe(b"a").unwrap();
        }
        // As soon as the one cancel has come, nothing is sent any more.
        eventually(|| {
            let before = ours.stats().messages_sent;
            ours.try_send("a").unwrap();
            ours.stats().messages_sent == before
        })
        .await;
        ours.send("b").await.unwrap();
        assert_eq!(theirs.recv().await, [b"b"]);
    })
    .await;
}

#[tokio::test]
async fn s2_both_forms_of_libzmq_are_understood() {
    whole(async {
        let ours = XPubSocket::new();
        let mut sub = Theirs::new(zmq::SUB);
        let mut xsub = Theirs::new(zmq::XSUB);
        let at = ours.bind("tcp://127.0.0.1:0").await.unwrap();
        let relay = Relay::new(&at).await;
        sub.connect(&relay.at);
        xsub.connect(&relay.at);
        // libzmq's SUB sends commands, what its XSUB's user says goes out as the message that it is.
        sub.socket().set_subscribe(b"from sub").unwrap();
        assert_eq!(sub.attend(next(&ours)).await, "\x01from sub");
        xsub.send(&[b"\x01from xsub"]).await;
        assert_eq!(next(&ours).await, "\x01from xsub");
        ours.send("from sub 1").await.unwrap();
        ours.send("from xsub 1").await.unwrap();
        assert_eq!(sub.recv().await, [b"from sub 1"]);
        assert_eq!(xsub.recv().await, [b"from xsub 1"]);
        sub.socket().set_unsubscribe(b"from sub").unwrap();
        assert_eq!(next(&ours).await, "\0from sub");
        xsub.send(&[b"\0from xsub"]).await;
        assert_eq!(next(&ours).await, "\0from xsub");
        assert!(relay.up(b"SUBSCRIBE") + relay.up(b"\x01from xsub") >= 2);
    })
    .await;
}

#[tokio::test]
async fn s5_user_messages_of_libzmqs_xsub_reach_our_xpub() {
    whole(async {
        let ours = XPubSocket::new();
        let mut theirs = Theirs::new(zmq::XSUB);
        TCP.join(&ours, &theirs).await;
        theirs.send(&[b"to the", b"publisher"]).await;
        assert_eq!(next(&ours).await, Message::from(("to the", "publisher")));
    })
    .await;
}

#[tokio::test]
async fn s2_ours_sends_commands_to_libzmq() {
    whole(async {
        for by_message in [false, true] {
            let mut theirs = Theirs::new(zmq::XPUB);
            let relay = Relay::new(&theirs.bind("tcp://127.0.0.1:*")).await;
            let ours = XSubSocket::new();
            ours.connect(&relay.at).unwrap();
            within(ours.wait_for_peers(1)).await.unwrap();
            if by_message {
                ours.send("\x01topic").await.unwrap();
            } else {
                ours.subscribe("topic").unwrap();
            }
            assert_eq!(theirs.recv().await, [b"\x01topic"]);
            theirs.send(&[b"topic 1"]).await;
            assert_eq!(within(ours.recv()).await.unwrap(), "topic 1");
            if by_message {
                ours.send("\0topic").await.unwrap();
            } else {
                ours.unsubscribe("topic").unwrap();
            }
            assert_eq!(theirs.recv().await, [b"\0topic"]);
            assert_eq!(
                (
                    relay.up(b"\x09SUBSCRIBEtopic"),
                    relay.up(b"\x06CANCELtopic")
                ),
                (1, 1)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn s12_user_messages_of_our_xsub_reach_libzmqs_xpub() {
    whole(async {
        let mut theirs = Theirs::new(zmq::XPUB);
        let ours = XSubSocket::new();
        ours.connect(theirs.bind("tcp://127.0.0.1:*")).unwrap();
        within(ours.wait_for_peers(1)).await.unwrap();
        ours.send("to the publisher").await.unwrap();
        assert_eq!(theirs.recv().await, [b"to the publisher"]);
    })
    .await;
}

#[tokio::test]
async fn s9_ten_thousand_subscriptions_reach_libzmq_and_take_effect() {
    whole(async {
        const TOPICS: usize = 10_000;
        let ours = SubSocket::builder().recv_hwm(0).build();
        for n in 0..TOPICS {
            ours.subscribe(format!("<{n}>")).unwrap();
        }
        let mut theirs = Theirs::new(zmq::XPUB).with(|socket| socket.set_sndhwm(0));
        ours.connect(theirs.bind("tcp://127.0.0.1:*")).unwrap();
        let published = theirs.run(|socket| {
            for _ in 0..TOPICS {
                assert_eq!(socket.recv_bytes(0).unwrap()[0], 1);
            }
            for n in 0..TOPICS {
                socket.send(&format!("<{n}>"), 0).unwrap();
            }
        });
        published.await;
        for n in 0..TOPICS {
            assert_eq!(
                within(ours.recv()).await.unwrap(),
                format!("<{n}>").as_str()
            );
        }
    })
    .await;
}

#[tokio::test]
async fn s9_ten_thousand_subscriptions_of_libzmq_take_effect() {
    whole(async {
        const TOPICS: usize = 10_000;
        let ours = XPubSocket::builder().send_hwm(0).build();
        let mut theirs = Theirs::new(zmq::SUB).with(|socket| {
            socket.set_rcvhwm(0)?;
            // Its own mark would drop subscriptions.
            socket.set_sndhwm(0)?;
            (0..TOPICS).try_for_each(|n| socket.set_subscribe(format!("<{n}>").as_bytes()))
        });
        theirs.connect(&ours.bind("tcp://127.0.0.1:0").await.unwrap());
        for _ in 0..TOPICS {
            assert_eq!(theirs.attend(ours.recv()).await.unwrap().first()[0], 1);
        }
        for n in 0..TOPICS {
            ours.send(format!("<{n}>")).await.unwrap();
        }
        theirs
            .run(|socket| {
                for n in 0..TOPICS {
                    assert_eq!(socket.recv_bytes(0).unwrap(), format!("<{n}>").into_bytes());
                }
            })
            .await;
    })
    .await;
}
