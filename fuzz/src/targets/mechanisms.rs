//! The handshakes that need no keys.

use std::time::Instant;

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};

use crate::mechanism::{Asked, Mechanism, Role, Step};
use crate::security::{Credentials, Password};
use crate::stream::read;
use crate::zmtp::{FrameHeader, FrameKind, HandshakeError};

#[derive(Debug, Arbitrary)]
enum Say<'a> {
    Named(Name, &'a [u8]),
    Hello { user: &'a [u8], password: &'a [u8] },
    Raw(&'a [u8]),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    Hello,
    Welcome,
    Initiate,
    Ready,
    Error,
    /// As libzmq's PLAIN server spells it.
    MisspeltError,
}

impl Say<'_> {
    fn body(&self) -> Vec<u8> {
        let (name, data) = match self {
            Self::Named(name, data) => (*name, data.to_vec()),
            Self::Hello { user, password } => {
                let counted = |it: &[u8]| [&[it.len() as u8], &it[..it.len().min(255)]].concat();
                (Name::Hello, [counted(user), counted(password)].concat())
            }
            Self::Raw(body) => return body.to_vec(),
        };
        let name: &[u8] = match name {
            Name::Hello => b"\x05HELLO",
            Name::Welcome => b"\x07WELCOME",
            Name::Initiate => b"\x08INITIATE",
            Name::Ready => b"\x05READY",
            Name::Error => b"\x05ERROR",
            Name::MisspeltError => b"\x5eRROR",
        };
        [name, &data].concat()
    }
}

/// One side, and what it has to say.
struct Side {
    mechanism: Box<dyn Mechanism>,
    output: BytesMut,
}

impl Side {
    fn begin(role: &Role, asked: Asked) -> Self {
        let mut side = Self {
            mechanism: role.begin(OWN_METADATA.into(), asked).unwrap(),
            output: BytesMut::new(),
        };
        side.mechanism.start(&mut side.output);
        side
    }

    fn hears(&mut self, body: &[u8]) -> Result<Step, HandshakeError> {
        let body = Bytes::copy_from_slice(body);
        self.mechanism
            .receive(body, Instant::now(), &mut self.output)
    }

    fn decides(&mut self, accepted: bool) {
        match accepted {
            true => self.mechanism.accept(&mut self.output),
            false => self.mechanism.refuse("400", &mut self.output),
        }
    }

    /// The body of the one command that it says; none if it says nothing.
    fn says(&mut self) -> Option<Bytes> {
        let header = FrameHeader::parse(&self.output).unwrap()?;
        assert_eq!(header.kind, FrameKind::Command, "N11");
        let body = self.output.split().split_off(header.header_len).freeze();
        assert_eq!(body.len(), header.body_len, "one whole command");
        Some(body)
    }
}

#[derive(Debug, Arbitrary)]
struct NullInput<'a> {
    asked: u8,
    accepted: bool,
    say: Say<'a>,
}

/// N1, N3, N10: READY is taken for what it says, and nothing else is.
pub fn null(data: &[u8]) {
    let Some(input) = read::<NullInput>(data) else {
        return;
    };
    let asked = [Asked::Never, Asked::AfterReady, Asked::BeforeReady][usize::from(input.asked) % 3];
    let mut side = Side::begin(&Role::Null, asked);
    let ready = [b"\x05READY", OWN_METADATA].concat();
    let early = asked != Asked::BeforeReady;
    assert_eq!(side.says().as_deref(), early.then_some(&ready[..]));
    let body = input.say.body();
    let step = side.hears(&body);
    match (body.strip_prefix(b"\x05READY"), step) {
        (Some(told), Ok(Step::Met(metadata))) => {
            assert_eq!((asked, &metadata[..]), (Asked::Never, told));
        }
        (
            Some(told),
            Ok(Step::Decide {
                credentials,
                metadata,
            }),
        ) => {
            assert!(asked != Asked::Never && matches!(credentials, Credentials::Null));
            assert_eq!(metadata.as_deref(), Some(told));
            side.decides(input.accepted);
            let refused = b"\x05ERROR\x03400";
            let said = match (input.accepted, early) {
                (true, true) => None,
                (true, false) => Some(&ready[..]),
                (false, _) => Some(&refused[..]),
            };
            assert_eq!(side.says().as_deref(), said);
        }
        (None, Err(_)) => assert_eq!(side.says(), None),
        (_, step) => panic!("{step:?}"),
    }
    assert!(side.mechanism.traffic().is_none());
}

