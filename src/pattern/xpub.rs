//! XPUB: publishes, and sees the subscriptions (RFC 29).

use bytes::{BufMut, BytesMut};

use super::{Outbound, Row, declare};
use crate::message::Message;

declare! {
    /// As [`Pub`](super::Pub), and receives its peers' subscriptions. See [`XPubSocket`](crate::XPubSocket).
    XPub = Row::new(Outbound::Subscribers, false);
    CanSend, CanReceive, CanPublish, HasOutbox, HasInbox
}

/// A subscription as a message: octet 1 or 0, then the topic (RFC 23, RFC 29).
pub(crate) fn subscription_message(subscribe: bool, topic: &[u8]) -> Message {
    let mut octets = BytesMut::with_capacity(1 + topic.len());
    octets.put_u8(u8::from(subscribe));
    octets.put_slice(topic);
    Message::from(octets.freeze())
}

/// Reads a subscription out of a message; `None` if it is none.
pub(crate) fn parse_subscription(message: &Message) -> Option<(bool, &[u8])> {
    match message.first() {
        _ if message.is_multipart() => None,
        [0, topic @ ..] => Some((false, topic)),
        [1, topic @ ..] => Some((true, topic)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_read_as_it_is_written_and_nothing_else_is_one() {
        for topic in [&b""[..], b"t", &[1; 100]] {
            for subscribe in [true, false] {
                let message = subscription_message(subscribe, topic);
                assert_eq!(parse_subscription(&message), Some((subscribe, topic)));
            }
        }
        let others: [Message; 4] = [
            "".into(),
            "\u{2}t".into(),
            "t".into(),
            ("\u{1}", "t").into(),
        ];
        for other in others {
            assert_eq!(parse_subscription(&other), None, "{other:?}");
        }
    }
}
