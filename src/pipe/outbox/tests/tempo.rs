//! A sender in a loop, to which the session leaves its queue.

use tokio::task::yield_now;

use super::*;
use crate::pipe::outbox::wire::{LONG_OF_MANY, MANY};
use crate::pipe::tests::{left_by, publisher};

fn push_many(pipe: &Arc<Pipe>, messages: usize) {
    for _ in 0..messages {
        assert_ne!(push(pipe, Claim::Many), Push::Full);
    }
}

/// The session writes a batch of so many messages.
fn writes(pipe: &Arc<Pipe>, session: &mut Session, messages: usize) {
    push_many(pipe, messages);
    assert_eq!(session.octets(), FRAME.repeat(messages));
}

/// A pipe whose session has left a queue of two messages to its sender.
async fn left() -> (Arc<Pipe>, Session, Arc<Stream>) {
    left_by(&publisher(100)).await
}

#[tokio::test]
async fn what_a_sender_in_a_loop_leaves_is_taken_when_it_lets_go_of_its_thread() {
    let (pipe, mut session, _far) = left().await;
    let woken = session.woken.count();
    push_many(&pipe, 3);
    assert_eq!(
        (session.woken.count(), pipe.outbox.is_parked()),
        (woken, false)
    );
    yield_now().await;
    assert_eq!(session.woken.count(), woken + 1);
    assert_eq!(session.octets(), FRAME.repeat(5));
    // That was no long batch: the next message wakes the session at once.
    assert_eq!(session.looks(), Poll::Pending);
    push_many(&pipe, 1);
    assert_eq!(session.woken.count(), woken + 2);
}

// Where none of its tasks runs, Tokio cannot tell when a sender lets go.
#[tokio::test]
async fn a_sender_outside_the_runtime_wakes_the_session_at_once() {
    let (pipe, session, _far) = left().await;
    let woken = session.woken.count();
    let sender = pipe.clone();
    std::thread::spawn(move || push_many(&sender, 1))
        .join()
        .unwrap();
    assert_eq!(session.woken.count(), woken + 1);
}

#[tokio::test]
async fn a_sender_in_a_loop_writes_what_it_fills() {
    let (pipe, session, far) = left().await;
    let woken = session.woken.count();
    push_many(&pipe, 98);
    assert_eq!(pipe.outbox.waiting(), 0);
    assert_eq!(arrived(&far, FRAME.len() * 100).await, FRAME.repeat(100));
    yield_now().await;
    // It looks, and goes on waiting.
    assert_eq!(session.woken.count(), woken + 1);
}

#[tokio::test]
async fn a_session_that_took_all_of_a_long_batch_waits_for_the_end_of_the_loop() {
    let (pipe, mut session, _far) = idle(&publisher(100)).await;
    writes(&pipe, &mut session, MANY);
    assert_eq!(session.looks(), Poll::Ready(Take::Leave));
    let woken = session.woken.count();
    push_many(&pipe, 1);
    assert_eq!(session.woken.count(), woken);
    yield_now().await;
    assert_eq!(session.woken.count(), woken + 1);
    assert_eq!(session.octets(), FRAME);
}

#[tokio::test]
async fn what_was_left_is_taken_after_a_while_in_any_case() {
    let (pipe, mut session, _far) = left().await;
    assert!(pipe.outbox.cool(Instant::now()));
    assert!(!pipe.outbox.is_parked());
    assert_eq!(session.octets(), FRAME.repeat(2));
}

#[tokio::test]
async fn a_sender_that_goes_on_writing_is_left_to_it() {
    let (pipe, mut session, far) = left().await;
    push_many(&pipe, 98);
    arrived(&far, FRAME.len() * 100).await;
    push_many(&pipe, 1);
    assert!(!pipe.outbox.cool(Instant::now()), "it has written");
    assert!(pipe.outbox.cool(Instant::now()), "and not since");
    assert_eq!(session.octets(), FRAME);
}

/// The session has seen for 16 ms that its sender fills the queue, and leaves that to it.
async fn long() -> (Arc<Pipe>, Session, Arc<Stream>, Instant) {
    let (pipe, mut session, far) = left().await;
    let now = goes_on(&pipe);
    arrived(&far, FRAME.len() * 1_700).await;
    assert_eq!(session.looks(), Poll::Ready(Take::Leave));
    (pipe, session, far, now)
}

#[test]
fn the_end_of_a_long_loop_on_the_main_thread_waits_for_its_session_to_come_back() {
    on_the_main_thread(async || {
        let (pipe, mut session, _far, now) = long().await;
        let woken = session.woken.count();
        push_many(&pipe, 2);
        assert_eq!(session.woken.count(), woken);
        assert!(pipe.outbox.is_parked(), "if woken otherwise, it leaves it");
        assert!(pipe.outbox.cool(now));
        assert_eq!(session.octets(), FRAME.repeat(2));
        // That took of what the loop had gained: the next end wakes it.
        writes(&pipe, &mut session, MANY);
        assert_eq!(session.looks(), Poll::Ready(Take::Leave));
        let woken = session.woken.count();
        push_many(&pipe, 1);
        assert_eq!(session.woken.count(), woken + 1);
    });
}

#[test]
fn what_waits_behind_a_long_loop_does_not_hold_up_the_end_nor_what_the_kernel_refuses() {
    on_the_main_thread(async || {
        let (pipe, mut session, ..) = long().await;
        push_many(&pipe, 1);
        let woken = session.woken.count();
        pipe.outbox.end(Life::Draining(None));
        assert_eq!(session.woken.count(), woken + 1);
        assert_eq!(session.octets(), FRAME);
        let (pipe, session, ..) = long().await;
        push_many(&pipe, 1);
        let woken = session.woken.count();
        pipe.outbox.push(&vec![7; 64 << 20].into(), Claim::Many);
        assert_eq!(session.woken.count(), woken + 1);
    });
}

