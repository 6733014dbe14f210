//! PUSH and PULL: who gets a message, what waits where, and what becomes of it when a peer is lost.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_sink::Sink;
use jackstay::{
    ClosedError, Endpoint, EventKind, Message, PeerInfo, PubSocket, PullSocket, PushSocket,
    RecvError, SendError, TryRecvError, TrySendError,
};
use tokio::task::{JoinSet, yield_now};

use crate::support::{
    Transport, assert_numbers, event, eventually, for_each_transport, for_each_wire, join, join_at,
    many, number_of, numbered, peers, poll_once, within,
};

for_each_transport! {
    a2_a_message_sent_before_anybody_listens_arrives,
    a3_a_message_sent_right_after_connect_arrives,
    a3_a_thousand_sockets_connect_at_once_and_send_one_message_each,
    a3_a_binding_socket_has_no_queue_before_its_first_peer,
    a3_immediate_keeps_nothing_for_a_peer_that_is_not_there,
    a4_what_is_queued_survives_the_restart_of_the_peer_in_order,
    a5_what_was_received_stays_readable_when_the_peer_is_gone,
    a6_the_mark_counts_messages,
    a6_the_default_mark_is_a_thousand_and_zero_is_none,
    a6_a_limit_in_octets_holds_beside_the_mark_and_one_message_always_fits,
    a6_many_are_sent_as_far_as_there_is_room_and_the_rest_is_left,
    a6_a_limit_in_octets_holds_for_many_as_for_one,
    a6_a_peer_that_does_not_read_has_its_whole_queue_filled,
    a8_a_waiting_sender_goes_on_when_the_receiver_reads,
    a8_a_sender_of_many_goes_on_when_the_receiver_reads,
    a11_close_returns_within_the_linger_time_and_tells_what_is_lost,
    a11_close_delivers_what_is_queued,
    a11_disconnect_delivers_what_is_queued,
    a11_disconnect_tells_what_is_lost,
    a11_the_longest_linger_time_delivers_what_is_queued,
    a15_four_flooding_peers_get_a_quarter_each,
    a15_many_are_received_from_each_peer_in_turn_up_to_the_limit,
    a16_messages_go_round_the_peers,
    a16_messages_of_one_call_go_round_the_peers,
    a16_a_full_peer_does_not_hold_up_what_many_are_sent_to_the_others,
    a16_a_full_peer_does_not_hold_up_the_others,
    a16_a_multipart_message_stays_on_one_peer,
    a17_conflate_keeps_the_last_message_to_send,
    a17_conflate_keeps_the_last_message_to_receive,
    a17_conflate_keeps_the_last_of_many,
    f8_order_is_kept_between_two_peers,
    f8_order_is_kept_by_calls_for_many,
    many_tasks_share_a_socket_and_nothing_is_lost_or_doubled,
    many_tasks_share_a_socket_by_calls_for_many_and_nothing_is_lost_or_doubled,
    a_reader_that_leaves_some_wakes_another,
    what_is_received_comes_behind_what_is_there_up_to_the_limit,
    a_reserved_place_is_kept_and_given_back,
    a_reserved_place_is_not_for_many,
    stream_and_sink_carry_messages,
    every_message_is_counted_once,
    each_of_many_messages_is_counted_once,
    nothing_is_sent_or_received_after_close,
    many_are_neither_sent_nor_received_after_close,
}

for_each_wire! {
    a5_what_is_queued_for_an_accepted_peer_is_dropped_and_counted_when_it_is_lost,
}

async fn a2_a_message_sent_before_anybody_listens_arrives(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let at = over.fixed();
    push.connect(&at).unwrap();
    push.send("early").await.unwrap();
    pull.bind(&at).await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "early");
}

async fn a3_a_message_sent_right_after_connect_arrives(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let at = pull.bind(over.any()).await.unwrap();
    push.connect(at).unwrap();
    push.try_send("at once").unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "at once");
}

async fn a3_a_thousand_sockets_connect_at_once_and_send_one_message_each(over: Transport) {
    let pull = PullSocket::new();
    let at = pull.bind(over.any()).await.unwrap();
    let mut pushes = Vec::new();
    for n in 0..1_000 {
        let push = PushSocket::new();
        push.connect(&at).unwrap();
        push.try_send(numbered(n)).unwrap();
        pushes.push(push);
    }
    let mut arrived = BTreeSet::new();
    while arrived.len() < 1_000 {
        let n = number_of(&within(pull.recv()).await.unwrap());
        assert!(arrived.insert(n), "{n} came twice");
    }
    assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
}

async fn a3_a_binding_socket_has_no_queue_before_its_first_peer(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let at = push.bind(over.any()).await.unwrap();
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
    join_at(&push, &pull, &at).await;
    within(push.send("x")).await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "x");
}

async fn a3_immediate_keeps_nothing_for_a_peer_that_is_not_there(over: Transport) {
    let push = PushSocket::builder().immediate(true).build();
    let pull = PullSocket::new();
    let at = over.fixed();
    push.connect(&at).unwrap();
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
    // A sender that waits gets its turn as soon as there is a peer.
    let sent = async { push.send("y").await.unwrap() };
    let bound = async { pull.bind(&at).await.unwrap() };
    within(async { tokio::join!(sent, bound) }).await;
    assert_eq!(within(pull.recv()).await.unwrap(), "y");
    pull.close().await.unwrap();
    peers(&push, 0).await;
    assert_eq!(push.try_send("z"), Err(TrySendError::Full("z".into())));
}

