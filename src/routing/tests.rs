//! The policies, each with a handful of pipes.

use std::cell::RefCell;
use std::sync::Arc;

use super::*;
use crate::identity::Identity;
use crate::message::Message;
use crate::pipe::tests::{config, idle, marks, take};
use crate::pipe::{Claim, Life, PeerId, Pipe, PipeConfig, Queues};
use crate::zmtp::Version;

/// The queues of a socket and its policy.
struct Side<P> {
    config: PipeConfig,
    policy: RefCell<P>,
}

impl<P> Side<P> {
    /// `mark` messages go into each queue.
    fn new(mark: usize, policy: P) -> Self {
        Self {
            config: config(marks(mark), marks(mark)),
            policy: RefCell::new(policy),
        }
    }

    fn pipe(&self) -> Arc<Pipe> {
        Pipe::wire(&self.config, false)
    }

    fn with<T>(&self, act: impl FnOnce(&mut P, &mut Queues) -> T) -> T {
        let mut policy = self.policy.borrow_mut();
        let outgoing = &self.config.outgoing;
        outgoing.with(|sending| act(&mut policy, &mut sending.queues))
    }
}

fn waiting<const N: usize>(pipes: &[Arc<Pipe>; N]) -> [usize; N] {
    pipes.each_ref().map(|pipe| pipe.outbox.waiting())
}

mod load_balance {
    use super::*;

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
}

mod by_peer {
    use super::*;

    fn name(name: &str) -> Identity {
        name.try_into().unwrap()
    }

    fn found(peers: &ByPeer, identity: &Identity) -> Option<PeerId> {
        peers.find(identity).map(|pipe| pipe.id)
    }

    // R9
    #[test]
    fn a_peer_is_found_by_its_name_until_it_is_gone() {
        let side = Side::new(1, ());
        let (one, two) = (side.pipe(), side.pipe());
        let mut peers = ByPeer::default();
        peers.insert(name("one"), one.clone());
        peers.insert(name("two"), two.clone());
        assert_eq!(found(&peers, &name("one")), Some(one.id));
        assert_eq!(found(&peers, &name("two")), Some(two.id));
        assert_eq!(found(&peers, &name("three")), None);
        peers.remove(&name("one"), &one);
        assert_eq!(found(&peers, &name("one")), None);
        assert_eq!(found(&peers, &name("two")), Some(two.id));
    }

    #[test]
    fn a_name_is_taken_if_another_has_it_and_goes_with_its_last_holder_only() {
        let side = Side::new(1, ());
        let (old, new) = (side.pipe(), side.pipe());
        let mut peers = ByPeer::default();
        assert!(peers.taken(&name("peer"), &old).is_none());
        peers.insert(name("peer"), old.clone());
        assert!(peers.taken(&name("peer"), &old).is_none(), "it is its own");
        let holder = peers.taken(&name("peer"), &new).map(|pipe| pipe.id);
        assert_eq!(holder, Some(old.id));
        // Handed over: that the older connection ends later takes nothing from the newer.
        peers.insert(name("peer"), new.clone());
        peers.remove(&name("peer"), &old);
        assert_eq!(found(&peers, &name("peer")), Some(new.id));
    }

    // R10
    #[test]
    fn an_automatic_name_is_nobodys_and_cannot_be_announced() {
        let side = Side::new(1, ());
        let mut peers = ByPeer::default();
        let first = peers.automatic();
        // As if the numbers had come round.
        peers.insert(Identity::automatic(2), side.pipe());
        peers.insert(Identity::automatic(3), side.pipe());
        let second = peers.automatic();
        assert!(first.is_automatic() && second.is_automatic());
        assert_eq!(second, Identity::automatic(4));
        assert_ne!(first, second);
    }
}

mod fair_queue {
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
}

mod fan_out {
    use super::*;

    impl Side<FanOut> {
        fn pipes<const N: usize>(&self) -> [Arc<Pipe>; N] {
            let pipes = std::array::from_fn(|_| self.pipe());
            for pipe in &pipes {
                self.policy.borrow_mut().add(pipe.clone());
            }
            pipes
        }

        fn send(&self, text: &'static str) {
            self.with(|policy, queues| policy.send(queues, &text.into()));
        }

