//! Sessions: each runs one connection, from the handshake to its end. The only room that spawns tasks.
//!
//! ```text
//!  dialer    one for each connected endpoint: connect, serve, back off, again
//!  listener  one for each bound endpoint: accept, and one task for each connection
//!  gate      how many connections may come, and how many of them be in their handshake
//!  serve     handshake, a place in the socket, the pump, the good-bye
//!  pump      octets ⇄ messages, between a stream and a pipe
//!  sealing   encrypts what the pump writes, where a mechanism wants that
//! ```
//!
//! A session knows its socket only as an [`Owner`].

mod backoff;
mod dialer;
mod gate;
mod inproc;
mod listener;
mod pump;
mod sealing;
mod serve;
mod tasks;

use std::sync::Arc;

pub(crate) use self::dialer::{Dialing, dial};
pub(crate) use self::gate::Gate;
pub(crate) use self::inproc::{bind_inproc, dial_inproc, unbind_inproc};
pub(crate) use self::listener::{Accepting, accept};
pub(crate) use self::serve::adopt;
pub(crate) use self::tasks::Tasks;

use crate::message::Message;
use crate::monitor::{DisconnectCause, Event};
use crate::options::Options;
use crate::pattern::SocketType;
use crate::pipe::{Load, Pipe, PipeConfig};

/// What a session asks of the socket that it serves.
pub(crate) trait Owner: Send + Sync + 'static {
    fn socket_type(&self) -> SocketType;

    fn options(&self) -> &Options;

    /// How its pipes are made.
    fn pipes(&self) -> &PipeConfig;

    fn tasks(&self) -> &Tasks;

    fn gate(&self) -> &Gate;

    fn report(&self, event: Event);

    /// The same of several events, for which a monitor is woken once.
    fn report_all(&self, events: Vec<Event>);

    /// A handshake is done. Gives the newcomer its place: `pipe` if it has one already (connecting side), else a new
    /// one. `Err` is the reason that is sent to it as an ERROR.
    fn admit(
        &self,
        pipe: Option<&Arc<Pipe>>,
        newcomer: Newcomer,
    ) -> Result<Arc<Pipe>, &'static str>;

    /// The connection of `pipe` is gone, and what it did not carry is back in the outbox.
    fn lost(&self, pipe: &Arc<Pipe>);

    /// `pipe` will not be connected again. What it still holds is dropped and counted.
    fn ended(&self, pipe: &Arc<Pipe>);

    /// Puts a fresh pipe in the place of one that was ended although its endpoint is still wanted. `false` if it is not.
    fn renew(&self, dialing: &Arc<Dialing>, old: &Arc<Pipe>) -> bool;

    /// A peer subscribes, or cancels.
    fn subscription(
        &self,
        pipe: &Arc<Pipe>,
        subscribe: bool,
        topic: &[u8],
    ) -> Result<(), DisconnectCause>;

    /// Messages came from a principal who may not send. They are dropped.
    fn forbidden(&self, pipe: &Arc<Pipe>, messages: Load);

    /// A message to a socket that does not simply receive ([`Row::receives`](crate::pattern::Row)).
    fn intercept(&self, pipe: &Arc<Pipe>, message: Message)
    -> Result<Intercepted, DisconnectCause>;
}

/// What a message was that was intercepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intercepted {
    Message,
    /// A subscription, or the end of one.
    Subscription,
}

/// Who wants a place in a socket.
pub(crate) struct Newcomer {
    /// None for an adopted stream.
    pub endpoint: Option<crate::endpoint::Endpoint>,
    pub address: crate::transport::PeerAddress,
    pub metadata: crate::zmtp::PeerMetadata,
    /// Who it is, if an authenticator was asked.
    pub principal: Option<crate::security::Principal>,
    pub accepted: bool,
}
