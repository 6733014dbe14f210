//! Certificates of other implementations, our own, and damaged ones.

use super::*;

const CZMQ: &str = include_str!("../../../tests/certificates/czmq");
const CZMQ_SECRET: &str = include_str!("../../../tests/certificates/czmq_secret");
const PYZMQ: &str = include_str!("../../../tests/certificates/pyzmq.key");
const PYZMQ_SECRET: &str = include_str!("../../../tests/certificates/pyzmq.key_secret");

const THEIRS: [(&str, &str, &str); 2] = [
    (
        CZMQ,
        CZMQ_SECRET,
        "E&a)5*h^cDM41z/FnMf&Fb4tKvzbHGZA=on*)M>E",
    ),
    (
        PYZMQ,
        PYZMQ_SECRET,
        "Il)kD>4MgP:j?*0/0qQ3ds3B7g{a$T{C=Q%@++{?",
    ),
];

/// A new directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jackstay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn own() -> SecretCertificate {
    SecretCertificate::new(KeyPair::generate().unwrap())
        .with("name", "Joe \"Public\"")
        .unwrap()
        .with("note", "it's # 1")
        .unwrap()
}

#[test]
fn the_files_of_czmq_and_pyzmq_can_be_read() {
    for (public, secret, key) in THEIRS {
        let certificate: Certificate = public.parse().unwrap();
        assert_eq!(certificate.key().to_string(), key);
        let secret: SecretCertificate = secret.parse().unwrap();
        assert_eq!(
            secret.certificate().property("email"),
            Some("jo@example.org")
        );
        assert_eq!(secret.into_keys().public_key(), certificate.key());
    }
    let czmq: Certificate = CZMQ.parse().unwrap();
    let said: Vec<_> = czmq.properties().collect();
    let expected = [
        ("name", "Jo Public"),
        ("note", "#1 = first"),
        ("email", "jo@example.org"),
    ];
    assert_eq!(said, expected);
}

#[test]
fn of_a_secret_file_the_public_half_can_be_read_and_not_the_other_way_round() {
    let both: Certificate = PYZMQ_SECRET.parse().unwrap();
    assert_eq!(both.property("name"), Some("Jo Public"));
    assert!(matches!(
        PYZMQ.parse::<SecretCertificate>(),
        Err(CertificateError::NoSecretKey)
    ));
}

#[test]
fn files_keep_keys_and_metadata() {
    let directory = Directory::new("keeps");
    let path = directory.0.join("joe.key");
    let own = own();
    own.write_both(&path).unwrap();
    assert_eq!(Certificate::read(&path).unwrap(), *own.certificate());
    let again = SecretCertificate::read(directory.0.join("joe.key_secret")).unwrap();
    assert_eq!(again.certificate(), own.certificate());
    let [own, again] = [own, again].map(SecretCertificate::into_keys);
    assert_eq!(own.secret_key().as_bytes(), again.secret_key().as_bytes());
    let public = std::fs::read_to_string(&path).unwrap();
    assert!(!public.contains(own.secret_key().to_z85().as_str()));
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_secret_file() {
    use std::os::unix::fs::PermissionsExt;

    let directory = Directory::new("mode");
    let path = directory.0.join("joe.key_secret");
    own().write(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn no_file_is_overwritten() {
    let directory = Directory::new("overwrites");
    let path = directory.0.join("joe.key");
    for taken in ["joe.key", "joe.key_secret"] {
        let taken = directory.0.join(taken);
        std::fs::write(&taken, "precious").unwrap();
        let error = own().write_both(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&taken).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 1);
        std::fs::remove_file(taken).unwrap();
    }
}

#[test]
fn what_a_file_cannot_say_is_refused() {
    let certificate = || CZMQ.parse::<Certificate>().unwrap();
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a=", "x"),
        ("a", "\"'#"),
        ("a", "x\ny"),
    ] {
        let refused = certificate().with(name, value);
        assert!(
            matches!(refused, Err(CertificateError::Property)),
            "{name:?} {value:?}"
        );
    }
    let much = certificate().with("a", "x".repeat(MAX_METADATA));
    assert!(matches!(much, Err(CertificateError::TooLarge)));
    let most = certificate()
        .with("a", "x".repeat(MAX_METADATA / 2))
        .unwrap();
    assert!(most.text(SECRET_NOTE, None).len() < MAX_FILE - 200);
}

#[test]
fn c15_a_key_that_is_none_names_itself() {
    let wrong = CZMQ.replace("E&a)5", "E&a)");
    let error = wrong.parse::<Certificate>().unwrap_err().to_string();
    assert!(
        error.contains("public-key") && error.contains("39"),
        "{error}"
    );

    let other = SecretKey::generate().unwrap();
    let (_, _, key) = THEIRS[0];
    let mixed = CZMQ_SECRET.replace(key, &other.public_key().to_string());
    assert!(matches!(
        mixed.parse::<SecretCertificate>(),
        Err(CertificateError::Mismatch)
    ));
    assert!(matches!(
        "metadata\n    public-key = 1\n".parse::<Certificate>(),
        Err(CertificateError::NoPublicKey)
    ));
    assert!(matches!(
        "curve\n  public-key = 1\n".parse::<Certificate>(),
        Err(CertificateError::Line { line: 2 })
    ));
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_no_certificate() {
    let directory = Directory::new("other");
    let path = directory.0.join("other");
    let read = |octets: &[u8]| {
        std::fs::write(&path, octets).unwrap();
        Certificate::read(&path)
    };
    assert!(matches!(read(b"\xff"), Err(CertificateError::NotText)));
    assert!(matches!(
        read(&[b'#'; MAX_FILE + 1]),
        Err(CertificateError::TooLarge)
    ));
    assert!(matches!(
        read(&[b'#'; MAX_FILE]),
        Err(CertificateError::NoPublicKey)
    ));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        Certificate::read(&path),
        Err(CertificateError::Io(_))
    ));
}

#[test]
fn no_damage_makes_the_parser_panic_and_what_it_reads_it_can_write() {
    const ALPHABET: &[u8] = b" \n\r\t#=\"'ax/_-\0\xc3\xa9";
    // Drawn from a fixed seed, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut read = 0;
    for _ in 0..4_000 {
        let mut octets = [CZMQ, CZMQ_SECRET, PYZMQ_SECRET][draw(3)]
            .as_bytes()
            .to_vec();
        for _ in 0..=draw(3) {
            if octets.is_empty() {
                break;
            }
            let at = draw(octets.len());
            match draw(4) {
                0 => octets[at] = ALPHABET[draw(ALPHABET.len())],
                1 => octets.insert(at, ALPHABET[draw(ALPHABET.len())]),
                2 => drop(octets.remove(at)),
                _ => octets.truncate(at),
            }
        }
        let Ok(certificate) = String::from_utf8_lossy(&octets).parse::<Certificate>() else {
            continue;
        };
        read += 1;
        let text = certificate.text(PUBLIC_NOTE, None);
        assert_eq!(text.parse::<Certificate>().unwrap(), certificate);
    }
    assert!(read > 400, "only {read} of the damaged files could be read");
}
