//! What is the same for all sockets: endpoints come and go, events tell of it, and nothing outlives its socket.

use std::hint::spin_loop;
use std::path::Path;
use std::time::{Duration, Instant};

use jackstay::pattern::{CanReceive, CanSend, Pattern};
use jackstay::zmtp::{HandshakeError, Metadata, Version};
use jackstay::{
    BindError, ClosedError, ConnectError, DealerSocket, DisconnectError, Endpoint, EventKind,
    Identity, Monitor, PairSocket, PeerAddress, PubSocket, PullSocket, PushSocket, Reconnect,
    RepSocket, ReqSocket, RouterSocket, Socket, SocketType, StopReconnect, SubSocket, XPubSocket,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{
    Transport, event, eventually, for_each_transport, for_each_wire, join, join_at, number_of,
    numbered, peers, whole, within,
};

for_each_transport! {
    a1_a_socket_binds_and_connects_many_endpoints,
    a12_unbind_stops_accepting_and_peers_stay,
    a12_what_was_not_bound_or_connected_cannot_be_taken_away,
    a12_an_endpoint_can_be_bound_again,
    a12_an_endpoint_is_bound_once,
    a18_events_tell_the_life_of_a_connection,
    n5_types_that_do_not_match_are_told_and_nobody_else_notices,
    peers_are_known_by_what_they_announce,
    close_may_be_called_twice,
    nobody_waits_for_peers_of_a_closed_socket,
    a_socket_is_dropped_without_blocking_and_its_messages_still_leave,
    a_socket_that_is_gone_leaves_nothing_behind,
}

for_each_wire! {
    a2_a_lost_connection_is_made_again_with_growing_delays,
    a2_connecting_stops_when_nobody_listens_if_that_is_wished,
    a2_connecting_stops_after_a_loss_if_that_is_wished,
    a2_an_endpoint_that_was_given_up_can_be_connected_again,
}

async fn a1_a_socket_binds_and_connects_many_endpoints(over: Transport) {
    let pull = PullSocket::new();
    let mut pushes = Vec::new();
    // Whatever transport the test is for, mixed with the others.
    for transport in [over, Transport::Tcp, Transport::Ipc, Transport::Inproc] {
        let (bound, connecting) = (PushSocket::new(), PushSocket::new());
        join(&bound, &pull, transport).await;
        join(&pull, &connecting, transport).await;
        pushes.extend([bound, connecting]);
    }
    assert_eq!(pull.endpoints().len(), 8);
    for (n, push) in pushes.iter().enumerate() {
        push.send(numbered(n)).await.unwrap();
        assert_eq!(number_of(&within(pull.recv()).await.unwrap()), n);
    }
}

async fn a12_unbind_stops_accepting_and_peers_stay(over: Transport) {
    let (pull, push) = (PullSocket::new(), PushSocket::new());
    let at = over.fixed();
    pull.bind(&at).await.unwrap();
    join_at(&pull, &push, &at).await;
    pull.unbind(&at).await.unwrap();
    assert_eq!(pull.endpoints(), Vec::<Endpoint>::new());
    push.send("still here").await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "still here");
    // Somebody else may have the place now.
    let other = PullSocket::new();
    other.bind(&at).await.unwrap();
    let newcomer = PushSocket::new();
    newcomer.connect(&at).unwrap();
    newcomer.send("for the other").await.unwrap();
    assert_eq!(within(other.recv()).await.unwrap(), "for the other");
    assert_eq!((pull.peers().len(), other.peers().len()), (1, 1));
}

async fn a12_what_was_not_bound_or_connected_cannot_be_taken_away(over: Transport) {
    let (pull, push) = (PullSocket::new(), PushSocket::new());
    let at = join(&pull, &push, over).await;
    assert!(matches!(push.unbind(&at).await, Err(DisconnectError::Unknown(it)) if it == at));
    assert!(matches!(pull.disconnect(&at).await, Err(DisconnectError::Unknown(it)) if it == at));
    push.disconnect(&at).await.unwrap();
    assert!(matches!(
        push.disconnect(&at).await,
        Err(DisconnectError::Unknown(_))
    ));
    assert!(matches!(
        push.disconnect("nonsense").await,
        Err(DisconnectError::Endpoint(_))
    ));
}