        fn send_to_all(&self, text: &'static str) -> bool {
            self.with(|policy, queues| policy.try_send_to_all(queues, &text.into()))
        }

        fn subscribe(&self, pipe: &Arc<Pipe>, topic: &str) {
            let added = self.policy.borrow_mut().subscribe(pipe, topic.as_bytes());
            assert!(added.is_some());
        }

        /// The topics that nobody wants any more when `pipe` is gone.
        fn remove(&self, pipe: &Arc<Pipe>) -> Vec<Vec<u8>> {
            let mut orphaned = Vec::new();
            let mut policy = self.policy.borrow_mut();
            policy.remove(pipe, |topic| orphaned.push(topic.to_vec()));
            orphaned
        }
    }

    fn side(mark: usize, audience: Audience) -> Side<FanOut> {
        Side::new(mark, FanOut::new(audience))
    }

    // S1
    #[test]
    fn a_message_goes_once_to_each_that_subscribed_to_a_prefix_of_it() {
        let side = side(10, Audience::Subscribers);
        let pipes = side.pipes::<3>();
        side.subscribe(&pipes[0], "");
        side.subscribe(&pipes[1], "news");
        side.subscribe(&pipes[1], "news.today");
        side.subscribe(&pipes[2], "sports");
        side.send("news.today");
        assert_eq!(waiting(&pipes), [1, 1, 0]);
        assert!(side.send_to_all("news.today"));
        assert_eq!(waiting(&pipes), [2, 2, 0]);
        side.send("weather");
        assert_eq!(waiting(&pipes), [3, 2, 0]);
    }

    // S11
    #[test]
    fn inverted_it_goes_to_the_others_and_without_subscriptions_to_everyone() {
        let inverted = side(10, Audience::Others);
        let pipes = inverted.pipes::<3>();
        inverted.subscribe(&pipes[1], "news");
        inverted.send("news");
        inverted.send("sports");
        assert_eq!(waiting(&pipes), [2, 1, 2]);
        let all = side(10, Audience::Everyone);
        let pipes = all.pipes::<2>();
        all.send("news");
        assert_eq!(waiting(&pipes), [1, 1]);
    }

    // Else the sender would be as slow as all sessions together.
    #[tokio::test]
    async fn a_lone_message_is_written_at_once_to_few_peers_and_left_to_the_sessions_of_many() {
        for (peers, waits) in [(16, 0), (17, 1)] {
            let side = side(9, Audience::Everyone);
            let (pipe, mut session, _far) = idle(&side.config).await;
            side.policy.borrow_mut().add(pipe.clone());
            (1..peers).for_each(|_| side.policy.borrow_mut().add(side.pipe()));
            side.send("lone");
            assert_eq!(pipe.outbox.waiting(), waits, "{peers} peers");
            while session.looks().is_ready() {
                session.writing.clear();
            }
            pipe.outbox.heard();
            assert!(side.send_to_all("lone"));
            assert_eq!(pipe.outbox.waiting(), waits, "{peers} peers");
        }
    }

    // S4
    #[test]
    fn a_full_peer_misses_the_message_which_is_counted_and_nobody_else_does() {
        let side = side(1, Audience::Everyone);
        let pipes = side.pipes::<2>();
        side.send("1");
        take(&pipes[0]);
        side.send("2");
        let dropped = pipes
            .each_ref()
            .map(|pipe| pipe.outbox.stats().dropped.full);
        assert_eq!(dropped, [0, 1]);
        let sent = pipes
            .each_ref()
            .map(|pipe| pipe.outbox.stats().messages_sent);
        assert_eq!(sent, [2, 1]);
    }

    // S8
    #[test]
    fn what_must_not_be_dropped_goes_to_all_or_to_nobody() {
        let side = side(1, Audience::Everyone);
        let pipes = side.pipes::<3>();
        assert!(side.send_to_all("1"));
        take(&pipes[0]);
        take(&pipes[1]);
        assert!(!side.send_to_all("2"), "one is full");
        take(&pipes[2]);
        assert!(side.send_to_all("2"));
        assert!(!side.send_to_all("3"));
        let stats = pipes.each_ref().map(|pipe| {
            let stats = pipe.outbox.stats();
            (stats.messages_sent, stats.dropped.full)
        });
        assert_eq!(stats, [(2, 0); 3]);
    }

