mod ahead;
mod direct;
mod many;
mod shared;
mod tempo;

use std::task::Context;
use std::time::Instant;

use super::*;
use crate::pipe::Writing;
use crate::pipe::tests::{
    Counter, Session, announced, arrived, config, connected, idle, marks, take,
};
use crate::transport::Stream;

const MOMENT: Duration = Duration::from_micros(1);

/// A connected pipe whose session holds nothing.
fn pipe() -> Arc<Pipe> {
    connected(&config(Marks::default(), Marks::default()))
}

/// A socket whose queues hold two messages each, and a connected pipe of it.
fn of_two() -> (PipeConfig, Arc<Pipe>) {
    let config = config(marks(2), marks(2));
    let pipe = connected(&config);
    (config, pipe)
}

fn push(pipe: &Arc<Pipe>, claim: Claim) -> Push {
    pipe.outbox.push(&"message".into(), claim)
}

/// Runs `test` on the main thread of a runtime with a worker, where nobody can tell when a sender lets go.
fn on_the_main_thread(test: impl AsyncFnOnce()) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(test());
}

/// A sender fills a queue of a hundred, which its session has left to it, and sixteen more, one a millisecond. Returns the
/// instant of the last.
fn goes_on(pipe: &Arc<Pipe>) -> Instant {
    let mut now = Instant::now();
    for fill in 0..17 {
        now += Duration::from_millis(1);
        let queued = pipe.outbox.waiting();
        assert!(fill == 0 || queued == 0);
        (queued..100).for_each(|_| assert_ne!(push(pipe, Claim::Many), Push::Full));
        assert!(!pipe.outbox.cool(now), "it is written");
    }
    now
}

const DONE: Push = Push::Done { full: false };
const DONE_AND_FULL: Push = Push::Done { full: true };

/// The octets of a message as `push` sends it.
const FRAME: &[u8] = b"\0\x07message";

// A6
#[test]
fn the_mark_counts_what_waits_and_not_what_the_session_has_taken() {
    let (_, pipe) = of_two();
    assert_eq!(push(&pipe, Claim::Turn), DONE);
    assert_eq!(push(&pipe, Claim::Turn), DONE_AND_FULL);
    assert_eq!(push(&pipe, Claim::Turn), Push::Full);
    assert_eq!(take(&pipe).messages(), 2);
    assert_eq!(pipe.outbox.waiting(), 2, "in the session's hand");
    assert_eq!(push(&pipe, Claim::Turn), DONE);
    assert_eq!(pipe.outbox.waiting(), 3);
    assert_eq!(take(&pipe).messages(), 1);
    assert_eq!(pipe.outbox.waiting(), 1);
    take(&pipe);
    assert_eq!(pipe.outbox.waiting(), 0);
    let stats = pipe.outbox.stats();
    assert_eq!((stats.messages_sent, stats.octets_sent), (3, 21));
}

#[test]
fn a_message_without_room_is_counted_as_dropped_only_by_who_drops_it() {
    let (_, pipe) = of_two();
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    for claim in [Claim::Turn, Claim::Paced, Claim::Aside] {
        assert_eq!(push(&pipe, claim), Push::Full);
        assert_eq!(pipe.outbox.stats().dropped.full, 0);
    }
    assert_eq!(push(&pipe, Claim::Drop), Push::Full);
    assert_eq!(push(&pipe, Claim::Many), Push::Full);
    let stats = pipe.outbox.stats();
    assert_eq!(
        (stats.dropped.full, stats.messages_sent, stats.queued_out),
        (2, 2, 2)
    );
}

#[test]
fn room_is_announced_once_if_somebody_met_a_full_queue_in_turn() {
    for claim in [Claim::Turn, Claim::Paced, Claim::Drop, Claim::Many] {
        let (config, pipe) = of_two();
        assert_eq!(push(&pipe, claim), DONE);
        take(&pipe);
        assert_eq!(announced(&config.writable), 0, "it was never full");
        push(&pipe, claim);
        push(&pipe, claim);
        assert_eq!(announced(&config.writable), 0);
        take(&pipe);
        assert_eq!(announced(&config.writable), 1, "{claim:?} filled it");
        take(&pipe);
        assert_eq!(announced(&config.writable), 0);
        // Out of turn, it keeps its place in the ring.
        push(&pipe, Claim::Aside);
        push(&pipe, Claim::Aside);
        push(&pipe, Claim::Aside);
        take(&pipe);
        assert_eq!(announced(&config.writable), 0);
        push(&pipe, Claim::Aside);
        push(&pipe, Claim::Aside);
        assert_eq!(push(&pipe, claim), Push::Full);
        take(&pipe);
        assert_eq!(announced(&config.writable), 1, "{claim:?} met it full");
    }
}

