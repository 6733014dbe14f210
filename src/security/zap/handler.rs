//! [`Handler`]: answers those in this process who ask by ZAP.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::{ENDPOINT, wire};
use crate::error::BindError;
use crate::security::{Authenticator, Refusal};
use crate::socket::{RepSocket, Request};

/// Answers requests at [`ENDPOINT`] with the decisions of an [`Authenticator`]. A process can have one.
///
/// It decides on up to 256 peers at the same time, and on each for up to 5 seconds; a peer that takes longer is refused
/// for now.
pub struct Handler<A> {
    socket: RepSocket,
    authenticator: A,
}

impl<A: Authenticator> Handler<A> {
    /// Takes the endpoint, so that requests wait for [`run`](Self::run).
    ///
    /// # Cancel safety
    /// Dropped before it completes, nothing is bound.
    ///
    /// # Errors
    /// [`BindError`] if this process has a handler already.
    pub async fn bind(authenticator: A) -> Result<Self, BindError> {
        let socket = RepSocket::new();
        socket.bind(ENDPOINT).await?;
        Ok(Self {
            socket,
            authenticator,
        })
    }

    /// Answers, and does not return: for a task of its own.
    ///
    /// # Cancel safety
    /// Dropped, it answers nobody any more, and the endpoint is free again.
    pub async fn run(self) {
        let mut open: Vec<Answer<'_>> = Vec::new();
        loop {
            let request = tokio::select! {
                request = self.socket.accept(), if open.len() < MOST_OPEN => request,
                () = any_answered(&mut open) => continue,
            };
            match request {
                Ok(request) => open.push(Box::pin(answer(&self.authenticator, request))),
                // Nobody else has the socket to close it.
                Err(_) => return,
            }
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for Handler<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("authenticator", &self.authenticator)
            .finish_non_exhaustive()
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Waits until one of `open` is done, and takes out those that are.
async fn any_answered(open: &mut Vec<Answer<'_>>) {
    poll_fn(|cx| {
        let before = open.len();
        open.retain_mut(|answer| answer.as_mut().poll(cx).is_pending());
        match open.len() < before {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

async fn answer(authenticator: &impl Authenticator, request: Request) {
    let outcome = match wire::read_request(&request) {
        Ok(peer) => timeout(LONGEST_DECISION, authenticator.authenticate(&peer))
            .await
            .unwrap_or_else(|_| Err(Refusal::temporary("the decision takes too long"))),
        Err(what) => Err(Refusal::denied(what)),
    };
    let id = wire::request_id(&request);
    // The socket is closed only when this is dropped, too.
    let _ = request.reply(wire::reply(id, &outcome)).await;
}

/// Each is looked at whenever one goes on, so there must not be too many.
const MOST_OPEN: usize = 256;

/// Decisions that never come must not fill the places of the others.
const LONGEST_DECISION: Duration = Duration::from_secs(5);
