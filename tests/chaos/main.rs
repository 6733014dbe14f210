//! What can happen to connections: cut, stalled, changed on the way, and clocks that jump. Nothing is lost that was not
//! in the hands of the network, nothing is doubled or out of order, and the sockets recover.

#[path = "../support/mod.rs"]
mod support;

mod clock;
