//! What a healthy peer never sends, and what an odd one may: peers of octets against our sockets.
//!
//! Whoever breaks the protocol loses its own connection, for a cause that the monitor names, while a healthy peer beside
//! it goes on as if nothing had happened.

#[path = "../support/mod.rs"]
mod support;

mod bears;
mod beside;
mod closes;
mod connecting;
mod crowd;
mod flood;
mod secured;
mod silence;
mod subscriber;
