use super::*;

impl Side<FairQueue> {
    /// As a socket: pipes that have announced something to read are in turn.
    fn look(&self) {
        self.config
            .readable
            .drain(|pipe| self.policy.borrow_mut().add(pipe));
    }

    /// Whom the next message is from.
    fn source(&self) -> Option<PeerId> {
        self.look();
        let mut policy = self.policy.borrow_mut();
        policy.pop()?;
        policy.source().map(|pipe| pipe.id)
    }

    /// Whom the next messages are from, each with how many there are in a row.
    fn runs(&self) -> Vec<(PeerId, usize)> {
        let mut runs: Vec<(_, usize)> = Vec::new();
        while let Some(source) = self.source() {
            match runs.last_mut() {
                Some((last, count)) if *last == source => *count += 1,
                _ => runs.push((source, 1)),
            }
        }
        runs
    }
}

fn side(mark: usize) -> Side<FairQueue> {
    Side::new(mark, FairQueue::default())
}

fn arrive(pipe: &Arc<Pipe>, messages: usize) {
    for _ in 0..messages {
        pipe.inbox.push(pipe, "message".into());
    }
}

// A15
#[test]
fn two_that_flood_have_the_same_share() {
    let side = side(0);
    let (one, two) = (side.pipe(), side.pipe());
    arrive(&one, 20);
    arrive(&two, 20);
    let runs = side.runs();
    let counts: Vec<_> = runs.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [8, 8, 8, 8, 4, 4]);
    assert!(runs.windows(2).all(|two| two[0].0 != two[1].0));
}

// A15
#[test]
fn whoever_comes_later_is_reached_within_a_turn_of_each_other_one() {
    let side = side(0);
    let (one, two, late) = (side.pipe(), side.pipe(), side.pipe());
    arrive(&one, 100);
    arrive(&two, 100);
    for _ in 0..20 {
        side.source();
    }
    arrive(&late, 1);
    let before = std::iter::from_fn(|| side.source())
        .take_while(|source| *source != late.id)
        .count();
    assert!(before <= 16, "{before} before it");
}

#[test]
fn whoever_runs_empty_ends_its_turn_and_the_next_has_a_whole_one() {
    let side = side(0);
    let (one, two, three) = (side.pipe(), side.pipe(), side.pipe());
    arrive(&one, 20);
    arrive(&two, 3);
    arrive(&three, 20);
    let runs = side.runs();
    let empty = runs.iter().position(|(source, _)| *source == two.id);
    assert_eq!(runs[empty.unwrap()], (two.id, 3));
    let others = runs.iter().filter(|(source, _)| *source != two.id);
    let counts: Vec<_> = others.map(|(_, count)| *count).collect();
    assert_eq!(counts, [8, 8, 8, 8, 4, 4]);
}

// A6
#[test]
fn a_writer_has_room_again_when_half_is_read_and_not_before() {
    let side = side(4);
    let pipe = side.pipe();
    arrive(&pipe, 4);
    assert_eq!(pipe.inbox.room(), 0);
    side.source();
    assert_eq!(pipe.inbox.room(), 0);
    side.source();
    assert_eq!(pipe.inbox.room(), 2);
    side.source();
    assert_eq!(pipe.inbox.room(), 2);
    side.source();
    assert_eq!(pipe.inbox.room(), 4);
    assert_eq!(side.source(), None);
    assert_eq!(pipe.inbox.room(), 4);
}

#[test]
fn credit_that_is_not_given_when_a_batch_ends_comes_with_the_next() {
    let side = side(8);
    let pipe = side.pipe();
    arrive(&pipe, 3);
    for _ in 0..3 {
        side.source();
    }
    assert_eq!(pipe.inbox.room(), 5, "less than half");
    arrive(&pipe, 1);
    assert!(side.source().is_some());
    assert_eq!(pipe.inbox.room(), 7);
}

#[test]
fn whoever_leaves_nothing_is_told_of_the_next_message() {
    let side = side(8);
    let pipe = side.pipe();
    arrive(&pipe, 2);
    side.source();
    let has_more = || side.policy.borrow_mut().has_more();
    assert!(has_more());
    side.source();
    assert!(!has_more());
    assert!(!has_more(), "nobody is left to ask");
    arrive(&pipe, 1);
    assert_eq!(side.source(), Some(pipe.id), "it has announced itself");
    // It came while the last batch was read: no announcement, but it is found.
    arrive(&pipe, 1);
    assert!(has_more());
    arrive(&side.pipe(), 1);
    side.look();
    assert!(has_more());
}

#[test]
fn what_is_taken_and_not_read_is_counted_and_what_waits_at_those_that_are_gone() {
    let side = side(0);
    let (one, two) = (side.pipe(), side.pipe());
    arrive(&one, 5);
    arrive(&two, 2);
    for _ in 0..4 {
        side.source();
    }
    arrive(&one, 10);
    arrive(&two, 20);
    side.look();
    let waiting = |gone: &[&Arc<Pipe>]| {
        let policy = side.policy.borrow();
        policy.waiting(|pipe| gone.iter().any(|there| there.id == pipe.id))
    };
    assert_eq!(waiting(&[]), 3);
    assert_eq!(waiting(&[&one]), 13);
    assert_eq!(waiting(&[&two]), 23);
    assert_eq!(side.policy.borrow_mut().clear(), 33);
    assert_eq!(waiting(&[&one, &two]), 0);
    assert_eq!(side.policy.borrow_mut().clear(), 0);
}

