//! Certificate files.

#[path = "../../../src/security/zpl.rs"]
mod zpl;

use crate::security::{Certificate, CertificateError, Principal, SecretCertificate};

/// What a file says is said by the certificate and its principal; a secret one is a public one, too; and a value that a
/// file can hold reads as itself.
pub fn certificate(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    lines(text);
    let parsed = text.parse::<Certificate>();
    match (&parsed, text.parse::<SecretCertificate>()) {
        (Ok(certificate), secret) => {
            says_what_it_says(certificate);
            match secret {
                Ok(secret) => assert_eq!(secret.certificate(), certificate),
                Err(CertificateError::NoSecretKey | CertificateError::Mismatch) => {}
                Err(error) => panic!("{error}"),
            }
        }
        (Err(error), secret) => {
            assert_eq!(secret.unwrap_err().to_string(), error.to_string());
        }
    }
}

fn says_what_it_says(certificate: &Certificate) {
    let principal = Principal::from(certificate);
    assert_eq!(principal.user_id(), certificate.key().to_string());
    for (name, value) in certificate.properties() {
        assert_eq!(certificate.property(name), Some(value));
        let last = certificate
            .properties()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .last();
        let (_, last) = last.expect("at least itself");
        assert_eq!(principal.property(name), Some(last.as_bytes()));
    }
    let mut again = Certificate::new(*certificate.key());
    for (name, value) in certificate.properties() {
        match again.clone().with(name, value) {
            Ok(more) => again = more,
            Err(CertificateError::Property | CertificateError::TooLarge) => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(&again, certificate);
}

fn lines(text: &str) {
    for property in zpl::properties(text) {
        let Ok(zpl::Property { name, value, .. }) = property else {
            break;
        };
        assert!(zpl::is_name(name));
        if let Some(quoted) = zpl::quoted(value) {
            let line = format!("    {name} = {quoted}");
            let again = zpl::Property {
                depth: 1,
                name,
                value,
            };
            assert_eq!(zpl::properties(&line).next(), Some(Ok(again)));
        }
    }
}
