//! The messages of ZAP, from either side.

use arbitrary::Arbitrary;
use bytes::Bytes;

// rustfmt would look for its tests in another place.
#[rustfmt::skip]
#[path = "../../../src/security/zap/wire.rs"]
mod wire;

use crate::message::Message;
use crate::stream::read;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Request(Frames<'a>),
    Reply(Frames<'a>),
}

#[derive(Debug, Arbitrary)]
struct Frames<'a> {
    /// Whether the version stands before the other frames.
    versioned: bool,
    /// The lengths of the first frames; what is left is the last.
    lens: [u8; 6],
    octets: &'a [u8],
}

/// Z1, Z2, Z4: who is accepted is accepted by a reply of six frames that says 200 to this request, and requests and replies
/// say themselves again.
pub fn zap(data: &[u8]) {
    match read::<Input>(data) {
        Some(Input::Request(frames)) => request(&frames.message()),
        Some(Input::Reply(frames)) => reply(&frames.message()),
        None => {}
    }
}

impl Frames<'_> {
    fn message(&self) -> Message {
        let mut octets = self.octets;
        let mut frames = Vec::new();
        if self.versioned {
            frames.push(Bytes::from_static(b"1.0"));
        }
        for len in self.lens {
            let frame = octets.split_off(..usize::from(len).min(octets.len()));
            if octets.is_empty() {
                break;
            }
            frames.push(Bytes::copy_from_slice(frame.unwrap_or_default()));
        }
        frames.push(Bytes::copy_from_slice(octets));
        frames.into_iter().collect()
    }
}

fn request(request: &Message) {
    let id = wire::request_id(request);
    let Ok(peer) = wire::read_request(request) else {
        return;
    };
    assert!(request.len() >= 6 && &request[0] == b"1.0");
    let again = wire::request(&id, &peer);
    assert_eq!(wire::request_id(&again), id);
    let same = wire::read_request(&again).unwrap();
    assert_eq!(wire::request(&id, &same), again);
    assert_eq!(same.identity, peer.identity);
    assert_eq!(same.address, peer.address);
}

fn reply(reply: &Message) {
    let id = wire::request_id(reply);
    let outcome = wire::read_reply(reply, &id);
    if let Ok(principal) = &outcome {
        assert!(reply.len() == 6 && &reply[0] == b"1.0" && &reply[2] == b"200");
        assert_eq!(principal.user_id().as_bytes(), &reply[4]);
        assert!(wire::read_reply(reply, b"another").is_err() || id == "another");
    }
    let again = wire::reply(id.clone(), &outcome);
    match (outcome, wire::read_reply(&again, &id)) {
        (Ok(principal), Ok(same)) => {
            assert_eq!(same.user_id(), principal.user_id());
            assert!(same.properties().eq(principal.properties()));
        }
        (Err(refusal), Err(same)) => assert_eq!(same.status, refusal.status),
        (outcome, same) => panic!("{outcome:?}, then {same:?}"),
    }
}
