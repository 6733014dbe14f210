//! What the models have in common: pipes, and those who use them as a socket and a session do.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use loom::future::block_on;

use crate::message::Message;
use crate::options::Marks;
use crate::pipe::{Claim, Life, Outgoing, Pipe, PipeConfig, ReadyList, Take, Wake, Writing, lock};
use crate::routing::{Dealt, FairQueue, LoadBalance};
use crate::sync::Mutex;
use crate::transport::Stream;

/// A socket's queues: those that are sent in turn, and what each pipe is told.
pub struct Queues {
    pub outgoing: Arc<Outgoing<LoadBalance>>,
    pub config: PipeConfig,
}

impl Queues {
    /// With so much room for messages to each peer and from each.
    pub fn with_marks(send: usize, recv: usize) -> Arc<Self> {
        Self::new(send, recv, 0)
    }

    /// The same of a socket whose sender may be in a loop.
    pub fn of_a_loop(send: usize) -> Arc<Self> {
        Self::new(send, 0, usize::MAX)
    }

    fn new(send: usize, recv: usize, loop_size: usize) -> Arc<Self> {
        let outgoing = Arc::new(Outgoing::new(LoadBalance::default()));
        let marks = |messages| Marks {
            messages,
            octets: 0,
        };
        let config = PipeConfig {
            send: marks(send),
            recv: marks(recv),
            conflate: false,
            loop_size,
            outgoing: outgoing.clone(),
            readable: Arc::new(ReadyList::new(Wake::One)),
            writable: Arc::new(ReadyList::new(Wake::All)),
        };
        Arc::new(Self { outgoing, config })
    }

    /// A pipe that is sent to in turn.
    pub fn pipe(&self) -> Arc<Pipe> {
        let pipe = Pipe::wire(&self.config, false);
        pipe.outbox.invite(&pipe);
        pipe
    }

    /// As `Socket::send` does.
    pub fn send(&self, message: &Message) {
        let attempt = || {
            self.outgoing.with(|sending| {
                self.config.writable.drain(|pipe| sending.policy.add(pipe));
                let dealt = sending
                    .policy
                    .try_send(&mut sending.queues, message, Claim::Turn);
                matches!(dealt, Dealt::To(_)).then_some(())
            })
        };
        block_on(self.config.writable.until(attempt));
    }

    /// As `Socket::reserve` does.
    pub fn reserve(&self) -> Arc<Pipe> {
        let attempt = || {
            self.outgoing.with(|sending| {
                self.config.writable.drain(|pipe| sending.policy.add(pipe));
                sending.policy.reserve(&mut sending.queues)
            })
        };
        block_on(self.config.writable.until(attempt))
    }
}

impl Drop for Queues {
    /// As the socket does at its end: pipes and policy know each other.
    fn drop(&mut self) {
        self.config.readable.close();
        self.config.writable.close();
        let policy = self
            .outgoing
            .with(|sending| std::mem::take(&mut sending.policy));
        drop(policy);
    }
}

/// One or more who receive, as `Socket::recv` does.
pub struct Reader {
    queues: Arc<Queues>,
    inbound: Mutex<FairQueue>,
}

impl Reader {
    pub fn of(queues: &Arc<Queues>) -> Self {
        Self {
            queues: queues.clone(),
            inbound: Mutex::new(FairQueue::default()),
        }
    }

    pub fn try_recv(&self) -> Option<Message> {
        let readable = &self.queues.config.readable;
        let mut inbound = lock(&self.inbound);
        readable.drain(|pipe| inbound.add(pipe));
        let awaited = readable.is_awaited();
        let message = inbound.pop()?;
        if awaited && inbound.has_more() {
            readable.pass_on();
        }
        Some(message)
    }

    pub fn recv(&self) -> Message {
        block_on(self.queues.config.readable.until(|| self.try_recv()))
    }

    /// Is polled twice, and then dropped.
    pub fn recv_or_give_up(&self) -> Option<Message> {
        let mut receiving = pin!(self.queues.config.readable.until(|| self.try_recv()));
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            match receiving.as_mut().poll(cx) {
                Poll::Ready(message) => Poll::Ready(Some(message)),
                Poll::Pending if polls == 2 => Poll::Ready(None),
                Poll::Pending => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }))
    }
}

/// What a session does with the queue towards its peer, as `Pump` does it.
pub struct Session {
    pub pipe: Arc<Pipe>,
    pub idle: Option<Arc<Stream>>,
    pub writing: Writing,
    /// What happens when it first leaves its queue to a sender in a loop.
    pub left: Option<Box<dyn FnOnce()>>,
}

impl Session {
    pub fn of(pipe: &Arc<Pipe>) -> Self {
        Self {
            pipe: pipe.clone(),
            idle: None,
            writing: Writing::default(),
            left: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Take> {
        let outbox = &self.pipe.outbox;
        if outbox.is_parked() {
            return Poll::Pending;
        }
        if outbox.life(cx) == Life::Ended {
            return Poll::Ready(Take::Ended);
        }
        let mut replies = BytesMut::new();
        let take = outbox.poll_take(
            &self.pipe,
            self.idle.as_ref(),
            cx,
            &mut replies,
            &mut self.writing,
            std::time::Instant::now(),
        );
        match take {
            Poll::Ready(Take::Look) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            // The time after which it would look in any case does not come.
            Poll::Ready(Take::Leave) => {
                self.left.take().into_iter().for_each(|then| then());
                Poll::Pending
            }
            take => take,
        }
    }

    /// Looks once.
    pub fn looks(&mut self) -> Poll<Take> {
        self.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Waits for something to do.
    pub fn take(&mut self) -> Take {
        block_on(poll_fn(|cx| self.poll(cx)))
    }

    /// Waits for something to write, and returns its octets.
    pub fn taken(&mut self) -> Vec<u8> {
        assert_eq!(self.take(), Take::Write);
        self.written()
    }

    /// The octets in hand, as if they were written.
    pub fn written(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        while !self.writing.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = self.writing.slices(&mut slices);
            let before = octets.len();
            for slice in &slices[..filled] {
                octets.extend_from_slice(slice);
            }
            self.writing.advance(octets.len() - before);
        }
        octets
    }
}

/// The frames of messages of one octet each.
pub fn frames(bodies: &[u8]) -> Vec<u8> {
    bodies.iter().flat_map(|body| [0, 1, *body]).collect()
}

pub fn message(body: u8) -> Message {
    Message::from(vec![body])
}
