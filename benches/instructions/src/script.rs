//! [`Script`]: a peer without a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::codec::Encoder;

use jackstay::Message;
use jackstay::zmtp::ZmtpCodec;

/// A stream whose far end says what was written down before, and hears everything without an answer.
///
/// No kernel takes part, so that each run is like the other.
pub struct Script {
    /// What comes first: the handshake, and what belongs to it.
    opening: Vec<u8>,
    opened: usize,
    /// Messages, which come over and over.
    messages: Vec<u8>,
    /// How many octets of them are still to come.
    left: usize,
    at: usize,
}

impl Script {
    /// The handshake of a peer of this type, and nothing else.
    pub fn new(socket_type: &str) -> Self {
        let mut opening = vec![0; 64];
        opening[0] = 0xff;
        opening[9] = 0x7f;
        opening[10..12].copy_from_slice(&[3, 1]);
        opening[12..16].copy_from_slice(b"NULL");
        let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
        ready.extend((socket_type.len() as u32).to_be_bytes());
        ready.extend(socket_type.as_bytes());
        put_command(&mut opening, &ready);
        Self {
            opening,
            opened: 0,
            messages: Vec::new(),
            left: 0,
            at: 0,
        }
    }

    /// Then it subscribes to `topic`.
    pub fn subscribe(mut self, topic: &[u8]) -> Self {
        let mut subscribe = b"\x09SUBSCRIBE".to_vec();
        subscribe.extend(topic);
        put_command(&mut self.opening, &subscribe);
        self
    }

    /// Then it sends `message`, `count` times: a multiple of [`REPEATED`].
    pub fn send(mut self, message: &Message, count: usize) -> Self {
        self.messages = encoded(message, REPEATED).to_vec();
        self.left = self.messages.len() / REPEATED * count;
        self
    }
}

/// `count` times `message`, as it is on the wire.
pub fn encoded(message: &Message, count: usize) -> BytesMut {
    let mut octets = BytesMut::new();
    for _ in 0..count {
        let encoded = ZmtpCodec::new().encode(message.clone(), &mut octets);
        encoded.expect("never fails");
    }
    octets
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let script = &mut *self;
        let opening = &script.opening[script.opened..];
        if !opening.is_empty() {
            let n = opening.len().min(buf.remaining());
            buf.put_slice(&opening[..n]);
            script.opened += n;
            return Poll::Ready(Ok(()));
        }
        if script.left == 0 {
            // Nothing more will ever come.
            return Poll::Pending;
        }
        while script.left > 0 && buf.remaining() > 0 {
            let piece = &script.messages[script.at..];
            let n = piece.len().min(buf.remaining()).min(script.left);
            buf.put_slice(&piece[..n]);
            script.left -= n;
            script.at = (script.at + n) % script.messages.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A short command is marked by bit 2 of the flags, a long one also by bit 1.
fn put_command(octets: &mut Vec<u8>, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(len) => octets.extend([4, len]),
        Err(_) => {
            octets.push(6);
            octets.extend((body.len() as u64).to_be_bytes());
        }
    }
    octets.extend(body);
}

/// How many messages stand one behind the other in what a script repeats.
pub const REPEATED: usize = 500;
