//! Sockets whose calls block, by threads of their own.

use std::thread;
use std::time::{Duration, Instant};

use jackstay::blocking::{PullSocket, PushSocket};
use jackstay::{ClosedError, RecvError, TryRecvError};

use crate::support::{LIMIT, Transport, assert_numbers, many};

/// Time enough to see that a call waits.
const MOMENT: Duration = Duration::from_millis(20);

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Ipc, Transport::Inproc];

/// Both with queues of `hwm` messages, and acquainted.
fn joined(over: Transport, hwm: usize) -> (PushSocket, PullSocket) {
    let push = jackstay::PushSocket::builder().send_hwm(hwm).build();
    let pull = jackstay::PullSocket::builder().recv_hwm(hwm).build();
    let (push, pull) = (PushSocket::from(push), PullSocket::from(pull));
    push.connect(pull.bind(over.any()).unwrap()).unwrap();
    assert!(push.wait_for_peers(1, LIMIT) && pull.wait_for_peers(1, LIMIT));
    (push, pull)
}

#[test]
fn f8_many_arrive_in_order_while_both_sides_wait_for_each_other() {
    for over in TRANSPORTS {
        let (push, pull) = joined(over, 5);
        let sender = thread::spawn(move || {
            let mut messages = many(0..1_000);
            push.send_many(&mut messages).unwrap();
            assert!(messages.is_empty());
            let mut messages = many(1_000..2_000);
            push.send_many_timeout(&mut messages, LIMIT).unwrap();
            assert!(messages.is_empty());
            push
        });
        let mut received = Vec::new();
        while received.len() < 2_000 {
            let count = match received.len() < 1_000 {
                true => pull.recv_many(&mut received, 7).unwrap(),
                false => pull.recv_many_timeout(&mut received, 7, LIMIT).unwrap(),
            };
            assert!((1..=7).contains(&count), "{count}");
        }
        assert_numbers(&received, 0..2_000);
        sender.join().unwrap();
    }
}

#[test]
fn what_finds_no_room_in_time_is_left() {
    for over in TRANSPORTS {
        let push = jackstay::PushSocket::builder()
            .send_hwm(10)
            .linger(Duration::ZERO)
            .build();
        let push = PushSocket::from(push);
        push.connect(over.fixed()).unwrap();
        let mut messages = many(0..15);
        let begun = Instant::now();
        push.send_many_timeout(&mut messages, MOMENT).unwrap();
        assert!(begun.elapsed() >= MOMENT, "it did not wait");
        assert_numbers(&messages, 10..15);
        // Without any time, too.
        push.send_many_timeout(&mut messages, Duration::ZERO)
            .unwrap();
        assert_numbers(&messages, 10..15);
        assert_eq!(push.stats().messages_sent, 10);
        push.close().unwrap_err();
        let closed = push.send_many_timeout(&mut messages, MOMENT);
        assert_eq!(closed, Err(ClosedError));
        assert_eq!(push.send_many(&mut messages), Err(ClosedError));
        assert_numbers(&messages, 10..15);
    }
}

#[test]
fn what_does_not_come_in_time_is_not_waited_for() {
    for over in TRANSPORTS {
        let (push, pull) = joined(over, 100);
        let mut received = many(0..1);
        assert_eq!(pull.recv_many(&mut received, 0), Ok(0));
        let begun = Instant::now();
        let none = pull.recv_many_timeout(&mut received, 9, MOMENT);
        assert_eq!(none, Err(TryRecvError::Empty));
        assert!(begun.elapsed() >= MOMENT, "it did not wait");
        assert_numbers(&received, 0..1);
        push.send_many(&mut many(1..4)).unwrap();
        while received.len() < 4 {
            pull.recv_many_timeout(&mut received, 2, LIMIT).unwrap();
        }
        assert_numbers(&received, 0..4);
        pull.close().unwrap();
        let closed = pull.recv_many_timeout(&mut received, 9, MOMENT);
        assert_eq!(closed, Err(TryRecvError::Closed));
        assert_eq!(pull.recv_many(&mut received, 9), Err(RecvError));
    }
}
