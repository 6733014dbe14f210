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
