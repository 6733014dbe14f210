//! REQ and REP: turn-taking, envelopes, and what becomes of a request whose peer or asker is lost.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use jackstay::{
    DealerSocket, Identity, Message, OnPeerLoss, Reconnect, RepSocket, ReqSocket, Request,
    RequestError, RouterSocket, TryRecvError,
};
use tokio::task::JoinSet;

use crate::support::{
    Transport, eventually, for_each_transport, for_each_wire, join, join_at, numbered, peers,
    poll_once, within,
};

for_each_transport! {
    r1_requests_and_replies_alternate,
    r1_requests_go_round_the_peers,
    r1_a_request_waits_for_a_peer,
    r2_only_the_asked_peer_can_reply,
    r3_a_reply_without_its_delimiter_is_dropped_and_the_connection_stays,
    r4_a_numbered_request_takes_no_other_reply,
    r4_the_late_reply_to_an_abandoned_request_never_shows_up,
    r4_with_numbers_an_abandoned_request_costs_no_connection,
    r5_a_lost_peer_ends_the_request_with_an_error,
    r5_a_lost_peer_makes_the_request_go_to_the_next,
    r6_rep_keeps_the_envelope_and_returns_it,
    r6_a_reply_to_a_requester_that_is_gone_is_dropped_and_counted,
    r6_a_reply_never_goes_to_whoever_took_the_place_of_the_requester,
    r6_several_requests_may_be_open_and_move_to_tasks,
    r7_a_request_without_a_delimiter_is_dropped_unseen,
    many_requesters_each_get_their_own_replies,
    a_closed_socket_gives_the_request_back,
    an_abandoned_request_does_not_hold_up_the_end_of_its_connection,
}

for_each_wire! {
    r4_a_request_that_was_not_yet_sent_is_taken_back,
    r4_a_request_that_was_not_yet_sent_gives_its_place_back,
}

/// Lets `req` ask and `rep` accept, and then abandons the request.
async fn abandoned(req: &mut ReqSocket, rep: &RepSocket) -> Request {
    tokio::select! {
        reply = req.request("to be abandoned") => panic!("{reply:?}"),
        request = within(rep.accept()) => request.unwrap(),
    }
}

async fn answered(rep: &RepSocket, reply: &'static str) -> Request {
    let request = within(rep.accept()).await.unwrap();
    assert_ne!(request.message(), &Message::from(reply));
    request
}

async fn r1_requests_and_replies_alternate(over: Transport) {
    let (mut req, rep) = (ReqSocket::new(), RepSocket::new());
    join(&rep, &req, over).await;
    for n in 0..200 {
        // Empty frames inside are the application's.
        let request = Message::from(["", "question", "", &n.to_string()].map(str::to_owned));
        let replied = async {
            let asked = rep.accept().await.unwrap();
            assert_eq!(*asked, request);
            asked.reply(["", "answer", ""]).await.unwrap();
        };
        let (reply, ()) =
            within(async { tokio::join!(req.request(request.clone()), replied) }).await;
        assert_eq!(reply.unwrap(), Message::from(["", "answer", ""]));
    }
}

async fn r1_requests_go_round_the_peers(over: Transport) {
    let mut req = ReqSocket::new();
    let at = req.bind(over.any()).await.unwrap();
    let reps: Vec<_> = (0..3).map(|_| RepSocket::new()).collect();
    for rep in &reps {
        join_at(&req, rep, &at).await;
    }
    for n in 0..30 {
        let rep = &reps[n % 3];
        let replied = async {
            rep.accept()
                .await
                .unwrap()
                .reply(numbered(n))
                .await
                .unwrap()
        };
        let (reply, ()) = within(async { tokio::join!(req.request("?"), replied) }).await;
        assert_eq!(reply.unwrap(), numbered(n));
    }
}

