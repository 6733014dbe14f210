//! The queue towards one peer: those who send against the session that writes.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Read};
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use loom::future::block_on;
use loom::thread;

use crate::message::Message;
use crate::pipe::{Claim, Life, Pipe, Push, Share, Take};
use crate::pipes::{Queues, Session, frames, message};
use crate::transport::{self, ConnectOptions, Stream, TcpOptions};
use crate::zmtp::Version;
use crate::{Model, all, bounded};

pub const MODELS: &[Model] = &[
    all(
        "push_wakes_a_parked_session",
        "a session that found nothing is woken by the next message, and takes each once, in order",
        push_wakes_a_parked_session,
    ),
    bounded(
        "two_senders_and_a_session",
        (3, 5),
        "messages of two senders are taken once each, whole",
        two_senders_and_a_session,
    ),
    all(
        "a_command_wakes_a_parked_session",
        "a subscription that is sent while its session parks is written",
        a_command_wakes_a_parked_session,
    ),
    bounded(
        "a_direct_write_stays_out_of_the_sessions",
        (3, 5),
        "what a sender writes itself and what its session writes are whole and in order on the stream",
        a_direct_write_stays_out_of_the_sessions,
    ),
    bounded(
        "a_loop_wakes_the_session_that_left_it",
        (2, 3),
        "what a session leaves to a publisher in a loop it takes when that goes on",
        a_loop_wakes_the_session_that_left_it,
    ),
    bounded(
        "a_loop_writes_what_was_left_to_it",
        (2, 3),
        "what a session leaves to a publisher in a loop is written once, whole and in order, by either of them",
        || a_loop_writes_what_was_left_to_it(Claim::Many),
    ),
    bounded(
        "a_push_in_a_loop_writes_what_was_left_to_it",
        (2, 3),
        "the same of a PUSH",
        || a_loop_writes_what_was_left_to_it(Claim::Paced),
    ),
    bounded(
        "what_is_shared_goes_to_each_once",
        (1, 2),
        "what a publisher in a loop keeps once for two peers, each session takes once, whole and in order",
        what_is_shared_goes_to_each_once,
    ),
    bounded(
        "what_is_shared_is_written_or_taken",
        (1, 2),
        "what a publisher in a loop writes to two peers, and what their sessions take meanwhile, each has once",
        what_is_shared_is_written_or_taken,
    ),
    bounded(
        "room_wakes_a_blocked_sender",
        (2, 3),
        "a sender that met a full queue is told when the session has taken it",
        room_wakes_a_blocked_sender,
    ),
    bounded(
        "room_wakes_two_blocked_senders",
        (2, 3),
        "of two senders that met a full queue none waits for ever",
        room_wakes_two_blocked_senders,
    ),
    bounded(
        "a_released_place_wakes_a_blocked_sender",
        (2, 3),
        "a place that was kept and is given back goes to whoever waits for room",
        a_released_place_wakes_a_blocked_sender,
    ),
    bounded(
        "a_kept_place_stays_free",
        (2, 3),
        "whoever has kept a place can send, though another fills the queue meanwhile",
        a_kept_place_stays_free,
    ),
    all(
        "a_sender_ahead_is_woken_by_the_session",
        "a sender that is ahead goes on when the session takes what waits",
        a_sender_ahead_is_woken_by_the_session,
    ),
    all(
        "a_sender_ahead_is_woken_by_the_end",
        "a sender that is ahead goes on when the pipe ends",
        a_sender_ahead_is_woken_by_the_end,
    ),
    bounded(
        "draining_takes_all_that_was_accepted",
        (2, 3),
        "what was accepted before the end is written, and a session that drains comes to its end",
        draining_takes_all_that_was_accepted,
    ),
    all(
        "what_a_lost_connection_left_stays_in_order",
        "what a connection did not carry is before what was sent meanwhile, and nothing is lost or doubled",
        what_a_lost_connection_left_stays_in_order,
    ),
    all(
        "an_end_wakes_a_parked_session",
        "a session that found nothing learns of the end of its pipe",
        an_end_wakes_a_parked_session,
    ),
    bounded(
        "a_withdrawn_message_is_not_written",
        (2, 3),
        "a request that is taken back was written or is counted as taken back, never both, and whoever waits for its place is told",
        a_withdrawn_message_is_not_written,
    ),
    all(
        "a_place_is_used_again_by_one",
        "the place of a pipe that is dropped goes to one new pipe, whose messages are its own",
        a_place_is_used_again_by_one,
    ),
];