async fn a4_what_is_queued_survives_the_restart_of_the_peer_in_order(over: Transport) {
    let (push, first) = (PushSocket::new(), PullSocket::new());
    let at = over.fixed();
    first.bind(&at).await.unwrap();
    push.connect(&at).unwrap();
    for n in 0..10 {
        push.send(numbered(n)).await.unwrap();
        assert_eq!(number_of(&within(first.recv()).await.unwrap()), n);
    }
    first.close().await.unwrap();
    peers(&push, 0).await;
    for n in 10..500 {
        within(push.send(numbered(n))).await.unwrap();
    }
    let second = PullSocket::new();
    second.bind(&at).await.unwrap();
    for n in 10..500 {
        assert_eq!(number_of(&within(second.recv()).await.unwrap()), n);
    }
    assert_eq!(push.stats().dropped.total(), 0);
}

async fn a5_what_is_queued_for_an_accepted_peer_is_dropped_and_counted_when_it_is_lost(
    over: Transport,
) {
    let push = PushSocket::builder().send_hwm(64).build();
    let pull = PullSocket::builder().recv_hwm(1).build();
    join(&push, &pull, over).await;
    // More than the kernel's buffers take, so that something stays in the queue.
    let message = Message::from(vec![7; 1 << 20]);
    while push.stats().queued_out < 64 {
        if push.try_send(message.clone()).is_err() {
            yield_now().await;
        }
    }
    drop(pull);
    eventually(|| push.stats().dropped.peer_gone > 0).await;
    assert_eq!(push.stats().queued_out, 0);
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
}

async fn a5_what_was_received_stays_readable_when_the_peer_is_gone(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    for n in 0..100 {
        push.send(numbered(n)).await.unwrap();
    }
    push.close().await.unwrap();
    peers(&pull, 0).await;
    for n in 0..100 {
        assert_eq!(number_of(&within(pull.recv()).await.unwrap()), n);
    }
}

/// How many messages go in before the queue is full.
fn fill(push: &PushSocket, body: &'static str) -> usize {
    let mut taken = 0;
    while push.try_send(body).is_ok() {
        taken += 1;
    }
    taken
}

async fn a6_the_mark_counts_messages(over: Transport) {
    let push = PushSocket::builder().send_hwm(10).build();
    push.connect(over.fixed()).unwrap();
    for frames in 0..10 {
        let message: Message = (0..=frames).map(|_| "frame").collect();
        push.try_send(message).unwrap();
    }
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
    assert_eq!(push.stats().queued_out, 10);
}

async fn a6_the_default_mark_is_a_thousand_and_zero_is_none(over: Transport) {
    let push = PushSocket::new();
    push.connect(over.fixed()).unwrap();
    assert_eq!(fill(&push, "x"), 1_000);
    let push = PushSocket::builder().send_hwm(0).build();
    push.connect(over.fixed()).unwrap();
    for _ in 0..20_000 {
        push.try_send("x").unwrap();
    }
}

async fn a6_a_limit_in_octets_holds_beside_the_mark_and_one_message_always_fits(over: Transport) {
    let push = PushSocket::builder().send_buffer_limit(10_000).build();
    push.connect(over.fixed()).unwrap();
    push.try_send(vec![1; 100_000]).unwrap();
    assert!(push.try_send("x").is_err());
    let push = PushSocket::builder().send_buffer_limit(10_000).build();
    push.connect(over.fixed()).unwrap();
    let mut taken = 0;
    while push.try_send(vec![1; 100]).is_ok() {
        taken += 1;
    }
    assert!((90..=101).contains(&taken), "{taken}");
}

async fn a6_many_are_sent_as_far_as_there_is_room_and_the_rest_is_left(over: Transport) {
    let push = PushSocket::builder().send_hwm(100).build();
    let mut messages = many(0..150);
    assert_eq!(push.try_send_many(&mut messages), Ok(0), "nobody is there");
    push.connect(over.fixed()).unwrap();
    assert_eq!(push.try_send_many(&mut Vec::new()), Ok(0));
    push.send_many(&mut Vec::new()).await.unwrap();
    assert_eq!(push.try_send_many(&mut messages), Ok(100));
    assert_numbers(&messages, 100..150);
    assert_eq!(push.try_send_many(&mut messages), Ok(0));
    {
        let mut sending = pin!(push.send_many(&mut messages));
        assert!(poll_once(&mut sending).await.is_pending());
    }
    assert_numbers(&messages, 100..150);
    let stats = push.stats();
    assert_eq!((stats.messages_sent, stats.queued_out), (100, 100));
    let push = PushSocket::builder().send_hwm(0).build();
    push.connect(over.fixed()).unwrap();
    assert_eq!(push.try_send_many(&mut many(0..20_000)), Ok(20_000));
}

async fn a6_a_limit_in_octets_holds_for_many_as_for_one(over: Transport) {
    let limited = || {
        let push = PushSocket::builder().send_buffer_limit(10_000).build();
        push.connect(over.fixed()).unwrap();
        push
    };
    let (one, all) = (fill(&limited(), "a few octets"), limited());
    let mut messages = vec![Message::from("a few octets"); 2_000];
    assert_eq!(all.try_send_many(&mut messages), Ok(one));
    assert_eq!(messages.len(), 2_000 - one);
    let mut messages = vec![Message::from(vec![1; 100_000]), "x".into()];
    assert_eq!(limited().try_send_many(&mut messages), Ok(1));
    assert_eq!(messages, ["x"]);
}

