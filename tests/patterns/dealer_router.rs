//! DEALER and ROUTER: talking to peers in turn, and to peers by name.

use std::collections::BTreeSet;
use std::time::Duration;

use jackstay::{
    ConnectError, DealerSocket, DisconnectCause, DuplicateIdentity, EventKind, Identity,
    InvalidOption, Message, Notify, Reconnect, RouterSocket, SendToError, SocketType, TrySendError,
    Unroutable,
};

use crate::support::{
    Transport, assert_numbers, event, eventually, for_each_transport, join, join_at, many,
    number_of, numbered, peers, within,
};

for_each_transport! {
    r8_dealer_adds_and_removes_nothing,
    r8_dealer_deals_round_and_waits_when_no_peer_has_room,
    r8_dealer_deals_many_round_and_waits_with_the_rest,
    r8_dealer_receives_many_from_all_its_peers,
    r9_a_message_to_an_unknown_peer_is_dropped_and_counted,
    r9_mandatory_gives_the_message_back,
    r9_a_full_peer_misses_its_message_by_default,
    r9_mandatory_tells_of_a_full_peer_or_waits_for_it,
    r10_peers_without_an_identity_get_one_each,
    r11_the_second_peer_with_an_identity_is_refused,
    r11_whoever_is_refused_by_a_connecting_router_knows_no_peer,
    r11_the_identity_is_handed_over,
    r11_an_identity_is_free_again_when_its_peer_is_gone,
    a5_what_a_replaced_peer_sent_keeps_its_name,
    r12_a_probe_makes_a_router_known,
    r12_a_peer_may_be_given_its_identity_by_whoever_connects,
    r12_connect_as_keeps_the_queue_and_the_name_over_a_restart,
    r12_notify_tells_who_comes_and_goes,
    two_routers_talk_by_name,
    a13_a_second_connect_does_nothing,
    a15_flooding_dealers_share_a_router_evenly,
    many_dealers_each_get_their_own_messages,
}

fn name(name: &str) -> Identity {
    Identity::try_from(name).unwrap()
}

fn named(text: &str) -> DealerSocket {
    DealerSocket::builder()
        .identity(name(text))
        .unwrap()
        .build()
}

async fn r8_dealer_adds_and_removes_nothing(over: Transport) {
    let (router, dealer) = (RouterSocket::new(), named("dealer"));
    join(&router, &dealer, over).await;
    for message in [
        Message::from(""),
        ["", ""].into(),
        ["a", "", "b"].into(),
        vec![0; 100_000].into(),
    ] {
        dealer.send(message.clone()).await.unwrap();
        let (from, received) = within(router.recv_from()).await.unwrap();
        assert_eq!((from.as_bytes(), &received), (&b"dealer"[..], &message));
        router.send_to(&from, received).await.unwrap();
        assert_eq!(within(dealer.recv()).await.unwrap(), message);
    }
}

async fn r8_dealer_deals_round_and_waits_when_no_peer_has_room(over: Transport) {
    let dealer = DealerSocket::builder().send_hwm(10).build();
    assert_eq!(dealer.try_send("x"), Err(TrySendError::Full("x".into())));
    let at = [over.fixed(), over.fixed()];
    for at in &at {
        dealer.connect(at).unwrap();
    }
    for n in 0..20 {
        dealer.try_send(numbered(n)).unwrap();
    }
    assert!(dealer.try_send("x").is_err());
    let sent = async { dealer.send("waited").await.unwrap() };
    let received = async {
        let routers = [RouterSocket::new(), RouterSocket::new()];
        let mut all = BTreeSet::new();
        for (router, at) in routers.iter().zip(&at) {
            router.bind(at).await.unwrap();
            let mut last = None;
            for _ in 0..10 {
                let n = number_of(&router.recv_from().await.unwrap().1);
                assert!(last.is_none_or(|last| n == last + 2), "{n} after {last:?}");
                last = Some(n);
                all.insert(n);
            }
        }
        assert_eq!(all.len(), 20);
        tokio::select! {
            waited = routers[0].recv_from() => assert_eq!(waited.unwrap().1, "waited"),
            waited = routers[1].recv_from() => assert_eq!(waited.unwrap().1, "waited"),
        }
    };
    within(async { tokio::join!(sent, received) }).await;
    assert_eq!(dealer.stats().dropped.total(), 0);
}