// A14: for inproc this is the name that is free again.
async fn a12_an_endpoint_can_be_bound_again(over: Transport) {
    let at = over.fixed();
    let push = PushSocket::new();
    push.connect(&at).unwrap();
    for n in 0..3 {
        let pull = PullSocket::new();
        pull.bind(&at).await.unwrap();
        within(push.wait_for_peers(1)).await.unwrap();
        within(push.send(numbered(n))).await.unwrap();
        assert_eq!(number_of(&within(pull.recv()).await.unwrap()), n);
        pull.unbind(&at).await.unwrap();
        pull.close().await.unwrap();
        peers(&push, 0).await;
    }
}

async fn a12_an_endpoint_is_bound_once(over: Transport) {
    let (one, other) = (PullSocket::new(), PullSocket::new());
    let mut events = other.monitor();
    let at = one.bind(over.any()).await.unwrap();
    let error = other.bind(&at).await.unwrap_err();
    assert!(
        matches!(&error, BindError::Io { endpoint, .. } if *endpoint == at),
        "{error}"
    );
    let told = event(&mut events, |kind| matches!(kind, EventKind::BindFailed(_))).await;
    assert_eq!(told.endpoint.as_ref(), Some(&at));
    // The failure has not disturbed the one that is there.
    let push = PushSocket::new();
    join_at(&one, &push, &at).await;
}

/// The kinds of the next events, in words, until one is wanted.
async fn kinds(monitor: &mut Monitor, last: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    loop {
        let event = within(monitor.recv()).await.expect("the socket lives");
        let kind = format!("{:?}", event.kind);
        let name = kind.split(['(', ' ']).next().unwrap_or_default().to_owned();
        kinds.push(name.clone());
        if name == last {
            return kinds;
        }
    }
}

async fn a18_events_tell_the_life_of_a_connection(over: Transport) {
    let (pull, push) = (PullSocket::new(), PushSocket::new());
    let (mut there, mut here) = (pull.monitor(), push.monitor());
    let at = over.fixed();
    push.connect(&at).unwrap();
    assert_eq!(kinds(&mut here, "ConnectDelayed").await, ["ConnectDelayed"]);
    pull.bind(&at).await.unwrap();
    assert_eq!(
        kinds(&mut there, "HandshakeSucceeded").await,
        ["Listening", "Accepted", "HandshakeSucceeded"]
    );
    let connected = kinds(&mut here, "HandshakeSucceeded").await;
    assert!(
        connected.ends_with(&["Connected".into(), "HandshakeSucceeded".into()]),
        "{connected:?}"
    );
    assert!(
        connected
            .iter()
            .filter(|kind| *kind == "ConnectFailed")
            .count()
            < 100
    );
    pull.unbind(&at).await.unwrap();
    assert_eq!(kinds(&mut there, "Closed").await, ["Closed"]);
    push.disconnect(&at).await.unwrap();
    assert_eq!(kinds(&mut here, "Disconnected").await, ["Disconnected"]);
    assert_eq!(kinds(&mut there, "Disconnected").await, ["Disconnected"]);
    drop(push);
    eventually(|| here.try_recv().is_none()).await;
    within(async { while here.recv().await.is_some() {} }).await;
}

async fn n5_types_that_do_not_match_are_told_and_nobody_else_notices(over: Transport) {
    let (pull, good, wrong) = (PullSocket::new(), PushSocket::new(), PubSocket::new());
    let (mut there, mut here) = (pull.monitor(), wrong.monitor());
    let at = join(&pull, &good, over).await;
    wrong.connect(&at).unwrap();
    let incompatible = |kind: &EventKind, mine, yours| {
        *kind_error(kind).unwrap_or(&HandshakeError::Closed)
            == HandshakeError::IncompatibleSocketType {
                ours: mine,
                theirs: yours,
            }
    };
    event(&mut there, |kind| {
        incompatible(kind, SocketType::Pull, SocketType::Pub)
    })
    .await;
    // It finds out itself, or is told.
    event(&mut here, |kind| kind_error(kind).is_some()).await;
    good.send("still").await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "still");
    assert_eq!(pull.peers().len(), 1);
    assert_eq!(wrong.peers().len(), 0);
}

fn kind_error(kind: &EventKind) -> Option<&HandshakeError> {
    match kind {
        EventKind::HandshakeFailed(error) => Some(error),
        _ => None,
    }
}

