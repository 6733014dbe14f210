//! What hostile peers can make a socket hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jackstay::{Endpoint, Message, PullSocket, PushSocket, RepSocket, RouterSocket, SubSocket};
use tokio::task::yield_now;

use crate::support::raw::{Raw, frame};
use crate::support::{Transport, eventually, join, whole, within};

/// The memory of this process in MiB.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a line of it");
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number");
    kib / 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn f2_an_announced_size_takes_no_memory() {
    whole(async {
        let pull = PullSocket::new();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let before = resident();
        let mut raws = Vec::new();
        for _ in 0..100 {
            let mut raw = Raw::shake_hands(&at, "PUSH").await;
            raw.write(&[&[2][..], &(60_u64 << 20).to_be_bytes(), b"the beginning"].concat())
                .await;
            raws.push(raw);
        }
        // A message of another is behind all of them.
        let push = PushSocket::new();
        push.connect(at).unwrap();
        push.send("small").await.unwrap();
        assert_eq!(within(pull.recv()).await.unwrap(), "small");
        // 6 GiB were announced; other tests run beside this one.
        let grown = resident().saturating_sub(before);
        assert!(grown < 600, "{grown} MiB");
    })
    .await;
}

async fn bound(socket: &PullSocket) -> Endpoint {
    socket.bind("tcp://127.0.0.1:0").await.unwrap()
}

/// The session is told of the end while it takes in what arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_a_flooding_peer_does_not_make_closing_longer_than_the_linger_time() {
    whole(async {
        let messages = frame(0, b"more").repeat(10_000);
        let mut late = 0;
        for _ in 0..200 {
            let pull = Arc::new(PullSocket::builder().linger(Duration::ZERO).build());
            let at = bound(&pull).await;
            let mut raw = Raw::shake_hands(&at, "PUSH").await;
            let (messages, reads) = (messages.clone(), pull.clone());
            let flood = tokio::spawn(async move {
                loop {
                    raw.write(&messages).await;
                }
            });
            let reader = tokio::spawn(async move { while reads.recv().await.is_ok() {} });
            eventually(|| pull.stats().messages_received > 0).await;
            let begun = Instant::now();
            pull.close().await.unwrap();
            // A machine that does much else may stop for a second now and then.
            late += usize::from(begun.elapsed() > Duration::from_secs(1));
            assert!(late < 5, "it says good-bye for a second");
            within(reader).await.unwrap();
            // Its connection may be reset under its hands.
            flood.abort();
        }
    })
    .await;
}

