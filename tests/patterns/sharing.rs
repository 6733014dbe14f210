//! One socket that several tasks share: each message and each place goes to one of them, and to nobody for ever.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use jackstay::pattern::{CanReceive, CanSend, Pattern};
use jackstay::{DealerSocket, Message, PullSocket, PushSocket, Socket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{
    Transport, eventually, for_each_transport, join, number_of, peers, poll_once, within,
};

for_each_transport! {
    a_reader_that_takes_the_last_message_and_leaves_does_not_hide_the_next,
    a_message_for_a_reader_that_is_dropped_wakes_the_next,
    a_place_that_is_given_back_or_filled_goes_to_whoever_waits,
    tasks_that_reserve_and_send_through_a_single_place_all_get_on,
    nothing_is_lost_or_doubled_while_connections_come_and_go,
    what_peers_that_leave_do_not_get_is_counted,
}

async fn a_reader_that_takes_the_last_message_and_leaves_does_not_hide_the_next(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    for _ in 0..20 {
        let (mut first, mut second) = (pin!(pull.recv()), pin!(pull.recv()));
        assert!(poll_once(&mut first).await.is_pending());
        assert!(poll_once(&mut second).await.is_pending());
        push.send("one").await.unwrap();
        assert_eq!(within(first).await.unwrap(), "one");
        push.send("two").await.unwrap();
        assert_eq!(within(second).await.unwrap(), "two");
    }
}

async fn a_message_for_a_reader_that_is_dropped_wakes_the_next(over: Transport) {
    let (push, pull) = (PushSocket::new(), PullSocket::new());
    join(&pull, &push, over).await;
    for n in 1..=20 {
        let mut second = pin!(pull.recv());
        {
            let mut first = pin!(pull.recv());
            assert!(poll_once(&mut first).await.is_pending());
            assert!(poll_once(&mut second).await.is_pending());
            push.send("for either").await.unwrap();
            eventually(|| pull.stats().messages_received == n).await;
        }
        assert_eq!(within(second).await.unwrap(), "for either");
    }
}

async fn a_place_that_is_given_back_or_filled_goes_to_whoever_waits(over: Transport) {
    let push = PushSocket::builder().send_hwm(1).build();
    let pull = PullSocket::builder().recv_hwm(1).build();
    join(&pull, &push, over).await;
    // One over a wire; in-process, the other side's queue is another.
    let mut held = Vec::new();
    while held.len() < if over == Transport::Inproc { 2 } else { 1 } {
        held.push(within(push.reserve()).await.unwrap());
    }
    for filled in [false, true, false, true] {
        let (mut reserving, mut sending) = (pin!(push.reserve()), pin!(push.send("waited")));
        assert!(poll_once(&mut reserving).await.is_pending());
        assert!(poll_once(&mut sending).await.is_pending());
        let permit = held.pop().expect("one is held");
        if filled {
            permit.send("reserved").unwrap();
            assert_eq!(within(pull.recv()).await.unwrap(), "reserved");
        } else {
            drop(permit);
        }
        let permit = within(reserving).await.unwrap();
        assert!(poll_once(&mut sending).await.is_pending());
        drop(permit);
        within(sending).await.unwrap();
        assert_eq!(within(pull.recv()).await.unwrap(), "waited");
        held.push(within(push.reserve()).await.unwrap());
    }
}

async fn tasks_that_reserve_and_send_through_a_single_place_all_get_on(over: Transport) {
    const EACH: usize = 300;
    let push = Arc::new(PushSocket::builder().send_hwm(1).build());
    let pull = PullSocket::builder().recv_hwm(1).build();
    join(&pull, &push, over).await;
    let mut senders = JoinSet::new();
    for task in 0..4 {
        let push = push.clone();
        senders.spawn(async move {
            for n in 0..EACH {
                match (n + task) % 3 {
                    0 => push.send(from(task, n)).await.unwrap(),
                    _ => {
                        // One that is given back, and one that is used.
                        drop(push.reserve().await.unwrap());
                        let permit = push.reserve().await.unwrap();
                        permit.send(from(task, n)).unwrap();
                    }
                }
            }
        });
    }
    let mut read = Vec::new();
    within(async {
        while read.len() < 4 * EACH {
            read.push(pull.recv().await.unwrap());
        }
    })
    .await;
    within(senders.join_all()).await;
    assert_eq!(in_order(&read), 4 * EACH);
}

/// The `n`th message of a task.
fn from(task: usize, n: usize) -> Message {
    (task.to_string(), n.to_string()).into()
}

/// Fails the test if the messages of any task are out of order or doubled; returns how many there are.
fn in_order(read: &[Message]) -> usize {
    let mut last = BTreeMap::new();
    for message in read {
        let n = number_of(message);
        let before = last.insert(message[0].to_vec(), n);
        assert!(before < Some(n), "{n} after {before:?}");
    }
    read.len()
}

const TASKS: usize = 3;
const EACH: usize = 2_000;

/// Several tasks send through `socket`. Tells when all have sent everything.
fn send_from_tasks<P>(socket: &Arc<Socket<P>>) -> watch::Receiver<bool>
where
    P: Pattern + CanSend,
{
    let (all_sent, done) = watch::channel(false);
    let mut senders = JoinSet::new();
    for task in 0..TASKS {
        let socket = socket.clone();
        senders.spawn(async move {
            for n in 0..EACH {
                socket.send(from(task, n)).await.unwrap();
            }
        });
    }
    tokio::spawn(async move {
        senders.join_all().await;
        all_sent.send_replace(true);
    });
    done
}

/// Reads some messages, fewer if no more are sent.
async fn read_some<Q>(peer: &Socket<Q>, done: &mut watch::Receiver<bool>) -> Vec<Message>
where
    Q: Pattern + CanReceive,
{
    let mut read = Vec::new();
    let some = async {
        while read.len() < 50 {
            read.push(peer.recv().await.unwrap());
        }
    };
    within(async {
        tokio::select! {
            () = some => {}
            sent = done.wait_for(|done| *done) => drop(sent.unwrap()),
        }
    })
    .await;
    read
}

async fn nothing_is_lost_or_doubled_while_connections_come_and_go(over: Transport) {
    let push = PushSocket::builder().send_hwm(20).build();
    connections_come_and_go(push, PullSocket::new, over).await;
    let dealer = DealerSocket::builder().send_hwm(20).build();
    connections_come_and_go(dealer, DealerSocket::new, over).await;
}

async fn connections_come_and_go<P, Q>(sender: Socket<P>, peer: fn() -> Socket<Q>, over: Transport)
where
    P: Pattern + CanSend,
    Q: Pattern + CanReceive,
{
    let sender = Arc::new(sender);
    let done = send_from_tasks(&sender);
    let mut comers = JoinSet::new();
    for _ in 0..2 {
        let (sender, mut done) = (sender.clone(), done.clone());
        comers.spawn(async move {
            let mut all = Vec::new();
            while !*done.borrow() {
                let peer = peer();
                let at = peer.bind(over.any()).await.unwrap();
                sender.connect(&at).unwrap();
                let mut read = read_some(&peer, &mut done).await;
                // A11: what is queued is delivered.
                let gone = async {
                    sender.disconnect(&at).await.unwrap();
                    peers(&peer, 0).await;
                };
                let reading = async {
                    loop {
                        read.push(peer.recv().await.unwrap());
                    }
                };
                within(async {
                    tokio::select! {
                        () = gone => {}
                        () = reading => {}
                    }
                })
                .await;
                read.extend(std::iter::from_fn(|| peer.try_recv().ok()));
                in_order(&read);
                all.extend(read);
            }
            all
        });
    }
    let mut all = within(comers.join_all()).await.concat();
    all.sort_by_key(|message| (message[0].to_vec(), number_of(message)));
    assert_eq!(in_order(&all), TASKS * EACH);
    let stats = sender.stats();
    assert_eq!((stats.messages_sent, stats.dropped.total()), (6_000, 0));
}

async fn what_peers_that_leave_do_not_get_is_counted(over: Transport) {
    let push = PushSocket::builder().send_hwm(20).build();
    peers_come_and_go(push, PullSocket::new, over).await;
    let dealer = DealerSocket::builder().send_hwm(20).build();
    peers_come_and_go(dealer, DealerSocket::new, over).await;
}

async fn peers_come_and_go<P, Q>(sender: Socket<P>, peer: fn() -> Socket<Q>, over: Transport)
where
    P: Pattern + CanSend,
    Q: Pattern + CanReceive,
{
    let sender = Arc::new(sender);
    let at = sender.bind(over.any()).await.unwrap();
    let done = send_from_tasks(&sender);
    let mut comers = JoinSet::new();
    for _ in 0..2 {
        let (at, mut done) = (at.clone(), done.clone());
        comers.spawn(async move {
            let (mut all, mut unread) = (Vec::new(), 0);
            while !*done.borrow() {
                let peer = peer();
                peer.connect(&at).unwrap();
                let read = read_some(&peer, &mut done).await;
                peer.close().await.unwrap();
                in_order(&read);
                all.extend(read);
                unread += peer.stats().dropped.total();
            }
            (all, unread)
        });
    }
    let (all, unread): (Vec<_>, Vec<_>) = within(comers.join_all()).await.into_iter().unzip();
    peers(&sender, 0).await;
    let mut all = all.concat();
    all.sort_by_key(|message| (message[0].to_vec(), number_of(message)));
    let read = in_order(&all) as u64;
    let missed = unread.iter().sum::<u64>() + sender.stats().dropped.total();
    match over {
        Transport::Inproc => assert_eq!(read + missed, (TASKS * EACH) as u64),
        // What is in the kernel's hands when a connection ends is lost, and nobody can count it.
        Transport::Tcp | Transport::Ipc => assert!(read + missed <= (TASKS * EACH) as u64),
    }
}
