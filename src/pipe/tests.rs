//! Pipes, as a socket and its sessions use them.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;

use super::*;
use crate::identity::Identity;
use crate::message::Message;
use crate::monitor::PeerFacts;
use crate::pattern::SocketType;
use crate::transport::{
    ConnectOptions, ListenOptions, PeerAddress, Stream, TcpOptions, connect, listen,
};
use crate::zmtp::{Metadata, Version};

/// So many messages, of whatever size.
pub(crate) fn marks(messages: usize) -> Marks {
    let octets = 0;
    Marks { messages, octets }
}

/// What the pipes of a socket have in common.
pub(crate) fn config(send: Marks, recv: Marks) -> PipeConfig {
    PipeConfig {
        send,
        recv,
        conflate: false,
        loop_size: 0,
        outgoing: Arc::new(Outgoing::new(())),
        readable: Arc::new(ReadyList::new(Wake::One)),
        writable: Arc::new(ReadyList::new(Wake::All)),
    }
}

/// What the session of `pipe` is given when it is woken; nothing if it has to wait or to end.
pub(crate) fn take(pipe: &Arc<Pipe>) -> Writing {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut replies, mut writing) = (BytesMut::new(), Writing::default());
    let taken = pipe.outbox.poll_take(
        pipe,
        None,
        &mut cx,
        &mut replies,
        &mut writing,
        Instant::now(),
    );
    assert_eq!(taken == Poll::Ready(Take::Write), !writing.is_empty());
    writing
}