fn push_wakes_a_parked_session() {
    let pipe = Queues::with_marks(0, 0).pipe();
    let sender = thread::spawn({
        let pipe = pipe.clone();
        move || {
            for body in [1, 2] {
                let pushed = pipe.outbox.push(&message(body), Claim::Turn);
                assert_eq!(pushed, Push::Done { full: false });
            }
        }
    });
    let mut session = Session::of(&pipe);
    let mut octets = session.taken();
    while octets.len() < frames(&[1, 2]).len() {
        octets.extend(session.taken());
    }
    assert_eq!(octets, frames(&[1, 2]));
    sender.join().unwrap();
}

fn two_senders_and_a_session() {
    let pipe = Queues::with_marks(0, 0).pipe();
    let senders = [1, 2].map(|body| {
        let pipe = pipe.clone();
        thread::spawn(move || pipe.outbox.push(&message(body), Claim::Turn))
    });
    let mut session = Session::of(&pipe);
    let mut octets = session.taken();
    while octets.len() < frames(&[1, 2]).len() {
        octets.extend(session.taken());
    }
    assert!(
        octets == frames(&[1, 2]) || octets == frames(&[2, 1]),
        "{octets:?}"
    );
    for sender in senders {
        sender.join().unwrap();
    }
}

fn a_command_wakes_a_parked_session() {
    let pipe = Queues::with_marks(0, 0).pipe();
    pipe.outbox.connected(&pipe, Version::V3_1);
    let subscriber = thread::spawn({
        let pipe = pipe.clone();
        move || pipe.outbox.push_subscription(true, b"t")
    });
    let octets = Session::of(&pipe).taken();
    assert!(octets.ends_with(b"SUBSCRIBEt"), "{octets:?}");
    subscriber.join().unwrap();
}

/// A connection that takes what is written, and its far end.
struct Kernel {
    stream: Arc<Stream>,
    far: UnixStream,
}

static KERNEL: OnceLock<Kernel> = OnceLock::new();

/// Makes the connection, outside of any model: the runtime has to look at it once.
pub async fn open_kernel() {
    let path = std::env::temp_dir().join(format!("jackstay-loom-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = format!("ipc://{}", path.display()).parse().unwrap();
    let options = ConnectOptions {
        tcp: TcpOptions::default(),
        timeout: None,
    };
    let stream = transport::connect(&endpoint, &options).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(b"!")]))
        .await
        .unwrap();
    far.read_exact(&mut [0]).unwrap();
    far.set_nonblocking(true).unwrap();
    let stream = Arc::new(stream);
    assert!(KERNEL.set(Kernel { stream, far }).is_ok());
}

/// What a session does until its pipe has come to its end.
fn write_each_batch(session: &mut Session, stream: &Stream) {
    while session.take() == Take::Write {
        let octets = session.written();
        // The sender may have its turn before these are written.
        thread::yield_now();
        assert_eq!(
            stream.try_write(&[IoSlice::new(&octets)]).unwrap(),
            octets.len()
        );
    }
}

fn a_direct_write_stays_out_of_the_sessions() {
    let Kernel { stream, far } = KERNEL.get().unwrap();
    let pipe = Queues::with_marks(0, 0).pipe();
    let sender = thread::spawn({
        let pipe = pipe.clone();
        move || {
            for body in [1, 2, 3] {
                pipe.outbox.push(&message(body), Claim::Turn);
            }
            pipe.outbox.end(Life::Draining(None));
        }
    });
    let mut session = Session::of(&pipe);
    session.idle = Some(stream.clone());
    write_each_batch(&mut session, stream);
    sender.join().unwrap();
    let mut came = [0; 16];
    let n = (&*far).read(&mut came).unwrap();
    assert_eq!(came[..n], frames(&[1, 2, 3]));
}

