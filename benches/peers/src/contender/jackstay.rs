//! This project, as its README shows it: sockets called from tokio tasks, a message a call.

use std::time::Instant;

use jackstay::{
    Message, OnFull, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, SubSocket,
};
use tokio::runtime::Runtime;

use super::{Bound, Contender, Entry, Play, crowd, locked, runtime, seated};
use crate::cell::Seat;
use crate::tally::{Letters, Tally, Trips};

pub const ENTRY: Entry = Entry {
    name: "jackstay",
    version: || locked("jackstay"),
    offers: |_| true,
    make: |_| Ok(Box::new(Jackstay(runtime()?))),
};

struct Jackstay(Runtime);

impl Contender for Jackstay {
    fn push(&self, at: &str, mut letters: Letters) -> Play {
        let at = at.to_owned();
        seated(&self.0, Seat::Task, async move {
            let socket = PushSocket::new();
            socket.connect(at)?;
            loop {
                socket
                    .send(Message::copy_from_slice(letters.next()))
                    .await?;
            }
        })
    }

    fn pull(&self, at: &str, bound: Bound, mut tally: Tally) -> Play {
        let at = at.to_owned();
        seated(&self.0, Seat::Task, async move {
            let socket = PullSocket::new();
            bound.at(socket.bind(at).await?);
            loop {
                tally.take(socket.recv().await?.first())?;
            }
        })
    }

    fn request(&self, at: &str, seat: Seat, mut letters: Letters, mut trips: Trips) -> Play {
        let at = at.to_owned();
        seated(&self.0, seat, async move {
            let mut socket = ReqSocket::new();
            socket.connect(at)?;
            loop {
                let start = Instant::now();
                let answer = socket
                    .request(Message::copy_from_slice(letters.next()))
                    .await?;
                trips.home(start, answer.first())?;
            }
        })
    }

    fn reply(
        &self,
        at: &str,
        seat: Seat,
        bound: Bound,
        mut tally: Tally,
        mut letters: Letters,
    ) -> Play {
        let at = at.to_owned();
        seated(&self.0, seat, async move {
            let socket = RepSocket::new();
            bound.at(socket.bind(at).await?);
            loop {
                let request = socket.accept().await?;
                let number = tally.take(request.first())?;
                request
                    .reply(Message::copy_from_slice(letters.numbered(number)))
                    .await?;
            }
        })
    }

    fn publish(&self, at: &str, bound: Bound, mut letters: Letters, subscribers: usize) -> Play {
        let at = at.to_owned();
        seated(&self.0, Seat::Task, async move {
            let socket = PubSocket::builder().on_full(OnFull::Wait).build();
            bound.at(socket.bind(at).await?);
            socket.wait_for_subscribers(subscribers).await.unwrap();
            loop {
                socket
                    .send(Message::copy_from_slice(letters.next()))
                    .await?;
            }
        })
    }

    fn subscribe(&self, at: &str, tallies: Vec<Tally>) -> Play {
        let one = |mut tally: Tally| {
            let at = at.to_owned();
            async move {
                let socket = SubSocket::new();
                socket.subscribe("")?;
                socket.connect(at)?;
                loop {
                    tally.take(socket.recv().await?.first())?;
                }
            }
        };
        crowd(&self.0, tallies.into_iter().map(one))
    }
}
