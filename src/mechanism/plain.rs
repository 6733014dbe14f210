//! PLAIN: the client shows a name and a password, in the clear (RFC 24).
//!
//! ```text
//!  client  HELLO ──►          ──► INITIATE ──►
//!  server          ◄── WELCOME            ◄── READY
//! ```

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Mechanism, Step};
use crate::security::{Credentials, Password};
use crate::zmtp::{
    Command, ERROR, HandshakeError, ProtocolError, READY, decode_error, put_command, shown,
};

/// The side that shows a name and a password.
#[derive(Debug)]
pub(super) struct PlainClient {
    user: String,
    password: Password,
    /// What to announce.
    metadata: Bytes,
    awaits: ClientAwaits,
}

/// C12, and the same here: each command has one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAwaits {
    Welcome,
    Ready,
}

impl PlainClient {
    /// `user` has at most 255 octets.
    pub(super) fn new(user: &str, password: &Password, metadata: Bytes) -> Self {
        Self {
            user: user.to_owned(),
            password: password.clone(),
            metadata,
            awaits: ClientAwaits::Welcome,
        }
    }
}

impl Mechanism for PlainClient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn as_server(&self) -> bool {
        false
    }

    fn start(&mut self, output: &mut BytesMut) {
        let (user, password) = (self.user.as_bytes(), self.password.as_bytes());
        put_command(
            output,
            HELLO,
            &[&[len(user)], user, &[len(password)], password],
        );
    }

    fn receive(
        &mut self,
        body: Bytes,
        _now: Instant,
        output: &mut BytesMut,
    ) -> Result<Step, HandshakeError> {
        if let Some(data) = body.strip_prefix(LIBZMQ_ERROR) {
            return Err(HandshakeError::refused(decode_error(data)?));
        }
        let command = Command::decode(body)?;
        match (self.awaits, command.name()) {
            (ClientAwaits::Welcome, WELCOME) if command.data().is_empty() => {
                put_command(output, INITIATE, &[&self.metadata]);
                self.awaits = ClientAwaits::Ready;
                Ok(Step::Continue)
            }
            (ClientAwaits::Welcome, WELCOME) => Err(malformed("WELCOME")),
            (ClientAwaits::Ready, READY) => Ok(Step::Met(command.data().clone())),
            // N10
            (_, ERROR) => Err(HandshakeError::refused(decode_error(command.data())?)),
            (ClientAwaits::Welcome, HELLO) => Err(HandshakeError::SameRole {
                mechanism: NAME,
                as_server: false,
            }),
            (_, name) => Err(HandshakeError::UnexpectedCommand { name: shown(name) }),
        }
    }

    fn accept(&mut self, _output: &mut BytesMut) {}

    fn refuse(&self, _reason: &str, _output: &mut BytesMut) {
        // Only the server says ERROR.
    }

    fn closed(&self) -> HandshakeError {
        match self.awaits {
            ClientAwaits::Welcome => HandshakeError::ClosedAtHello { mechanism: NAME },
            ClientAwaits::Ready => HandshakeError::Closed,
        }
    }
}

/// The side that is shown a name and a password.
#[derive(Debug)]
pub(super) struct PlainServer {
    /// What to announce.
    metadata: Bytes,
    awaits: ServerAwaits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerAwaits {
    Hello,
    /// That user and password are accepted.
    Verdict,
    Initiate,
    /// That the announcement is accepted.
    Approval,
    Nothing,
}

impl PlainServer {
    pub(super) fn new(metadata: Bytes) -> Self {
        Self {
            metadata,
            awaits: ServerAwaits::Hello,
        }
    }
}

impl Mechanism for PlainServer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn as_server(&self) -> bool {
        true
    }

    fn start(&mut self, _output: &mut BytesMut) {}

    fn receive(
        &mut self,
        body: Bytes,
        _now: Instant,
        _output: &mut BytesMut,
    ) -> Result<Step, HandshakeError> {
        let command = Command::decode(body)?;
        match (self.awaits, command.name()) {
            (ServerAwaits::Hello, HELLO) => {
                let credentials = decode_hello(command.data()).ok_or_else(|| malformed("HELLO"))?;
                self.awaits = ServerAwaits::Verdict;
                Ok(Step::Decide {
                    credentials,
                    metadata: None,
                })
            }
            (ServerAwaits::Initiate, INITIATE) => {
                self.awaits = ServerAwaits::Approval;
                Ok(Step::Met(command.data().clone()))
            }
            // P3
            (_, name) => Err(HandshakeError::UnexpectedCommand { name: shown(name) }),
        }
    }

    fn accept(&mut self, output: &mut BytesMut) {
        match self.awaits {
            ServerAwaits::Verdict => {
                put_command(output, WELCOME, &[]);
                self.awaits = ServerAwaits::Initiate;
            }
            ServerAwaits::Approval => {
                put_command(output, READY, &[&self.metadata]);
                self.awaits = ServerAwaits::Nothing;
            }
            ServerAwaits::Hello | ServerAwaits::Initiate | ServerAwaits::Nothing => {}
        }
    }
}

/// Name and password, each behind its length, and nothing more.
fn decode_hello(data: &[u8]) -> Option<Credentials> {
    let (user, rest) = split_counted(data)?;
    let (password, rest) = split_counted(rest)?;
    if !rest.is_empty() {
        return None;
    }
    Some(Credentials::Plain {
        user: std::str::from_utf8(user).ok()?.to_owned(),
        password: Password::new(password).ok()?,
    })
}

fn split_counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(len))
}

/// The length of a name or a password; both have at most 255 octets.
fn len(octets: &[u8]) -> u8 {
    u8::try_from(octets.len()).unwrap_or(u8::MAX)
}

fn malformed(name: &'static str) -> HandshakeError {
    ProtocolError::MalformedCommand { name }.into()
}

const NAME: &str = "PLAIN";
const HELLO: &[u8] = b"HELLO";
const WELCOME: &[u8] = b"WELCOME";
const INITIATE: &[u8] = b"INITIATE";

/// P6: the head of an ERROR as libzmq's PLAIN server writes it, where the octet 05 and the name belong.
const LIBZMQ_ERROR: &[u8] = b"\x5eRROR";
