//! PUSH and PULL, DEALER and DEALER, PAIR and PAIR: messages are dealt in turn to the peers that have room.

use std::collections::VecDeque;

use jackstay::pattern::{CanBalance, CanReceive, CanSend, HasInbox, HasOutbox};
use jackstay::{
    Builder, DealerSocket, DisconnectError, PairSocket, PullSocket, PushSocket, Socket,
    TrySendError,
};
use proptest::prelude::*;

use crate::{MARK, PEERS, check, names, prompt, settle, text};

#[derive(Debug, Clone)]
enum Operation {
    Connect(usize),
    Disconnect(usize),
    Comes(usize),
    Goes(usize),
    Send,
    Drain(usize),
}

fn operation(peers: usize) -> impl Strategy<Value = Operation> {
    let peer = 0..peers;
    prop_oneof![
        2 => peer.clone().prop_map(Operation::Connect),
        1 => peer.clone().prop_map(Operation::Disconnect),
        2 => peer.clone().prop_map(Operation::Comes),
        1 => peer.clone().prop_map(Operation::Goes),
        8 => Just(Operation::Send),
        2 => peer.prop_map(Operation::Drain),
    ]
}

/// What one socket and its peers are to do.
#[derive(Default)]
struct Model {
    connected: [bool; PEERS],
    there: [bool; PEERS],
    /// A16: who has room, in the order of their turns.
    ring: VecDeque<usize>,
    /// What is dealt to the peer at each name and not read, the last connection's at the end. A3: it begins with `connect`.
    queues: [Vec<VecDeque<String>>; PEERS],
    sent: u64,
    lost: u64,
}

impl Model {
    /// A7: without the other side, only one mark is there.
    fn mark(&self, peer: usize) -> usize {
        if self.there[peer] { 2 * MARK } else { MARK }
    }

    fn has_room(&self, peer: usize) -> bool {
        let queue = self.queues[peer].last();
        self.connected[peer] && queue.is_some_and(|queue| queue.len() < self.mark(peer))
    }

    /// A fresh queue for this peer, whose turn comes last.
    fn begin(&mut self, peer: usize) {
        self.connected[peer] = true;
        self.queues[peer].push(VecDeque::new());
        self.ring.push_back(peer);
    }

    fn end(&mut self, peer: usize) {
        self.connected[peer] = false;
        self.ring.retain(|there| *there != peer);
    }

    /// Who gets the next message. None if it would have to wait.
    fn send(&mut self, message: &str) -> Option<usize> {
        let peer = self.ring.pop_front()?;
        self.queues[peer].last_mut()?.push_back(message.to_owned());
        self.sent += 1;
        if self.has_room(peer) {
            self.ring.push_back(peer);
        }
        Some(peer)
    }

    /// Whoever has room again announces itself, and its turn comes last.
    fn returns(&mut self, peer: usize) {
        if self.has_room(peer) && !self.ring.contains(&peer) {
            self.ring.push_back(peer);
        }
    }

    /// F8: the next message of one of the connections that the peer had, in the order of each.
    fn take(&mut self, peer: usize, message: &str) {
        let found = self.queues[peer]
            .iter_mut()
            .find(|queue| queue.front().is_some_and(|first| first == message));
        let Some(queue) = found else {
            panic!(
                "{message} is not the next for {peer}: {:?}",
                self.queues[peer]
            );
        };
        queue.pop_front();
    }

    fn unread(&self, peer: usize) -> usize {
        self.queues[peer].iter().map(VecDeque::len).sum()
    }
}

async fn run<A, B>(
    operations: Vec<Operation>,
    ours: impl Fn() -> Builder<A>,
    theirs: impl Fn() -> Builder<B>,
) where
    A: CanSend + CanBalance + HasOutbox,
    B: CanReceive + HasInbox,
{
    let names = names();
    let socket = prompt(ours().send_hwm(MARK)).build();
    let peer = || prompt(theirs().recv_hwm(MARK)).build();
    let mut peers: [Option<Socket<B>>; PEERS] = Default::default();
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Connect(n) if !model.connected[n] => {
                socket.connect(&names[n]).unwrap();
                model.begin(n);
            }
            Operation::Disconnect(n) if model.connected[n] => {
                let waiting = model.queues[n].last().map_or(0, VecDeque::len);
                let outcome = socket.disconnect(&names[n]).await;
                if model.there[n] || waiting == 0 {
                    outcome.unwrap();
                } else {
                    // A11: nobody came within the linger time.
                    let Err(DisconnectError::Undelivered(left)) = outcome else {
                        panic!("{outcome:?}");
                    };
                    assert_eq!(left.messages(), waiting);
                    model.lost += u64::try_from(waiting).unwrap();
                    model.queues[n].pop();
                }
                model.end(n);
            }
            Operation::Disconnect(n) => {
                let outcome = socket.disconnect(&names[n]).await;
                assert!(matches!(outcome, Err(DisconnectError::Unknown(_))));
            }
            Operation::Comes(n) if !model.there[n] => {
                let fresh = peer();
                fresh.bind(&names[n]).await.unwrap();
                peers[n] = Some(fresh);
                model.there[n] = true;
                settle().await;
                model.returns(n);
            }
            Operation::Goes(n) => {
                if let Some(gone) = peers[n].take() {
                    gone.close().await.unwrap();
                    model.there[n] = false;
                    model.queues[n].clear();
                    if model.connected[n] {
                        // A2: its name is still wanted, for whoever binds it next.
                        model.end(n);
                        model.begin(n);
                    }
                }
            }
            Operation::Send => {
                let message = format!("message {}", model.sent);
                match (model.send(&message), socket.try_send(message.clone())) {
                    (Some(_), Ok(())) => {}
                    (None, Err(TrySendError::Full(back))) => assert_eq!(text(&back), message),
                    (expected, outcome) => panic!("{outcome:?}, where {expected:?} is the next"),
                }
            }
            Operation::Drain(n) => {
                if let Some(peer) = &peers[n] {
                    while let Ok(message) = peer.try_recv() {
                        model.take(n, &text(&message));
                    }
                    assert_eq!(model.unread(n), 0, "not all for {n} is there");
                    model.returns(n);
                }
            }
            Operation::Connect(_) | Operation::Comes(_) => {}
        }
        settle().await;
        let connected = (0..PEERS).filter(|n| model.connected[*n] && model.there[*n]);
        assert_eq!(socket.peers().len(), connected.count());
    }
    let stats = socket.stats();
    assert_eq!(stats.messages_sent, model.sent);
    assert_eq!(stats.dropped.total(), model.lost);
    for (n, peer) in peers.iter().enumerate() {
        let waiting = peer.as_ref().map_or(0, |peer| peer.stats().queued_in);
        assert_eq!(waiting, if model.there[n] { model.unread(n) } else { 0 });
    }
}

#[test]
fn a16_push_and_pull() {
    check("a16_push_and_pull", operation(PEERS), |operations| {
        run(operations, PushSocket::builder, PullSocket::builder)
    });
}

#[test]
fn r8_dealer_and_dealer() {
    check("r8_dealer_and_dealer", operation(PEERS), |operations| {
        run(operations, DealerSocket::builder, DealerSocket::builder)
    });
}

#[test]
fn l3_pair_and_pair() {
    check("l3_pair_and_pair", operation(1), |operations| {
        run(operations, PairSocket::builder, PairSocket::builder)
    });
}