async fn r1_a_request_waits_for_a_peer(over: Transport) {
    let (mut req, rep) = (ReqSocket::new(), RepSocket::new());
    let at = req.bind(over.any()).await.unwrap();
    let replied = async {
        rep.connect(at).unwrap();
        rep.accept().await.unwrap().reply("here").await.unwrap();
    };
    let (reply, ()) = within(async { tokio::join!(req.request("anybody?"), replied) }).await;
    assert_eq!(reply.unwrap(), "here");
}

/// A REQ and two ROUTERs that it asks in turn.
async fn two_routers(over: Transport) -> (ReqSocket, RouterSocket, RouterSocket, Identity) {
    let name = Identity::try_from("req").unwrap();
    let req = ReqSocket::builder().identity(name.clone()).unwrap().build();
    let at = req.bind(over.any()).await.unwrap();
    let routers = (RouterSocket::new(), RouterSocket::new());
    join_at(&req, &routers.0, &at).await;
    join_at(&req, &routers.1, &at).await;
    (req, routers.0, routers.1, name)
}

async fn r2_only_the_asked_peer_can_reply(over: Transport) {
    let (mut req, asked, other, name) = two_routers(over).await;
    // Said before anything was asked, and by whom nothing was asked.
    other.send_to(&name, ["", "forged"]).await.unwrap();
    eventually(|| req.stats().queued_in == 1).await;
    let replied = async {
        let (from, request) = within(asked.recv_from()).await.unwrap();
        assert_eq!((&from, &request), (&name, &Message::from(["", "?"])));
        other.send_to(&name, ["", "forged"]).await.unwrap();
        asked.send_to(&name, ["", "right"]).await.unwrap();
    };
    let (reply, ()) = within(async { tokio::join!(req.request("?"), replied) }).await;
    assert_eq!(reply.unwrap(), "right");
    eventually(|| req.stats().messages_received == 3).await;
    // What was not in the way waits until the next request.
    let stats = req.stats();
    assert_eq!(stats.dropped.unexpected + stats.queued_in as u64, 2);
}

async fn r3_a_reply_without_its_delimiter_is_dropped_and_the_connection_stays(over: Transport) {
    let name = Identity::try_from("req").unwrap();
    let mut req = ReqSocket::builder().identity(name.clone()).unwrap().build();
    let router = RouterSocket::new();
    join(&router, &req, over).await;
    let replied = async {
        within(router.recv_from()).await.unwrap();
        router.send_to(&name, "bare").await.unwrap();
        router.send_to(&name, ["no", "delimiter"]).await.unwrap();
        router.send_to(&name, ["", "good"]).await.unwrap();
    };
    let (reply, ()) = within(async { tokio::join!(req.request("?"), replied) }).await;
    assert_eq!(reply.unwrap(), "good");
    assert_eq!(req.stats().dropped.malformed, 2);
    assert_eq!(req.peers().len(), 1);
}

async fn r4_a_numbered_request_takes_no_other_reply(over: Transport) {
    let name = Identity::try_from("req").unwrap();
    let mut req = ReqSocket::builder()
        .identity(name.clone())
        .unwrap()
        .correlate(true)
        .build();
    let router = RouterSocket::new();
    join(&router, &req, over).await;
    let replied = async {
        let (_, request) = within(router.recv_from()).await.unwrap();
        assert_eq!(
            (request.len(), request[0].len(), request[1].len()),
            (3, 4, 0)
        );
        let other: Vec<u8> = request[0].iter().map(|octet| !octet).collect();
        router
            .send_to(&name, [other, vec![], b"wrong".to_vec()])
            .await
            .unwrap();
        router.send_to(&name, ["", "wrong"]).await.unwrap();
        router
            .send_to(&name, [request[0].to_vec(), vec![], b"right".to_vec()])
            .await
            .unwrap();
    };
    let (reply, ()) = within(async { tokio::join!(req.request("?"), replied) }).await;
    assert_eq!(reply.unwrap(), "right");
    assert_eq!(req.stats().dropped.unexpected, 2);
}

