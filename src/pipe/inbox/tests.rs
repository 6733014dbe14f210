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
        octets: 9 * messages,
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
    let one = Load::one(1_009);
    assert_eq!(refill(&pipe, 0), Some(1));
    assert_eq!(pipe.inbox.room(), 0);
    pipe.inbox.free(one);
    assert_eq!(pipe.inbox.room(), 4);
    let half = || vec![7; 60].into();
    pipe.inbox.push(&pipe, half());
    pipe.inbox.push(&pipe, half());
    assert_eq!((pipe.inbox.room(), refill(&pipe, 0)), (0, Some(2)));
    pipe.inbox.free(Load::one(62));
    assert_eq!(pipe.inbox.room(), 3);
}

// Else who sends nothing but headers would choose how many wait.
#[test]
fn messages_without_octets_count_as_the_frames_that_they_are() {
    let octets_alone = Marks {
        messages: 0,
        octets: 100,
    };
    let (pipe, _) = pipe(octets_alone, false);
    for _ in 0..49 {
        pipe.inbox.push(&pipe, Message::new());
    }
    assert_eq!(pipe.inbox.room(), usize::MAX);
    pipe.inbox.push(&pipe, Message::new());
    assert_eq!(pipe.inbox.room(), 0);
    let stats = pipe.inbox.stats();
    assert_eq!((stats.messages_received, stats.octets_received), (50, 0));
}

#[test]
fn a_session_that_waits_for_room_is_woken_once_when_half_is_free() {
    let (pipe, _) = pipe(MARKS, false);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let mut cx = Context::from_waker(&waker);
    let woken = || counter.count();
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Ready(()));
    push(&pipe, 4);
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Pending);
    assert_eq!(refill(&pipe, 0), Some(4));
    pipe.inbox.free(load(1));
    assert_eq!(woken(), 0);
    pipe.inbox.free(load(1));
    assert_eq!(woken(), 1);
    pipe.inbox.free(load(1));
    assert_eq!(woken(), 1);
    push(&pipe, 3);
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Pending);
    assert_eq!(refill(&pipe, 1), Some(3));
    assert_eq!(woken(), 1);
    pipe.inbox.free(load(1));
    assert_eq!(woken(), 2);
}

#[test]
fn what_came_with_one_read_may_go_over_the_mark_and_the_next_waits_until_half_of_that_is_free() {
    let (pipe, _) = pipe(MARKS, false);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let mut cx = Context::from_waker(&waker);
    push(&pipe, 3);
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Ready(()));
    push(&pipe, 7);
    assert_eq!(pipe.inbox.poll_room(&mut cx), Poll::Pending);
    assert_eq!(refill(&pipe, 0), Some(10));
    pipe.inbox.free(load(7));
    assert_eq!((pipe.inbox.room(), counter.count()), (1, 0));
    pipe.inbox.free(load(1));
    assert_eq!((pipe.inbox.room(), counter.count()), (2, 1));
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
    let refused = Load {
        messages: 3,
        octets: 21,
    };
    pipe.inbox.refuse(refused, |dropped| &mut dropped.forbidden);
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

