//! ROUTER: talks to many peers by name (RFC 28).

use super::{Outbound, Row, declare};

declare! {
    /// Names the peer of each message, and sends to the peer that is named. See
    /// [`RouterSocket`](crate::RouterSocket).
    Router = Row::new(Outbound::ByPeer, true);
    CanIdentify, HasOutbox, HasInbox
}
