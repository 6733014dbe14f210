//! Identities over ROUTER, both ways.

use jackstay::{
    DealerSocket, DuplicateIdentity, EventKind, Identity, Message, ReqSocket, RouterSocket,
};

use crate::support::{event, whole, within};
use crate::theirs::{TCP, Theirs};

#[tokio::test]
async fn n7_identities_of_all_lengths_are_announced_to_libzmq() {
    whole(async {
        for len in [1, 2, 22, 23, 254, 255] {
            let identity = Identity::new(vec![b'i'; len]).unwrap();
            let ours = DealerSocket::builder()
                .identity(identity.clone())
                .unwrap()
                .build();
            let mut theirs = Theirs::new(zmq::ROUTER);
            TCP.join(&ours, &theirs).await;
            ours.send("hello").await.unwrap();
            assert_eq!(
                theirs.recv().await,
                [identity.as_bytes().to_vec(), b"hello".to_vec()]
            );
            theirs.send(&[identity.as_bytes(), b"back"]).await;
            assert_eq!(within(ours.recv()).await.unwrap(), "back");
        }
    })
    .await;
}

#[tokio::test]
async fn n7_identities_of_all_lengths_are_taken_from_libzmq() {
    whole(async {
        for len in [1, 2, 22, 23, 254, 255] {
            let identity = vec![b'i'; len];
            let ours = RouterSocket::new();
            let mut theirs = Theirs::new(zmq::DEALER).with(|socket| socket.set_identity(&identity));
            TCP.join(&ours, &theirs).await;
            assert_eq!(ours.peers()[0].identity().as_bytes(), identity);
            theirs.send(&[b"hello"]).await;
            let (from, message) = within(ours.recv_from()).await.unwrap();
            assert_eq!((from.as_bytes(), message), (&identity[..], "hello".into()));
            ours.send_to(&from, "back").await.unwrap();
            assert_eq!(theirs.recv().await, [b"back"]);
        }
    })
    .await;
}

#[tokio::test]
async fn r10_peers_without_one_get_one_on_either_side() {
    whole(async {
        let ours = RouterSocket::new();
        let mut theirs = Theirs::new(zmq::DEALER);
        TCP.join(&ours, &theirs).await;
        theirs.send(&[b"hello"]).await;
        let (from, _) = within(ours.recv_from()).await.unwrap();
        assert!(from.is_automatic());
        ours.send_to(&from, "back").await.unwrap();
        assert_eq!(theirs.recv().await, [b"back"]);

        let mut ours = ReqSocket::new();
        let mut theirs = Theirs::new(zmq::ROUTER);
        TCP.join(&ours, &theirs).await;
        let replied = async {
            let mut frames = theirs.recv().await;
            assert_eq!((frames[0].len(), frames[0][0]), (5, 0));
            frames[2] = b"answer".to_vec();
            let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
            theirs.send(&frames).await;
        };
        let (reply, ()) = tokio::join!(within(ours.request("?")), replied);
        assert_eq!(reply.unwrap(), "answer");
    })
    .await;
}

#[tokio::test]
async fn r11_a_second_libzmq_with_the_same_identity_is_refused_or_takes_over() {
    whole(async {
        let named = || Theirs::new(zmq::DEALER).with(|socket| socket.set_identity(b"same"));
        let same = Identity::try_from("same").unwrap();
        for duplicate in [DuplicateIdentity::Refuse, DuplicateIdentity::HandOver] {
            let ours = RouterSocket::builder()
                .duplicate_identity(duplicate)
                .build();
            let mut events = ours.monitor();
            let at = ours.bind("tcp://127.0.0.1:0").await.unwrap();
            let (mut first, mut second) = (named(), named());
            first.connect(&at);
            within(ours.wait_for_peers(1)).await.unwrap();
            // It does not come back when it is sent away.
            first.socket().set_reconnect_ivl(-1).unwrap();
            second.connect(&at);
            let holder = match duplicate {
                DuplicateIdentity::Refuse => {
                    event(&mut events, |kind| matches!(kind, EventKind::Refused(_))).await;
                    &mut first
                }
                DuplicateIdentity::HandOver => {
                    second.send(&[b"here"]).await;
                    let (from, message) = within(ours.recv_from()).await.unwrap();
                    assert_eq!((from, message), (same.clone(), Message::from("here")));
                    &mut second
                }
            };
            ours.send_to(&same, "for the holder").await.unwrap();
            assert_eq!(holder.recv().await, [b"for the holder"]);
        }
    })
    .await;
}

#[tokio::test]
async fn r12_the_probe_of_libzmq_and_ours() {
    whole(async {
        let ours = RouterSocket::new();
        let mut theirs = Theirs::new(zmq::DEALER).with(|socket| {
            socket.set_identity(b"prober")?;
            socket.set_probe_router(true)
        });
        TCP.join(&ours, &theirs).await;
        let (from, probe) = within(ours.recv_from()).await.unwrap();
        assert_eq!((from.as_bytes(), probe), (&b"prober"[..], Message::new()));
        ours.send_to(&from, "seen").await.unwrap();
        assert_eq!(theirs.recv().await, [b"seen"]);

        let identity = Identity::try_from("prober").unwrap();
        let ours = DealerSocket::builder()
            .identity(identity)
            .unwrap()
            .probe(true)
            .build();
        let mut theirs = Theirs::new(zmq::ROUTER);
        TCP.join(&ours, &theirs).await;
        assert_eq!(theirs.recv().await, [b"prober".to_vec(), b"".to_vec()]);
        theirs.send(&[b"prober", b"seen"]).await;
        assert_eq!(within(ours.recv()).await.unwrap(), "seen");
    })
    .await;
}

#[tokio::test]
async fn r12_libzmq_gets_its_identity_from_whoever_connects() {
    whole(async {
        let ours = RouterSocket::new();
        let mut theirs = Theirs::new(zmq::DEALER);
        let at = theirs.bind("tcp://127.0.0.1:*");
        let given = Identity::try_from("given").unwrap();
        ours.connect_as(at, given.clone()).unwrap();
        ours.try_send_to(&given, "at once").unwrap();
        assert_eq!(theirs.recv().await, [b"at once"]);
        theirs.send(&[b"back"]).await;
        assert_eq!(
            within(ours.recv_from()).await.unwrap(),
            (given, "back".into())
        );
    })
    .await;
}