async fn a6_a_peer_that_does_not_read_has_its_whole_queue_filled(over: Transport) {
    let push = PushSocket::new();
    let pull = PullSocket::builder().recv_hwm(1).build();
    join(&pull, &push, over).await;
    // More than the kernel holds, and far more than one batch.
    for _ in 0..500 {
        within(push.send(vec![7; 32 << 10])).await.unwrap();
    }
    assert_eq!(push.stats().messages_sent, 500);
}

async fn a8_a_waiting_sender_goes_on_when_the_receiver_reads(over: Transport) {
    let push = Arc::new(PushSocket::builder().send_hwm(2).build());
    let pull = PullSocket::builder().recv_hwm(2).build();
    join(&pull, &push, over).await;
    let sender = tokio::spawn({
        let push = push.clone();
        async move {
            for n in 0..1_000 {
                push.send((vec![0; 10_000], n.to_string())).await.unwrap();
            }
        }
    });
    for n in 0..1_000 {
        assert_eq!(number_of(&within(pull.recv()).await.unwrap()), n);
    }
    within(sender).await.unwrap();
}

async fn a8_a_sender_of_many_goes_on_when_the_receiver_reads(over: Transport) {
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::builder().recv_hwm(2).build();
    join(&pull, &push, over).await;
    let large = |n: usize| Message::from((vec![0; 10_000], n.to_string()));
    let mut messages: Vec<_> = (0..1_000).map(large).collect();
    let sender = tokio::spawn(async move {
        push.send_many(&mut messages).await.unwrap();
        (push, messages)
    });
    let mut received = Vec::new();
    while received.len() < 1_000 {
        within(pull.recv_many(&mut received, 3)).await.unwrap();
    }
    assert_numbers(&received, 0..1_000);
    let (_push, left) = within(sender).await.unwrap();
    assert!(left.is_empty());
}

// A7, A8: without a wire the marks are exact.
#[tokio::test]
async fn a7_a8_the_marks_of_both_sides_add_up_inproc_and_writing_resumes_at_half() {
    let push = PushSocket::builder().send_hwm(6).build();
    let pull = PullSocket::builder().recv_hwm(4).build();
    join(&pull, &push, Transport::Inproc).await;
    assert_eq!(fill(&push, "x"), 10);
    let mut read = 0;
    while push.try_send("y").is_err() {
        assert_eq!(pull.try_recv().unwrap(), "x");
        read += 1;
    }
    assert!(
        (4..=6).contains(&read),
        "writing resumed after {read} of 10"
    );
}

// A7
#[tokio::test]
async fn a7_the_marks_of_both_sides_add_up_inproc_for_many() {
    let push = PushSocket::builder().send_hwm(6).build();
    let pull = PullSocket::builder().recv_hwm(4).build();
    join(&pull, &push, Transport::Inproc).await;
    let mut messages = many(0..20);
    assert_eq!(push.try_send_many(&mut messages), Ok(10));
    let mut received = Vec::new();
    assert_eq!(pull.try_recv_many(&mut received, 100), Ok(10));
    assert_eq!(push.try_send_many(&mut messages), Ok(10));
    assert_eq!(pull.try_recv_many(&mut received, 100), Ok(10));
    assert_numbers(&received, 0..20);
}

async fn a11_close_returns_within_the_linger_time_and_tells_what_is_lost(over: Transport) {
    let linger = Duration::from_millis(50);
    let push = PushSocket::builder().linger(linger).build();
    push.connect(over.fixed()).unwrap();
    for n in 0..7 {
        push.send(numbered(n)).await.unwrap();
    }
    let begun = Instant::now();
    let undelivered = within(push.close()).await.unwrap_err();
    assert!(begun.elapsed() >= linger / 2, "it did not linger");
    assert_eq!((undelivered.messages(), undelivered.peers()), (7, 1));
    assert_eq!(push.stats().dropped.linger, 7);
    // Without a linger time, there is nothing to wait for.
    let push = PushSocket::builder().linger(Duration::ZERO).build();
    push.connect(over.fixed()).unwrap();
    push.send("x").await.unwrap();
    assert_eq!(within(push.close()).await.unwrap_err().messages(), 1);
}

async fn a11_close_delivers_what_is_queued(over: Transport) {
    let push = PushSocket::builder().send_hwm(0).linger_forever().build();
    let pull = PullSocket::builder().recv_hwm(1).build();
    let at = over.fixed();
    push.connect(&at).unwrap();
    for n in 0..100 {
        push.send((vec![0; 100_000], n.to_string())).await.unwrap();
    }
    let received = async {
        // It comes while the other side closes.
        pull.bind(&at).await.unwrap();
        for n in 0..100 {
            assert_eq!(number_of(&pull.recv().await.unwrap()), n);
        }
    };
    let (closed, ()) = within(async { tokio::join!(push.close(), received) }).await;
    closed.unwrap();
}

async fn a11_disconnect_delivers_what_is_queued(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let at = join(&pull, &push, over).await;
    for n in 0..500 {
        push.send(numbered(n)).await.unwrap();
    }
    let received = async {
        for n in 0..500 {
            assert_eq!(number_of(&pull.recv().await.unwrap()), n);
        }
    };
    let (disconnected, ()) = within(async { tokio::join!(push.disconnect(&at), received) }).await;
    disconnected.unwrap();
    peers(&pull, 0).await;
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
}

