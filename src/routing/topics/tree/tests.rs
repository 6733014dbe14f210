//! The shape of the tree after every kind of change, and what the changes cost.

use super::*;

impl<V> TopicTree<V> {
    /// Everything that has to be true between calls.
    pub(in super::super) fn check(&self) {
        let mut topics = 0;
        let mut seen = 1;
        for (id, node) in self.nodes.iter().enumerate() {
            let label = node.label.octets();
            topics += usize::from(node.value.is_some());
            for &below in node.branches.ids() {
                let below = self.node(below);
                assert_eq!(below.parent as usize, id);
                let octet = first(below.label.octets());
                assert!(std::ptr::eq(
                    self.node(node.branches.find(octet).unwrap()),
                    below
                ));
                assert!(
                    !below.label.octets().is_empty() && below.label.octets().len() <= Label::MAX
                );
                seen += 1;
                let seam = id != 0 && node.value.is_none() && node.branches.ids().len() == 1;
                assert!(!seam || label.len() + below.label.octets().len() > Label::MAX);
            }
            if node.value.is_none() && node.branches.is_empty() {
                assert!(id == 0 || label.is_empty(), "a dead end");
            }
        }
        assert_eq!(topics, self.topics);
        assert_eq!(seen + self.free_len, self.nodes.len());
    }

    /// For how many nodes there is memory.
    pub(in super::super) fn places(&self) -> usize {
        self.nodes.capacity()
    }
}

fn tree(topics: &[&[u8]]) -> TopicTree<()> {
    let mut tree = TopicTree::new();
    for topic in topics {
        tree.insert(topic, ());
        tree.check();
    }
    tree
}

fn live<V>(tree: &TopicTree<V>) -> usize {
    tree.nodes.len() - tree.free_len
}

fn remove(tree: &mut TopicTree<()>, topic: &[u8]) {
    let id = tree.find(topic).expect("it was inserted");
    assert!(tree.remove(id).is_some());
    assert!(tree.remove(id).is_none());
    tree.check();
}

#[test]
fn edges_split_and_join() {
    let mut tree = tree(&[b"stock/apple", b"stock/apricot", b"stock", b"stove"]);
    // The root, "sto", "ck", "/ap", "ple", "ricot" and "ve".
    assert_eq!(live(&tree), 7);
    assert!(tree.find(b"sto").is_none() && tree.find(b"stock/").is_none());
    remove(&mut tree, b"stove");
    assert_eq!(live(&tree), 5);
    remove(&mut tree, b"stock");
    assert_eq!(live(&tree), 4);
    remove(&mut tree, b"stock/apple");
    assert_eq!(live(&tree), 2);
    assert!(tree.find(b"stock/apricot").is_some());
    remove(&mut tree, b"stock/apricot");
    assert_eq!((live(&tree), tree.len()), (1, 0));
}

#[test]
fn an_id_outlives_splits_and_joins_around_it() {
    let mut tree = tree(&[b"abcdef"]);
    let id = tree.find(b"abcdef").unwrap();
    let mut topic = Vec::new();
    for other in [&b"abc"[..], b"abcdefg", b"abx", b""] {
        tree.insert(other, ());
        assert_eq!(tree.find(b"abcdef"), Some(id));
        tree.read_topic(id, &mut topic);
        assert_eq!(topic, b"abcdef");
    }
    for other in [&b"abc"[..], b"abcdefg", b"abx", b""] {
        remove(&mut tree, other);
        assert_eq!(tree.find(b"abcdef"), Some(id));
        tree.read_topic(id, &mut topic);
        assert_eq!(topic, b"abcdef");
    }
}

#[test]
fn a_mebibyte_is_a_topic_like_another() {
    let long = vec![b'x'; 1 << 20];
    let mut tree = tree(&[&long, b"x"]);
    assert_eq!(tree.prefixes_of(&long).count(), 2);
    assert_eq!(tree.prefixes_of(&long[1..]).count(), 1);
    let mut topic = Vec::new();
    tree.read_topic(tree.find(&long).unwrap(), &mut topic);
    assert_eq!(topic, long);
    tree.for_each(|topic| assert!(topic == long || topic == b"x"));

    // A neighbour that comes and goes must not cost what the long one did.
    steps::take();
    for _ in 0..100 {
        tree.insert(b"xy", ());
        let id = tree.find(b"xy").unwrap();
        tree.remove(id);
    }
    assert!(steps::take() < 100 * 60);
    tree.check();
    remove(&mut tree, &long);
    assert_eq!(live(&tree), 2);
}

