//! A client, and whoever it has connected to.

use std::sync::LazyLock;
use std::time::Instant;

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};

use super::boxes::{Nonce, SharedKey};
use super::said::{Change, Name, Other, SAID, SERVER_METADATA, client, command, number, one};
use super::{
    CLIENT_TRANSIENT, KEY, LONG_NONCE, LOW_ORDER, SERVER, SERVER_TRANSIENT, pair, public, shared,
};
use crate::mechanism::Step;
use crate::stream::read;

#[derive(Debug, Arbitrary)]
enum Say<'a> {
    Welcome(Change<'a>),
    OwnWelcome {
        transient: Transient,
        cookie: Change<'a>,
    },
    Ready(Change<'a>),
    OwnReady {
        session: Session,
        #[arbitrary(with = number)]
        number: u64,
        metadata: &'a [u8],
    },
    Other(Other<'a>),
}

/// S', as a server that has the right long-lived key may choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Transient {
    Usual,
    /// The same point, spelled otherwise.
    HighBit,
    Another,
    LowOrder(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Session {
    Usual,
    Another,
}

/// C2, C5, C8 to C10, C12, C14: a client meets nobody but who has the server's key and its own part of the connection's, in
/// order; and what is wrong once is wrong for good, and is not answered.
pub fn curve_client(data: &[u8]) {
    let Some(says) = read::<Vec<Say>>(data) else {
        return;
    };
    let mut client = client();
    let mut output = BytesMut::new();
    client.start(&mut output);
    assert_eq!(one(&mut output), SAID.hello);
    let now = Instant::now();
    let mut state = Expected::Welcome;
    for say in says.iter().take(8) {
        let body = Bytes::from(say.body());
        let next = state.after(say, &body);
        let step = client.receive(body, now, &mut output);
        match (&next, step) {
            (Expected::Ready { cookie, .. }, Ok(Step::Continue)) => {
                let initiate = one(&mut output);
                assert_eq!(initiate[COOKIE_AT..][..cookie.len()], cookie[..]);
            }
            (Expected::Met(metadata), Ok(Step::Met(told))) => {
                assert_eq!(told, metadata);
                assert!(output.is_empty() && client.traffic().is_some());
                return;
            }
            (Expected::Nothing, Err(_)) => assert!(output.is_empty() && client.traffic().is_none()),
            (next, step) => panic!("{say:?}: {next:?}, but {step:?}"),
        }
        state = next;
    }
}

/// What a client makes of what it was told.
#[derive(Debug)]
enum Expected {
    Welcome,
    Ready { session: Session, cookie: Vec<u8> },
    Met(Vec<u8>),
    Nothing,
}

impl Expected {
    fn after(&self, say: &Say, body: &[u8]) -> Self {
        match (self, say) {
            (Self::Welcome, Say::OwnWelcome { transient, cookie }) => {
                let cookie = cookie.apply(usual_cookie());
                let session = match transient {
                    Transient::Usual | Transient::HighBit => Session::Usual,
                    Transient::Another => Session::Another,
                    Transient::LowOrder(_) => return Self::Nothing,
                };
                if cookie.len() != usual_cookie().len() {
                    return Self::Nothing;
                }
                Self::Ready { session, cookie }
            }
            (Self::Welcome, _) if body == SAID.welcome => Self::Ready {
                session: Session::Usual,
                cookie: usual_cookie().to_vec(),
            },
            (
                Self::Ready { session, .. },
                Say::OwnReady {
                    session: used,
                    number: 1..,
                    metadata,
                },
            ) if session == used => Self::Met(metadata.to_vec()),
            (
                Self::Ready {
                    session: Session::Usual,
                    ..
                },
                _,
            ) if body == SAID.ready => Self::Met(SERVER_METADATA.to_vec()),
            _ => Self::Nothing,
        }
    }
}

impl Say<'_> {
    fn body(&self) -> Vec<u8> {
        match self {
            Self::Welcome(change) => change.apply(&SAID.welcome),
            Self::OwnWelcome { transient, cookie } => {
                let nonce = [9; LONG_NONCE];
                let sealed = WELCOME_KEY.seal(
                    &Nonce::long(b"WELCOME-", &nonce),
                    &[&transient.public(), &cookie.apply(usual_cookie())],
                );
                command(Name::Welcome, &[&nonce, &sealed])
            }
            Self::Ready(change) => change.apply(&SAID.ready),
            Self::OwnReady {
                session,
                number,
                metadata,
            } => {
                let session = match session {
                    Session::Usual => &*SESSION,
                    Session::Another => &*ANOTHER_SESSION,
                };
                let sealed = session.seal(&Nonce::short(b"CurveZMQREADY---", *number), &[metadata]);
                command(Name::Ready, &[&number.to_be_bytes(), &sealed])
            }
            Self::Other(other) => other.body(),
        }
    }
}

impl Transient {
    fn public(self) -> [u8; KEY] {
        let mut key = match self {
            Self::Usual | Self::HighBit => *TRANSIENT_PUBLIC,
            Self::Another => *ANOTHER_PUBLIC,
            Self::LowOrder(which) => LOW_ORDER[usize::from(which)],
        };
        if self == Self::HighBit {
            key[KEY - 1] ^= 0x80;
        }
        key
    }
}

/// The cookie of an honest handshake.
fn usual_cookie() -> &'static [u8] {
    &SAID.initiate[COOKIE_AT..COOKIE_AT + 96]
}

/// Behind the name of INITIATE.
const COOKIE_AT: usize = 9;

static TRANSIENT_PUBLIC: LazyLock<[u8; KEY]> = LazyLock::new(|| public(&SERVER_TRANSIENT));
static ANOTHER_PUBLIC: LazyLock<[u8; KEY]> = LazyLock::new(|| *pair(10).public_key().as_bytes());

static WELCOME_KEY: LazyLock<SharedKey> =
    LazyLock::new(|| shared(SERVER.secret_key().as_bytes(), &public(&CLIENT_TRANSIENT)));
static SESSION: LazyLock<SharedKey> =
    LazyLock::new(|| shared(&SERVER_TRANSIENT, &public(&CLIENT_TRANSIENT)));
static ANOTHER_SESSION: LazyLock<SharedKey> =
    LazyLock::new(|| shared(pair(10).secret_key().as_bytes(), &public(&CLIENT_TRANSIENT)));