async fn a11_disconnect_tells_what_is_lost(over: Transport) {
    let push = PushSocket::builder()
        .linger(Duration::from_millis(20))
        .build();
    let at = over.fixed();
    push.connect(&at).unwrap();
    for n in 0..3 {
        push.send(numbered(n)).await.unwrap();
    }
    let error = within(push.disconnect(&at)).await.unwrap_err();
    let jackstay::DisconnectError::Undelivered(undelivered) = error else {
        panic!("{error}")
    };
    assert_eq!(undelivered.messages(), 3);
}

async fn a11_the_longest_linger_time_delivers_what_is_queued(over: Transport) {
    for closes in [true, false] {
        let push = PushSocket::builder().linger(Duration::MAX).build();
        let pull = PullSocket::new();
        let at = over.fixed();
        push.connect(&at).unwrap();
        push.send("queued").await.unwrap();
        let ended = async {
            match closes {
                true => push.close().await.unwrap(),
                false => push.disconnect(&at).await.unwrap(),
            }
        };
        let received = async {
            pull.bind(&at).await.unwrap();
            assert_eq!(pull.recv().await.unwrap(), "queued");
        };
        within(async { tokio::join!(ended, received) }).await;
    }
}

// Without a wire, a name that belongs to another type is given up.
#[tokio::test]
async fn a11_close_does_not_wait_for_a_peer_that_was_given_up() {
    let push = PushSocket::builder().linger_forever().build();
    let at = Transport::Inproc.fixed();
    push.connect(&at).unwrap();
    push.send("for a PULL").await.unwrap();
    let publisher = PubSocket::new();
    let bound = async { publisher.bind(&at).await.unwrap() };
    let (closed, _) = within(async { tokio::join!(push.close(), bound) }).await;
    assert_eq!(closed.unwrap_err().messages(), 1);
}

async fn a15_four_flooding_peers_get_a_quarter_each(over: Transport) {
    const MARK: usize = 1_000;
    let pull = PullSocket::builder().recv_hwm(MARK).build();
    let at = pull.bind(over.any()).await.unwrap();
    let pushes: Vec<_> = (0..4)
        .map(|_| PushSocket::builder().send_hwm(MARK).build())
        .collect();
    let mut floods = JoinSet::new();
    for (peer, push) in pushes.into_iter().enumerate() {
        push.connect(&at).unwrap();
        floods.spawn(async move {
            // The last has ten times as much to say.
            for _ in 0..if peer == 3 { 100_000 } else { 10_000 } {
                push.send(numbered(peer)).await.unwrap();
            }
        });
    }
    // All of them have a full queue.
    eventually(|| {
        let peers = pull.peers();
        let floods = |peer: &PeerInfo| {
            let stats = pull.peer_stats(peer.id());
            stats.is_some_and(|stats| stats.queued_in >= MARK)
        };
        peers.len() == 4 && peers.iter().all(floods)
    })
    .await;
    let mut shares = [0; 4];
    for _ in 0..2 * MARK {
        shares[number_of(&within(pull.recv()).await.unwrap())] += 1;
    }
    let fair = MARK / 2;
    let within_a_tenth = fair - fair / 10..=fair + fair / 10;
    assert!(
        shares.iter().all(|share| within_a_tenth.contains(share)),
        "{shares:?}"
    );
    floods.abort_all();
}

async fn a15_many_are_received_from_each_peer_in_turn_up_to_the_limit(over: Transport) {
    let pull = PullSocket::new();
    let at = pull.bind(over.any()).await.unwrap();
    let pushes = [(); 3].map(|()| PushSocket::new());
    for (peer, push) in pushes.iter().enumerate() {
        join_at(&pull, push, &at).await;
        let mut messages = vec![numbered(peer); 20];
        push.send_many(&mut messages).await.unwrap();
    }
    eventually(|| pull.stats().queued_in == 60).await;
    // Where one call ends, the next goes on.
    let mut received = Vec::new();
    for limit in [0, 1, 6, 13, 20] {
        assert_eq!(pull.try_recv_many(&mut received, limit), Ok(limit));
    }
    assert_eq!(pull.stats().queued_in, 20);
    assert_eq!(within(pull.recv_many(&mut received, 100)).await, Ok(20));
    let peers: Vec<_> = received.iter().map(number_of).collect();
    let runs: Vec<_> = peers.chunk_by(|a, b| a == b).collect();
    let counts: Vec<_> = runs.iter().map(|run| run.len()).collect();
    assert_eq!(counts, [8, 8, 8, 8, 8, 8, 4, 4, 4]);
    assert!(runs.windows(4).all(|runs| runs[0][0] == runs[3][0]));
}

async fn a16_messages_go_round_the_peers(over: Transport) {
    let push = PushSocket::new();
    let at = push.bind(over.any()).await.unwrap();
    let pulls: Vec<_> = (0..3).map(|_| PullSocket::new()).collect();
    for pull in &pulls {
        join_at(&push, pull, &at).await;
    }
    for n in 0..300 {
        push.send(numbered(n)).await.unwrap();
    }
    let mut all = BTreeSet::new();
    for pull in &pulls {
        let mut received = Vec::new();
        for _ in 0..100 {
            received.push(number_of(&within(pull.recv()).await.unwrap()));
        }
        assert!(
            received.windows(2).all(|pair| pair[1] == pair[0] + 3),
            "{received:?}"
        );
        assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
        all.extend(received);
    }
    assert_eq!(all.len(), 300);
}

