use super::*;
use crate::pipe::Push;

impl Side<LoadBalance> {
    /// As a socket: pipes that have announced room are in the ring.
    fn look(&self) {
        self.config
            .writable
            .drain(|pipe| self.policy.borrow_mut().add(pipe));
    }

    fn pipes<const N: usize>(&self) -> [Arc<Pipe>; N] {
        let pipes = std::array::from_fn(|_| self.pipe());
        for pipe in &pipes {
            pipe.outbox.invite(pipe);
        }
        self.look();
        pipes
    }

    /// Whom a message goes to.
    fn send(&self) -> Option<Arc<Pipe>> {
        self.send_with(&"message".into(), Claim::Turn)
    }

    fn send_with(&self, message: &Message, claim: Claim) -> Option<Arc<Pipe>> {
        self.with(
            |policy, queues| match policy.try_send(queues, message, claim) {
                Dealt::To(pipe) => Some(pipe.clone()),
                Dealt::Ahead(_) => panic!("nobody is ahead"),
                Dealt::Nobody => None,
            },
        )
    }

    #[track_caller]
    fn goes_to(&self, pipe: &Arc<Pipe>) {
        let dealt = self.send().expect("somebody has room");
        assert_eq!(dealt.id, pipe.id);
    }
}

fn side(mark: usize) -> Side<LoadBalance> {
    Side::new(mark, LoadBalance::default())
}

// A16
#[test]
fn messages_are_dealt_in_turn() {
    let side = side(10);
    let pipes = side.pipes::<3>();
    for _ in 0..2 {
        pipes.iter().for_each(|pipe| side.goes_to(pipe));
    }
    assert_eq!(waiting(&pipes), [2, 2, 2]);
}

// A16
#[test]
fn whoever_is_full_is_passed_over_and_comes_back_last_when_there_is_room() {
    let side = side(2);
    let pipes = side.pipes::<3>();
    let [one, two, three] = &pipes;
    for pipe in pipes.iter().chain(&pipes) {
        side.goes_to(pipe);
    }
    assert!(side.send().is_none(), "all are full");
    take(two);
    side.look();
    side.goes_to(two);
    take(one);
    side.look();
    side.goes_to(two);
    side.goes_to(one);
    side.goes_to(one);
    assert!(side.send().is_none());
    assert_eq!(waiting(&pipes), [4, 4, 2]);
    assert_eq!(three.outbox.stats().dropped.full, 0, "nothing is dropped");
}

// Filled out of turn: the ring finds out when its turn comes.
#[test]
fn a_peer_that_others_filled_holds_up_nobody() {
    let side = side(1);
    let [one, two] = side.pipes();
    one.outbox.push(&"aside".into(), Claim::Aside);
    side.goes_to(&two);
    assert!(side.send().is_none());
    take(&one);
    side.look();
    side.goes_to(&one);
}

#[test]
fn a_peer_that_has_gone_gets_nothing_and_is_forgotten() {
    let side = side(1);
    let [one, two, three] = side.pipes();
    side.goes_to(&one);
    let gone = [&one, &two].map(Arc::downgrade);
    for pipe in [one, two] {
        side.policy.borrow_mut().remove(&pipe);
    }
    assert!(gone.iter().all(|pipe| pipe.upgrade().is_none()));
    side.goes_to(&three);
    assert!(side.send().is_none());
    side.policy.borrow_mut().remove(&side.pipe());
    assert_eq!(Arc::strong_count(&three), 2, "it was another that went");
}

#[test]
fn a_peer_whose_pipe_has_ended_is_passed_over() {
    let side = side(10);
    let [one, two] = side.pipes();
    one.outbox.end(Life::Ended);
    let kept = side.with(|policy, queues| policy.reserve(queues));
    assert_eq!(kept.unwrap().id, two.id);
    let [three] = side.pipes();
    three.outbox.end(Life::Ended);
    side.goes_to(&two);
    side.goes_to(&two);
}

#[test]
fn whoever_is_far_ahead_of_the_peer_in_turn_waits_for_that_one() {
    let side = side(0);
    let [one, two] = side.pipes();
    one.outbox.connected(&one, Version::V3_1);
    let large = Message::from(vec![7; 1 << 20]);
    one.outbox.push(&large, Claim::Aside);
    let ahead = side.with(|policy, queues| {
        match policy.try_send(queues, &"message".into(), Claim::Paced) {
            Dealt::Ahead(pipe) => pipe.id,
            _ => panic!("it is ahead"),
        }
    });
    assert_eq!(ahead, one.id);
    take(&one);
    side.goes_to(&one);
    side.goes_to(&two);
}

#[test]
fn places_are_kept_in_turn_and_only_where_there_is_room() {
    let side = side(2);
    let [one, two] = side.pipes();
    let reserve = || side.with(|policy, queues| policy.reserve(queues));
    let kept: Vec<_> = std::iter::from_fn(reserve).map(|pipe| pipe.id).collect();
    assert_eq!(kept, [one.id, two.id, one.id, two.id]);
    assert!(side.send().is_none(), "all places are promised");
    one.outbox.release(&one);
    side.look();
    side.goes_to(&one);
    assert!(side.send().is_none());
}

impl Side<LoadBalance> {
    /// How many of `count` messages go to whom in one go.
    fn send_some(&self, count: usize) -> Option<(usize, PeerId)> {
        let messages = vec![Message::from("message"); count];
        self.with(|policy, queues| {
            let (sent, dealt) = policy.try_send_some(queues, &messages, Claim::Turn);
            match dealt {
                Dealt::To(pipe) => Some((sent, pipe.id)),
                Dealt::Ahead(_) => panic!("nobody is ahead"),
                Dealt::Nobody => {
                    assert_eq!(sent, 0);
                    None
                }
            }
        })
    }
}

// A16
#[test]
fn of_several_each_goes_to_the_next_while_there_is_another_with_room() {
    let side = side(4);
    let pipes = side.pipes::<3>();
    let [one, two, three] = pipes.each_ref().map(|pipe| pipe.id);
    for next in [one, two, three, one] {
        assert_eq!(side.send_some(9), Some((1, next)));
    }
    // Two of them are full: the third gets what it has room for, and its turn is over with that.
    for pipe in [&pipes[0], &pipes[1]] {
        while pipe.outbox.push(&"aside".into(), Claim::Aside) != Push::Full {}
    }
    assert_eq!(side.send_some(2), Some((1, three)));
    assert_eq!(side.send_some(1), Some((1, three)));
    assert_eq!(side.send_some(9), Some((1, three)));
    assert_eq!(side.send_some(9), None);
    take(&pipes[1]);
    side.look();
    assert_eq!(side.send_some(3), Some((3, two)));
    take(&pipes[0]);
    side.look();
    assert_eq!(side.send_some(9), Some((1, two)), "its turn was first");
    assert_eq!(side.send_some(9), Some((4, one)));
    assert_eq!(side.send_some(9), None);
}

#[test]
fn whoever_is_far_ahead_sends_none_of_several() {
    let side = side(0);
    let [pipe] = side.pipes();
    pipe.outbox.connected(&pipe, Version::V3_1);
    let large = Message::from(vec![7; 1 << 20]);
    pipe.outbox.push(&large, Claim::Aside);
    let messages = vec![Message::from("message"); 3];
    side.with(|policy, queues| {
        let (sent, dealt) = policy.try_send_some(queues, &messages, Claim::Paced);
        assert!(sent == 0 && matches!(dealt, Dealt::Ahead(_)));
    });
    take(&pipe);
    assert_eq!(side.send_some(3), Some((3, pipe.id)));
}
