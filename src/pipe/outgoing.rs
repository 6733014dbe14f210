//! [`Outgoing`]: what a socket has to send, under one lock.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::outbox::{Queue, Share, Shared};
use super::{lock, there_is_later, wake_later};
use crate::message::Message;
use crate::sync::{Mutex, MutexGuard};

/// The queues towards all peers of a socket that are reached over streams, and the policy that chooses between them, under
/// one lock: a message on its way out takes no other.
///
/// A pipe knows its queue by its place, and not what chooses (`dyn Send`).
pub(crate) struct Outgoing<P: ?Sized = dyn Send> {
    /// The places of pipes that are gone. Under a lock of its own, since a pipe may be dropped under the other.
    free: Mutex<Vec<usize>>,
    sending: Mutex<Sending<P>>,
}

pub(crate) struct Sending<P: ?Sized> {
    pub queues: Queues,
    pub policy: P,
}

/// The queues of a socket, while its lock is held.
#[derive(Default)]
pub(crate) struct Queues {
    places: Vec<Queue>,
    /// Made when a publisher first has use for it.
    shared: Option<Box<Shared>>,
    woken: Woken,
    /// Since when each session that came back to look has found that its sender goes on in its loop.
    loops_since: Option<Instant>,
    /// For so long that the end of the loop may wait until one comes back.
    steady: bool,
}

/// The end of a loop that has gone on for so long may wait for a millisecond or two.
const STEADY: Duration = Duration::from_millis(16);

/// The sessions that are woken when the lock is released.
#[derive(Default)]
pub(super) struct Woken {
    /// At once.
    pub now: Vec<Waker>,
    /// When the task that sends lets go of its thread: until then, it may have more for them.
    pub later: Vec<Waker>,
}

impl Woken {
    #[inline]
    fn is_empty(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }

    /// Where there is no later, as on the main thread, the sessions of a `steady` loop are not woken: they come back by themselves.
    fn wake(self, steady: bool) {
        self.now.into_iter().for_each(Waker::wake);
        if !steady || there_is_later() {
            self.later.iter().for_each(wake_later);
        }
    }
}

impl<P> Outgoing<P> {
    pub fn new(policy: P) -> Self {
        Self {
            free: Mutex::default(),
            sending: Mutex::new(Sending {
                queues: Queues::default(),
                policy,
            }),
        }
    }
}

impl<P: ?Sized> Outgoing<P> {
    /// Acts under the lock.
    #[inline(always)]
    pub fn with<T>(&self, act: impl FnOnce(&mut Sending<P>) -> T) -> T {
        let mut sending = lock(&self.sending);
        let outcome = act(&mut sending);
        if !sending.queues.woken.is_empty() {
            let woken = std::mem::take(&mut sending.queues.woken);
            let steady = sending.queues.steady;
            drop(sending);
            woken.wake(steady);
        }
        outcome
    }
}

impl Queues {
    /// The queue at `place`, with all that is in it, and where to put the waker of its session.
    #[inline]
    pub(super) fn at(&mut self, place: &Place) -> (&mut Queue, &mut Woken) {
        if self.places[place.index].shares {
            self.part();
        }
        (&mut self.places[place.index], &mut self.woken)
    }

    /// Lets the queue at `place` share with others what is pushed once that is open. `None` if it cannot.
    pub(super) fn share(&mut self, place: &Place, parked: bool) -> Option<Share> {
        let shared = self.shared.get_or_insert_default();
        shared.join(&mut self.places, place.index, parked)
    }

    /// From now on, [`push_shared`](Self::push_shared) adds to all queues that share. `false` if there is none with room.
    pub fn open(&mut self) -> bool {
        let opened = self.shared.as_mut().is_some_and(|shared| shared.open());
        if !opened {
            self.part();
        }
        opened
    }

    /// Adds `message` to all queues that share. `None` if one has no room, or nothing is shared any more; `Some(true)` if
    /// [`write_next`](Self::write_next) is now to be called until nothing is left.
    #[inline]
    pub fn push_shared(&mut self, message: &Message) -> Option<bool> {
        self.shared.as_mut()?.push(message)
    }

    /// Writes what is shared to one of the peers. `false` if all have it.
    pub fn write_next(&mut self) -> bool {
        let shared = self.shared.as_mut();
        shared.is_some_and(|shared| shared.write_next(&mut self.places))
    }

