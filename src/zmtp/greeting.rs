//! The greeting: 64 octets each way that settle version and security mechanism (RFC 37, *Version Negotiation*).
//!
//! Ours leaves whole and at once, so that no peer can wait for a part of it that waits for the peer. The price is that
//! a peer older than 3.0 cannot be talked to: its greeting would have to be known first.

use std::fmt;

use super::error::{HandshakeError, shown};

/// The version of ZMTP that a connection speaks: the lower of the two sides'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// ZMTP 3.0 (RFC 23), as libzmq 4.0 speaks it.
    V3_0,
    /// ZMTP 3.1 (RFC 37), as libzmq 4.3 speaks it.
    V3_1,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
        })
    }
}

/// What a peer's greeting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// The version to go on with.
    pub(crate) version: Version,
    /// The peer's mechanism, padded with zeros.
    pub(crate) mechanism: [u8; MECHANISM_LEN],
    /// Whether the peer calls itself the server. G9: libzmq never does, so nothing may depend on it.
    pub(crate) as_server: bool,
}

impl Greeting {
    /// Reads the greeting at the head of `octets`; `None` if it is not complete.
    ///
    /// What shows early is told early: the peer may be waiting for an answer in another protocol.
    pub(crate) fn decode(octets: &[u8]) -> Result<Option<Self>, HandshakeError> {
        // Padding and filler are skipped (G2, G3).
        match *octets {
            [] | [0xff] => return Ok(None),
            [0xff, ..] => {}
            // A frame of ZMTP 1.0 is a length and then flags of 0 or 1: its identity opens the connection.
            [1..=0xfe, 0 | 1, ..] => return Err(HandshakeError::UnsupportedVersion { major: 1 }),
            [_] => return Ok(None),
            _ => return Err(not_zmtp(octets)),
        }
        match octets.get(SIGNATURE_END) {
            None | Some(0x7f) => {}
            // A long frame of ZMTP 1.0: the flags stand here.
            Some(0) => return Err(HandshakeError::UnsupportedVersion { major: 1 }),
            Some(_) => return Err(not_zmtp(octets)),
        }
        match octets.get(MAJOR) {
            None | Some(3..) => {}
            Some(0) => return Err(HandshakeError::UnsupportedVersion { major: 1 }),
            // The revisions of 2.0 count from 1.
            Some(1 | 2) => return Err(HandshakeError::UnsupportedVersion { major: 2 }),
        }
        let Some(greeting) = octets.first_chunk::<GREETING_LEN>() else {
            return Ok(None);
        };
        let mut mechanism = [0; MECHANISM_LEN];
        mechanism.copy_from_slice(&greeting[MECHANISM..MECHANISM + MECHANISM_LEN]);
        let version = match (greeting[MAJOR], greeting[MINOR]) {
            (3, 0) => Version::V3_0,
            // G5
            _ => Version::V3_1,
        };
        Ok(Some(Self {
            version,
            mechanism,
            as_server: greeting[AS_SERVER] == 1,
        }))
    }

    /// Our greeting.
    pub(crate) fn encode(mechanism: &[u8; MECHANISM_LEN], as_server: bool) -> [u8; GREETING_LEN] {
        let mut greeting = [0; GREETING_LEN];
        greeting[0] = 0xff;
        greeting[SIGNATURE_END] = 0x7f;
        greeting[MAJOR] = 3;
        greeting[MINOR] = 1;
        greeting[MECHANISM..MECHANISM + MECHANISM_LEN].copy_from_slice(mechanism);
        greeting[AS_SERVER] = u8::from(as_server);
        greeting
    }
}

/// The name of a mechanism as it stands in the greeting.
pub(crate) const fn mechanism_name(name: &str) -> [u8; MECHANISM_LEN] {
    let mut padded = [0; MECHANISM_LEN];
    padded
        .split_at_mut(name.len())
        .0
        .copy_from_slice(name.as_bytes());
    padded
}

fn not_zmtp(octets: &[u8]) -> HandshakeError {
    HandshakeError::NotZmtp {
        began: shown(&octets[..octets.len().min(MAJOR)]),
    }
}

