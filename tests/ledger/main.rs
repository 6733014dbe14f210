//! The ledger: what was sent is what was delivered and what was counted as dropped, to the message.
//!
//! Every message says who sent it and which it is, and all its octets follow from that. `JACKSTAY_TIMES=1000` makes a
//! billion messages of the ledger; 30 makes a thousand kills, and 1,200 exits.

#[path = "../support/mod.rs"]
mod support;

mod carrier;
mod exits;
mod killed;
mod note;
mod patterns;
mod ports;
mod reconnects;
