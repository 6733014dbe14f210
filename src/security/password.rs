//! [`Password`]: octets that are compared, and never shown.

use std::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// A password of 0 to 255 octets.
///
/// It is not printed, its memory is overwritten when it is dropped, and comparing two takes the same time whatever they
/// are (P5).
#[derive(Clone)]
pub struct Password(Box<Zeroizing<Padded>>);

/// The length, then the octets, then zeros: so that a comparison tells nothing of the length either.
type Padded = [u8; 1 + MAX];

impl Password {
    /// The password of these octets.
    ///
    /// # Errors
    /// [`PasswordTooLong`] if there are more than 255, which PLAIN cannot carry.
    pub fn new(octets: impl AsRef<[u8]>) -> Result<Self, PasswordTooLong> {
        let octets = octets.as_ref();
        let len = u8::try_from(octets.len()).map_err(|_| PasswordTooLong)?;
        let mut padded = Box::new(Zeroizing::new([0; 1 + MAX]));
        padded[0] = len;
        padded[1..=octets.len()].copy_from_slice(octets);
        Ok(Self(padded))
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[1..=usize::from(self.0[0])]
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&**other.0).into()
    }
}

impl Eq for Password {}

/// Shows nothing.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A password of more than 255 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a password has at most {MAX} octets; choose a shorter one")]
pub struct PasswordTooLong;

/// What one octet of length can say (RFC 24).
const MAX: usize = 255;
