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
        self.with(|policy, queues| policy.send(queues, &text.into(), false));
    }

    fn send_to_all(&self, text: &'static str) -> bool {
        self.with(|policy, queues| policy.send(queues, &text.into(), true) != Fanned::Full)
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
