//! What a sender writes by itself.

use super::*;
use crate::pipe::outbox::wire::{LONG, LONG_OF_MANY};

#[tokio::test]
async fn a_lone_message_on_an_idle_connection_is_written_by_its_sender() {
    let (pipe, mut session, far) = idle(&config(marks(9), marks(9))).await;
    assert_eq!(push(&pipe, Claim::Turn), DONE);
    assert_eq!(arrived(&far, FRAME.len()).await, FRAME);
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (0, 0));
    assert!(pipe.outbox.is_parked());
    // A second one before anything came back forms a batch.
    push(&pipe, Claim::Turn);
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (1, 1));
    assert_eq!(session.octets(), FRAME);
    assert_eq!(session.looks(), Poll::Pending);
    // A batch of one makes the next a lone one again, a larger one does not;
    push(&pipe, Claim::Turn);
    assert_eq!(arrived(&far, FRAME.len()).await, FRAME);
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    assert_eq!(session.octets(), [FRAME, FRAME].concat());
    assert_eq!(session.looks(), Poll::Pending);
    push(&pipe, Claim::Turn);
    assert_eq!(pipe.outbox.waiting(), 1);
    session.octets();
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    session.octets();
    assert_eq!(session.looks(), Poll::Pending);
    // what comes from the peer does: this is an answer.
    pipe.outbox.heard();
    push(&pipe, Claim::Turn);
    assert_eq!(arrived(&far, FRAME.len()).await, FRAME);
}

#[tokio::test]
async fn one_of_many_copies_and_what_may_be_replaced_are_left_to_the_session() {
    let (pipe, session, _far) = idle(&config(marks(9), marks(9))).await;
    push(&pipe, Claim::Many);
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (1, 1));
    let conflate = PipeConfig {
        conflate: true,
        ..config(marks(9), marks(9))
    };
    let (pipe, session, _far) = idle(&conflate).await;
    push(&pipe, Claim::Turn);
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (1, 1));
}

#[tokio::test]
async fn whoever_fills_an_idle_queue_writes_it_and_goes_on() {
    let (pipe, session, far) = idle(&config(marks(3), marks(3))).await;
    push(&pipe, Claim::Many);
    push(&pipe, Claim::Many);
    assert_eq!(pipe.outbox.waiting(), 2);
    assert_eq!(push(&pipe, Claim::Many), DONE, "all of it is written");
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (0, 1));
    let frames = [FRAME, FRAME, FRAME].concat();
    assert_eq!(arrived(&far, frames.len()).await, frames);
}

#[tokio::test]
async fn whoever_makes_an_idle_queue_long_writes_it() {
    for (claim, long) in [(Claim::Many, LONG_OF_MANY), (Claim::Drop, LONG)] {
        let (pipe, _session, far) = idle(&config(marks(9), marks(9))).await;
        // It is no lone one that is written by itself.
        push(&pipe, Claim::Many);
        // Header and body.
        let half = Message::from(vec![7; (long - FRAME.len()) / 2 - 9]);
        pipe.outbox.push(&half, claim);
        assert_eq!(pipe.outbox.waiting(), 2);
        let rest = Message::from(vec![7; long - FRAME.len() - half.size() - 9 - 9]);
        pipe.outbox.push(&rest, claim);
        assert_eq!(pipe.outbox.waiting(), 0);
        arrived(&far, long).await;
    }
}

#[tokio::test]
async fn nothing_comes_between_the_octets_of_a_message_that_its_sender_began_to_write() {
    let (pipe, mut session, far) = idle(&config(marks(9), marks(9))).await;
    // More than the kernel takes.
    let large = Message::from(vec![7; 64 << 20]);
    assert_eq!(pipe.outbox.push(&large, Claim::Turn), DONE);
    assert_eq!((pipe.outbox.waiting(), session.woken.count()), (1, 1));
    assert!(!pipe.outbox.withdraw(&pipe), "it has begun to leave");
    pipe.outbox.push_subscription(true, b"a");
    session.replies.extend_from_slice(b"reply");
    assert_eq!(session.looks(), Poll::Ready(Take::Write));
    assert!(session.writing.is_begun() && session.writing.messages() == 1);
    assert_eq!(arrived(&far, 9).await, b"\x02\0\0\0\0\x04\0\0\0"[..]);
    session.writing.clear();
    assert_eq!(session.octets(), b"reply\x04\x0b\x09SUBSCRIBEa");
}

// Its octets are the session's until it looks again.
#[tokio::test]
async fn a_sender_writes_nothing_while_the_session_has_something_to_write() {
    let (pipe, mut session, _far) = idle(&config(marks(9), marks(9))).await;
    pipe.outbox.push_subscription(true, b"a");
    push(&pipe, Claim::Turn);
    assert_eq!(pipe.outbox.waiting(), 1);
    session.octets();
    session.octets();
    push(&pipe, Claim::Turn);
    assert_eq!(pipe.outbox.waiting(), 2);
    session.octets();
    assert_eq!(session.looks(), Poll::Pending);
    pipe.outbox.end(Life::Draining(None));
    pipe.outbox.disconnected(Writing::default());
    assert_eq!(session.looks(), Poll::Ready(Take::Drained));
}