async fn a16_messages_of_one_call_go_round_the_peers(over: Transport) {
    let push = PushSocket::new();
    let at = push.bind(over.any()).await.unwrap();
    let pulls = [(); 3].map(|()| PullSocket::new());
    for pull in &pulls {
        join_at(&push, pull, &at).await;
    }
    let mut messages = many(0..300);
    assert_eq!(push.try_send_many(&mut messages), Ok(300));
    push.send_many(&mut many(300..600)).await.unwrap();
    let mut first = BTreeSet::new();
    for pull in &pulls {
        let mut received = Vec::new();
        while received.len() < 200 {
            within(pull.recv_many(&mut received, 1_000)).await.unwrap();
        }
        let numbers: Vec<_> = received.iter().map(number_of).collect();
        let in_turn = numbers.windows(2).all(|pair| pair[1] == pair[0] + 3);
        assert!(in_turn && numbers.len() == 200, "{numbers:?}");
        first.insert(numbers[0]);
    }
    assert_eq!(first, [0, 1, 2].into());
}

async fn a16_a_full_peer_does_not_hold_up_what_many_are_sent_to_the_others(over: Transport) {
    let push = PushSocket::builder().send_hwm(4).build();
    let at = push.bind(over.any()).await.unwrap();
    let [stuck, reader] = [(); 2].map(|()| PullSocket::builder().recv_hwm(4).build());
    join_at(&push, &stuck, &at).await;
    join_at(&push, &reader, &at).await;
    let large = |n: usize| Message::from((vec![0; 50_000], n.to_string()));
    let mut messages: Vec<_> = (0..1_000).map(large).collect();
    let mut read = Vec::new();
    let reading = async { while reader.recv_many(&mut read, 5).await.is_ok() {} };
    within(async {
        tokio::select! {
            sent = push.send_many(&mut messages) => sent.unwrap(),
            () = reading => {}
        }
    })
    .await;
    let mut kept = Vec::new();
    while read.len() + kept.len() < 1_000 {
        tokio::select! {
            received = within(reader.recv_many(&mut read, 5)) => received.unwrap(),
            received = within(stuck.recv_many(&mut kept, 5)) => received.unwrap(),
        };
    }
    // The one in order, and so the other.
    let [read, kept] = [read, kept].map(|it| it.iter().map(number_of).collect::<Vec<_>>());
    assert!(read.is_sorted() && kept.is_sorted(), "{read:?}, {kept:?}");
    let all: BTreeSet<_> = read.into_iter().chain(kept).collect();
    assert!(all.into_iter().eq(0..1_000));
}

async fn a16_a_full_peer_does_not_hold_up_the_others(over: Transport) {
    let push = PushSocket::builder().send_hwm(4).build();
    let at = push.bind(over.any()).await.unwrap();
    let [stuck, reader] = [(); 2].map(|()| PullSocket::builder().recv_hwm(4).build());
    join_at(&push, &stuck, &at).await;
    join_at(&push, &reader, &at).await;
    let sent = async {
        for n in 0..1_000 {
            push.send((vec![0; 50_000], n.to_string())).await.unwrap();
        }
    };
    let mut read = BTreeSet::new();
    let reading = async {
        loop {
            read.insert(number_of(&reader.recv().await.unwrap()));
        }
    };
    within(async {
        tokio::select! {
            // All is accepted although one of the two never reads.
            () = sent => {}
            () = reading => {}
        }
    })
    .await;
    let mut last = None;
    while read.len() < 1_000 {
        tokio::select! {
            message = within(reader.recv()) => assert!(read.insert(number_of(&message.unwrap()))),
            message = within(stuck.recv()) => {
                let n = number_of(&message.unwrap());
                assert!(last < Some(n), "{n} after {last:?}");
                last = Some(n);
                assert!(read.insert(n));
            }
        }
    }
}

async fn a16_a_multipart_message_stays_on_one_peer(over: Transport) {
    let push = PushSocket::new();
    let at = push.bind(over.any()).await.unwrap();
    let pulls = [PullSocket::new(), PullSocket::new()];
    for pull in &pulls {
        join_at(&push, pull, &at).await;
    }
    for _ in 0..10 {
        push.send(["a", "", "c", "d"]).await.unwrap();
    }
    for pull in &pulls {
        for _ in 0..5 {
            assert_eq!(
                within(pull.recv()).await.unwrap(),
                Message::from(["a", "", "c", "d"])
            );
        }
    }
}

async fn a17_conflate_keeps_the_last_message_to_send(over: Transport) {
    let push = PushSocket::builder().conflate(true).build();
    let pull = PullSocket::new();
    let at = over.fixed();
    push.connect(&at).unwrap();
    for n in 0..100 {
        push.send(numbered(n)).await.unwrap();
    }
    pull.bind(&at).await.unwrap();
    assert_eq!(number_of(&within(pull.recv()).await.unwrap()), 99);
    assert_eq!(
        push.stats().dropped.conflated + pull.stats().dropped.conflated,
        99
    );
}

async fn a17_conflate_keeps_the_last_message_to_receive(over: Transport) {
    let push = PushSocket::new();
    let pull = PullSocket::builder().conflate(true).build();
    join(&pull, &push, over).await;
    for n in 0..100 {
        push.send(numbered(n)).await.unwrap();
    }
    eventually(|| pull.stats().messages_received == 100).await;
    assert_eq!(number_of(&within(pull.recv()).await.unwrap()), 99);
    assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(pull.stats().dropped.conflated, 99);
}

