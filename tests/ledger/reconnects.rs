//! The same while one side leaves and comes back: of what was handed to the operating system some is lost with a connection, at
//! its end and nowhere else. Nothing is cut, doubled or out of order, and all the rest is counted.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jackstay::pattern::{CanSend, Pattern};
use jackstay::{
    BindError, Builder, DealerSocket, Endpoint, Message, PubSocket, PullSocket, PushSocket,
    Reconnect, RouterSocket, Socket, SubSocket,
};
use tokio::task::{JoinHandle, yield_now};

use crate::carrier::{Carrier, Reader, drained, handed_over, over_each_carrier, tell};
use crate::note::{Book, Note};
use crate::support::times::times;
use crate::support::{eventually, peers, within};

over_each_carrier! {
    a4_a_pull_that_comes_back_gets_what_was_queued,
    a5_what_a_bound_push_had_queued_for_a_pull_is_counted,
    pushes_that_leave_tell_what_they_leave_undelivered,
    subscribers_that_leave_are_accounted_for,
    a4_a_router_that_comes_back_gets_what_was_queued,
}

/// Connects again at once.
fn eager<P: Pattern>(builder: Builder<P>) -> Builder<P> {
    let first = Duration::from_millis(1);
    builder.reconnect(Reconnect::default().first(first).max(20 * first))
}

/// A task that sends until it is told that it is enough.
struct Sender {
    enough: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Sender {
    fn new<P: CanSend + 'static>(socket: &Arc<Socket<P>>) -> Self {
        let enough = Arc::<AtomicBool>::default();
        let (socket, told) = (socket.clone(), enough.clone());
        let task = tokio::spawn(async move {
            let mut number = 0;
            while !told.load(Ordering::Acquire) {
                // Now and then one that is still being written when the connection ends.
                let note = match number % 50 {
                    49 => Note::large(0, number),
                    _ => Note::small(0, number),
                };
                socket.send(note.message()).await.expect("it is open");
                number += 1;
            }
            number
        });
        Self { enough, task }
    }

    /// How many it sent.
    async fn stop(self) -> u64 {
        self.enough.store(true, Ordering::Release);
        within(self.task).await.expect("it sends")
    }
}

/// What one peer gets of all that is booked: one number after the other from its first on.
struct Connection<'a> {
    book: &'a mut Book,
    begun: bool,
}

impl<'a> Connection<'a> {
    fn new(book: &'a mut Book) -> Self {
        let begun = false;
        Self { book, begun }
    }

    fn take(&mut self, message: &Message) -> Note {
        let before = self.book.last(0);
        let note = self.book.take(message);
        let gap = self.begun && before.is_some_and(|before| before + 1 != note.number);
        assert!(!gap, "{note:?} came after {before:?} on one connection");
        self.begun = true;
        note
    }

    /// Stops the sender and takes all that it sent; returns how much it sent to whomever.
    async fn take_rest(&mut self, sender: Sender, recv: impl AsyncFn() -> Message) -> u64 {
        let mut stopping = pin!(sender.stop());
        let sent = loop {
            tokio::select! {
                sent = &mut stopping => break sent,
                message = recv() => drop(self.take(&message)),
            }
        };
        while self.book.last(0) != Some(sent - 1) {
            self.take(&within(recv()).await);
        }
        sent
    }
}

