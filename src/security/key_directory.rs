//! [`KeyDirectory`]: those who may connect under CURVE, a file each.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::authenticator::decided;
use super::certificate::SECRET_SUFFIX;
use super::{
    Authenticator, Candidate, Certificate, Credentials, Decision, Grant, Principal, PublicKey,
    Refusal,
};

/// A directory of public certificates: who has one there may connect under CURVE.
///
/// The user id is the key in Z85, the properties are those of the certificate. What is no certificate is passed over with
/// a `tracing` warning; hidden files, subdirectories and those whose name ends with `_secret` or `~` without.
///
/// # Changes
/// The directory is followed while sockets use it. A key whose file is removed is refused from that moment on; a new
/// file counts at the latest a second after the last look, which the next peer with an unknown key causes. Connections
/// that exist end when the change is noticed: by the next peer, by [`refresh`](Self::refresh) or by
/// [`follow`](Self::follow). To replace a certificate, write a new file and rename it: half a file holds no key.
///
/// It is read by whoever asks, so it should lie on a local disk, and have thousands of files rather than millions.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use jackstay::security::KeyDirectory;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir();
/// let keys = Arc::new(KeyDirectory::open(path)?);
/// tokio::spawn({
///     let keys = keys.clone();
///     async move { keys.follow(Duration::from_secs(5)).await }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "zcertstore")]
pub struct KeyDirectory {
    path: PathBuf,
    files: Mutex<Files>,
}

impl KeyDirectory {
    /// Reads the directory at `path`.
    ///
    /// # Errors
    /// Those of the system, if it cannot be listed. A file that cannot be read is passed over.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let mut files = Files {
            known: HashMap::new(),
            listed: Instant::now(),
        };
        files.refresh(list(&path)?);
        Ok(Self {
            path,
            files: Mutex::new(files),
        })
    }

    /// Looks at all files now, and shuts out those whose file is gone or has another key.
    pub fn refresh(&self) {
        self.look(&mut self.lock());
    }

    /// Goes on to [`refresh`](Self::refresh) once in `every`, and never returns: for a task of its own. `every` is at
    /// least a millisecond.
    ///
    /// # Cancel safety
    /// It can be dropped and called again at any time.
    pub async fn follow(&self, every: Duration) {
        loop {
            tokio::time::sleep(every.max(Duration::from_millis(1))).await;
            self.refresh();
        }
    }

    fn principal(&self, key: &PublicKey) -> Option<Principal> {
        let mut files = self.lock();
        if files.listed.elapsed() >= LOOK_AGAIN {
            self.look(&mut files);
        }
        files.principal(key)
    }

    fn look(&self, files: &mut Files) {
        files.listed = Instant::now();
        let found = list(&self.path).unwrap_or_else(|error| {
            tracing::warn!(path = %self.path.display(), %error, "the key directory cannot be listed");
            HashSet::new()
        });
        files.refresh(found);
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authenticator for KeyDirectory {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        let Credentials::Curve { key } = &peer.credentials else {
            return decided(Err(Refusal::denied("no key was shown")));
        };
        decided(self.principal(key).ok_or_else(|| {
            let path = self.path.display();
            Refusal::denied(format!("no certificate in {path} has the key {key}"))
        }))
    }
}

/// What was found at the last look.
#[derive(Debug)]
struct Files {
    known: HashMap<PathBuf, Known>,
    /// When the directory was last listed.
    listed: Instant,
}

#[derive(Debug)]
struct Known {
    /// None while the file is so young that a further change might not show.
    stamp: Option<Stamp>,
    /// None if the file is no certificate.
    member: Option<Member>,
}

#[derive(Debug)]
struct Member {
    key: PublicKey,
    /// Under `grant`.
    principal: Principal,
    grant: Grant,
}

impl Files {
    /// Looks at the files of these names and at those that it knows.
    fn refresh(&mut self, mut paths: HashSet<PathBuf>) {
        paths.extend(self.known.keys().cloned());
        for path in paths {
            self.refresh_file(path);
        }
    }

