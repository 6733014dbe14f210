//! [`FanOut`]: each message to every peer that wants it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::TopicIndex;
use super::topics::{Added, Removed};
use crate::message::Message;
use crate::pipe::{Claim, PeerId, Pipe, Push, Queues};

/// Copies each message to the pipes of its audience. It never waits: a full pipe misses the message, which is counted
/// there (S4); unless the caller asks first.
pub(crate) struct FanOut {
    audience: Audience,
    slots: HashMap<PeerId, usize>,
    pipes: Vec<Option<Arc<Pipe>>>,
    free: Vec<usize>,
    index: TopicIndex<usize>,
    /// The slots of pipes that were full when last written to; kept and asked for messages that must not be dropped.
    full: HashSet<usize>,
    /// The message that must not be dropped and was last asked for in vain, and one of the slots that it waits for. Looked at
    /// first: whenever one of ten thousand pipes has room again, all would have to be asked.
    waits_for: Option<(Message, usize)>,
    /// The copies since the sender last let the sessions have their turn.
    copies: usize,
}

/// Who wants a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every peer (XSUB).
    Everyone,
    /// The peers with a subscription to a prefix of the first frame (PUB, XPUB).
    Subscribers,
    /// The peers without one (`invert_matching`).
    Others,
}

/// So many copies take a few milliseconds.
const TURN: usize = 32 << 10;
/// To so many pipes, lone messages are written at once.
const FEW: usize = 16;

impl FanOut {
    pub fn new(audience: Audience) -> Self {
        Self {
            audience,
            slots: HashMap::new(),
            pipes: Vec::new(),
            free: Vec::new(),
            index: TopicIndex::new(),
            full: HashSet::new(),
            waits_for: None,
            copies: 0,
        }
    }

    pub fn add(&mut self, pipe: Arc<Pipe>) {
        if self.slots.contains_key(&pipe.id) {
            return;
        }
        let slot = self.free.pop().unwrap_or(self.pipes.len());
        self.slots.insert(pipe.id, slot);
        // A welcome message may fill it.
        self.full.insert(slot);
        if slot == self.pipes.len() {
            self.pipes.push(Some(pipe));
        } else {
            self.pipes[slot] = Some(pipe);
        }
    }

    /// Forgets `pipe`, and reports each topic that nobody wants any more.
    pub fn remove(&mut self, pipe: &Arc<Pipe>, orphaned: impl FnMut(&[u8])) {
        self.unsubscribe_all(pipe, orphaned);
        if let Some(slot) = self.slots.remove(&pipe.id) {
            self.pipes[slot] = None;
            self.full.remove(&slot);
            self.free.push(slot);
        }
    }

    /// Forgets the subscriptions of `pipe`, whose connection is lost: it sends them again when it is back (S9).
    pub fn unsubscribe_all(&mut self, pipe: &Arc<Pipe>, orphaned: impl FnMut(&[u8])) {
        self.waits_for = None;
        if let Some(slot) = self.slots.get(&pipe.id) {
            self.index.remove_peer(*slot, orphaned);
        }
    }

    pub fn subscribe(&mut self, pipe: &Arc<Pipe>, topic: &[u8]) -> Option<Added> {
        self.waits_for = None;
        let slot = self.slots.get(&pipe.id)?;
        Some(self.index.insert(topic, *slot))
    }

    pub fn unsubscribe(&mut self, pipe: &Arc<Pipe>, topic: &[u8]) -> Option<Removed> {
        self.waits_for = None;
        let slot = self.slots.get(&pipe.id)?;
        Some(self.index.remove(topic, *slot))
    }

    /// How many topics `pipe` has, and their octets.
    pub fn subscriptions_of(&self, pipe: &Arc<Pipe>) -> (usize, usize) {
        self.slots.get(&pipe.id).map_or((0, 0), |slot| {
            (
                self.index.subscriptions_of(*slot),
                self.index.octets_of(*slot),
            )
        })
    }

    /// How many peers have at least one subscription.
    pub fn subscribers(&self) -> usize {
        self.index.peers_with_subscriptions()
    }

    /// Queues `message` for its whole audience. A full pipe misses it.
    pub fn send(&mut self, queues: &mut Queues, message: &Message) {
        let claim = self.claim();
        let mut copies = 0;
        self.for_each(message, |_, pipe| {
            copies += 1;
            pipe.outbox.try_push(queues, message, claim);
        });
        self.copies += copies;
    }

    /// Queues `message` for one pipe (`ManualLastValue`).
    pub fn send_to(&mut self, queues: &mut Queues, pipe: &Arc<Pipe>, message: &Message) {
        let pushed = pipe.outbox.try_push(queues, message, Claim::Drop);
        if pushed == (Push::Done { full: true }) {
            self.full.extend(self.slots.get(&pipe.id));
        }
    }

