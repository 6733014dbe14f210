//! CURVE: each side proves that it holds the secret half of its key, and what follows is encrypted (RFC 25, RFC 26).
//!
//! Both sides have a long-lived key, the client's C and the server's S, and make one more for the connection alone, C'
//! and S'. A capital letter is the public half of a key, a small one the secret half. `Box[x](c→S)` is x encrypted
//! so that only who has s can read it and only who has c can have written it.
//!
//! ```text
//!  client  HELLO     C', Box[zeros](c'→S)                  only for the server with s
//!  server  WELCOME   Box[S', cookie](s→C')                 and the server forgets all but the cookie's key
//!  client  INITIATE  cookie, Box[C, vouch, metadata](c'→S')    vouch = Box[C', S](c→S')
//!  server  READY     Box[metadata](s'→C')
//!  both    MESSAGE   Box[flags, body](c'→S') or (s'→C')
//! ```

mod boxes;
mod client;
mod server;
#[cfg(test)]
mod tests;
mod traffic;

use zeroize::Zeroizing;

pub(super) use self::client::CurveClient;
pub(super) use self::server::CurveServer;
use crate::zmtp::{HandshakeError, ProtocolError};

/// What is random in a handshake, drawn for each connection anew (C11).
pub(super) struct Entropy {
    /// The secret half of this side's key for the connection.
    pub(super) transient: Zeroizing<[u8; KEY]>,
    /// The server's: what its cookie is encrypted with.
    pub(super) cookie_key: Zeroizing<[u8; KEY]>,
    /// The long nonces of WELCOME and the cookie, or of the vouch and nothing.
    pub(super) nonces: [[u8; LONG_NONCE]; 2],
}

impl Entropy {
    /// From the operating system.
    pub(super) fn draw() -> Result<Self, HandshakeError> {
        let mut drawn = Self {
            transient: Zeroizing::default(),
            cookie_key: Zeroizing::default(),
            nonces: Default::default(),
        };
        let fill =
            |octets: &mut [u8]| getrandom::fill(octets).map_err(|_| HandshakeError::NoRandomness);
        fill(&mut *drawn.transient)?;
        fill(&mut *drawn.cookie_key)?;
        fill(drawn.nonces.as_flattened_mut())?;
        Ok(drawn)
    }
}

/// Takes the next `N` octets off the head of `octets`.
fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(*head)
}

fn malformed(name: &'static str) -> HandshakeError {
    ProtocolError::MalformedCommand { name }.into()
}

const NAME: &str = "CURVE";
const HELLO: &[u8] = b"HELLO";
const WELCOME: &[u8] = b"WELCOME";
const INITIATE: &[u8] = b"INITIATE";

/// The octets of each half of a key.
const KEY: usize = 32;
/// The octets of a nonce that stand in WELCOME, cookie and vouch; 8 more are fixed.
const LONG_NONCE: usize = 16;
/// The octets of a nonce that stand in the other commands, a number; 16 more are fixed.
const SHORT_NONCE: usize = 8;
/// What a box has beyond what it holds.
const TAG: usize = 16;
/// Nonce and box of both keys that the server has made for the connection.
const COOKIE: usize = LONG_NONCE + TAG + 2 * KEY;

/// C1: CurveZMQ 1.0.
const VERSION: [u8; 2] = [1, 0];
/// Makes HELLO longer than WELCOME, so that a forged address gains nothing.
const PADDING: [u8; 72] = [0; 72];
/// What the box of HELLO holds.
const SIGNED: [u8; 64] = [0; 64];

const HELLO_PREFIX: &[u8; 16] = b"CurveZMQHELLO---";
const WELCOME_PREFIX: &[u8; 8] = b"WELCOME-";
const COOKIE_PREFIX: &[u8; 8] = b"COOKIE--";
const INITIATE_PREFIX: &[u8; 16] = b"CurveZMQINITIATE";
const VOUCH_PREFIX: &[u8; 8] = b"VOUCH---";
const READY_PREFIX: &[u8; 16] = b"CurveZMQREADY---";