async fn peers_are_known_by_what_they_announce(over: Transport) {
    let mut properties = Metadata::new();
    properties.set("X-Role", "tester").unwrap();
    let identity = Identity::try_from("the dealer").unwrap();
    let dealer = DealerSocket::builder()
        .identity(identity.clone())
        .unwrap()
        .properties(properties)
        .build();
    let router = RouterSocket::new();
    let at = join(&router, &dealer, over).await;
    let [peer] = &router.peers()[..] else {
        panic!("one peer")
    };
    assert_eq!(peer.socket_type(), SocketType::Dealer);
    assert_eq!(peer.identity(), &identity);
    assert_eq!(peer.properties().get("x-role"), Some(&b"tester"[..]));
    assert_eq!(peer.version(), Version::V3_1);
    assert_eq!(peer.endpoint(), Some(&at));
    assert!(peer.is_accepted());
    let expected = match over {
        Transport::Tcp => {
            matches!(peer.address(), PeerAddress::Tcp(address) if address.ip().is_loopback())
        }
        Transport::Ipc => matches!(peer.address(), PeerAddress::Ipc { .. }),
        Transport::Inproc => matches!(peer.address(), PeerAddress::Inproc),
    };
    assert!(expected, "{:?}", peer.address());
    let [peer] = &dealer.peers()[..] else {
        panic!("one peer")
    };
    assert_eq!(
        (peer.socket_type(), peer.is_accepted()),
        (SocketType::Router, false)
    );
    // Counters of this peer alone.
    dealer.send("four").await.unwrap();
    within(router.recv_from()).await.unwrap();
    let stats = router.peer_stats(router.peers()[0].id()).unwrap();
    assert_eq!((stats.messages_received, stats.octets_received), (1, 4));
}

async fn nobody_waits_for_peers_of_a_closed_socket(over: Transport) {
    let publisher = PubSocket::new();
    publisher.bind(over.any()).await.unwrap();
    let wait = async {
        tokio::join!(
            publisher.wait_for_peers(1),
            publisher.wait_for_subscribers(1)
        )
    };
    let (waited, closed) = tokio::join!(within(wait), publisher.close());
    closed.unwrap();
    assert_eq!(waited, (Err(ClosedError), Err(ClosedError)));
    assert_eq!(within(publisher.wait_for_peers(0)).await, Err(ClosedError));
}

async fn close_may_be_called_twice(over: Transport) {
    let (pull, push) = (
        PullSocket::new(),
        PushSocket::builder()
            .linger(Duration::from_millis(50))
            .build(),
    );
    join(&pull, &push, over).await;
    pull.close().await.unwrap();
    pull.close().await.unwrap();
    peers(&push, 0).await;
    within(push.send("nobody gets it")).await.unwrap();
    // Both wait for the end, and both are told.
    let (one, other) = within(async { tokio::join!(push.close(), push.close()) }).await;
    assert_eq!(
        (one.unwrap_err().messages(), other.unwrap_err().messages()),
        (1, 1)
    );
    assert_eq!(push.close().await.unwrap_err().messages(), 1);
    assert_eq!(push.peers().len(), 0);
}

async fn a_socket_is_dropped_without_blocking_and_its_messages_still_leave(over: Transport) {
    let pull = PullSocket::new();
    let at = over.fixed();
    let push = PushSocket::new();
    push.connect(&at).unwrap();
    for n in 0..100 {
        push.send(numbered(n)).await.unwrap();
    }
    let begun = Instant::now();
    drop(push);
    assert!(begun.elapsed() < Duration::from_secs(1));
    pull.bind(&at).await.unwrap();
    for n in 0..100 {
        assert_eq!(number_of(&within(pull.recv()).await.unwrap()), n);
    }
    peers(&pull, 0).await;
}

async fn a_socket_that_is_gone_leaves_nothing_behind(over: Transport) {
    let at = over.fixed();
    for _ in 0..20 {
        let (pull, push) = (PullSocket::new(), PushSocket::new());
        let (mut there, mut here) = (pull.monitor(), push.monitor());
        pull.bind(&at).await.unwrap();
        join_at(&pull, &push, &at).await;
        push.send("unread").await.unwrap();
        push.close().await.unwrap();
        pull.close().await.unwrap();
        drop((pull, push));
        // The last of its tasks holds the reporter: the monitors end with it.
        within(async { while there.recv().await.is_some() {} }).await;
        within(async { while here.recv().await.is_some() {} }).await;
    }
    if let Some(path) = at.to_string().strip_prefix("ipc://") {
        assert!(!Path::new(path).exists(), "{path} is left");
    }
}

