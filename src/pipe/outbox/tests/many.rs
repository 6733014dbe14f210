//! Several messages that are queued together.

use std::slice::from_ref;

use tokio::task::yield_now;

use super::*;
use crate::pipe::outbox::wire::LONG;
use crate::pipe::tests::{left_by, publisher};

fn push_all(
    config: &PipeConfig,
    pipe: &Arc<Pipe>,
    messages: &[Message],
    claim: Claim,
) -> (usize, Push) {
    let outgoing = &config.outgoing;
    outgoing.with(|sending| {
        pipe.outbox
            .try_push_some(&mut sending.queues, messages, claim)
    })
}

fn push_some(config: &PipeConfig, pipe: &Arc<Pipe>, count: usize) -> (usize, Push) {
    push_all(config, pipe, &vec!["message".into(); count], Claim::Turn)
}

// A6
#[test]
fn as_many_are_queued_as_the_mark_lets_in() {
    let (config, pipe) = of_two();
    assert_eq!(push_some(&config, &pipe, 3), (2, DONE_AND_FULL));
    assert_eq!(push_some(&config, &pipe, 3), (0, Push::Full));
    assert_eq!(announced(&config.writable), 0);
    assert_eq!(take(&pipe).messages(), 2);
    assert_eq!(announced(&config.writable), 1);
    assert_eq!(push_some(&config, &pipe, 1), (1, DONE));
    assert_eq!(push_some(&config, &pipe, 3), (1, DONE_AND_FULL));
    let stats = pipe.outbox.stats();
    assert_eq!((stats.messages_sent, stats.octets_sent), (4, 28));
    assert_eq!(stats.dropped.total(), 0);
    pipe.outbox.end(Life::Draining(None));
    assert_eq!(push_some(&config, &pipe, 3), (0, Push::Closed));
}

// A6
#[test]
fn octets_let_in_as_many_together_as_one_by_one() {
    let sizes = [0, 7, 7, 20, 300, 7, 3];
    let messages: Vec<_> = sizes.map(|size| vec![7; size].into()).into();
    for octets in [1, 2, 10, 19, 20, 21, 60, 350, 359, 1_000] {
        for messages_most in [0, 3] {
            let marks = Marks {
                messages: messages_most,
                octets,
            };
            let config = config(marks, marks);
            let (one, all) = (connected(&config), connected(&config));
            let singly = |message| push_all(&config, &one, from_ref(message), Claim::Turn);
            let taken = messages
                .iter()
                .take_while(|message| singly(message).0 == 1)
                .count();
            let (together, pushed) = push_all(&config, &all, &messages, Claim::Turn);
            assert_eq!(together, taken, "{marks:?}");
            let full = taken < messages.len();
            assert_eq!(pushed, Push::Done { full }, "{marks:?}");
            let [one, all] = [one, all].map(|pipe| pipe.outbox.stats());
            assert_eq!(one.octets_sent, all.octets_sent);
        }
    }
}

#[test]
fn a_place_that_is_kept_is_not_for_several() {
    let config = config(marks(4), marks(4));
    let pipe = connected(&config);
    let reserve = || {
        config
            .outgoing
            .with(|sending| pipe.outbox.reserve(&mut sending.queues))
    };
    assert!(reserve());
    assert_eq!(push_some(&config, &pipe, 9), (3, DONE_AND_FULL));
    assert_eq!(push_some(&config, &pipe, 9), (0, Push::Full));
    assert_eq!(push(&pipe, Claim::Reserved), DONE_AND_FULL);
    assert_eq!(pipe.outbox.waiting(), 4);
}

// A17
#[test]
fn conflated_each_of_several_replaces_the_one_before() {
    let config = PipeConfig {
        conflate: true,
        ..config(marks(1), marks(1))
    };
    let pipe = connected(&config);
    let messages = ["1", "2", "3"].map(Message::from);
    let pushed = push_all(&config, &pipe, &messages, Claim::Turn);
    assert_eq!(pushed, (3, DONE));
    let stats = pipe.outbox.stats();
    assert_eq!((stats.messages_sent, stats.dropped.conflated), (3, 2));
    assert_eq!(Session::of(&pipe).octets(), b"\0\x013");
}

