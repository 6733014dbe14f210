//! A link that goes down: nothing arrives, and nobody says so. In a network of its own, where the machine allows that.

use std::env;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use jackstay::zmtp::ProtocolError;
use jackstay::{DisconnectCause, EventKind, PullSocket, PushSocket};

use crate::ledger::{Account, message};
use crate::patterns::{receive_while, until_last_arrives};
use crate::storm::{Weather, connections, pace};
use crate::support::times::times;
use crate::support::{Transport, event, eventually, whole, within};

/// Set in the process that has a network of its own.
const APART: &str = "JACKSTAY_TEST_NETWORK_APART";
const NAME: &str = "partition::h5_a4_a_link_goes_down_and_comes_back";

/// Takes the link of this network down, or up.
fn link(state: &str) {
    let done = Command::new("ip")
        .args(["link", "set", "lo", state])
        .status();
    assert!(
        done.expect("ip can be run").success(),
        "the link goes {state}"
    );
}

#[test]
fn h5_a4_a_link_goes_down_and_comes_back() {
    if env::var_os(APART).is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(whole(link_goes_down_and_comes_back()));
    }
    let allowed = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "ip",
            "link",
            "set",
            "lo",
            "up",
        ])
        .output();
    match allowed {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            return println!("SKIPPED {NAME}: no network of its own: {}", reason.trim());
        }
        Err(error) => return println!("SKIPPED {NAME}: unshare or ip cannot be run: {error}"),
    }
    let inside = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", NAME, "--nocapture"])
        .env(APART, "1")
        .output()
        .expect("unshare can be run");
    let said = String::from_utf8_lossy(&inside.stdout);
    println!("{said}{}", String::from_utf8_lossy(&inside.stderr));
    assert!(
        inside.status.success(),
        "{NAME} failed in a network of its own"
    );
    assert!(said.contains("1 passed"), "{NAME} was not run");
}

async fn link_goes_down_and_comes_back() {
    link("up");
    let weather = Weather {
        over: Transport::Tcp,
        curve: false,
    };
    let pull = weather.server(PullSocket::builder()).build();
    let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let push = weather.client(PushSocket::builder().send_hwm(100)).build();
    let established = connections(&pull);
    push.connect(&at).unwrap();
    let mut events = [push.monitor(), pull.monitor()];
    let account = Mutex::<Account>::default();
    let last = || account.lock().unwrap().last;

    let partitions = async {
        let mut sent = 0;
        let mut pace = pace();
        for _ in 0..times(3) {
            // Until messages arrive.
            let begun = sent;
            while last() < Some(begun) {
                pace.tick().await;
                within(push.send(message(sent))).await.unwrap();
                sent += 1;
            }
            link("down");
            // Sends on until its queue is full, and both ends have found out by themselves.
            while push.try_send(message(sent)).is_ok() {
                sent += 1;
            }
            for events in &mut events {
                event(events, |kind| {
                    matches!(
                        kind,
                        EventKind::Disconnected(DisconnectCause::Protocol(
                            ProtocolError::HeartbeatTimeout
                        ))
                    )
                })
                .await;
            }
            assert_eq!(push.peers().len(), 0);
            link("up");
        }
        let send = async |n| push.send(message(n)).await.unwrap();
        until_last_arrives(&account, &mut sent, send).await;
        sent
    };
    let recv = async || pull.recv().await.unwrap();
    let sent = receive_while(&account, recv, partitions).await;

    let account = account.into_inner().unwrap();
    println!("links down: {}; {sent} sent, {account:?}", times(3));
    assert_eq!(push.stats().messages_sent, sent);
    assert_eq!(push.stats().dropped.total(), 0);
    assert_eq!(pull.stats().messages_received, account.received);
    eventually(|| account.runs <= established.load(Ordering::Relaxed)).await;
    push.close().await.unwrap();
}