async fn a2_a_lost_connection_is_made_again_with_growing_delays(over: Transport) {
    let reconnect = Reconnect::default()
        .first(Duration::from_millis(4))
        .max(Duration::from_millis(16))
        .jitter(false);
    let push = PushSocket::builder().reconnect(reconnect).build();
    let mut events = push.monitor();
    let at = over.fixed();
    push.connect(&at).unwrap();
    let mut delays = Vec::new();
    while delays.len() < 5 {
        let retrying = event(&mut events, |kind| matches!(kind, EventKind::Retrying(_))).await;
        let EventKind::Retrying(delay) = retrying.kind else {
            unreachable!()
        };
        delays.push(delay.as_millis());
    }
    assert_eq!(delays, [4, 8, 16, 16, 16]);
    let pull = PullSocket::new();
    pull.bind(&at).await.unwrap();
    push.send("made it").await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "made it");
}

async fn a2_connecting_stops_when_nobody_listens_if_that_is_wished(over: Transport) {
    let reconnect = Reconnect::default().stop(StopReconnect::NobodyListens);
    let push = PushSocket::builder().reconnect(reconnect).build();
    let mut events = push.monitor();
    push.connect(over.fixed()).unwrap();
    // It may have given up already.
    let queued = push.try_send("never").is_ok();
    event(&mut events, |kind| matches!(kind, EventKind::GaveUp)).await;
    assert_eq!(push.stats().dropped.peer_gone, u64::from(queued));
    assert!(push.try_send("x").is_err());
}

async fn a2_connecting_stops_after_a_loss_if_that_is_wished(over: Transport) {
    let reconnect = Reconnect::default().stop(StopReconnect::AfterLoss);
    let push = PushSocket::builder().reconnect(reconnect).build();
    let mut events = push.monitor();
    let pull = PullSocket::new();
    join(&pull, &push, over).await;
    pull.close().await.unwrap();
    event(&mut events, |kind| matches!(kind, EventKind::GaveUp)).await;
    within(push.close()).await.ok();
}

async fn a2_an_endpoint_that_was_given_up_can_be_connected_again(over: Transport) {
    let reconnect = Reconnect::default().stop(StopReconnect::NobodyListens);
    // A DEALER connects once to an endpoint, and a PAIR once at all.
    let dealer = DealerSocket::builder().reconnect(reconnect.clone()).build();
    given_up_and_connected_again(&dealer, &DealerSocket::new(), over).await;
    let pair = PairSocket::builder().reconnect(reconnect).build();
    given_up_and_connected_again(&pair, &PairSocket::new(), over).await;
}

async fn given_up_and_connected_again<P>(socket: &Socket<P>, peer: &Socket<P>, over: Transport)
where
    P: Pattern + CanSend + CanReceive,
{
    let at = over.fixed();
    given_up(socket, &at, 20).await;
    peer.bind(&at).await.unwrap();
    join_at(peer, socket, &at).await;
    socket.send("here at last").await.unwrap();
    assert_eq!(within(peer.recv()).await.unwrap(), "here at last");
}

/// Connects as often, each time as soon as the last attempt is given up.
async fn given_up<P: Pattern>(socket: &Socket<P>, at: &Endpoint, times: usize) {
    let mut events = socket.monitor();
    for _ in 0..times {
        socket.connect(at).unwrap();
        event(&mut events, |kind| matches!(kind, EventKind::GaveUp)).await;
        assert_eq!(socket.endpoints(), Vec::<Endpoint>::new());
    }
}

