//! Ours against libzmq, in one process. `cargo test --test interop -- --list` shows the matrix: a test for each pair of
//! types, each transport, each mechanism and each side that may bind; the first type is ours, and so is the named role.

mod secured;
#[path = "../support/mod.rs"]
mod support;
mod theirs;
mod zap;

mod heartbeat;
mod identity;
mod limits;
mod matrix;
mod proxy;
mod reconnect;
mod security;
mod subscription;
