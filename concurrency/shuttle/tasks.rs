//! What the scenarios have in common: messages that say their numbers, and calls that are given up.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use shuttle::rand::Rng;

use crate::message::Message;

pub use shuttle::future::{block_on, spawn};

/// A number below `n`, drawn by lot as the schedule is.
pub fn draw(n: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..n)
}

pub fn numbered(n: u8) -> Message {
    Message::from(vec![n])
}

pub fn number_of(message: &Message) -> u8 {
    message.first()[0]
}

/// Polls `future` until it is done, or drops it when it has been pending once or twice; the second time something has woken it,
/// which is then passed on or lost.
pub async fn maybe<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = draw(3);
    poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            // What it waits for may never come.
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// Lets others run.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
