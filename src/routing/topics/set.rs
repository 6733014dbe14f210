//! The subscriber's side: what this socket asked for.

use super::tree::TopicTree;

/// The topics that the application subscribed to, each as often as it did.
///
/// Peers are told of the first subscription and the last cancel of a topic only (S3).
pub(crate) struct TopicSet {
    tree: TopicTree<usize>,
}

impl Default for TopicSet {
    fn default() -> Self {
        Self::new()
    }
}

impl TopicSet {
    pub(crate) fn new() -> Self {
        Self {
            tree: TopicTree::new(),
        }
    }

    /// Subscribes once more; true if that is the first time, so that peers have to know.
    pub(crate) fn insert(&mut self, topic: &[u8]) -> bool {
        match self.tree.insert(topic, 1) {
            (_, Some(count)) => {
                *count += 1;
                false
            }
            (_, None) => true,
        }
    }

    /// Takes one subscription back: `Some(true)` if it was the last one of this topic, so that
    /// peers have to know, and `None` if there was none.
    pub(crate) fn remove(&mut self, topic: &[u8]) -> Option<bool> {
        let id = self.tree.find(topic)?;
        let count = self.tree.value_mut(id)?;
        *count -= 1;
        if *count > 0 {
            return Some(false);
        }
        self.tree.remove(id);
        self.tree.compact(0);
        Some(true)
    }

    /// Whether a message with this first frame was asked for; a publisher may send more than that
    /// (S10).
    pub(crate) fn matches(&self, message: &[u8]) -> bool {
        self.tree.prefixes_of(message).next().is_some()
    }

    /// Calls `f` once with every topic, in the order of their octets: what a new connection has to
    /// be told (S9).
    pub(crate) fn for_each(&self, f: impl FnMut(&[u8])) {
        self.tree.for_each(f);
    }

    /// How many different topics there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(set: &TopicSet) -> Vec<Vec<u8>> {
        let mut topics = Vec::new();
        set.for_each(|topic| topics.push(topic.to_vec()));
        topics
    }

    #[test]
    fn the_first_subscription_and_the_last_cancel_count() {
        let mut set = TopicSet::new();
        assert!(set.insert(b"news"));
        assert!(!set.insert(b"news"));
        assert_eq!(set.remove(b"new"), None);
        assert_eq!(set.remove(b"news"), Some(false));
        assert!(set.matches(b"news of today"));
        assert_eq!(set.remove(b"news"), Some(true));
        assert_eq!(set.remove(b"news"), None);
        assert!(!set.matches(b"news of today"));
        assert_eq!(set.len(), 0);
    }

    #[test]
    fn a_prefix_of_the_first_frame_matches() {
        let mut set = TopicSet::new();
        assert!(!set.matches(b""));
        set.insert(b"ab");
        assert!(!set.matches(b"") && !set.matches(b"a") && !set.matches(b"b"));
        assert!(set.matches(b"ab") && set.matches(b"abc"));
        set.insert(b"");
        assert!(set.matches(b"") && set.matches(b"b"));
    }

    #[test]
    fn a_replay_names_each_topic_once() {
        let mut set = TopicSet::new();
        assert!(topics(&set).is_empty());
        for topic in ["b", "", "abd", "abc", "a", "\u{ff}", "abc", "b"] {
            set.insert(topic.as_bytes());
        }
        let expected: [&[u8]; 6] = [b"", b"a", b"abc", b"abd", b"b", "\u{ff}".as_bytes()];
        assert_eq!(topics(&set), expected);
        set.remove(b"");
        set.remove(b"abc");
        assert_eq!(
            topics(&set),
            [b"a".as_slice(), b"abc", b"abd", b"b", "\u{ff}".as_bytes()]
        );
    }
}