#[tokio::test]
async fn the_end_of_a_long_loop_of_a_task_or_on_one_thread_is_taken_when_that_lets_go() {
    let (pipe, mut session, far, _) = long().await;
    let woken = session.woken.count();
    push_many(&pipe, 1);
    assert_eq!(session.woken.count(), woken);
    yield_now().await;
    assert_eq!(session.woken.count(), woken + 1);
    push_many(&pipe, 99);
    arrived(&far, FRAME.len() * 100).await;
    assert_eq!(session.looks(), Poll::Ready(Take::Leave));
    let sender = pipe.clone();
    tokio::spawn(async move { push_many(&sender, 1) })
        .await
        .unwrap();
    assert_eq!(session.woken.count(), woken + 2);
}

// What is written since the connection was idle says nothing of a loop.
#[tokio::test]
async fn a_lone_message_that_its_sender_writes_is_no_loop() {
    let (pipe, mut session, _far) = left().await;
    assert_eq!(session.octets(), FRAME.repeat(2));
    assert_eq!(session.looks(), Poll::Pending);
    pipe.outbox.heard();
    assert_eq!(push(&pipe, Claim::Turn), Push::Done { full: false });
    assert_eq!(pipe.outbox.waiting(), 0, "written");
    assert!(pipe.outbox.cool(Instant::now()));
}

#[tokio::test]
async fn a_queue_that_does_not_grow_is_taken_after_a_few_looks() {
    let (pipe, mut session, _far) = idle(&publisher(100)).await;
    writes(&pipe, &mut session, MANY);
    push_many(&pipe, 1);
    let looks = std::iter::from_fn(|| Some(session.looks()));
    let looks = looks.take_while(|look| *look == Poll::Ready(Take::Look));
    assert_eq!(looks.count(), 4);
    assert_eq!(session.writing.messages(), 1);
}

// On one thread, the sender has a turn of its own between two looks.
#[tokio::test]
async fn a_sender_may_fill_the_queue_between_two_looks() {
    let (pipe, mut session, far) = idle(&publisher(100)).await;
    writes(&pipe, &mut session, MANY);
    push_many(&pipe, 1);
    assert_eq!(session.looks(), Poll::Ready(Take::Look));
    push_many(&pipe, 150);
    assert_eq!(arrived(&far, FRAME.len() * 100).await, FRAME.repeat(100));
    assert_eq!(pipe.outbox.waiting(), 51);
}

#[tokio::test]
async fn a_long_queue_is_taken_at_once() {
    let (pipe, mut session, _far) = idle(&publisher(100)).await;
    writes(&pipe, &mut session, MANY);
    // Only the session may write meanwhile.
    pipe.outbox.push(&vec![7; LONG_OF_MANY].into(), Claim::Many);
    assert_eq!(session.looks(), Poll::Ready(Take::Write));
}

#[tokio::test]
async fn nothing_is_left_after_a_short_batch_or_one_of_larger_messages_or_where_answers_come() {
    let up_to = |loop_size| PipeConfig {
        loop_size,
        ..publisher(100)
    };
    for (config, batch) in [
        (publisher(100), MANY - 1),
        (up_to(FRAME.len() - 1), MANY),
        (up_to(0), MANY),
    ] {
        let (pipe, mut session, _far) = idle(&config).await;
        writes(&pipe, &mut session, batch);
        push_many(&pipe, 1);
        assert_eq!(session.octets(), FRAME);
        assert_eq!(session.looks(), Poll::Pending);
    }
}

// Nobody but it encrypts.
#[tokio::test]
async fn nothing_is_left_by_a_session_whose_stream_nobody_else_may_write_to() {
    let pipe = connected(&publisher(100));
    let mut session = Session::of(&pipe);
    writes(&pipe, &mut session, MANY);
    push_many(&pipe, 1);
    assert_eq!(session.octets(), FRAME);
}

#[tokio::test]
async fn commands_and_the_end_do_not_wait_for_a_loop() {
    let (pipe, mut session, _far) = left().await;
    pipe.outbox.push_subscription(true, b"a");
    assert_eq!(session.octets(), b"\x04\x0b\x09SUBSCRIBEa");
    assert_eq!(session.octets(), FRAME.repeat(2));
    let (pipe, mut session, _far) = left().await;
    let woken = session.woken.count();
    pipe.outbox.end(Life::Draining(None));
    assert_eq!(session.woken.count(), woken + 1);
    assert_eq!(session.octets(), FRAME.repeat(2));
    assert_eq!(session.looks(), Poll::Ready(Take::Drained));
}

// The session is wanted then: it waits until the kernel takes more.
#[tokio::test]
async fn a_loop_that_fills_the_kernel_wakes_the_session_at_once() {
    let (pipe, mut session, _far) = left().await;
    let woken = session.woken.count();
    pipe.outbox.push(&vec![7; 64 << 20].into(), Claim::Many);
    assert_eq!(
        (session.woken.count(), pipe.outbox.waiting()),
        (woken + 1, 3)
    );
    assert_eq!(session.looks(), Poll::Ready(Take::Write));
}

#[tokio::test]
async fn a_new_connection_knows_nothing_of_the_loop() {
    let (pipe, mut session, _far) = left().await;
    pipe.outbox.disconnected(Writing::default());
    pipe.outbox.connected(&pipe, Version::V3_1);
    assert_eq!(session.octets(), FRAME.repeat(2));
}
