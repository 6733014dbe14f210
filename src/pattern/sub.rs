//! SUB: subscribes to publishers (RFC 29).

use super::{Outbound, Row, declare};

declare! {
    /// Receives what it subscribed to, from each publisher in turn. See [`SubSocket`](crate::SubSocket).
    Sub = Row::new(Outbound::None, true);
    CanReceive, CanSubscribe, CanConflate, HasInbox
}