#[test]
fn a_place_that_is_kept_is_nobody_elses() {
    let (config, pipe) = of_two();
    let reserve = || {
        config
            .outgoing
            .with(|sending| pipe.outbox.reserve(&mut sending.queues))
    };
    assert!(reserve());
    assert_eq!(push(&pipe, Claim::Turn), DONE_AND_FULL);
    assert_eq!(push(&pipe, Claim::Turn), Push::Full);
    assert!(!reserve());
    assert_eq!(push(&pipe, Claim::Reserved), DONE_AND_FULL);
    assert_eq!(push(&pipe, Claim::Turn), Push::Full);
    take(&pipe);
    assert_eq!(announced(&config.writable), 1);
    assert_eq!(push(&pipe, Claim::Turn), DONE, "the place is used up");
    // Given back, it is there for whoever waits.
    assert!(reserve());
    assert_eq!(push(&pipe, Claim::Turn), Push::Full);
    pipe.outbox.release(&pipe);
    assert_eq!(announced(&config.writable), 1);
    assert_eq!(push(&pipe, Claim::Turn), DONE_AND_FULL);
}

#[test]
fn whoever_wants_a_place_in_a_full_queue_is_told_of_room() {
    let (config, pipe) = of_two();
    push(&pipe, Claim::Aside);
    push(&pipe, Claim::Aside);
    assert!(
        !config
            .outgoing
            .with(|sending| pipe.outbox.reserve(&mut sending.queues))
    );
    take(&pipe);
    assert_eq!(announced(&config.writable), 1);
}

#[test]
fn a_pipe_is_full_if_it_is_open_without_room_and_then_it_announces_room() {
    let (config, pipe) = of_two();
    let is_full = || {
        config
            .outgoing
            .with(|sending| pipe.outbox.is_full(&mut sending.queues))
    };
    push(&pipe, Claim::Aside);
    assert!(!is_full());
    take(&pipe);
    assert_eq!(announced(&config.writable), 0);
    push(&pipe, Claim::Aside);
    push(&pipe, Claim::Aside);
    assert!(is_full());
    take(&pipe);
    assert_eq!(announced(&config.writable), 1);
    push(&pipe, Claim::Aside);
    push(&pipe, Claim::Aside);
    pipe.outbox.end(Life::Ended);
    assert!(!is_full(), "nobody need wait for it");
}

#[test]
fn a_pipe_that_is_invited_announces_room_now_or_when_there_is_some() {
    let (config, pipe) = of_two();
    pipe.outbox.invite(&pipe);
    assert_eq!(announced(&config.writable), 1);
    push(&pipe, Claim::Aside);
    push(&pipe, Claim::Aside);
    pipe.outbox.invite(&pipe);
    pipe.outbox.announce_if_room(&pipe);
    assert_eq!(announced(&config.writable), 0);
    take(&pipe);
    assert_eq!(announced(&config.writable), 1);
    pipe.outbox.announce_if_room(&pipe);
    assert_eq!(announced(&config.writable), 0, "nobody wants to know");
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    pipe.outbox.discard(|dropped| &mut dropped.linger);
    pipe.outbox.announce_if_room(&pipe);
    assert_eq!(announced(&config.writable), 1);
    push(&pipe, Claim::Aside);
    push(&pipe, Claim::Turn);
    pipe.outbox.withdraw(&pipe);
    assert_eq!(announced(&config.writable), 1);
}

// A3
#[test]
fn with_immediate_nothing_is_queued_without_a_connection() {
    let config = config(marks(2), marks(2));
    let pipe = Pipe::wire(&config, true);
    assert_eq!(push(&pipe, Claim::Turn), Push::Full);
    pipe.outbox.connected(&pipe, Version::V3_1);
    assert_eq!(announced(&config.writable), 1);
    assert_eq!(push(&pipe, Claim::Turn), DONE);
    pipe.outbox.disconnected(Writing::default());
    assert_eq!(push(&pipe, Claim::Turn), Push::Full);
    // Without it, the queue is there from the beginning, and a connection is no news.
    let pipe = Pipe::wire(&config, false);
    assert_eq!(push(&pipe, Claim::Turn), DONE);
    pipe.outbox.disconnected(Writing::default());
    pipe.outbox.invite(&pipe);
    assert_eq!(announced(&config.writable), 1);
    assert_eq!(push(&pipe, Claim::Turn), DONE_AND_FULL);
    pipe.outbox.connected(&pipe, Version::V3_1);
    assert_eq!(announced(&config.writable), 0, "it is full");
}