async fn late_reply_never_shows_up(mut req: ReqSocket, over: Transport) {
    let rep = RepSocket::new();
    join(&rep, &req, over).await;
    for n in 0..20 {
        let late = abandoned(&mut req, &rep).await;
        // Before the next request, and after it.
        let late = if n % 2 == 0 {
            late.reply("late").await.unwrap();
            None
        } else {
            Some(late)
        };
        let replied = async {
            let request = within(rep.accept()).await.unwrap();
            assert_eq!(*request, "next");
            if let Some(late) = late {
                late.reply("late").await.unwrap();
            }
            request.reply("right").await.unwrap();
        };
        let (reply, ()) = within(async { tokio::join!(req.request("next"), replied) }).await;
        assert_eq!(reply.unwrap(), "right");
    }
}

async fn r4_the_late_reply_to_an_abandoned_request_never_shows_up(over: Transport) {
    late_reply_never_shows_up(ReqSocket::new(), over).await;
    late_reply_never_shows_up(ReqSocket::builder().correlate(true).build(), over).await;
}

async fn r4_with_numbers_an_abandoned_request_costs_no_connection(over: Transport) {
    let mut req = ReqSocket::builder().correlate(true).build();
    let rep = RepSocket::new();
    join(&rep, &req, over).await;
    let before = rep.peers()[0].id();
    for _ in 0..5 {
        abandoned(&mut req, &rep).await.reply("late").await.unwrap();
    }
    let replied = async {
        within(rep.accept())
            .await
            .unwrap()
            .reply("right")
            .await
            .unwrap()
    };
    let (reply, ()) = within(async { tokio::join!(req.request("?"), replied) }).await;
    assert_eq!(reply.unwrap(), "right");
    assert_eq!(rep.peers()[0].id(), before);
}

async fn taken_back(mut req: ReqSocket, over: Transport) {
    let rep = RepSocket::new();
    let at = over.fixed();
    req.connect(&at).unwrap();
    for _ in 0..5 {
        let mut request = pin!(req.request("abandoned"));
        assert!(poll_once(&mut request).await.is_pending());
    }
    rep.bind(&at).await.unwrap();
    let replied = async {
        let request = within(rep.accept()).await.unwrap();
        assert_eq!(*request, "the first to be seen");
        request.reply("right").await.unwrap();
    };
    let (reply, ()) =
        within(async { tokio::join!(req.request("the first to be seen"), replied) }).await;
    assert_eq!(reply.unwrap(), "right");
}

async fn r4_a_request_that_was_not_yet_sent_is_taken_back(over: Transport) {
    taken_back(ReqSocket::new(), over).await;
}

async fn r4_a_request_that_was_not_yet_sent_gives_its_place_back(over: Transport) {
    taken_back(ReqSocket::builder().send_hwm(1).build(), over).await;
}

async fn r5_a_lost_peer_ends_the_request_with_an_error(over: Transport) {
    let (mut req, rep) = (ReqSocket::new(), RepSocket::new());
    let at = over.fixed();
    rep.bind(&at).await.unwrap();
    req.connect(&at).unwrap();
    let lost = async {
        let request = rep.accept().await.unwrap();
        rep.close().await.unwrap();
        drop(request);
    };
    let (reply, ()) = within(async { tokio::join!(req.request("?"), lost) }).await;
    assert_eq!(reply, Err(RequestError::PeerLost("?".into())));
    // The socket goes on.
    let rep = RepSocket::new();
    rep.bind(&at).await.unwrap();
    let replied = async { rep.accept().await.unwrap().reply("back").await.unwrap() };
    let (reply, ()) = within(async { tokio::join!(req.request("again"), replied) }).await;
    assert_eq!(reply.unwrap(), "back");
}

