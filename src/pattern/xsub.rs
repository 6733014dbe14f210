//! XSUB: subscribes to publishers, by calls or by messages (RFC 29).

use super::{Outbound, Row, declare};

declare! {
    /// As [`Sub`](super::Sub), and sends messages to every publisher; one that begins with octet 1 or 0 subscribes or
    /// cancels (S12). See [`XSubSocket`](crate::XSubSocket).
    XSub = Row::new(Outbound::Everyone, true);
    CanSend, CanReceive, CanSubscribe, HasOutbox, HasInbox
}