/// A session that has just had a long batch.
fn watched(queues: &Queues) -> Session {
    let Kernel { stream, .. } = KERNEL.get().unwrap();
    let mut session = Session::of(&queues.pipe());
    session.idle = Some(stream.clone());
    push_each(&session.pipe, 0..32, Claim::Many);
    session.taken();
    session
}

fn push_each(pipe: &Pipe, bodies: Range<u8>, claim: Claim) {
    for body in bodies {
        let pushed = pipe.outbox.push(&message(body), claim);
        assert!(matches!(pushed, Push::Done { .. }), "{pushed:?}");
    }
}

fn a_loop_wakes_the_session_that_left_it() {
    let mut session = watched(&Queues::of_a_loop(0));
    let pipe = session.pipe.clone();
    session.left = Some(Box::new(|| {
        thread::spawn(move || push_each(&pipe, 0..3, Claim::Many));
    }));
    let mut octets = session.taken();
    while octets.len() < frames(&[0, 1, 2]).len() {
        octets.extend(session.taken());
    }
    assert_eq!(octets, frames(&[0, 1, 2]));
}

fn a_loop_writes_what_was_left_to_it(claim: Claim) {
    let Kernel { stream, far } = KERNEL.get().unwrap();
    let mut session = watched(&Queues::of_a_loop(35));
    push_each(&session.pipe, 0..32, claim);
    let sender = thread::spawn({
        let pipe = session.pipe.clone();
        move || {
            // The last one fills the queue, if the session has taken nothing yet.
            push_each(&pipe, 32..35, claim);
            pipe.outbox.end(Life::Draining(None));
        }
    });
    write_each_batch(&mut session, stream);
    sender.join().unwrap();
    let mut came = [0; 200];
    let n = (&*far).read(&mut came).unwrap();
    let all: Vec<u8> = (0..35).collect();
    assert_eq!(came[..n], frames(&all));
}

/// Two sessions that have left their queues, of one message each, to a publisher in a loop, who keeps once what follows.
fn sharing(most: usize) -> (Arc<Queues>, [Session; 2]) {
    let queues = Queues::of_a_loop(most);
    let sessions = [(); 2].map(|()| {
        let mut session = watched(&queues);
        assert_eq!(session.looks(), Poll::Pending);
        push_each(&session.pipe, 0..1, Claim::Many);
        session
    });
    queues.outgoing.with(|sending| {
        for session in &sessions {
            let share = session.pipe.outbox.share(&mut sending.queues);
            assert_eq!(share, Some(Share::Part));
        }
        assert!(sending.queues.open());
    });
    (queues, sessions)
}

/// As a socket sends: to both at once while they share, and to each when one of them was looked at.
fn publish(queues: &Queues, pipes: &[Arc<Pipe>; 2], body: u8) {
    let message = message(body);
    let mut due = queues.outgoing.with(|sending| {
        let queues = &mut sending.queues;
        queues.push_shared(&message).unwrap_or_else(|| {
            for pipe in pipes {
                let pushed = pipe.outbox.try_push(queues, &message, Claim::Many);
                assert!(matches!(pushed, Push::Done { .. }), "{pushed:?}");
            }
            false
        })
    });
    while due {
        due = queues.outgoing.with(|sending| sending.queues.write_next());
    }
}

/// A publisher sends so many messages and ends, and each session takes what is there until then.
fn share_until_the_end(most: usize, bodies: Range<u8>) -> [Vec<u8>; 2] {
    let (queues, sessions) = sharing(most);
    let pipes = sessions.each_ref().map(|session| session.pipe.clone());
    let sender = thread::spawn(move || {
        bodies.for_each(|body| publish(&queues, &pipes, body));
        for pipe in &pipes {
            pipe.outbox.end(Life::Draining(None));
        }
    });
    let [mut here, mut there] = sessions;
    let until_the_end = |session: &mut Session| {
        let mut octets = Vec::new();
        while session.take() == Take::Write {
            octets.extend(session.written());
        }
        octets
    };
    let there = thread::spawn(move || until_the_end(&mut there));
    let here = until_the_end(&mut here);
    sender.join().unwrap();
    [here, there.join().unwrap()]
}