/// Binds `socket` where another was bound: a process that some test starts at this moment has a copy of the listener until
/// it is what it is to be.
async fn bind_again<P: Pattern>(socket: &Socket<P>, at: &Endpoint) {
    let bound = async {
        while let Err(error) = socket.bind(at).await {
            let BindError::Io { source, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
            yield_now().await;
        }
    };
    within(bound).await;
}

async fn a4_a_pull_that_comes_back_gets_what_was_queued(over: Carrier) {
    let push = over.connected(eager(PushSocket::builder()));
    let at = over.transport().fixed();
    push.connect(&at).unwrap();
    let sender = Sender::new(&push);
    let (mut book, mut unread) = (Book::default(), 0);
    for round in 0..times(4) {
        let pull = over.bound(PullSocket::builder());
        bind_again(&pull, &at).await;
        let mut connection = Connection::new(&mut book);
        for _ in 0..over.fewer(400) + round % 64 {
            connection.take(&within(pull.recv()).await.unwrap());
        }
        pull.close().await.unwrap();
        unread += pull.stats().dropped.unread;
    }
    let pull = over.bound(PullSocket::builder());
    bind_again(&pull, &at).await;
    // Its first message shows that the last ones go nowhere else.
    let mut connection = Connection::new(&mut book);
    connection.take(&within(pull.recv()).await.unwrap());
    let sent = connection
        .take_rest(sender, async || pull.recv().await.unwrap())
        .await;
    let stats = drained(&push).await;
    assert_eq!((stats.messages_sent, stats.dropped.total()), (sent, 0));
    let lost = sent - book.count() - unread;
    assert!(over.is_wire() || lost == 0, "{lost} vanished");
    tell(
        "PUSH → PULL that comes back",
        over,
        sent,
        book.count(),
        lost + unread,
    );
}

async fn a5_what_a_bound_push_had_queued_for_a_pull_is_counted(over: Carrier) {
    let push = over.bound(PushSocket::builder());
    let at = push.bind(over.transport().any()).await.unwrap();
    let sender = Sender::new(&push);
    let (mut book, mut unread) = (Book::default(), 0);
    for round in 0..times(4) {
        let pull = over.connected(PullSocket::builder());
        pull.connect(&at).unwrap();
        let mut connection = Connection::new(&mut book);
        for _ in 0..over.fewer(400) + round % 64 {
            connection.take(&within(pull.recv()).await.unwrap());
        }
        pull.close().await.unwrap();
        unread += pull.stats().dropped.unread;
        peers(&push, 0).await;
    }
    let pull = over.connected(eager(PullSocket::builder()));
    pull.connect(&at).unwrap();
    // Its first message shows that the last ones go nowhere else.
    let mut connection = Connection::new(&mut book);
    connection.take(&within(pull.recv()).await.unwrap());
    let sent = connection
        .take_rest(sender, async || pull.recv().await.unwrap())
        .await;
    let stats = drained(&push).await;
    let dropped = stats.dropped.peer_gone;
    assert_eq!(
        (stats.messages_sent, stats.dropped.total()),
        (sent, dropped)
    );
    let lost = handed_over(&stats) - book.count() - unread;
    assert!(over.is_wire() || lost == 0, "{lost} vanished");
    let dropped = dropped + lost + unread;
    tell(
        "bound PUSH → PULL that comes back",
        over,
        sent,
        book.count(),
        dropped,
    );
}

async fn pushes_that_leave_tell_what_they_leave_undelivered(over: Carrier) {
    let pull = over.bound(PullSocket::builder());
    let at = pull.bind(over.transport().any()).await.unwrap();
    let reader = Reader::new(&pull);
    let (mut sent, mut undelivered) = (0, 0);
    for sender in 0..times(24) as u32 {
        let linger = Duration::from_micros(u64::from(sender) % 4 * 100);
        let push = match sender % 3 {
            // Dropped, and so without a word: it lingers in the background for as long as it needs.
            0 => PushSocket::builder(),
            _ => PushSocket::builder().linger(linger),
        };
        let push = over.connected(push);
        push.connect(&at).unwrap();
        for number in 0..300 + u64::from(sender) % 7 {
            let note = match number % 50 {
                49 => Note::large(sender, number),
                _ => Note::small(sender, number),
            };
            push.send(note.message()).await.unwrap();
            sent += 1;
        }
        if sender % 3 != 0 {
            let lost = within(push.close()).await;
            let lost = lost.map_or_else(|lost| lost.messages() as u64, |()| 0);
            assert_eq!(
                (push.stats().dropped.total(), lost),
                (lost, push.stats().dropped.linger)
            );
            undelivered += lost;
        }
    }
    let book = reader.until(sent - undelivered).await;
    peers(&pull, 0).await;
    assert_eq!(pull.stats().messages_received, book.count());
    tell(
        "PUSH that leaves → PULL",
        over,
        sent,
        book.count(),
        undelivered,
    );
}

async fn subscribers_that_leave_are_accounted_for(over: Carrier) {
    let publisher = over.bound(PubSocket::builder());
    let at = publisher.bind(over.transport().any()).await.unwrap();
    let sender = Sender::new(&publisher);
    let (mut delivered, mut unread) = (0, 0);
    for round in 0..times(8) {
        let sub = over.connected(SubSocket::builder());
        sub.subscribe("").unwrap();
        sub.connect(&at).unwrap();
        let mut book = Book::default();
        for _ in 0..over.fewer(200) + round % 64 {
            book.take(&within(sub.recv()).await.unwrap());
        }
        sub.close().await.unwrap();
        let stats = sub.stats();
        assert_eq!(stats.messages_received, book.count() + stats.dropped.unread);
        delivered += book.count();
        unread += stats.dropped.unread;
        peers(&publisher, 0).await;
    }
    sender.stop().await;
    let stats = publisher.stats();
    let (gone, full) = (stats.dropped.peer_gone, stats.dropped.full);
    assert_eq!((stats.queued_out, stats.dropped.total()), (0, gone + full));
    let lost = handed_over(&stats) - delivered - unread;
    assert!(over.is_wire() || lost == 0, "{lost} vanished");
    let sent = stats.messages_sent + full;
    tell(
        "PUB → SUB that leaves",
        over,
        sent,
        delivered,
        gone + full + lost + unread,
    );
}

async fn a4_a_router_that_comes_back_gets_what_was_queued(over: Carrier) {
    let dealer = over.connected(eager(DealerSocket::builder()));
    let at = over.transport().fixed();
    dealer.connect(&at).unwrap();
    let (sender, replies) = (Sender::new(&dealer), Reader::new(&dealer));
    let (mut book, mut unread, mut replied) = (Book::default(), 0, 0);
    for round in 0..times(4) {
        let router = over.bound(RouterSocket::builder().linger(Duration::from_micros(round % 5)));
        bind_again(&router, &at).await;
        let mut connection = Connection::new(&mut book);
        for _ in 0..over.fewer(400) + round % 64 {
            let (from, message) = within(router.recv_from()).await.unwrap();
            let note = connection.take(&message);
            // Each life is a peer of its own, from which replies come in order.
            let sender = round as u32;
            let reply = Note { sender, ..note }.message();
            router.send_to(&from, reply).await.unwrap();
        }
        let undelivered = within(router.close()).await;
        let undelivered = undelivered.map_or_else(|it| it.messages() as u64, |()| 0);
        let stats = router.stats();
        assert_eq!(stats.dropped.linger, undelivered);
        unread += stats.dropped.unread;
        replied += handed_over(&stats);
    }
    let router = over.bound(RouterSocket::builder());
    bind_again(&router, &at).await;
    let mut connection = Connection::new(&mut book);
    connection.take(&within(router.recv_from()).await.unwrap().1);
    let sent = connection
        .take_rest(sender, async || router.recv_from().await.unwrap().1)
        .await;
    let stats = drained(&dealer).await;
    assert_eq!((stats.messages_sent, stats.dropped.total()), (sent, 0));
    eventually(|| dealer.stats().queued_in == 0).await;
    let answered = replies.stop().await.count();
    assert!(answered <= replied, "{answered} of {replied} replies");
    let lost = sent - book.count() - unread;
    assert!(over.is_wire() || (lost, answered) == (0, replied));
    let (all, delivered) = (sent + replied, book.count() + answered);
    tell(
        "DEALER ⇄ ROUTER that comes back",
        over,
        all,
        delivered,
        all - delivered,
    );
}
