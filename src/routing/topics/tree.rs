//! A radix tree of topics: one path of octets for all topics that share a prefix.

use super::node::{Label, Node, NodeId};

/// A map from topics to values whose lookup finds every prefix of a message's first frame.
///
/// The id of a topic is where its node lives. It stays the same until the topic is removed or
/// [`compact`](Self::compact) runs, so an owner can keep ids instead of topics.
///
/// Between calls, a node without a value either parts two topics or cannot be joined with its
/// neighbours because the label would be too long; so there are at most twice as many nodes as
/// topics, long labels apart.
pub(super) struct TopicTree<V> {
    /// Nodes refer to each other by index; the root comes first and is always there.
    nodes: Vec<Node<V>>,
    /// Head of the list of free nodes, linked through `parent`; the root stands for its end.
    free: NodeId,
    free_len: usize,
    topics: usize,
}

impl<V> TopicTree<V> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(Label::EMPTY, ROOT)],
            free: ROOT,
            free_len: 0,
            topics: 0,
        }
    }

    /// How many topics there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.topics
    }

    /// The id of exactly this topic.
    pub(super) fn find(&self, topic: &[u8]) -> Option<NodeId> {
        let (mut id, mut rest) = (ROOT, topic);
        while let Some(&octet) = rest.first() {
            id = self.node(id).branches.find(octet)?;
            rest = rest.strip_prefix(self.node(id).label.octets())?;
        }
        self.value(id).is_some().then_some(id)
    }

    /// The value of a topic, by its id.
    pub(super) fn value(&self, id: NodeId) -> Option<&V> {
        self.node(id).value.as_ref()
    }

    /// The value of a topic, by its id.
    pub(super) fn value_mut(&mut self, id: NodeId) -> Option<&mut V> {
        self.node_mut(id).value.as_mut()
    }

    /// The values of all topics that are a prefix of `message`, shortest first.
    pub(super) fn prefixes_of<'a>(&'a self, message: &'a [u8]) -> Prefixes<'a, V> {
        Prefixes {
            tree: self,
            next: Some((self.node(ROOT), message)),
        }
    }

    /// Gives `topic` this value if it is new; otherwise lends the value that it has.
    pub(super) fn insert(&mut self, topic: &[u8], value: V) -> (NodeId, Option<&mut V>) {
        let id = self.path_to(topic);
        if self.node(id).value.is_some() {
            return (id, self.value_mut(id));
        }
        self.node_mut(id).value = Some(value);
        self.topics += 1;
        (id, None)
    }

    /// Removes a topic by its id.
    pub(super) fn remove(&mut self, id: NodeId) -> Option<V> {
        let value = self.node_mut(id).value.take()?;
        self.topics -= 1;
        let end = self.cut_dead_end(id);
        let end = self.join_below(end);
        self.join(self.node(end).parent, end);
        Some(value)
    }

    /// Writes the topic that ends at `id` into `topic`.
    pub(super) fn read_topic(&self, mut id: NodeId, topic: &mut Vec<u8>) {
        topic.clear();
        while id != ROOT {
            let node = self.node(id);
            topic.extend(node.label.octets().iter().rev());
            id = node.parent;
        }
        topic.reverse();
    }

    /// Calls `f` with every topic, in the order of their octets.
    pub(super) fn for_each(&self, mut f: impl FnMut(&[u8])) {
        let (mut id, mut topic) = (ROOT, Vec::new());
        loop {
            let node = self.node(id);
            if node.value.is_some() {
                f(&topic);
            }
            let mut next = node.branches.ids().first().copied();
            // Nothing below: climb until there is something beside.
            while next.is_none() {
                if id == ROOT {
                    return;
                }
                let node = self.node(id);
                let label = node.label.octets();
                topic.truncate(topic.len() - label.len());
                id = node.parent;
                next = self.node(id).branches.after(first(label));
            }
            id = next.unwrap_or(ROOT);
            topic.extend_from_slice(self.node(id).label.octets());
        }
    }

    /// Gives the memory of free nodes back if it is the larger part, and then says, by old id,
    /// where each node now lives.
    ///
    /// `references` is how many ids the owner has to correct. All this work is then less than that
    /// of the removals which freed so much, and what is kept in reserve is in proportion to what is
    /// in use.
    pub(super) fn compact(&mut self, references: usize) -> Option<Vec<NodeId>> {
        if self.free_len <= KEPT_FREE + 2 * self.topics + references {
            return None;
        }
        let mut moved = Vec::with_capacity(self.nodes.len());
        let mut kept = 0;
        self.nodes.retain(|node| {
            let keep = moved.is_empty() || !node.label.octets().is_empty();
            moved.push(kept);
            kept += NodeId::from(keep);
            keep
        });
        self.nodes.shrink_to_fit();
        for node in &mut self.nodes {
            node.parent = moved[node.parent as usize];
            for id in node.branches.ids_mut() {
                *id = moved[*id as usize];
            }
        }
        (self.free, self.free_len) = (ROOT, 0);
        Some(moved)
    }

    /// The node where `topic` ends, made if it is not there.
    fn path_to(&mut self, topic: &[u8]) -> NodeId {
        let (mut id, mut rest) = (ROOT, topic);
        while let Some(&octet) = rest.first() {
            let Some(below) = self.node(id).branches.find(octet) else {
                return self.grow(id, rest);
            };
            let label = self.node(below).label.octets();
            let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            id = if common < label.len() {
                self.split(below, common)
            } else {
                below
            };
            rest = rest.get(common..).unwrap_or_default();
        }
        id
    }

    /// Appends `rest` below `id`, where no branch starts like it; returns the last node.
    fn grow(&mut self, mut id: NodeId, rest: &[u8]) -> NodeId {
        for label in rest.chunks(Label::MAX) {
            let below = self.allocate(Node::new(Label::new(label), id));
            self.node_mut(id).branches.set(first(label), below);
            id = below;
        }
        id
    }

    /// Puts a node `at` octets into the label of `id`, which keeps its id and what is left of its
    /// label.
    fn split(&mut self, id: NodeId, at: usize) -> NodeId {
        let node = self.node(id);
        let above = node.parent;
        let (head, tail) = node.label.octets().split_at(at);
        let (octet, turn) = (first(head), first(tail));
        let (head, tail) = (Label::new(head), Label::new(tail));
        let mut middle = Node::new(head, above);
        middle.branches.set(turn, id);
        let middle = self.allocate(middle);
        let node = self.node_mut(id);
        (node.label, node.parent) = (tail, middle);
        self.node_mut(above).branches.set(octet, middle);
        // Both halves are shorter than the whole, which may have been too long to join its
        // neighbours.
        self.join(above, middle);
        self.join_below(id);
        middle
    }

    /// Frees `id` and the nodes above it as far as they lead nowhere; returns the first one that
    /// stays.
    fn cut_dead_end(&mut self, mut id: NodeId) -> NodeId {
        loop {
            let node = self.node(id);
            if id == ROOT || node.value.is_some() || !node.branches.is_empty() {
                return id;
            }
            let (above, octet) = (node.parent, first(node.label.octets()));
            self.node_mut(above).branches.cut(octet);
            self.release(id);
            id = above;
        }
    }

    /// Joins `id` with the only node below it where it can; returns the one that stays.
    fn join_below(&mut self, id: NodeId) -> NodeId {
        let only = match *self.node(id).branches.ids() {
            [only] => Some(only),
            _ => None,
        };
        only.filter(|&only| self.join(id, only)).unwrap_or(id)
    }

    /// Makes `above` and the node below it one, if the one below is all that it leads to. The lower
    /// one keeps its id, because a topic may end there.
    fn join(&mut self, above: NodeId, below: NodeId) -> bool {
        let (upper, lower) = (self.node(above), self.node(below));
        let (head, tail) = (upper.label.octets(), lower.label.octets());
        if above == ROOT
            || upper.value.is_some()
            || upper.branches.ids().len() != 1
            || head.len() + tail.len() > Label::MAX
        {
            return false;
        }
        let (parent, octet) = (upper.parent, first(head));
        let label = Label::joined(head, tail);
        let lower = self.node_mut(below);
        (lower.label, lower.parent) = (label, parent);
        self.node_mut(parent).branches.set(octet, below);
        self.release(above);
        true
    }

    fn allocate(&mut self, node: Node<V>) -> NodeId {
        if self.free != ROOT {
            let id = self.free;
            let slot = self.node_mut(id);
            let next = slot.parent;
            *slot = node;
            self.free = next;
            self.free_len -= 1;
            return id;
        }
        if self.nodes.len() == self.nodes.capacity() {
            // By halves instead of doubling: less is kept in reserve, and growth still costs a
            // constant per node.
            self.nodes.reserve_exact(self.nodes.len() / 2 + 8);
        }
        let id = NodeId::try_from(self.nodes.len()).expect("memory ends before node ids do");
        self.nodes.push(node);
        id
    }

    fn release(&mut self, id: NodeId) {
        *self.node_mut(id) = Node::new(Label::EMPTY, self.free);
        self.free = id;
        self.free_len += 1;
    }

    fn node(&self, id: NodeId) -> &Node<V> {
        #[cfg(test)]
        steps::count();
        &self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<V> {
        #[cfg(test)]
        steps::count();
        &mut self.nodes[id as usize]
    }
}

