//! The policies, each with a handful of pipes.

mod by_peer;
mod fair_queue;
mod fan_out;
mod load_balance;

use std::cell::RefCell;
use std::sync::Arc;

use super::*;
use crate::identity::Identity;
use crate::message::Message;
use crate::pipe::tests::{config, idle, marks, take};
use crate::pipe::{Claim, Life, PeerId, Pipe, PipeConfig, Queues};
use crate::zmtp::Version;

/// The queues of a socket and its policy.
struct Side<P> {
    config: PipeConfig,
    policy: RefCell<P>,
}

impl<P> Side<P> {
    /// `mark` messages go into each queue.
    fn new(mark: usize, policy: P) -> Self {
        Self {
            config: config(marks(mark), marks(mark)),
            policy: RefCell::new(policy),
        }
    }

    fn pipe(&self) -> Arc<Pipe> {
        Pipe::wire(&self.config, false)
    }

    fn with<T>(&self, act: impl FnOnce(&mut P, &mut Queues) -> T) -> T {
        let mut policy = self.policy.borrow_mut();
        let outgoing = &self.config.outgoing;
        outgoing.with(|sending| act(&mut policy, &mut sending.queues))
    }
}

fn waiting<const N: usize>(pipes: &[Arc<Pipe>; N]) -> [usize; N] {
    pipes.each_ref().map(|pipe| pipe.outbox.waiting())
}