/// How many pipes have announced themselves.
pub(crate) fn announced(list: &ReadyList) -> usize {
    let mut count = 0;
    list.drain(|_| count += 1);
    count
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl std::task::Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pipe whose connection is there.
pub(crate) fn connected(config: &PipeConfig) -> Arc<Pipe> {
    let pipe = Pipe::wire(config, false);
    pipe.outbox.connected(&pipe, Version::V3_1);
    pipe
}

/// A session, as far as its outbox knows it.
pub(crate) struct Session {
    pipe: Arc<Pipe>,
    pub(crate) woken: Arc<Counter>,
    stream: Option<Arc<Stream>>,
    pub(crate) replies: BytesMut,
    pub(crate) writing: Writing,
}

impl Session {
    pub(crate) fn of(pipe: &Arc<Pipe>) -> Self {
        Self {
            pipe: pipe.clone(),
            woken: Arc::default(),
            stream: None,
            replies: BytesMut::new(),
            writing: Writing::default(),
        }
    }

    pub(crate) fn looks(&mut self) -> Poll<Take> {
        let waker = Waker::from(self.woken.clone());
        let mut cx = Context::from_waker(&waker);
        self.pipe.outbox.poll_take(
            &self.pipe,
            self.stream.as_ref(),
            &mut cx,
            &mut self.replies,
            &mut self.writing,
            Instant::now(),
        )
    }

    /// The octets that it has to write.
    pub(crate) fn octets(&mut self) -> Vec<u8> {
        assert_eq!(self.looks(), Poll::Ready(Take::Write));
        let mut slices = [io::IoSlice::new(&[]); 16];
        let filled = self.writing.slices(&mut slices);
        let octets: Vec<u8> = slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        assert_eq!(octets.len(), self.writing.size());
        self.writing.clear();
        octets
    }
}

/// Both ends of a connection.
async fn streams() -> (Arc<Stream>, Arc<Stream>) {
    let options = ListenOptions {
        tcp: TcpOptions::default(),
        ipv6: false,
        backlog: 1,
    };
    let anywhere = "tcp://127.0.0.1:0".parse().unwrap();
    let listener = listen(&anywhere, &options).await.unwrap();
    let options = ConnectOptions {
        tcp: TcpOptions::default(),
        timeout: None,
    };
    let endpoint = listener.endpoint().unwrap();
    let (near, far) = tokio::join!(connect(&endpoint, &options), listener.accept());
    let near = Arc::new(near.unwrap());
    // The runtime has to have looked at it once.
    let hello = [io::IoSlice::new(b"!")];
    let written = std::future::poll_fn(|cx| near.poll_write(cx, &hello)).await;
    assert_eq!(written.unwrap(), 1);
    let far = Arc::new(far.unwrap());
    assert_eq!(arrived(&far, 1).await, b"!"[..]);
    (near, far)
}

/// The next octets that arrive, `len` of them.
pub(crate) async fn arrived(stream: &Stream, len: usize) -> BytesMut {
    let mut octets = BytesMut::with_capacity(len);
    while octets.len() < len {
        let read = std::future::poll_fn(|cx| stream.poll_read(cx, &mut octets, len)).await;
        assert_ne!(read.unwrap(), 0);
    }
    octets
}

/// A pipe with a session that waits beside an idle stream, and the far end of that.
pub(crate) async fn idle(config: &PipeConfig) -> (Arc<Pipe>, Session, Arc<Stream>) {
    let (near, far) = streams().await;
    let pipe = connected(config);
    let mut session = Session::of(&pipe);
    session.stream = Some(near);
    assert_eq!(session.looks(), Poll::Pending);
    (pipe, session, far)
}

/// What the pipes of a publisher have in common, whose queues hold so many messages.
pub(crate) fn publisher(most: usize) -> PipeConfig {
    PipeConfig {
        loop_size: usize::MAX,
        ..config(marks(most), marks(most))
    }
}

/// A pipe whose session has left a queue of two messages to a sender in a loop, after 32 others.
pub(crate) async fn left_by(config: &PipeConfig) -> (Arc<Pipe>, Session, Arc<Stream>) {
    let (pipe, mut session, far) = idle(config).await;
    let push = |messages| {
        for _ in 0..messages {
            let pushed = pipe.outbox.push(&"message".into(), Claim::Many);
            assert_ne!(pushed, Push::Full);
        }
    };
    push(32);
    session.octets();
    push(1);
    assert_eq!(session.looks(), Poll::Ready(Take::Look));
    push(1);
    assert_eq!(session.looks(), Poll::Ready(Take::Leave));
    assert!(pipe.outbox.is_parked());
    (pipe, session, far)
}

fn info(pipe: &Pipe) -> PeerInfo {
    PeerInfo(Arc::new(PeerFacts {
        id: pipe.id,
        endpoint: None,
        address: PeerAddress::Inproc,
        socket_type: SocketType::Dealer,
        identity: Identity::default(),
        properties: Metadata::new(),
        version: Version::V3_1,
        principal: None,
        muted: false,
        accepted: false,
    }))
}

#[test]
fn a_peer_has_a_number_of_its_own_that_can_be_printed() {
    let config = config(marks(1), marks(1));
    let (one, two) = (Pipe::wire(&config, false), Pipe::wire(&config, false));
    assert_ne!(one.id, two.id);
    assert_eq!(PeerId(7).to_string(), "#7");
}

#[test]
fn who_was_there_is_known_after_the_connection_is_lost() {
    let pipe = Pipe::wire(&config(marks(1), marks(1)), false);
    let known = || pipe.peer().is_some();
    let there = || pipe.connected_peer().is_some();
    assert!(!known() && !there());
    assert!(!pipe.set_disconnected(), "there was no connection");
    assert!(pipe.set_connected(info(&pipe)));
    assert!(known() && there());
    assert!(!pipe.set_connected(info(&pipe)), "the last one is not lost");
    assert!(pipe.set_disconnected());
    assert!(known() && !there());
    assert!(!pipe.set_disconnected());
    assert!(pipe.set_connected(info(&pipe)));
}

#[test]
fn the_first_forbidden_deed_of_a_kind_is_told_of_once_for_each_connection() {
    let pipe = Pipe::wire(&config(marks(1), marks(1)), false);
    pipe.set_connected(info(&pipe));
    let message = || pipe.first(|told| &mut told.message);
    assert!(message().is_some());
    assert!(message().is_none());
    assert!(pipe.first(|told| &mut told.subscription).is_some());
    pipe.set_disconnected();
    pipe.set_connected(info(&pipe));
    assert!(message().is_some());
}

#[test]
fn a_pipe_that_is_given_up_is_at_its_end() {
    let pipe = Pipe::wire(&config(marks(1), marks(1)), false);
    assert!(!pipe.is_retired() && !pipe.outbox.is_ended());
    pipe.retire();
    assert!(pipe.is_retired() && pipe.outbox.is_ended());
}

/// What the socket at the far end of an in-process pair is told.
#[derive(Default)]
struct Far {
    intercepts: bool,
    told: Mutex<Vec<String>>,
}

impl Far {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn tell(&self, what: impl fmt::Debug) {
        self.told.lock().unwrap().push(format!("{what:?}"));
    }
}

impl FarSocket for Far {
    fn subscription(&self, _far: &Arc<Pipe>, subscribe: bool, topic: &[u8]) {
        self.tell((subscribe, topic));
    }

    fn gone(&self, _far: &Arc<Pipe>) {
        self.tell("gone");
    }

    fn receives(&self) -> bool {
        !self.intercepts
    }

    fn message(&self, _far: &Arc<Pipe>, message: Message) {
        self.tell(message.first());
    }
}

fn push(pipe: &Arc<Pipe>) -> Push {
    pipe.outbox.push(&"message".into(), Claim::Turn)
}

/// Two sockets of one process that have found each other.
struct Pair {
    ours: PipeConfig,
    theirs: PipeConfig,
    near: Arc<Pipe>,
    far: Arc<Pipe>,
}

impl Pair {
    fn new(immediate: bool) -> Self {
        let ours = config(marks(2), marks(3));
        let (near, far) = Pipe::inproc_pair(&ours, immediate);
        Self {
            ours,
            theirs: config(marks(4), marks(5)),
            near,
            far,
        }
    }

    fn meet(&self, far_socket: Far) -> Arc<Far> {
        let far_socket = Arc::new(far_socket);
        self.far.outbox.announce_on(self.theirs.writable.clone());
        self.near.share_marks(&self.far, &self.ours, &self.theirs);
        self.near.outbox.join(far_socket.clone());
        self.near.meet(&self.far, &self.ours, &self.theirs);
        far_socket
    }
}

// A14: connecting before binding. The mark of the one side that is there counts.
#[test]
fn what_is_sent_within_the_process_waits_for_the_other_socket() {
    let pair = Pair::new(false);
    pair.near.outbox.invite(&pair.near);
    assert_eq!(announced(&pair.ours.writable), 1);
    assert_eq!(push(&pair.near), Push::Done { full: false });
    assert_eq!(push(&pair.near), Push::Done { full: true });
    assert_eq!(push(&pair.near), Push::Full);
    assert_eq!(pair.near.outbox.waiting(), 2);
    let stats = pair.far.inbox.stats();
    assert_eq!((stats.messages_received, stats.octets_received), (0, 0));
    assert_eq!(stats.queued_in, 0, "nobody has it");
    pair.meet(Far::default());
    assert_eq!(announced(&pair.theirs.readable), 1);
    assert_eq!(announced(&pair.ours.writable), 1, "there is room now");
    assert_eq!(pair.near.outbox.waiting(), 0);
    let stats = pair.far.inbox.stats();
    assert_eq!((stats.messages_received, stats.octets_received), (2, 14));
    assert_eq!(stats.queued_in, 2);
}

// A7
#[test]
fn the_marks_of_both_sides_add_up_within_the_process() {
    let pair = Pair::new(false);
    pair.meet(Far::default());
    assert_eq!(pair.far.inbox.room(), 2 + 5);
    assert_eq!(pair.near.inbox.room(), 3 + 4);
}

// A17
#[test]
fn either_side_may_want_the_last_message_only() {
    for (ours, theirs) in [(true, false), (false, true), (false, false)] {
        let mut pair = Pair::new(false);
        (pair.ours.conflate, pair.theirs.conflate) = (ours, theirs);
        pair.meet(Far::default());
        push(&pair.near);
        push(&pair.near);
        let most = if ours || theirs { 1 } else { 2 };
        assert_eq!(pair.far.inbox.queued(), most);
    }
}

#[test]
fn with_immediate_nothing_is_queued_before_there_is_another_socket() {
    let pair = Pair::new(true);
    assert_eq!(push(&pair.near), Push::Full);
    pair.near.outbox.invite(&pair.near);
    assert_eq!(announced(&pair.ours.writable), 0);
    pair.meet(Far::default());
    assert_eq!(announced(&pair.ours.writable), 1);
    pair.near.outbox.invite(&pair.near);
    assert_eq!(announced(&pair.ours.writable), 1);
    assert_eq!(push(&pair.near), Push::Done { full: false });
    // It turned out to refuse this one.
    pair.near.outbox.unjoin();
    assert_eq!(push(&pair.near), Push::Full);
}

#[test]
fn a_socket_that_takes_messages_one_by_one_is_handed_them() {
    let pair = Pair::new(false);
    let far = pair.meet(Far {
        intercepts: true,
        ..Far::default()
    });
    assert_eq!(push(&pair.near), Push::Done { full: false });
    assert_eq!(far.told(), [format!("{:?}", b"message")]);
    assert_eq!(pair.far.inbox.queued(), 0);
    for _ in 0..7 {
        pair.far.inbox.push(&pair.far, "event".into());
    }
    assert_eq!(push(&pair.near), Push::Full, "its inbox has no room");
    assert!(far.told().is_empty());
    // Another one, that does not.
    pair.near.outbox.unjoin();
    pair.far.inbox.discard(|dropped| &mut dropped.unread);
    push(&pair.near);
    assert_eq!(pair.far.inbox.queued(), 1);
}

// A7, A14
#[test]
fn several_are_sent_within_the_process_as_far_as_there_is_room() {
    let messages = vec![Message::from("message"); 9];
    let push_some = |pair: &Pair| {
        let outgoing = &pair.ours.outgoing;
        outgoing.with(|sending| {
            let queues = &mut sending.queues;
            pair.near
                .outbox
                .try_push_some(queues, &messages, Claim::Turn)
        })
    };
    let full = Push::Done { full: true };
    // The mark of the one side that is there, and then of both.
    let pair = Pair::new(false);
    assert_eq!(push_some(&pair), (2, full));
    assert_eq!(push_some(&pair), (0, Push::Full));
    pair.meet(Far::default());
    assert_eq!(announced(&pair.ours.writable), 1);
    assert_eq!(push_some(&pair), (5, full));
    assert_eq!(push_some(&pair), (0, Push::Full));
    let stats = pair.near.outbox.stats();
    assert_eq!((stats.messages_sent, stats.octets_sent), (7, 49));
    assert_eq!(pair.far.inbox.queued(), 7);
    pair.near.outbox.cut();
    assert_eq!(push_some(&pair), (0, Push::Closed));
    let immediate = Pair::new(true);
    assert_eq!(push_some(&immediate), (0, Push::Full));
    // One by one, where each has to be looked at.
    let pair = Pair::new(false);
    let far = pair.meet(Far {
        intercepts: true,
        ..Far::default()
    });
    assert_eq!(push_some(&pair), (1, Push::Done { full: false }));
    assert_eq!(far.told().len(), 1);
    assert_eq!(pair.near.outbox.stats().messages_sent, 1);
}

// S3
#[test]
fn a_subscription_within_the_process_goes_to_the_other_socket_at_once() {
    let pair = Pair::new(false);
    pair.near.outbox.push_subscription(true, b"a");
    let far = pair.meet(Far::default());
    assert!(far.told().is_empty(), "nobody was there");
    pair.near.outbox.push_subscription(true, b"a");
    pair.near.outbox.push_subscription(false, b"b");
    let expected = [(true, b"a"), (false, b"b")].map(|told| format!("{told:?}"));
    assert_eq!(far.told(), expected);
}

#[test]
fn a_pair_that_is_cut_ends_on_both_sides_and_the_other_socket_is_told() {
    let pair = Pair::new(false);
    let far = pair.meet(Far::default());
    assert_eq!(
        pair.near.outbox.far().map(|pipe| pipe.id),
        Some(pair.far.id)
    );
    let cut = pair.near.outbox.cut();
    assert_eq!(cut.map(|pipe| pipe.id), Some(pair.far.id));
    assert_eq!(far.told(), ["\"gone\""]);
    for pipe in [&pair.near, &pair.far] {
        assert_eq!(push(pipe), Push::Closed);
        assert!(pipe.outbox.is_lost() && pipe.outbox.far().is_none());
    }
    assert!(pair.near.outbox.cut().is_none(), "once");
    assert!(far.told().is_empty());
}

#[test]
fn what_no_socket_has_yet_can_be_discarded_and_what_one_has_cannot() {
    let pair = Pair::new(false);
    push(&pair.near);
    push(&pair.near);
    let discard = || pair.near.outbox.discard(|dropped| &mut dropped.linger);
    assert_eq!(discard(), 2);
    let stats = pair.near.outbox.stats();
    assert_eq!((stats.dropped.linger, stats.queued_out), (2, 0));
    assert_eq!(pair.near.outbox.left(), 2);
    push(&pair.near);
    pair.meet(Far::default());
    assert_eq!(discard(), 0);
    assert_eq!(pair.far.inbox.queued(), 1);
}

// A8
#[test]
fn a_sender_within_the_process_is_told_of_room_when_half_is_read() {
    let pair = Pair::new(false);
    pair.meet(Far::default());
    while push(&pair.near) == (Push::Done { full: false }) {}
    assert_eq!(announced(&pair.ours.writable), 0);
    let one = Load::one(7);
    let mut batch = std::collections::VecDeque::new();
    let taken = pair.far.inbox.refill(Load::default(), &mut batch).unwrap();
    assert_eq!((taken.messages, taken.half), (7, 4));
    assert_eq!(announced(&pair.ours.writable), 0);
    pair.far.inbox.free(one);
    assert_eq!(announced(&pair.ours.writable), 1);
    assert_eq!(push(&pair.near), Push::Done { full: true });
    // The other way round, on the list that the far socket brought.
    while push(&pair.far) == (Push::Done { full: false }) {}
    batch.clear();
    let taken = pair.near.inbox.refill(Load::default(), &mut batch);
    assert!(taken.is_some() && announced(&pair.theirs.writable) == 0);
    pair.near.inbox.free(one);
    assert_eq!(announced(&pair.theirs.writable), 1);
}