    /// Puts into each queue what it shared, and ends the sharing.
    pub fn part(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.part(&mut self.places);
        }
    }

    /// The same by a session; those that wait for a next message to be told of it need not any more.
    pub fn part_and_wake(&mut self) {
        self.part();
        self.woken.now.append(&mut self.woken.later);
    }
}

/// Where the queue of a pipe is; free again when this is dropped.
pub(super) struct Place {
    outgoing: Arc<Outgoing>,
    index: usize,
}

impl Place {
    /// Gives `queue` a place.
    pub fn of(queue: Queue, outgoing: &Arc<Outgoing>) -> Self {
        let queues = &mut lock(&outgoing.sending).queues;
        let free = lock(&outgoing.free).pop();
        let index = match free {
            Some(index) => {
                if queues.places[index].shares {
                    queues.part();
                }
                queues.places[index] = queue;
                index
            }
            None => {
                if queues.places.is_empty() {
                    // Many a socket has one peer; a vector would begin with room for four.
                    queues.places.reserve_exact(1);
                }
                queues.places.push(queue);
                queues.places.len() - 1
            }
        };
        Self {
            outgoing: outgoing.clone(),
            index,
        }
    }

    /// Locks all queues of the socket, and shows this one.
    pub fn lock(&self) -> PlaceGuard<'_> {
        let mut guard = self.peek();
        if guard.shares {
            guard.sending.queues.part();
        }
        guard
    }

    /// The same without what it shares with others.
    pub fn peek(&self) -> PlaceGuard<'_> {
        PlaceGuard {
            sending: lock(&self.outgoing.sending),
            index: self.index,
        }
    }

    /// Acts on all queues of the socket under their lock.
    pub fn with<T>(&self, act: impl FnOnce(&mut Queues) -> T) -> T {
        self.outgoing.with(|sending| act(&mut sending.queues))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.outgoing.free).push(self.index);
    }
}

/// One queue, under the lock of all.
pub(super) struct PlaceGuard<'a> {
    sending: MutexGuard<'a, Sending<dyn Send>>,
    index: usize,
}

impl PlaceGuard<'_> {
    /// How many messages it shares with others, and does not hold yet. None: it does not share.
    pub fn shared(&self) -> Option<usize> {
        let shared = self.sending.queues.shared.as_ref();
        shared
            .filter(|_| self.shares)
            .map(|shared| shared.waiting())
    }

    /// A session has found, `now`, that its sender goes on in its loop, or that something waited in vain.
    pub fn tended(&mut self, now: Option<Instant>) {
        let queues = &mut self.sending.queues;
        queues.loops_since = now.and(queues.loops_since).or(now);
        let steady = now.zip(queues.loops_since);
        queues.steady = steady.is_some_and(|(now, since)| now.duration_since(since) >= STEADY);
    }

    /// Wakes `session` after the next message, when the task that sends that lets go of its thread.
    pub fn wake_later(&mut self, session: Waker) {
        self.sending.queues.woken.later.push(session);
    }
}

impl Deref for PlaceGuard<'_> {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.sending.queues.places[self.index]
    }
}

impl DerefMut for PlaceGuard<'_> {
    fn deref_mut(&mut self) -> &mut Queue {
        &mut self.sending.queues.places[self.index]
    }
}

#[cfg(test)]
mod tests {
    use crate::pipe::tests::{config, marks};
    use crate::pipe::{Claim, Pipe};

    #[test]
    fn the_place_of_a_pipe_that_is_gone_is_used_again_with_nothing_in_it() {
        let config = config(marks(9), marks(9));
        let pipe = || Pipe::wire(&config, false);
        let pipes = [pipe(), pipe(), pipe()];
        for (index, pipe) in pipes.iter().enumerate() {
            for _ in 0..=index {
                pipe.outbox.push(&"message".into(), Claim::Turn);
            }
        }
        let [one, two, three] = pipes;
        drop(two);
        let (new, last) = (pipe(), pipe());
        let waiting = [&one, &new, &three, &last].map(|pipe| pipe.outbox.waiting());
        assert_eq!(waiting, [1, 0, 3, 0]);
        new.outbox.push(&"message".into(), Claim::Turn);
        assert_eq!((one.outbox.waiting(), three.outbox.waiting()), (1, 3));
        let places = config.outgoing.with(|sending| sending.queues.places.len());
        assert_eq!(places, 4);
    }
}
