//! Who gets a message, and whose message is next: plain code over pipes.

mod by_peer;
mod fair_queue;
mod fan_out;
mod load_balance;
mod topics;

pub(crate) use self::by_peer::ByPeer;
pub(crate) use self::fair_queue::FairQueue;
pub(crate) use self::fan_out::{Audience, FanOut, Fanned};
pub(crate) use self::load_balance::{Dealt, LoadBalance};
pub(crate) use self::topics::{TopicIndex, TopicSet};

#[cfg(test)]
mod tests;
