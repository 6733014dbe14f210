//! DEALER and ROUTER: each is reached by its name, and each is heard in its turn.

use std::collections::VecDeque;

use jackstay::{DealerSocket, Identity, RouterSocket, TrySendError};
use proptest::prelude::*;

use crate::{MARK, PEERS, check, names, prompt, settle, text};

#[derive(Debug, Clone)]
enum Operation {
    Comes(usize),
    Goes(usize),
    SendTo(usize),
    /// So many messages in a row.
    Send(usize, usize),
    Drain(usize),
    DrainRouter,
}

fn operation() -> impl Strategy<Value = Operation> {
    let peer = || 0..PEERS;
    prop_oneof![
        3 => peer().prop_map(Operation::Comes),
        1 => peer().prop_map(Operation::Goes),
        6 => peer().prop_map(Operation::SendTo),
        5 => (peer(), 1..13_usize).prop_map(|(n, many)| Operation::Send(n, many)),
        2 => peer().prop_map(Operation::Drain),
        1 => Just(Operation::DrainRouter),
    ]
}

/// The mark each way, of both sides.
const ROOM: usize = 2 * MARK * 8;
/// A15: as many from one in a row, while others wait.
const TURN: usize = 8;

#[derive(Default)]
struct Model {
    there: [bool; PEERS],
    /// Of each connection that this dealer had.
    to_router: [Vec<VecDeque<String>>; PEERS],
    to_dealer: [VecDeque<String>; PEERS],
    sent: u64,
    unroutable: u64,
    full: u64,
}

impl Model {
    /// F8: the next message of one of the connections, in the order of each.
    fn take(&mut self, n: usize, message: &str) {
        let found = self.to_router[n]
            .iter_mut()
            .find(|queue| queue.front().is_some_and(|first| first == message));
        let Some(queue) = found else {
            panic!("{message} is not the next of {n}: {:?}", self.to_router[n]);
        };
        queue.pop_front();
    }

    fn waiting(&self, n: usize) -> usize {
        self.to_router[n].iter().map(VecDeque::len).sum()
    }
}

fn name(n: usize) -> Identity {
    format!("dealer {n}")
        .as_str()
        .try_into()
        .expect("it is short")
}

async fn run(operations: Vec<Operation>) {
    let [at, ..] = names();
    let router = prompt(RouterSocket::builder());
    let router = router.send_hwm(ROOM / 2).recv_hwm(ROOM / 2).build();
    router.bind(&at).await.unwrap();
    let mut dealers: [Option<DealerSocket>; PEERS] = Default::default();
    let mut model = Model::default();
    for (number, operation) in operations.into_iter().enumerate() {
        let message = format!("message {number}");
        match operation {
            Operation::Comes(n) if !model.there[n] => {
                let dealer = prompt(DealerSocket::builder()).identity(name(n)).unwrap();
                let dealer = dealer.send_hwm(ROOM / 2).recv_hwm(ROOM / 2).build();
                dealer.connect(&at).unwrap();
                dealers[n] = Some(dealer);
                model.there[n] = true;
                model.to_router[n].push(VecDeque::new());
            }
            Operation::Comes(_) => {}
            Operation::Goes(n) => {
                if let Some(gone) = dealers[n].take() {
                    gone.close().await.unwrap();
                    model.there[n] = false;
                    // A5: what the router has received stays readable.
                    model.to_dealer[n].clear();
                }
            }
            Operation::SendTo(n) => {
                router.send_to(&name(n), message.clone()).await.unwrap();
                // R9
                if !model.there[n] {
                    model.unroutable += 1;
                } else if model.to_dealer[n].len() == ROOM {
                    model.full += 1;
                } else {
                    model.sent += 1;
                    model.to_dealer[n].push_back(message);
                }
            }
            Operation::Send(n, many) => {
                let Some(dealer) = &dealers[n] else { continue };
                let queue = model.to_router[n].last_mut().expect("it is there");
                for part in 0..many {
                    let message = format!("{message} {part}");
                    match dealer.try_send(message.clone()) {
                        Ok(()) if queue.len() < ROOM => queue.push_back(message),
                        Err(TrySendError::Full(_)) if queue.len() == ROOM => {}
                        outcome => panic!("{outcome:?} behind {} messages", queue.len()),
                    }
                }
            }
            Operation::Drain(n) => {
                let Some(dealer) = &dealers[n] else { continue };
                while let Ok(message) = dealer.try_recv() {
                    assert_eq!(Some(text(&message)), model.to_dealer[n].pop_front());
                }
                assert!(model.to_dealer[n].is_empty());
            }
            Operation::DrainRouter => {
                let mut row = (0, usize::MAX);
                while let Ok((peer, message)) = router.try_recv_from() {
                    let n = (0..PEERS).find(|n| name(*n) == peer).expect("a dealer");
                    model.take(n, &text(&message));
                    row = if row.1 == n { (row.0 + 1, n) } else { (1, n) };
                    let others = (0..PEERS).filter(|other| *other != n);
                    let others = others.map(|other| model.waiting(other)).sum::<usize>();
                    // Who had several connections has the turn of each.
                    let turn = TURN * model.to_router[n].len();
                    assert!(row.0 <= turn || others == 0, "{} in a row of {n}", row.0);
                }
                assert_eq!((0..PEERS).map(|n| model.waiting(n)).sum::<usize>(), 0);
                for queues in &mut model.to_router {
                    queues.drain(..queues.len().saturating_sub(1));
                }
            }
        }
        settle().await;
        let there = model.there.iter().filter(|there| **there).count();
        assert_eq!(router.peers().len(), there);
    }
    let stats = router.stats();
    assert_eq!(stats.messages_sent, model.sent);
    assert_eq!(stats.dropped.unroutable, model.unroutable);
    assert_eq!(stats.dropped.full, model.full);
    let waiting = (0..PEERS).map(|n| model.waiting(n)).sum::<usize>();
    assert_eq!(stats.queued_in, waiting);
}

#[test]
fn r9_a15_dealer_and_router() {
    check("r9_a15_dealer_and_router", operation(), run);
}
