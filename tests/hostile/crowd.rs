//! Peers that come in crowds: they fill neither the handshakes of others, nor the files of the process.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jackstay::{DisconnectCause, Endpoint, EventKind, Monitor, PullSocket, PushSocket, TurnedAway};
use tokio::time::Instant;

use crate::beside::Attacked;
use crate::support::raw::{GREETING, Raw, ready};
use crate::support::{event, eventually, whole, within};

/// Waits until somebody is turned away, and returns why.
async fn turned_away(events: &mut Monitor) -> TurnedAway {
    let is_turned_away = |kind: &EventKind| matches!(kind, EventKind::TurnedAway(_));
    match event(events, is_turned_away).await.kind {
        EventKind::TurnedAway(reason) => reason,
        other => unreachable!("{other:?}"),
    }
}

/// For how long a crowd gathers before it is accepted.
const PAUSE: Duration = Duration::from_millis(20);

/// Another address of this machine.
#[cfg(target_os = "linux")]
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A PUSH that comes to `at` from elsewhere.
#[cfg(target_os = "linux")]
fn push_from_elsewhere(at: &Endpoint) -> PushSocket {
    let push = PushSocket::new();
    let port = at.port().expect("tcp");
    push.connect(format!("tcp://{ELSEWHERE}:0;127.0.0.1:{port}"))
        .unwrap();
    push
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn silent_connections_of_one_address_keep_nobody_else_waiting() {
    whole(async {
        let pull = PullSocket::builder()
            .max_pending_handshakes_per_address(4)
            .build();
        let mut attacked = Attacked::new(pull).await;
        let mut events = attacked.pull.monitor();
        let at = attacked.at.clone();
        let attack = async {
            let mut silent = Vec::new();
            for _ in 0..4 {
                silent.push(Raw::connect(&at).await);
            }
            for _ in 0..100 {
                let mut fifth = Raw::connect(&at).await;
                assert_eq!(fifth.read_to_end().await, b"", "closed without a word");
                let limit = TurnedAway::Handshakes { limit: 4 };
                assert_eq!(turned_away(&mut events).await, limit);
            }
            silent
        };
        let mut silent = attacked.during(attack).await;
        let push = push_from_elsewhere(&attacked.at);
        within(push.wait_for_peers(1)).await.unwrap();
        // Whoever goes makes room for the next.
        drop(silent.pop());
        let next = PushSocket::new();
        next.connect(&attacked.at).unwrap();
        within(next.wait_for_peers(1)).await.unwrap();
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_limit_of_an_address_holds_for_all_endpoints_together_and_that_of_another_is_its_own() {
    whole(async {
        let pull = PullSocket::builder()
            .max_pending_handshakes_per_address(2)
            .build();
        let ports = [
            pull.bind("tcp://127.0.0.1:0").await.unwrap(),
            pull.bind("tcp://127.0.0.1:0").await.unwrap(),
        ];
        let mut events = pull.monitor();
        let _one = Raw::connect(&ports[0]).await;
        let _two = Raw::connect(&ports[1]).await;
        for _ in 0..2 {
            event(&mut events, |kind| matches!(kind, EventKind::Accepted)).await;
        }
        let _three = Raw::connect_from(ELSEWHERE, &ports[0]).await;
        let mut fourth = Raw::connect(&ports[1]).await;
        assert_eq!(fourth.read_to_end().await, b"");
        let refused = event(&mut events, |kind| matches!(kind, EventKind::TurnedAway(_))).await;
        let Some(jackstay::PeerAddress::Tcp(address)) = refused.address else {
            panic!("{refused}");
        };
        assert_eq!(address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(refused.endpoint.as_ref(), Some(&ports[1]));
    })
    .await;
}

#[tokio::test]
async fn ipc_has_no_addresses_and_only_the_limit_of_all_holds() {
    whole(async {
        let pull = PullSocket::builder()
            .max_pending_handshakes_per_address(1)
            .build();
        let at = pull.bind("ipc://*").await.unwrap();
        let mut events = pull.monitor();
        let path = at.to_string().replace("ipc://", "");
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(tokio::net::UnixStream::connect(&path).await.unwrap());
            event(&mut events, |kind| matches!(kind, EventKind::Accepted)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away_until_one_ends() {
    whole(async {
        let pull = PullSocket::builder().max_connections(3).build();
        let mut attacked = Attacked::new(pull).await;
        let mut events = attacked.pull.monitor();
        let at = attacked.at.clone();
        let attack = async {
            let mut inside = vec![
                Raw::shake_hands(&at, "PUSH").await,
                // One in its handshake counts as well.
                Raw::connect(&at).await,
            ];
            for _ in 0..100 {
                let mut raw = Raw::connect(&at).await;
                assert_eq!(raw.read_to_end().await, b"", "closed without a word");
                let limit = TurnedAway::Connections { limit: 3 };
                assert_eq!(turned_away(&mut events).await, limit);
            }
            inside.remove(0)
        };
        drop(attacked.during(attack).await);
        // A healthy peer that was turned away comes again, and gets the place of one that goes.
        let push = PushSocket::new();
        push.connect(&attacked.at).unwrap();
        within(push.wait_for_peers(1)).await.unwrap();
        attacked.exchange(10).await;
    })
    .await;
}

/// A socket that is full, its events from then on, and the one who is inside.
async fn full() -> (PullSocket, Endpoint, Monitor, Raw) {
    let pull = PullSocket::builder().max_connections(1).build();
    let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut events = pull.monitor();
    let inside = Raw::shake_hands(&at, "PUSH").await;
    event(&mut events, |kind| {
        matches!(kind, EventKind::HandshakeSucceeded)
    })
    .await;
    (pull, at, events, inside)
}

async fn each_of_a_crowd_is_told_of_by_its_address() {
    whole(async {
        let (_pull, at, mut events, _inside) = full().await;
        for n in [1, 3, 64, 65, 300] {
            let mut crowd = Vec::new();
            let mut addresses = Vec::new();
            for _ in 0..n {
                let raw = Raw::connect(&at).await;
                addresses.push(raw.address());
                crowd.push(raw);
            }
            for mut raw in crowd {
                assert_eq!(raw.read_to_end().await, b"", "closed without a word");
            }
            let mut told = Vec::new();
            for _ in 0..n {
                let away = event(&mut events, |_| true).await;
                let limit = TurnedAway::Connections { limit: 1 };
                assert!(matches!(away.kind, EventKind::TurnedAway(reason) if reason == limit));
                told.push(away.address.unwrap());
            }
            assert_eq!(
                told, addresses,
                "each once, in the order in which they came"
            );
        }
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test]
async fn each_of_a_crowd_is_told_of_by_its_address_on_one_thread() {
    each_of_a_crowd_is_told_of_by_its_address().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_crowd_is_told_of_by_its_address_on_two_threads() {
    each_of_a_crowd_is_told_of_by_its_address().await;
}

#[tokio::test]
async fn a_place_that_becomes_free_is_there_for_who_waits_behind_a_crowd() {
    whole(async {
        let (_pull, at, mut events, mut inside) = full().await;
        for _ in 0..20 {
            let mut away = Raw::connect(&at).await;
            assert_eq!(away.read_to_end().await, b"", "closed without a word");
            turned_away(&mut events).await;
            drop(inside);
            event(&mut events, |kind| {
                matches!(kind, EventKind::Disconnected(_))
            })
            .await;
            // Nobody is accepted now, for a moment.
            let begin = Instant::now();
            inside = Raw::shake_hands(&at, "PUSH").await;
            assert!(begin.elapsed() < Duration::from_secs(1));
        }
    })
    .await;
}

#[tokio::test]
async fn who_fails_or_breaks_a_rule_keeps_the_next_waiting_for_a_moment() {
    whole(async {
        let pull = PullSocket::new();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut events = pull.monitor();
        let begin = Instant::now();
        for _ in 0..10 {
            let mut crowd = Raw::connect(&at).await;
            crowd.write(&[b'x'; 64]).await;
            crowd.read_to_end().await;
            event(&mut events, |kind| {
                matches!(kind, EventKind::HandshakeFailed(_))
            })
            .await;
        }
        // A next one that is quick may come in before a pause, but then not the one behind it.
        assert!(begin.elapsed() >= 4 * PAUSE, "{:?}", begin.elapsed());
        // So does who breaks a rule when it is in.
        let begin = Instant::now();
        for _ in 0..10 {
            let mut crowd = Raw::shake_hands(&at, "PUSH").await;
            crowd.write(b"\xffno flags").await;
            crowd.read_to_end().await;
            event(&mut events, |kind| {
                matches!(kind, EventKind::Disconnected(DisconnectCause::Protocol(_)))
            })
            .await;
        }
        assert!(begin.elapsed() >= 4 * PAUSE, "{:?}", begin.elapsed());
        let begin = Instant::now();
        let _healthy = Raw::shake_hands(&at, "PUSH").await;
        assert!(begin.elapsed() < Duration::from_secs(1));
    })
    .await;
}

#[tokio::test]
async fn unbinding_and_closing_do_not_wait_until_a_crowd_has_gathered() {
    whole(async {
        for closes in [false, true] {
            let (pull, at, mut events, inside) = full().await;
            let _away = Raw::connect(&at).await;
            turned_away(&mut events).await;
            // Closing would await its good-bye.
            drop(inside);
            event(&mut events, |kind| {
                matches!(kind, EventKind::Disconnected(_))
            })
            .await;
            // From here on, time passes only for those who wait for it.
            tokio::time::pause();
            let begin = Instant::now();
            if closes {
                pull.close().await.unwrap();
            } else {
                pull.unbind(&at).await.unwrap();
            }
            assert_eq!(begin.elapsed(), Duration::ZERO);
            tokio::time::resume();
            let next = PullSocket::new();
            next.bind(&at).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn two_thousand_connections_that_say_nothing_or_too_little() {
    whole(async {
        let pull = PullSocket::builder()
            .handshake_timeout(Duration::from_millis(200))
            .max_pending_handshakes_per_address(64)
            .build();
        let mut attacked = Attacked::new(pull).await;
        let at = attacked.at.clone();
        let attack = async {
            for _ in 0..20 {
                let mut raws = Vec::new();
                for n in 0..100 {
                    let mut raw = Raw::connect(&at).await;
                    raw.write(&GREETING[..n % 64]).await;
                    raws.push(raw);
                }
                // The first were let in and ran out of time, the last were turned away.
                for mut raw in raws {
                    raw.read_to_end().await;
                }
            }
        };
        attacked.during(attack).await;
        assert_eq!(attacked.pull.peers().len(), 1);
    })
    .await;
}

/// A process that may have 64 files open, attacked by this one.
#[cfg(target_os = "linux")]
mod files {
    use std::io::{BufRead, BufReader, Lines};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;

    /// What the child is told by: the limit of connections, or nothing.
    const MAX_CONNECTIONS: &str = "JACKSTAY_TEST_MAX_CONNECTIONS";

    struct Process {
        child: Child,
        /// Closed to end it.
        input: Option<ChildStdin>,
        output: Lines<BufReader<ChildStdout>>,
        at: Endpoint,
    }

    impl Process {
        fn start(max_connections: Option<usize>) -> Self {
            let mut command = Command::new("sh");
            command
                .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
                .arg(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "--nocapture"])
                .arg("crowd::files::the_process_that_is_attacked")
                .env_remove(MAX_CONNECTIONS)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            if let Some(most) = max_connections {
                command.env(MAX_CONNECTIONS, most.to_string());
            }
            let mut child = command.spawn().unwrap();
            let input = child.stdin.take();
            let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
            let at = told(&mut output, "bound to ").parse().unwrap();
            Self {
                child,
                input,
                output,
                at,
            }
        }

        /// Ends the process, which fails if its healthy peer lost anything; returns what it tells last.
        fn end(mut self) -> String {
            drop(self.input.take());
            let last = told(&mut self.output, "attacked: ");
            assert!(self.child.wait().unwrap().success());
            last
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// What follows `wanted` in the next line that has it.
    fn told(output: &mut Lines<BufReader<ChildStdout>>, wanted: &str) -> String {
        for line in output {
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once(wanted) {
                return rest.to_owned();
            }
        }
        panic!("it ended without \"{wanted}\"");
    }

    /// The child: exchanges messages with a healthy peer until its input ends.
    #[tokio::test]
    #[ignore = "the other tests of this module start it, in a process of its own"]
    async fn the_process_that_is_attacked() {
        let mut pull = PullSocket::builder();
        if let Ok(most) = std::env::var(MAX_CONNECTIONS) {
            pull = pull.max_connections(most.parse().unwrap());
        }
        let mut attacked = Attacked::new(pull.build()).await;
        let mut events = attacked.pull.monitor();
        println!("bound to {}", attacked.at);
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().lock().lines().last();
            ended.store(true, Ordering::Release);
        });
        let (mut files, mut turned_away, mut failures) = (0, 0, 0);
        while !over.load(Ordering::Acquire) {
            attacked.exchange(1).await;
            tokio::task::yield_now().await;
            while let Some(event) = events.try_recv() {
                match event.kind {
                    EventKind::AcceptFailed(_) => {
                        println!("not accepted");
                        failures += 1;
                    }
                    EventKind::TurnedAway(TurnedAway::Files { limit }) => {
                        files = limit;
                        turned_away += 1;
                    }
                    _ => {}
                }
            }
        }
        println!("attacked: {turned_away} turned away at {files} files, {failures} not accepted");
    }

    #[tokio::test]
    async fn a_fifth_of_them_stays_free_whoever_comes_and_goes() {
        whole(async {
            let process = Process::start(None);
            let mut kept = Vec::new();
            for n in 0..300 {
                let mut raw = Raw::connect(&process.at).await;
                if n < 100 {
                    kept.push(raw);
                } else {
                    assert_eq!(raw.read_to_end().await, b"", "closed without a word");
                }
            }
            let last = process.end();
            let (turned_away, rest) = last.split_once(' ').unwrap();
            assert!(turned_away.parse::<usize>().unwrap() > 200, "{last}");
            assert_eq!(rest, "turned away at 52 files, 0 not accepted");
        })
        .await;
    }

    #[tokio::test]
    async fn when_there_are_none_accepting_backs_off_and_begins_again() {
        whole(async {
            let mut process = Process::start(Some(1_000));
            let mut raws = Vec::new();
            let begin = Instant::now();
            for _ in 0..64 {
                raws.push(Raw::connect(&process.at).await);
            }
            for _ in 0..5 {
                told(&mut process.output, "not accepted");
            }
            // 10 + 20 + 40 + 80
            assert!(begin.elapsed() >= Duration::from_millis(150));
            // Those that it could not take are served when there is room again.
            let mut last = raws.pop().unwrap();
            last.write(&[&GREETING[..], &ready("PUSH")].concat()).await;
            raws.drain(..);
            within(last.read_exact(64)).await;
            let last_line = process.end();
            let failures = last_line
                .rsplit(' ')
                .nth(2)
                .unwrap()
                .parse::<usize>()
                .unwrap();
            assert!((5..20).contains(&failures), "{last_line}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_hundred_healthy_peers_that_come_at_once_from_one_address_all_get_in() {
    whole(async {
        let pull = PullSocket::builder()
            .max_pending_handshakes_per_address(8)
            .build();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let pushes: Vec<_> = (0..100).map(|_| PushSocket::new()).collect();
        pushes.iter().for_each(|push| push.connect(&at).unwrap());
        within(pull.wait_for_peers(100)).await.unwrap();
        eventually(|| pushes.iter().all(|push| push.peers().len() == 1)).await;
    })
    .await;
}
