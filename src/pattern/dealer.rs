//! DEALER: asynchronous requests, or a pipeline with replies (RFC 28).

use super::{Outbound, Row, declare};

declare! {
    /// Sends to its peers in turn, receives from them in turn, adds and removes nothing (R8). See
    /// [`DealerSocket`](crate::DealerSocket).
    Dealer = Row::new(Outbound::LoadBalance, true);
    CanSend, CanReceive, CanBalance, CanReserve, CanIdentify, CanConflate, HasOutbox, HasInbox
}
