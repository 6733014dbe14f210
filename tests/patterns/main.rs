//! The behaviour of each pattern, ours against ours, over every transport. The name of a test begins with the clause
//! that it holds the library to; `cargo test --test patterns -- --list` is the list.

#[path = "../support/mod.rs"]
mod support;

mod blocking;
mod dealer_router;
mod lifecycle;
mod loops;
mod pair;
mod proxy;
mod pub_sub;
mod push_pull;
mod req_rep;
mod sharing;
mod xpub_xsub;
