//! [`Opening`]: encrypted frames, made plain ones.

use bytes::{Buf, BytesMut};

use super::Limits;
use super::error::ProtocolError;
use super::frame::{FrameHeader, FrameKind, put_frame};
use crate::mechanism::Open;

/// Takes encrypted frames off the stream and makes another stream of what is in them, which the codec reads like one that
/// was never encrypted.
#[derive(Debug)]
pub(crate) struct Opening {
    open: Box<dyn Open>,
    limits: Limits,
    /// Frames that are open and not yet taken.
    plain: BytesMut,
    /// What came behind the open ones and ends the connection.
    broken: Option<ProtocolError>,
}

/// So much is opened at a time.
const BATCH: usize = 256 << 10;

impl Opening {
    pub(crate) fn new(open: Box<dyn Open>, limits: Limits) -> Self {
        Self {
            open,
            limits,
            plain: BytesMut::new(),
            broken: None,
        }
    }

    /// The open frames.
    pub(crate) fn front(&mut self) -> &mut BytesMut {
        &mut self.plain
    }

    /// Opens whole frames at the head of `buf`. `true` if there were any.
    pub(crate) fn open(&mut self, buf: &mut BytesMut) -> Result<bool, ProtocolError> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let before = self.plain.len();
        let mut done = 0;
        while self.plain.len() - before < BATCH {
            match self.open_one(buf.get_mut(done..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if done == 0 => return Err(error),
                Err(error) => {
                    // What was sent before it counts.
                    self.broken = Some(error);
                    break;
                }
            }
        }
        buf.advance(done);
        Ok(done > 0)
    }

    /// Opens the frame at the head of `octets` if it is complete, and tells how long it was.
    fn open_one(&mut self, octets: &mut [u8]) -> Result<usize, ProtocolError> {
        let Some(outer) = FrameHeader::parse(octets)? else {
            return Ok(0);
        };
        let inner_len = outer.body_len.checked_sub(self.open.overhead());
        let (Some(inner_len), false) = (inner_len, outer.kind == FrameKind::More) else {
            return Err(ProtocolError::NotEncrypted);
        };
        // What kind of frame is within is not known before all of it is here.
        let limit = self.limits.max_message_size.max(self.limits.command());
        if inner_len > limit {
            let size = inner_len;
            return Err(ProtocolError::MessageTooLarge { size, limit });
        }
        let len = outer.header_len + outer.body_len;
        let Some(body) = octets.get_mut(outer.header_len..len) else {
            return Ok(0);
        };
        let (kind, at) = self.open.open(body)?;
        put_frame(&mut self.plain, kind, body.get(at..).unwrap_or_default());
        Ok(len)
    }
}