fn what_is_shared_goes_to_each_once() {
    let taken = share_until_the_end(0, 1..3);
    for octets in taken {
        assert_eq!(octets, frames(&[0, 1, 2]));
    }
}

fn what_is_shared_is_written_or_taken() {
    let Kernel { far, .. } = KERNEL.get().unwrap();
    // The second message fills the queues, if the sessions have taken nothing yet.
    let taken = share_until_the_end(32, 1..32);
    let mut came = [0; 2 * 32 * 3];
    let n = match (&*far).read(&mut came) {
        Ok(n) => n,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    };
    let all = frames(&(0..32).collect::<Vec<u8>>());
    // What was written is the beginning of what goes to either.
    let written = n + taken.iter().map(Vec::len).sum::<usize>();
    assert_eq!(written, 2 * all.len());
    for octets in taken {
        assert!(all.ends_with(&octets), "{octets:?}");
    }
}

fn room_wakes_a_blocked_sender() {
    let queues = Queues::with_marks(1, 0);
    let pipe = queues.pipe();
    let sender = thread::spawn(move || {
        queues.send(&message(1));
        queues.send(&message(2));
    });
    let mut session = Session::of(&pipe);
    assert_eq!(session.taken(), frames(&[1]));
    assert_eq!(session.taken(), frames(&[2]));
    sender.join().unwrap();
}

fn room_wakes_two_blocked_senders() {
    let queues = Queues::with_marks(1, 0);
    let pipe = queues.pipe();
    queues.send(&message(0));
    let senders = [1, 2].map(|body| {
        let queues = queues.clone();
        thread::spawn(move || queues.send(&message(body)))
    });
    let mut session = Session::of(&pipe);
    assert_eq!(session.taken(), frames(&[0]));
    let rest = [session.taken(), session.taken()].concat();
    assert!(
        rest == frames(&[1, 2]) || rest == frames(&[2, 1]),
        "{rest:?}"
    );
    for sender in senders {
        sender.join().unwrap();
    }
}

fn a_released_place_wakes_a_blocked_sender() {
    let queues = Queues::with_marks(1, 0);
    queues.pipe();
    let kept = queues.reserve();
    let sender = thread::spawn(move || queues.send(&message(1)));
    kept.outbox.release(&kept);
    sender.join().unwrap();
    assert_eq!(kept.outbox.waiting(), 1);
}

fn a_kept_place_stays_free() {
    let queues = Queues::with_marks(2, 0);
    let pipe = queues.pipe();
    let kept = queues.reserve();
    let keeper = thread::spawn(move || {
        let pushed = kept.outbox.push(&message(9), Claim::Reserved);
        assert!(matches!(pushed, Push::Done { .. }), "{pushed:?}");
        kept.outbox.announce_if_room(&kept);
    });
    for body in [1, 2] {
        pipe.outbox.push(&message(body), Claim::Drop);
    }
    keeper.join().unwrap();
    assert!(Session::of(&pipe).taken().contains(&9));
    assert!(pipe.outbox.stats().dropped.full >= 1);
}

/// A message that makes its sender ahead.
fn mebibyte() -> Message {
    static OCTETS: [u8; 1 << 20] = [7; 1 << 20];
    Message::from(Bytes::from_static(&OCTETS))
}

/// A pipe whose sender is ahead, and what that sender does then.
fn ahead() -> (Arc<Pipe>, thread::JoinHandle<Push>) {
    let pipe = Queues::with_marks(0, 0).pipe();
    pipe.outbox.connected(&pipe, Version::V3_1);
    let pushed = pipe.outbox.push(&mebibyte(), Claim::Paced);
    assert_eq!(pushed, Push::Done { full: false });
    let sender = thread::spawn({
        let pipe = pipe.clone();
        move || loop {
            match pipe.outbox.push(&message(1), Claim::Paced) {
                Push::Ahead => block_on(pipe.outbox.caught_up()),
                pushed => return pushed,
            }
        }
    });
    (pipe, sender)
}

