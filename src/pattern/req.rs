//! REQ: asks, and waits for the reply (RFC 28).

use bytes::Bytes;

use super::{Outbound, Row, declare};
use crate::message::Message;

declare! {
    /// Asks one peer at a time and accepts the reply of that peer only. See [`ReqSocket`](crate::ReqSocket).
    Req = Row::new(Outbound::LoadBalance, true);
    CanIdentify, CanBalance, HasOutbox, HasInbox
}

/// Puts the request behind an empty delimiter frame (R1), and that behind the request's number if it has one (R4).
pub(crate) fn enclose(mut request: Message, number: Option<u32>) -> Message {
    match number {
        Some(number) => {
            let number = Bytes::copy_from_slice(&number.to_be_bytes());
            request.put_before([number, Bytes::new()]);
        }
        None => request.put_before([Bytes::new()]),
    }
    request
}

/// Takes the delimiter, and before it the number, off a reply. `None` if it is not the reply to `number`.
pub(crate) fn open_reply(mut reply: Message, number: Option<u32>) -> Option<Message> {
    if let Some(number) = number {
        let echoed = reply.pop_front()?;
        if echoed != number.to_be_bytes().as_slice() {
            return None;
        }
    }
    reply.pop_front()?.is_empty().then_some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    // R1, R3, R4
    #[test]
    fn a_reply_opens_only_with_its_delimiter_and_its_number() {
        assert_eq!(enclose("q".into(), None), Message::from(["", "q"]));
        let numbered = enclose("q".into(), Some(7));
        assert_eq!(numbered.len(), 3);
        assert_eq!(open_reply(numbered.clone(), Some(7)), Some("q".into()));
        assert_eq!(open_reply(numbered.clone(), Some(8)), None);
        assert_eq!(open_reply(numbered, None), None);
        assert_eq!(open_reply(["", "r"].into(), None), Some("r".into()));
        assert_eq!(open_reply("r".into(), None), None);
        assert_eq!(open_reply("".into(), None), None);
    }
}
