//! NULL: no security. Each side says READY and its metadata (RFC 37, *The NULL Security Mechanism*).

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Asked, Mechanism, Step};
use crate::security::Credentials;
use crate::zmtp::{Command, ERROR, HandshakeError, READY, decode_error, put_command, shown};

/// One side of a connection without security.
#[derive(Debug)]
pub(super) struct Null {
    /// What to announce.
    metadata: Bytes,
    asked: Asked,
}

impl Null {
    pub(super) fn new(metadata: Bytes, asked: Asked) -> Self {
        Self { metadata, asked }
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
        if self.asked != Asked::BeforeReady {
            put_command(output, READY, &[&self.metadata]);
        }
    }

    fn receive(
        &mut self,
        body: Bytes,
        _now: Instant,
        _output: &mut BytesMut,
    ) -> Result<Step, HandshakeError> {
        let command = Command::decode(body)?;
        match command.name() {
            READY => {
                let metadata = command.data().clone();
                Ok(match self.asked {
                    Asked::Never => Step::Met(metadata),
                    Asked::AfterReady | Asked::BeforeReady => Step::Decide {
                        credentials: Credentials::Null,
                        metadata: Some(metadata),
                    },
                })
            }
            // N10
            ERROR => Err(HandshakeError::refused(decode_error(command.data())?)),
            // F6
            name => Err(HandshakeError::UnexpectedCommand { name: shown(name) }),
        }
    }

    fn accept(&mut self, output: &mut BytesMut) {
        if self.asked == Asked::BeforeReady {
            put_command(output, READY, &[&self.metadata]);
        }
    }
}