// Without a wire, it is a socket of another type that makes a connector give up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a_name_that_was_given_up_can_be_connected_again() {
    whole(async {
        let at = Transport::Inproc.fixed();
        let (wrong, right, dealer) = (PullSocket::new(), DealerSocket::new(), DealerSocket::new());
        wrong.bind(&at).await.unwrap();
        given_up(&dealer, &at, 100).await;
        wrong.close().await.unwrap();
        right.bind(&at).await.unwrap();
        join_at(&right, &dealer, &at).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_whoever_leaves_in_the_moment_of_joining_leaves_nothing_behind() {
    whole(async {
        leave_while_joining(PullSocket::new, PushSocket::new).await;
        leave_while_joining(PairSocket::new, PairSocket::new).await;
        leave_while_joining(RouterSocket::new, DealerSocket::new).await;
        leave_while_joining(RepSocket::new, ReqSocket::new).await;
        leave_while_joining(XPubSocket::new, subscribed).await;
    })
    .await;
}

fn subscribed() -> SubSocket {
    let sub = SubSocket::new();
    sub.subscribe("t").unwrap();
    sub
}

/// Connectors leave while the socket that they wait for is bound, and then it leaves while others connect.
async fn leave_while_joining<A, B>(binding: fn() -> Socket<A>, connecting: fn() -> Socket<B>)
where
    A: Pattern,
    B: Pattern,
{
    let at = Transport::Inproc.fixed();
    for n in 0..50 {
        let bound = binding();
        let mut monitors = vec![bound.monitor()];
        let connected = |_| {
            let connector = connecting();
            connector.connect(&at).unwrap();
            connector
        };
        let mut leaving = JoinSet::new();
        for connector in (0..8).map(connected) {
            monitors.push(connector.monitor());
            let at = at.clone();
            leaving.spawn(async move {
                if n % 2 == 0 {
                    connector.disconnect(&at).await.unwrap();
                }
                connector.close().await.unwrap();
                peers(&connector, 0).await;
            });
        }
        // A little later each time.
        (0..n * 10).for_each(|_| spin_loop());
        bound.bind(&at).await.unwrap();
        within(leaving.join_all()).await;
        peers(&bound, 0).await;
        for connector in (0..4).map(connected) {
            monitors.push(connector.monitor());
        }
        within(bound.close()).await.unwrap();
        peers(&bound, 0).await;
        drop(bound);
        // The last task of a socket holds its reporter: the monitors end with it.
        for mut monitor in monitors {
            within(async { while monitor.recv().await.is_some() {} }).await;
        }
    }
}

// Nothing but the session writes to such a stream, and on one thread it writes when the publisher lets it.
#[tokio::test]
async fn a_publisher_in_a_tight_loop_on_one_thread_drops_nothing_for_a_subscriber_that_keeps_up() {
    const SENT: u64 = 5_000;
    let (publisher, sub) = (PubSocket::new(), SubSocket::new());
    let (near, far) = tokio::io::duplex(1 << 20);
    sub.subscribe("").unwrap();
    publisher.adopt(near).unwrap();
    sub.adopt(far).unwrap();
    within(publisher.wait_for_subscribers(1)).await.unwrap();
    let reader = tokio::spawn(async move {
        for n in 0..SENT {
            assert_eq!(sub.recv().await.unwrap(), n.to_string().as_str());
        }
    });
    for n in 0..SENT {
        publisher.send(n.to_string()).await.unwrap();
    }
    assert_eq!(publisher.stats().dropped.full, 0);
    within(reader).await.unwrap();
}

#[tokio::test]
async fn any_stream_is_adopted_on_either_side() {
    let (pull, push) = (PullSocket::new(), PushSocket::new());
    let (near, far) = tokio::io::duplex(100);
    pull.adopt(near).unwrap();
    push.adopt(far).unwrap();
    within(push.wait_for_peers(1)).await.unwrap();
    let sent = async {
        for n in 0..500 {
            push.send((vec![0; n], n.to_string())).await.unwrap();
        }
    };
    let received = async {
        for n in 0..500 {
            assert_eq!(number_of(&pull.recv().await.unwrap()), n);
        }
    };
    within(async { tokio::join!(sent, received) }).await;
    assert_eq!(push.peers()[0].endpoint(), None);
    push.close().await.unwrap();
    peers(&pull, 0).await;
}

#[tokio::test]
async fn a_listener_that_is_already_bound_is_adopted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pull = PullSocket::new();
    let at = pull.bind_listener(listener).unwrap();
    assert_eq!(at, Endpoint::from(address));
    let push = PushSocket::new();
    join_at(&pull, &push, &at).await;
    push.send("hello").await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "hello");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_is_refused_with_a_reason() {
    let push = PushSocket::new();
    for text in [
        "",
        "tcp://",
        "tcp://*:0",
        "nosuch://x",
        "tcp://127.0.0.1:0",
        "ipc://*",
    ] {
        assert!(
            matches!(push.connect(text), Err(ConnectError::Endpoint(_))),
            "{text}"
        );
    }
    for text in [
        "",
        "tcp://127.0.0.1",
        "inproc://",
        "tcp://192.0.2.1:0;127.0.0.1:1",
    ] {
        assert!(
            matches!(push.bind(text).await, Err(BindError::Endpoint(_))),
            "{text}"
        );
    }
    assert_eq!(push.endpoints(), Vec::<Endpoint>::new());
}

#[test]
fn outside_a_runtime_connect_says_so() {
    let push = PushSocket::new();
    assert!(matches!(
        push.connect("tcp://127.0.0.1:1"),
        Err(ConnectError::NoRuntime)
    ));
    assert!(matches!(
        push.connect("inproc://nowhere"),
        Err(ConnectError::NoRuntime)
    ));
    assert_eq!(push.endpoints(), Vec::<Endpoint>::new());
}

/// One of each type, with peers, a queue and a task that waits.
async fn busy_sockets(over: Transport) -> Vec<Box<dyn std::any::Any + Send>> {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    let (publisher, sub) = (PubSocket::new(), SubSocket::new());
    sub.subscribe("").unwrap();
    join(&publisher, &sub, over).await;
    let (rep, mut req) = (RepSocket::new(), ReqSocket::new());
    join(&rep, &req, over).await;
    let (one, other) = (PairSocket::new(), PairSocket::new());
    join(&one, &other, over).await;
    let lonely = XPubSocket::new();
    lonely.connect(over.fixed()).unwrap();
    push.send("unread").await.unwrap();
    one.send("unread").await.unwrap();
    publisher.send("perhaps").await.unwrap();
    tokio::spawn(async move { req.request("never answered").await });
    tokio::spawn(async move { other.recv().await });
    vec![
        Box::new((push, pull, publisher, sub)),
        Box::new((rep, one, lonely)),
    ]
}

#[test]
fn nothing_hangs_when_a_runtime_is_shut_down_with_sockets_in_use() {
    for over in [Transport::Tcp, Transport::Ipc, Transport::Inproc] {
        for dropped_first in [true, false] {
            let runtime = Runtime::new().unwrap();
            let sockets = runtime.block_on(busy_sockets(over));
            let begun = Instant::now();
            // A socket may outlive its runtime.
            if dropped_first {
                drop(sockets);
                drop(runtime);
            } else {
                drop(runtime);
                drop(sockets);
            }
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{over:?}: {:?}",
                begun.elapsed()
            );
        }
    }
}

