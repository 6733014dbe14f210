//! The publisher's side: which peers a message goes to.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::node::{Node, NodeId};
use super::tree::TopicTree;

/// The subscriptions of all peers of a publisher.
///
/// Each peer has a *set* of topics: subscribing twice is subscribing once, and one cancel ends it.
/// (RFC 37 would have publishers count, but libzmq's SUB sends each SUBSCRIBE and a single CANCEL:
/// a counting publisher would never stop.)
pub(crate) struct TopicIndex<K> {
    tree: TopicTree<Subscribers>,
    /// The slot of each peer that has a subscription.
    slots: HashMap<K, Slot>,
    peers: Vec<Peer<K>>,
    free_slots: Vec<Slot>,
    /// Pairs of a peer and a topic.
    subscriptions: usize,
    /// The number of the latest lookup.
    lookup: u64,
}

/// What [`TopicIndex::insert`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    /// No peer had this topic before.
    pub(crate) first_for_topic: bool,
    /// This peer did not have this topic before.
    pub(crate) new_for_peer: bool,
}

/// What [`TopicIndex::remove`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removed {
    /// This peer had this topic.
    pub(crate) known: bool,
    /// No peer has it any more.
    pub(crate) last_for_topic: bool,
}

impl<K: Copy + Eq + Hash> Default for TopicIndex<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> TopicIndex<K> {
    pub(crate) fn new() -> Self {
        Self {
            tree: TopicTree::new(),
            slots: HashMap::new(),
            peers: Vec::new(),
            free_slots: Vec::new(),
            subscriptions: 0,
            lookup: 0,
        }
    }

    /// Subscribes `peer` to every message that starts with `topic`.
    pub(crate) fn insert(&mut self, topic: &[u8], key: K) -> Added {
        let slot = self.slot_of(key);
        let (id, present) = self.tree.insert(topic, Subscribers::One(slot));
        let first_for_topic = present.is_none();
        let new_for_peer = present.is_none_or(|subscribers| subscribers.insert(slot));
        if new_for_peer {
            let peer = &mut self.peers[slot as usize];
            peer.topics.insert(id);
            peer.octets += topic.len();
            self.subscriptions += 1;
        }
        Added {
            first_for_topic,
            new_for_peer,
        }
    }

    /// Ends the subscription of `peer` to exactly `topic`. One that it does not have is ignored
    /// (S7).
    pub(crate) fn remove(&mut self, topic: &[u8], key: K) -> Removed {
        let unknown = Removed {
            known: false,
            last_for_topic: false,
        };
        let Some(&slot) = self.slots.get(&key) else {
            return unknown;
        };
        let Some(id) = self.tree.find(topic) else {
            return unknown;
        };
        let peer = &mut self.peers[slot as usize];
        if !peer.topics.remove(&id) {
            return unknown;
        }
        peer.octets -= topic.len();
        self.subscriptions -= 1;
        if peer.topics.is_empty() {
            self.slots.remove(&key);
            self.free_slots.push(slot);
        }
        let last_for_topic = self.unlink(id, slot);
        if last_for_topic {
            self.tree.remove(id);
            self.give_back();
        }
        Removed {
            known: true,
            last_for_topic,
        }
    }

    /// Ends all subscriptions of `peer` and calls `orphaned` once for each topic that nobody else
    /// has (S6).
    pub(crate) fn remove_peer(&mut self, key: K, mut orphaned: impl FnMut(&[u8])) {
        let Some(slot) = self.slots.remove(&key) else {
            return;
        };
        self.free_slots.push(slot);
        let peer = &mut self.peers[slot as usize];
        let topics = std::mem::take(&mut peer.topics);
        peer.octets = 0;
        self.subscriptions -= topics.len();
        let mut topic = Vec::new();
        for id in topics {
            if self.unlink(id, slot) {
                self.tree.read_topic(id, &mut topic);
                self.tree.remove(id);
                orphaned(&topic);
            }
        }
        self.give_back();
    }

    /// Calls `f` once for each peer with a subscription that `message` (its first frame) starts
    /// with (S1).
    ///
    /// The order depends only on the subscriptions and their history: peers with the shortest
    /// matching topic first, and among those the one whose place was taken first.
    pub(crate) fn for_each_match(&mut self, message: &[u8], mut f: impl FnMut(K)) {
        self.lookup += 1;
        let mut left = self.slots.len();
        for subscribers in self.tree.prefixes_of(message) {
            subscribers.for_each(|slot| {
                let peer = &mut self.peers[slot as usize];
                if peer.matched_by != self.lookup {
                    peer.matched_by = self.lookup;
                    left -= 1;
                    f(peer.key);
                }
            });
            // Nobody is left to match: where all peers want everything, that is so at the root.
            if left == 0 {
                return;
            }
        }
    }