fn a_sender_ahead_is_woken_by_the_session() {
    let (pipe, sender) = ahead();
    let mut session = Session::of(&pipe);
    assert_eq!(session.take(), Take::Write);
    assert_eq!(sender.join().unwrap(), Push::Done { full: false });
    session.writing.clear();
    assert_eq!(session.taken(), frames(&[1]));
}

fn a_sender_ahead_is_woken_by_the_end() {
    let (pipe, sender) = ahead();
    pipe.outbox.end(Life::Ended);
    assert_eq!(sender.join().unwrap(), Push::Closed);
}

fn draining_takes_all_that_was_accepted() {
    let pipe = Queues::with_marks(0, 0).pipe();
    let sender = thread::spawn({
        let pipe = pipe.clone();
        move || {
            let accepted =
                |body: &u8| pipe.outbox.push(&message(*body), Claim::Turn) != Push::Closed;
            [1, 2].into_iter().take_while(accepted).collect::<Vec<u8>>()
        }
    });
    let ender = thread::spawn({
        let pipe = pipe.clone();
        move || pipe.outbox.end(Life::Draining(None))
    });
    let mut session = Session::of(&pipe);
    let mut octets = Vec::new();
    loop {
        match session.take() {
            Take::Write => octets.extend(session.written()),
            Take::Drained => break,
            take => panic!("nobody ended it, and it cannot be {take:?}"),
        }
    }
    let accepted = sender.join().unwrap();
    assert_eq!(octets, frames(&accepted));
    ender.join().unwrap();
}

fn what_a_lost_connection_left_stays_in_order() {
    let pipe = Queues::with_marks(0, 0).pipe();
    pipe.outbox.push(&message(1), Claim::Turn);
    let sender = thread::spawn({
        let pipe = pipe.clone();
        move || {
            for body in [2, 3] {
                pipe.outbox.push(&message(body), Claim::Turn);
            }
        }
    });
    let mut session = Session::of(&pipe);
    assert_eq!(session.take(), Take::Write);
    pipe.outbox
        .disconnected(std::mem::take(&mut session.writing));
    // The next connection.
    let mut octets = session.taken();
    while octets.len() < frames(&[1, 2, 3]).len() {
        octets.extend(session.taken());
    }
    assert_eq!(octets, frames(&[1, 2, 3]));
    sender.join().unwrap();
}

fn an_end_wakes_a_parked_session() {
    let pipe = Queues::with_marks(0, 0).pipe();
    let ender = thread::spawn({
        let pipe = pipe.clone();
        move || pipe.outbox.end(Life::Ended)
    });
    assert_eq!(Session::of(&pipe).take(), Take::Ended);
    ender.join().unwrap();
}

fn a_withdrawn_message_is_not_written() {
    let queues = Queues::with_marks(1, 0);
    let pipe = queues.pipe();
    queues.send(&message(1));
    let requester = thread::spawn({
        let pipe = pipe.clone();
        move || {
            let withdrawn = pipe.outbox.withdraw(&pipe);
            queues.send(&message(2));
            withdrawn
        }
    });
    let mut session = Session::of(&pipe);
    let mut octets = session.taken();
    if octets == frames(&[1]) {
        octets.extend(session.taken());
    }
    let withdrawn = requester.join().unwrap();
    let expected = if withdrawn {
        frames(&[2])
    } else {
        frames(&[1, 2])
    };
    assert_eq!(octets, expected);
    assert_eq!(pipe.outbox.stats().dropped.withdrawn, u64::from(withdrawn));
}

fn a_place_is_used_again_by_one() {
    let queues = Queues::with_marks(0, 0);
    let old = Pipe::wire(&queues.config, false);
    let dropper = thread::spawn(move || drop(old));
    let newcomers = [1, 2].map(|body| {
        let pipe = Pipe::wire(&queues.config, false);
        pipe.outbox.push(&message(body), Claim::Aside);
        pipe
    });
    dropper.join().unwrap();
    for (pipe, body) in newcomers.iter().zip([1, 2]) {
        assert_eq!(Session::of(pipe).taken(), frames(&[body]));
    }
}