impl Side<FairQueue> {
    /// What up to `limit` messages that are taken at once say.
    fn some(&self, limit: usize) -> Vec<Message> {
        self.look();
        let mut messages = vec!["there".into()];
        let popped = self.policy.borrow_mut().pop_some(&mut messages, limit);
        assert_eq!(messages.remove(0), "there");
        assert_eq!(messages.len(), popped);
        messages
    }
}

/// The first message alone, and the others in a run.
fn arrive_together(pipe: &Arc<Pipe>, text: &'static str, messages: usize) {
    let messages = vec![Message::from(text); messages];
    pipe.inbox.offer(pipe, &messages, |room| room);
}

// A15
#[test]
fn some_are_taken_by_the_same_turns_whatever_the_limit() {
    for limits in [vec![60], vec![1; 60], vec![7; 9], vec![8; 8], vec![20; 3]] {
        let side = side(0);
        let (one, two, three) = (side.pipe(), side.pipe(), side.pipe());
        arrive_together(&one, "1", 20);
        arrive(&two, 10);
        arrive_together(&three, "3", 30);
        let taken: Vec<_> = limits.iter().map(|limit| side.some(*limit)).collect();
        assert!(
            taken
                .iter()
                .zip(&limits)
                .all(|(some, limit)| some.len() <= *limit)
        );
        let all = taken.concat();
        let runs: Vec<_> = all.chunk_by(|a, b| a == b).collect();
        let counts: Vec<_> = runs.iter().map(|run| run.len()).collect();
        assert_eq!(counts, [8, 8, 8, 2, 8, 8, 8, 4, 6], "{limits:?}");
        let whose = [0, 1, 2, 4, 8].map(|run| runs[run][0].first());
        assert_eq!(whose, [&b"message"[..], b"3", b"1", b"3", b"3"]);
        assert!(side.some(9).is_empty());
    }
}

// A15: the turn belongs to both calls.
#[test]
fn some_and_one_alone_are_taken_by_the_same_turns() {
    let side = side(0);
    let (one, two) = (side.pipe(), side.pipe());
    // The turn of whoever comes second is first.
    arrive_together(&two, "2", 10);
    arrive_together(&one, "1", 10);
    assert_eq!(side.some(5).len(), 5);
    let next: Vec<_> = (0..4).map(|_| side.source()).collect();
    let [one, two] = [Some(one.id), Some(two.id)];
    assert_eq!(next, [one, one, one, two]);
    let rest = side.some(9);
    assert_eq!(rest.len(), 9);
    assert!(rest[..7].iter().all(|message| *message == "2"));
    assert!(rest[7..].iter().all(|message| *message == "1"));
}

// A6
#[test]
fn credit_is_given_at_half_the_mark_however_many_are_taken() {
    // One behind the other, or all but the first in a run, which gives credit for all that is taken of it.
    for (limits, rooms, rooms_of_run) in [
        ([1, 1, 1], [0, 0, 3], [0, 0, 3]),
        ([2, 1, 1], [0, 3, 3], [0, 3, 3]),
        ([2, 3, 1], [0, 3, 6], [0, 5, 5]),
        ([4, 1, 1], [3, 3, 6], [4, 4, 4]),
    ] {
        let check = |arrive: fn(&Arc<Pipe>), rooms| {
            let side = side(6);
            let pipe = side.pipe();
            arrive(&pipe);
            let taken = limits.map(|limit| {
                assert_eq!(side.some(limit).len(), limit);
                pipe.inbox.room()
            });
            assert_eq!(taken, rooms, "{limits:?}");
        };
        check(|pipe| arrive(pipe, 6), rooms);
        check(|pipe| arrive_together(pipe, "message", 6), rooms_of_run);
    }
}

#[test]
fn what_is_left_when_some_are_taken_is_counted() {
    let side = side(0);
    let (one, two) = (side.pipe(), side.pipe());
    arrive_together(&two, "2", 5);
    arrive_together(&one, "1", 12);
    let waiting = || side.policy.borrow().waiting(|_| false);
    let queued = || one.inbox.queued() + two.inbox.queued();
    for (limit, waits, unseen) in [(3, 9, 5), (5, 4, 5), (2, 7, 0), (9, 0, 0)] {
        side.some(limit);
        assert_eq!((waiting(), queued()), (waits, unseen), "{limit}");
    }
    arrive_together(&one, "1", 3);
    assert_eq!(side.some(1).len(), 1);
    assert_eq!(side.policy.borrow_mut().clear(), 2);
    assert_eq!(waiting(), 0);
}
