//! [`FanOut`]: each message to every peer that wants it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::TopicIndex;
use super::topics::{Added, Removed};
use crate::message::Message;
use crate::pipe::{Claim, PeerId, Pipe, Push, Queues, Share};

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
    /// The slots of those who get the message, and of those who got the one before.
    found: Vec<usize>,
    last: Vec<usize>,
    /// Whether the latter share what is pushed to them.
    sharing: bool,
    /// Whether every message goes to them, as long as nothing changes, so that nobody has to be looked for.
    alike: bool,
    /// Whether a slot has become another's since.
    changed: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fanned {
    /// Queued, or written.
    Done,
    /// Queued, and much waits now: [`Queues::write_next`] is to be called until all is written.
    Due,
    /// One of those who want it is full, and nobody got it.
    Full,
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
/// More do not share: to write to all of them one after the other would keep the sender from all else for too long.
const MANY: usize = 1024;

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
            found: Vec::new(),
            last: Vec::new(),
            sharing: false,
            alike: false,
            changed: false,
        }
    }

    pub fn add(&mut self, pipe: Arc<Pipe>) {
        if self.slots.contains_key(&pipe.id) {
            return;
        }
        (self.changed, self.alike) = (true, false);
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
        (self.changed, self.alike) = (true, false);
        if let Some(slot) = self.slots.remove(&pipe.id) {
            self.pipes[slot] = None;
            self.full.remove(&slot);
            self.free.push(slot);
        }
    }

    /// Forgets the subscriptions of `pipe`, whose connection is lost: it sends them again when it is back (S9).
    pub fn unsubscribe_all(&mut self, pipe: &Arc<Pipe>, orphaned: impl FnMut(&[u8])) {
        (self.waits_for, self.alike) = (None, false);
        if let Some(slot) = self.slots.get(&pipe.id) {
            self.index.remove_peer(*slot, orphaned);
        }
    }

    pub fn subscribe(&mut self, pipe: &Arc<Pipe>, topic: &[u8]) -> Option<Added> {
        (self.waits_for, self.alike) = (None, false);
        let slot = self.slots.get(&pipe.id)?;
        Some(self.index.insert(topic, *slot))
    }

    pub fn unsubscribe(&mut self, pipe: &Arc<Pipe>, topic: &[u8]) -> Option<Removed> {
        (self.waits_for, self.alike) = (None, false);
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

    /// Queues `message` for its whole audience. A pipe that is full misses it, or, if the sender `waits`, nobody gets it.
    pub fn send(&mut self, queues: &mut Queues, message: &Message, waits: bool) -> Fanned {
        if waits && self.waits_still(queues, message) {
            return Fanned::Full;
        }
        if self.alike
            && let Some(due) = queues.push_shared(message)
        {
            return self.shared(due);
        }
        self.find(message);
        if self.found.is_empty() {
            return Fanned::Done;
        }
        // One by one: to compare wide words of what was just stored in narrow ones waits for that.
        let again = self.found.iter().eq(&self.last) && !self.changed;
        if self.sharing {
            if again && let Some(due) = queues.push_shared(message) {
                return self.shared(due);
            }
            self.end_sharing(queues, waits);
        }
        if waits && let Some(full) = self.find_full(queues) {
            self.waits_for = Some((message.clone(), full));
            return Fanned::Full;
        }
        self.push_each(queues, message, waits);
        if again && self.found.len() <= MANY {
            self.share(queues, waits);
        }
        std::mem::swap(&mut self.found, &mut self.last);
        self.changed = false;
        Fanned::Done
    }

    /// A message was pushed to those who share. `due` if what they share is to be written.
    #[inline]
    fn shared(&mut self, due: bool) -> Fanned {
        self.copies += self.last.len();
        if due { Fanned::Due } else { Fanned::Done }
    }

    /// Queues `message` for one pipe (`ManualLastValue`).
    pub fn send_to(&mut self, queues: &mut Queues, pipe: &Arc<Pipe>, message: &Message) {
        let pushed = pipe.outbox.try_push(queues, message, Claim::Drop);
        if pushed == (Push::Done { full: true }) {
            self.full.extend(self.slots.get(&pipe.id));
        }
    }

    /// Whether `message` still waits for the pipe that it waited for when it was last asked for.
    fn waits_still(&mut self, queues: &mut Queues, message: &Message) -> bool {
        let waits_for = self.waits_for.take();
        self.waits_for = waits_for.filter(|(waiting, slot)| {
            waiting.first() == message.first() && is_full(&self.pipes, queues, *slot)
        });
        self.waits_for.is_some()
    }

    /// Looks who gets `message`.
    fn find(&mut self, message: &Message) {
        let (found, pipes) = (&mut self.found, &self.pipes);
        found.clear();
        let taken = |slot: &usize| pipes[*slot].is_some();
        match self.audience {
            Audience::Everyone => found.extend((0..pipes.len()).filter(taken)),
            Audience::Subscribers => {
                let topic = message.first();
                self.index.for_each_match(topic, |slot| found.push(slot));
            }
            Audience::Others => {
                let mut matched = vec![false; pipes.len()];
                self.index
                    .for_each_match(message.first(), |slot| matched[slot] = true);
                let others = (0..pipes.len()).filter(taken);
                found.extend(others.filter(|slot| !matched[*slot]));
            }
        }
    }

    /// One of those who get the message that is full.
    fn find_full(&mut self, queues: &mut Queues) -> Option<usize> {
        let pipes = &self.pipes;
        self.full.retain(|slot| is_full(pipes, queues, *slot));
        if self.full.is_empty() {
            return None;
        }
        let mut found = self.found.iter().copied();
        found.find(|slot| self.full.contains(slot))
    }

    fn push_each(&mut self, queues: &mut Queues, message: &Message, waits: bool) {
        // To many, none is written by itself.
        let claim = match self.slots.len() > FEW {
            true => Claim::Many,
            false => Claim::Drop,
        };
        self.copies += self.found.len();
        for slot in &self.found {
            let Some(Some(pipe)) = self.pipes.get(*slot) else {
                continue;
            };
            let pushed = pipe.outbox.try_push(queues, message, claim);
            if waits && pushed == (Push::Done { full: true }) {
                self.full.insert(*slot);
            }
        }
    }

    /// From now on, those who got this message share what they get, if all of them can.
    fn share(&mut self, queues: &mut Queues, waits: bool) {
        for slot in &self.found {
            let pipe = self.pipes.get(*slot).and_then(Option::as_ref);
            match pipe.and_then(|pipe| pipe.outbox.share(queues)) {
                Some(Share::Part) => {}
                Some(Share::Full) if !waits => {}
                Some(Share::Full) | None => return queues.part(),
            }
        }
        self.sharing = queues.open();
        self.alike = self.sharing
            && match self.audience {
                Audience::Everyone => true,
                Audience::Subscribers | Audience::Others => self.index.matches_alike(),
            };
    }

    /// Somebody else gets this message, or there is no room for it, or a session has looked at what it shared.
    fn end_sharing(&mut self, queues: &mut Queues, waits: bool) {
        (self.sharing, self.alike) = (false, false);
        queues.part();
        if waits {
            // That may have filled a queue.
            let pipes = &self.pipes;
            let full = self.last.iter().copied();
            self.full
                .extend(full.filter(|slot| is_full(pipes, queues, *slot)));
        }
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
}

fn is_full(pipes: &[Option<Arc<Pipe>>], queues: &mut Queues, slot: usize) -> bool {
    let pipe = pipes.get(slot).and_then(Option::as_ref);
    pipe.is_some_and(|pipe| pipe.outbox.is_full(queues))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::pipe::PipeConfig;
    use crate::pipe::tests::{Session, config, left_by, marks, publisher};
    use crate::transport::Stream;

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
            config
                .outgoing
                .with(|sending| fan_out.send(&mut sending.queues, &news, true))
                == Fanned::Full
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
                .with(|sending| fan_out.send(&mut sending.queues, &message, true))
                != Fanned::Full
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

    /// A publisher in a loop, whose sessions leave what it sends to it.
    struct Publisher {
        config: PipeConfig,
        fan_out: FanOut,
        waits: bool,
        peers: Vec<(Arc<Pipe>, Session, Arc<Stream>)>,
    }

    impl Publisher {
        /// To so many peers that want what begins with `a`, with room for 38 messages more than are there at first.
        async fn to(peers: usize) -> Self {
            let mut publisher = Self {
                config: publisher(40),
                fan_out: FanOut::new(Audience::Subscribers),
                waits: true,
                peers: Vec::new(),
            };
            for _ in 0..peers {
                publisher.add().await;
            }
            publisher
        }

        async fn add(&mut self) {
            let peer = left_by(&self.config).await;
            self.fan_out.add(peer.0.clone());
            self.fan_out.subscribe(&peer.0, b"a");
            self.peers.push(peer);
        }

        fn send(&mut self, text: &'static str) -> Fanned {
            let (fan_out, waits) = (&mut self.fan_out, self.waits);
            self.config
                .outgoing
                .with(|sending| fan_out.send(&mut sending.queues, &text.into(), waits))
        }

        /// What each has got since it was added.
        fn waiting(&self) -> Vec<usize> {
            let pipes = self.peers.iter();
            pipes.map(|(pipe, ..)| pipe.outbox.waiting() - 2).collect()
        }
    }

    #[tokio::test]
    async fn who_gets_two_messages_in_a_row_shares_what_follows_until_another_gets_one() {
        let mut publisher = Publisher::to(3).await;
        let last = publisher.peers[2].0.clone();
        publisher.fan_out.subscribe(&last, b"b");
        publisher.send("a1");
        assert!(!publisher.fan_out.sharing);
        for text in ["a2", "a3", "nobody wants it", "a4"] {
            assert_eq!(publisher.send(text), Fanned::Done);
            assert!(publisher.fan_out.sharing, "{text}");
        }
        publisher.send("b");
        assert!(!publisher.fan_out.sharing);
        assert_eq!(publisher.waiting(), [4, 4, 5]);
        let octets = publisher.peers[2].1.octets();
        assert!(octets.ends_with(b"\0\x02a1\0\x02a2\0\x02a3\0\x02a4\0\x01b"));
    }

    #[tokio::test]
    async fn who_comes_and_who_goes_in_a_loop_gets_what_is_sent_while_it_is_there() {
        let mut publisher = Publisher::to(2).await;
        for _ in 0..3 {
            publisher.send("a");
        }
        assert!(publisher.fan_out.sharing);
        let (gone, ..) = publisher.peers.remove(0);
        publisher.fan_out.remove(&gone, |_| {});
        publisher.add().await;
        for _ in 0..3 {
            publisher.send("a");
        }
        assert!(publisher.fan_out.sharing);
        assert_eq!(publisher.waiting(), [6, 3]);
        assert_eq!(gone.outbox.waiting() - 2, 3);
    }

    #[tokio::test]
    async fn where_all_want_everything_nobody_is_looked_for_until_somebody_comes_goes_or_changes_its_mind()
     {
        let mut publisher = Publisher::to(2).await;
        let [one, two] = [0, 1].map(|peer| publisher.peers[peer].0.clone());
        publisher.fan_out.subscribe(&one, b"");
        let everybody = |publisher: &mut Publisher, alike| {
            for _ in 0..3 {
                publisher.send("a");
            }
            assert!(publisher.fan_out.sharing);
            assert_eq!(publisher.fan_out.alike, alike);
        };
        everybody(&mut publisher, false);
        publisher.send("b");
        assert_eq!(publisher.waiting(), [4, 3]);
        publisher.fan_out.subscribe(&two, b"");
        everybody(&mut publisher, true);
        publisher.send("b");
        assert_eq!(publisher.waiting(), [8, 7]);
        publisher.fan_out.unsubscribe(&one, b"");
        publisher.send("b");
        assert_eq!(publisher.waiting(), [8, 8]);
        publisher.fan_out.subscribe(&one, b"");
        everybody(&mut publisher, true);
        publisher.add().await;
        everybody(&mut publisher, false);
        assert_eq!(publisher.waiting(), [14, 14, 3]);
        let three = publisher.peers[2].0.clone();
        publisher.fan_out.subscribe(&three, b"");
        everybody(&mut publisher, true);
        publisher.fan_out.unsubscribe_all(&two, |_| {});
        publisher.send("b");
        publisher.fan_out.remove(&one, |_| {});
        publisher.send("b");
        assert_eq!(publisher.waiting(), [18, 17, 8]);
    }

    // S8
    #[tokio::test]
    async fn a_queue_that_was_filled_by_what_it_shared_is_waited_for() {
        let mut publisher = Publisher::to(2).await;
        for _ in 0..37 {
            assert_eq!(publisher.send("a"), Fanned::Done);
        }
        assert_eq!(publisher.send("a"), Fanned::Due);
        // Before it is written, somebody looks.
        assert_eq!(publisher.waiting(), [38, 38]);
        assert_eq!(publisher.send("a"), Fanned::Full);
        let (pipe, session, _) = &mut publisher.peers[1];
        assert!(pipe.outbox.cool(Instant::now()));
        session.octets();
        assert_eq!(publisher.send("a"), Fanned::Full, "the other one is");
        let (pipe, session, _) = &mut publisher.peers[0];
        assert!(pipe.outbox.cool(Instant::now()));
        session.octets();
        assert_eq!(publisher.send("a"), Fanned::Done);
        for (pipe, ..) in &publisher.peers {
            assert_eq!(pipe.outbox.stats().dropped.full, 0);
        }
    }

    // S4
    #[tokio::test]
    async fn who_is_full_misses_what_the_others_share() {
        let mut publisher = Publisher::to(2).await;
        publisher.waits = false;
        let (full, ..) = &publisher.peers[0];
        // Only its session may write.
        full.outbox.disconnected(crate::pipe::Writing::default());
        for _ in 0..38 {
            full.outbox.push(&"welcome".into(), Claim::Aside);
        }
        for _ in 0..3 {
            publisher.send("a");
        }
        assert!(publisher.fan_out.sharing);
        assert_eq!(publisher.waiting(), [38, 3]);
        assert_eq!(publisher.peers[0].0.outbox.stats().dropped.full, 3);
    }
}
