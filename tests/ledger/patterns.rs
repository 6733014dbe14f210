//! Each pattern, with peers that keep up and peers that do not, while nobody leaves.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jackstay::pattern::{CanPublish, CanSend, CanSubscribe, Pattern};
use jackstay::{
    DealerSocket, Identity, OnFull, PairSocket, PeerId, PubSocket, PullSocket, PushSocket,
    RepSocket, ReqSocket, RouterSocket, Socket, SubSocket, XPubSocket, XSubSocket,
};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::carrier::{
    Carrier, Reader, acquaint, drained, handed_over, over_each_carrier, read, tell,
};
use crate::note::{Book, Note, TOPICS};
use crate::support::times::times;
use crate::support::{eventually, peers, poll_once, within};

over_each_carrier! {
    push_deals_everything_out,
    a_push_that_closes_tells_what_a_slow_pull_does_not_get,
    pub_delivers_or_counts_each_copy,
    pub_counts_what_a_subscriber_that_sleeps_misses,
    pub_that_waits_delivers_everything,
    xpub_and_xsub_deliver_or_count_each_copy,
    each_request_has_its_reply,
    requests_that_are_abandoned_are_accounted_for,
    requests_that_cost_their_connection_are_accounted_for,
    router_delivers_or_counts_each_reply,
    pair_delivers_everything_both_ways,
    conflate_counts_what_is_replaced,
}

/// Sends small messages of `sender`, from number to number: a hundred one by one, and the next hundred by one call.
async fn send<P: CanSend>(socket: &Socket<P>, sender: u32, numbers: std::ops::Range<u64>) {
    let mut together = Vec::new();
    for number in numbers {
        let message = Note::small(sender, number).message();
        match number / 100 % 2 {
            0 => socket.send(message).await.expect("it is open"),
            _ => together.push(message),
        }
        if together.len() == 100 {
            let sent = socket.send_many(&mut together).await;
            sent.expect("it is open");
        }
    }
    let sent = socket.send_many(&mut together).await;
    sent.expect("it is open");
}

async fn push_deals_everything_out(over: Carrier) {
    let each = times(over.fewer(12_000));
    let (mut pulls, mut places) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let pull = over.bound(PullSocket::builder());
        places.push(pull.bind(over.transport().any()).await.unwrap());
        pulls.push(Reader::new(&pull));
    }
    let mut senders = JoinSet::new();
    for sender in 0..3 {
        let push = over.connected(PushSocket::builder());
        places.iter().for_each(|at| push.connect(at).unwrap());
        senders.spawn(async move {
            send(&push, sender, 0..each).await;
            push.close().await.unwrap();
            push.stats()
        });
    }
    let stats = senders.join_all().await;
    for stats in &stats {
        assert_eq!((stats.messages_sent, handed_over(stats)), (each, each));
    }
    let arrived = || -> u64 {
        let socket = pulls.iter().map(|pull| pull.socket.stats());
        socket.map(|stats| read(&stats)).sum()
    };
    eventually(|| arrived() == 3 * each || pulls.iter().any(Reader::is_finished)).await;
    let mut delivered = 0;
    for pull in pulls {
        let book = pull.stop().await;
        delivered += book.count();
    }
    assert_eq!(delivered, 3 * each);
    tell("PUSH → PULL", over, 3 * each, delivered, 0);
}

