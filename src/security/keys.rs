//! [`PublicKey`], [`SecretKey`] and the [`KeyPair`] of both.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;
use thiserror::Error;
use x25519_dalek::{StaticSecret, x25519};
use zeroize::Zeroizing;

use super::z85;

/// The half of a key that everybody may know; it names its owner.
///
/// Made of 32 octets, or parsed from 40 characters of Z85 (RFC 32), as which it is printed.
///
/// ```
/// use jackstay::security::PublicKey;
///
/// let key: PublicKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7".parse()?;
/// assert_eq!(key.to_string(), "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
/// assert!("too short".parse::<PublicKey>().is_err());
/// # Ok::<(), jackstay::security::KeyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "ZMQ_CURVE_PUBLICKEY")]
#[doc(alias = "ZMQ_CURVE_SERVERKEY")]
pub struct PublicKey([u8; KEY]);

impl PublicKey {
    /// The key of these octets.
    ///
    /// # Errors
    /// [`KeyError::LowOrder`] for the few values with which every secret makes the same shared key, so that they prove
    /// nothing.
    pub fn from_bytes(octets: [u8; KEY]) -> Result<Self, KeyError> {
        // C14: whatever scalar clamping yields is a multiple of the cofactor, and so takes those points, and no
        // others, to zero.
        let shared = x25519([0; KEY], octets);
        if bool::from(shared.ct_eq(&[0; KEY])) {
            return Err(KeyError::LowOrder);
        }
        Ok(Self(octets))
    }

    /// The key of octets that made a shared key which is not the same with every secret, so that this has been looked at.
    pub(crate) const fn proven(octets: [u8; KEY]) -> Self {
        Self(octets)
    }

    /// The octets of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = KeyError;

    /// Takes 32 octets; for Z85, parse a text.
    fn try_from(octets: &[u8]) -> Result<Self, KeyError> {
        let octets = octets
            .try_into()
            .map_err(|_| KeyError::Length { len: octets.len() })?;
        Self::from_bytes(octets)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(**decode(text)?)
    }
}

/// 40 characters of Z85.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&z85::encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// The half of a key that only its owner may know.
///
/// It is not printed, and its memory is overwritten when it is dropped.
#[doc(alias = "ZMQ_CURVE_SECRETKEY")]
pub struct SecretKey(Box<Zeroizing<[u8; KEY]>>);

impl SecretKey {
    /// A new key, from the randomness of the operating system.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] if the system has none to give.
    #[doc(alias = "zmq_curve_keypair")]
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Box::new(Zeroizing::new([0; KEY]));
        getrandom::fill(&mut **secret).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(secret))
    }

    /// The key of these octets, which the caller should overwrite.
    #[must_use]
    pub fn from_bytes(octets: &[u8; KEY]) -> Self {
        // Copied to where it stays, so that it is not left where it was on the way.
        let mut secret = Box::new(Zeroizing::new([0; KEY]));
        secret.copy_from_slice(octets);
        Self(secret)
    }

    /// The octets of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }

    /// The public half.
    #[must_use]
    #[doc(alias = "zmq_curve_public")]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(public_half(&self.0))
    }

    /// The key as 40 characters of Z85, for a place that is as safe as this one. The text is overwritten when it is
    /// dropped.
    #[must_use]
    pub fn to_z85(&self) -> Zeroizing<String> {
        Zeroizing::new(z85::encode(&**self.0))
    }
}

/// The public half of `secret`, which is never of low order: the base point has a large one, and no clamped scalar is a
/// multiple of it.
///
/// From a table, which takes a third of the time that the product with any other point takes.
pub(crate) fn public_half(secret: &[u8; KEY]) -> [u8; KEY] {
    x25519_dalek::PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

/// Shows nothing.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Both halves of a key.
///
/// ```
/// use jackstay::security::{KeyPair, SecretKey};
///
/// let pair = KeyPair::generate()?;
/// println!("tell your peers: {}", pair.public_key());
/// let again: SecretKey = pair.secret_key().to_z85().parse()?;
/// assert_eq!(again.public_key(), *pair.public_key());
/// # Ok::<(), jackstay::security::KeyError>(())
/// ```
#[derive(Debug)]
#[doc(alias = "zmq_curve_keypair")]
pub struct KeyPair {
    public: PublicKey,
    secret: SecretKey,
}

impl KeyPair {
    /// A new pair, from the randomness of the operating system.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] if the system has none to give.
    pub fn generate() -> Result<Self, KeyError> {
        SecretKey::generate().map(Self::from)
    }

    /// The half that everybody may know.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The half that only its owner may know.
    #[must_use]
    pub fn secret_key(&self) -> &SecretKey {
        &self.secret
    }
}

impl From<SecretKey> for KeyPair {
    fn from(secret: SecretKey) -> Self {
        Self {
            public: secret.public_key(),
            secret,
        }
    }
}

/// Why something is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is too short or too long.
    #[error("a key has 32 octets, or 40 characters as text, but this one has {len}")]
    Length {
        /// Its length.
        len: usize,
    },
    /// It is a text of the right length, but not Z85.
    #[error("the text of a key is Z85 (RFC 32), which this is not from character {at} on")]
    NotZ85 {
        /// Where the first group of five characters begins that is wrong, counted from 0.
        at: usize,
    },
    /// It is one of the few public keys with which every secret makes the same shared key.
    #[error("this public key is of low order: it proves nothing, and no key generator makes it")]
    LowOrder,
    /// The operating system has no randomness to make a key from.
    #[error("the operating system has no randomness to make a key from")]
    NoRandomness,
}

