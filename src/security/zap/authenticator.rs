//! [`ZapAuthenticator`]: asks the handler of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::{ENDPOINT, wire};
use crate::security::{Authenticator, Candidate, Decision, Principal, Refusal};
use crate::socket::ReqSocket;

/// Asks the handler that is bound at [`ENDPOINT`], for each peer anew and for many at the same time.
///
/// Only the status 200 accepts. If nobody is bound there for a second, or there is no answer in time, the peer is refused
/// for now and may try again; an answer that is malformed, or to another request, is a failure of the authenticator.
///
/// A password is copied into a message for the handler, whose memory nobody overwrites.
#[derive(Debug)]
pub struct ZapAuthenticator {
    timeout: Duration,
    /// The number of the next request.
    next: AtomicU64,
}

impl ZapAuthenticator {
    /// Waits 5 seconds for each answer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            next: AtomicU64::new(1),
        }
    }

    /// How long to wait for each answer. The time for the whole handshake goes on meanwhile.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl Default for ZapAuthenticator {
    fn default() -> Self {
        Self::new()
    }
}

impl Authenticator for ZapAuthenticator {
    fn authenticate<'a>(&'a self, peer: &'a Candidate) -> Decision<'a> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Box::pin(async move {
            let answer = timeout(self.timeout, ask(id, peer)).await;
            // Z4
            answer.unwrap_or_else(|_| Err(Refusal::temporary("no answer from the ZAP handler")))
        })
    }
}

/// A socket for each request: so an answer that comes too late finds nobody, and nobody else.
async fn ask(id: [u8; 8], peer: &Candidate) -> Result<Principal, Refusal> {
    let mut socket = ReqSocket::builder().linger(Duration::ZERO).build();
    socket
        .connect(ENDPOINT)
        .map_err(|error| Refusal::internal(error.to_string()))?;
    let Ok(Ok(())) = timeout(HANDLER_IS_BOUND, socket.wait_for_peers(1)).await else {
        let reason = format!("no ZAP handler is bound at {ENDPOINT}");
        return Err(Refusal::temporary(reason));
    };
    let reply = socket
        .request(wire::request(&id, peer))
        .await
        .map_err(|_| Refusal::temporary("the ZAP handler went away"))?;
    wire::read_reply(&reply, &id)
}

/// Whoever is bound is found at once; this is for a handler that is just about to bind.
const HANDLER_IS_BOUND: Duration = Duration::from_secs(1);
