//! Counters: what a socket sent, received and dropped, by cause.

use std::ops::AddAssign;

/// What a socket has done so far, and what waits in its queues now. See [`Socket::stats`](crate::Socket::stats).
///
/// Messages are counted where they pass the socket's edge, so that nothing vanishes between two counts: each message
/// that `send` accepted is handed to the operating system, still queued, or in [`dropped`](Self::dropped).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages accepted for sending; one sent to several peers counts for each of them.
    pub messages_sent: u64,
    /// Octets of the frames of these messages.
    pub octets_sent: u64,
    /// Messages that arrived whole.
    pub messages_received: u64,
    /// Octets of the frames of these messages.
    pub octets_received: u64,
    /// Messages that wait to be handed to the operating system.
    pub queued_out: usize,
    /// Messages that wait to be received by the application.
    pub queued_in: usize,
    /// Messages that were dropped, by cause.
    pub dropped: Drops,
}

/// Messages that were dropped, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The one peer that it was for had a full queue (PUB, XPUB, ROUTER, REP). Never accepted, so not in
    /// [`Stats::messages_sent`].
    pub full: u64,
    /// No connected peer had the identity (ROUTER), or the requester was gone (REP). Never accepted.
    pub unroutable: u64,
    /// Accepted, and still queued when the peer was lost for good.
    pub peer_gone: u64,
    /// Accepted, and still queued when the linger time ended.
    pub linger: u64,
    /// Accepted, and replaced by a later one under `conflate`.
    pub conflated: u64,
    /// Accepted, and taken back before it left: an abandoned request (REQ).
    pub withdrawn: u64,
    /// Received, but with no empty delimiter frame where one belongs (REQ, REP).
    pub malformed: u64,
    /// Received, but nobody asked for it: a reply to an abandoned request, or a message to a type that only sends.
    pub unexpected: u64,
    /// Received, but its principal may not send, or may not subscribe to this: see
    /// [`Permissions`](crate::security::Permissions). A subscription that is refused counts here as a message does.
    pub forbidden: u64,
    /// Received, but no subscription of this socket matches.
    pub unmatched: u64,
    /// Received, and not yet read when the socket or the request was given up; or there was no room for it at an XPUB, which
    /// goes on reading its peers' subscriptions.
    pub unread: u64,
}

/// The drops of one place. At most of them nothing is ever dropped, and there are no counters then.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Option<Box<Drops>>);

impl Dropped {
    /// Counts so many messages under `cause`.
    pub fn count(&mut self, messages: usize, cause: impl FnOnce(&mut Drops) -> &mut u64) {
        if messages > 0 {
            *cause(self.0.get_or_insert_default()) += messages as u64;
        }
    }

    pub fn so_far(&self) -> Drops {
        self.0.as_deref().copied().unwrap_or_default()
    }
}

impl Drops {
    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.full
            + self.unroutable
            + self.peer_gone
            + self.linger
            + self.conflated
            + self.withdrawn
            + self.malformed
            + self.unexpected
            + self.forbidden
            + self.unmatched
            + self.unread
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        self.full += other.full;
        self.unroutable += other.unroutable;
        self.peer_gone += other.peer_gone;
        self.linger += other.linger;
        self.conflated += other.conflated;
        self.withdrawn += other.withdrawn;
        self.malformed += other.malformed;
        self.unexpected += other.unexpected;
        self.forbidden += other.forbidden;
        self.unmatched += other.unmatched;
        self.unread += other.unread;
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.messages_sent += other.messages_sent;
        self.octets_sent += other.octets_sent;
        self.messages_received += other.messages_received;
        self.octets_received += other.octets_received;
        self.queued_out += other.queued_out;
        self.queued_in += other.queued_in;
        self.dropped += other.dropped;
    }
}
