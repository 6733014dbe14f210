//! The ipc transport: Unix domain sockets, and the care for their files.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf, absolute};

use socket2::SockRef;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::{Stream, invalid_input, unsupported};
use crate::endpoint::{Endpoint, IpcAddress};

#[derive(Debug)]
pub(super) struct Listener {
    /// Removed before the listener below ends: as long as that lives, nobody else can take the path or reuse the inode.
    _file: Option<SocketFile>,
    inner: UnixListener,
}

/// The file of a listener, removed on drop if it is still the one that was made.
#[derive(Debug)]
struct SocketFile {
    /// Absolute: the working directory may change.
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Made for the file, and removed after it.
    _directory: Option<PrivateDirectory>,
}

/// A directory that no other user can enter, removed on drop if it is empty.
#[derive(Debug)]
struct PrivateDirectory(PathBuf);

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = self.inner.accept().await?;
        Ok(stream_of(stream))
    }

    pub(super) fn endpoint(&self) -> io::Result<Endpoint> {
        let local = SockRef::from(&self.inner).local_addr()?;
        let address = match (local.as_pathname(), local.as_abstract_namespace()) {
            (Some(path), _) => IpcAddress::from_path(path),
            (None, Some(name)) => IpcAddress::Abstract(name.into()),
            (None, None) => return Err(invalid_input("the listener has no address")),
        };
        Ok(address.into())
    }
}

impl From<UnixListener> for Listener {
    fn from(inner: UnixListener) -> Self {
        Self { _file: None, inner }
    }
}

pub(super) async fn connect(address: &IpcAddress) -> io::Result<Stream> {
    let path = match address {
        IpcAddress::Path(path) => path.clone(),
        IpcAddress::Abstract(name) => abstract_path(name)?,
        IpcAddress::Any => return Err(invalid_input("a wildcard is no path to connect to")),
    };
    UnixStream::connect(path).await.map(stream_of)
}

/// Lets the kernel hold several large messages, if it may: with its default of some 200 KiB, sender and receiver of messages of
/// 128 KiB wait for each other at each one. (Measured: 28 → 41 k/s; of 1 KiB 3.1 → 3.4 M/s.)
fn stream_of(stream: UnixStream) -> Stream {
    // It caps the size by a limit of its own.
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    Stream::ipc(stream)
}

const SEND_BUFFER: usize = 512 << 10;

pub(super) async fn listen(address: &IpcAddress, backlog: u32) -> io::Result<Listener> {
    match address {
        IpcAddress::Path(path) => listen_at(path, None, backlog).await,
        IpcAddress::Abstract(name) => {
            let socket = UnixSocket::new_stream()?;
            socket.bind(abstract_path(name)?)?;
            socket.listen(backlog).map(Listener::from)
        }
        IpcAddress::Any => {
            let directory = PrivateDirectory::new()?;
            listen_at(&directory.0.join("socket"), Some(directory), backlog).await
        }
    }
}

/// Binds `path`, where a file may be left over from a listener that is gone.
async fn listen_at(
    path: &Path,
    directory: Option<PrivateDirectory>,
    backlog: u32,
) -> io::Result<Listener> {
    let absolute = absolute(path)?;
    let socket = UnixSocket::new_stream()?;
    // The path as given, not as completed: it may be relative because there is room for no more.
    match socket.bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if !remove_stale(path).await? {
                return Err(error);
            }
            socket.bind(path)?;
        }
        outcome => outcome?,
    }
    let made = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: absolute,
        device: made.dev(),
        inode: made.ino(),
        _directory: directory,
    };
    // From here on an error removes the file.
    let inner = socket.listen(backlog)?;
    Ok(Listener {
        _file: Some(file),
        inner,
    })
}

/// Removes what a listener that is gone left at `path`, and says whether the path is free now.
async fn remove_stale(path: &Path) -> io::Result<bool> {
    let Some(found) = existing(fs::symlink_metadata(path))? else {
        return Ok(true);
    };
    if !found.file_type().is_socket() {
        return Ok(false);
    }
    // Only a refusal says that nobody listens: a full backlog, or a lack of permission, is somebody's.
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return Ok(false),
    }
    // Somebody else may have replaced it meanwhile, even by a file with the same inode.
    let stamp = |file: &fs::Metadata| (file.dev(), file.ino(), file.ctime(), file.ctime_nsec());
    match existing(fs::symlink_metadata(path))? {
        Some(now) if stamp(&now) != stamp(&found) => Ok(false),
        _ => existing(fs::remove_file(path)).map(|_| true),
    }
}