// Else a peer that sends much at once would have its own events dropped.
#[test]
fn messages_are_no_events() {
    let (pipe, _) = pipe(MARKS, false);
    push(&pipe, 10);
    for _ in 0..3 {
        pipe.inbox.push_event(&pipe, "event".into(), 2);
    }
    assert_eq!((pipe.inbox.queued(), refill(&pipe, 0)), (12, Some(12)));
    pipe.inbox.push_event(&pipe, "event".into(), 2);
    assert_eq!(pipe.inbox.queued(), 1);
    assert_eq!(pipe.inbox.stats().dropped.unread, 1);
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

#[test]
fn several_are_offered_as_far_as_there_is_room_and_announced_once() {
    let (pipe, readable) = pipe(MARKS, false);
    let messages = vec![Message::from("message"); 9];
    let offer = |messages: &[Message], kept: usize| {
        let (load, push) = pipe
            .inbox
            .offer(&pipe, messages, |room| room.saturating_sub(kept));
        (load.messages, load.octets, push)
    };
    assert_eq!(
        offer(&messages[..2], 0),
        (2, 14, Push::Done { full: false })
    );
    assert_eq!(announced(&readable), 1);
    // One place is another's.
    assert_eq!(offer(&messages, 1), (1, 7, Push::Done { full: true }));
    assert_eq!(offer(&messages, 1), (0, 0, Push::Full));
    assert_eq!(offer(&messages, 0), (1, 7, Push::Done { full: true }));
    assert_eq!(offer(&messages, 0), (0, 0, Push::Full));
    assert_eq!(announced(&readable), 0);
    let stats = pipe.inbox.stats();
    assert_eq!((stats.messages_received, stats.octets_received), (4, 28));
    // What the reader holds counts, too.
    let mut batch = VecDeque::new();
    assert!(pipe.inbox.refill(Load::default(), &mut batch).is_some());
    assert_eq!(offer(&messages, 0), (0, 0, Push::Full));
    pipe.inbox.free(load(3));
    assert_eq!(offer(&messages, 0), (3, 21, Push::Done { full: true }));
}

#[test]
fn several_are_offered_up_to_the_mark_in_octets() {
    let (pipe, _) = pipe(MARKS, false);
    let (large, half) = (Message::from(vec![7; 1_000]), Message::from(vec![7; 60]));
    let offer = |messages: &[Message]| {
        let (load, push) = pipe.inbox.offer(&pipe, messages, |room| room);
        (load.messages, load.octets, push)
    };
    let full = Push::Done { full: true };
    assert_eq!(offer(&[large.clone(), half.clone()]), (1, 1_000, full));
    pipe.inbox.discard(|dropped| &mut dropped.unread);
    assert_eq!(offer(&vec![half; 4]), (2, 120, full));
}

#[test]
fn several_that_are_offered_arrive_as_they_would_one_by_one() {
    let messages: Vec<Message> = vec![
        "alone".into(),
        "copied".into(),
        ("two", "frames").into(),
        vec![7; COPIED + 1].into(),
        vec![8; COPIED].into(),
        vec![9; COPIED].into(),
        "".into(),
    ];
    let mut arrived = Vec::new();
    for together in [1, messages.len()] {
        let (pipe, _) = pipe(Marks::default(), false);
        for some in messages.chunks(together) {
            let (load, push) = pipe.inbox.offer(&pipe, some, |room| room);
            let octets: usize = some.iter().map(Message::size).sum();
            assert_eq!((load.messages, load.octets), (some.len(), octets));
            assert_eq!(push, Push::Done { full: false });
        }
        let mut batch = VecDeque::new();
        let taken = pipe.inbox.refill(Load::default(), &mut batch).unwrap();
        assert_eq!(taken.messages, messages.len());
        arrived.push(batch.len());
        let came: Vec<_> = std::iter::from_fn(|| Arrival::next(&mut batch, &mut 0)).collect();
        assert_eq!(came, messages);
    }
    assert_eq!(arrived[0], arrived[1]);
}

// A17
#[test]
fn of_several_that_are_offered_the_last_is_kept_if_it_conflates() {
    let (pipe, _) = pipe(MARKS, true);
    let messages = ["1", "2", "the last"].map(Message::from);
    let (load, push) = pipe.inbox.offer(&pipe, &messages, |room| room);
    assert_eq!((load.messages, push), (3, Push::Done { full: false }));
    assert_eq!(pipe.inbox.queued(), 1);
    let mut batch = VecDeque::new();
    pipe.inbox.refill(Load::default(), &mut batch).unwrap();
    assert_eq!(Arrival::next(&mut batch, &mut 0).unwrap(), "the last");
    let stats = pipe.inbox.stats();
    assert_eq!((stats.messages_received, stats.dropped.conflated), (3, 2));
}

// The last of a run leaves with it: its buffer is used again.
#[test]
fn some_are_taken_of_a_run_at_once_and_its_last_alone() {
    let (pipe, _) = pipe(Marks::default(), false);
    let messages = ["alone", "a", "bc", "def", "ghij"].map(Message::from);
    pipe.inbox.offer(&pipe, &messages, |room| room);
    let mut batch = VecDeque::new();
    pipe.inbox.refill(Load::default(), &mut batch).unwrap();
    let mut taken = Vec::new();
    for (limit, expected) in [(9, (1, 7)), (2, (2, 7)), (9, (1, 5)), (9, (1, 6))] {
        let load = Arrival::next_some(&mut batch, &mut taken, limit);
        assert_eq!((load.messages, load.octets), expected);
    }
    assert_eq!(taken, messages);
    assert!(batch.is_empty());
}

#[tokio::test]
async fn a_session_is_woken_when_the_task_that_reads_lets_go_of_its_thread_and_outside_of_tasks_at_once()
 {
    let (pipe, _) = pipe(MARKS, false);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let waits = |pipe: &Pipe| {
        let polled = pipe.inbox.poll_room(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
    };
    push(&pipe, 4);
    waits(&pipe);
    assert_eq!(refill(&pipe, 0), Some(4));
    let (reads, count) = (pipe.clone(), counter.clone());
    let reader = tokio::spawn(async move {
        reads.inbox.free(load(2));
        count.count()
    });
    assert_eq!(reader.await.unwrap(), 0);
    assert_eq!(counter.count(), 1);
    push(&pipe, 2);
    waits(&pipe);
    pipe.inbox.free(load(2));
    assert_eq!(counter.count(), 2);
}
