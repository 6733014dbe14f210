//! What a sender in a loop keeps once for several peers.

use tokio::task::yield_now;

use super::*;
use crate::pipe::tests::{left_by, publisher};

/// What it takes to make a queue share: its session has left it to a sender in a loop, who has gone on.
struct Peer {
    pipe: Arc<Pipe>,
    session: Session,
    far: Arc<Stream>,
}

async fn peer(config: &PipeConfig) -> Peer {
    let (pipe, session, far) = left_by(config).await;
    push(&pipe, Claim::Many);
    Peer { pipe, session, far }
}

/// Two peers whose queues hold three messages each, have room for so many, and share what comes.
async fn two(most: usize) -> (PipeConfig, [Peer; 2]) {
    let config = publisher(most);
    let peers = [peer(&config).await, peer(&config).await];
    // Their sessions are woken before anything is shared.
    yield_now().await;
    assert_eq!(share(&config, &peers), [Some(Share::Part); 2]);
    (config, peers)
}

fn share<const N: usize>(config: &PipeConfig, peers: &[Peer; N]) -> [Option<Share>; N] {
    config.outgoing.with(|sending| {
        let queues = &mut sending.queues;
        let shares = std::array::from_fn(|index| peers[index].pipe.outbox.share(queues));
        queues.open();
        shares
    })
}

fn push_shared(config: &PipeConfig, message: &Message) -> Option<bool> {
    config
        .outgoing
        .with(|sending| sending.queues.push_shared(message))
}

/// So many messages go to all.
fn push_many(config: &PipeConfig, messages: usize) {
    for _ in 0..messages {
        assert_eq!(push_shared(config, &"message".into()), Some(false));
    }
}

/// How many streams are written to.
fn write(config: &PipeConfig) -> usize {
    let mut streams = 1;
    while config.outgoing.with(|sending| sending.queues.write_next()) {
        streams += 1;
    }
    streams
}

fn sent(peer: &Peer) -> (u64, u64) {
    let stats = peer.pipe.outbox.stats();
    (stats.messages_sent, stats.octets_sent)
}

/// So many messages were pushed to each before anything was shared.
const BEFORE: u64 = 35;

#[tokio::test]
async fn each_has_what_is_shared_behind_what_it_held() {
    let (config, mut peers) = two(100).await;
    push_many(&config, 2);
    let last = Message::from("the last");
    assert_eq!(push_shared(&config, &last), Some(false));
    for peer in &mut peers {
        assert_eq!(peer.pipe.outbox.waiting(), 6);
        assert_eq!(sent(peer), (BEFORE + 3, BEFORE * 7 + 7 + 7 + 8));
        let octets = [&FRAME.repeat(5)[..], b"\0\x08the last"].concat();
        assert_eq!(peer.session.octets(), octets);
    }
    assert_eq!(push_shared(&config, &last), None, "each was looked at");
}

#[tokio::test]
async fn what_fills_a_queue_is_written_to_each_from_one_place_and_so_is_what_follows() {
    let (config, peers) = two(100).await;
    let message = Message::from("message");
    push_many(&config, 96);
    assert_eq!(push_shared(&config, &message), Some(true));
    assert_eq!(
        push_shared(&config, &message),
        None,
        "not while it is written"
    );
    assert_eq!(write(&config), 2);
    push_many(&config, 99);
    assert_eq!(push_shared(&config, &message), Some(true));
    assert_eq!(write(&config), 2);
    for peer in &peers {
        let octets = arrived(&peer.far, FRAME.len() * 200).await;
        assert_eq!(octets, FRAME.repeat(200));
        assert_eq!(peer.pipe.outbox.waiting(), 0);
        assert_eq!(sent(peer).0, BEFORE - 3 + 200);
    }
    assert!(!config.outgoing.with(|sending| sending.queues.write_next()));
}

#[tokio::test]
async fn what_is_long_is_written_before_a_queue_is_full() {
    let (config, peers) = two(1000).await;
    let large = Message::from(vec![7; 31 << 10]);
    let mut pushed = 1;
    while push_shared(&config, &large) == Some(false) {
        pushed += 1;
    }
    assert_eq!(pushed, 9, "256 KiB");
    write(&config);
    for peer in &peers {
        arrived(&peer.far, FRAME.len() * 3 + 9 * (large.size() + 9)).await;
    }
}

// A6
#[tokio::test]
async fn the_mark_in_octets_counts_what_is_shared() {
    let mut config = publisher(1000);
    config.send.octets = 1000;
    let peers = [peer(&config).await, peer(&config).await];
    share(&config, &peers);
    let message = Message::from(vec![7; 498]);
    assert_eq!(push_shared(&config, &message), Some(false));
    assert_eq!(push_shared(&config, &message), Some(true));
}

