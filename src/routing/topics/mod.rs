//! Subscriptions: who wants a message whose first frame starts like this.
//!
//! ```text
//!  TopicIndex   a publisher's:  topic → peers, a set for each peer
//!  TopicSet     a subscriber's: topic → how often it was subscribed
//!       └── TopicTree           the octets, once, for both
//!             └── node          one edge label and its branches
//! ```
//!
//! A subscription is a binary prefix and "" is a prefix of everything (RFC 29), so a message
//! matches exactly the topics that lie on one path from the tree's root: finding them costs the
//! length of that path, however many topics there are. All walks are loops and every list is kept
//! by id in one arena, so neither the depth nor the number of topics that a peer may ask for can
//! exhaust a stack or cost more than its share.

mod index;
mod node;
mod set;
mod tree;

pub(crate) use index::{Added, Removed, TopicIndex};
pub(crate) use set::TopicSet;