    /// Whether each peer that has a topic wants everything, so that all messages have the same matches.
    pub(crate) fn matches_alike(&self) -> bool {
        let everything = self.tree.find(&[]).and_then(|id| self.tree.value(id));
        everything.map_or(0, Subscribers::len) == self.slots.len()
    }

    /// Whether `peer` has a subscription to exactly `topic`.
    #[cfg(test)]
    pub(crate) fn contains(&self, topic: &[u8], key: K) -> bool {
        let id = self.tree.find(topic);
        let peer = self.peer(key);
        id.zip(peer)
            .is_some_and(|(id, peer)| peer.topics.contains(&id))
    }

    /// How many topics `peer` has.
    pub(crate) fn subscriptions_of(&self, key: K) -> usize {
        self.peer(key).map_or(0, |peer| peer.topics.len())
    }

    /// How many octets the topics of `peer` have together.
    pub(crate) fn octets_of(&self, key: K) -> usize {
        self.peer(key).map_or(0, |peer| peer.octets)
    }

    /// How many different topics there are.
    #[cfg(test)]
    pub(crate) fn topics(&self) -> usize {
        self.tree.len()
    }

    /// How many peers have at least one subscription.
    pub(crate) fn peers_with_subscriptions(&self) -> usize {
        self.slots.len()
    }

    fn peer(&self, key: K) -> Option<&Peer<K>> {
        self.slots.get(&key).map(|&slot| &self.peers[slot as usize])
    }

    fn slot_of(&mut self, key: K) -> Slot {
        *self.slots.entry(key).or_insert_with(|| {
            if let Some(slot) = self.free_slots.pop() {
                self.peers[slot as usize].key = key;
                return slot;
            }
            let slot = Slot::try_from(self.peers.len()).expect("peers are not counted in billions");
            self.peers.push(Peer {
                key,
                matched_by: 0,
                octets: 0,
                topics: BTreeSet::new(),
            });
            slot
        })
    }

    /// Takes a peer out of a topic; true if that topic has no peer left.
    fn unlink(&mut self, id: NodeId, slot: Slot) -> bool {
        self.tree
            .value_mut(id)
            .is_some_and(|subscribers| subscribers.remove(slot))
    }

    /// Returns the memory of removed topics when there is much of it.
    fn give_back(&mut self) {
        let Some(moved) = self.tree.compact(self.subscriptions) else {
            return;
        };
        for peer in &mut self.peers {
            peer.topics = peer.topics.iter().map(|&id| moved[id as usize]).collect();
        }
    }
}

/// Where a peer lives in [`TopicIndex::peers`].
type Slot = u32;

/// A peer with subscriptions; what is left in a free slot does not matter, but that it has no
/// topics.
struct Peer<K> {
    key: K,
    /// The lookup that last found this peer, so that none finds it twice.
    matched_by: u64,
    /// The total length of `topics`.
    octets: usize,
    topics: BTreeSet<NodeId>,
}

/// The peers of one topic, at least one.
enum Subscribers {
    /// Most topics of a large index have one peer, so it needs no allocation.
    One(Slot),
    /// In order: it is read for each message, and changed seldom, mostly at its end.
    #[expect(
        clippy::box_collection,
        reason = "every node pays for the size of the larger variant"
    )]
    Many(Box<Vec<Slot>>),
}

impl Subscribers {
    /// False if it was there.
    fn insert(&mut self, slot: Slot) -> bool {
        match self {
            Self::One(one) if *one == slot => false,
            Self::One(one) => {
                *self = Self::Many(Box::new(vec![slot.min(*one), slot.max(*one)]));
                true
            }
            Self::Many(slots) => match slots.binary_search(&slot) {
                Ok(_) => false,
                Err(place) => {
                    slots.insert(place, slot);
                    true
                }
            },
        }
    }

    /// True if nobody is left, in which case the topic has to go.
    fn remove(&mut self, slot: Slot) -> bool {
        match self {
            Self::One(one) => *one == slot,
            Self::Many(slots) => {
                if let Ok(place) = slots.binary_search(&slot) {
                    slots.remove(place);
                }
                if let [one] = slots[..] {
                    *self = Self::One(one);
                }
                false
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(slots) => slots.len(),
        }
    }

    fn for_each(&self, mut f: impl FnMut(Slot)) {
        match self {
            Self::One(one) => f(*one),
            Self::Many(slots) => slots.iter().copied().for_each(f),
        }
    }
}

const _: () = assert!(
    size_of::<Node<Subscribers>>() <= 56,
    "a million topics are a million nodes or more"
);

#[cfg(test)]
mod tests;
