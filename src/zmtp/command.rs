//! Commands: frames for the engine, not for the application (RFC 37, *Framing* and *Commands*).

use bytes::{BufMut, Bytes, BytesMut};

use super::error::{ProtocolError, shown};
use super::frame::put_command_header;

/// A command: a name of 1 to 255 octets, and data whose shape depends on the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    name: Bytes,
    data: Bytes,
}

impl Command {
    /// A command of this name, or `None` if the name does not have 1 to 255 octets.
    #[must_use]
    pub fn new(name: impl Into<Bytes>, data: impl Into<Bytes>) -> Option<Self> {
        let name = name.into();
        (1..=MAX_NAME).contains(&name.len()).then(|| Self {
            name,
            data: data.into(),
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Reads the body of a command frame.
    pub(crate) fn decode(mut body: Bytes) -> Result<Self, ProtocolError> {
        // F5: an empty body, an empty name or one that the body does not hold.
        let name_len = body.first().copied().map_or(0, usize::from);
        if name_len == 0 || body.len() <= name_len {
            return Err(ProtocolError::MalformedCommand { name: "" });
        }
        let data = body.split_off(1 + name_len);
        Ok(Self {
            name: body.split_off(1),
            data,
        })
    }

    /// Appends the command as a frame.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        put_command(out, &self.name, &[&self.data]);
    }
}

/// A heartbeat that asks for a [`Pong`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ping {
    /// How long the sender may stay silent from now on, in tenths of a second; 0 says nothing about it.
    pub(crate) ttl: u16,
    /// Up to 16 octets to be sent back.
    pub(crate) context: Bytes,
}

impl Ping {
    pub(crate) fn decode(data: &Bytes) -> Result<Self, ProtocolError> {
        // H1
        match data.first_chunk() {
            Some(&ttl) if data.len() <= 2 + MAX_CONTEXT => Ok(Self {
                ttl: u16::from_be_bytes(ttl),
                context: data.slice(2..),
            }),
            _ => Err(ProtocolError::MalformedCommand { name: "PING" }),
        }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        put_command(out, PING, &[&self.ttl.to_be_bytes(), &self.context]);
    }
}

/// The answer to a [`Ping`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pong {
    /// As in the PING.
    pub(crate) context: Bytes,
}

impl Pong {
    pub(crate) fn decode(data: &Bytes) -> Result<Self, ProtocolError> {
        if data.len() > MAX_CONTEXT {
            return Err(ProtocolError::MalformedCommand { name: "PONG" });
        }
        Ok(Self {
            context: data.clone(),
        })
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        put_command(out, PONG, &[&self.context]);
    }
}

/// Appends an ERROR that gives `reason`, up to 255 octets of it: the last word on a connection.
///
/// Also after the handshake, for a refusal that only the socket can decide, such as an identity that is taken.
pub(crate) fn put_error(out: &mut impl BufMut, reason: &str) {
    let len = u8::try_from(reason.len()).unwrap_or(u8::MAX);
    let reason = &reason.as_bytes()[..usize::from(len)];
    put_command(out, ERROR, &[&[len], reason]);
}

/// Reads the data of an ERROR: the reason, escaped.
pub(crate) fn decode_error(data: &[u8]) -> Result<String, ProtocolError> {
    data.split_first()
        .and_then(|(&len, reason)| reason.get(..usize::from(len)))
        .map(shown)
        .ok_or(ProtocolError::MalformedCommand { name: "ERROR" })
}

/// Appends a command whose data are `parts` in a row; `name` has 1 to 255 octets.
pub(crate) fn put_command(out: &mut impl BufMut, name: &[u8], parts: &[&[u8]]) {
    let data: usize = parts.iter().map(|part| part.len()).sum();
    put_command_header(out, 1 + name.len() + data);
    out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.put_slice(name);
    for part in parts {
        out.put_slice(part);
    }
}