    /// Whom `key` stands for, after another look at its file.
    fn principal(&mut self, key: &PublicKey) -> Option<Principal> {
        let has_key = |known: &&Known| known.key() == Some(key);
        // Each turn ends with an answer, or with one file less that has the key.
        loop {
            let holder = self.known.iter().find(|(_, known)| has_key(known));
            let path = holder.map(|(path, _)| path.clone())?;
            let known = self.refresh_file(path).filter(has_key);
            if let Some(member) = known.and_then(|known| known.member.as_ref()) {
                return Some(member.principal.clone());
            }
        }
    }

    /// Reads a file again if it has changed, and forgets it if it is gone.
    fn refresh_file(&mut self, path: PathBuf) -> Option<&Known> {
        let before = self.known.remove(&path);
        // Taken before the file is read: what changes in between shows at the next look.
        let now = Stamp::of(&path);
        let after = match (before, now) {
            (Some(known), Some(now)) if known.stamp.as_ref() == Some(&now) => known,
            (before, Some(now)) => Known::read(&path, now, before.and_then(|known| known.member)),
            (Some(before), None) => {
                before.revoke();
                return None;
            }
            (None, None) => return None,
        };
        Some(self.known.entry(path).insert_entry(after).into_mut())
    }
}

impl Known {
    /// Reads a file; `before` is who was in it.
    fn read(path: &Path, stamp: Stamp, before: Option<Member>) -> Self {
        let certificate = Certificate::read(path)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "a file of the key directory is passed over");
            })
            .ok();
        let kept = before.filter(|before| {
            let is_kept = certificate.as_ref().map(Certificate::key) == Some(&before.key);
            if !is_kept {
                before.grant.revoke();
            }
            is_kept
        });
        let grant = kept.map(|before| before.grant).unwrap_or_default();
        Self {
            stamp: stamp.is_settled().then_some(stamp),
            member: certificate.map(|certificate| Member {
                key: *certificate.key(),
                principal: Principal::from(&certificate).under(&grant),
                grant,
            }),
        }
    }

    fn key(&self) -> Option<&PublicKey> {
        self.member.as_ref().map(|member| &member.key)
    }

    fn revoke(&self) {
        if let Some(member) = &self.member {
            member.grant.revoke();
        }
    }
}

/// What changes when a file does.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    /// The file itself, and when it was last renamed or linked, where the system tells.
    identity: [i64; 3],
}