/// C15
fn decode(text: &str) -> Result<Box<Zeroizing<[u8; KEY]>>, KeyError> {
    if text.len() != KEY_TEXT {
        return Err(KeyError::Length { len: text.len() });
    }
    let mut octets = Box::new(Zeroizing::new([0; KEY]));
    z85::decode_into(text.as_bytes(), &mut **octets).map_err(|at| KeyError::NotZ85 { at })?;
    Ok(octets)
}

/// The octets of a key.
const KEY: usize = 32;

/// The characters of a key in Z85.
const KEY_TEXT: usize = KEY / 4 * 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748, 6.1.
    const ALICE_SECRET: [u8; KEY] = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66,
        0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9,
        0x2c, 0x2a,
    ];
    const ALICE_PUBLIC: [u8; KEY] = [
        0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7,
        0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b,
        0x4e, 0x6a,
    ];

    /// The points of order 1, 2, 4 and 8, on the curve and on its twist, in each spelling below 2^255 (little-endian).
    fn low_order_points() -> Vec<[u8; KEY]> {
        let with_ends = |first, middle, last| {
            let mut point = [middle; KEY];
            point[0] = first;
            point[31] = last;
            point
        };
        vec![
            [0; KEY],
            with_ends(1, 0, 0),
            // p - 1, p, p + 1
            with_ends(0xec, 0xff, 0x7f),
            with_ends(0xed, 0xff, 0x7f),
            with_ends(0xee, 0xff, 0x7f),
            [
                0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
                0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
                0x5f, 0x49, 0xb8, 0x00,
            ],
            [
                0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
                0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
                0xd0, 0x9f, 0x11, 0x57,
            ],
        ]
    }

    #[test]
    fn the_public_half_is_that_of_the_rfc() {
        let secret = SecretKey::from_bytes(&ALICE_SECRET);
        assert_eq!(secret.public_key().as_bytes(), &ALICE_PUBLIC);
        assert_eq!(PublicKey::from_bytes(ALICE_PUBLIC), Ok(secret.public_key()));
    }

    #[test]
    fn c14_public_keys_of_low_order_are_refused() {
        for mut point in low_order_points() {
            assert_eq!(PublicKey::from_bytes(point), Err(KeyError::LowOrder));
            assert_eq!(
                z85::encode(&point).parse::<PublicKey>(),
                Err(KeyError::LowOrder)
            );
            // The highest bit means nothing.
            point[31] |= 0x80;
            assert_eq!(PublicKey::from_bytes(point), Err(KeyError::LowOrder));
            // A neighbour is an ordinary point.
            point[0] ^= 0x10;
            assert!(PublicKey::from_bytes(point).is_ok());
        }
    }

    #[test]
    fn c15_a_public_key_is_32_octets_or_40_characters_of_z85() {
        let key = PublicKey::from_bytes(ALICE_PUBLIC).unwrap();
        let text = key.to_string();
        assert_eq!(text.len(), 40);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(PublicKey::try_from(&ALICE_PUBLIC[..]), Ok(key));
        for len in (0..100).filter(|len| *len != 32) {
            let wrong = PublicKey::try_from(&vec![9; len][..]);
            assert_eq!(wrong, Err(KeyError::Length { len }));
        }
        for len in (0..100).filter(|len| *len != 40) {
            let wrong = "1".repeat(len).parse::<PublicKey>();
            assert_eq!(wrong, Err(KeyError::Length { len }));
        }
        for at in 0..40 {
            for intruder in ["~", " ", "\"", "\0"] {
                let mut wrong = text.clone();
                wrong.replace_range(at..=at, intruder);
                let expected = KeyError::NotZ85 { at: at / 5 * 5 };
                assert_eq!(wrong.parse::<PublicKey>(), Err(expected));
                assert_eq!(wrong.parse::<SecretKey>().unwrap_err(), expected);
            }
        }
        // 40 octets that are not 40 characters
        assert_eq!(
            "é".repeat(20).parse::<PublicKey>(),
            Err(KeyError::NotZ85 { at: 0 })
        );
    }

    #[test]
    fn whatever_text_parses_is_printed_as_it_was() {
        let text = PublicKey::from_bytes(ALICE_PUBLIC).unwrap().to_string();
        let mut keys = 0;
        for at in 0..text.len() {
            for octet in 0..=u8::MAX {
                let mut damaged = text.clone().into_bytes();
                damaged[at] = octet;
                let damaged = String::from_utf8_lossy(&damaged);
                if let Ok(key) = damaged.parse::<PublicKey>() {
                    assert_eq!(key.to_string(), damaged);
                    keys += 1;
                }
            }
        }
        // A first character of a group can be too great.
        assert!(keys > 35 * 85, "{keys}");
    }

    #[test]
    fn a_secret_key_is_the_same_after_a_way_through_text() {
        let secret = SecretKey::from_bytes(&ALICE_SECRET);
        let again: SecretKey = secret.to_z85().parse().unwrap();
        assert_eq!(again.as_bytes(), &ALICE_SECRET);
    }

    #[test]
    fn new_keys_differ() {
        let [one, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
        assert_ne!(one.public_key(), other.public_key());
        assert_ne!(one.secret_key().as_bytes(), &[0; KEY]);
    }

    #[test]
    fn a_secret_key_is_never_printed() {
        let pair = KeyPair::from(SecretKey::from_bytes(&ALICE_SECRET));
        assert_eq!(format!("{:?}", pair.secret_key()), "SecretKey(..)");
        let shown = format!("{pair:#?}");
        assert!(shown.contains(&pair.public_key().to_string()), "{shown}");
        assert!(!shown.contains(pair.secret_key().to_z85().as_str()));
    }
}
