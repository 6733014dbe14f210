//! The proxy: requests, subscriptions and pipelines through the middle.

use jackstay::{
    DealerSocket, Proxy, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, SubSocket,
    XPubSocket, XSubSocket,
};
use tokio::task::JoinSet;

use crate::support::{
    Transport, eventually, for_each_transport, join, number_of, numbered, within,
};

for_each_transport! {
    requests_go_through_and_replies_come_back,
    subscriptions_go_up_and_messages_come_down,
    a_paused_proxy_holds_back_and_a_stopped_one_loses_nothing,
}

async fn requests_go_through_and_replies_come_back(over: Transport) {
    let (front, back) = (RouterSocket::new(), DealerSocket::new());
    let clients = front.bind(over.any()).await.unwrap();
    let workers = back.bind(over.any()).await.unwrap();
    let mut proxy = Proxy::new(&front, &back);
    let control = proxy.control();
    let mut services = JoinSet::new();
    for _ in 0..3 {
        let rep = RepSocket::new();
        rep.connect(&workers).unwrap();
        services.spawn(async move {
            while let Ok(request) = rep.accept().await {
                let echo = request.message().clone();
                request.reply(echo).await.unwrap();
            }
        });
    }
    let mut askers = JoinSet::new();
    for asker in 0..4 {
        let mut req = ReqSocket::new();
        req.connect(&clients).unwrap();
        askers.spawn(async move {
            for n in 0..50 {
                let text = format!("{asker}/{n}");
                assert_eq!(req.request(text.clone()).await.unwrap(), text.as_str());
            }
        });
    }
    let steered = async {
        askers.join_all().await;
        control.stop();
    };
    let (ran, ()) = within(async { tokio::join!(proxy.run(), steered) }).await;
    ran.unwrap();
    let stats = control.stats();
    assert_eq!(
        (stats.messages_to_back, stats.messages_to_front),
        (200, 200)
    );
    assert_eq!(stats.octets_to_back, stats.octets_to_front);
}

async fn subscriptions_go_up_and_messages_come_down(over: Transport) {
    let (publisher, sub) = (XPubSocket::new(), SubSocket::new());
    let (front, back) = (XSubSocket::new(), XPubSocket::new());
    join(&publisher, &front, over).await;
    join(&back, &sub, over).await;
    let mut proxy = Proxy::new(&front, &back);
    let control = proxy.control();
    let steered = async {
        sub.subscribe("t").unwrap();
        assert_eq!(publisher.recv().await.unwrap(), "\x01t");
        publisher.send("other").await.unwrap();
        publisher.send("t1").await.unwrap();
        assert_eq!(sub.recv().await.unwrap(), "t1");
        assert_eq!(publisher.stats().messages_sent, 1);
        sub.unsubscribe("t").unwrap();
        assert_eq!(publisher.recv().await.unwrap(), "\0t");
        control.stop();
    };
    let (ran, ()) = within(async { tokio::join!(proxy.run(), steered) }).await;
    ran.unwrap();
}

async fn a_paused_proxy_holds_back_and_a_stopped_one_loses_nothing(over: Transport) {
    let (source, sink) = (PushSocket::new(), PullSocket::new());
    let (front, back) = (PullSocket::new(), PushSocket::new());
    let (tap, tapped) = (PushSocket::new(), PullSocket::new());
    join(&front, &source, over).await;
    join(&sink, &back, over).await;
    join(&tapped, &tap, over).await;
    let mut proxy = Proxy::new(&front, &back).capture(&tap);
    let control = proxy.control();
    control.pause();
    for n in 0..100 {
        source.send(numbered(n)).await.unwrap();
    }
    let steered = async {
        eventually(|| front.stats().messages_received == 100).await;
        assert_eq!(control.stats().messages_to_back, 0);
        control.resume();
        for n in 0..100 {
            assert_eq!(number_of(&sink.recv().await.unwrap()), n);
            assert_eq!(number_of(&tapped.recv().await.unwrap()), n);
        }
        control.stop();
    };
    let (ran, ()) = within(async { tokio::join!(proxy.run(), steered) }).await;
    ran.unwrap();
    assert_eq!(control.stats().messages_to_back, 100);
    // What comes after the stop waits at the front.
    source.send("after").await.unwrap();
    assert_eq!(within(front.recv()).await.unwrap(), "after");
    // It ends when a socket is closed, too.
    let mut proxy = Proxy::new(&front, &back);
    let (ran, closed) = within(async { tokio::join!(proxy.run(), front.close()) }).await;
    assert!(ran.is_err());
    closed.unwrap();
}