async fn r8_dealer_deals_many_round_and_waits_with_the_rest(over: Transport) {
    let dealer = DealerSocket::builder().send_hwm(10).build();
    let at = [over.fixed(), over.fixed()];
    for at in &at {
        dealer.connect(at).unwrap();
    }
    let mut messages = many(0..25);
    assert_eq!(dealer.try_send_many(&mut messages), Ok(20));
    assert_numbers(&messages, 20..25);
    let received = async {
        let routers = [RouterSocket::new(), RouterSocket::new()];
        let mut all = BTreeSet::new();
        for (router, at) in routers.iter().zip(&at) {
            router.bind(at).await.unwrap();
            for turn in 0..10 {
                let n = number_of(&router.recv_from().await.unwrap().1);
                assert!(n / 2 == turn && all.insert(n), "{n} is number {turn}");
            }
        }
        while all.len() < 25 {
            let (_, message) = tokio::select! {
                waited = routers[0].recv_from() => waited.unwrap(),
                waited = routers[1].recv_from() => waited.unwrap(),
            };
            assert!(all.insert(number_of(&message)));
        }
    };
    let sent = dealer.send_many(&mut messages);
    let (sent, ()) = within(async { tokio::join!(sent, received) }).await;
    sent.unwrap();
    assert!(messages.is_empty());
    let stats = dealer.stats();
    assert_eq!((stats.messages_sent, stats.dropped.total()), (25, 0));
}

async fn r8_dealer_receives_many_from_all_its_peers(over: Transport) {
    let dealer = named("dealer");
    let routers = [(); 2].map(|()| {
        RouterSocket::builder()
            .unroutable(Unroutable::Error)
            .build()
    });
    for router in &routers {
        join(router, &dealer, over).await;
        for n in 0..12 {
            let message = ("", n.to_string());
            within(router.send_to(&name("dealer"), message))
                .await
                .unwrap();
        }
    }
    eventually(|| dealer.stats().queued_in == 24).await;
    let mut received = Vec::new();
    assert_eq!(within(dealer.recv_many(&mut received, 100)).await, Ok(24));
    assert!(received.iter().all(|message| message.len() == 2));
    let numbers: Vec<_> = received.iter().map(number_of).collect();
    let turns = [0..8, 0..8, 8..12, 8..12].map(Vec::from_iter);
    assert_eq!(numbers, turns.concat());
}

async fn r9_a_message_to_an_unknown_peer_is_dropped_and_counted(over: Transport) {
    let router = RouterSocket::new();
    router.bind(over.any()).await.unwrap();
    router.send_to(&name("nobody"), "x").await.unwrap();
    router.try_send_to(&name("nobody"), "x").unwrap();
    let stats = router.stats();
    assert_eq!((stats.dropped.unroutable, stats.messages_sent), (2, 0));
}

async fn r9_mandatory_gives_the_message_back(over: Transport) {
    for unroutable in [Unroutable::Error, Unroutable::Wait] {
        let router = RouterSocket::builder().unroutable(unroutable).build();
        let back = router.send_to(&name("nobody"), "x").await;
        assert_eq!(back, Err(SendToError::Unroutable("x".into())));
        let dealer = named("here");
        join(&router, &dealer, over).await;
        router.send_to(&name("here"), "y").await.unwrap();
        assert_eq!(within(dealer.recv()).await.unwrap(), "y");
        dealer.close().await.unwrap();
        peers(&router, 0).await;
        let back = router.try_send_to(&name("here"), "z");
        assert_eq!(back, Err(SendToError::Unroutable("z".into())));
        assert_eq!(router.stats().dropped.total(), 0);
    }
}

async fn r9_a_full_peer_misses_its_message_by_default(over: Transport) {
    let router = RouterSocket::builder().send_hwm(4).build();
    let at = router.bind(over.any()).await.unwrap();
    let [stuck, reader] = ["stuck", "reader"].map(|text| {
        DealerSocket::builder()
            .recv_hwm(4)
            .identity(name(text))
            .unwrap()
            .build()
    });
    join_at(&router, &stuck, &at).await;
    join_at(&router, &reader, &at).await;
    let mut sent = 0;
    while router.stats().dropped.full < 20 {
        assert!(sent < 100_000, "nothing is dropped");
        for to in ["stuck", "reader"] {
            within(router.send_to(&name(to), (vec![0; 50_000], sent.to_string())))
                .await
                .unwrap();
        }
        assert_eq!(number_of(&within(reader.recv()).await.unwrap()), sent);
        sent += 1;
    }
    let dropped = usize::try_from(router.stats().dropped.full).unwrap();
    for _ in 0..sent - dropped {
        within(stuck.recv()).await.unwrap();
    }
    assert_eq!(stuck.stats().messages_received, (sent - dropped) as u64);
}

