//! PUSH: deals messages out to workers (RFC 30).

use super::{Outbound, Row, declare};

declare! {
    /// Sends each message to the next PULL peer in turn that has room. See [`PushSocket`](crate::PushSocket).
    Push = Row::new(Outbound::LoadBalance, false);
    CanSend, CanBalance, CanReserve, CanConflate, HasOutbox
}