async fn a_push_that_closes_tells_what_a_slow_pull_does_not_get(over: Carrier) {
    let (mut sent, mut delivered, mut lost) = (0, 0, 0);
    for round in 0..times(3) {
        let pull = over.bound(PullSocket::builder().recv_hwm(10));
        let push = PushSocket::builder().send_hwm(10);
        let push = over.connected(push.linger(Duration::from_millis(round % 4 * 5)));
        let at = pull.bind(over.transport().any()).await.unwrap();
        acquaint(&pull, &push, &at).await;
        let mut accepted = 0;
        // Dropped, it has queued nothing.
        while timeout(
            Duration::from_millis(50),
            push.send(Note::large(0, accepted).message()),
        )
        .await
        .is_ok()
        {
            accepted += 1;
        }
        let undelivered = within(push.close()).await;
        let undelivered = undelivered.map_or_else(|it| it.messages() as u64, |()| 0);
        let stats = push.stats();
        assert_eq!(stats.messages_sent, accepted);
        assert_eq!((stats.dropped.linger, stats.queued_out), (undelivered, 0));
        assert!(over.is_wire() || undelivered == 0, "{stats:?}");
        let book = Reader::new(&pull).until(accepted - undelivered).await;
        peers(&pull, 0).await;
        assert_eq!(pull.stats().messages_received, book.count());
        assert_eq!(book.last(0), book.count().checked_sub(1), "the first ones");
        sent += accepted;
        delivered += book.count();
        lost += undelivered;
    }
    tell("PUSH that closes → slow PULL", over, sent, delivered, lost);
}

/// A subscriber, and what it should get.
struct Subscriber<S: Pattern> {
    socket: Arc<Socket<S>>,
    peer: PeerId,
    /// Which topic, or all.
    topic: Option<usize>,
}

impl<S: CanSubscribe + jackstay::pattern::CanReceive + 'static> Subscriber<S> {
    async fn new<P: CanPublish>(
        publisher: &Socket<P>,
        socket: Arc<Socket<S>>,
        topic: Option<usize>,
        at: &jackstay::Endpoint,
    ) -> Self {
        socket
            .subscribe(topic.map_or(&b""[..], |topic| &TOPICS[topic..=topic]))
            .unwrap();
        let there = publisher.peers().len();
        let peer = acquaint(publisher, &socket, at).await;
        within(publisher.wait_for_subscribers(there + 1))
            .await
            .unwrap();
        Self {
            socket,
            peer,
            topic,
        }
    }

    /// How many of `sent` it subscribed to, in numbers of each topic.
    fn wanted(&self, sent: &[u64; 3]) -> u64 {
        self.topic.map_or(sent.iter().sum(), |topic| sent[topic])
    }

    /// What the publisher counted for this one: sent to it, and dropped as it was full.
    fn counted<P: Pattern>(&self, publisher: &Socket<P>) -> (u64, u64) {
        let stats = publisher.peer_stats(self.peer).expect("it is there");
        (stats.messages_sent, stats.dropped.full)
    }
}

/// How many of each topic there are below `number`.
fn below(number: u64) -> [u64; 3] {
    [0, 1, 2].map(|topic| (number + 2 - topic) / 3)
}

async fn pub_delivers_or_counts_each_copy(over: Carrier) {
    let n = times(over.fewer(12_000));
    let publisher = over.bound(PubSocket::builder().send_hwm(100));
    let at = publisher.bind(over.transport().any()).await.unwrap();
    let mut subscribers = Vec::new();
    for topic in [None, Some(0), Some(1), None] {
        let socket = over.connected(SubSocket::builder().recv_hwm(100));
        let subscriber = Subscriber::new(&publisher, socket, topic, &at).await;
        subscribers.push((Reader::new(&subscriber.socket), subscriber));
    }
    send(&publisher, 0, 0..n).await;
    let (mut sent, mut delivered, mut missed) = (0, 0, 0);
    for (reader, subscriber) in subscribers {
        let (copies, full) = subscriber.counted(&publisher);
        assert_eq!(copies + full, subscriber.wanted(&below(n)));
        let book = reader.until(copies).await;
        assert_eq!(subscriber.wanted(&book.topics), copies);
        sent += copies + full;
        delivered += book.count();
        missed += full;
    }
    let stats = drained(&publisher).await;
    assert_eq!(
        (stats.messages_sent, stats.dropped.full),
        (delivered, missed)
    );
    assert_eq!(handed_over(&stats), delivered);
    tell("PUB → SUB", over, sent, delivered, missed);
}