async fn a17_conflate_keeps_the_last_of_many(over: Transport) {
    let push = PushSocket::builder().conflate(true).build();
    let pull = PullSocket::new();
    let at = over.fixed();
    push.connect(&at).unwrap();
    push.send_many(&mut many(0..100)).await.unwrap();
    pull.bind(&at).await.unwrap();
    assert_eq!(number_of(&within(pull.recv()).await.unwrap()), 99);
    let dropped = |of: jackstay::Stats| of.dropped.conflated;
    assert_eq!(dropped(push.stats()) + dropped(pull.stats()), 99);
    let push = PushSocket::new();
    let pull = PullSocket::builder().conflate(true).build();
    join(&pull, &push, over).await;
    push.send_many(&mut many(0..100)).await.unwrap();
    eventually(|| pull.stats().messages_received == 100).await;
    let mut received = Vec::new();
    assert_eq!(pull.try_recv_many(&mut received, 100), Ok(1));
    assert_numbers(&received, 99..100);
    assert_eq!(dropped(pull.stats()), 99);
}

async fn f8_order_is_kept_between_two_peers(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&push, &pull, over).await;
    let sent = async {
        for n in 0..20_000_usize {
            // Small ones, multipart ones, and some that are too large for one read.
            let message = match n % 100 {
                0 => Message::from((vec![0; 300_000], n.to_string())),
                1..10 => Message::from((vec![0; n % 5_000], "", n.to_string())),
                _ => numbered(n),
            };
            push.send(message).await.unwrap();
        }
    };
    let received = async {
        for n in 0..20_000 {
            assert_eq!(number_of(&pull.recv().await.unwrap()), n);
        }
    };
    within(async { tokio::join!(sent, received) }).await;
}

async fn f8_order_is_kept_by_calls_for_many(over: Transport) {
    const COUNT: usize = 20_000;
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&push, &pull, over).await;
    let sent = async {
        let mut numbers = (0..COUNT).peekable();
        for len in (0..300).cycle() {
            let some = numbers.by_ref().take(len);
            let mut messages: Vec<_> = some
                .map(|n| match n % 100 {
                    0 => Message::from((vec![0; 300_000], n.to_string())),
                    1..10 => Message::from((vec![0; n % 5_000], "", n.to_string())),
                    _ => numbered(n),
                })
                .collect();
            push.send_many(&mut messages).await.unwrap();
            assert!(messages.is_empty());
            if numbers.peek().is_none() {
                break;
            }
        }
    };
    let received = async {
        let (mut messages, mut expected) = (Vec::new(), 0);
        for limit in (1..300).cycle() {
            let count = pull.recv_many(&mut messages, limit).await.unwrap();
            assert!((1..=limit).contains(&count) && messages.len() == count);
            assert_numbers(&messages, expected..expected + count);
            expected += count;
            messages.clear();
            if expected == COUNT {
                break;
            }
        }
    };
    within(async { tokio::join!(sent, received) }).await;
    let (out, into) = (push.stats(), pull.stats());
    assert_eq!(out.messages_sent, COUNT as u64);
    assert_eq!(into.messages_received, COUNT as u64);
    assert_eq!(out.octets_sent, into.octets_received);
}

async fn many_tasks_share_a_socket_and_nothing_is_lost_or_doubled(over: Transport) {
    const EACH: usize = 2_000;
    let push = Arc::new(PushSocket::builder().send_hwm(50).build());
    let pull = Arc::new(PullSocket::builder().recv_hwm(50).build());
    join(&pull, &push, over).await;
    let mut senders = JoinSet::new();
    for task in 0..4 {
        let push = push.clone();
        senders.spawn(async move {
            for n in 0..EACH {
                push.send(numbered(task * EACH + n)).await.unwrap();
            }
        });
    }
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let pull = pull.clone();
        readers.spawn(async move {
            let mut read = Vec::new();
            while let Ok(message) = pull.recv().await {
                read.push(number_of(&message));
            }
            read
        });
    }
    within(senders.join_all()).await;
    let counted =
        || pull.stats().messages_received == 4 * EACH as u64 && pull.stats().queued_in == 0;
    eventually(counted).await;
    pull.close().await.unwrap();
    let mut read = within(readers.join_all()).await.concat();
    read.sort_unstable();
    assert_eq!(read, (0..4 * EACH).collect::<Vec<_>>());
}

async fn many_tasks_share_a_socket_by_calls_for_many_and_nothing_is_lost_or_doubled(
    over: Transport,
) {
    const EACH: usize = 4_000;
    let push = Arc::new(PushSocket::builder().send_hwm(50).build());
    let pull = Arc::new(PullSocket::builder().recv_hwm(50).build());
    join(&pull, &push, over).await;
    let mut senders = JoinSet::new();
    for task in 0..4 {
        let push = push.clone();
        senders.spawn(async move {
            // One of them sends all of its messages at once.
            let together = [1, 7, 100, EACH][task];
            for begin in (0..EACH).step_by(together) {
                let end = EACH.min(begin + together);
                let mut messages = many(task * EACH + begin..task * EACH + end);
                push.send_many(&mut messages).await.unwrap();
            }
        });
    }
    let mut readers = JoinSet::new();
    for limit in [1, 3, 20, 1_000] {
        let pull = pull.clone();
        readers.spawn(async move {
            let mut read = Vec::new();
            while pull.recv_many(&mut read, limit).await.is_ok() {}
            read
        });
    }
    within(senders.join_all()).await;
    let counted =
        || pull.stats().messages_received == 4 * EACH as u64 && pull.stats().queued_in == 0;
    eventually(counted).await;
    pull.close().await.unwrap();
    let mut read: Vec<_> = within(readers.join_all())
        .await
        .concat()
        .iter()
        .map(number_of)
        .collect();
    read.sort_unstable();
    assert_eq!(read, (0..4 * EACH).collect::<Vec<_>>());
}

