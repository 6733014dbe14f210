//! The end of a loop arrives although its sender, who is no task, does nothing more.

use std::sync::Arc;
use std::thread;

use jackstay::pattern::{CanReceive, CanSend, Pattern};
use jackstay::{
    DealerSocket, OnFull, PairSocket, PubSocket, PullSocket, PushSocket, Socket, SubSocket,
    XPubSocket, blocking,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::support::{LIMIT, Transport, join, number_of, numbered, within};

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Ipc, Transport::Inproc];

/// Long enough for a loop that is left to its sender, with short ones before and behind it.
const BURSTS: [usize; 12] = [1, 100, 3, 2_000, 200_000, 1, 33, 100, 100, 1_001, 7, 100];

fn workers() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}

/// Reads what comes, in order, and tells how many that are.
fn reader<Q>(receiver: Socket<Q>) -> watch::Receiver<usize>
where
    Q: Pattern + CanReceive + 'static,
{
    let (tell, told) = watch::channel(0);
    tokio::spawn(async move {
        for n in 0.. {
            let Ok(message) = receiver.recv().await else {
                break;
            };
            assert_eq!(number_of(&message), n);
            tell.send_replace(n + 1);
        }
    });
    told
}

async fn each_end_arrives<P, Q>(sender: Socket<P>, receiver: Socket<Q>)
where
    P: Pattern + CanSend,
    Q: Pattern + CanReceive + 'static,
{
    let mut come = reader(receiver);
    let mut sent = 0;
    for burst in BURSTS {
        for n in sent..sent + burst {
            sender.send(numbered(n)).await.unwrap();
        }
        sent += burst;
        within(come.wait_for(|come| *come == sent)).await.unwrap();
    }
    within(sender.close()).await.unwrap();
}

fn everything() -> SubSocket {
    let sub = SubSocket::new();
    sub.subscribe("").unwrap();
    sub
}

#[test]
fn the_end_of_each_loop_of_the_main_thread_arrives() {
    for over in TRANSPORTS {
        workers().block_on(async {
            let (push, pull) = (PushSocket::new(), PullSocket::new());
            join(&pull, &push, over).await;
            each_end_arrives(push, pull).await;
            let (one, two) = (DealerSocket::new(), DealerSocket::new());
            join(&two, &one, over).await;
            each_end_arrives(one, two).await;
            let (one, two) = (PairSocket::new(), PairSocket::new());
            join(&two, &one, over).await;
            each_end_arrives(one, two).await;
        });
    }
}

#[test]
fn the_end_of_each_loop_of_a_publisher_on_the_main_thread_arrives() {
    for over in TRANSPORTS {
        workers().block_on(async {
            let publisher = PubSocket::builder().on_full(OnFull::Wait).build();
            let sub = everything();
            join(&sub, &publisher, over).await;
            within(publisher.wait_for_subscribers(1)).await.unwrap();
            each_end_arrives(publisher, sub).await;
            let publisher = XPubSocket::builder().on_full(OnFull::Wait).build();
            let sub = everything();
            join(&sub, &publisher, over).await;
            within(publisher.wait_for_subscribers(1)).await.unwrap();
            each_end_arrives(publisher, sub).await;
        });
    }
}

#[test]
fn the_end_of_each_loop_of_a_thread_arrives() {
    for over in TRANSPORTS {
        let (push, pull) = (blocking::PushSocket::new(), blocking::PullSocket::new());
        push.connect(pull.bind(over.any()).unwrap()).unwrap();
        assert!(push.wait_for_peers(1, LIMIT));
        let mut sent = 0;
        let (tell, told) = std::sync::mpsc::sync_channel(BURSTS.len());
        let reading = thread::spawn(move || {
            let mut read = 0;
            for burst in BURSTS {
                for _ in 0..burst {
                    assert_eq!(number_of(&pull.recv_timeout(LIMIT).unwrap()), read);
                    read += 1;
                }
                tell.send(read).unwrap();
            }
        });
        for burst in BURSTS {
            for n in sent..sent + burst {
                push.send(numbered(n)).unwrap();
            }
            sent += burst;
            assert_eq!(told.recv_timeout(LIMIT), Ok(sent));
        }
        reading.join().unwrap();
    }
}

/// Who closes, or is dropped, in the midst of what is left to it.
#[test]
fn what_a_loop_has_left_arrives_when_its_socket_is_closed_or_dropped() {
    for over in TRANSPORTS {
        for dropped in [false, true] {
            workers().block_on(async {
                let (push, pull) = (PushSocket::new(), PullSocket::new());
                join(&pull, &push, over).await;
                let mut come = reader(pull);
                for n in 0..200_001 {
                    push.send(numbered(n)).await.unwrap();
                }
                if dropped {
                    drop(push);
                } else {
                    within(push.close()).await.unwrap();
                }
                within(come.wait_for(|come| *come == 200_001))
                    .await
                    .unwrap();
            });
        }
    }
}

/// A ring of threads, each of which waits for the one before: one of them looks on, or sleeps, at any time.
#[test]
fn threads_in_a_ring_pass_on_what_they_get() {
    const ROUNDS: usize = 5_000;
    let ends: Vec<_> = (0..4).map(|_| Transport::Inproc.any()).collect();
    let sockets: Vec<_> = (0..4)
        .map(|place| {
            let pull = PullSocket::builder().recv_hwm(1).build();
            let push = PushSocket::builder().send_hwm(1).build();
            let (pull, push) = (blocking::Socket::from(pull), blocking::Socket::from(push));
            pull.bind(ends[place].as_str()).unwrap();
            push.connect(ends[(place + 1) % 4].as_str()).unwrap();
            (Arc::new(pull), push)
        })
        .collect();
    let threads: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(place, (pull, push))| {
            thread::spawn(move || {
                if place == 0 {
                    push.send(numbered(0)).unwrap();
                }
                for n in 0..ROUNDS {
                    let message = pull.recv_timeout(LIMIT).unwrap();
                    assert_eq!(number_of(&message), n);
                    match place {
                        0 if n + 1 < ROUNDS => push.send(numbered(n + 1)).unwrap(),
                        0 => {}
                        _ => push.send(message).unwrap(),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