    /// Queues `message` for its whole audience, or for nobody if one of it is full.
    pub fn try_send_to_all(&mut self, queues: &mut Queues, message: &Message) -> bool {
        let pipes = &self.pipes;
        if let Some((waiting, slot)) = self.waits_for.take() {
            let full = pipes[slot]
                .as_ref()
                .is_some_and(|pipe| pipe.outbox.is_full(queues));
            if full && waiting.first() == message.first() {
                self.waits_for = Some((waiting, slot));
                return false;
            }
        }
        self.full.retain(|slot| {
            pipes[*slot]
                .as_ref()
                .is_some_and(|pipe| pipe.outbox.is_full(queues))
        });
        if !self.full.is_empty() {
            let full = std::mem::take(&mut self.full);
            let mut missed = None;
            self.for_each(message, |slot, _| {
                if full.contains(&slot) {
                    missed = Some(slot);
                }
            });
            self.full = full;
            if let Some(slot) = missed {
                self.waits_for = Some((message.clone(), slot));
                return false;
            }
        }
        let mut full = std::mem::take(&mut self.full);
        let claim = self.claim();
        let mut copies = 0;
        self.for_each(message, |slot, pipe| {
            copies += 1;
            let pushed = pipe.outbox.try_push(queues, message, claim);
            if pushed == (Push::Done { full: true }) {
                full.insert(slot);
            }
        });
        self.full = full;
        self.copies += copies;
        true
    }

    /// Whether so many copies were made that the sessions should have a turn before the next message: its lock is held
    /// over each, and who comes back at once hardly lets anybody else have it.
    #[inline]
    pub fn is_tired(&self) -> bool {
        self.copies >= TURN
    }

    /// The sessions had their turn.
    pub fn rested(&mut self) {
        self.copies = 0;
    }

    fn claim(&self) -> Claim {
        if self.slots.len() > FEW {
            Claim::Many
        } else {
            Claim::Drop
        }
    }

    fn for_each(&mut self, message: &Message, mut each: impl FnMut(usize, &Arc<Pipe>)) {
        let pipes = &self.pipes;
        let mut at = |slot: usize| {
            if let Some(Some(pipe)) = pipes.get(slot) {
                each(slot, pipe);
            }
        };
        match self.audience {
            Audience::Everyone => (0..pipes.len()).for_each(at),
            Audience::Subscribers => self.index.for_each_match(message.first(), at),
            Audience::Others => {
                let mut matched = vec![false; pipes.len()];
                self.index
                    .for_each_match(message.first(), |slot| matched[slot] = true);
                (0..pipes.len())
                    .filter(|slot| !matched[*slot])
                    .for_each(&mut at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::PipeConfig;
    use crate::pipe::tests::{config, marks};

    /// A socket whose queues hold one message each.
    fn socket() -> PipeConfig {
        config(marks(1), marks(1))
    }

    // S8
    #[test]
    fn what_must_not_be_dropped_waits_for_a_pipe_that_a_welcome_message_filled() {
        let config = socket();
        let mut fan_out = FanOut::new(Audience::Everyone);
        let pipe = Pipe::wire(&config, false);
        fan_out.add(pipe.clone());
        pipe.outbox.push(&"welcome".into(), Claim::Aside);
        let news = "news".into();
        assert!(
            !config
                .outgoing
                .with(|sending| fan_out.try_send_to_all(&mut sending.queues, &news))
        );
        assert_eq!(pipe.outbox.stats().dropped.full, 0);
    }

    // S8
    #[test]
    fn a_message_that_waits_for_a_full_pipe_goes_on_when_that_no_longer_wants_it() {
        let config = socket();
        let mut fan_out = FanOut::new(Audience::Subscribers);
        let pipe = Pipe::wire(&config, false);
        fan_out.add(pipe.clone());
        fan_out.subscribe(&pipe, b"news");
        let sent = |fan_out: &mut FanOut, text: &'static str| {
            let message = text.into();
            config
                .outgoing
                .with(|sending| fan_out.try_send_to_all(&mut sending.queues, &message))
        };
        assert!(sent(&mut fan_out, "news 1"));
        assert!(!sent(&mut fan_out, "news 2"));
        assert!(!sent(&mut fan_out, "news 2"));
        assert!(sent(&mut fan_out, "sports"), "nobody wants it");
        assert!(!sent(&mut fan_out, "news 2"));
        fan_out.unsubscribe(&pipe, b"news");
        assert!(sent(&mut fan_out, "news 2"));
        assert_eq!(pipe.outbox.stats().messages_sent, 1);
    }

    // Whoever drops what does not fit never asks who is full.
    #[test]
    fn pipes_that_come_and_go_or_fill_again_and_again_leave_nothing_behind() {
        let config = socket();
        let mut fan_out = FanOut::new(Audience::Everyone);
        for _ in 0..3 {
            let pipe = Pipe::wire(&config, false);
            fan_out.add(pipe.clone());
            for _ in 0..3 {
                let last = "last value".into();
                config
                    .outgoing
                    .with(|sending| fan_out.send_to(&mut sending.queues, &pipe, &last));
                pipe.outbox.discard(|dropped| &mut dropped.peer_gone);
            }
            assert_eq!(fan_out.full.len(), 1);
            fan_out.remove(&pipe, |_| {});
            assert!(fan_out.full.is_empty());
        }
        assert_eq!(fan_out.pipes.len(), 1);
    }
}
