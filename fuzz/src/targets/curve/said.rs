//! What an honest pair says, and what may become of it on the way.

use std::sync::LazyLock;
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};

use crate::mechanism::{Mechanism, Step};
use crate::zmtp::{FrameHeader, FrameKind};

/// The bodies of the commands of an honest handshake.
pub(super) struct Said {
    pub(super) hello: Bytes,
    pub(super) welcome: Bytes,
    pub(super) initiate: Bytes,
    pub(super) ready: Bytes,
}

pub(super) static SAID: LazyLock<Said> = LazyLock::new(|| {
    let (mut client, mut server) = (client(), server());
    let now = Instant::now();
    let mut out = BytesMut::new();
    client.start(&mut out);
    let hello = one(&mut out);
    server.receive(hello.clone(), now, &mut out).unwrap();
    let welcome = one(&mut out);
    client.receive(welcome.clone(), now, &mut out).unwrap();
    let initiate = one(&mut out);
    server.receive(initiate.clone(), now, &mut out).unwrap();
    server.accept(&mut out);
    let ready = one(&mut out);
    let met = client.receive(ready.clone(), now, &mut out).unwrap();
    assert!(matches!(met, Step::Met(metadata) if metadata == SERVER_METADATA));
    Said {
        hello,
        welcome,
        initiate,
        ready,
    }
});

pub(super) fn client() -> Box<dyn Mechanism> {
    super::client(Bytes::from_static(CLIENT_METADATA))
}

pub(super) fn server() -> Box<dyn Mechanism> {
    super::server(Bytes::from_static(SERVER_METADATA))
}

/// Takes the one command out of `output`, and of that the body.
pub(super) fn one(output: &mut BytesMut) -> Bytes {
    let header = FrameHeader::parse(output).unwrap().unwrap();
    assert_eq!(header.kind, FrameKind::Command, "N11");
    let body = output.split().split_off(header.header_len).freeze();
    assert_eq!(body.len(), header.body_len, "one whole command");
    body
}

/// What happens to a command on its way.
#[derive(Debug, Arbitrary)]
pub(super) enum Change<'a> {
    Nothing,
    Flip { at: u16, mask: u8 },
    Cut(u16),
    Append(&'a [u8]),
    Replace { at: u16, by: &'a [u8] },
}

impl Change<'_> {
    pub(super) fn apply(&self, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        let within = |at: u16| usize::from(at) % body.len().max(1);
        match *self {
            Self::Nothing => {}
            Self::Flip { at, mask } => {
                let at = within(at);
                body.get_mut(at).into_iter().for_each(|it| *it ^= mask);
            }
            Self::Cut(at) => body.truncate(within(at)),
            Self::Append(octets) => body.extend_from_slice(octets),
            Self::Replace { at, by } => {
                let at = within(at);
                body.iter_mut()
                    .skip(at)
                    .zip(by)
                    .for_each(|(it, by)| *it = *by);
            }
        }
        body
    }
}

/// A short nonce: one of the first, or of the last that there are, so that two of them are often near each other.
pub(super) fn number(input: &mut Unstructured) -> arbitrary::Result<u64> {
    let number: i8 = input.arbitrary()?;
    Ok(i64::from(number).cast_unsigned())
}

/// A command that nobody's keys are needed for.
#[derive(Debug, Arbitrary)]
pub(super) enum Other<'a> {
    Raw(&'a [u8]),
    Named(Name, &'a [u8]),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Name {
    Hello,
    Welcome,
    Initiate,
    Ready,
    Error,
}

impl Other<'_> {
    pub(super) fn body(&self) -> Vec<u8> {
        match self {
            Self::Raw(body) => body.to_vec(),
            Self::Named(name, data) => command(*name, &[data]),
        }
    }
}

/// The body of a command.
pub(super) fn command(name: Name, parts: &[&[u8]]) -> Vec<u8> {
    let name: &[u8] = match name {
        Name::Hello => b"\x05HELLO",
        Name::Welcome => b"\x07WELCOME",
        Name::Initiate => b"\x08INITIATE",
        Name::Ready => b"\x05READY",
        Name::Error => b"\x05ERROR",
    };
    [&[name], parts].concat().concat()
}

pub(super) const CLIENT_METADATA: &[u8] = b"of the client";
pub(super) const SERVER_METADATA: &[u8] = b"of the server";
