//! What stands in for `tokio::sync::Notify`, by what its documentation promises, over the mutex of the program that mounts it.
//!
//! At most one permit is kept. Of those who wait, the first is told first. Who was told alone and goes before noticing passes that on.
//! Telling all reaches everyone whose future exists, and leaves no permit.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, MutexGuard};

pub struct Notify {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    permit: bool,
    /// How often all were told.
    rounds: usize,
    next: usize,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    number: usize,
    waker: Option<Waker>,
    told: Option<Told>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Alone,
    WithAll,
}

/// One who waits, from its creation on.
pub struct Notified<'a> {
    notify: &'a Notify,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Not yet in the queue; all had been told so often then.
    Outside(usize),
    /// In the queue, under this number.
    Queued(usize),
    Done,
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl Notify {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
        }
    }

    pub fn notified(&self) -> Notified<'_> {
        let stage = Stage::Outside(self.lock().rounds);
        Notified {
            notify: self,
            stage,
        }
    }

    pub fn notify_one(&self) {
        let woken = self.lock().tell_one();
        woken.into_iter().for_each(Waker::wake);
    }

    pub fn notify_waiters(&self) {
        let mut state = self.lock();
        state.rounds += 1;
        let mut woken = Vec::new();
        for waiting in state
            .waiting
            .iter_mut()
            .filter(|there| there.told.is_none())
        {
            waiting.told = Some(Told::WithAll);
            woken.extend(waiting.waker.take());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells the first who was not told, or keeps a permit.
    fn tell_one(&mut self) -> Option<Waker> {
        let first = self.waiting.iter_mut().find(|there| there.told.is_none());
        let Some(first) = first else {
            self.permit = true;
            return None;
        };
        first.told = Some(Told::Alone);
        first.waker.take()
    }

    fn position(&self, number: usize) -> Option<usize> {
        self.waiting.iter().position(|there| there.number == number)
    }
}

impl Notified<'_> {
    /// Queues it without waiting. `true` if it is told already.
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        self.step(None)
    }

    fn step(&mut self, waker: Option<&Waker>) -> bool {
        let mut state = self.notify.lock();
        match self.stage {
            Stage::Done => return true,
            Stage::Outside(rounds) => {
                // What was told to all leaves the permit for another.
                if rounds != state.rounds || std::mem::take(&mut state.permit) {
                    self.stage = Stage::Done;
                    return true;
                }
                let number = state.next;
                state.next += 1;
                state.waiting.push_back(Waiting {
                    number,
                    waker: waker.cloned(),
                    told: None,
                });
                self.stage = Stage::Queued(number);
            }
            Stage::Queued(number) => {
                let index = state.position(number).unwrap();
                if state.waiting[index].told.is_some() {
                    state.waiting.remove(index);
                    self.stage = Stage::Done;
                    return true;
                }
                if waker.is_some() {
                    state.waiting[index].waker = waker.cloned();
                }
            }
        }
        false
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.step(Some(cx.waker())) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Stage::Queued(number) = self.stage else {
            return;
        };
        let mut state = self.notify.lock();
        let index = state.position(number).unwrap();
        let gone = state.waiting.remove(index).unwrap();
        let woken = match gone.told {
            Some(Told::Alone) => state.tell_one(),
            Some(Told::WithAll) | None => None,
        };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}
