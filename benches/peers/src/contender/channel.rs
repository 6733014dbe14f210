//! The floor within a process, where there is no wire: a tokio channel with room for as many messages as a mark allows.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Bound, Contender, Play, only, perform, rest};
use crate::cell::Seat;
use crate::tally::{Fault, Letters, Tally, Trips};

/// Both sides, which are in one process.
pub struct Channel {
    pub runtime: Runtime,
    pub seat: Seat,
    /// The end of the side that connects, until it does.
    pub far: Mutex<Option<End>>,
}

/// One end of a channel each way.
pub struct End {
    out: Sender<Bytes>,
    incoming: Receiver<Bytes>,
}

impl Contender for Channel {
    fn push(&self, _at: &str, letters: Vec<Letters>) -> Play {
        let (end, mut letters) = (self.connect()?, only(letters)?);
        let role = async move {
            while let Some(letter) = letters.next() {
                end.out.send(Bytes::copy_from_slice(letter)).await?;
            }
            rest(end).await
        };
        perform(&self.runtime, self.seat, [role])
    }

    fn pull(&self, at: &str, bound: Bound, tallies: Vec<Tally>) -> Play {
        let (mut end, mut tally) = (self.bind(), only(tallies)?);
        bound.at(at);
        let role = async move {
            loop {
                tally.take(&end.incoming.recv().await.ok_or(GONE)?)?;
            }
        };
        perform(&self.runtime, self.seat, [role])
    }

    fn request(&self, _at: &str, mut letters: Letters, mut trips: Trips) -> Play {
        let mut end = self.connect()?;
        let role = async move {
            while let Some(letter) = letters.next() {
                let start = Instant::now();
                end.out.send(Bytes::copy_from_slice(letter)).await?;
                trips.home(start, &end.incoming.recv().await.ok_or(GONE)?)?;
            }
            rest(end).await
        };
        perform(&self.runtime, self.seat, [role])
    }

    fn reply(&self, at: &str, bound: Bound, mut tally: Tally, mut letters: Letters) -> Play {
        let mut end = self.bind();
        bound.at(at);
        let role = async move {
            loop {
                let number = tally.take(&end.incoming.recv().await.ok_or(GONE)?)?;
                let answer = Bytes::copy_from_slice(letters.numbered(number));
                end.out.send(answer).await?;
            }
        };
        perform(&self.runtime, self.seat, [role])
    }
}

impl Channel {
    fn bind(&self) -> End {
        let [(near, from_near), (far, from_far)] = [channel(MARK), channel(MARK)];
        *self.far.lock().unwrap_or_else(PoisonError::into_inner) = Some(End {
            out: far,
            incoming: from_near,
        });
        End {
            out: near,
            incoming: from_far,
        }
    }

    fn connect(&self) -> Result<End, Fault> {
        let mut far = self.far.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(far.take().ok_or("nothing is bound")?)
    }
}

const MARK: usize = 1000;
const GONE: &str = "the other side has gone";