async fn pub_counts_what_a_subscriber_that_sleeps_misses(over: Carrier) {
    let publisher = over.bound(PubSocket::builder().send_hwm(10));
    let at = publisher.bind(over.transport().any()).await.unwrap();
    let socket = over.connected(SubSocket::builder().recv_hwm(10));
    let awake = Subscriber::new(&publisher, socket, Some(2), &at).await;
    let socket = over.connected(SubSocket::builder().recv_hwm(10));
    let sleeper = Subscriber::new(&publisher, socket, None, &at).await;
    let (mut number, mut slept) = (0, Book::default());
    let mut attentive = Reader::new(&awake.socket);
    for _ in 0..times(2) {
        let begun = sleeper.counted(&publisher).1;
        while sleeper.counted(&publisher).1 < begun + 50 {
            let note = Note::large(0, number);
            publisher.send(note.message()).await.unwrap();
            number += 1;
            let reader = attentive.until(awake.counted(&publisher).0).await;
            attentive = Reader::going_on(&awake.socket, reader);
        }
        let reader = Reader::going_on(&sleeper.socket, slept);
        slept = reader.until(sleeper.counted(&publisher).0).await;
    }
    let (copies, full) = sleeper.counted(&publisher);
    assert_eq!(copies + full, number);
    assert_eq!(slept.count(), copies);
    let (others, missed) = awake.counted(&publisher);
    assert_eq!((others, missed), (below(number)[2], 0), "it was awake");
    assert_eq!(attentive.until(others).await.count(), others);
    tell("PUB → SUB that sleeps", over, number, copies, full);
}

async fn pub_that_waits_delivers_everything(over: Carrier) {
    let n = times(over.fewer(8_000));
    let waits = PubSocket::builder().send_hwm(10).on_full(OnFull::Wait);
    let publisher = over.bound(waits);
    let at = publisher.bind(over.transport().any()).await.unwrap();
    let mut subscribers = Vec::new();
    for topic in [None, Some(0), Some(1)] {
        let socket = over.connected(SubSocket::builder().recv_hwm(10));
        let subscriber = Subscriber::new(&publisher, socket, topic, &at).await;
        subscribers.push((Reader::new(&subscriber.socket), subscriber));
    }
    send(&publisher, 0, 0..n).await;
    let mut delivered = 0;
    for (reader, subscriber) in subscribers {
        let wanted = subscriber.wanted(&below(n));
        assert_eq!(subscriber.counted(&publisher), (wanted, 0));
        let book = reader.until(wanted).await;
        assert_eq!(subscriber.wanted(&book.topics), wanted);
        delivered += book.count();
    }
    assert_eq!(publisher.stats().dropped.total(), 0);
    tell("PUB that waits → SUB", over, delivered, delivered, 0);
}

async fn xpub_and_xsub_deliver_or_count_each_copy(over: Carrier) {
    let n = times(over.fewer(6_000));
    let publisher = over.bound(XPubSocket::builder().send_hwm(50));
    let at = publisher.bind(over.transport().any()).await.unwrap();
    let mut subscribers = Vec::new();
    for topic in [Some(0), None] {
        let socket = over.connected(XSubSocket::builder().send_hwm(50));
        let subscriber = Subscriber::new(&publisher, socket, topic, &at).await;
        subscribers.push((Reader::new(&subscriber.socket), subscriber));
    }
    // The first two are the subscriptions themselves.
    for _ in 0..2 {
        assert_eq!(within(publisher.recv()).await.unwrap().first()[0], 1);
    }
    let upward = Reader::new(&publisher);
    let upstream = async {
        for number in 0..n {
            for (sender, (_, subscriber)) in subscribers.iter().enumerate() {
                let note = Note::small(sender as u32, number);
                subscriber.socket.send(note.message()).await.unwrap();
            }
        }
    };
    tokio::join!(send(&publisher, 0, 0..n), upstream);
    let (mut sent, mut delivered, mut missed, mut up) = (2 * n, 0, 0, 0);
    let mut stay = Vec::new();
    for (reader, subscriber) in subscribers {
        let (copies, full) = subscriber.counted(&publisher);
        assert_eq!(copies + full, subscriber.wanted(&below(n)));
        let book = reader.until(copies).await;
        let stats = drained(&subscriber.socket).await;
        assert_eq!(stats.messages_sent + stats.dropped.full, n);
        up += handed_over(&stats);
        sent += copies + full;
        delivered += book.count();
        missed += full + stats.dropped.full;
        // Whoever leaves cancels its subscriptions, which the publisher would receive.
        stay.push(subscriber);
    }
    let arrived = || publisher.stats().messages_received == up + 2;
    eventually(|| arrived() && publisher.stats().queued_in == 0).await;
    let book = upward.stop().await;
    // It reads subscriptions whatever waits, and so messages that it has no room for.
    let unread = publisher.stats().dropped.unread;
    assert_eq!(book.count() + unread, up);
    delivered += book.count();
    missed += unread;
    tell("XPUB ⇄ XSUB", over, sent, delivered, missed);
}