impl Stamp {
    /// `None` if there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(Metadata::is_file)?;
        Some(Self {
            modified: metadata.modified().ok()?,
            len: metadata.len(),
            identity: identity(&metadata),
        })
    }

    /// Whether the file is old enough for the next change to have another time.
    fn is_settled(&self) -> bool {
        self.modified
            .elapsed()
            .is_ok_and(|age| age > CLOCK_RESOLUTION)
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> [i64; 3] {
    use std::os::unix::fs::MetadataExt;

    [
        metadata.ino().cast_signed(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> [i64; 3] {
    [0; 3]
}

/// The files of a directory that may be certificates.
fn list(directory: &Path) -> io::Result<HashSet<PathBuf>> {
    fs::read_dir(directory)?
        .filter(|entry| {
            entry
                .as_ref()
                .map_or(true, |entry| is_public(&entry.file_name()))
        })
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

fn is_public(name: &std::ffi::OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let is_left_out =
        name.starts_with(b".") || name.ends_with(b"~") || name.ends_with(SECRET_SUFFIX.as_bytes());
    !is_left_out
}

/// How long a listing of the directory counts for an unknown key.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Two changes within this time may leave the same time behind: file systems count in steps of up to two seconds.
const CLOCK_RESOLUTION: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::security::{KeyPair, SecretCertificate};
    use crate::transport::PeerAddress;

    /// Longer than anything here takes.
    const LIMIT: Duration = Duration::from_secs(20);

    /// A directory of certificates that is gone with the test.
    struct Fixture {
        path: PathBuf,
        keys: KeyDirectory,
    }

    impl Fixture {
        fn new(name: &str) -> Self {
            let name = format!("jackstay-keys-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            let keys = KeyDirectory::open(&path).unwrap();
            Self { path, keys }
        }

        /// A new certificate in a file of this name, which takes the place of another in one step.
        fn write(&self, name: &str) -> PublicKey {
            let certificate = SecretCertificate::new(KeyPair::generate().unwrap())
                .with("name", name)
                .unwrap();
            let draft = self.path.join(".draft");
            certificate.certificate().write(&draft).unwrap();
            fs::rename(draft, self.path.join(name)).unwrap();
            *certificate.certificate().key()
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.path.join(name)).unwrap();
        }

        async fn ask(&self, key: PublicKey) -> Result<Principal, Refusal> {
            let peer = Candidate::new(PeerAddress::Adopted, Credentials::Curve { key });
            self.keys.authenticate(&peer).await
        }

        /// As if the directory had just been listed, however slow the test is.
        fn just_listed(&self) {
            self.keys.lock().listed = Instant::now() + Duration::from_secs(3600);
        }

        /// As if the last listing were so old that the next unknown key causes another.
        fn listed_before(&self) {
            self.keys.lock().listed = Instant::now() - LOOK_AGAIN;
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    #[tokio::test]
    async fn whoever_has_a_certificate_there_gets_in() {
        let fixture = Fixture::new("in");
        let key = fixture.write("joe.key");
        fixture.keys.refresh();
        let joe = fixture.ask(key).await.unwrap();
        assert_eq!(joe.user_id(), key.to_string());
        assert_eq!(joe.property("name"), Some(&b"joe.key"[..]));

        let stranger = *KeyPair::generate().unwrap().public_key();
        assert!(fixture.ask(stranger).await.is_err());
        let nobody = Candidate::new(PeerAddress::Adopted, Credentials::Null);
        assert!(fixture.keys.authenticate(&nobody).await.is_err());
    }

    #[tokio::test]
    async fn a_new_file_counts_from_the_next_listing_on() {
        let fixture = Fixture::new("new");
        let key = fixture.write("joe.key");
        fixture.just_listed();
        assert!(fixture.ask(key).await.is_err());
        fixture.listed_before();
        assert!(fixture.ask(key).await.is_ok());
    }

    #[tokio::test]
    async fn a_key_that_is_removed_is_refused_at_once_and_its_connections_end() {
        let fixture = Fixture::new("removed");
        let [joe, ann] = ["joe.key", "ann.key"].map(|name| fixture.write(name));
        fixture.keys.refresh();
        let [first, second] = [fixture.ask(joe).await, fixture.ask(ann).await].map(Result::unwrap);
        fixture.remove("joe.key");
        assert!(fixture.ask(joe).await.is_err());
        assert!(first.is_revoked() && !second.is_revoked());

        // Also without anybody who asks.
        fixture.remove("ann.key");
        fixture.keys.refresh();
        assert!(second.is_revoked());
    }

    #[tokio::test]
    async fn a_file_with_another_key_shuts_out_the_one_before() {
        let fixture = Fixture::new("replaced");
        let old = fixture.write("joe.key");
        fixture.keys.refresh();
        let joe = fixture.ask(old).await.unwrap();
        // Of the same length, and within the resolution of the file system's clock.
        let new = fixture.write("joe.key");
        assert!(fixture.ask(old).await.is_err());
        assert!(joe.is_revoked());
        assert!(fixture.ask(new).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_changes_in_place_is_read_again() {
        let fixture = Fixture::new("in-place");
        let old = fixture.write("joe.key");
        let new = fixture.write(".new");
        fixture.keys.refresh();
        let joe = fixture.ask(old).await.unwrap();
        let text = fs::read(fixture.path.join(".new")).unwrap();
        fs::write(fixture.path.join("joe.key"), text).unwrap();
        assert!(fixture.ask(old).await.is_err());
        assert!(joe.is_revoked());
        assert!(fixture.ask(new).await.is_ok());
    }

    #[tokio::test]
    async fn the_same_key_with_other_properties_stays_in() {
        let fixture = Fixture::new("properties");
        let key = fixture.write("joe.key");
        fixture.keys.refresh();
        let before = fixture.ask(key).await.unwrap();
        let path = fixture.path.join("joe.key");
        let other = Certificate::read(&path)
            .unwrap()
            .with("name", "Joe")
            .unwrap();
        fixture.remove("joe.key");
        other.write(path).unwrap();
        let after = fixture.ask(key).await.unwrap();
        assert_eq!(after.property("name"), Some(&b"Joe"[..]));
        assert!(!before.is_revoked());
    }

    #[tokio::test]
    async fn a_key_in_two_files_gets_in_until_both_are_gone() {
        let fixture = Fixture::new("twice");
        let key = fixture.write("one");
        fs::copy(fixture.path.join("one"), fixture.path.join("other")).unwrap();
        fixture.keys.refresh();
        fixture.remove("one");
        assert!(fixture.ask(key).await.is_ok());
        fixture.remove("other");
        assert!(fixture.ask(key).await.is_err());
    }

    #[tokio::test]
    async fn secret_and_hidden_files_and_what_is_no_certificate_are_passed_over() {
        let fixture = Fixture::new("others");
        let left_out = ["joe.key_secret", ".joe.key", "joe.key~"].map(|name| fixture.write(name));
        fs::write(fixture.path.join("README"), "no certificate").unwrap();
        fs::write(
            fixture.path.join("half.key"),
            "curve\n    public-key = \"abc",
        )
        .unwrap();
        fs::create_dir(fixture.path.join("directory.key")).unwrap();
        let key = fixture.write("joe.key");
        fixture.keys.refresh();
        assert!(fixture.ask(key).await.is_ok());
        for key in left_out {
            assert!(fixture.ask(key).await.is_err());
        }
    }

    #[tokio::test]
    async fn nobody_gets_in_when_the_directory_is_gone() {
        let fixture = Fixture::new("gone");
        let key = fixture.write("joe.key");
        fixture.keys.refresh();
        let joe = fixture.ask(key).await.unwrap();
        fs::remove_dir_all(&fixture.path).unwrap();
        fixture.keys.refresh();
        assert!(joe.is_revoked());
        assert!(fixture.ask(key).await.is_err());
        assert!(KeyDirectory::open(&fixture.path).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn following_notices_a_removal_that_nobody_asks_about() {
        let fixture = Fixture::new("followed");
        let key = fixture.write("joe.key");
        fixture.keys.refresh();
        let joe = fixture.ask(key).await.unwrap();
        fixture.remove("joe.key");
        tokio::select! {
            () = fixture.keys.follow(Duration::from_secs(1)) => {}
            revoked = timeout(LIMIT, joe.revoked()) => revoked.expect("the removal goes unnoticed"),
        }
    }

    #[test]
    fn a_young_file_is_read_at_every_look_and_an_old_one_when_it_has_changed() {
        let fixture = Fixture::new("young");
        fixture.write("joe.key");
        let path = fixture.path.join("joe.key");
        let stamped = || fixture.keys.lock().known[&path].stamp.is_some();
        fixture.keys.refresh();
        assert!(!stamped());
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(hour_ago).unwrap();
        fixture.keys.refresh();
        assert!(stamped());
    }

    #[test]
    fn a_file_is_young_as_long_as_a_change_might_not_show() {
        let stamp = |age| Stamp {
            modified: SystemTime::now() - age,
            len: 0,
            identity: [0; 3],
        };
        assert!(!stamp(Duration::ZERO).is_settled());
        assert!(stamp(CLOCK_RESOLUTION * 2).is_settled());
        let future = Stamp {
            modified: SystemTime::now() + CLOCK_RESOLUTION * 100,
            ..stamp(Duration::ZERO)
        };
        assert!(!future.is_settled());
    }
}
