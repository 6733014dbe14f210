//! [`Stream`]: one connection's octets, whatever carries them.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::sync::{Mutex, MutexGuard};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// The peer's address and port. IPv4 addresses are written as such, also at a listener of both families.
    Tcp(SocketAddr),
    /// A process on this machine, as far as the system tells.
    Ipc {
        /// Its process.
        pid: Option<i32>,
        /// The user it runs as.
        uid: Option<u32>,
    },
    /// A socket of this process.
    Inproc,
    /// Unknown: the stream was adopted.
    Adopted,
}

/// One connection, shared by reference.
///
/// One task polls it, for reading and for writing: the last waker of each direction is the one that counts.
/// Any thread may [`try_write`](Self::try_write) at any time; that such writes do not cut into those of the polling task
/// is up to the callers. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    carrier: Carrier,
    /// Kept from the start, because the system forgets it when the peer is gone.
    peer: PeerAddress,
}

#[derive(Debug)]
enum Carrier {
    Tcp(TcpStream),
    #[cfg(unix)]
    Ipc(UnixStream),
    Adopted(Adopted),
}

/// Any stream at all; it has no way to be used from two tasks, so a lock makes one.
struct Adopted(Mutex<Pin<Box<dyn Duplex>>>);

trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// Does the same for both kinds of kernel socket, whose methods are alike but share no trait.
macro_rules! carried {
    ($stream:expr, kernel($socket:ident) => $kernel:expr, adopted($adopted:ident) => $other:expr) => {
        match &$stream.carrier {
            Carrier::Tcp($socket) => $kernel,
            #[cfg(unix)]
            Carrier::Ipc($socket) => $kernel,
            Carrier::Adopted($adopted) => $other,
        }
    };
}

impl Stream {
    pub(super) fn tcp(stream: TcpStream, peer: SocketAddr) -> Self {
        // A listener of both families sees IPv4 peers under mapped addresses.
        let peer = PeerAddress::Tcp(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        Self {
            carrier: Carrier::Tcp(stream),
            peer,
        }
    }

    #[cfg(unix)]
    pub(super) fn ipc(stream: UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        let peer = PeerAddress::Ipc {
            pid: credentials.and_then(|peer| peer.pid()),
            uid: credentials.map(|peer| peer.uid()),
        };
        Self {
            carrier: Carrier::Ipc(stream),
            peer,
        }
    }

    /// Takes any stream of octets for a connection.
    pub(crate) fn adopted(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self {
            carrier: Carrier::Adopted(Adopted(Mutex::new(Box::pin(stream)))),
            peer: PeerAddress::Adopted,
        }
    }

    pub(crate) fn peer_address(&self) -> PeerAddress {
        self.peer
    }

    /// The number of its file, where the system numbers them from 0.
    pub(crate) fn file(&self) -> Option<usize> {
        #[cfg(unix)]
        {
            use std::os::fd::AsRawFd;
            carried!(self,
                kernel(socket) => usize::try_from(socket.as_raw_fd()).ok(),
                adopted(_stream) => None
            )
        }
        #[cfg(not(unix))]
        None
    }

    /// Waits until there may be something to read. An adopted stream tells only by being read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self,
            kernel(socket) => socket.poll_read_ready(cx),
            adopted(_stream) => Poll::Ready(Ok(()))
        )
    }

    /// Reads once into the spare capacity of `buf`, which the caller reserves, at most `most` octets; `Ok(0)` is the end
    /// of the peer's octets.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let spare = most.min(buf.capacity() - buf.len());
        let buf = &mut buf.limit(spare);
        carried!(self,
            kernel(socket) => loop {
                ready!(socket.poll_read_ready(cx))?;
                let mut read = 0;
                let outcome = socket.try_io(Interest::READABLE, || {
                    read = socket.try_read_buf(buf)?;
                    if SHORT_READ_DRAINS && 0 < read && read < spare {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    Ok(())
                });
                match outcome {
                    Ok(()) => return Poll::Ready(Ok(read)),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                    Err(_) if read > 0 => return Poll::Ready(Ok(read)),
                    Err(_) => {}
                }
            },
            adopted(stream) => pin!(stream.lock().read_buf(buf)).poll(cx)
        )
    }

    /// Writes from the front of `slices` as much as fits. There must be something to write.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carried!(self,
            kernel(socket) => loop {
                ready!(socket.poll_write_ready(cx))?;
                match socket.try_write_vectored(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return Poll::Ready(outcome),
                }
            },
            adopted(stream) => stream.lock().as_mut().poll_write_vectored(cx, slices)
        )
    }

    /// Whether any thread can write to it.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.carrier, Carrier::Adopted(_))
    }

    /// Writes from the front of `slices` what fits at once, from any thread.
    ///
    /// `WouldBlock` also from a connection so new that the runtime has not looked at it yet, and always from an adopted
    /// stream, which one task at a time can use: leave the octets to the task that polls.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        carried!(self,
            kernel(socket) => socket.try_write_vectored(slices),
            adopted(_stream) => Err(io::ErrorKind::WouldBlock.into())
        )
    }

    /// Drives out what an adopted stream holds back; the kernel holds nothing back.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self,
            kernel(_socket) => Poll::Ready(Ok(())),
            adopted(stream) => stream.lock().as_mut().poll_flush(cx)
        )
    }

    /// Says that nothing more will be written; reading goes on.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self,
            kernel(socket) => Poll::Ready(match SockRef::from(socket).shutdown(std::net::Shutdown::Write) {
                // The peer was faster: there is nobody left to tell.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                outcome => outcome,
            }),
            adopted(stream) => stream.lock().as_mut().poll_shutdown(cx)
        )
    }
}

impl Adopted {
    fn lock(&self) -> MutexGuard<'_, Pin<Box<dyn Duplex>>> {
        // A stream that panicked may go on: what it does next is its own affair.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adopted")
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc { pid, uid } => {
                f.write_str("ipc")?;
                if let Some(pid) = pid {
                    write!(f, " pid {pid}")?;
                }
                if let Some(uid) = uid {
                    write!(f, " uid {uid}")?;
                }
                Ok(())
            }
            Self::Inproc => f.write_str("inproc"),
            Self::Adopted => f.write_str("an adopted stream"),
        }
    }
}

/// Where readiness comes as edges, a read that fills only part of the buffer has emptied the kernel's: to say `WouldBlock`
/// to the runtime there and then saves the read that would find it out. The next octets are a new edge.
const SHORT_READ_DRAINS: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
));
