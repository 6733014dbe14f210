//! REP: replies to what it was asked (RFC 28).

use bytes::Bytes;

use super::{Outbound, Row, declare};
use crate::message::Message;

declare! {
    /// Accepts requests, each of which remembers whom to reply to. See [`RepSocket`](crate::RepSocket).
    Rep = Row::new(Outbound::ByPeer, true);
    HasOutbox, HasInbox
}

/// Splits a request into its envelope, up to and with the first empty frame (R6), and its body. `None` without a
/// delimiter or without a body (R7).
pub(crate) fn split_envelope(mut request: Message) -> Option<(Vec<Bytes>, Message)> {
    let mut envelope = Vec::new();
    loop {
        let frame = request.pop_front()?;
        let delimiter = frame.is_empty();
        envelope.push(frame);
        if delimiter {
            return Some((envelope, request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R6, R7
    #[test]
    fn the_envelope_ends_with_the_first_empty_frame() {
        let (envelope, body) = split_envelope(["a", "b", "", "", "x"].into()).unwrap();
        assert_eq!(envelope, ["a", "b", ""]);
        assert_eq!(body, Message::from(["", "x"]));
        assert_eq!(split_envelope("x".into()), None);
        assert_eq!(split_envelope(["a", "x"].into()), None);
        assert_eq!(split_envelope("".into()), None);
    }
}