#[tokio::test]
async fn a_flooding_peer_is_held_back_at_the_mark() {
    whole(async {
        let pull = PullSocket::builder().recv_hwm(100).build();
        let at = bound(&pull).await;
        let mut raw = Raw::shake_hands(&at, "PUSH").await;
        let flood = tokio::spawn(async move {
            for _ in 0..200 {
                raw.write(&frame(0, &[7; 100_000])).await;
            }
            raw
        });
        eventually(|| pull.stats().queued_in == 100).await;
        // A healthy peer is served in its turn: after one message of the flood, not after all.
        let push = PushSocket::new();
        push.connect(&at).unwrap();
        push.send("healthy").await.unwrap();
        eventually(|| pull.stats().queued_in == 101).await;
        let early = [
            within(pull.recv()).await.unwrap(),
            within(pull.recv()).await.unwrap(),
        ];
        assert!(early.iter().any(|message| *message == "healthy"));
        assert!(pull.stats().messages_received <= 101);
        for _ in 0..199 {
            assert_eq!(within(pull.recv()).await.unwrap().size(), 100_000);
        }
        drop(within(flood).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_type_that_only_sends_throws_away_what_it_is_sent() {
    whole(async {
        let push = PushSocket::new();
        let pull = PullSocket::new();
        let at = join(&push, &pull, Transport::Tcp).await;
        let mut raw = Raw::shake_hands(&at, "PULL").await;
        raw.write(&frame(0, b"noise").repeat(5_000)).await;
        eventually(|| push.stats().dropped.unexpected == 5_000).await;
        within(push.wait_for_peers(2)).await.unwrap();
        for _ in 0..10 {
            push.send("x").await.unwrap();
        }
        for _ in 0..5 {
            assert_eq!(raw.read_frame().await, (0, b"x".to_vec()));
            assert_eq!(within(pull.recv()).await.unwrap(), "x");
        }
    })
    .await;
}

#[tokio::test]
async fn r7_requests_without_a_delimiter_do_not_hide_the_good_ones() {
    whole(async {
        let rep = RepSocket::new();
        let at = rep.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::shake_hands(&at, "REQ").await;
        raw.write(&frame(0, b"no delimiter").repeat(100)).await;
        raw.write(&frame(0, b"").repeat(100)).await;
        raw.write(&[frame(1, b""), frame(0, b"good")].concat())
            .await;
        let request = within(rep.accept()).await.unwrap();
        assert_eq!(*request, "good");
        request.reply("answer").await.unwrap();
        assert_eq!(raw.read_frame().await, (1, b"".to_vec()));
        assert_eq!(raw.read_frame().await, (0, b"answer".to_vec()));
        assert_eq!(rep.stats().dropped.malformed, 200);
    })
    .await;
}

#[tokio::test]
async fn many_peers_that_come_and_go_leave_nothing_behind() {
    whole(async {
        let router = RouterSocket::new();
        let at = router.bind("tcp://127.0.0.1:0").await.unwrap();
        for _ in 0..20 {
            let mut raws = Vec::new();
            for _ in 0..20 {
                let mut raw = Raw::shake_hands(&at, "DEALER").await;
                raw.write(&frame(0, b"hello")).await;
                raws.push(raw);
            }
            for _ in 0..20 {
                let (from, _) = within(router.recv_from()).await.unwrap();
                router.send_to(&from, "welcome").await.unwrap();
            }
            drop(raws);
            eventually(|| router.peers().is_empty()).await;
        }
        assert_eq!(router.stats().messages_received, 400);
        assert_eq!(
            (router.stats().queued_in, router.stats().queued_out),
            (0, 0)
        );
    })
    .await;
}

const MANY: u32 = 30_000;

/// So many messages of four octets each.
fn tiny() -> Vec<u8> {
    let frames = (0..MANY).flat_map(|n| frame(0, &n.to_be_bytes()));
    frames.collect()
}

fn number(message: &Message) -> u32 {
    u32::from_be_bytes(message.first().try_into().expect("four octets"))
}

// What one read brings goes to the queue whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_what_arrives_at_once_over_the_mark_is_read_in_its_order() {
    for (hwm, many, leaves) in [(1, 0, false), (1, 7, true), (2, 1, true), (3, 1_000, false)] {
        let pull = PullSocket::builder().recv_hwm(hwm).build();
        let at = bound(&pull).await;
        let mut raw = Raw::shake_hands(&at, "PUSH").await;
        let writing = tokio::spawn(async move {
            raw.write(&tiny()).await;
            (!leaves).then_some(raw)
        });
        let mut read = Vec::new();
        while read.len() < MANY as usize {
            match many {
                0 => read.push(within(pull.recv()).await.unwrap()),
                _ => drop(within(pull.recv_many(&mut read, many)).await.unwrap()),
            }
        }
        assert!(read.iter().map(number).eq(0..MANY));
        let stats = pull.stats();
        assert_eq!((stats.queued_in, stats.dropped.total()), (0, 0));
        drop(within(writing).await.unwrap());
        eventually(|| pull.peers().is_empty()).await;
        assert!(pull.try_recv().is_err());
    }
}

#[tokio::test]
async fn s11_what_a_subscriber_does_not_want_makes_room_for_what_it_does() {
    for hwm in [1, 2, 1_000] {
        let sub = SubSocket::builder().recv_hwm(hwm).build();
        sub.subscribe("z").unwrap();
        let at = sub.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::shake_hands(&at, "PUB").await;
        let octets = [tiny(), frame(0, b"z one"), tiny(), frame(0, b"z two")].concat();
        let writing = tokio::spawn(async move {
            raw.write(&octets).await;
            raw
        });
        assert_eq!(within(sub.recv()).await.unwrap(), "z one");
        assert_eq!(within(sub.recv()).await.unwrap(), "z two");
        within(writing).await.unwrap();
        assert_eq!(sub.stats().dropped.unmatched, 2 * u64::from(MANY));
    }
}

#[tokio::test]
async fn a6_no_more_than_one_read_goes_over_the_mark() {
    let pull = PullSocket::builder().recv_hwm(1).build();
    let at = bound(&pull).await;
    let mut raw = Raw::shake_hands(&at, "PUSH").await;
    let writing = tokio::spawn(async move { raw.write(&frame(0, b"").repeat(32 << 20)).await });
    eventually(|| pull.stats().queued_in > 1).await;
    for _ in 0..1_000 {
        yield_now().await;
        let queued = pull.stats().queued_in;
        assert!(queued <= 1 + (128 << 10), "{queued}");
    }
    writing.abort();
}