async fn a_reader_that_leaves_some_wakes_another(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    let mut received = [(); 3].map(|()| Vec::new());
    {
        let [mut one, mut two, mut three] = received
            .each_mut()
            .map(|received| Box::pin(pull.recv_many(received, 2)));
        for waiting in [&mut one, &mut two, &mut three] {
            assert!(poll_once(&mut waiting.as_mut()).await.is_pending());
        }
        push.send_many(&mut many(0..6)).await.unwrap();
        let counts = within(async { tokio::join!(one, two, three) }).await;
        assert_eq!(counts, (Ok(2), Ok(2), Ok(2)));
    }
    let mut read: Vec<_> = received.concat().iter().map(number_of).collect();
    read.sort_unstable();
    assert_eq!(read, [0, 1, 2, 3, 4, 5]);
}

async fn what_is_received_comes_behind_what_is_there_up_to_the_limit(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    let mut messages = many(0..1);
    // At once, although there is nothing.
    assert_eq!(within(pull.recv_many(&mut messages, 0)).await, Ok(0));
    assert_eq!(pull.try_recv_many(&mut messages, 0), Ok(0));
    let none = pull.try_recv_many(&mut messages, 5);
    assert_eq!(none, Err(TryRecvError::Empty));
    join(&pull, &push, over).await;
    push.send_many(&mut many(1..11)).await.unwrap();
    eventually(|| pull.stats().queued_in == 10).await;
    assert_eq!(within(pull.recv_many(&mut messages, 0)).await, Ok(0));
    assert_eq!(within(pull.recv_many(&mut messages, 3)).await, Ok(3));
    assert_eq!(pull.try_recv_many(&mut messages, 1), Ok(1));
    assert_eq!(pull.stats().queued_in, 6);
    assert_eq!(pull.try_recv_many(&mut messages, usize::MAX), Ok(6));
    assert_numbers(&messages, 0..11);
    let none = pull.try_recv_many(&mut messages, 5);
    assert_eq!(none, Err(TryRecvError::Empty));
    assert_eq!(pull.stats().queued_in, 0);
}

async fn a_reserved_place_is_kept_and_given_back(over: Transport) {
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::new();
    let at = over.fixed();
    push.connect(&at).unwrap();
    let first = push.reserve().await.unwrap();
    push.try_send("between").unwrap();
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
    drop(first);
    let second = push.reserve().await.unwrap();
    assert_eq!(push.try_send("x"), Err(TrySendError::Full("x".into())));
    second.send("reserved").unwrap();
    pull.bind(&at).await.unwrap();
    assert_eq!(within(pull.recv()).await.unwrap(), "between");
    assert_eq!(within(pull.recv()).await.unwrap(), "reserved");
    // A permit does not outlive the peer that it was for.
    push.close().await.unwrap();
    assert!(push.reserve().await.is_err());
}

async fn a_reserved_place_is_not_for_many(over: Transport) {
    let push = PushSocket::builder().send_hwm(4).build();
    let pull = PullSocket::new();
    let at = over.fixed();
    push.connect(&at).unwrap();
    let permit = push.reserve().await.unwrap();
    let mut messages = many(0..10);
    assert_eq!(push.try_send_many(&mut messages), Ok(3));
    permit.send(numbered(3)).unwrap();
    pull.bind(&at).await.unwrap();
    let mut received = Vec::new();
    while received.len() < 4 {
        within(pull.recv_many(&mut received, 10)).await.unwrap();
    }
    assert_numbers(&received, 0..4);
}

async fn stream_and_sink_carry_messages(over: Transport) {
    let push = PushSocket::builder().send_hwm(3).build();
    let pull = PullSocket::builder().recv_hwm(3).build();
    join(&pull, &push, over).await;
    let sent = async {
        let mut sink = pin!(push.sink());
        for n in 0..1_000 {
            poll_fn(|cx| Sink::<Message>::poll_ready(sink.as_mut(), cx))
                .await
                .unwrap();
            sink.as_mut().start_send(numbered(n)).unwrap();
        }
        poll_fn(|cx| Sink::<Message>::poll_flush(sink.as_mut(), cx))
            .await
            .unwrap();
    };
    let received = async {
        let mut stream = pin!(pull.stream());
        for n in 0..1_000 {
            let message = poll_fn(|cx| stream.as_mut().poll_next(cx)).await.unwrap();
            assert_eq!(number_of(&message), n);
        }
    };
    within(async { tokio::join!(sent, received) }).await;
    let mut stream = pin!(pull.stream());
    let (end, closed) = tokio::join!(poll_fn(|cx| stream.as_mut().poll_next(cx)), pull.close());
    closed.unwrap();
    assert_eq!(end, None);
}

