//! Frames after the handshake: each is the box of a MESSAGE.

use std::fmt;

use super::boxes::{BoxKey, HEAD, SharedKey};
use super::{SHORT_NONCE, TAG};
use crate::mechanism::{Open, Seal, Traffic};
use crate::zmtp::{FrameKind, ProtocolError, put_header};

/// Which side a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// The frames of both directions, as `ours` sees them. `next` is our next short nonce, `heard` the peer's last.
pub(super) fn begin(session: &SharedKey, ours: Side, next: u64, heard: u64) -> Traffic {
    let (out, into) = match ours {
        Side::Client => (FROM_CLIENT, FROM_SERVER),
        Side::Server => (FROM_SERVER, FROM_CLIENT),
    };
    Traffic {
        seal: Box::new(Sealer {
            key: session.under(out),
            next,
        }),
        open: Box::new(Opener {
            key: session.under(into),
            heard,
        }),
    }
}

struct Sealer {
    key: BoxKey,
    /// C8: the next short nonce. There are more than a connection can use up.
    next: u64,
}

impl Seal for Sealer {
    fn seal(&mut self, kind: FrameKind, body: &[u8], out: &mut Vec<u8>) {
        let number = self.next.to_be_bytes();
        self.next += 1;
        // C7: as libzmq has it, a message and no command.
        put_header(out, false, OVERHEAD + body.len());
        let at = out.len();
        out.reserve(OVERHEAD + body.len());
        out.extend_from_slice(&[0; HEAD]);
        out.push(flags(kind));
        out.extend_from_slice(body);
        let message = &mut out[at..];
        self.key.seal(number, message);
        message[..NAME.len()].copy_from_slice(NAME);
        message[NAME.len()..HEAD - TAG].copy_from_slice(&number);
    }

    fn sealed_len(&self, len: usize) -> usize {
        let mut header = Vec::new();
        put_header(&mut header, false, OVERHEAD + len);
        header.len() + OVERHEAD + len
    }
}

struct Opener {
    key: BoxKey,
    /// The last short nonce of the peer.
    heard: u64,
}

impl Open for Opener {
    fn open(&mut self, body: &mut [u8]) -> Result<(FrameKind, usize), ProtocolError> {
        let number: Option<[u8; SHORT_NONCE]> = body
            .strip_prefix(NAME)
            .and_then(|rest| rest.first_chunk().copied());
        let Some(number) = number else {
            return Err(ProtocolError::NotEncrypted);
        };
        // C8
        if u64::from_be_bytes(number) <= self.heard {
            return Err(ProtocolError::Replayed);
        }
        // C9
        if !self.key.open(number, body) {
            return Err(ProtocolError::NotAuthentic);
        }
        self.heard = u64::from_be_bytes(number);
        let kind = match body.get(HEAD) {
            Some(0) => FrameKind::Last,
            Some(&MORE) => FrameKind::More,
            Some(&COMMAND) => FrameKind::Command,
            Some(&flags) => return Err(ProtocolError::ReservedFlags { flags }),
            None => return Err(ProtocolError::NotEncrypted),
        };
        Ok((kind, OVERHEAD))
    }

    fn overhead(&self) -> usize {
        OVERHEAD
    }
}

/// Shows no key.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

/// C6
fn flags(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Last => 0,
        FrameKind::More => MORE,
        FrameKind::Command => COMMAND,
    }
}

/// C6: the flags of a frame within a box.
const MORE: u8 = 0b01;
const COMMAND: u8 = 0b10;

/// Name, short nonce, tag and flags.
const OVERHEAD: usize = HEAD + 1;
/// The name with its length. With the short nonce it fills the part of the head that is not the tag.
const NAME: &[u8] = b"\x07MESSAGE";

const FROM_CLIENT: &[u8; 16] = b"CurveZMQMESSAGEC";
const FROM_SERVER: &[u8; 16] = b"CurveZMQMESSAGES";
