//! [`PublicKey`], [`SecretKey`] and the [`KeyPair`] of both.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;
use thiserror::Error;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
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
        Self(Box::new(Zeroizing::new(*octets)))
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
        // The base point has a large order, and no clamped scalar is a multiple of it.
        PublicKey(x25519(**self.0, X25519_BASEPOINT_BYTES))
    }

    /// The key as 40 characters of Z85, for a place that is as safe as this one. The text is overwritten when it is
    /// dropped.
    #[must_use]
    pub fn to_z85(&self) -> Zeroizing<String> {
        Zeroizing::new(z85::encode(&**self.0))
    }
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
