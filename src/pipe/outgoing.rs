//! [`Outgoing`]: what a socket has to send, under one lock.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;

use super::outbox::Queue;
use super::{lock, wake_later};
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
    woken: Woken,
}

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

    fn wake(self) {
        self.now.into_iter().for_each(Waker::wake);
        self.later.iter().for_each(wake_later);
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
    #[inline]
    pub fn with<T>(&self, act: impl FnOnce(&mut Sending<P>) -> T) -> T {
        let mut sending = lock(&self.sending);
        let outcome = act(&mut sending);
        if !sending.queues.woken.is_empty() {
            let woken = std::mem::take(&mut sending.queues.woken);
            drop(sending);
            woken.wake();
        }
        outcome
    }
}

impl Queues {
    /// The queue at `place`, and where to put the waker of its session.
    #[inline]
    pub(super) fn at(&mut self, place: &Place) -> (&mut Queue, &mut Woken) {
        (&mut self.places[place.index], &mut self.woken)
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
        let places = &mut lock(&outgoing.sending).queues.places;
        let free = lock(&outgoing.free).pop();
        let index = match free {
            Some(index) => {
                places[index] = queue;
                index
            }
            None => {
                if places.is_empty() {
                    // Many a socket has one peer; a vector would begin with room for four.
                    places.reserve_exact(1);
                }
                places.push(queue);
                places.len() - 1
            }
        };
        Self {
            outgoing: outgoing.clone(),
            index,
        }
    }

    /// Locks all queues of the socket, and shows this one.
    pub fn lock(&self) -> PlaceGuard<'_> {
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