pub(crate) const READY: &[u8] = b"READY";
pub(crate) const ERROR: &[u8] = b"ERROR";
pub(crate) const SUBSCRIBE: &[u8] = b"SUBSCRIBE";
pub(crate) const CANCEL: &[u8] = b"CANCEL";
pub(crate) const PING: &[u8] = b"PING";
pub(crate) const PONG: &[u8] = b"PONG";

const MAX_NAME: usize = 255;
/// H1: the longest context of a PING.
const MAX_CONTEXT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed<T>(name: &'static str) -> Result<T, ProtocolError> {
        Err(ProtocolError::MalformedCommand { name })
    }

    fn decode(body: &'static [u8]) -> Result<Command, ProtocolError> {
        Command::decode(Bytes::from_static(body))
    }

    #[test]
    fn f5_a_command_is_a_name_and_data() {
        let command = decode(b"\x04PING\0\x07ctx").unwrap();
        assert_eq!(command.name(), b"PING");
        assert_eq!(command.data(), &b"\0\x07ctx"[..]);
        let bare = decode(b"\x01X").unwrap();
        assert_eq!((bare.name(), bare.data().len()), (&b"X"[..], 0));
    }

    #[test]
    fn f5_a_name_that_is_empty_or_overruns_the_body_is_an_error() {
        for body in [&b""[..], b"\0", b"\0abc", b"\x01", b"\x06READY"] {
            assert_eq!(decode(body), malformed(""));
        }
        assert_eq!(Command::new("", ""), None);
        assert_eq!(Command::new(vec![b'x'; 256], ""), None);
        assert!(Command::new(vec![b'x'; 255], "").is_some());
    }

    #[test]
    fn what_is_encoded_decodes() {
        let command = Command::new("JOIN", "group").unwrap();
        let mut out = BytesMut::new();
        command.encode(&mut out);
        assert_eq!(out, &b"\x04\x0a\x04JOINgroup"[..]);
        assert_eq!(Command::decode(out.freeze().slice(2..)), Ok(command));
    }

    #[test]
    fn h1_ping_is_a_ttl_and_up_to_16_octets_of_context() {
        let context = Bytes::from_static(b"0123456789abcdef");
        for len in [0, 1, 16] {
            let ping = Ping {
                ttl: 300,
                context: context.slice(..len),
            };
            let mut out = BytesMut::new();
            ping.encode(&mut out);
            let command = Command::decode(out.freeze().slice(2..)).unwrap();
            assert_eq!(command.name(), PING);
            assert_eq!(Ping::decode(command.data()), Ok(ping));
        }
        for wrong in [&b""[..], b"\0", b"\0\x000123456789abcdefg"] {
            assert_eq!(Ping::decode(&Bytes::from_static(wrong)), malformed("PING"));
        }
    }

    #[test]
    fn h1_pong_is_up_to_16_octets_of_context() {
        let mut out = BytesMut::new();
        Pong {
            context: Bytes::from_static(b"c"),
        }
        .encode(&mut out);
        assert_eq!(out, &b"\x04\x06\x04PONGc"[..]);
        let long = Bytes::from_static(b"0123456789abcdefg");
        assert!(Pong::decode(&long.slice(..16)).is_ok());
        assert_eq!(Pong::decode(&long), malformed("PONG"));
    }

    #[test]
    fn n10_the_reason_of_an_error_is_cut_to_255_octets_and_read_back_escaped() {
        let mut out = BytesMut::new();
        put_error(&mut out, "no\n");
        assert_eq!(out, &b"\x04\x0a\x05ERROR\x03no\n"[..]);
        assert_eq!(decode_error(b"\x03no\n").as_deref(), Ok("no\\n"));
        out.clear();
        put_error(&mut out, &"x".repeat(300));
        assert_eq!(out.len(), 9 + 6 + 1 + 255);
        for wrong in [&b""[..], b"\x04abc"] {
            assert_eq!(decode_error(wrong), malformed("ERROR"));
        }
    }
}