#[derive(Debug, Arbitrary)]
struct PlainInput<'a> {
    server: bool,
    accepted: bool,
    says: Vec<Say<'a>>,
}

/// P1, P3, P6: each command is taken in its place only, and by the side that it is for.
pub fn plain(data: &[u8]) {
    let Some(input) = read::<PlainInput>(data) else {
        return;
    };
    match input.server {
        true => plain_server(&input),
        false => plain_client(&input),
    }
}

fn plain_server(input: &PlainInput) {
    let mut side = Side::begin(&Role::PlainServer, Asked::Never);
    let mut says = input.says.iter();
    let Some(hello) = says.next() else { return };
    match (read_hello(&hello.body()), side.hears(&hello.body())) {
        (
            Some((user, password)),
            Ok(Step::Decide {
                credentials,
                metadata: None,
            }),
        ) => {
            let expected = Password::new(&password).unwrap();
            let Credentials::Plain {
                user: told,
                password,
            } = credentials
            else {
                panic!("{credentials:?}");
            };
            assert_eq!((told, password.as_bytes()), (user, expected.as_bytes()));
        }
        (None, Err(_)) => return assert_eq!(side.says(), None),
        (expected, step) => panic!("{expected:?}, but {step:?}"),
    }
    assert_eq!(side.says(), None);
    side.decides(input.accepted);
    if !input.accepted {
        return assert_eq!(side.says().as_deref(), Some(&b"\x05ERROR\x03400"[..]));
    }
    assert_eq!(side.says().as_deref(), Some(&b"\x07WELCOME"[..]));
    let Some(initiate) = says.next() else { return };
    let body = initiate.body();
    match (body.strip_prefix(b"\x08INITIATE"), side.hears(&body)) {
        (Some(told), Ok(Step::Met(metadata))) => {
            assert_eq!(told, metadata);
            side.decides(true);
            let ready = [b"\x05READY", OWN_METADATA].concat();
            assert_eq!(side.says().as_deref(), Some(&ready[..]));
        }
        (None, Err(_)) => return assert_eq!(side.says(), None),
        (expected, step) => panic!("{expected:?}, but {step:?}"),
    }
    for more in says {
        assert!(side.hears(&more.body()).is_err());
        assert_eq!(side.says(), None);
    }
}

fn plain_client(input: &PlainInput) {
    let role = Role::PlainClient {
        user: "joe".into(),
        password: Password::new("secret").unwrap(),
    };
    let mut side = Side::begin(&role, Asked::Never);
    assert_eq!(
        side.says().as_deref(),
        Some(&b"\x05HELLO\x03joe\x06secret"[..])
    );
    let mut says = input.says.iter();
    let Some(welcome) = says.next() else { return };
    match (
        welcome.body() == b"\x07WELCOME",
        side.hears(&welcome.body()),
    ) {
        (true, Ok(Step::Continue)) => {
            let initiate = [b"\x08INITIATE", OWN_METADATA].concat();
            assert_eq!(side.says().as_deref(), Some(&initiate[..]));
        }
        (false, Err(_)) => return assert_eq!(side.says(), None),
        (expected, step) => panic!("{expected:?}, but {step:?}"),
    }
    let Some(ready) = says.next() else { return };
    let body = ready.body();
    match (body.strip_prefix(b"\x05READY"), side.hears(&body)) {
        (Some(told), Ok(Step::Met(metadata))) => assert_eq!(told, metadata),
        (None, Err(_)) => {}
        (expected, step) => panic!("{expected:?}, but {step:?}"),
    }
    assert_eq!(side.says(), None);
}

/// Name and password of a HELLO, if it is one.
fn read_hello(body: &[u8]) -> Option<(String, Vec<u8>)> {
    let data = body.strip_prefix(b"\x05HELLO")?;
    let (&len, rest) = data.split_first()?;
    let (user, rest) = rest.split_at_checked(usize::from(len))?;
    let (&len, password) = rest.split_first()?;
    let user = String::from_utf8(user.to_vec()).ok()?;
    (password.len() == usize::from(len)).then(|| (user, password.to_vec()))
}

const OWN_METADATA: &[u8] = b"metadata";