#[tokio::test]
async fn what_a_stream_does_not_take_is_left_for_its_session() {
    let (config, mut peers) = two(100).await;
    // More than the kernel takes.
    let large = Message::from(vec![7; 64 << 20]);
    assert_eq!(push_shared(&config, &large), Some(true));
    assert_eq!(write(&config), 2);
    for peer in &mut peers {
        assert_eq!(peer.pipe.outbox.waiting(), 1);
        assert_eq!(peer.session.looks(), Poll::Ready(Take::Write));
        assert!(peer.session.writing.is_begun());
        assert_eq!(peer.session.writing.messages(), 1);
        let arrives = arrived(&peer.far, FRAME.len() * 3).await;
        assert_eq!(arrives, FRAME.repeat(3));
    }
    assert_eq!(push_shared(&config, &"message".into()), None);
}

#[tokio::test]
async fn a_session_is_woken_at_once_whose_stream_takes_no_more_of_what_is_shared() {
    let (config, mut peers) = two(100).await;
    for leaves in [false, true] {
        for peer in &mut peers {
            let look = if leaves { Take::Leave } else { Take::Look };
            assert_eq!(peer.session.looks(), Poll::Ready(look));
        }
        push_many(&config, 1);
    }
    // For that message they are woken later.
    yield_now().await;
    let woken = |peers: &[Peer; 2]| peers.each_ref().map(|peer| peer.session.woken.count());
    let before = woken(&peers);
    let large = Message::from(vec![7; 64 << 20]);
    assert_eq!(push_shared(&config, &large), Some(true));
    assert_eq!(woken(&peers), before);
    assert_eq!(write(&config), 2);
    assert_eq!(woken(&peers), before.map(|woken| woken + 1));
}

// Nobody else wakes it.
#[test]
fn a_session_that_was_left_quiet_is_woken_when_its_stream_takes_no_more_of_what_is_shared() {
    on_the_main_thread(async || {
        let config = publisher(100);
        let mut first = peer(&config).await;
        goes_on(&first.pipe);
        arrived(&first.far, FRAME.len() * 1_700).await;
        assert_eq!(first.session.looks(), Poll::Ready(Take::Leave));
        push(&first.pipe, Claim::Many);
        let peers = [first, peer(&config).await];
        assert!(peers.iter().all(|peer| peer.pipe.outbox.is_parked()));
        assert_eq!(share(&config, &peers), [Some(Share::Part); 2]);
        assert!(!peers.iter().any(|peer| peer.pipe.outbox.is_parked()));
        let woken = || peers.each_ref().map(|peer| peer.session.woken.count());
        let before = woken();
        push_many(&config, 1);
        let large = Message::from(vec![7; 64 << 20]);
        assert_eq!(push_shared(&config, &large), Some(true));
        assert_eq!(woken(), before);
        assert!(config.outgoing.with(|sending| sending.queues.write_next()));
        assert_eq!(woken(), before, "the next has not had its turn");
        assert_eq!(write(&config), 1);
        assert_eq!(woken(), before.map(|woken| woken + 1));
    });
}

// S4
#[tokio::test]
async fn a_full_queue_misses_what_is_shared_and_that_is_counted() {
    let config = publisher(100);
    let peers = [peer(&config).await, peer(&config).await];
    let [slow, fast] = &peers;
    // A stream that the kernel takes no more from.
    slow.pipe
        .outbox
        .push(&vec![7; 64 << 20].into(), Claim::Many);
    while push(&slow.pipe, Claim::Many) != Push::Full {}
    let shares = share(&config, &peers);
    assert_eq!(shares, [Some(Share::Full), Some(Share::Part)]);
    let before = slow.pipe.outbox.stats();
    share(&config, &peers);
    push_many(&config, 96);
    assert_eq!(push_shared(&config, &"message".into()), Some(true));
    assert_eq!(write(&config), 1);
    push_many(&config, 3);
    let after = slow.pipe.outbox.stats();
    assert_eq!(after.dropped.full - before.dropped.full, 100);
    assert_eq!(after.messages_sent, before.messages_sent);
    assert_eq!(fast.pipe.outbox.waiting(), 3);
    assert_eq!(push_shared(&config, &"message".into()), None);
    // It announces itself when it has room.
    announced(&config.writable);
    slow.pipe.outbox.disconnected(Writing::default());
    take(&slow.pipe);
    assert_eq!(announced(&config.writable), 1);
}

#[tokio::test]
async fn nothing_is_shared_if_all_are_full() {
    let config = publisher(100);
    let peers = [peer(&config).await];
    peers[0]
        .pipe
        .outbox
        .push(&vec![7; 64 << 20].into(), Claim::Many);
    while push(&peers[0].pipe, Claim::Many) != Push::Full {}
    assert_eq!(share(&config, &peers), [Some(Share::Full)]);
    assert_eq!(push_shared(&config, &"message".into()), None);
}

