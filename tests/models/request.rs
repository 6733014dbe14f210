//! REQ and REP: requests go to those who are there in turn, and each reply to whom it belongs.

use std::collections::VecDeque;
use std::time::Duration;

use jackstay::{RepSocket, ReqSocket, RequestError};
use proptest::prelude::*;
use tokio::time::timeout;

use crate::{PEERS, check, names, prompt, settle, text};

#[derive(Debug, Clone)]
enum Operation {
    Comes(usize),
    Goes(usize),
    Ask(Answer),
}

/// What the asked does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Replies,
    Goes,
    /// It takes longer than the requester waits.
    Late,
}

fn operation() -> impl Strategy<Value = Operation> {
    let answer = prop_oneof![
        6 => Just(Answer::Replies),
        1 => Just(Answer::Goes),
        1 => Just(Answer::Late),
    ];
    prop_oneof![
        2 => (0..PEERS).prop_map(Operation::Comes),
        1 => (0..PEERS).prop_map(Operation::Goes),
        6 => answer.prop_map(Operation::Ask),
    ]
}

async fn run(operations: Vec<Operation>) {
    let names = names();
    let mut req = prompt(ReqSocket::builder()).immediate(true).build();
    let mut reps: [Option<RepSocket>; PEERS] = Default::default();
    // A16: whose turn is when, of those who are there (`immediate`).
    let mut ring = VecDeque::new();
    for name in &names {
        req.connect(name).unwrap();
    }
    for (number, operation) in operations.into_iter().enumerate() {
        match operation {
            Operation::Comes(n) if reps[n].is_none() => {
                let rep = RepSocket::new();
                rep.bind(&names[n]).await.unwrap();
                reps[n] = Some(rep);
                ring.push_back(n);
            }
            Operation::Comes(_) => {}
            Operation::Goes(n) => {
                if let Some(gone) = reps[n].take() {
                    gone.close().await.unwrap();
                    ring.retain(|there| *there != n);
                }
            }
            Operation::Ask(answer) => {
                let question = format!("question {number}");
                let asking = timeout(Duration::from_secs(60), req.request(question.clone()));
                let Some(asked) = ring.pop_front() else {
                    // R1: it waits while nobody is there, and an abandoned request leaves nothing behind.
                    asking.await.expect_err("nobody is there");
                    continue;
                };
                let rep = reps[asked].as_ref().expect("it is there");
                let mut late = None;
                let answering = async {
                    let request = rep.accept().await.unwrap();
                    assert_eq!(text(request.message()), question);
                    match answer {
                        Answer::Replies => request.reply(format!("re {question}")).await.unwrap(),
                        Answer::Goes => rep.close().await.unwrap(),
                        Answer::Late => late = Some(request),
                    }
                };
                let (outcome, ()) = tokio::join!(asking, answering);
                match answer {
                    Answer::Replies => {
                        assert_eq!(text(&outcome.unwrap().unwrap()), format!("re {question}"));
                        ring.push_back(asked);
                    }
                    Answer::Goes => {
                        // R5
                        let lost = outcome.unwrap().unwrap_err();
                        assert_eq!(lost, RequestError::PeerLost(question.into()));
                        reps[asked] = None;
                    }
                    Answer::Late => {
                        outcome.expect_err("it is late");
                        settle().await;
                        // R2: it never shows up, and nobody minds.
                        let request = late.expect("it was asked");
                        request.reply("too late").await.unwrap();
                        ring.push_back(asked);
                    }
                }
                for (n, rep) in reps.iter().enumerate() {
                    let more = rep.as_ref().map(RepSocket::try_accept);
                    assert!(!matches!(more, Some(Ok(_))), "{n} was asked, too");
                }
            }
        }
        settle().await;
    }
    assert_eq!(req.stats().dropped.malformed, 0);
}

#[test]
fn r1_r2_r5_req_and_rep() {
    check("r1_r2_r5_req_and_rep", operation(), run);
}
