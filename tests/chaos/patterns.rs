//! Each pattern out in a storm, with the ledger of what was sent and what arrived.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackstay::{
    DealerSocket, Drops, DuplicateIdentity, EventKind, Heartbeat, Message, OnPeerLoss, PubSocket,
    PullSocket, PushSocket, Reconnect, RepSocket, ReqSocket, RouterSocket, Stats, SubSocket,
};
use tokio::time::timeout;

use crate::ledger::{Account, message, number};
use crate::storm::{Reach, Weather, connections, pace, tell};
use crate::support::relay::{Fault, FaultKind, Relay, Way};
use crate::support::seed::Chance;
use crate::support::times::times;
use crate::support::{event, eventually, within};

/// The longest wait for what a sound connection carries, before it is tried again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Messages a step.
const BURST: u64 = 8;
/// The mark of a queue that is filled.
const QUEUE: usize = 50;
/// Faults of a test in its short form.
const FAULTS: u64 = 12;
/// For octets of messages one way and hardly any the other.
const ONE_WAY: Reach = Reach {
    up: 6_000,
    down: 90,
    spares_libzmq: false,
};
const BOTH_WAYS: Reach = Reach {
    down: ONE_WAY.up,
    ..ONE_WAY
};

/// Sends on through the storm, then until what is sent arrives, and stops when all has. Returns how many were sent.
pub async fn send_through(
    relay: &Relay,
    account: &Mutex<Account>,
    mut send: impl AsyncFnMut(u64),
) -> u64 {
    let last = || account.lock().unwrap().last;
    let mut pace = pace();
    let mut sent = 0;
    let mut calm = None;
    while calm.is_none_or(|calm| last() < Some(calm)) {
        pace.tick().await;
        for _ in 0..BURST {
            within(send(sent)).await;
            sent += 1;
        }
        if relay.is_calm() {
            calm.get_or_insert(sent);
        }
    }
    until_last_arrives(account, &mut sent, send).await;
    sent
}

/// Waits until what was sent last has arrived. A connection that was about to break may yet take it along, or one whose
/// heartbeat came too late on a busy machine: then another is sent.
pub async fn until_last_arrives(
    account: &Mutex<Account>,
    sent: &mut u64,
    mut send: impl AsyncFnMut(u64),
) {
    let all = |sent| account.lock().unwrap().last == Some(sent - 1);
    while timeout(PATIENCE, eventually(|| all(*sent))).await.is_err() {
        within(send(*sent)).await;
        *sent += 1;
    }
}

/// What `recv` brings goes to the account for as long as `until` lasts.
pub async fn receive_while<T>(
    account: &Mutex<Account>,
    recv: impl AsyncFn() -> Message,
    until: impl Future<Output = T>,
) -> T {
    let receive = async {
        loop {
            let message = recv().await;
            account.lock().unwrap().enter(&message);
        }
    };
    tokio::select! {
        value = until => value,
        () = receive => unreachable!("it has no end"),
    }
}

/// Nothing that was sent is anywhere but with the receiver, in the network's hands when that failed, or counted as
/// dropped because its one peer was gone.
fn balance(sent: u64, sender: Stats, received: u64, receiver: Stats) {
    assert_eq!(sender.messages_sent, sent);
    assert_eq!(sender.queued_out, 0);
    assert_eq!(sender.dropped.total(), sender.dropped.peer_gone);
    assert_eq!(receiver.messages_received, received);
    assert_eq!(receiver.queued_in, 0);
    assert_eq!(receiver.dropped.total(), 0);
    assert!(received + sender.dropped.peer_gone <= sent);
}

async fn a4_push_connects(weather: Weather) {
    let name = "PUSH connects to PULL";
    let pull = weather.server(PullSocket::builder().recv_hwm(50)).build();
    let at = pull.bind(weather.over.fixed()).await.unwrap();
    let relay = weather.storm(name, &at, FAULTS, ONE_WAY).await;
    let established = connections(&pull);
    let push = weather.client(PushSocket::builder().send_hwm(50)).build();
    push.connect(&relay.at).unwrap();

    let account = Mutex::default();
    let sending = send_through(&relay, &account, async |n| {
        push.send(message(n)).await.unwrap()
    });
    let recv = async || pull.recv().await.unwrap();
    let sent = receive_while(&account, recv, sending).await;

    let account = account.into_inner().unwrap();
    tell(name, &relay, &(sent, &account));
    balance(sent, push.stats(), account.received, pull.stats());
    // A4: the queue of the connecting side outlives its connections.
    assert_eq!(push.stats().dropped.total(), 0);
    // Whatever is missing was on its way when a connection broke.
    eventually(|| account.runs <= established.load(Ordering::Relaxed)).await;
}

async fn a4_a_queue_outlives_its_connection(weather: Weather) {
    let mut chance = Chance::of("a queue outlives its connection");
    for _ in 0..times(2) {
        let stall = Fault {
            way: Way::Up,
            after: chance.within(1_000..50_000),
            kind: FaultKind::Stall,
        };
        a_queue_outlives(weather, stall).await;
    }
}

