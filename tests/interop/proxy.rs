//! Proxies: libzmq's between ours, and ours between libzmq's.

use jackstay::{DealerSocket, Proxy, RepSocket, ReqSocket, RouterSocket, XPubSocket, XSubSocket};
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::{whole, within};
use crate::theirs::Theirs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn req_and_rep_talk_through_the_proxy_of_libzmq() {
    whole(async {
        let context = zmq::Context::new();
        let [front, back] = [zmq::ROUTER, zmq::DEALER].map(|kind| context.socket(kind).unwrap());
        let at = [&front, &back].map(|socket| {
            socket.bind("tcp://127.0.0.1:*").unwrap();
            socket.set_linger(0).unwrap();
            socket.get_last_endpoint().unwrap().unwrap()
        });
        let [mut control, steer] = [(); 2].map(|()| context.socket(zmq::PAIR).unwrap());
        control.bind("inproc://steer").unwrap();
        steer.connect("inproc://steer").unwrap();
        let proxy = spawn_blocking(move || {
            let (mut front, mut back) = (front, back);
            zmq::proxy_steerable(&mut front, &mut back, &mut control)
        });
        let mut services = JoinSet::new();
        for _ in 0..2 {
            let rep = RepSocket::new();
            rep.connect(&at[1]).unwrap();
            services.spawn(async move {
                while let Ok(request) = rep.accept().await {
                    let echo = request.message().clone();
                    request.reply(echo).await.unwrap();
                }
            });
        }
        let mut askers = JoinSet::new();
        for asker in 0..4 {
            // The number in front of the delimiter goes through a proxy, too.
            let mut req = ReqSocket::builder().correlate(asker % 2 == 0).build();
            req.connect(&at[0]).unwrap();
            askers.spawn(async move {
                for n in 0..50 {
                    let text = format!("{asker}/{n}");
                    assert_eq!(
                        within(req.request(text.clone())).await.unwrap(),
                        text.as_str()
                    );
                }
            });
        }
        within(askers.join_all()).await;
        steer.send("TERMINATE", 0).unwrap();
        within(proxy).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libzmq_peers_talk_through_our_proxy() {
    whole(async {
        let (front, back) = (RouterSocket::new(), DealerSocket::new());
        let clients = front.bind("tcp://127.0.0.1:0").await.unwrap();
        let workers = back.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut proxy = Proxy::new(&front, &back);
        let control = proxy.control();
        let (mut req, mut rep) = (Theirs::new(zmq::REQ), Theirs::new(zmq::REP));
        req.connect(&clients);
        rep.connect(&workers);
        let talk = async {
            for n in 0..50 {
                req.send(&[b"question", n.to_string().as_bytes()]).await;
                assert_eq!(
                    rep.recv().await,
                    [b"question".to_vec(), n.to_string().into_bytes()]
                );
                rep.send(&[n.to_string().as_bytes()]).await;
                assert_eq!(req.recv().await, [n.to_string().into_bytes()]);
            }
            control.stop();
        };
        let (ran, ()) = tokio::join!(proxy.run(), talk);
        ran.unwrap();
        assert_eq!(control.stats().messages_to_front, 50);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_of_libzmq_go_through_our_proxy() {
    whole(async {
        let (front, back) = (XSubSocket::new(), XPubSocket::new());
        let up = front.bind("tcp://127.0.0.1:0").await.unwrap();
        let down = back.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut proxy = Proxy::new(&front, &back);
        let control = proxy.control();
        let (mut publisher, mut sub) = (Theirs::new(zmq::XPUB), Theirs::new(zmq::SUB));
        publisher.connect(&up);
        sub.connect(&down);
        let talk = async {
            sub.socket().set_subscribe(b"t").unwrap();
            let (event, Ok(())) =
                tokio::join!(publisher.recv(), sub.attend(back.wait_for_subscribers(1)))
            else {
                panic!("closed")
            };
            assert_eq!(event, [b"\x01t"]);
            publisher.send(&[b"other"]).await;
            publisher.send(&[b"t1", b"more"]).await;
            assert_eq!(sub.recv().await, [b"t1".to_vec(), b"more".to_vec()]);
            sub.socket().set_unsubscribe(b"t").unwrap();
            assert_eq!(publisher.recv().await, [b"\0t"]);
            control.stop();
        };
        let (ran, ()) = tokio::join!(proxy.run(), talk);
        ran.unwrap();
    })
    .await;
}