async fn r9_mandatory_tells_of_a_full_peer_or_waits_for_it(over: Transport) {
    let to = name("there");
    let router = RouterSocket::builder()
        .unroutable(Unroutable::Error)
        .send_hwm(3)
        .build();
    router.connect_as(over.fixed(), to.clone()).unwrap();
    for n in 0..3 {
        router.send_to(&to, numbered(n)).await.unwrap();
    }
    assert_eq!(
        router.send_to(&to, "x").await,
        Err(SendToError::Full("x".into()))
    );

    let router = RouterSocket::builder()
        .unroutable(Unroutable::Wait)
        .send_hwm(3)
        .build();
    let at = over.fixed();
    router.connect_as(&at, to.clone()).unwrap();
    let sent = async {
        for n in 0..500 {
            router
                .send_to(&to, (vec![0; 20_000], n.to_string()))
                .await
                .unwrap();
        }
    };
    let received = async {
        let dealer = DealerSocket::builder().recv_hwm(3).build();
        dealer.bind(&at).await.unwrap();
        for n in 0..500 {
            assert_eq!(number_of(&dealer.recv().await.unwrap()), n);
        }
    };
    within(async { tokio::join!(sent, received) }).await;
}

async fn r10_peers_without_an_identity_get_one_each(over: Transport) {
    let router = RouterSocket::new();
    let at = router.bind(over.any()).await.unwrap();
    let dealers: Vec<_> = (0..10).map(|_| DealerSocket::new()).collect();
    for dealer in &dealers {
        join_at(&router, dealer, &at).await;
    }
    let mut identities = BTreeSet::new();
    for dealer in &dealers {
        dealer.send("who am I?").await.unwrap();
        let (from, _) = within(router.recv_from()).await.unwrap();
        assert_eq!((from.as_bytes().len(), from.as_bytes()[0]), (5, 0));
        assert!(from.is_automatic());
        router
            .send_to(&from, from.as_bytes().to_vec())
            .await
            .unwrap();
        assert_eq!(within(dealer.recv()).await.unwrap(), from.as_bytes());
        assert!(identities.insert(from.as_bytes().to_vec()));
    }
    assert!(
        router
            .peers()
            .iter()
            .all(|peer| peer.socket_type() == SocketType::Dealer)
    );
    // Nobody can announce such a name.
    let error = DealerSocket::builder()
        .identity(Identity::try_from(b"\0abcd").unwrap())
        .unwrap_err();
    assert_eq!(error, InvalidOption::AutomaticIdentity);
}

async fn r11_the_second_peer_with_an_identity_is_refused(over: Transport) {
    let router = RouterSocket::new();
    let mut there = router.monitor();
    let quick = Reconnect::default()
        .first(Duration::from_millis(1))
        .max(Duration::from_millis(5));
    let first = named("same");
    let second = DealerSocket::builder()
        .identity(name("same"))
        .unwrap()
        .reconnect(quick)
        .build();
    let mut here = second.monitor();
    let at = join(&router, &first, over).await;
    second.connect(&at).unwrap();
    // The first may be a connection that is only not yet known to be dead: the second comes again.
    for _ in 0..3 {
        event(&mut there, |kind| matches!(kind, EventKind::Refused(_))).await;
        event(&mut here, |kind| matches!(kind, EventKind::Retrying(_))).await;
    }
    router
        .send_to(&name("same"), "for the first")
        .await
        .unwrap();
    assert_eq!(within(first.recv()).await.unwrap(), "for the first");
    first.close().await.unwrap();
    second.send("at last").await.unwrap();
    let (from, message) = within(router.recv_from()).await.unwrap();
    assert_eq!((from, message), (name("same"), "at last".into()));
}

async fn r11_whoever_is_refused_by_a_connecting_router_knows_no_peer(over: Transport) {
    let quick = Reconnect::default()
        .first(Duration::from_millis(1))
        .max(Duration::from_millis(5));
    let router = RouterSocket::builder().reconnect(quick).build();
    let (first, second) = (named("same"), named("same"));
    join(&first, &router, over).await;
    let at = second.bind(over.any()).await.unwrap();
    let mut events = router.monitor();
    router.connect(&at).unwrap();
    event(&mut events, |kind| matches!(kind, EventKind::Retrying(_))).await;
    peers(&second, 0).await;
    first.close().await.unwrap();
    // Before, the second may take a connection for one that lasts which is being refused, and what it sends goes with it.
    let accepted = |kind: &EventKind| matches!(kind, EventKind::HandshakeSucceeded);
    event(&mut events, accepted).await;
    within(second.wait_for_peers(1)).await.unwrap();
    within(second.send("at last")).await.unwrap();
    let (from, message) = within(router.recv_from()).await.unwrap();
    assert_eq!((from, message), (name("same"), "at last".into()));
}

