//! A relay between a connecting and a bound peer: it remembers what passes, and does to it what networks do.

use std::collections::VecDeque;
use std::future::Future;
use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{Either, select};
use jackstay::Endpoint;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::Transport;

/// Passes octets on between whoever connects and another endpoint, until it is dropped.
pub struct Relay {
    /// Where to connect.
    pub at: Endpoint,
    shared: Arc<Shared>,
    /// The file of an ipc endpoint.
    file: Option<PathBuf>,
    _tasks: JoinSet<()>,
}

/// Whose octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Those of the connecting side.
    Up,
    /// Those of the bound side.
    Down,
}

/// What becomes of a connection when so many octets have passed one way.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub way: Way,
    /// Counted from the beginning of the connection, or from its last fault.
    pub after: usize,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// What follows waits so long.
    Delay(Duration),
    /// As many of the octets that follow pass one by one.
    Drip(usize),
    /// The next octet is changed by this mask.
    Corrupt(u8),
    /// It is closed to both sides.
    Cut,
    /// It is reset to both sides.
    Reset,
    /// What follows either way is swallowed, and it stays open.
    Silence,
    /// Nothing more is read of either side, and it stays open.
    Stall,
}

#[derive(Default)]
struct Shared {
    frozen: AtomicBool,
    /// Whether what passes is remembered.
    remembers: bool,
    from_connecting: Mutex<Vec<u8>>,
    from_bound: Mutex<Vec<u8>>,
    /// How much is to happen in all, and what still is.
    planned: usize,
    faults: Mutex<VecDeque<Fault>>,
    struck: Mutex<Vec<FaultKind>>,
    /// Connections that are stalled.
    held: Mutex<VecDeque<(Wire, Wire)>>,
}

impl Relay {
    /// Over tcp, with nothing amiss.
    pub async fn new(to: &Endpoint) -> Self {
        let shared = Shared {
            remembers: true,
            ..Shared::default()
        };
        Self::with(to, Transport::Tcp, shared).await
    }

    /// Over the transport of `to`. Each connection takes the first of `faults`, and the next when it has outlived that, or gives it
    /// back if it ends before; when none is left, everything passes.
    pub async fn with_faults(
        to: &Endpoint,
        over: Transport,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Self {
        let faults: VecDeque<_> = faults.into_iter().collect();
        let shared = Shared {
            planned: faults.len(),
            faults: Mutex::new(faults),
            ..Shared::default()
        };
        Self::with(to, over, shared).await
    }

    async fn with(to: &Endpoint, over: Transport, shared: Shared) -> Self {
        let (listener, at, file) = Listener::bind(over).await;
        let shared = Arc::new(shared);
        let mut tasks = JoinSet::new();
        let (target, common) = (to.clone(), shared.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(near) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                if let Ok(far) = Wire::connect(&target).await {
                    connections.spawn(Connection::carry(near, far, common.clone()));
                }
            }
        });
        Self {
            at,
            shared,
            file,
            _tasks: tasks,
        }
    }

    /// From now on octets are swallowed, and the connections stay open: both peers see a silent one.
    pub fn freeze(&self) {
        self.shared.frozen.store(true, Ordering::Release);
    }

    /// Whether all faults have struck.
    pub fn is_calm(&self) -> bool {
        lock(&self.shared.struck).len() == self.shared.planned
    }

    /// The faults that have struck.
    pub fn struck(&self) -> Vec<FaultKind> {
        lock(&self.shared.struck).clone()
    }

    /// How often `octets` came from the connecting side.
    pub fn up(&self, octets: &[u8]) -> usize {
        count(&self.shared.from_connecting, octets)
    }

    /// How often `octets` came from the bound side.
    pub fn down(&self, octets: &[u8]) -> usize {
        count(&self.shared.from_bound, octets)
    }

    /// All that came from one side, if it is [`new`](Self::new).
    pub fn recorded(&self, way: Way) -> Vec<u8> {
        lock(self.shared.log(way)).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // In a test that fails, somebody else may have removed it.
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Shared {
    fn log(&self, way: Way) -> &Mutex<Vec<u8>> {
        match way {
            Way::Up => &self.from_connecting,
            Way::Down => &self.from_bound,
        }
    }
}

/// One connection through the relay.
struct Connection {
    shared: Arc<Shared>,
    fate: Mutex<Fate>,
}

/// What is to happen to a connection, and how much has passed since what happened last.
#[derive(Default)]
struct Fate {
    fault: Option<Fault>,
    passed: usize,
}

/// How one direction of a connection ended.
enum End {
    /// Its sender has closed it, or its receiver does not want it.
    Closed,
    Struck(FaultKind),
}

impl Connection {
    async fn carry(near: Wire, far: Wire, shared: Arc<Shared>) {
        let connection = Self {
            shared,
            fate: Mutex::default(),
        };
        let end = {
            let up = pin!(connection.copy(Way::Up, &near, &far));
            let down = pin!(connection.copy(Way::Down, &far, &near));
            match select(up, down).await {
                Either::Left((End::Closed, down)) => down.await,
                Either::Right((End::Closed, up)) => up.await,
                Either::Left((end, _)) | Either::Right((end, _)) => end,
            }
        };
        let shared = &connection.shared;
        if let Some(fault) = lock(&connection.fate).fault.take() {
            // The connection ended before it could strike.
            lock(&shared.faults).push_front(fault);
        }
        match end {
            End::Struck(FaultKind::Reset) => {
                near.reset();
                far.reset();
            }
            End::Struck(FaultKind::Silence) => {
                tokio::join!(near.swallow(), far.swallow());
            }
            End::Struck(FaultKind::Stall) => {
                let mut held = lock(&shared.held);
                held.push_back((near, far));
                // Both sides have given up the older ones long since.
                if held.len() > 16 {
                    held.pop_front();
                }
            }
            End::Struck(_) | End::Closed => {}
        }
    }

    async fn copy(&self, way: Way, from: &Wire, to: &Wire) -> End {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let mut octets = &mut buffer[..n];
            if self.shared.remembers {
                lock(self.shared.log(way)).extend_from_slice(octets);
            }
            if self.shared.frozen.load(Ordering::Acquire) {
                continue;
            }
            while !octets.is_empty() {
                let (passing, struck) = self.next(way, octets.len());
                let (now, later) = octets.split_at_mut(passing);
                if to.write_all(now).await.is_err() {
                    return End::Closed;
                }
                octets = later;
                match struck {
                    None => {}
                    Some(FaultKind::Delay(delay)) => sleep(delay).await,
                    Some(FaultKind::Corrupt(mask)) => octets[0] ^= mask,
                    Some(FaultKind::Drip(n)) => {
                        let (now, later) = octets.split_at_mut(n.min(octets.len()));
                        for octet in now.chunks(1) {
                            if to.write_all(octet).await.is_err() {
                                return End::Closed;
                            }
                            yield_now().await;
                        }
                        octets = later;
                    }
                    Some(kind) => return End::Struck(kind),
                }
            }
        }
        if self.shared.frozen.load(Ordering::Acquire) {
            // The other side is not to notice.
            pending::<()>().await;
        }
        to.end();
        End::Closed
    }

    /// How many of `len` octets, of which there are some, pass, and what happens then, if there is an octet left for it to happen to.
    fn next(&self, way: Way, len: usize) -> (usize, Option<FaultKind>) {
        let mut fate = lock(&self.fate);
        if fate.fault.is_none() {
            *fate = Fate {
                fault: lock(&self.shared.faults).pop_front(),
                passed: 0,
            };
        }
        let Some(fault) = fate.fault.filter(|fault| fault.way == way) else {
            return (len, None);
        };
        let passing = len.min(fault.after - fate.passed);
        fate.passed += passing;
        if passing == len {
            return (len, None);
        }
        fate.fault = None;
        lock(&self.shared.struck).push(fault.kind);
        (passing, Some(fault.kind))
    }
}

enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

impl Listener {
    async fn bind(over: Transport) -> (Self, Endpoint, Option<PathBuf>) {
        if over == Transport::Tcp {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let at = listener.local_addr().expect("an address").into();
            return (Self::Tcp(listener), at, None);
        }
        let at = Transport::Ipc.fixed();
        let path = path(&at).expect("an ipc endpoint");
        let listener = UnixListener::bind(&path).expect("a free path");
        (Self::Ipc(listener), at, Some(path))
    }

    async fn accept(&self) -> io::Result<Wire> {
        Ok(match self {
            Self::Tcp(listener) => Wire::tcp(listener.accept().await?.0)?,
            Self::Ipc(listener) => Wire::Ipc(listener.accept().await?.0),
        })
    }
}

/// One side of a connection, read and written by reference.
enum Wire {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

/// Does the same for both.
macro_rules! with_stream {
    ($wire:expr, $stream:ident => $do:expr) => {
        match $wire {
            Wire::Tcp($stream) => $do,
            Wire::Ipc($stream) => $do,
        }
    };
}

impl Wire {
    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    async fn connect(to: &Endpoint) -> io::Result<Self> {
        match (to.port(), path(to)) {
            (Some(port), _) => Self::tcp(TcpStream::connect(("127.0.0.1", port)).await?),
            (None, Some(path)) => Ok(Self::Ipc(UnixStream::connect(path).await?)),
            (None, None) => panic!("{to} is neither tcp nor a file"),
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            with_stream!(self, stream => stream.readable().await)?;
            match with_stream!(self, stream => stream.try_read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    async fn write_all(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            with_stream!(self, stream => stream.writable().await)?;
            match with_stream!(self, stream => stream.try_write(octets)) {
                Ok(n) => octets = &octets[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Nothing more will be written.
    fn end(&self) {
        // It may be gone altogether.
        let _ = with_stream!(self, stream => SockRef::from(stream).shutdown(Shutdown::Write));
    }

    /// Closing will reset it. A Unix socket is reset if it is closed over unread octets.
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    async fn swallow(&self) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(1..) = self.read(&mut buffer).await {}
    }
}

fn path(endpoint: &Endpoint) -> Option<PathBuf> {
    endpoint
        .to_string()
        .strip_prefix("ipc://")
        .map(PathBuf::from)
}

fn count(log: &Mutex<Vec<u8>>, octets: &[u8]) -> usize {
    lock(log)
        .windows(octets.len())
        .filter(|window| *window == octets)
        .count()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}