/// What is queued behind a connection that takes nothing more, with a message of which a part is written, is what follows
/// on the next one.
async fn a_queue_outlives(weather: Weather, stall: Fault) {
    let pull = weather.server(PullSocket::builder()).build();
    let at = pull.bind(weather.over.fixed()).await.unwrap();
    let relay = Relay::with_faults(&at, weather.over, [stall]).await;
    // There is time to fill the queue before a heartbeat is missed, and to look at it before the next connection.
    let calm = Duration::from_millis(500);
    let push = weather.client(PushSocket::builder().send_hwm(QUEUE));
    let push = push
        .heartbeat(Heartbeat::every(calm).unwrap())
        .reconnect(Reconnect::default().first(calm).max(calm).jitter(false))
        .build();
    let mut events = push.monitor();
    push.connect(&relay.at).unwrap();

    let account = Mutex::<Account>::default();
    let filling = async {
        within(push.wait_for_peers(1)).await.unwrap();
        let mut sent = 0;
        let mut pace = pace();
        // The system's own buffers may grow while they fill.
        while !push.peers().is_empty() {
            while push.try_send(message(sent)).is_ok() {
                sent += 1;
            }
            pace.tick().await;
        }
        event(&mut events, |kind| {
            matches!(kind, EventKind::Disconnected(_))
        })
        .await;
        while push.try_send(message(sent)).is_ok() {
            sent += 1;
        }
        let queued = u64::try_from(push.stats().queued_out).unwrap();
        assert!(queued >= u64::try_from(QUEUE).unwrap());
        let kept = sent - queued..sent;
        eventually(|| account.lock().unwrap().has_all(kept.clone())).await;
    };
    let recv = async || pull.recv().await.unwrap();
    receive_while(&account, recv, filling).await;
    assert_eq!(push.stats().dropped.total(), 0);
}

async fn a5_pull_connects(weather: Weather) {
    let name = "PULL connects to PUSH";
    let push = weather.server(PushSocket::builder().send_hwm(50)).build();
    let at = push.bind(weather.over.fixed()).await.unwrap();
    let reach = Reach {
        up: ONE_WAY.down,
        ..BOTH_WAYS
    };
    let relay = weather.storm(name, &at, FAULTS, reach).await;
    let pull = weather.client(PullSocket::builder().recv_hwm(50)).build();
    pull.connect(&relay.at).unwrap();

    let account = Mutex::default();
    let sending = send_through(&relay, &account, async |n| {
        push.send(message(n)).await.unwrap()
    });
    let recv = async || pull.recv().await.unwrap();
    let sent = receive_while(&account, recv, sending).await;

    let account = account.into_inner().unwrap();
    tell(
        name,
        &relay,
        &(sent, push.stats().dropped.peer_gone, &account),
    );
    balance(sent, push.stats(), account.received, pull.stats());
    // Its queue outlives its connections, too; but PUSH deals also to a connection of which nobody knows yet that it is dead.
    assert_eq!(account.back, 0);
}

async fn s9_sub_connects(weather: Weather) {
    let name = "SUB connects to PUB";
    let publisher = weather.server(PubSocket::builder()).build();
    let at = publisher.bind(weather.over.fixed()).await.unwrap();
    let reach = Reach {
        up: 120,
        ..BOTH_WAYS
    };
    let relay = weather.storm(name, &at, FAULTS, reach).await;
    let sub = weather.client(SubSocket::builder()).build();
    sub.subscribe("wanted").unwrap();
    sub.connect(&relay.at).unwrap();
    // Of these, every other one is subscribed to in the end, whatever happened meanwhile.
    let topics: Vec<_> = (0..20).map(|n| format!("<{n}>")).collect();

    let account = Mutex::default();
    let publish = async |n: u64| {
        for topic in ["unwanted", "wanted"] {
            let mut message = message(n);
            message.push_front(topic);
            publisher.send(message).await.unwrap();
        }
        let topic = &topics[usize::try_from(n).unwrap() % topics.len()];
        if n % 40 < 20 {
            sub.subscribe(topic).unwrap();
        } else {
            sub.unsubscribe(topic).unwrap();
        }
    };
    let recv = async || {
        let mut message = sub.recv().await.unwrap();
        assert_eq!(message.pop_front().unwrap(), "wanted");
        message
    };
    let sending = send_through(&relay, &account, publish);
    let sent = receive_while(&account, recv, sending).await;

    let account = account.into_inner().unwrap();
    tell(name, &relay, &(sent, &account));
    assert_eq!(account.back, 0);
    let (published, subscribed) = (publisher.stats(), sub.stats());
    assert_eq!(subscribed.messages_received, account.received);
    assert_eq!(subscribed.dropped.total(), 0);
    let dropped = published.dropped.peer_gone + published.dropped.full;
    assert_eq!(published.dropped.total(), dropped);
    assert!(account.received + published.dropped.peer_gone <= published.messages_sent);

    // S3, S9: the publisher knows what is subscribed to now, and nothing else.
    for (n, topic) in (0..).zip(&topics) {
        let now = n < sent % 40 && (sent % 40 <= 20 || n >= sent % 40 - 20);
        let wanted = n % 2 == 0;
        match (now, wanted) {
            (false, true) => sub.subscribe(topic).unwrap(),
            (true, false) => sub.unsubscribe(topic).unwrap(),
            _ => {}
        }
    }
    sub.subscribe("end").unwrap();
    let expected: Vec<_> = topics.iter().step_by(2).cloned().collect();
    let mut seen = Vec::new();
    while seen != expected {
        seen.clear();
        // The subscriptions are on their way: once they are there, all of the topics come, and no other.
        for topic in &topics {
            publisher.send(topic.clone()).await.unwrap();
        }
        publisher.send("end").await.unwrap();
        while let Ok(message) = timeout(PATIENCE, sub.recv()).await {
            match std::str::from_utf8(message.unwrap().first()).unwrap() {
                "end" => break,
                topic => seen.push(topic.to_owned()),
            }
        }
        assert!(
            seen.iter().all(|topic| expected.contains(topic)),
            "{seen:?}"
        );
    }
}

