//! Keys in files, in the format that czmq and pyzmq read and write.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

use super::keys::{KeyError, KeyPair, PublicKey, SecretKey};
use super::{Principal, zpl};

/// A public key, and what its owner says of himself.
///
/// It is a text that can be checked by eye, but nobody has signed it: whoever hands it over vouches for it.
///
/// ```
/// use jackstay::security::Certificate;
///
/// let certificate: Certificate = r#"
/// metadata
///     name = "Joe"
/// curve
///     public-key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
/// "#.parse()?;
/// assert_eq!(certificate.property("name"), Some("Joe"));
/// # Ok::<(), jackstay::security::CertificateError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "zcert")]
pub struct Certificate {
    key: PublicKey,
    metadata: Vec<(String, String)>,
}

impl Certificate {
    /// A certificate of this key that says no more.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self {
            key,
            metadata: Vec::new(),
        }
    }

    /// Adds a property, in the place of one of the same name.
    ///
    /// # Errors
    /// [`CertificateError::Property`] if a file has no way to say this, [`CertificateError::TooLarge`] if it is too much.
    pub fn with(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, CertificateError> {
        let (name, value) = (name.into(), value.into());
        if !zpl::is_name(&name) || zpl::quoted(&value).is_none() {
            return Err(CertificateError::Property);
        }
        self.put(name, value);
        let size: usize = self
            .properties()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        match size + self.metadata.len() * PROPERTY_EXTRA <= MAX_METADATA {
            true => Ok(self),
            false => Err(CertificateError::TooLarge),
        }
    }

    /// Reads a file, public or secret; of a secret one, the public half.
    ///
    /// # Errors
    /// [`CertificateError::Io`] if it cannot be read, the others if it is no certificate.
    #[doc(alias = "zcert_load")]
    pub fn read(path: impl AsRef<Path>) -> Result<Self, CertificateError> {
        read(path.as_ref())?.parse()
    }

    /// Writes the file that others may read.
    ///
    /// # Errors
    /// Those of the system; `AlreadyExists` if there is a file of this name, which is left as it is.
    #[doc(alias = "zcert_save_public")]
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        create(
            path.as_ref(),
            PUBLIC_MODE,
            self.text(PUBLIC_NOTE, None).as_bytes(),
        )
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What the certificate says under `name`.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// All that it says, in order.
    pub fn properties(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn put(&mut self, name: String, value: String) {
        self.metadata.retain(|(other, _)| *other != name);
        self.metadata.push((name, value));
    }

    fn text(&self, note: &str, secret: Option<&SecretKey>) -> Zeroizing<String> {
        // Written in one piece of memory, so that no part of a secret stays behind when it grows.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE));
        text.push_str(note);
        text.push_str("\nmetadata\n");
        for (name, value) in &self.metadata {
            let value = zpl::quoted(value).unwrap_or_default();
            text.extend(["    ", name, " = ", &value, "\n"]);
        }
        let public = self.key.to_string();
        text.extend(["curve\n    ", PUBLIC_KEY, " = \"", &public, "\"\n"]);
        if let Some(secret) = secret {
            let secret = secret.to_z85();
            text.extend(["    ", SECRET_KEY, " = \"", secret.as_str(), "\"\n"]);
        }
        text
    }
}

/// Reads the text of a public or a secret certificate.
impl FromStr for Certificate {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, CertificateError> {
        Parsed::from(text).map(|parsed| parsed.certificate)
    }
}

/// Who the owner of a certificate is: the key in Z85 is the user id, and the certificate's properties are the
/// principal's. Of those whose names differ only in case, which are one to a principal, it has the last.
impl From<&Certificate> for Principal {
    fn from(certificate: &Certificate) -> Self {
        let principal = Self::new(certificate.key().to_string());
        certificate
            .properties()
            .fold(principal, |principal, (name, value)| {
                principal.with(name, value.to_owned())
            })
    }
}

/// A certificate with the secret half of its key.
///
/// ```
/// use jackstay::security::{Certificate, KeyPair, SecretCertificate};
///
/// # let directory = std::env::temp_dir().join(format!("jackstay-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let path = directory.join("joe.key");
/// SecretCertificate::new(KeyPair::generate()?)
///     .with("name", "Joe")?
///     .write_both(&path)?; // joe.key for everybody, joe.key_secret for Joe
///
/// let joe = Certificate::read(&path)?;
/// let keys = SecretCertificate::read(directory.join("joe.key_secret"))?.into_keys();
/// assert_eq!(joe.key(), keys.public_key());
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "zcert")]
pub struct SecretCertificate {
    certificate: Certificate,
    keys: KeyPair,
}

impl SecretCertificate {
    /// A certificate of these keys that says no more.
    #[must_use]
    pub fn new(keys: KeyPair) -> Self {
        Self {
            certificate: Certificate::new(*keys.public_key()),
            keys,
        }
    }

    /// Adds a property, in the place of one of the same name.
    ///
    /// # Errors
    /// [`CertificateError::Property`] if a file has no way to say this, [`CertificateError::TooLarge`] if it is too much.
    pub fn with(
        self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, CertificateError> {
        Ok(Self {
            certificate: self.certificate.with(name, value)?,
            keys: self.keys,
        })
    }

    /// Reads a secret file.
    ///
    /// # Errors
    /// [`CertificateError::Io`] if it cannot be read, the others if it is no secret certificate.
    #[doc(alias = "zcert_load")]
    pub fn read(path: impl AsRef<Path>) -> Result<Self, CertificateError> {
        read(path.as_ref())?.parse()
    }

    /// Writes the file that only its owner may read (mode 0600).
    ///
    /// # Errors
    /// Those of the system; `AlreadyExists` if there is a file of this name, which is left as it is.
    #[doc(alias = "zcert_save_secret")]
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let text = self
            .certificate
            .text(SECRET_NOTE, Some(self.keys.secret_key()));
        create(path.as_ref(), SECRET_MODE, text.as_bytes())
    }