async fn r11_the_identity_is_handed_over(over: Transport) {
    let router = RouterSocket::builder()
        .duplicate_identity(DuplicateIdentity::HandOver)
        .build();
    let mut there = router.monitor();
    let (first, second) = (named("same"), named("same"));
    let at = join(&router, &first, over).await;
    second.connect(&at).unwrap();
    let is_local =
        |kind: &EventKind| matches!(kind, EventKind::Disconnected(DisconnectCause::Local));
    event(&mut there, is_local).await;
    // The first would take its name back when it reconnects.
    first.close().await.ok();
    eventually(|| {
        router
            .peers()
            .iter()
            .any(|peer| peer.identity() == &name("same"))
    })
    .await;
    within(second.wait_for_peers(1)).await.unwrap();
    second.send("here").await.unwrap();
    let (from, message) = within(router.recv_from()).await.unwrap();
    assert_eq!((from.as_bytes(), message), (&b"same"[..], "here".into()));
    router.send_to(&from, "for the second").await.unwrap();
    assert_eq!(within(second.recv()).await.unwrap(), "for the second");
}

async fn r11_an_identity_is_free_again_when_its_peer_is_gone(over: Transport) {
    let router = RouterSocket::builder()
        .unroutable(Unroutable::Error)
        .build();
    let at = router.bind(over.any()).await.unwrap();
    for n in 0..5 {
        let dealer = named("same");
        join_at(&router, &dealer, &at).await;
        router.send_to(&name("same"), numbered(n)).await.unwrap();
        assert_eq!(number_of(&within(dealer.recv()).await.unwrap()), n);
        dealer.close().await.unwrap();
        peers(&router, 0).await;
    }
}

async fn a5_what_a_replaced_peer_sent_keeps_its_name(over: Transport) {
    let router = RouterSocket::builder()
        .reconnect(Reconnect::default().first(Duration::from_millis(1)))
        .build();
    let first = named("first");
    let at = first.bind(over.fixed()).await.unwrap();
    router.connect(&at).unwrap();
    first.send("unread").await.unwrap();
    eventually(|| router.stats().queued_in == 1).await;
    first.close().await.unwrap();
    peers(&router, 0).await;
    // The router goes on to connect, and finds somebody else.
    let second = named("second");
    second.bind(&at).await.unwrap();
    second.send("news").await.unwrap();
    eventually(|| router.stats().queued_in == 2).await;
    let mut received = BTreeSet::new();
    for _ in 0..2 {
        let (from, message) = within(router.recv_from()).await.unwrap();
        received.insert((from.as_bytes().to_vec(), message.first().to_vec()));
    }
    let sent = [("first", "unread"), ("second", "news")];
    assert_eq!(
        received,
        sent.map(|(who, what)| (who.into(), what.into())).into()
    );
}

async fn r12_a_probe_makes_a_router_known(over: Transport) {
    let router = RouterSocket::builder()
        .unroutable(Unroutable::Error)
        .build();
    let dealer = DealerSocket::builder()
        .identity(name("prober"))
        .unwrap()
        .probe(true)
        .build();
    join(&router, &dealer, over).await;
    let (from, probe) = within(router.recv_from()).await.unwrap();
    assert_eq!((from.as_bytes(), probe), (&b"prober"[..], Message::new()));
    router.send_to(&from, "hello").await.unwrap();
    assert_eq!(within(dealer.recv()).await.unwrap(), "hello");
}

async fn r12_a_peer_may_be_given_its_identity_by_whoever_connects(over: Transport) {
    let router = RouterSocket::builder()
        .unroutable(Unroutable::Error)
        .build();
    let dealer = named("announced");
    let at = dealer.bind(over.any()).await.unwrap();
    router.connect_as(&at, name("given")).unwrap();
    // At once, without waiting for anything.
    router.try_send_to(&name("given"), "hello").unwrap();
    assert_eq!(within(dealer.recv()).await.unwrap(), "hello");
    dealer.send("back").await.unwrap();
    let (from, message) = within(router.recv_from()).await.unwrap();
    assert_eq!((from.as_bytes(), message), (&b"given"[..], "back".into()));
    let unknown = router.try_send_to(&name("announced"), "x");
    assert_eq!(unknown, Err(SendToError::Unroutable("x".into())));
    let taken = router.connect_as(over.fixed(), name("given"));
    assert!(matches!(taken, Err(ConnectError::IdentityTaken)));
}