// A3
#[test]
fn with_immediate_none_of_several_is_queued_without_a_connection() {
    let config = config(marks(2), marks(2));
    let pipe = Pipe::wire(&config, true);
    assert_eq!(push_some(&config, &pipe, 3), (0, Push::Full));
    pipe.outbox.connected(&pipe, Version::V3_1);
    assert_eq!(announced(&config.writable), 1);
    assert_eq!(push_some(&config, &pipe, 3), (2, DONE_AND_FULL));
}

#[test]
fn none_of_several_is_queued_by_who_is_ahead() {
    let config = config(Marks::default(), Marks::default());
    let pipe = connected(&config);
    let large = vec![Message::from(vec![7; 64 << 10]); 3];
    while push_all(&config, &pipe, &large, Claim::Paced).1 == DONE {}
    let waiting = pipe.outbox.waiting();
    let paced = push_all(&config, &pipe, &large, Claim::Paced);
    assert_eq!((paced, pipe.outbox.waiting()), ((0, Push::Ahead), waiting));
    assert_eq!(push_all(&config, &pipe, &large, Claim::Turn).1, DONE);
    take(&pipe);
    assert_eq!(push_all(&config, &pipe, &large, Claim::Paced).1, DONE);
}

#[tokio::test]
async fn several_on_an_idle_connection_wake_its_session_once_and_one_alone_is_written() {
    let config = config(marks(9), marks(9));
    let (pipe, session, far) = idle(&config).await;
    assert_eq!(push_some(&config, &pipe, 1), (1, DONE));
    assert_eq!(arrived(&far, FRAME.len()).await, FRAME);
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (0, 0));
    let (pipe, mut session, _far) = idle(&config).await;
    assert_eq!(push_some(&config, &pipe, 3), (3, DONE));
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (3, 1));
    assert_eq!(session.octets(), FRAME.repeat(3));
}

#[tokio::test]
async fn several_that_fill_an_idle_queue_are_written_by_their_sender() {
    let config = config(marks(3), marks(3));
    let (pipe, session, far) = idle(&config).await;
    assert_eq!(push_some(&config, &pipe, 5), (3, DONE), "all is written");
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (0, 0));
    assert_eq!(arrived(&far, 3 * FRAME.len()).await, FRAME.repeat(3));
    assert_eq!(push_some(&config, &pipe, 2), (2, DONE));
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (2, 1));
}

#[tokio::test]
async fn several_that_make_an_idle_queue_long_are_written_that_far() {
    let config = config(marks(0), marks(0));
    let (pipe, session, far) = idle(&config).await;
    // Header and body.
    let third = Message::from(vec![7; LONG / 3 - 9 + 1]);
    let pushed = push_all(&config, &pipe, &vec![third; 7], Claim::Turn);
    assert_eq!(pushed, (3, DONE));
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (0, 0));
    arrived(&far, LONG).await;
}

#[tokio::test]
async fn several_of_a_sender_in_a_loop_are_written_where_they_fill_the_queue_and_else_left() {
    let config = publisher(100);
    let (pipe, mut session, far) = left_by(&config).await;
    let woken = session.woken.count();
    assert_eq!(push_some(&config, &pipe, 150), (98, DONE));
    assert_eq!(pipe.outbox.waiting(), 0);
    assert_eq!(arrived(&far, FRAME.len() * 100).await, FRAME.repeat(100));
    assert_eq!(push_some(&config, &pipe, 52), (52, DONE));
    assert_eq!(session.woken.count(), woken);
    yield_now().await;
    assert_eq!(session.woken.count(), woken + 1);
    assert_eq!(session.octets(), FRAME.repeat(52));
}
