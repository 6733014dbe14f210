//! What can happen to connections: cut, stalled, changed on the way, and clocks that jump. Nothing is lost that was not
//! in the hands of the network, nothing is doubled or out of order, and the sockets recover.
//!
//! `JACKSTAY_TIMES=100 cargo test --all-features --test chaos` does a hundred times as much.

#[path = "../interop/secured.rs"]
#[expect(dead_code, reason = "not all mechanisms are out in a storm")]
mod secured;
#[path = "../support/mod.rs"]
mod support;
#[path = "../interop/theirs.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod theirs;
#[path = "../interop/zap.rs"]
mod zap;

mod clock;
mod corruption;
mod half_open;
mod half_written;
mod ledger;
mod libzmq;
mod partition;
mod patterns;
mod recorded;
mod storm;
