//! One peer's two queues: where the application's tasks and the connection's task meet, and nowhere else.
//!
//! A [`Pipe`] joins an [`Outbox`] (encoded messages on their way out) and an [`Inbox`] (decoded messages on their way
//! in). Routing policies see pipes, sessions see pipes, neither sees the other. When a queue changes state (empty to
//! not empty, full to half full) the pipe announces itself once on the socket's [`ReadyList`].
//!
//! Locks: the outboxes of a socket share the lock of its routing policy ([`Outgoing`]), those of a pair within the process have their
//! own, which is taken under it. Under either the lock of the far inbox may be taken (inproc), and under any of them a ready list's.
//! Never the other way round.

mod batch;
pub(crate) mod buffers;
mod inbox;
mod lookout;
mod outbox;
mod outgoing;
mod ready;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError};

pub(crate) use self::batch::Writing;
pub(crate) use self::inbox::{Arrival, Inbox, Load};
pub(crate) use self::outbox::{Claim, FarSocket, Life, Outbox, Push, Share, Take};
pub(crate) use self::outgoing::{Outgoing, Queues, Sending};
pub(crate) use self::ready::{
    ReadyList, Wake, there_is_later, wake_after_task, wake_later, waking,
};

use crate::monitor::PeerInfo;
use crate::options::Marks;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Names one peer of one socket for as long as its queues exist: over reconnects on the connecting side, for one
/// connection on the binding side and at a ROUTER or REP, which answers whoever asked. Never used again within the
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u64);

impl PeerId {
    fn next() -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The queues of one peer.
pub(crate) struct Pipe {
    pub id: PeerId,
    pub outbox: Outbox,
    pub inbox: Inbox,
    peer: Mutex<Peer>,
    /// The socket gave this pipe up though its endpoint is still wanted: an abandoned request, or a peer that may be
    /// followed by another.
    retired: AtomicBool,
}

/// Who is, or was last, at the far end.
#[derive(Default)]
struct Peer {
    info: Option<PeerInfo>,
    connected: bool,
    told: Told,
}

/// Which deeds the monitor has been told of that the principal of this connection may not do.
#[derive(Default)]
pub(crate) struct Told {
    pub subscription: bool,
    pub message: bool,
}

/// How the queues of a socket's pipes are bounded and whom they tell.
#[derive(Clone)]
pub(crate) struct PipeConfig {
    pub send: Marks,
    pub recv: Marks,
    pub conflate: bool,
    /// A sender of messages that have at most so many octets may be in a loop, and then writes by itself. 0 where answers come,
    /// which would be awaited meanwhile.
    pub loop_size: usize,
    /// Where the queues to send are.
    pub outgoing: Arc<Outgoing>,
    pub readable: Arc<ReadyList>,
    pub writable: Arc<ReadyList>,
}

impl Pipe {
    /// The queues of a peer that is reached over a stream; with `immediate`, nothing is queued before it is reached.
    pub fn wire(config: &PipeConfig, immediate: bool) -> Arc<Self> {
        Arc::new(Self {
            id: PeerId::next(),
            outbox: Outbox::wire(config, immediate),
            inbox: Inbox::new(config.recv, config.conflate, Some(config.readable.clone())),
            peer: Mutex::default(),
            retired: AtomicBool::new(false),
        })
    }

    /// The queues of two sockets in this process, crosswise: what one sends is in the other's inbox at once.
    ///
    /// The far socket need not exist yet; with `immediate`, nothing is queued before it does.
    pub fn inproc_pair(near: &PipeConfig, immediate: bool) -> (Arc<Self>, Arc<Self>) {
        let pipe = |writable, immediate, marks| {
            Arc::new(Self {
                id: PeerId::next(),
                outbox: Outbox::inproc(writable, immediate),
                inbox: Inbox::new(marks, near.conflate, None),
                peer: Mutex::default(),
                retired: AtomicBool::new(false),
            })
        };
        let ours = pipe(Some(near.writable.clone()), immediate, near.recv);
        let theirs = pipe(None, false, near.send);
        ours.outbox.cross(&ours, &theirs);
        theirs.outbox.cross(&theirs, &ours);
        (ours, theirs)
    }

    /// The socket for the far half of an in-process pair is found: the marks of both add up (A7).
    pub fn share_marks(&self, far: &Self, ours: &PipeConfig, theirs: &PipeConfig) {
        let conflate = ours.conflate || theirs.conflate;
        self.inbox.configure(ours.recv.plus(theirs.send), conflate);
        far.inbox.configure(theirs.recv.plus(ours.send), conflate);
    }

    /// The two halves of an in-process pair know each other's sockets, and can be read from now on.
    pub fn meet(self: &Arc<Self>, far: &Arc<Self>, ours: &PipeConfig, theirs: &PipeConfig) {
        for side in [ours, theirs] {
            side.readable.expect_near();
            side.writable.expect_near();
        }
        self.inbox.open(self, ours.readable.clone());
        far.inbox.open(far, theirs.readable.clone());
        self.outbox.announce_room(self);
        far.outbox.announce_room(far);
    }

    /// Who is at the far end, or was when there last was somebody.
    pub fn peer(&self) -> Option<PeerInfo> {
        lock(&self.peer).info.clone()
    }

    /// Who is at the far end now.
    pub fn connected_peer(&self) -> Option<PeerInfo> {
        let peer = lock(&self.peer);
        peer.info.clone().filter(|_| peer.connected)
    }

    /// A handshake is done. `false` if the last connection was not yet noted as lost.
    pub fn set_connected(&self, info: PeerInfo) -> bool {
        let mut peer = lock(&self.peer);
        peer.info = Some(info);
        peer.told = Told::default();
        !std::mem::replace(&mut peer.connected, true)
    }

    /// The connection is lost. `false` if there was none.
    pub fn set_disconnected(&self) -> bool {
        std::mem::take(&mut lock(&self.peer).connected)
    }

    /// Who did what is forbidden, if it is the first `deed` of its kind on this connection.
    pub fn first(&self, deed: impl FnOnce(&mut Told) -> &mut bool) -> Option<PeerInfo> {
        let mut peer = lock(&self.peer);
        let told = std::mem::replace(deed(&mut peer.told), true);
        peer.info.clone().filter(|_| !told)
    }

    /// Ends the pipe, but not its endpoint: the dialer goes on with a fresh pipe, in which nothing of this one shows.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.outbox.end(Life::Ended);
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// Locks `mutex`. No code of ours panics while it holds a lock, and each critical section leaves its data whole, so
/// that a poisoned lock is still good.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