#[test]
fn a_session_that_finds_nothing_is_woken_once_by_what_comes() {
    let (config, pipe) = of_two();
    let mut session = Session::of(&pipe);
    assert!(!pipe.outbox.is_parked());
    assert_eq!(session.looks(), Poll::Pending);
    assert!(pipe.outbox.is_parked());
    push(&pipe, Claim::Turn);
    assert_eq!((session.woken.count(), pipe.outbox.is_parked()), (1, false));
    push(&pipe, Claim::Turn);
    assert_eq!(session.woken.count(), 1);
    assert_eq!(session.octets(), [FRAME, FRAME].concat());
    assert_eq!(session.looks(), Poll::Pending);
    // Under the lock of the socket, it is woken behind it.
    config.outgoing.with(|sending| {
        pipe.outbox
            .try_push(&mut sending.queues, &"message".into(), Claim::Turn);
        assert_eq!(session.woken.count(), 1);
    });
    assert_eq!(session.woken.count(), 2);
    session.octets();
    assert_eq!(session.looks(), Poll::Pending);
    pipe.outbox.push_subscription(true, b"a");
    assert_eq!((session.woken.count(), pipe.outbox.is_parked()), (3, false));
    session.octets();
    assert_eq!(session.looks(), Poll::Pending);
    pipe.outbox.end(Life::Draining(None));
    assert_eq!((session.woken.count(), pipe.outbox.is_parked()), (4, false));
}

// S2, S9
#[test]
fn subscriptions_and_replies_go_before_the_messages_and_have_no_mark() {
    let (_, pipe) = of_two();
    let mut session = Session::of(&pipe);
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    pipe.outbox.push_subscription(true, b"a");
    pipe.outbox.push_subscription(false, b"b");
    session.replies.extend_from_slice(b"\x04\x05\x04PONG");
    let commands = b"\x04\x05\x04PONG\x04\x0b\x09SUBSCRIBEa\x04\x08\x06CANCELb";
    assert_eq!(session.octets(), commands);
    assert_eq!(session.octets(), [FRAME, FRAME].concat());
    session.replies.extend_from_slice(b"\x04\x05\x04PONG");
    assert_eq!(session.octets(), b"\x04\x05\x04PONG", "it was not lost");
    assert_eq!(session.looks(), Poll::Pending);
}

// S9
#[test]
fn a_subscription_is_sent_only_where_there_is_a_connection_that_is_told_all_of_them() {
    let config = config(marks(2), marks(2));
    let pipe = Pipe::wire(&config, false);
    let mut session = Session::of(&pipe);
    pipe.outbox.push_subscription(true, b"a");
    assert_eq!(session.looks(), Poll::Pending);
    pipe.outbox.connected(&pipe, Version::V3_0);
    pipe.outbox.push_subscription(true, b"a");
    assert_eq!(session.octets(), b"\0\x02\x01a", "as a peer of 3.0 has it");
    pipe.outbox.push_subscription(true, b"b");
    pipe.outbox.disconnected(Writing::default());
    pipe.outbox.push_subscription(true, b"c");
    assert_eq!(session.looks(), Poll::Pending);
}

#[test]
fn a_pipe_that_drains_gives_what_it_has_and_takes_nothing() {
    let (_, pipe) = of_two();
    let mut session = Session::of(&pipe);
    push(&pipe, Claim::Turn);
    pipe.outbox.end(Life::Draining(None));
    assert_eq!(push(&pipe, Claim::Turn), Push::Closed);
    assert_eq!(session.octets(), FRAME);
    assert_eq!(session.looks(), Poll::Ready(Take::Drained));
    assert!(!pipe.outbox.is_ended());
    pipe.outbox.end(Life::Ended);
    assert!(pipe.outbox.is_ended());
    assert_eq!(session.looks(), Poll::Ready(Take::Ended));
    let (_, pipe) = of_two();
    push(&pipe, Claim::Turn);
    pipe.outbox.end(Life::Ended);
    assert_eq!(
        Session::of(&pipe).looks(),
        Poll::Ready(Take::Ended),
        "at once"
    );
}