async fn r5_a_lost_peer_makes_the_request_go_to_the_next(over: Transport) {
    let mut req = ReqSocket::builder()
        .on_peer_loss(OnPeerLoss::Resend)
        .build();
    let at = req.bind(over.any()).await.unwrap();
    let (first, second) = (RepSocket::new(), RepSocket::new());
    join_at(&req, &first, &at).await;
    join_at(&req, &second, &at).await;
    let replied = async {
        drop(answered(&first, "").await);
        first.close().await.unwrap();
        let request = second.accept().await.unwrap();
        assert_eq!(*request, "?");
        request.reply("from the second").await.unwrap();
    };
    let (reply, ()) = within(async { tokio::join!(req.request("?"), replied) }).await;
    assert_eq!(reply.unwrap(), "from the second");
}

async fn r6_rep_keeps_the_envelope_and_returns_it(over: Transport) {
    let (dealer, rep) = (DealerSocket::new(), RepSocket::new());
    join(&rep, &dealer, over).await;
    for envelope in [&[][..], &["a"], &["a", "b", "c"]] {
        let mut request: Message = envelope
            .iter()
            .copied()
            .chain(["", "body", "", "more"])
            .collect();
        dealer.send(request.clone()).await.unwrap();
        let asked = within(rep.accept()).await.unwrap();
        assert_eq!(*asked, Message::from(["body", "", "more"]));
        asked.reply(["reply", ""]).await.unwrap();
        request = envelope.iter().copied().chain(["", "reply", ""]).collect();
        assert_eq!(within(dealer.recv()).await.unwrap(), request);
    }
}

async fn r6_a_reply_to_a_requester_that_is_gone_is_dropped_and_counted(over: Transport) {
    let rep = RepSocket::new();
    let at = rep.bind(over.any()).await.unwrap();
    let dealer = DealerSocket::new();
    dealer.connect(&at).unwrap();
    dealer.send(["", "?"]).await.unwrap();
    let request = within(rep.accept()).await.unwrap();
    assert!(request.peer().is_some());
    dealer.close().await.unwrap();
    peers(&rep, 0).await;
    request.reply("to nobody").await.unwrap();
    assert_eq!(rep.stats().dropped.unroutable, 1);
}

async fn r6_a_reply_never_goes_to_whoever_took_the_place_of_the_requester(over: Transport) {
    let rep = RepSocket::builder()
        .reconnect(Reconnect::default().first(Duration::from_millis(1)))
        .build();
    let mut first = ReqSocket::new();
    let at = first.bind(over.fixed()).await.unwrap();
    rep.connect(&at).unwrap();
    // One request is read before its requester goes, one is not.
    let old = {
        let mut asking = pin!(first.request("old"));
        tokio::select! {
            _ = &mut asking => unreachable!("nobody replies"),
            request = within(rep.accept()) => request.unwrap(),
        }
    };
    // A DEALER, because a REQ that no longer waits takes back what has not left yet.
    let unread = DealerSocket::new();
    let other = unread.bind(over.any()).await.unwrap();
    join_at(&unread, &rep, &other).await;
    unread.send(("", "unread")).await.unwrap();
    eventually(|| rep.stats().messages_received == 2).await;
    first.close().await.ok();
    unread.close().await.ok();
    peers(&rep, 0).await;
    let mut second = ReqSocket::new();
    second.bind(&at).await.unwrap();
    within(second.wait_for_peers(1)).await.unwrap();
    let serve = async {
        old.reply("for the first").await.unwrap();
        for _ in 0..2 {
            let request = within(rep.accept()).await.unwrap();
            let reply = format!("for the {}", request.first().escape_ascii());
            request.reply(reply).await.unwrap();
        }
    };
    let (reply, ()) = tokio::join!(within(second.request("new")), serve);
    assert_eq!(reply.unwrap(), "for the new");
    assert_eq!(rep.stats().dropped.unroutable, 2);
}

