//! NULL: no security. Each side says READY and its metadata (RFC 37, *The NULL Security Mechanism*).

use bytes::{Bytes, BytesMut};

use super::Mechanism;
use crate::zmtp::{Command, ERROR, HandshakeError, READY, decode_error, put_command, shown};

/// One side of a connection without security.
#[derive(Debug)]
pub(crate) struct Null {
    /// What to announce.
    metadata: Bytes,
}

impl Null {
    pub(crate) fn new(metadata: Bytes) -> Self {
        Self { metadata }
    }
}

impl Mechanism for Null {
    fn name(&self) -> &'static str {
        "NULL"
    }

    fn as_server(&self) -> bool {
        // G9
        false
    }

    fn start(&mut self, output: &mut BytesMut) {
        put_command(output, READY, &[&self.metadata]);
    }

    fn receive(
        &mut self,
        body: Bytes,
        _output: &mut BytesMut,
    ) -> Result<Option<Bytes>, HandshakeError> {
        let command = Command::decode(body)?;
        match command.name() {
            READY => Ok(Some(command.data().clone())),
            // N10
            ERROR => Err(HandshakeError::Refused {
                reason: decode_error(command.data())?,
            }),
            // F6
            name => Err(HandshakeError::UnexpectedCommand { name: shown(name) }),
        }
    }
}