/// Tells a file that is not there, because another listener was faster, from other errors.
fn existing<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody is left to hear of an error, and a file that stays is replaced by the next listener.
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode));
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl PrivateDirectory {
    /// Makes one under a new name in the directory for temporary files.
    fn new() -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            // Every new state hashes with random keys.
            let random = RandomState::new().build_hasher().finish();
            let path = std::env::temp_dir().join(format!("jackstay-{random:016x}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                outcome => return outcome.map(|()| Self(path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The system's way to write an abstract name: where a path would be, after a NUL.
fn abstract_path(name: &[u8]) -> io::Result<PathBuf> {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        Ok(std::ffi::OsStr::from_bytes(&[&[0], name].concat()).into())
    } else {
        Err(unsupported(
            "only Linux has abstract names: use ipc:///path",
        ))
    }
}

/// Even two random names in a row that are taken are no accident.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdListener;

    use super::super::tests::{Scratch, read_to_end, write_all};
    use super::*;

    fn at(path: &Path) -> IpcAddress {
        IpcAddress::Path(path.into())
    }

    async fn reaches(address: &IpcAddress, listener: &Listener) {
        let (stream, accepted) = tokio::join!(connect(address), listener.accept());
        write_all(&accepted.unwrap(), b"it is I").await.unwrap();
        assert_eq!(read_to_end(&stream.unwrap()).await.unwrap(), "it is I");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_holds_more_than_by_default_as_far_as_it_may() {
        let scratch = Scratch::new();
        let address = at(&scratch.0.join("s"));
        let listener = listen(&address, 16).await.unwrap();
        let (near, far) = tokio::join!(connect(&address), listener.accept());
        let default = SockRef::from(&listener.inner).send_buffer_size().unwrap();
        for stream in &[near.unwrap(), far.unwrap()] {
            // The runtime has to have looked at it once.
            write_all(stream, b"!").await.unwrap();
            let octets = vec![7; 32 << 10];
            let mut held = 0;
            while let Ok(n) = stream.try_write(&[io::IoSlice::new(&octets)]) {
                held += n;
            }
            assert!(held > default, "{held} octets");
        }
    }

    #[tokio::test]
    async fn a_path_is_free_again_after_its_listener() {
        let scratch = Scratch::new();
        let path = scratch.0.join("s");
        for _ in 0..2 {
            let listener = listen(&at(&path), 16).await.unwrap();
            reaches(&at(&path), &listener).await;
            drop(listener);
            assert!(!path.exists());
        }
        let error = connect(&at(&path)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_file_left_over_is_replaced() {
        let scratch = Scratch::new();
        let path = scratch.0.join("s");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves it");
        let listener = listen(&at(&path), 16).await.unwrap();
        reaches(&at(&path), &listener).await;
    }

    #[tokio::test]
    async fn a_path_in_use_is_refused_and_stays_in_use() {
        let scratch = Scratch::new();
        let path = scratch.0.join("s");
        let listener = listen(&at(&path), 16).await.unwrap();
        let error = listen(&at(&path), 16).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        // The question whether anybody listens arrived as a connection that ended at once.
        let probe = listener.accept().await.unwrap();
        assert_eq!(read_to_end(&probe).await.unwrap(), "");
        reaches(&at(&path), &listener).await;
    }

    #[tokio::test]
    async fn a_listener_too_busy_to_answer_is_a_listener() {
        let scratch = Scratch::new();
        let path = scratch.0.join("s");
        let _listener = listen(&at(&path), 1).await.unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = connect(&at(&path)).await {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the backlog has no end");
        }
        let error = listen(&at(&path), 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let scratch = Scratch::new();
        let (file, link, dead) = (
            scratch.0.join("file"),
            scratch.0.join("link"),
            scratch.0.join("dead"),
        );
        fs::write(&file, "precious").unwrap();
        drop(StdListener::bind(&dead).unwrap());
        std::os::unix::fs::symlink(&dead, &link).unwrap();
        for path in [&file, &link, &scratch.0] {
            let error = listen(&at(path), 16).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(dead.exists());
    }

    #[tokio::test]
    async fn a_successors_file_is_left_alone() {
        let scratch = Scratch::new();
        let path = scratch.0.join("s");
        let listener = listen(&at(&path), 16).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = StdListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_wildcard_is_a_new_path_each_time_and_leaves_nothing() {
        let one = listen(&IpcAddress::Any, 16).await.unwrap();
        let two = listen(&IpcAddress::Any, 16).await.unwrap();
        assert_ne!(one.endpoint().unwrap(), two.endpoint().unwrap());
        let text = one.endpoint().unwrap().to_string();
        let path = Path::new(text.strip_prefix("ipc://").unwrap());
        reaches(&at(path), &one).await;
        let directory = path.parent().unwrap();
        assert_eq!(directory.metadata().unwrap().mode() & 0o777, 0o700);
        drop(one);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_an_error() {
        let scratch = Scratch::new();
        let error = listen(&at(&scratch.0.join("no/s")), 16).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_abstract_name_has_no_file() {
        let scratch = Scratch::new();
        let name = scratch.0.as_os_str().as_bytes();
        let address = IpcAddress::Abstract(name.into());
        let listener = listen(&address, 16).await.unwrap();
        assert_eq!(listener.endpoint().unwrap(), address.clone().into());
        reaches(&address, &listener).await;
        let error = listen(&address, 16).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let error = connect(&address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(listen(&address, 16).await.is_ok());
    }
}