/// Answers requests with what was asked, until the socket is closed.
async fn answer(rep: Arc<RepSocket>) -> Book {
    let mut book = Book::default();
    while let Ok(request) = rep.accept().await {
        book.take(&request);
        let reply = request.message().clone();
        request.reply(reply).await.unwrap();
    }
    book
}

/// The side of REQ, which is not shared.
fn req(over: Carrier, builder: jackstay::Builder<jackstay::pattern::Req>) -> ReqSocket {
    Arc::into_inner(over.connected(builder)).expect("nobody else has it")
}

async fn each_request_has_its_reply(over: Carrier) {
    let each = times(over.fewer(400));
    let rep = over.bound(RepSocket::builder());
    let at = rep.bind(over.transport().any()).await.unwrap();
    let answers = tokio::spawn(answer(rep.clone()));
    let mut asking = JoinSet::new();
    for sender in 0..3 {
        let mut req = req(over, ReqSocket::builder().correlate(sender == 0));
        req.connect(&at).unwrap();
        asking.spawn(async move {
            for number in 0..each {
                let note = Note::small(sender, number);
                let reply = within(req.request(note.message())).await.unwrap();
                assert_eq!(Note::of(&reply), note);
            }
            let stats = drained(&req).await;
            assert_eq!((handed_over(&stats), read(&stats)), (each, each));
            assert_eq!(stats.dropped.total(), 0);
        });
    }
    asking.join_all().await;
    let stats = drained(&rep).await;
    assert_eq!((handed_over(&stats), read(&stats)), (3 * each, 3 * each));
    assert_eq!(stats.dropped.total(), 0);
    rep.close().await.unwrap();
    assert_eq!(answers.await.unwrap().count(), 3 * each);
    tell("REQ ⇄ REP", over, 6 * each, 6 * each, 0);
}

/// Polls `future` so many times.
async fn patiently<T>(turns: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..turns {
        if let Poll::Ready(value) = poll_once(&mut future.as_mut()).await {
            return Some(value);
        }
        yield_now().await;
    }
    None
}

/// Asks `n` times, and gives each third request up at some point. Returns how many replies came.
async fn ask_impatiently(req: &mut ReqSocket, n: u64) -> u64 {
    let mut replies = 0;
    for number in 0..n {
        let note = Note::small(0, number);
        let request = req.request(note.message());
        let reply = match number % 3 {
            0 => patiently(number % 16, request).await,
            _ => Some(within(request).await),
        };
        if let Some(reply) = reply {
            assert_eq!(Note::of(&reply.unwrap()), note);
            replies += 1;
        }
    }
    replies
}