async fn dealer_and_router(weather: Weather) {
    let name = "DEALER connects to ROUTER";
    let router = weather.server(RouterSocket::builder());
    let router = router
        .duplicate_identity(DuplicateIdentity::HandOver)
        .build();
    let at = router.bind(weather.over.fixed()).await.unwrap();
    let relay = weather.storm(name, &at, FAULTS, BOTH_WAYS).await;
    let dealer = weather.client(DealerSocket::builder().send_hwm(50));
    let dealer = dealer
        .identity("the same".try_into().unwrap())
        .unwrap()
        .build();
    let established = connections(&dealer);
    dealer.connect(&relay.at).unwrap();

    let (asked, answered) = (Mutex::default(), Mutex::default());
    let sending = send_through(&relay, &answered, async |n| {
        dealer.send(message(n)).await.unwrap();
    });
    let echo = async || {
        let (peer, message) = router.recv_from().await.unwrap();
        router.send_to(&peer, message.clone()).await.unwrap();
        message
    };
    let recv = async || dealer.recv().await.unwrap();
    let both = receive_while(&answered, recv, sending);
    let sent = receive_while(&asked, echo, both).await;

    let (asked, answered) = (asked.into_inner().unwrap(), answered.into_inner().unwrap());
    tell(name, &relay, &(sent, &asked, &answered));
    let mut there = router.stats();
    there.dropped = Drops::default();
    balance(sent, dealer.stats(), asked.received, there);
    let back = router.stats();
    let never_taken = back.dropped.unroutable + back.dropped.full;
    assert_eq!(back.messages_sent + never_taken, asked.received);
    assert_eq!(back.dropped.total(), never_taken + back.dropped.peer_gone);
    assert!(answered.received + back.dropped.peer_gone <= back.messages_sent);
    assert_eq!(dealer.stats().messages_received, answered.received);
    eventually(|| asked.runs <= established.load(Ordering::Relaxed)).await;
}

async fn r5_req_and_rep(weather: Weather) {
    let name = "REQ connects to REP";
    let rep = weather.server(RepSocket::builder()).build();
    let at = rep.bind(weather.over.fixed()).await.unwrap();
    let relay = weather.storm(name, &at, FAULTS, BOTH_WAYS).await;
    let established = connections(&rep);
    let req = weather.client(ReqSocket::builder());
    let mut req = req.on_peer_loss(OnPeerLoss::Resend).build();
    req.connect(&relay.at).unwrap();

    let carried_out = Mutex::new(0);
    let answer = async {
        loop {
            let request = rep.accept().await.unwrap();
            assert!(number(request.message()).is_some());
            let reply = request.message().clone();
            *carried_out.lock().unwrap() += 1;
            request.reply(reply).await.unwrap();
        }
    };
    let ask = async {
        let mut n = 0;
        while !relay.is_calm() {
            let reply = within(req.request(message(n))).await.unwrap();
            assert_eq!(reply, message(n));
            n += 1;
        }
        n
    };
    let asked = tokio::select! {
        n = ask => n,
        () = answer => unreachable!("it has no end"),
    };

    let carried_out: u64 = *carried_out.lock().unwrap();
    tell(name, &relay, &(asked, carried_out));
    // Each got its own reply, and was carried out again at most once for each connection that was lost meanwhile.
    let again = carried_out - asked;
    eventually(|| again <= established.load(Ordering::Relaxed)).await;
}

/// A test for each weather.
macro_rules! in_each_weather {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::storm::Weather;
            use crate::support::{Transport, whole};

            async fn out(over: Transport, curve: bool) {
                whole(super::$test(Weather { over, curve })).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn tcp() {
                out(Transport::Tcp, false).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn ipc() {
                out(Transport::Ipc, false).await;
            }

            #[cfg(feature = "curve")]
            #[tokio::test]
            async fn tcp_under_curve() {
                out(Transport::Tcp, true).await;
            }
        }
    )+};
}
pub(crate) use in_each_weather;

in_each_weather! {
    a4_push_connects,
    a4_a_queue_outlives_its_connection,
    a5_pull_connects,
    s9_sub_connects,
    dealer_and_router,
    r5_req_and_rep,
}
