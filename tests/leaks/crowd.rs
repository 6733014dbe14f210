//! Many connections at once: what each takes, and how soon they are back.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use jackstay::{Endpoint, PullSocket, PushSocket};
use tokio::task::JoinSet;

use crate::alone::{Held, alone, lost};
use crate::support::raw::{Raw, frame};
use crate::support::times::times;
use crate::support::{Transport, eventually, number_of, numbered};

/// Octets of the heap that a connection may take which says nothing.
const ROOM: usize = 8 << 10;

/// Octets of the tables of a socket for each connection: less than anything that a connection has.
const TABLES: usize = 64;

/// Where the other process finds its socket, and how many connections it makes.
const AT: &str = "JACKSTAY_CROWD_AT";
const SIZE: &str = "JACKSTAY_CROWD_SIZE";

#[test]
fn an_idle_connection_takes_less_than_8_kib_and_leaves_nothing() {
    alone(|| async {
        let size = usize::try_from(times(1_000).min(15_000)).unwrap();
        let pull = PullSocket::builder().max_connections(size).build();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let before = Held::now();
        let first = come_and_go(&pull, &at, size).await;
        // The tables have about their size now.
        let second = come_and_go(&pull, &at, size).await;
        println!("heap before {}, behind {first}, {second}", before.heap);
        let each = lost(first, second) / size;
        assert!(each < TABLES, "{each} octets each");
    });
}

/// A crowd connects, is heard and goes; returns the octets of the heap that are held then.
async fn come_and_go(pull: &PullSocket, at: &Endpoint, size: usize) -> usize {
    let before = Held::now();
    let mut crowd = Crowd::come(at, size);
    crowd.waits_for("connected");
    eventually(|| pull.peers().len() == size).await;
    let now = Held::now();
    let each = (now.heap - before.heap) / size;
    println!(
        "{size} connections: {each} octets of the heap each, {} files",
        now.files - before.files
    );
    assert!(each < ROOM, "{each} octets each");
    // All of them live.
    crowd.is_told("send");
    let mut heard = vec![false; size];
    for _ in 0..size {
        let message = pull.recv().await.unwrap();
        assert!(!std::mem::replace(&mut heard[number_of(&message)], true));
    }
    drop((crowd, heard));
    before.is_restored().await.heap
}

/// Connections from another process: a process may not have as many files as both ends need.
struct Crowd(Child);

impl Crowd {
    fn come(at: &Endpoint, size: usize) -> Self {
        let other = Command::new(env::current_exe().expect("a program"))
            .args([
                "--ignored",
                "--exact",
                "crowd::the_other_process",
                "--nocapture",
            ])
            .env(AT, at.to_string())
            .env(SIZE, size.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(other.expect("this program, once more"))
    }

    /// Waits until it says `line`.
    fn waits_for(&mut self, line: &str) {
        let output = self.0.stdout.as_mut().expect("it is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        assert!(lines.any(|said| said == line), "it ended too early");
    }

    fn is_told(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("it is piped");
        writeln!(input, "{line}").expect("it goes on");
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "the other end of the connections of another test, which starts it"]
fn the_other_process() {
    let (Ok(at), Ok(size)) = (env::var(AT), env::var(SIZE)) else {
        return;
    };
    let (at, size): (Endpoint, usize) = (at.parse().unwrap(), size.parse().unwrap());
    alone(|| async {
        let mut crowd = Vec::new();
        for _ in 0..size {
            crowd.push(Raw::shake_hands(&at, "PUSH").await);
        }
        println!("\nconnected");
        let mut told = String::new();
        std::io::stdin().read_line(&mut told).unwrap();
        assert_eq!(told, "send\n");
        for (number, raw) in crowd.iter_mut().enumerate() {
            raw.write(&frame(0, number.to_string().as_bytes())).await;
        }
        // Until it is killed.
        std::future::pending::<()>().await;
    });
}

#[test]
fn all_clients_are_back_within_10_seconds_when_their_server_restarts() {
    alone(|| async {
        let size = usize::try_from(times(500).min(5_000)).unwrap();
        let at = Transport::Tcp.fixed();
        let server = || PullSocket::builder().max_connections(size).build();
        let first = server();
        first.bind(&at).await.unwrap();
        let clients: Vec<_> = (0..size).map(|_| PushSocket::new()).collect();
        for client in &clients {
            client.connect(&at).unwrap();
        }
        first.wait_for_peers(size).await.unwrap();
        first.close().await.unwrap();
        // All have noticed, and some have tried in vain.
        eventually(|| clients.iter().all(|client| client.peers().is_empty())).await;
        let second = server();
        let begin = Instant::now();
        second.bind(&at).await.unwrap();
        second.wait_for_peers(size).await.unwrap();
        let time = begin.elapsed();
        println!("{size} clients are back after {time:.2?}");
        assert!(time.as_secs() < 10, "{time:.2?}");
        let mut sending = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            sending.spawn(async move {
                client.send(numbered(number)).await.unwrap();
                client.close().await.unwrap();
            });
        }
        let mut heard = vec![false; size];
        for _ in 0..size {
            let message = second.recv().await.unwrap();
            assert!(!std::mem::replace(&mut heard[number_of(&message)], true));
        }
        while let Some(sent) = sending.join_next().await {
            sent.unwrap();
        }
    });
}
