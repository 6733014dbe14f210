//! What a publisher may rely on, against a plain map and case by case.

use std::collections::BTreeMap;

use super::*;

fn matches(index: &mut TopicIndex<usize>, message: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    index.for_each_match(message, |peer| found.push(peer));
    found
}

const NEW: Added = Added {
    first_for_topic: true,
    new_for_peer: true,
};
const JOINED: Added = Added {
    first_for_topic: false,
    new_for_peer: true,
};
const REPEATED: Added = Added {
    first_for_topic: false,
    new_for_peer: false,
};
const LAST: Removed = Removed {
    known: true,
    last_for_topic: true,
};
const ONE_LESS: Removed = Removed {
    known: true,
    last_for_topic: false,
};
const UNKNOWN: Removed = Removed {
    known: false,
    last_for_topic: false,
};

#[test]
fn a_prefix_of_the_first_frame_matches() {
    let mut index = TopicIndex::new();
    for (peer, topic) in ["", "a", "ab", "abc", "b", "abd"].into_iter().enumerate() {
        assert_eq!(index.insert(topic.as_bytes(), peer), NEW);
    }
    assert_eq!(matches(&mut index, b""), [0]);
    assert_eq!(matches(&mut index, b"a"), [0, 1]);
    assert_eq!(matches(&mut index, b"abc"), [0, 1, 2, 3]);
    assert_eq!(matches(&mut index, b"abcd"), [0, 1, 2, 3]);
    assert_eq!(matches(&mut index, b"abdc"), [0, 1, 2, 5]);
    assert_eq!(matches(&mut index, b"bx"), [0, 4]);
    assert_eq!(matches(&mut index, b"x"), [0]);
}

#[test]
fn a_peer_has_a_set_of_topics() {
    let mut index = TopicIndex::new();
    assert_eq!(index.insert(b"a", 7), NEW);
    assert_eq!(index.insert(b"a", 7), REPEATED);
    assert_eq!(index.insert(b"a", 8), JOINED);
    assert_eq!(index.insert(b"a", 7), REPEATED);
    assert_eq!(index.insert(b"", 7), NEW);
    assert_eq!((index.subscriptions_of(7), index.octets_of(7)), (2, 1));
    assert_eq!((index.topics(), index.peers_with_subscriptions()), (2, 2));
    assert_eq!(matches(&mut index, b"abc"), [7, 8]);

    // One cancel ends what two subscriptions began.
    assert_eq!(index.remove(b"a", 7), ONE_LESS);
    assert_eq!(index.remove(b"a", 7), UNKNOWN);
    assert!(!index.contains(b"a", 7) && index.contains(b"a", 8));
    assert_eq!(index.remove(b"a", 8), LAST);
    assert_eq!(index.remove(b"a", 8), UNKNOWN);
    assert_eq!(index.remove(b"never", 7), UNKNOWN);
    assert_eq!((index.subscriptions_of(7), index.octets_of(7)), (1, 0));
    assert_eq!((index.subscriptions_of(8), index.octets_of(8)), (0, 0));
    assert_eq!((index.topics(), index.peers_with_subscriptions()), (1, 1));
    assert_eq!(matches(&mut index, b"abc"), [7]);
}

#[test]
fn a_leaving_peer_orphans_only_what_was_its_own() {
    let mut index = TopicIndex::new();
    for topic in ["", "a", "abc", "abd", "x"] {
        index.insert(topic.as_bytes(), 1);
    }
    index.insert(b"abc", 2);
    index.insert(b"ab", 2);
    let mut orphans = Vec::new();
    index.remove_peer(1, |topic| orphans.push(topic.to_vec()));
    orphans.sort();
    assert_eq!(orphans, [&b""[..], b"a", b"abd", b"x"]);
    assert_eq!(matches(&mut index, b"abcd"), [2]);
    assert_eq!((index.topics(), index.peers_with_subscriptions()), (2, 1));
    assert_eq!((index.subscriptions_of(1), index.octets_of(1)), (0, 0));
    index.remove_peer(1, |_| panic!("it has left already"));
    // Its slot is free for another.
    assert_eq!(index.insert(b"x", 3), NEW);
    assert_eq!(matches(&mut index, b"xyz"), [3]);
}

#[test]
fn ten_thousand_peers_share_a_topic() {
    let mut index = TopicIndex::new();
    for peer in 0..10_000 {
        index.insert(b"news", peer);
        index.insert(format!("own/{peer}").as_bytes(), peer);
    }
    assert_eq!(matches(&mut index, b"news of today").len(), 10_000);
    assert_eq!(matches(&mut index, b"own/123"), [1, 12, 123]);
    let mut orphans = 0;
    for peer in 0..10_000 {
        index.remove_peer(peer, |_| orphans += 1);
    }
    assert_eq!(orphans, 10_001);
    assert_eq!((index.topics(), index.subscriptions), (0, 0));
}

