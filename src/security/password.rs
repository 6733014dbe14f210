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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_only_the_same_octets_are_equal() {
        let password = |octets: &[u8]| Password::new(octets).unwrap();
        let texts: [&[u8]; 6] = [b"", b"\0", b"secret", b"secre", b"secret\0", b"sEcret"];
        for (i, one) in texts.iter().enumerate() {
            for (j, other) in texts.iter().enumerate() {
                assert_eq!(password(one) == password(other), i == j);
            }
        }
    }

    #[test]
    fn a_password_has_0_to_255_octets() {
        for len in 0..=255 {
            let octets = vec![7; len];
            assert_eq!(Password::new(&octets).unwrap().as_bytes(), octets);
        }
        assert_eq!(Password::new([7; 256]), Err(PasswordTooLong));
    }

    #[test]
    fn p5_a_password_is_never_printed() {
        let password = Password::new("secret").unwrap();
        assert_eq!(format!("{password:?}"), "Password(..)");
    }
}
