//! Sockets as [`Stream`] and [`Sink`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;

use super::Socket;
use crate::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::message::Message;
use crate::pattern::{CanReceive, CanSend, Pattern};

impl<P: Pattern> Socket<P> {
    /// The messages of this socket as a [`Stream`]; it ends when the socket is closed. Several may be used at once, and
    /// each message goes to one of them.
    pub fn stream(&self) -> Incoming<'_, P>
    where
        P: CanReceive,
    {
        Incoming {
            socket: self,
            waiting: None,
        }
    }
}

impl<P: Pattern> Socket<P> {
    /// This socket as a [`Sink`]. It holds at most one message that no peer has room for; `flush` waits until that is
    /// queued, and dropping the sink drops it.
    pub fn sink(&self) -> Outgoing<'_, P>
    where
        P: CanSend,
    {
        Outgoing {
            socket: self,
            held: None,
        }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See [`Socket::stream`].
pub struct Incoming<'a, P: CanReceive> {
    socket: &'a Socket<P>,
    /// A receive that has to wait.
    waiting: Option<Boxed<'a, Result<Message, RecvError>>>,
}

impl<P: CanReceive> Stream for Incoming<'_, P> {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = self.get_mut();
        if this.waiting.is_none() {
            match this.socket.try_recv() {
                Ok(message) => return Poll::Ready(Some(message)),
                Err(TryRecvError::Closed) => return Poll::Ready(None),
                Err(TryRecvError::Empty) => {}
            }
        }
        let socket = this.socket;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(socket.recv()));
        let received = ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        Poll::Ready(received.ok())
    }
}

/// See [`Socket::sink`].
pub struct Outgoing<'a, P: CanSend> {
    socket: &'a Socket<P>,
    /// The message that no peer had room for, on its way.
    held: Option<Boxed<'a, Result<(), SendError>>>,
}

impl<P: CanSend> Outgoing<'_, P> {
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(held) = &mut self.held else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(held.as_mut().poll(cx));
        self.held = None;
        Poll::Ready(sent)
    }
}

impl<P: CanSend, M: Into<Message>> Sink<M> for Outgoing<'_, P> {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.get_mut().poll_held(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), SendError> {
        let this = self.get_mut();
        match this.socket.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(SendError::of(message)),
            Err(TrySendError::Full(message)) => {
                this.held = Some(Box::pin(this.socket.send(message)));
                Ok(())
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.get_mut().poll_held(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.get_mut().poll_held(cx)
    }
}

impl<P: CanReceive> fmt::Debug for Incoming<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(self.socket).finish()
    }
}

impl<P: CanSend> fmt::Debug for Outgoing<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outgoing").field(self.socket).finish()
    }
}