#[test]
fn a_deep_tree_needs_no_stack() {
    let long = vec![b'a'; 4_000];
    let mut tree = TopicTree::new();
    for end in (0..=long.len()).rev() {
        tree.insert(&long[..end], end);
    }
    assert!(tree.prefixes_of(&long).copied().eq(0..=long.len()));
    let mut count = 0;
    tree.for_each(|topic| {
        assert_eq!(topic.len(), count);
        count += 1;
    });
    assert_eq!(count, long.len() + 1);
    // The upper half goes, from its lower end, so that what stays has a longer and longer way to
    // it.
    let mut id = tree.find(&long[..2_000]);
    while let Some(topic) = id {
        let above = tree.node(topic).parent;
        tree.remove(topic);
        id = tree.value(above).is_some().then_some(above);
    }
    assert_eq!(tree.len(), 2_000);
    tree.check();
    assert!(tree.prefixes_of(&long).copied().eq(2_001..=long.len()));
}

#[test]
fn a_million_topics_cost_a_million_steps_each_way() {
    const TOPICS: u64 = 1_000_000;
    let topic = |n: u64| {
        format!(
            "sensor/{:06}/{}",
            n * 7919 % TOPICS,
            ["speed", "torque"][n as usize % 2]
        )
    };
    let mut tree = TopicTree::new();
    steps::take();
    for n in 0..TOPICS {
        tree.insert(topic(n).as_bytes(), ());
    }
    assert_eq!(tree.len() as u64, TOPICS);
    // Six digits, and a few steps at either end.
    assert!(steps::take() < 40 * TOPICS);
    assert!(live(&tree) < 1_200_000);
    for n in 0..TOPICS {
        let id = tree.find(topic(n).as_bytes()).expect("it was inserted");
        tree.remove(id);
        tree.compact(0);
    }
    assert!(steps::take() < 40 * TOPICS);
    assert_eq!(tree.len(), 0);
    tree.check();
    assert!(tree.nodes.capacity() < 10_000, "memory is given back");
}

#[test]
fn compaction_tells_where_topics_went() {
    let topic = |n: u32| n.wrapping_mul(0x9e37_79b9).to_be_bytes();
    let mut tree = TopicTree::new();
    let mut ids: Vec<NodeId> = (0..10_000).map(|n| tree.insert(&topic(n), n).0).collect();
    for n in 100..10_000 {
        assert!(tree.remove(ids[n as usize]).is_some());
    }
    ids.truncate(100);
    assert!(
        tree.compact(100_000).is_none(),
        "the owner has too many ids to correct"
    );
    let moved = tree.compact(ids.len()).expect("most of the memory is free");
    tree.check();
    assert!(tree.nodes.capacity() <= 201);
    for (n, id) in (0..).zip(ids) {
        let id = moved[id as usize];
        assert_eq!(tree.value(id), Some(&n));
        assert_eq!(tree.find(&topic(n)), Some(id));
    }
    assert!(tree.compact(0).is_none());
}

#[test]
fn memory_is_not_given_back_while_a_third_of_it_is_in_use() {
    let mut tree = TopicTree::new();
    let ids: Vec<_> = (0..9_000_u32)
        .map(|number| tree.insert(&number.to_be_bytes(), ()).0)
        .collect();
    for id in &ids[..6_000] {
        tree.remove(*id);
        assert!(tree.compact(0).is_none());
    }
    for id in &ids[6_000..7_000] {
        tree.remove(*id);
    }
    assert!(tree.compact(0).is_some());
}

#[test]
fn a_tree_grows_by_halves_so_that_little_is_kept_in_reserve() {
    let mut tree = TopicTree::new();
    let mut grown = 0;
    for number in 0..20_000_u32 {
        let before = tree.nodes.capacity();
        tree.insert(&number.to_be_bytes(), ());
        grown += usize::from(tree.nodes.capacity() != before);
        assert!(tree.nodes.capacity() <= tree.nodes.len() * 3 / 2 + 9);
    }
    assert!(grown < 30, "{grown} times");
}