#[tokio::test]
async fn a_session_leaves_what_is_shared_while_that_grows_and_then_takes_it() {
    let (config, mut peers) = two(100).await;
    let looks = |peer: &mut Peer| peer.session.looks();
    let [one, two] = &mut peers;
    assert_eq!(looks(one), Poll::Ready(Take::Look));
    push_many(&config, 1);
    assert_eq!(looks(one), Poll::Ready(Take::Leave));
    assert!(!one.pipe.outbox.is_parked(), "nobody would wake it");
    let woken = one.session.woken.count();
    push_many(&config, 1);
    assert_eq!(one.session.woken.count(), woken);
    yield_now().await;
    assert_eq!(one.session.woken.count(), woken + 1);
    for _ in 0..4 {
        assert_eq!(looks(one), Poll::Ready(Take::Look));
    }
    // The other one waits for a next message to be told of it. It need not any more.
    assert_eq!(looks(two), Poll::Ready(Take::Look));
    push_many(&config, 1);
    assert_eq!(looks(two), Poll::Ready(Take::Leave));
    let woken = two.session.woken.count();
    assert!(one.pipe.outbox.cool(Instant::now()));
    assert_eq!(one.session.octets(), FRAME.repeat(6));
    assert_eq!(two.session.woken.count(), woken + 1);
    assert_eq!(two.session.octets(), FRAME.repeat(6));
}

#[tokio::test]
async fn a_session_that_finds_all_written_leaves_it_to_the_sender() {
    let (config, mut peers) = two(100).await;
    push_many(&config, 96);
    assert_eq!(push_shared(&config, &"message".into()), Some(true));
    // In the midst of it.
    assert!(config.outgoing.with(|sending| sending.queues.write_next()));
    write(&config);
    for peer in &mut peers {
        assert_eq!(peer.session.looks(), Poll::Ready(Take::Leave));
    }
    push_many(&config, 1);
    for peer in &peers {
        assert_eq!(peer.pipe.outbox.waiting(), 1);
    }
}

#[tokio::test]
async fn who_takes_its_queue_while_that_of_another_is_written_has_it_once() {
    let (config, mut peers) = two(100).await;
    push_many(&config, 96);
    assert_eq!(push_shared(&config, &"message".into()), Some(true));
    assert!(config.outgoing.with(|sending| sending.queues.write_next()));
    let [first, second] = &mut peers;
    assert!(second.pipe.outbox.cool(Instant::now()));
    assert_eq!(second.session.octets(), FRAME.repeat(100));
    assert!(!config.outgoing.with(|sending| sending.queues.write_next()));
    assert_eq!(
        arrived(&first.far, FRAME.len() * 100).await,
        FRAME.repeat(100)
    );
    assert_eq!(first.pipe.outbox.waiting(), 0);
    assert_eq!((sent(first), sent(second)), (sent(second), sent(first)));
}

#[tokio::test]
async fn whoever_is_parked_calm_ended_or_not_connected_does_not_share() {
    let config = publisher(100);
    let share = |pipe: &Arc<Pipe>| {
        config.outgoing.with(|sending| {
            let share = pipe.outbox.share(&mut sending.queues);
            sending.queues.part();
            share
        })
    };
    let (pipe, _session, _far) = left_by(&config).await;
    assert_eq!(share(&pipe), None, "it would have to be woken");
    push(&pipe, Claim::Many);
    assert_eq!(share(&pipe), Some(Share::Part));
    pipe.outbox.cool(Instant::now());
    assert_eq!(share(&pipe), None, "it is no loop");
    let Peer { pipe, .. } = peer(&config).await;
    pipe.outbox.end(Life::Draining(None));
    assert_eq!(share(&pipe), None);
    let pipe = Pipe::wire(&config, true);
    assert_eq!(share(&pipe), None);
    let (pipe, _) = Pipe::inproc_pair(&config, false);
    assert_eq!(share(&pipe), None);
}

#[tokio::test]
async fn what_is_shared_counts_as_left_when_one_of_them_ends() {
    let (config, [one, mut two]) = two(100).await;
    push_many(&config, 2);
    one.pipe.outbox.end(Life::Ended);
    let discarded = one.pipe.outbox.discard(|dropped| &mut dropped.peer_gone);
    assert_eq!(discarded, 5);
    assert_eq!(two.session.octets(), FRAME.repeat(5));
}

#[tokio::test]
async fn a_new_pipe_has_nothing_of_what_was_shared_in_its_place() {
    let (config, [one, two]) = two(100).await;
    push_many(&config, 2);
    drop(one);
    let new = Pipe::wire(&config, false);
    assert_eq!(new.outbox.waiting(), 0);
    assert_eq!(two.pipe.outbox.waiting(), 5);
}

#[tokio::test]
async fn a_command_goes_before_what_is_shared() {
    let (config, [mut one, _two]) = two(100).await;
    push_many(&config, 1);
    one.pipe.outbox.push_subscription(true, b"a");
    assert_eq!(one.session.octets(), b"\x04\x0b\x09SUBSCRIBEa");
    assert_eq!(one.session.octets(), FRAME.repeat(4));
}
