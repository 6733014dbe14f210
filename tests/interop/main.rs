//! Ours against libzmq, in one process. `cargo test --test interop -- --list` shows the matrix: a test for each pair of
//! types, each transport, and each side that may bind; the first type is ours.

#[path = "../support/mod.rs"]
mod support;
mod theirs;

mod heartbeat;
mod identity;
mod limits;
mod matrix;
mod proxy;
mod reconnect;
mod subscription;
