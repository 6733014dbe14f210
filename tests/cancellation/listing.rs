//! No public call that waits is without a test here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each public call that waits, and the test that drops it at its awaits.
const CALLS: &[(&str, &str)] = &[
    (
        "Authenticator::authenticate",
        "a_zap_handler_and_who_asks_it_can_be_dropped_at_any_await",
    ),
    (
        "Handler::bind",
        "a_zap_handler_and_who_asks_it_can_be_dropped_at_any_await",
    ),
    (
        "Handler::run",
        "a_zap_handler_and_who_asks_it_can_be_dropped_at_any_await",
    ),
    ("Incoming as Stream", "stream"),
    (
        "KeyDirectory::follow",
        "a_key_directory_that_is_no_longer_followed_can_be_followed_again",
    ),
    ("Monitor::recv", "monitor"),
    ("Outgoing as Sink", "sink"),
    (
        "Principal::revoked",
        "a_wait_for_a_revocation_that_is_dropped_changes_nothing",
    ),
    ("Proxy::run", "proxy"),
    ("Request::reply", "accept_and_reply"),
    ("Socket::accept", "accept_and_reply"),
    ("Socket::bind", "bind"),
    ("Socket::close", "close"),
    ("Socket::disconnect", "disconnect"),
    ("Socket::recv", "recv"),
    ("Socket::recv_from", "recv_from"),
    ("Socket::recv_many", "recv_many"),
    ("Socket::recv_subscription", "recv_subscription"),
    ("Socket::recv_with_peer", "recv_with_peer"),
    ("Socket::request", "request"),
    ("Socket::reserve", "reserve"),
    ("Socket::send", "send"),
    ("Socket::send_many", "send_many"),
    ("Socket::send_to", "send_to"),
    ("Socket::unbind", "unbind"),
    ("Socket::wait_for_peers", "waiting_for_peers"),
    ("Socket::wait_for_subscribers", "waiting_for_subscribers"),
];

/// Whose calls nobody outside can make: `pub` within the crate only.
const PRIVATE: &[&str] = &[
    "Core",
    "Lane",
    "Outbox",
    "ReadyList",
    "Session",
    "Tasks",
    "Watch",
];

#[test]
fn every_public_call_that_waits_is_dropped_in_a_test() {
    let listed: BTreeSet<&str> = CALLS.iter().map(|(call, _)| *call).collect();
    let mut found = BTreeSet::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        calls(&fs::read_to_string(file).unwrap(), &mut found);
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let without: Vec<_> = found.difference(&listed).collect();
    assert!(
        without.is_empty(),
        "without a test that drops it: {without:?}"
    );
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "no longer there: {gone:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = [
        include_str!("main.rs"),
        include_str!("adapters.rs"),
        include_str!("security.rs"),
    ];
    for (call, test) in CALLS {
        let begins = format!("async fn {test}(");
        assert!(
            tests.iter().any(|file| file.contains(&begins)),
            "{call}: {test}"
        );
    }
}

/// All files below `folder` but those of unit tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// The calls of `source` that wait, up to its unit tests: async functions, those that return a future, and what is polled.
fn calls(source: &str, found: &mut BTreeSet<String>) {
    let mut owner = String::new();
    for line in source
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
    {
        if let Some(begun) = line
            .strip_prefix("impl")
            .or(line.strip_prefix("pub trait "))
        {
            owner = of(begun);
            for polled in ["Stream", "Sink", "Future"] {
                let implemented = begun.contains(&format!(" {polled} for "))
                    || begun.contains(&format!(" {polled}<M> for "));
                if implemented && begun.contains("<'_") {
                    found.insert(format!("{owner} as {polled}"));
                }
            }
        }
        let line = line.trim_start();
        let waits = line.strip_prefix("pub async fn ").or_else(|| {
            let returns = ["-> impl Future", "-> Decision", "-> Pin<Box<dyn Future"];
            let public = line.strip_prefix("pub fn ").or(line
                .strip_prefix("fn authenticate")
                .map(|_| "authenticate("));
            public.filter(|_| returns.iter().any(|future| line.contains(future)))
        });
        if let Some(call) = waits {
            let name: String = call
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let of = if name == "authenticate" {
                "Authenticator"
            } else {
                owner.as_str()
            };
            if !PRIVATE.contains(&of) {
                found.insert(format!("{of}::{name}"));
            }
        }
    }
}

/// The type of `impl…` or `pub trait …`.
fn of(begun: &str) -> String {
    let begun = begun.rsplit(" for ").next().unwrap_or(begun);
    // Behind the parameters of the `impl` itself.
    let mut depth = 0_usize;
    let start = begun
        .char_indices()
        .find(|(_, c)| {
            match c {
                '<' => depth += 1,
                '>' => depth -= 1,
                _ => {}
            }
            depth == 0 && c.is_alphabetic()
        })
        .map_or(0, |(at, _)| at);
    begun[start..]
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
