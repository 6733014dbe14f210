//! Whole sockets: calls against calls.

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use crate::{ClosedError, Model, PullSocket, PushSocket, RecvError, all, bounded};

pub const MODELS: &[Model] = &[
    bounded(
        "close_wakes_a_sender",
        (3, 4),
        "a sender that waits for a peer gets its message back when the socket is closed",
        close_wakes_a_sender,
    ),
    bounded(
        "close_wakes_two_readers",
        (2, 3),
        "all readers that wait are told when the socket is closed",
        close_wakes_two_readers,
    ),
    all(
        "close_wakes_who_waits_for_peers",
        "whoever waits for peers is told when the socket is closed",
        close_wakes_who_waits_for_peers,
    ),
];

fn close_wakes_a_sender() {
    let push = Arc::new(PushSocket::new());
    let sender = thread::spawn({
        let push = push.clone();
        move || block_on(push.send("lost"))
    });
    block_on(push.close()).unwrap();
    let refused = sender.join().unwrap().unwrap_err();
    assert_eq!(refused.into_message(), "lost");
}

fn close_wakes_two_readers() {
    let pull = Arc::new(PullSocket::new());
    let readers = [(); 2].map(|()| {
        let pull = pull.clone();
        thread::spawn(move || block_on(pull.recv()))
    });
    block_on(pull.close()).unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Err(RecvError));
    }
}

fn close_wakes_who_waits_for_peers() {
    let pull = Arc::new(PullSocket::new());
    let waiting = thread::spawn({
        let pull = pull.clone();
        move || block_on(pull.wait_for_peers(1))
    });
    block_on(pull.close()).unwrap();
    assert_eq!(waiting.join().unwrap(), Err(ClosedError));
}
