//! The queue from one peer: the session that fills it against those who read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use crate::pipe::{Arrival, Load, Pipe};
use crate::pipes::{Queues, Reader, message};
use crate::{Model, all, bounded};

pub const MODELS: &[Model] = &[
    bounded(
        "a_reader_is_told_of_each_message",
        (3, 5),
        "a reader that found nothing is woken by the next message, and reads each once, in order",
        a_reader_is_told_of_each_message,
    ),
    all(
        "a_pipe_is_listed_once",
        "a pipe announces itself when its reader has left it empty, and never while it is listed",
        a_pipe_is_listed_once,
    ),
    bounded(
        "credit_wakes_a_session_that_waits_for_room",
        (2, 3),
        "a session that found the inbox full is woken by credit, and the mark is never passed",
        credit_wakes_a_session_that_waits_for_room,
    ),
    bounded(
        "two_readers_share_what_comes",
        (2, 3),
        "two messages find two readers, though one wake-up may be for both: who is woken passes on what it leaves",
        two_readers_share_what_comes,
    ),
    bounded(
        "a_reader_that_gives_up_passes_its_wake_up_on",
        (2, 3),
        "a message whose wake-up went to a reader that is dropped finds the other one",
        a_reader_that_gives_up_passes_its_wake_up_on,
    ),
];

fn a_reader_is_told_of_each_message() {
    let queues = Queues::with_marks(0, 0);
    let pipe = Pipe::wire(&queues.config, false);
    let session = thread::spawn(move || {
        for body in [1, 2] {
            pipe.inbox.push(&pipe, message(body));
        }
    });
    let reader = Reader::of(&queues);
    assert_eq!([reader.recv(), reader.recv()], [message(1), message(2)]);
    assert_eq!(reader.try_recv(), None);
    session.join().unwrap();
}

fn a_pipe_is_listed_once() {
    let queues = Queues::with_marks(0, 0);
    let pipe = Pipe::wire(&queues.config, false);
    let session = thread::spawn({
        let pipe = pipe.clone();
        move || {
            for body in [1, 2] {
                pipe.inbox.push(&pipe, message(body));
            }
        }
    });
    let mut read = 0;
    let mut look = |listed: &mut usize| {
        queues.config.readable.drain(|_| *listed += 1);
        assert!(*listed <= 1, "announced while it was listed");
        if *listed == 1 {
            let mut batch = VecDeque::new();
            let freed = Load::default();
            match pipe.inbox.refill(freed, &mut batch) {
                Some(taken) => read += taken.messages,
                None => *listed = 0,
            }
        }
    };
    let mut listed = 0;
    (0..3).for_each(|_| look(&mut listed));
    session.join().unwrap();
    (0..3).for_each(|_| look(&mut listed));
    assert_eq!(read, 2);
}

fn credit_wakes_a_session_that_waits_for_room() {
    let queues = Queues::with_marks(0, 1);
    let pipe = Pipe::wire(&queues.config, false);
    let session = thread::spawn({
        let pipe = pipe.clone();
        move || {
            for body in [1, 2, 3] {
                block_on(poll_fn(|cx| pipe.inbox.poll_room(cx)));
                let arrival = Arrival::Message(message(body));
                pipe.inbox.append(&pipe, arrival, Load::one(1), 3);
            }
        }
    });
    let reader = Reader::of(&queues);
    let read = [reader.recv(), reader.recv(), reader.recv()];
    assert_eq!(read, [message(1), message(2), message(3)]);
    session.join().unwrap();
}

fn two_readers_share_what_comes() {
    let queues = Queues::with_marks(0, 0);
    let pipe = Pipe::wire(&queues.config, false);
    let first = Arc::new(Reader::of(&queues));
    let second = thread::spawn({
        let reader = first.clone();
        move || reader.recv()
    });
    let session = thread::spawn(move || {
        for body in [1, 2] {
            pipe.inbox.push(&pipe, message(body));
        }
    });
    let first = first.recv();
    assert_ne!(first, second.join().unwrap());
    session.join().unwrap();
}

fn a_reader_that_gives_up_passes_its_wake_up_on() {
    let queues = Queues::with_marks(0, 0);
    let pipe = Pipe::wire(&queues.config, false);
    let reader = Arc::new(Reader::of(&queues));
    let fickle = thread::spawn({
        let (reader, pipe) = (reader.clone(), pipe.clone());
        move || {
            if reader.recv_or_give_up().is_some() {
                // Else there would be none for who stays.
                pipe.inbox.push(&pipe, message(1));
            }
        }
    });
    let session = thread::spawn(move || pipe.inbox.push(&pipe, message(1)));
    assert_eq!(reader.recv(), message(1));
    session.join().unwrap();
    fickle.join().unwrap();
}
