//! PUB and SUB, XPUB and XSUB: each gets what it subscribed to, and an XPUB sees who does.

use std::collections::{BTreeMap, VecDeque};

use jackstay::pattern::{CanPublish, CanReceive, CanSend, CanSubscribe, HasInbox, HasOutbox};
use jackstay::{Builder, PubSocket, Socket, SubSocket, SubscribeError, XPubSocket, XSubSocket};
use proptest::prelude::*;

use crate::{MARK, PEERS, check, names, prompt, settle, text};

const TOPICS: [&str; 5] = ["", "a", "ab", "abc", "b"];

#[derive(Debug, Clone)]
enum Operation {
    Comes(usize),
    Goes(usize),
    Restarts,
    Subscribe(usize, &'static str),
    Unsubscribe(usize, &'static str),
    Publish(&'static str),
    Drain(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let peer = || 0..PEERS;
    let topic = || proptest::sample::select(&TOPICS[..]);
    prop_oneof![
        3 => peer().prop_map(Operation::Comes),
        1 => peer().prop_map(Operation::Goes),
        1 => Just(Operation::Restarts),
        6 => (peer(), topic()).prop_map(|(n, topic)| Operation::Subscribe(n, topic)),
        4 => (peer(), topic()).prop_map(|(n, topic)| Operation::Unsubscribe(n, topic)),
        9 => topic().prop_map(Operation::Publish),
        3 => peer().prop_map(Operation::Drain),
    ]
}

/// A subscriber as it is to be.
#[derive(Default)]
struct Subscriber {
    /// How often it subscribed to each topic.
    topics: BTreeMap<&'static str, usize>,
    queue: VecDeque<String>,
}

impl Subscriber {
    fn wants(&self, message: &str) -> bool {
        self.topics.keys().any(|topic| message.starts_with(topic))
    }
}

#[derive(Default)]
struct Model {
    subscribers: [Option<Subscriber>; PEERS],
    sent: u64,
    full: u64,
    /// S6: what an XPUB is told.
    events: VecDeque<String>,
}

impl Model {
    fn subscribed(&self, topic: &str) -> usize {
        let there = self.subscribers.iter().flatten();
        there.filter(|one| one.topics.contains_key(topic)).count()
    }

    fn subscribe(&mut self, n: usize, topic: &'static str) {
        if self.subscribed(topic) == 0 {
            self.events.push_back(format!("\x01{topic}"));
        }
        if let Some(one) = &mut self.subscribers[n] {
            *one.topics.entry(topic).or_default() += 1;
        }
    }

    /// `false` if there is nothing to take back.
    fn unsubscribe(&mut self, n: usize, topic: &'static str) -> bool {
        let Some(one) = &mut self.subscribers[n] else {
            return false;
        };
        let Some(count) = one.topics.get_mut(topic) else {
            return false;
        };
        *count -= 1;
        // S3
        if *count == 0 {
            one.topics.remove(topic);
            if self.subscribed(topic) == 0 {
                self.events.push_back(format!("\0{topic}"));
            }
        }
        true
    }

    fn publish(&mut self, message: &str) {
        for one in self.subscribers.iter_mut().flatten() {
            if !one.wants(message) {
            } else if one.queue.len() == 2 * MARK {
                // S4
                self.full += 1;
            } else {
                self.sent += 1;
                one.queue.push_back(message.to_owned());
            }
        }
    }

    /// The topics that somebody has, and nobody else any more.
    fn goes(&mut self, n: usize) -> Vec<&'static str> {
        let gone = self.subscribers[n].take().unwrap_or_default();
        let topics = gone.topics.into_keys();
        topics.filter(|topic| self.subscribed(topic) == 0).collect()
    }
}

async fn run<A, B>(
    operations: Vec<Operation>,
    ours: impl Fn() -> Builder<A>,
    theirs: impl Fn() -> Builder<B>,
    events: impl Fn(&Socket<A>) -> Option<Vec<String>>,
) where
    A: CanSend + CanPublish + HasOutbox,
    B: CanReceive + CanSubscribe + HasInbox,
{
    let [at, ..] = names();
    let publisher = || prompt(ours().send_hwm(MARK)).build();
    let mut socket = publisher();
    socket.bind(&at).await.unwrap();
    let mut peers: [Option<Socket<B>>; PEERS] = Default::default();
    let mut model = Model::default();
    for (number, operation) in operations.into_iter().enumerate() {
        match operation {
            Operation::Comes(n) if peers[n].is_none() => {
                let subscriber = prompt(theirs().recv_hwm(MARK)).build();
                subscriber.connect(&at).unwrap();
                peers[n] = Some(subscriber);
                model.subscribers[n] = Some(Subscriber::default());
            }
            Operation::Comes(_) => {}
            Operation::Goes(n) => {
                if let Some(gone) = peers[n].take() {
                    gone.close().await.unwrap();
                    let orphaned = model.goes(n);
                    let cancelled = orphaned.iter().map(|topic| format!("\0{topic}"));
                    model.events.extend(cancelled);
                }
            }
            Operation::Restarts => {
                socket.close().await.unwrap();
                socket = publisher();
                socket.bind(&at).await.unwrap();
                // S9: it is told of all subscriptions. What the old one sent stays readable.
                let mut there: Vec<_> = TOPICS.to_vec();
                there.retain(|topic| model.subscribed(topic) > 0);
                model.events = there.iter().map(|topic| format!("\x01{topic}")).collect();
                (model.sent, model.full) = (0, 0);
                settle().await;
                for (n, peer) in peers.iter().enumerate() {
                    drain(peer.as_ref(), model.subscribers[n].as_mut());
                }
            }
            Operation::Subscribe(n, topic) => {
                let Some(peer) = &peers[n] else { continue };
                peer.subscribe(topic).unwrap();
                model.subscribe(n, topic);
            }
            Operation::Unsubscribe(n, topic) => {
                let Some(peer) = &peers[n] else { continue };
                let outcome = peer.unsubscribe(topic);
                match model.unsubscribe(n, topic) {
                    true => outcome.unwrap(),
                    false => assert_eq!(outcome, Err(SubscribeError::NotSubscribed)),
                }
            }
            Operation::Publish(topic) => {
                let message = format!("{topic}:{number}");
                socket.try_send(message.clone()).unwrap();
                model.publish(&message);
            }
            Operation::Drain(n) => drain(peers[n].as_ref(), model.subscribers[n].as_mut()),
        }
        settle().await;
        if let Some(mut seen) = events(&socket) {
            // In no particular order where one operation has several.
            let mut expected: Vec<_> = std::mem::take(&mut model.events).into();
            seen.sort();
            expected.sort();
            assert_eq!(seen, expected);
        }
    }
    let stats = socket.stats();
    assert_eq!(stats.messages_sent, model.sent);
    assert_eq!(stats.dropped.full, model.full);
}

/// S10: what was queued is filtered again when it is received.
fn drain<B: CanReceive>(peer: Option<&Socket<B>>, subscriber: Option<&mut Subscriber>) {
    let (Some(peer), Some(subscriber)) = (peer, subscriber) else {
        return;
    };
    let queue = std::mem::take(&mut subscriber.queue);
    let mut expected = queue
        .into_iter()
        .filter(|message| subscriber.wants(message));
    while let Ok(message) = peer.try_recv() {
        assert_eq!(Some(text(&message)), expected.next());
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn s3_s4_s10_pub_and_sub() {
    check("s3_s4_s10_pub_and_sub", operation(), |operations| {
        run(operations, PubSocket::builder, SubSocket::builder, |_| None)
    });
}

#[test]
fn s6_xpub_and_xsub() {
    check("s6_xpub_and_xsub", operation(), |operations| {
        run(
            operations,
            XPubSocket::builder,
            XSubSocket::builder,
            |publisher| {
                let events = std::iter::from_fn(|| publisher.try_recv().ok());
                Some(events.map(|event| text(&event)).collect())
            },
        )
    });
}