async fn r6_several_requests_may_be_open_and_move_to_tasks(over: Transport) {
    const ASKERS: usize = 20;
    let rep = RepSocket::new();
    let at = rep.bind(over.any()).await.unwrap();
    let mut askers = JoinSet::new();
    for n in 0..ASKERS {
        let mut req = ReqSocket::new();
        req.connect(&at).unwrap();
        askers.spawn(async move {
            let reply = req.request(numbered(n)).await.unwrap();
            assert_eq!(reply, format!("reply to {n}").as_str());
        });
    }
    let mut open = Vec::new();
    for _ in 0..ASKERS {
        open.push(within(rep.accept()).await.unwrap());
    }
    assert!(matches!(rep.try_accept(), Err(TryRecvError::Empty)));
    let mut replies = JoinSet::new();
    for request in open.into_iter().rev() {
        replies.spawn(async move {
            let reply = format!("reply to {}", request.first().escape_ascii());
            request.reply(reply).await.unwrap();
        });
    }
    within(replies.join_all()).await;
    within(askers.join_all()).await;
}

async fn r7_a_request_without_a_delimiter_is_dropped_unseen(over: Transport) {
    let (dealer, rep) = (DealerSocket::new(), RepSocket::new());
    join(&rep, &dealer, over).await;
    dealer.send("bare").await.unwrap();
    dealer.send(["no", "delimiter"]).await.unwrap();
    dealer.send(["nothing", "behind", ""]).await.unwrap();
    eventually(|| rep.stats().messages_received == 3).await;
    assert!(matches!(rep.try_accept(), Err(TryRecvError::Empty)));
    dealer.send(["", "good"]).await.unwrap();
    assert_eq!(*within(rep.accept()).await.unwrap(), "good");
    assert_eq!(rep.stats().dropped.malformed, 3);
    assert_eq!(rep.peers().len(), 1);
}

async fn many_requesters_each_get_their_own_replies(over: Transport) {
    const EACH: usize = 100;
    let rep = RepSocket::new();
    let at = rep.bind(over.any()).await.unwrap();
    let mut askers = JoinSet::new();
    for asker in 0..8 {
        let mut req = ReqSocket::new();
        req.connect(&at).unwrap();
        askers.spawn(async move {
            for n in 0..EACH {
                let text = format!("{asker}/{n}");
                assert_eq!(req.request(text.clone()).await.unwrap(), text.as_str());
            }
        });
    }
    let mut served = BTreeMap::new();
    for _ in 0..8 * EACH {
        let request = within(rep.accept()).await.unwrap();
        let peer = request.peer().expect("it is there").id();
        *served.entry(peer).or_insert(0) += 1;
        let echo = request.message().clone();
        request.reply(echo).await.unwrap();
    }
    within(askers.join_all()).await;
    assert_eq!(served.into_values().collect::<Vec<_>>(), [EACH; 8]);
}

async fn a_closed_socket_gives_the_request_back(over: Transport) {
    let mut req = ReqSocket::new();
    req.bind(over.any()).await.unwrap();
    req.close().await.unwrap();
    assert_eq!(
        req.request("?").await,
        Err(RequestError::Closed("?".into()))
    );
    let (dealer, rep) = (DealerSocket::new(), RepSocket::new());
    join(&rep, &dealer, over).await;
    dealer.send(["", "?"]).await.unwrap();
    let request = within(rep.accept()).await.unwrap();
    rep.close().await.unwrap();
    let refused = request.reply("too late").await.unwrap_err();
    assert_eq!(refused.into_message(), "too late");
    assert!(rep.accept().await.is_err());
}

// The connection is made anew after an abandoned request, but not when the endpoint is given up in that moment.
async fn an_abandoned_request_does_not_hold_up_the_end_of_its_connection(over: Transport) {
    let rep = RepSocket::new();
    let at = rep.bind(over.any()).await.unwrap();
    for n in 0..100 {
        let mut req = ReqSocket::new();
        req.connect(&at).unwrap();
        let request = abandoned(&mut req, &rep).await;
        // A little later each time.
        for _ in 0..n * 25 {
            std::hint::spin_loop();
        }
        if n % 2 == 0 {
            within(req.disconnect(&at)).await.unwrap();
            assert_eq!(req.peers().len(), 0);
        }
        within(req.close()).await.unwrap();
        assert_eq!(req.peers().len(), 0);
        drop(request);
        peers(&rep, 0).await;
    }
}