// A11
#[test]
fn a_later_end_can_only_come_sooner() {
    let life = |pipe: &Pipe| pipe.outbox.life(&mut Context::from_waker(Waker::noop()));
    let now = std::time::Instant::now();
    let draining = |seconds| Life::Draining(Some(now + Duration::from_secs(seconds)));
    let (_, pipe) = of_two();
    assert_eq!(life(&pipe), Life::Open);
    for (end, then) in [
        (Life::Draining(None), Life::Draining(None)),
        (draining(5), draining(5)),
        (draining(9), draining(5)),
        (Life::Draining(None), draining(5)),
        (draining(3), draining(3)),
        (Life::Ended, Life::Ended),
        (draining(1), Life::Ended),
    ] {
        pipe.outbox.end(end);
        assert_eq!(life(&pipe), then);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_end_of_a_pipe_is_told_of_it() {
    let (_, pipe) = of_two();
    let mut closing = std::pin::pin!(pipe.outbox.closing());
    assert!(timeout(MOMENT, &mut closing).await.is_err());
    pipe.outbox.end(Life::Draining(None));
    assert_eq!(timeout(MOMENT, closing).await, Ok(Life::Draining(None)));
}

// A4
#[test]
fn what_a_connection_did_not_carry_goes_first_on_the_next() {
    let (_, pipe) = of_two();
    let mut session = Session::of(&pipe);
    for text in ["1", "2"] {
        pipe.outbox.push(&text.into(), Claim::Turn);
    }
    assert_eq!(session.looks(), Poll::Ready(Take::Write));
    // One is written, of the other a part.
    session.writing.advance(4);
    pipe.outbox.push(&"3".into(), Claim::Turn);
    assert!(!pipe.outbox.is_lost());
    pipe.outbox
        .disconnected(std::mem::take(&mut session.writing));
    assert!(!pipe.outbox.is_lost(), "it will be sent again");
    assert_eq!(pipe.outbox.waiting(), 2);
    pipe.outbox.connected(&pipe, Version::V3_1);
    assert_eq!(session.octets(), b"\0\x012\0\x013");
    assert_eq!(pipe.outbox.stats().messages_sent, 3);
}

// R5
#[test]
fn what_has_left_is_lost_with_its_connection_until_something_else_is_sent() {
    let (_, pipe) = of_two();
    push(&pipe, Claim::Turn);
    take(&pipe);
    assert!(!pipe.outbox.is_lost());
    pipe.outbox.disconnected(Writing::default());
    assert!(pipe.outbox.is_lost());
    push(&pipe, Claim::Turn);
    assert!(!pipe.outbox.is_lost());
    pipe.outbox.end(Life::Draining(None));
    assert!(pipe.outbox.is_lost(), "no answer comes any more");
}

#[test]
fn what_has_not_begun_to_leave_can_be_taken_back() {
    let (config, pipe) = of_two();
    assert!(!pipe.outbox.withdraw(&pipe), "there is nothing");
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    assert!(pipe.outbox.withdraw(&pipe));
    assert_eq!(announced(&config.writable), 1);
    let stats = pipe.outbox.stats();
    assert_eq!((stats.dropped.withdrawn, stats.queued_out), (2, 0));
    push(&pipe, Claim::Turn);
    take(&pipe);
    assert!(!pipe.outbox.withdraw(&pipe), "it is on its way");
    assert_eq!(pipe.outbox.stats().dropped.withdrawn, 2);
}

#[test]
fn what_is_left_at_the_end_is_counted_under_its_cause() {
    let (_, pipe) = of_two();
    push(&pipe, Claim::Turn);
    push(&pipe, Claim::Turn);
    let discard = || pipe.outbox.discard(|dropped| &mut dropped.linger);
    assert_eq!(discard(), 2);
    assert_eq!(discard(), 0);
    push(&pipe, Claim::Turn);
    assert_eq!(pipe.outbox.discard(|dropped| &mut dropped.peer_gone), 1);
    let stats = pipe.outbox.stats();
    assert_eq!((stats.dropped.linger, stats.dropped.peer_gone), (2, 1));
    assert_eq!((pipe.outbox.left(), stats.queued_out), (3, 0));
}

// A17
#[test]
fn conflated_only_the_last_message_waits_and_there_is_always_room() {
    let config = PipeConfig {
        conflate: true,
        ..config(marks(1), marks(1))
    };
    let pipe = connected(&config);
    let mut session = Session::of(&pipe);
    for text in ["1", "2", "3"] {
        assert_eq!(pipe.outbox.push(&text.into(), Claim::Turn), DONE);
    }
    assert_eq!(pipe.outbox.stats().dropped.conflated, 2);
    assert_eq!(session.looks(), Poll::Ready(Take::Write));
    assert_eq!(session.writing.messages(), 1);
    // The connection breaks before the third is written: the fourth replaces that, too.
    pipe.outbox.push(&"4".into(), Claim::Turn);
    pipe.outbox
        .disconnected(std::mem::take(&mut session.writing));
    assert_eq!(pipe.outbox.stats().dropped.conflated, 3);
    pipe.outbox.connected(&pipe, Version::V3_1);
    assert_eq!(session.looks(), Poll::Ready(Take::Write));
    pipe.outbox
        .disconnected(std::mem::take(&mut session.writing));
    assert_eq!(
        pipe.outbox.stats().dropped.conflated,
        3,
        "nothing replaces it"
    );
    assert_eq!(session.octets(), b"\0\x014");
}
