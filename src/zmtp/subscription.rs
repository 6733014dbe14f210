//! Subscriptions on their way to a publisher.

use super::command::{CANCEL, SUBSCRIBE};
use super::{Version, put_command, put_header};

/// Appends a subscription to `topic`, or its end, in the form that a peer of `version` understands (S2).
pub(crate) fn put_subscription(version: Version, subscribe: bool, topic: &[u8], out: &mut Vec<u8>) {
    match version {
        Version::V3_0 => {
            put_header(out, false, 1 + topic.len());
            out.push(u8::from(subscribe));
            out.extend_from_slice(topic);
        }
        Version::V3_1 => put_command(out, if subscribe { SUBSCRIBE } else { CANCEL }, &[topic]),
    }
}
