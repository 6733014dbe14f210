//! Who gets what was published.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};

use crate::routing::{TopicIndex, TopicSet};

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    Insert(u8, Topic<'a>),
    Remove(u8, Topic<'a>),
    RemovePeer(u8),
    Match(Topic<'a>),
}

/// A topic of few different octets, so that topics meet, and sometimes longer than what a node holds.
#[derive(Debug, Arbitrary)]
struct Topic<'a> {
    octets: &'a [u8],
    longer: Option<(u8, u8)>,
}

impl Topic<'_> {
    fn octets(&self) -> Vec<u8> {
        let mut topic: Vec<u8> = self
            .octets
            .iter()
            .take(64)
            .map(|octet| octet & 0x83)
            .collect();
        if let Some((len, last)) = self.longer {
            topic.resize(topic.len() + 8 * usize::from(len), b'x');
            topic.push(last);
        }
        topic
    }
}

/// S1, S3, S6, S7: the index of a publisher and the set of a subscriber say what plain maps say, whatever happened before.
pub fn index(data: &[u8]) {
    Both::default().apply_all(data);
}

/// The same from the state of a large index, which gives memory back when topics go.
pub fn crowded_index(data: &[u8]) {
    let mut both = Both::default();
    for number in 0..MANY {
        both.insert(0, &number.to_be_bytes());
    }
    both.apply_all(data);
}

#[derive(Default)]
struct Both {
    index: TopicIndex<u8>,
    peers_of: BTreeMap<Vec<u8>, BTreeSet<u8>>,
    set: TopicSet,
    count_of: BTreeMap<Vec<u8>, usize>,
}

impl Both {
    fn apply_all(&mut self, operations: &[u8]) {
        let mut operations = Unstructured::new(operations);
        while !operations.is_empty() {
            let Ok(operation) = Operation::arbitrary(&mut operations) else {
                break;
            };
            self.apply(&operation);
        }
        self.check();
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Insert(peer, topic) => {
                let topic = topic.octets();
                self.insert(peer % PEERS, &topic);
                self.subscribe(&topic);
            }
            Operation::Remove(peer, topic) => {
                let topic = topic.octets();
                self.remove(peer % PEERS, &topic);
                self.unsubscribe(&topic);
            }
            Operation::RemovePeer(peer) => self.remove_peer(peer % PEERS),
            Operation::Match(topic) => self.look_up(&topic.octets()),
        }
    }

    fn insert(&mut self, peer: u8, topic: &[u8]) {
        let peers = self.peers_of.entry(topic.to_vec()).or_default();
        let first = peers.is_empty();
        let new = peers.insert(peer);
        let added = self.index.insert(topic, peer);
        assert_eq!((added.first_for_topic, added.new_for_peer), (first, new));
    }

    fn remove(&mut self, peer: u8, topic: &[u8]) {
        let peers = self.peers_of.get_mut(topic);
        let known = peers.is_some_and(|peers| peers.remove(&peer));
        let last = known && self.peers_of[topic].is_empty();
        if last {
            self.peers_of.remove(topic);
        }
        let removed = self.index.remove(topic, peer);
        assert_eq!((removed.known, removed.last_for_topic), (known, last));
    }

    fn remove_peer(&mut self, peer: u8) {
        let mut orphans = BTreeSet::new();
        self.index
            .remove_peer(peer, |topic| assert!(orphans.insert(topic.to_vec())));
        self.peers_of.retain(|topic, peers| {
            let orphaned = peers.remove(&peer) && peers.is_empty();
            assert_eq!(orphans.remove(topic), orphaned);
            !peers.is_empty()
        });
        assert!(orphans.is_empty());
    }

    fn subscribe(&mut self, topic: &[u8]) {
        let count = self.count_of.entry(topic.to_vec()).or_default();
        *count += 1;
        assert_eq!(self.set.insert(topic), *count == 1);
    }

    fn unsubscribe(&mut self, topic: &[u8]) {
        let left = self.count_of.get_mut(topic).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            self.count_of.remove(topic);
        }
        assert_eq!(self.set.remove(topic), left.map(|left| left == 0));
    }

    fn look_up(&mut self, message: &[u8]) {
        let mut found = BTreeSet::new();
        self.index
            .for_each_match(message, |peer| assert!(found.insert(peer), "told twice"));
        let prefixes = (0..=message.len()).map(|len| &message[..len]);
        let expected = prefixes
            .clone()
            .filter_map(|prefix| self.peers_of.get(prefix))
            .flatten()
            .copied()
            .collect();
        assert_eq!(found, expected);
        let asked = prefixes.clone().any(|it| self.count_of.contains_key(it));
        assert_eq!(self.set.matches(message), asked);
    }

    fn check(&self) {
        for peer in 0..PEERS {
            let own = || {
                self.peers_of
                    .iter()
                    .filter(|(_, peers)| peers.contains(&peer))
            };
            assert_eq!(self.index.subscriptions_of(peer), own().count());
            let octets: usize = own().map(|(topic, _)| topic.len()).sum();
            assert_eq!(self.index.octets_of(peer), octets);
        }
        let peers: BTreeSet<_> = self.peers_of.values().flatten().collect();
        assert_eq!(self.index.peers_with_subscriptions(), peers.len());
        let mut topics = Vec::new();
        self.set.for_each(|topic| topics.push(topic.to_vec()));
        assert!(topics.iter().eq(self.count_of.keys()));
    }
}

const PEERS: u8 = 5;
/// So many nodes, more than a thousand, are given back when nothing else is left.
const MANY: u16 = 1200;
