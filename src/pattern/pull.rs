//! PULL: collects messages from pushers (RFC 30).

use super::{Outbound, Row, declare};

declare! {
    /// Receives from each PUSH peer in turn. See [`PullSocket`](crate::PullSocket).
    Pull = Row::new(Outbound::None, true);
    CanReceive, CanConflate, HasInbox
}
