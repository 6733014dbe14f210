//! Security mechanisms: what two peers say to each other between greeting and first message.
//!
//! A mechanism is one file that implements [`Mechanism`]. One that encrypts what follows the handshake has two more
//! places to stand, and no other: frames that it has opened enter the codec where it accepts whole frames, and frames
//! that it has to seal leave the outbox, where they are self-delimiting, on their way to the transport.

mod null;

use bytes::{Bytes, BytesMut};

pub(crate) use null::Null;

use crate::zmtp::HandshakeError;

/// The part of one side in the handshake of one connection.
pub(crate) trait Mechanism: Send + Sync {
    /// The name in the greeting, at most 20 octets.
    fn name(&self) -> &'static str;

    /// Whether this side is the server, as the greeting has it.
    fn as_server(&self) -> bool;

    /// Appends the commands with which this side begins, once the greetings agree.
    fn start(&mut self, output: &mut BytesMut);

    /// Takes the body of the peer's next command and appends the commands that answer it.
    ///
    /// Returns the peer's metadata once this side has nothing more to wait for.
    fn receive(
        &mut self,
        body: Bytes,
        output: &mut BytesMut,
    ) -> Result<Option<Bytes>, HandshakeError>;
}
