//! PUB: publishes to whoever subscribed (RFC 29).

use super::{Outbound, Row, declare};

declare! {
    /// Sends each message to the peers that subscribed to a prefix of its first frame. See
    /// [`PubSocket`](crate::PubSocket).
    Pub = Row::new(Outbound::Subscribers, false);
    CanSend, CanPublish, CanConflate, HasOutbox
}