/// With numbers, the connection stays, and all is accounted for to the message.
async fn requests_that_are_abandoned_are_accounted_for(over: Carrier) {
    let n = times(over.fewer(400));
    let rep = over.bound(RepSocket::builder());
    let at = rep.bind(over.transport().any()).await.unwrap();
    let answers = tokio::spawn(answer(rep.clone()));
    let mut req = req(over, ReqSocket::builder().correlate(true));
    req.connect(&at).unwrap();
    within(req.wait_for_peers(1)).await.unwrap();
    let replies = ask_impatiently(&mut req, n).await;
    eventually(|| req.stats().queued_out == 0 && read(&rep.stats()) == handed_over(&req.stats()))
        .await;
    let asked = req.stats();
    assert_eq!(
        asked.dropped.total(),
        asked.dropped.withdrawn + asked.dropped.unexpected
    );
    eventually(|| handed_over(&rep.stats()) == handed_over(&asked)).await;
    // One more request meets all late replies of those before.
    let last = Note::small(0, n);
    let reply = within(req.request(last.message())).await.unwrap();
    assert_eq!(Note::of(&reply), last);
    let (asked, answered) = (drained(&req).await, drained(&rep).await);
    assert_eq!(
        asked.messages_sent,
        handed_over(&asked) + asked.dropped.withdrawn
    );
    assert_eq!(answered.messages_received, handed_over(&asked));
    assert_eq!(answered.messages_sent, answered.messages_received);
    assert_eq!(asked.messages_received, handed_over(&answered));
    assert_eq!(read(&asked), replies + 1, "{asked:?}");
    rep.close().await.unwrap();
    assert_eq!(answers.await.unwrap().count(), handed_over(&asked));
    let lost = asked.dropped.withdrawn + asked.dropped.unexpected;
    let sent = asked.messages_sent + answered.messages_sent;
    tell("REQ that gives up ⇄ REP", over, sent, sent - lost, lost);
}

/// Without, the connection is made anew, and what is on its way through the old one is lost with it.
async fn requests_that_cost_their_connection_are_accounted_for(over: Carrier) {
    let n = times(over.fewer(120));
    let rep = over.bound(RepSocket::builder());
    let at = rep.bind(over.transport().any()).await.unwrap();
    let answering = rep.clone();
    // A REP takes old and new connections for two peers: there is no order between them.
    let answers = tokio::spawn(async move {
        let mut asked = HashSet::new();
        while let Ok(request) = answering.accept().await {
            let note = Note::of(&request);
            assert!(asked.insert(note.number), "{note:?} came twice");
            request.reply(note.message()).await.unwrap();
        }
        asked.len() as u64
    });
    let mut req = req(over, ReqSocket::builder());
    req.connect(&at).unwrap();
    let replies = ask_impatiently(&mut req, n).await;
    rep.close().await.unwrap();
    let accepted = answers.await.unwrap();
    let (asked, answered) = (drained(&req).await, drained(&rep).await);
    assert_eq!((read(&asked), read(&answered)), (replies, accepted));
    let (out, back) = (handed_over(&asked), handed_over(&answered));
    assert!(replies <= back && answered.messages_received <= out);
    let missed = answered.dropped.unroutable + answered.dropped.full;
    assert_eq!(answered.messages_sent + missed, accepted);
    let exact = asked.messages_received == back && answered.messages_received == out;
    assert!(over.is_wire() || exact, "{asked:?}, {answered:?}");
    let (sent, delivered) = (asked.messages_sent + accepted, replies + accepted);
    tell(
        "REQ that leaves ⇄ REP",
        over,
        sent,
        delivered,
        sent - delivered,
    );
}

fn named(name: u32) -> Identity {
    Identity::new(format!("dealer {name}")).expect("it is short")
}

