use std::slice::from_ref;

use super::*;
use crate::pipe::PipeConfig;
use crate::pipe::tests::{Counter, announced, config};

const MARKS: Marks = Marks {
    messages: 4,
    octets: 100,
};

/// A pipe whose inbox has these marks, and the list that it announces itself on.
fn pipe(marks: Marks, conflate: bool) -> (Arc<Pipe>, Arc<ReadyList>) {
    let config = PipeConfig {
        conflate,
        ..config(Marks::default(), marks)
    };
    (Pipe::wire(&config, false), config.readable)
}

fn push(pipe: &Arc<Pipe>, messages: usize) {
    for _ in 0..messages {
        pipe.inbox.push(pipe, "message".into());
    }
}

/// Gives credit for `freed` messages and takes what there is: how many that are.
fn refill(pipe: &Pipe, freed: usize) -> Option<usize> {
    let mut batch = VecDeque::new();
    let refill = pipe.inbox.refill(load(freed), &mut batch);
    refill.map(|refill| {
        assert_eq!(refill.messages, batch.len());
        refill.messages
    })
}

fn load(messages: usize) -> Load {
    Load {
        messages,
        octets: 7 * messages,
    }
}

// A6: what the reader has and has not read counts like what waits.
#[test]
fn the_mark_counts_what_waits_and_what_the_reader_holds() {
    let (pipe, _) = pipe(MARKS, false);
    assert_eq!(pipe.inbox.room(), 4);
    push(&pipe, 3);
    assert_eq!((pipe.inbox.room(), pipe.inbox.queued()), (1, 3));
    assert_eq!(refill(&pipe, 0), Some(3));
    assert_eq!((pipe.inbox.room(), pipe.inbox.queued()), (1, 0));
    push(&pipe, 1);
    assert_eq!((pipe.inbox.room(), pipe.inbox.queued()), (0, 1));
    pipe.inbox.free(load(2));
    assert_eq!(pipe.inbox.room(), 2);
    assert_eq!(refill(&pipe, 1), Some(1));
    assert_eq!(pipe.inbox.room(), 3);
    assert_eq!(refill(&pipe, 1), None);
    assert_eq!(pipe.inbox.room(), 4);
    let stats = pipe.inbox.stats();
    assert_eq!((stats.messages_received, stats.octets_received), (4, 28));
}

#[test]
fn octets_are_a_mark_too_and_one_message_always_fits() {
    let (pipe, _) = pipe(MARKS, false);
    pipe.inbox.push(&pipe, vec![7; 1_000].into());
    assert_eq!(pipe.inbox.room(), 0);
    let one = Load::one(1_000);
    assert_eq!(refill(&pipe, 0), Some(1));
    assert_eq!(pipe.inbox.room(), 0);
    pipe.inbox.free(one);
    assert_eq!(pipe.inbox.room(), 4);
    let half = || vec![7; 60].into();
    pipe.inbox.push(&pipe, half());
    pipe.inbox.push(&pipe, half());
    assert_eq!((pipe.inbox.room(), refill(&pipe, 0)), (0, Some(2)));
    pipe.inbox.free(Load::one(60));
    assert_eq!(pipe.inbox.room(), 3);
}

#[test]
fn a_session_that_waits_for_room_is_woken_once_when_there_is_some() {
    let (pipe, _) = pipe(MARKS, false);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let mut cx = Context::from_waker(&waker);
    let woken = || counter.count();
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Ready(4));
    push(&pipe, 4);
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Pending);
    assert_eq!(refill(&pipe, 0), Some(4));
    assert_eq!(woken(), 0);
    pipe.inbox.free(load(1));
    assert_eq!(woken(), 1);
    pipe.inbox.free(load(1));
    assert_eq!(woken(), 1);
    push(&pipe, 2);
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Pending);
    assert_eq!(refill(&pipe, 2), Some(2));
    assert_eq!(woken(), 2);
}

#[test]
fn it_is_announced_when_it_has_something_and_again_only_when_it_was_found_empty() {
    let (pipe, readable) = pipe(MARKS, false);
    push(&pipe, 2);
    assert_eq!(announced(&readable), 1);
    assert_eq!(refill(&pipe, 0), Some(2));
    push(&pipe, 1);
    assert_eq!(announced(&readable), 0);
    assert_eq!(refill(&pipe, 2), Some(1));
    assert_eq!(refill(&pipe, 1), None);
    push(&pipe, 1);
    assert_eq!(announced(&readable), 1);
}

// A17
#[test]
fn conflated_it_holds_the_last_message_and_counts_the_others() {
    let (pipe, _) = pipe(MARKS, true);
    push(&pipe, 2);
    pipe.inbox.push(&pipe, "the last".into());
    assert_eq!(pipe.inbox.queued(), 1);
    let mut batch = VecDeque::new();
    pipe.inbox.refill(Load::default(), &mut batch).unwrap();
    assert_eq!(Arrival::next(&mut batch, &mut 0).unwrap(), "the last");
    assert_eq!(pipe.inbox.stats().dropped.conflated, 2);
    pipe.inbox.free(Load::one(8));
}

