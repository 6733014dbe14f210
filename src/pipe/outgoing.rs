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
}

/// The sessions that are woken when the lock is released, and whether some need not be.
#[derive(Default)]
pub(super) struct Woken {
    /// At once.
    pub now: Vec<Waker>,
    /// When the task that sends lets go of its thread: until then, it may have more for them.
    pub later: Vec<Waker>,
    /// Made when one is first seen.
    loops: Option<Box<Loops>>,
}

/// For how long a sender of a socket has been in a loop, as its sessions see it.
///
/// Not to wake a session for each batch saves as much time as the loop takes; that the end of the loop then waits costs some.
#[derive(Default)]
pub(super) struct Loops {
    /// When it was last seen to go on.
    seen: Option<Instant>,
    /// Without what its ends have waited.
    lasted: Duration,
    /// When one had last waited.
    waited: Option<Instant>,
}

/// A session that leaves a loop to its sender looks as often: what is longer may have been a pause.
const LOOK: Duration = Duration::from_millis(1);
/// A loop that is not seen to go on for so long is over.
const PAUSE: Duration = Duration::from_millis(10);
/// One that has gone on for so long is long: its end may wait until a session comes back by itself,
const LONG: Duration = Duration::from_millis(16);
/// which may be so late.
const LATE: Duration = Duration::from_millis(2);

impl Loops {
    /// A loop goes on `now`.
    pub fn go_on(&mut self, now: Instant) {
        let since = self.seen.map(|seen| now.duration_since(seen));
        self.lasted = match since.filter(|since| *since <= PAUSE) {
            Some(since) => (2 * LONG).min(self.lasted + since.min(LOOK)),
            None => Duration::ZERO,
        };
        self.seen = self.seen.max(Some(now));
    }

    /// What a session had left to its sender has waited until `now`.
    pub fn waited(&mut self, now: Instant) {
        let within = |time: Option<Instant>, limit| {
            time.is_some_and(|time| now.duration_since(time) <= limit)
        };
        if !within(self.seen, PAUSE) {
            self.lasted = Duration::ZERO;
        } else if !within(self.waited, LATE) {
            // What other sessions find meanwhile is the same end.
            self.lasted = self.lasted.saturating_sub(LATE);
            self.waited = Some(now);
        }
    }

    fn are_long(&self) -> bool {
        self.lasted >= LONG
    }
}

impl Woken {
    #[inline]
    fn is_empty(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }

    /// Whether nobody need be woken at the end of a loop: a long one, whose sender may not tell when it lets go of its thread.
    pub fn waits_for_nobody(&self) -> bool {
        self.loops.as_ref().is_some_and(|loops| loops.are_long()) && !there_is_later()
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
        let woken = &mut sending.queues.woken;
        if !woken.is_empty() {
            let now = std::mem::take(&mut woken.now);
            let later = std::mem::take(&mut woken.later);
            let left = woken.waits_for_nobody();
            drop(sending);
            now.into_iter().for_each(Waker::wake);
            if !left {
                // Else they share what is behind a long loop, and come back by themselves.
                later.iter().for_each(wake_later);
            }
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
        shared.is_some_and(|shared| shared.write_next(&mut self.places, &mut self.woken))
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

    /// What is known of the loops of the socket's senders.
    pub fn loops(&mut self) -> &mut Loops {
        self.sending.queues.woken.loops.get_or_insert_default()
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
    use super::*;
    use crate::pipe::tests::{config, marks};
    use crate::pipe::{Claim, Pipe};

    fn after(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_loop_is_long_after_16_ms_less_what_its_ends_have_waited() {
        let (mut loops, begin) = (Loops::default(), Instant::now());
        let mut now = begin;
        let mut go_on = |loops: &mut Loops, looks: u32, every: Duration| {
            for _ in 0..looks {
                now += every;
                loops.go_on(now);
            }
            now
        };
        go_on(&mut loops, 16, after(1));
        assert!(!loops.are_long());
        let now = go_on(&mut loops, 1, after(1));
        assert!(loops.are_long());
        // Two sessions find the same.
        loops.waited(now);
        loops.waited(now);
        assert!(!loops.are_long());
        // What is longer than between two looks may have been a pause, in part.
        go_on(&mut loops, 1, after(10));
        assert!(!loops.are_long());
        go_on(&mut loops, 1, after(2));
        assert!(loops.are_long());
        // It gains no more than twice as much as it takes.
        go_on(&mut loops, 100, after(1));
        let ends = (1..).take_while(|_| {
            let now = go_on(&mut loops, 1, after(3));
            loops.waited(now);
            loops.are_long()
        });
        assert_eq!(ends.count(), 15);
    }

    #[test]
    fn after_a_pause_a_loop_begins_anew() {
        let begin = Instant::now();
        for (now, still) in [(30, true), (31, false), (3_600_000, false)] {
            let mut loops = Loops::default();
            (0..=20).for_each(|now| loops.go_on(begin + after(now)));
            let mut waits = Loops { ..loops };
            loops.go_on(begin + after(now));
            assert_eq!(loops.are_long(), still, "{now}");
            waits.waited(begin + after(now));
            assert_eq!(waits.are_long(), still, "{now}");
        }
        // However often it comes.
        let mut loops = Loops::default();
        (0..100).for_each(|time| loops.go_on(begin + after(11 * time)));
        assert!(!loops.are_long());
    }

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
