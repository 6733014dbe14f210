//! What the session does with its [`Outbox`].

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;

use super::queue::{Life, Link};
use super::wire::{Gate, Look, Tempo};
use super::{Home, Outbox, wake_each};
use crate::pipe::outgoing::Queues;
use crate::pipe::{Load, Pipe, Writing};
use crate::sync::atomic::Ordering;
use crate::transport::Stream;

/// What the session is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// Write what it was given.
    Write,
    /// Ask again when other tasks have had their turn.
    Look,
    /// Wait: what comes is left to its sender. [`cool`](Outbox::cool) ends that after a while.
    Leave,
    /// Close the connection: everything is written.
    Drained,
    /// Close the connection now.
    Ended,
}

impl Outbox {
    /// Hands the session everything that waits: commands first, then the messages, swapped into its empty buffer.
    ///
    /// `idle` is the stream that a sender may write to while the session has nothing in hand; none if what it writes has
    /// to be encrypted first, or only the session can write to it. `replies` are the session's own commands (PONG); they
    /// pass through here because nobody may write between the octets of a message that its sender has begun to write.
    pub fn poll_take(
        &self,
        pipe: &Arc<Pipe>,
        idle: Option<&Arc<Stream>>,
        cx: &mut Context<'_>,
        replies: &mut BytesMut,
        into: &mut Writing,
        now: Instant,
    ) -> Poll<Take> {
        debug_assert!(into.is_empty());
        let mut guard = self.peek();
        if guard.take_tended() {
            guard.loop_goes_on(now);
        }
        if guard.shared().is_some() {
            if replies.is_empty()
                && let Some(left) = guard.leave_shared(idle, cx)
            {
                return Poll::Ready(left);
            }
            drop(guard);
            self.part();
            guard = self.lock();
        }
        let state = &mut *guard;
        let Link::Wire(wire) = &mut state.link else {
            return Poll::Ready(Take::Ended);
        };
        let batch = std::mem::take(&mut wire.taken);
        if idle.is_some() {
            wire.tempo.wrote(batch, wire.loop_size);
        }
        if state.life == Life::Ended {
            return Poll::Ready(Take::Ended);
        }
        let commands = !wire.commands.is_empty() || !replies.is_empty();
        if !commands && state.life == Life::Open && !wire.queue.is_begun() {
            let look = wire.tempo.look(wire.queue.messages(), wire.queue.size());
            if look != Look::Take || wire.queue.is_empty() {
                wire.idle = idle.cloned();
                if look == Look::Again {
                    return Poll::Ready(Take::Look);
                }
                if wire.queue.is_empty() && wire.queue.is_roomy() && !into.is_roomy() {
                    // The session is who gives it back.
                    std::mem::swap(&mut wire.queue, into);
                }
                state.session = Some(cx.waker().clone());
                wire.quiet = false;
                self.signals.parked.store(true, Ordering::Release);
                return match look {
                    Look::Leave => Poll::Ready(Take::Leave),
                    Look::Again | Look::Take => Poll::Pending,
                };
            }
        }
        if !commands && wire.queue.is_empty() {
            return Poll::Ready(Take::Drained);
        }
        wire.idle = None;
        self.signals.parked.store(false, Ordering::Release);
        if !wire.queue.is_begun() && commands {
            into.push_framed(replies);
            replies.clear();
            into.push_framed(&wire.commands);
            wire.commands = Vec::new();
            return Poll::Ready(Take::Write);
        }
        std::mem::swap(&mut wire.queue, into);
        wire.taken = Load {
            messages: into.messages(),
            octets: into.size(),
        };
        self.signals
            .direct
            .store(wire.taken.messages <= 1, Ordering::Relaxed);
        let room = state.wanted_room();
        let ahead = state.caught_up();
        drop(guard);
        if let Some(writable) = room {
            writable.announce(pipe);
        }
        wake_each(ahead);
        Poll::Ready(Take::Write)
    }

    /// Ends the sharing that this queue takes part in. The sessions of the others have something to write, too.
    fn part(&self) {
        if let Home::Socket(place) = &self.home {
            place.with(Queues::part_and_wake);
        }
    }

    /// What a sender in a loop was to write has waited for a while, until `now`. `false` if it has written since the last time;
    /// otherwise the session takes what waits.
    pub fn cool(&self, now: Instant) -> bool {
        let mut guard = self.peek();
        if guard.take_tended() {
            guard.loop_goes_on(now);
            return false;
        }
        let mut waits = guard.shared().is_some_and(|shared| shared > 0);
        if let Link::Wire(wire) = &mut guard.link {
            waits |= !wire.queue.is_empty();
            wire.tempo = Tempo::Calm;
            self.signals.parked.store(false, Ordering::Release);
        }
        if waits {
            guard.loop_waited(now);
        }
        true
    }

    /// Nothing has been written for a while: gives back what room the queue has and does not use.
    pub fn shrink(&self) {
        if let Link::Wire(wire) = &mut self.peek().link {
            wire.queue.shrink();
        }
    }

    /// Octets that the session has written so far, modulo 2^64 or 2^32.
    pub fn written(&self) -> usize {
        self.signals.written.load(Ordering::Relaxed)
    }

    /// The session has written `n` octets.
    pub fn wrote(&self, n: usize) {
        let written = self.written().wrapping_add(n);
        self.signals.written.store(written, Ordering::Relaxed);
    }

    /// Something came from the peer: the next message is likely an answer, and may be written by its sender.
    pub fn heard(&self) {
        self.signals.direct.store(true, Ordering::Relaxed);
    }

    /// Whether nothing has changed for the session since it last found nothing to do. If something does from now on, the
    /// session is woken.
    pub fn is_parked(&self) -> bool {
        self.signals.parked.load(Ordering::Acquire)
    }

    /// How long the pipe goes on; `cx` is woken when that changes.
    pub fn life(&self, cx: &mut Context<'_>) -> Life {
        let mut state = self.peek();
        match &mut state.session {
            Some(session) => session.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.life
    }

    /// The connection is gone. The messages that it did not carry, `unsent` and the queued, stay in order (A4); the
    /// commands are made anew for the next connection.
    pub fn disconnected(&self, unsent: Writing) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Link::Wire(wire) = &mut state.link else {
            return;
        };
        wire.idle = None;
        self.signals.parked.store(false, Ordering::Release);
        wire.version = None;
        wire.taken = Load::default();
        wire.tempo = Tempo::Calm;
        (wire.tended, wire.quiet) = (false, false);
        wire.commands.clear();
        if wire.gate == Gate::Open {
            wire.gate = Gate::Shut;
        }
        let mut rest = unsent.into_unsent();
        if state.conflate && !wire.queue.is_empty() {
            state
                .dropped
                .count(rest.messages(), |dropped| &mut dropped.conflated);
            rest.clear();
        }
        rest.append(&std::mem::take(&mut wire.queue).into_unsent());
        state.lost = rest.is_empty();
        wire.queue = rest;
        let ahead = state.caught_up();
        drop(guard);
        wake_each(ahead);
    }
}