    // S8
    #[test]
    fn a_full_peer_that_is_gone_is_waited_for_no_longer() {
        let side = side(1, Audience::Everyone);
        let [one, two] = side.pipes();
        assert!(side.send_to_all("1"));
        take(&one);
        assert!(!side.send_to_all("2"));
        side.remove(&two);
        assert!(side.send_to_all("2"));
        assert_eq!((one.outbox.waiting(), two.outbox.waiting()), (2, 1));
    }

    // S8: what went to one alone may have filled its queue.
    #[test]
    fn a_last_value_goes_to_one_peer_and_what_must_not_be_dropped_waits_for_it() {
        let side = side(2, Audience::Everyone);
        let pipes = side.pipes::<2>();
        assert!(side.send_to_all("1"), "nobody is full");
        side.with(|policy, queues| policy.send_to(queues, &pipes[0], &"last value".into()));
        assert_eq!(waiting(&pipes), [2, 1]);
        assert!(!side.send_to_all("2"));
        assert_eq!(waiting(&pipes), [2, 1]);
        assert_eq!(pipes[0].outbox.stats().dropped.full, 0);
    }

    #[test]
    fn what_a_peer_subscribed_to_is_counted_until_it_cancels_or_is_gone() {
        let side = side(1, Audience::Subscribers);
        let [one, two, stranger] = side.pipes();
        side.subscribe(&one, "a");
        side.subscribe(&one, "bcd");
        side.subscribe(&two, "a");
        let of = |pipe| side.policy.borrow().subscriptions_of(pipe);
        let subscribers = || side.policy.borrow().subscribers();
        assert_eq!(
            (of(&one), of(&two), of(&stranger)),
            ((2, 4), (1, 1), (0, 0))
        );
        assert_eq!(subscribers(), 2);
        let removed = side.policy.borrow_mut().unsubscribe(&one, b"a").unwrap();
        assert!(removed.known && !removed.last_for_topic);
        assert_eq!(of(&one), (1, 3));
        assert_eq!(side.remove(&one), [b"bcd"]);
        assert_eq!((of(&one), subscribers()), ((0, 0), 1));
        let mut policy = side.policy.borrow_mut();
        assert!(policy.subscribe(&one, b"a").is_none(), "it is gone");
        assert!(policy.unsubscribe(&one, b"a").is_none());
    }

    // S9
    #[test]
    fn a_peer_whose_connection_is_lost_has_no_subscriptions_until_it_sends_them_again() {
        let side = side(10, Audience::Subscribers);
        let pipes = side.pipes::<2>();
        side.subscribe(&pipes[0], "a");
        side.subscribe(&pipes[1], "a");
        let mut orphaned = 0;
        let mut lose = |pipe| {
            let mut policy = side.policy.borrow_mut();
            policy.unsubscribe_all(pipe, |_| orphaned += 1);
            orphaned
        };
        assert_eq!(lose(&pipes[0]), 0, "another wants it");
        side.send("a");
        assert_eq!(waiting(&pipes), [0, 1]);
        side.subscribe(&pipes[0], "a");
        side.send("a");
        assert_eq!(waiting(&pipes), [1, 2]);
    }

    #[test]
    fn a_peer_that_is_added_twice_gets_each_message_once() {
        let side = side(10, Audience::Everyone);
        let pipes = side.pipes::<1>();
        side.policy.borrow_mut().add(pipes[0].clone());
        side.send("once");
        assert_eq!(waiting(&pipes), [1]);
        side.remove(&pipes[0]);
        side.send("gone");
        assert_eq!(waiting(&pipes), [1]);
    }

    #[test]
    fn the_place_of_a_peer_that_is_gone_is_another_peers_and_its_subscriptions_are_not() {
        let side = side(10, Audience::Subscribers);
        let [old, other] = side.pipes();
        side.subscribe(&old, "a");
        side.subscribe(&other, "a");
        side.remove(&old);
        let [new] = side.pipes();
        side.send("a");
        assert_eq!(waiting(&[old, other, new]), [0, 1, 0]);
    }
}