#[test]
fn what_a_session_has_in_hand_when_its_runtime_ends_is_counted() {
    for over in [Transport::Tcp, Transport::Ipc] {
        let (stays, ends) = (Runtime::new().unwrap(), Runtime::new().unwrap());
        let pull = PullSocket::builder().recv_hwm(1).build();
        let push = PushSocket::builder().send_hwm(10).build();
        let at = stays.block_on(pull.bind(over.any())).unwrap();
        ends.block_on(async {
            push.connect(at).unwrap();
            // Until nobody takes any more.
            let message = vec![0; 64 << 10];
            let full = Duration::from_millis(50);
            while timeout(full, push.send(message.clone())).await.is_ok() {}
        });
        drop(ends);
        let stats = push.stats();
        assert!(stats.dropped.peer_gone > 0, "{over:?}: {stats:?}");
        let left = stats.messages_sent - stats.dropped.total();
        stays.block_on(async {
            for _ in 0..left {
                within(pull.recv()).await.unwrap();
            }
            peers(&pull, 0).await;
            assert_eq!(pull.stats().messages_received, left, "{over:?}");
        });
    }
}

#[test]
fn close_ends_although_the_runtime_of_the_connections_is_gone() {
    for over in [Transport::Tcp, Transport::Ipc, Transport::Inproc] {
        let runtime = Runtime::new().unwrap();
        let push = PushSocket::new();
        runtime.block_on(async {
            push.connect(over.fixed()).unwrap();
            push.send("lost").await.unwrap();
        });
        drop(runtime);
        let another = Runtime::new().unwrap();
        let closed = another.block_on(within(push.close()));
        // Lost with its runtime, or with the socket: it is counted.
        let lost = closed.map_or_else(|undelivered| undelivered.messages(), |()| 0);
        let dropped = push.stats().dropped;
        assert_eq!(
            (dropped.total(), dropped.linger),
            (1, lost as u64),
            "{over:?}"
        );
    }
}