    /// Writes the public file to `path`, and the secret one beside it under the same name with `_secret` at its end.
    ///
    /// # Errors
    /// Those of the system; `AlreadyExists` if there is a file of either name. Then neither is written.
    #[doc(alias = "zcert_save")]
    pub fn write_both(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let secret = secret_path(path);
        self.write(&secret)?;
        self.certificate.write(path).inspect_err(|_| {
            // Its public half is missing, and at the next attempt it would be in the way.
            let _ = std::fs::remove_file(&secret);
        })
    }

    /// What others may know.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The keys, to be used by a socket.
    #[must_use]
    pub fn into_keys(self) -> KeyPair {
        self.keys
    }
}

/// Reads the text of a secret certificate.
impl FromStr for SecretCertificate {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let Parsed {
            certificate,
            secret,
        } = Parsed::from(text)?;
        let keys = KeyPair::from(secret.ok_or(CertificateError::NoSecretKey)?);
        if *keys.public_key() != certificate.key {
            return Err(CertificateError::Mismatch);
        }
        Ok(Self { certificate, keys })
    }
}

/// Why something is no certificate, or cannot become one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Io(#[from] io::Error),
    /// This is too much for a certificate.
    #[error("a certificate has at most {MAX_FILE} octets; is this the right file?")]
    TooLarge,
    /// The file is not a text.
    #[error("a certificate is a text in UTF-8; is this the right file?")]
    NotText,
    /// A line cannot be read.
    #[error(
        "line {line} of the certificate is not \"name = value\" after four spaces for each level"
    )]
    Line {
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// There is no public key.
    #[error("the certificate has no public-key in its curve section")]
    NoPublicKey,
    /// There is no secret key; it is perhaps the public file.
    #[error(
        "the certificate has no secret-key in its curve section; is it the public file and not the one that ends in _secret?"
    )]
    NoSecretKey,
    /// A key of the certificate is none.
    #[error("the {name} of the certificate is no key: {error}")]
    Key {
        /// Which key it is, by its name in the file.
        name: &'static str,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The public and the secret key do not belong together.
    #[error("the public-key and the secret-key of the certificate do not belong together")]
    Mismatch,
    /// A property that a file has no way to say.
    #[error(
        "a property's name has only letters, digits and $-_@.&+/, and its value is one line that fits into quotes"
    )]
    Property,
}

/// What a file says.
struct Parsed {
    certificate: Certificate,
    secret: Option<SecretKey>,
}

impl Parsed {
    fn from(text: &str) -> Result<Self, CertificateError> {
        let mut section = "";
        let (mut public, mut secret) = (None, None);
        let mut metadata = Vec::new();
        for property in zpl::properties(text) {
            let zpl::Property { depth, name, value } =
                property.map_err(|line| CertificateError::Line { line })?;
            match (depth, section, name) {
                (0, _, _) => section = name,
                (1, "metadata", _) => metadata.push((name, value)),
                (1, "curve", PUBLIC_KEY) => public = Some(key(PUBLIC_KEY, value)?),
                (1, "curve", SECRET_KEY) => secret = Some(key(SECRET_KEY, value)?),
                // Somebody else's.
                _ => {}
            }
        }
        let mut certificate = Certificate::new(public.ok_or(CertificateError::NoPublicKey)?);
        for (name, value) in metadata {
            certificate.put(name.into(), value.into());
        }
        Ok(Self {
            certificate,
            secret,
        })
    }
}

fn key<K: FromStr<Err = KeyError>>(name: &'static str, text: &str) -> Result<K, CertificateError> {
    text.parse()
        .map_err(|error| CertificateError::Key { name, error })
}

/// The name of the secret file that goes with a public one.
fn secret_path(public: &Path) -> PathBuf {
    let mut name = public.as_os_str().to_owned();
    name.push(SECRET_SUFFIX);
    name.into()
}

fn read(path: &Path) -> Result<Zeroizing<String>, CertificateError> {
    // With room for all at once: growing would leave parts of a secret behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(MAX_FILE + 2));
    let limit = u64::try_from(MAX_FILE + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut octets)?;
    if octets.len() > MAX_FILE {
        return Err(CertificateError::TooLarge);
    }
    match String::from_utf8(std::mem::take(&mut *octets)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(CertificateError::NotText)
        }
    }
}

/// Writes a new file whole, or none.
fn create(path: &Path, mode: u32, octets: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(octets)
        .and_then(|()| file.sync_all())
        .inspect_err(|_| {
            let _ = std::fs::remove_file(path);
        })
}

/// What the name of a secret file ends with.
pub(super) const SECRET_SUFFIX: &str = "_secret";

const PUBLIC_KEY: &str = "public-key";
const SECRET_KEY: &str = "secret-key";

const PUBLIC_NOTE: &str = "\
#   A public key for CURVE, written by jackstay.
#   Hand it to your peers in a way that lets them be sure that it is yours.
";
const SECRET_NOTE: &str = "\
#   A SECRET key for CURVE, written by jackstay.
#   Nobody but its owner may read this file.
";

const PUBLIC_MODE: u32 = 0o644;
const SECRET_MODE: u32 = 0o600;

/// More than any certificate needs, in octets.
const MAX_FILE: usize = 64 * 1024;

/// What the properties may take of that, each with its indentation, its quotes and the end of its line.
const MAX_METADATA: usize = 60 * 1024;
const PROPERTY_EXTRA: usize = 10;

#[cfg(test)]
mod tests;