async fn router_delivers_or_counts_each_reply(over: Carrier) {
    let each = times(over.fewer(4_000));
    let router = over.bound(RouterSocket::builder().send_hwm(20));
    let at = router.bind(over.transport().any()).await.unwrap();
    let mut dealers = Vec::new();
    for dealer in 0..4 {
        let builder = DealerSocket::builder().recv_hwm(20).identity(named(dealer));
        let socket = over.connected(builder.unwrap());
        let peer = acquaint(&router, &socket, &at).await;
        dealers.push((socket, peer));
    }
    // The last one sends as the others do, and does not read.
    let mut readers: Vec<_> = dealers[..3]
        .iter()
        .map(|(dealer, _)| Reader::new(dealer))
        .collect();
    let mut senders = JoinSet::new();
    for (sender, (dealer, _)) in dealers.iter().enumerate() {
        let dealer = dealer.clone();
        senders.spawn(async move { send(&dealer, sender as u32, 0..each).await });
    }
    let (mut book, mut calls, mut nobody) = (Book::default(), 0, 0);
    for _ in 0..4 * each {
        let (from, message) = within(router.recv_from()).await.unwrap();
        let note = book.take(&message);
        assert_eq!(from, named(note.sender));
        let reply = match note.number % 64 {
            0 => Note::large(note.sender, note.number),
            _ => note,
        };
        router.send_to(&from, reply.message()).await.unwrap();
        calls += 1;
        if note.number % 10 == 0 {
            router.send_to(&named(4), message).await.unwrap();
            nobody += 1;
        }
    }
    senders.join_all().await;
    let (reading, peer) = dealers.pop().expect("the last one");
    readers.push(Reader::new(&reading));
    dealers.push((reading, peer));
    let (mut delivered, mut full) = (0, 0);
    for (reader, (dealer, peer)) in readers.into_iter().zip(dealers) {
        let counted = router.peer_stats(peer).expect("it is there");
        assert_eq!(counted.messages_sent + counted.dropped.full, each);
        let book = reader.until(counted.messages_sent).await;
        let stats = drained(&dealer).await;
        assert_eq!((handed_over(&stats), stats.dropped.total()), (each, 0));
        delivered += book.count();
        full += counted.dropped.full;
    }
    let stats = drained(&router).await;
    assert_eq!(
        (stats.dropped.full, stats.dropped.unroutable),
        (full, nobody)
    );
    assert_eq!(stats.messages_sent + stats.dropped.full, calls);
    assert_eq!((handed_over(&stats), read(&stats)), (delivered, 4 * each));
    let sent = 4 * each + calls + nobody;
    tell(
        "DEALER ⇄ ROUTER",
        over,
        sent,
        4 * each + delivered,
        full + nobody,
    );
}

async fn pair_delivers_everything_both_ways(over: Carrier) {
    let n = times(over.fewer(12_000));
    let (one, other) = (
        over.bound(PairSocket::builder()),
        over.connected(PairSocket::builder()),
    );
    let at = one.bind(over.transport().any()).await.unwrap();
    acquaint(&one, &other, &at).await;
    let (here, there) = (Reader::new(&one), Reader::new(&other));
    tokio::join!(send(&one, 0, 0..n), send(&other, 1, 0..n));
    assert_eq!(
        (here.until(n).await.count(), there.until(n).await.count()),
        (n, n)
    );
    for socket in [one, other] {
        let stats = drained(&socket).await;
        assert_eq!((handed_over(&stats), read(&stats)), (n, n));
        assert_eq!(stats.dropped.total(), 0);
    }
    tell("PAIR ⇄ PAIR", over, 2 * n, 2 * n, 0);
}

async fn conflate_counts_what_is_replaced(over: Carrier) {
    let n = times(over.fewer(12_000));
    let push = over.connected(PushSocket::builder().conflate(true));
    let pull = over.bound(PullSocket::builder().conflate(true));
    let at = pull.bind(over.transport().any()).await.unwrap();
    acquaint(&pull, &push, &at).await;
    let mut book = Book::default();
    let reading = async {
        while book.last(0) != Some(n - 1) {
            book.take(&within(pull.recv()).await.unwrap());
        }
    };
    tokio::join!(send(&push, 0, 0..n), reading);
    let (out, into) = (drained(&push).await, pull.stats());
    assert_eq!(out.messages_sent, n);
    assert_eq!(handed_over(&out), into.messages_received);
    assert_eq!(
        into.messages_received,
        book.count() + into.dropped.conflated
    );
    let mut more = std::pin::pin!(pull.recv());
    assert!(poll_once(&mut more.as_mut()).await.is_pending());
    let replaced = out.dropped.conflated + into.dropped.conflated;
    tell("PUSH → PULL, conflating", over, n, book.count(), replaced);
}