/// The octets of a greeting.
pub(crate) const GREETING_LEN: usize = 64;
/// The octets of a mechanism's name in it.
pub(crate) const MECHANISM_LEN: usize = 20;

/// G1: where things stand.
const SIGNATURE_END: usize = 9;
const MAJOR: usize = 10;
const MINOR: usize = 11;
const MECHANISM: usize = 12;
const AS_SERVER: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: [u8; MECHANISM_LEN] = mechanism_name("NULL");

    fn ours() -> [u8; GREETING_LEN] {
        Greeting::encode(&NULL, false)
    }

    #[test]
    fn g1_the_greeting_is_64_octets_as_laid_down() {
        let mut expected = [0; 64];
        expected[..16].copy_from_slice(b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL");
        assert_eq!(ours(), expected);
        expected[32] = 1;
        assert_eq!(Greeting::encode(&NULL, true), expected);
    }

    #[test]
    fn g2_g3_padding_and_filler_do_not_matter() {
        let mut greeting = ours();
        greeting[1..9].fill(0xaa);
        greeting[33..].fill(0x55);
        assert_eq!(Greeting::decode(&greeting), Greeting::decode(&ours()));
    }

    #[test]
    fn g4_a_greeting_is_awaited_octet_by_octet() {
        let greeting = ours();
        for cut in 0..GREETING_LEN {
            assert_eq!(Greeting::decode(&greeting[..cut]), Ok(None), "{cut} octets");
        }
        let whole = Greeting {
            version: Version::V3_1,
            mechanism: NULL,
            as_server: false,
        };
        assert_eq!(Greeting::decode(&greeting), Ok(Some(whole)));
    }

    #[test]
    fn g5_g6_the_lower_version_is_spoken() {
        for (major, minor, version) in [
            (3, 0, Version::V3_0),
            (3, 1, Version::V3_1),
            (3, 2, Version::V3_1),
            (4, 0, Version::V3_1),
            (255, 255, Version::V3_1),
        ] {
            let mut greeting = ours();
            greeting[10] = major;
            greeting[11] = minor;
            let decoded = Greeting::decode(&greeting).unwrap().unwrap();
            assert_eq!(decoded.version, version, "{major}.{minor}");
        }
        assert!(Version::V3_0 < Version::V3_1);
        assert_eq!(
            format!("{} {:>4}", Version::V3_0, Version::V3_1),
            "3.0  3.1"
        );
    }

    #[test]
    fn g7_an_older_peer_is_refused_by_its_version() {
        let unsupported = |major| Err(HandshakeError::UnsupportedVersion { major });
        // 2.0: signature, revision, socket type, and then an empty identity.
        let v2 = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\0\0";
        assert_eq!(Greeting::decode(v2), unsupported(2));
        assert_eq!(Greeting::decode(&v2[..11]), unsupported(2));
        assert_eq!(Greeting::decode(&v2[..10]), Ok(None));
        // 1.0: an identity frame, anonymous, short or long. The length alone says nothing yet.
        assert_eq!(Greeting::decode(b"\x05"), Ok(None));
        assert_eq!(Greeting::decode(b"\x01\0"), unsupported(1));
        assert_eq!(Greeting::decode(b"\x05\0name"), unsupported(1));
        assert_eq!(
            Greeting::decode(b"\xff\0\0\0\0\0\0\x01\0\0"),
            unsupported(1)
        );
    }

    #[test]
    fn another_protocol_is_told_by_its_first_octets() {
        let error = Greeting::decode(b"GET / HTTP/1.1\r\n").unwrap_err();
        assert_eq!(
            error,
            HandshakeError::NotZmtp {
                began: "GET / HTTP".into()
            }
        );
        let tls = Greeting::decode(b"\x16\x03\x01\x02").unwrap_err();
        assert!(tls.to_string().contains(r"\x16\x03\x01\x02"), "{tls}");
        let no_signature = Greeting::decode(b"\xff\0\0\0\0\0\0\0\0\x7e").unwrap_err();
        assert!(matches!(no_signature, HandshakeError::NotZmtp { .. }));
    }
}