async fn r12_connect_as_keeps_the_queue_and_the_name_over_a_restart(over: Transport) {
    let router = RouterSocket::new();
    let at = over.fixed();
    router.connect_as(&at, name("given")).unwrap();
    for n in 0..3 {
        let dealer = DealerSocket::new();
        within(router.send_to(&name("given"), numbered(n)))
            .await
            .unwrap();
        dealer.bind(&at).await.unwrap();
        assert_eq!(number_of(&within(dealer.recv()).await.unwrap()), n);
        dealer.close().await.unwrap();
        peers(&router, 0).await;
        eventually(|| router.stats().queued_out == 0).await;
    }
    assert_eq!(router.stats().dropped.total(), 0);
}

async fn r12_notify_tells_who_comes_and_goes(over: Transport) {
    let router = RouterSocket::builder().notify(Notify::Both).build();
    let dealer = named("guest");
    join(&router, &dealer, over).await;
    let (from, notice) = within(router.recv_from()).await.unwrap();
    assert_eq!((from.as_bytes(), notice), (&b"guest"[..], Message::new()));
    dealer.send("hello").await.unwrap();
    assert_eq!(within(router.recv_from()).await.unwrap().1, "hello");
    dealer.close().await.unwrap();
    let (from, notice) = within(router.recv_from()).await.unwrap();
    assert_eq!((from.as_bytes(), notice), (&b"guest"[..], Message::new()));
}

async fn two_routers_talk_by_name(over: Transport) {
    let [one, other] = ["one", "other"].map(|text| {
        RouterSocket::builder()
            .identity(name(text))
            .unwrap()
            .build()
    });
    join(&one, &other, over).await;
    for n in 0..100 {
        one.send_to(&name("other"), numbered(n)).await.unwrap();
        let (from, message) = within(other.recv_from()).await.unwrap();
        assert_eq!((from.as_bytes(), number_of(&message)), (&b"one"[..], n));
        other.send_to(&from, message).await.unwrap();
        let (from, message) = within(one.recv_from()).await.unwrap();
        assert_eq!((from.as_bytes(), number_of(&message)), (&b"other"[..], n));
    }
}

async fn a13_a_second_connect_does_nothing(over: Transport) {
    let (router, dealer) = (RouterSocket::new(), DealerSocket::new());
    let at = join(&router, &dealer, over).await;
    dealer.connect(&at).unwrap();
    assert_eq!(dealer.endpoints(), [at]);
    for n in 0..10 {
        dealer.send(numbered(n)).await.unwrap();
        assert_eq!(number_of(&within(router.recv_from()).await.unwrap().1), n);
    }
    assert_eq!(router.peers().len(), 1);
}

async fn a15_flooding_dealers_share_a_router_evenly(over: Transport) {
    let router = RouterSocket::builder().recv_hwm(400).build();
    let at = router.bind(over.any()).await.unwrap();
    let dealers: Vec<_> = (0..4).map(|n| named(&n.to_string())).collect();
    for dealer in &dealers {
        join_at(&router, dealer, &at).await;
        for _ in 0..400 {
            dealer.send("flood").await.unwrap();
        }
    }
    eventually(|| router.stats().queued_in == 1_600).await;
    let mut shares = [0; 4];
    for _ in 0..800 {
        let (from, _) = within(router.recv_from()).await.unwrap();
        shares[usize::from(from.as_bytes()[0] - b'0')] += 1;
    }
    assert!(
        shares.iter().all(|share| (180..=220).contains(share)),
        "{shares:?}"
    );
}

async fn many_dealers_each_get_their_own_messages(over: Transport) {
    let router = RouterSocket::new();
    let at = router.bind(over.any()).await.unwrap();
    let dealers: Vec<_> = (0..50).map(|n| named(&format!("dealer {n}"))).collect();
    for dealer in &dealers {
        join_at(&router, dealer, &at).await;
    }
    for round in 0..10 {
        for n in 0..50 {
            let text = format!("{n}: {round}");
            within(router.send_to(&name(&format!("dealer {n}")), text))
                .await
                .unwrap();
        }
    }
    for (n, dealer) in dealers.iter().enumerate() {
        for round in 0..10 {
            assert_eq!(
                within(dealer.recv()).await.unwrap(),
                format!("{n}: {round}").as_str()
            );
        }
    }
    assert_eq!(router.stats().dropped.total(), 0);
}