async fn every_message_is_counted_once(over: Transport) {
    let push = PushSocket::builder()
        .send_hwm(20)
        .linger(Duration::from_millis(20))
        .build();
    let pull = PullSocket::builder().recv_hwm(20).build();
    join(&pull, &push, over).await;
    for _ in 0..30 {
        within(push.send(vec![1; 500])).await.unwrap();
    }
    // With half of the mark read, the rest has room.
    for _ in 0..20 {
        within(pull.recv()).await.unwrap();
    }
    eventually(|| pull.stats().messages_received == 30).await;
    // What its session has just written counts until that comes back.
    eventually(|| push.stats().queued_out == 0).await;
    let (out, into) = (push.stats(), pull.stats());
    assert_eq!(
        (out.messages_sent, out.octets_sent, out.queued_out),
        (30, 15_000, 0)
    );
    assert_eq!((into.octets_received, into.queued_in), (15_000, 10));
    // What is not read is counted where it is dropped.
    pull.close().await.unwrap();
    let into = pull.stats();
    assert_eq!(
        (into.messages_received, into.dropped.unread, into.queued_in),
        (30, 10, 0)
    );
    peers(&push, 0).await;
    // And so is what cannot be sent.
    for _ in 0..5 {
        within(push.send("x")).await.unwrap();
    }
    assert_eq!(push.stats().queued_out, 5);
    assert_eq!(within(push.close()).await.unwrap_err().messages(), 5);
    let out = push.stats();
    assert_eq!(
        (out.messages_sent, out.dropped.linger, out.queued_out),
        (35, 5, 0)
    );
}

async fn each_of_many_messages_is_counted_once(over: Transport) {
    let push = PushSocket::builder()
        .send_hwm(20)
        .linger(Duration::from_millis(20))
        .build();
    let pull = PullSocket::builder().recv_hwm(20).build();
    join(&pull, &push, over).await;
    let mut messages = vec![Message::from(vec![1; 500]); 30];
    within(push.send_many(&mut messages)).await.unwrap();
    let mut received = Vec::new();
    while received.len() < 20 {
        let limit = 20 - received.len();
        within(pull.recv_many(&mut received, limit)).await.unwrap();
    }
    eventually(|| pull.stats().messages_received == 30).await;
    // What its session has just written counts until that comes back.
    eventually(|| push.stats().queued_out == 0).await;
    let (out, into) = (push.stats(), pull.stats());
    assert_eq!((out.messages_sent, out.octets_sent), (30, 15_000));
    assert_eq!((into.octets_received, into.queued_in), (15_000, 10));
    pull.close().await.unwrap();
    assert_eq!(pull.stats().dropped.unread, 10);
    peers(&push, 0).await;
    // As many as the mark lets in, for a peer that does not come back.
    let mut messages = many(0..25);
    assert_eq!(push.try_send_many(&mut messages), Ok(20));
    assert_eq!(within(push.close()).await.unwrap_err().messages(), 20);
    let out = push.stats();
    assert_eq!(
        (out.messages_sent, out.dropped.linger, out.queued_out),
        (50, 20, 0)
    );
}

async fn nothing_is_sent_or_received_after_close(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    let mut monitor = pull.monitor();
    push.close().await.unwrap();
    let refused = push.send("x").await.map_err(SendError::into_message);
    assert_eq!(refused, Err("x".into()));
    assert_eq!(push.try_send("x"), Err(TrySendError::Closed("x".into())));
    assert!(push.connect(over.fixed()).is_err());
    assert!(push.bind(over.any()).await.is_err());
    event(&mut monitor, |kind| {
        matches!(kind, EventKind::Disconnected(_))
    })
    .await;
    // A receiver that waits is told.
    let (received, closed) = within(async { tokio::join!(pull.recv(), pull.close()) }).await;
    assert!(received.is_err());
    closed.unwrap();
    assert_eq!(pull.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(pull.endpoints(), Vec::<Endpoint>::new());
}

async fn many_are_neither_sent_nor_received_after_close(over: Transport) {
    let push = PushSocket::builder()
        .send_hwm(5)
        .linger(Duration::ZERO)
        .build();
    let (late, pull) = (PushSocket::new(), PullSocket::new());
    push.connect(over.fixed()).unwrap();
    join(&pull, &late, over).await;
    // Who waits is told.
    let (mut messages, mut received) = (many(0..8), many(0..1));
    let (sent, _) =
        within(async { tokio::join!(push.send_many(&mut messages), push.close()) }).await;
    assert_eq!(sent, Err(ClosedError));
    assert_numbers(&messages, 5..8);
    let (none, closed) =
        within(async { tokio::join!(pull.recv_many(&mut received, 9), pull.close()) }).await;
    assert_eq!(none, Err(RecvError));
    closed.unwrap();
    // And who comes later.
    assert_eq!(push.send_many(&mut messages).await, Err(ClosedError));
    assert_eq!(push.try_send_many(&mut messages), Err(ClosedError));
    assert_numbers(&messages, 5..8);
    let none = pull.recv_many(&mut received, 9).await;
    assert_eq!(none, Err(RecvError));
    let none = pull.try_recv_many(&mut received, 9);
    assert_eq!(none, Err(TryRecvError::Closed));
    assert_numbers(&received, 0..1);
}

// Whoever gives credit wakes the session when it lets go of its thread, and here it does that by standing still.
#[test]
fn a8_a_sender_goes_on_although_the_runtime_of_its_reader_stands_still_between_messages() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let push = PushSocket::builder().send_hwm(2).build();
    let pull = PullSocket::builder().recv_hwm(4).build();
    runtime.block_on(join(&pull, &push, Transport::Tcp));
    let sender = runtime.spawn(async move {
        for n in 0..100 {
            push.send(numbered(n)).await.unwrap();
        }
        push
    });
    for n in 0..100 {
        let received = runtime.block_on(within(pull.recv())).unwrap();
        assert_eq!(number_of(&received), n);
    }
    runtime.block_on(within(sender)).unwrap();
}