// A7
#[test]
fn marks_that_are_known_later_count_from_then_on() {
    let (pipe, _) = pipe(MARKS, false);
    push(&pipe, 3);
    let more = Marks {
        messages: 10,
        octets: 0,
    };
    pipe.inbox.configure(more, false);
    assert_eq!(pipe.inbox.room(), 7);
    pipe.inbox.configure(more, true);
    assert_eq!(pipe.inbox.queued(), 1);
    assert_eq!(pipe.inbox.stats().dropped.conflated, 2);
}

#[test]
fn what_is_refused_or_discarded_is_counted_under_its_cause() {
    let (pipe, _) = pipe(MARKS, false);
    pipe.inbox.refuse(load(3), |dropped| &mut dropped.forbidden);
    pipe.inbox.forbid_subscription();
    push(&pipe, 2);
    let left = pipe.inbox.discard(|dropped| &mut dropped.unread);
    assert_eq!(left, 2);
    let stats = pipe.inbox.stats();
    assert_eq!((stats.messages_received, stats.octets_received), (5, 35));
    assert_eq!((stats.dropped.forbidden, stats.dropped.unread), (4, 2));
    assert_eq!((stats.queued_in, pipe.inbox.room()), (0, 4));
}

#[test]
fn events_go_beyond_the_mark_up_to_their_own_number_and_octets() {
    let (pipe, readable) = pipe(MARKS, false);
    for _ in 0..7 {
        pipe.inbox.push_event(&pipe, "event".into(), 6);
    }
    assert_eq!((pipe.inbox.queued(), announced(&readable)), (6, 1));
    assert_eq!(pipe.inbox.stats().dropped.unread, 1);
    // In the reader's hand they do not count as waiting, but their octets do.
    assert_eq!(refill(&pipe, 0), Some(6));
    let large = || vec![7; MAX_EVENT_OCTETS].into();
    pipe.inbox.push_event(&pipe, large(), 6);
    pipe.inbox.push_event(&pipe, "event".into(), 6);
    assert_eq!(pipe.inbox.queued(), 1);
    assert_eq!(pipe.inbox.stats().dropped.unread, 2);
    assert_eq!(refill(&pipe, 0), Some(1));
    pipe.inbox.push_event(&pipe, "event".into(), 6);
    assert_eq!(pipe.inbox.queued(), 0);
    assert_eq!(pipe.inbox.stats().dropped.unread, 3);
}

// In-process, small messages that wait behind others are copied into a run.
#[test]
fn what_is_offered_arrives_in_order_whether_it_is_copied_or_shared() {
    let (pipe, _) = pipe(Marks::default(), false);
    let messages: Vec<Message> = vec![
        "alone".into(),
        "copied".into(),
        ("two", "frames").into(),
        vec![7; COPIED + 1].into(),
        vec![8; COPIED].into(),
        "".into(),
    ];
    for message in &messages {
        let done = Push::Done { full: false };
        let offered = pipe.inbox.offer(&pipe, from_ref(message), |room| room);
        assert_eq!(offered.1, done);
    }
    let mut batch = VecDeque::new();
    let taken = pipe.inbox.refill(Load::default(), &mut batch).unwrap();
    assert_eq!(taken.messages, messages.len());
    assert_eq!(taken.half, 500);
    // Three of them in one.
    assert_eq!(batch.len(), 4);
    let came: Vec<_> = std::iter::from_fn(|| Arrival::next(&mut batch, &mut 0)).collect();
    assert_eq!(came, messages);
}

#[test]
fn what_is_offered_to_a_full_queue_is_not_taken() {
    let (pipe, _) = pipe(MARKS, false);
    let message = Message::from("message");
    let offer = || pipe.inbox.offer(&pipe, from_ref(&message), |room| room).1;
    for last in [false, false, false, true] {
        assert_eq!(offer(), Push::Done { full: last });
    }
    assert_eq!(offer(), Push::Full);
    assert_eq!(pipe.inbox.queued(), 4);
}

#[test]
fn what_is_too_large_to_be_copied_is_shared_behind_others_too() {
    let (pipe, _) = pipe(Marks::default(), false);
    let large = Message::from(vec![7; COPIED + 1]);
    for message in [&"alone".into(), &large, &"copied".into(), &large] {
        pipe.inbox.offer(&pipe, from_ref(message), |room| room);
    }
    let mut batch = VecDeque::new();
    pipe.inbox.refill(Load::default(), &mut batch).unwrap();
    let came: Vec<_> = std::iter::from_fn(|| Arrival::next(&mut batch, &mut 0)).collect();
    for index in [1, 3] {
        assert_eq!(came[index].first().as_ptr(), large.first().as_ptr());
    }
}

// A thousand idle pipes that were busy once must not keep what that took.
#[test]
fn an_empty_queue_keeps_places_for_a_few_messages_and_not_for_many() {
    for (messages, kept) in [(KEEP, true), (2 * KEEP, false)] {
        let (pipe, _) = pipe(Marks::default(), false);
        let mut batch = VecDeque::new();
        for count in [messages, 1] {
            push(&pipe, count);
            pipe.inbox.refill(Load::default(), &mut batch).unwrap();
            batch.clear();
        }
        assert!(pipe.inbox.refill(Load::default(), &mut batch).is_none());
        let places = lock(&pipe.inbox.state).queue.capacity();
        assert_eq!(places >= messages, kept, "{places} places");
    }
}