/// See [`TopicTree::prefixes_of`].
pub(super) struct Prefixes<'a, V> {
    tree: &'a TopicTree<V>,
    /// The next node on the path, and what follows it in the message.
    next: Option<(&'a Node<V>, &'a [u8])>,
}

impl<'a, V> Iterator for Prefixes<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        while let Some((node, rest)) = self.next.take() {
            self.next = rest.first().and_then(|&octet| {
                let below = self.tree.node(node.branches.find(octet)?);
                Some((below, rest.strip_prefix(below.label.octets())?))
            });
            if let Some(value) = &node.value {
                return Some(value);
            }
        }
        None
    }
}

/// The octet by which the parent knows a label. Labels are not empty, so the default is never used.
fn first(label: &[u8]) -> u8 {
    label.first().copied().unwrap_or_default()
}

const ROOT: NodeId = 0;

/// Free nodes that are not worth the work of giving them back.
const KEPT_FREE: usize = 1024;

/// Counts the nodes that are looked at, so that a test can tell linear from quadratic without a
/// clock.
#[cfg(test)]
mod steps {
    use std::cell::Cell;

    thread_local!(static STEPS: Cell<u64> = const { Cell::new(0) });

    pub(super) fn count() {
        STEPS.set(STEPS.get() + 1);
    }

    pub(super) fn take() -> u64 {
        STEPS.replace(0)
    }
}

#[cfg(test)]
mod tests;