#[test]
fn topics_that_are_cancelled_or_leave_with_their_peer_give_their_memory_back() {
    let topics = || (0..5_000_u32).map(u32::to_be_bytes);
    let mut index = TopicIndex::new();
    for leaves in [true, false] {
        for topic in topics() {
            index.insert(&topic, 1);
        }
        assert!(index.tree.places() >= 5_000);
        if leaves {
            index.remove_peer(1, |_| {});
        } else {
            for topic in topics() {
                index.remove(&topic, 1);
            }
        }
        assert_eq!((index.topics(), index.subscriptions), (0, 0));
        assert!(index.tree.places() < 2_000);
    }
}

/// Random enough for a test, and the same in every run.
struct XorShift(u64);

impl XorShift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// What the index says must be what a plain map says, whatever happened before.
fn compare_with_a_map(
    seed: u64,
    operations: usize,
    mut topic: impl FnMut(&mut XorShift) -> Vec<u8>,
) {
    const PEERS: usize = 40;
    let mut random = XorShift(seed);
    let mut index = TopicIndex::new();
    let mut model: BTreeMap<Vec<u8>, BTreeSet<usize>> = BTreeMap::new();
    for operation in 0..operations {
        let topic_now = topic(&mut random);
        let peer = random.below(PEERS);
        match random.below(100) {
            // Mostly growing and mostly shrinking phases take turns.
            0 if operation % 10_000 > 5_000 => {
                let mut orphans = BTreeSet::new();
                index.remove_peer(peer, |topic| assert!(orphans.insert(topic.to_vec())));
                model.retain(|topic, peers| {
                    let orphaned = peers.remove(&peer) && peers.is_empty();
                    assert_eq!(orphans.contains(topic), orphaned);
                    !peers.is_empty()
                });
            }
            choice if (choice < 60) == (operation % 10_000 < 5_000) => {
                let peers = model.entry(topic_now.clone()).or_default();
                let expected = Added {
                    first_for_topic: peers.is_empty(),
                    new_for_peer: peers.insert(peer),
                };
                assert_eq!(index.insert(&topic_now, peer), expected);
            }
            _ => {
                let known = model
                    .get_mut(&topic_now)
                    .is_some_and(|peers| peers.remove(&peer));
                let last_for_topic = known && model[&topic_now].is_empty();
                if last_for_topic {
                    model.remove(&topic_now);
                }
                let expected = Removed {
                    known,
                    last_for_topic,
                };
                assert_eq!(index.remove(&topic_now, peer), expected);
            }
        }
        let message = topic(&mut random);
        let mut found = matches(&mut index, &message);
        found.sort_unstable();
        let expected: BTreeSet<usize> = model
            .iter()
            .filter(|(topic, _)| message.starts_with(topic))
            .flat_map(|(_, peers)| peers)
            .copied()
            .collect();
        assert!(
            found.iter().eq(&expected),
            "{found:?} instead of {expected:?}"
        );
        assert_eq!(index.topics(), model.len());
        if operation % 1_000 == 0 {
            index.tree.check();
            for peer in 0..PEERS {
                let own = || model.iter().filter(|(_, peers)| peers.contains(&peer));
                assert_eq!(index.subscriptions_of(peer), own().count());
                assert_eq!(
                    index.octets_of(peer),
                    own().map(|(topic, _)| topic.len()).sum::<usize>()
                );
                assert!(own().all(|(topic, _)| index.contains(topic, peer)));
            }
            let peers: BTreeSet<_> = model.values().flatten().collect();
            assert_eq!(index.peers_with_subscriptions(), peers.len());
        }
    }
}

#[test]
fn like_a_map_where_topics_are_dense() {
    compare_with_a_map(1, 100_000, |random| {
        (0..random.below(8))
            .map(|_| b'a' + random.below(2) as u8)
            .collect()
    });
}

#[test]
fn like_a_map_where_topics_are_long() {
    compare_with_a_map(2, 20_000, |random| {
        (0..random.below(5))
            .flat_map(|_| {
                [
                    vec![b'x'; 300],
                    vec![b'y'; 700],
                    vec![b'x'; 1],
                    vec![b'x'; 1500],
                ][random.below(4)]
                .clone()
            })
            .collect()
    });
}

#[test]
fn like_a_map_where_topics_are_many() {
    compare_with_a_map(3, 20_000, |random| {
        (0..random.below(4))
            .map(|_| random.below(256) as u8)
            .collect()
    });
}
