//! PAIR: two sockets, exclusively (RFC 31).

use super::{Outbound, Row, declare};

declare! {
    /// Talks to a single PAIR peer; a second is refused (L3). See [`PairSocket`](crate::PairSocket).
    Pair = Row { single_peer: true, ..Row::new(Outbound::LoadBalance, true) };
    CanSend, CanReceive, CanBalance, CanReserve, HasOutbox, HasInbox
}
