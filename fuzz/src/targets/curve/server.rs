//! A server, and whoever connects to it.

use std::sync::LazyLock;
use std::time::Instant;

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};

use super::boxes::{Nonce, SharedKey};
use super::said::{CLIENT_METADATA, Change, Name, Other, SAID, command, number, one, server};
use super::{
    CLIENT, CLIENT_TRANSIENT, KEY, LONG_NONCE, LOW_ORDER, SERVER, SERVER_TRANSIENT, STRANGER,
    public, shared,
};
use crate::mechanism::{Mechanism, Step};
use crate::security::Credentials;
use crate::stream::read;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    accepted: bool,
    says: Vec<Say<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Say<'a> {
    Hello(Change<'a>),
    /// One that counts from another number than 1.
    NumberedHello(#[arbitrary(with = number)] u64),
    Initiate(Change<'a>),
    OwnInitiate(OwnInitiate<'a>),
    Other(Other<'a>),
}

/// An INITIATE of somebody who can open WELCOME, and may have the key of a client.
#[derive(Debug, Arbitrary)]
struct OwnInitiate<'a> {
    cookie: Change<'a>,
    #[arbitrary(with = number)]
    number: u64,
    claims: Claim,
    /// Whose secret key the vouch is made with.
    vouches: Client,
    /// What becomes of C' and S in it.
    vouch: Change<'a>,
    metadata: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Client {
    Known,
    Stranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Claim {
    Of(Client),
    LowOrder(bool),
}

/// C1 to C4, C8 to C10, C12, C14: nobody comes as far as a decision who does not hold the key that it is about, and say what
/// it has to, in order; and what is wrong once is wrong for good, and is not answered.
pub fn curve_server(data: &[u8]) {
    let Some(input) = read::<Input>(data) else {
        return;
    };
    let mut server = server();
    let mut output = BytesMut::new();
    server.start(&mut output);
    let now = Instant::now();
    let mut state = Expected::Hello;
    for say in input.says.iter().take(8) {
        let body = Bytes::from(say.body());
        let next = state.after(say, &body);
        let step = server.receive(body, now, &mut output);
        match (&next, step) {
            (Expected::Initiate { exactly, .. }, Ok(Step::Continue)) => {
                let welcome = one(&mut output);
                assert!(!exactly || welcome == SAID.welcome);
            }
            (
                Expected::Decision { key, metadata },
                Ok(Step::Decide {
                    credentials,
                    metadata: told,
                }),
            ) => {
                assert!(
                    matches!(credentials, Credentials::Curve { key: shown } if shown.as_bytes() == key)
                );
                assert_eq!(told.as_deref(), Some(&metadata[..]));
                decide(server, input.accepted, output);
                return;
            }
            (Expected::Nothing, Err(_)) => assert!(output.is_empty()),
            (next, step) => panic!("{say:?}: {next:?}, but {step:?}"),
        }
        state = next;
    }
}

fn decide(mut server: Box<dyn Mechanism>, accepted: bool, mut output: BytesMut) {
    assert!(output.is_empty());
    if accepted {
        server.accept(&mut output);
        one(&mut output);
        assert!(server.traffic().is_some());
    } else {
        server.refuse("400", &mut output);
        assert_eq!(one(&mut output), &b"\x05ERROR\x03400"[..]);
    }
    assert!(
        server.traffic().is_none(),
        "once, and only for the accepted"
    );
}

/// What a server makes of what it was told.
#[derive(Debug)]
enum Expected {
    Hello,
    /// It has heard this number. `exactly`: and nothing but what an honest client says.
    Initiate {
        heard: u64,
        exactly: bool,
    },
    Decision {
        key: [u8; KEY],
        metadata: Vec<u8>,
    },
    Nothing,
}

impl Expected {
    fn after(&self, say: &Say, body: &[u8]) -> Self {
        match (self, say) {
            (Self::Hello, Say::NumberedHello(number @ 1..)) => Self::Initiate {
                heard: *number,
                exactly: false,
            },
            (Self::Hello, _) if same_hello(body) => Self::Initiate {
                heard: 1,
                exactly: body == SAID.hello,
            },
            (Self::Initiate { heard, .. }, Say::OwnInitiate(own)) => own.expected(*heard),
            (Self::Initiate { heard: 1, .. }, _) if body == SAID.initiate => Self::Decision {
                key: *CLIENT.public_key().as_bytes(),
                metadata: CLIENT_METADATA.to_vec(),
            },
            _ => Self::Nothing,
        }
    }
}

/// The highest bit of C' means nothing, as that of any X25519 key.
fn same_hello(body: &[u8]) -> bool {
    let mut body = body.to_vec();
    if let Some(octet) = body.get_mut(HELLO_KEY_END - 1) {
        *octet = *octet & 0x7f | SAID.hello[HELLO_KEY_END - 1] & 0x80;
    }
    body == SAID.hello
}

impl Say<'_> {
    fn body(&self) -> Vec<u8> {
        match self {
            Self::Hello(change) => change.apply(&SAID.hello),
            Self::NumberedHello(number) => {
                let nonce = Nonce::short(b"CurveZMQHELLO---", *number);
                let signature = HELLO_KEY.seal(&nonce, &[&[0; 64]]);
                let head = &SAID.hello[b"\x05HELLO".len()..HELLO_KEY_END];
                command(Name::Hello, &[head, &number.to_be_bytes(), &signature])
            }
            Self::Initiate(change) => change.apply(&SAID.initiate),
            Self::OwnInitiate(own) => own.body(),
            Self::Other(other) => other.body(),
        }
    }
}

impl OwnInitiate<'_> {
    fn body(&self) -> Vec<u8> {
        let cookie = self.cookie.apply(cookie());
        let own = match self.vouches {
            Client::Known => &*CLIENT_VOUCH_KEY,
            Client::Stranger => &*STRANGER_VOUCH_KEY,
        };
        let nonce = [9; LONG_NONCE];
        let vouched = self.vouch.apply(&vouched());
        let vouch = own.seal(&Nonce::long(b"VOUCH---", &nonce), &[&vouched]);
        let sealed = SESSION.seal(
            &Nonce::short(b"CurveZMQINITIATE", self.number),
            &[&self.claimed(), &nonce, &vouch, self.metadata],
        );
        command(
            Name::Initiate,
            &[&cookie, &self.number.to_be_bytes(), &sealed],
        )
    }

    fn claimed(&self) -> [u8; KEY] {
        match self.claims {
            Claim::Of(Client::Known) => *CLIENT.public_key().as_bytes(),
            Claim::Of(Client::Stranger) => *STRANGER.public_key().as_bytes(),
            Claim::LowOrder(which) => LOW_ORDER[usize::from(which)],
        }
    }

    fn expected(&self, heard: u64) -> Expected {
        let holds = self.cookie.apply(cookie()) == cookie()
            && self.number > heard
            && self.claims == Claim::Of(self.vouches)
            && self.vouch.apply(&vouched()) == vouched();
        if !holds {
            return Expected::Nothing;
        }
        Expected::Decision {
            key: self.claimed(),
            metadata: self.metadata.to_vec(),
        }
    }
}

/// The cookie of an honest handshake.
fn cookie() -> &'static [u8] {
    let at = b"\x08INITIATE".len();
    &SAID.initiate[at..at + 96]
}

/// C' and S.
fn vouched() -> Vec<u8> {
    [*TRANSIENT_PUBLIC, *SERVER.public_key().as_bytes()].concat()
}

/// Where C' ends in the body of HELLO, behind the name, the version and 72 zeros.
const HELLO_KEY_END: usize = 6 + 2 + 72 + KEY;

static TRANSIENT_PUBLIC: LazyLock<[u8; KEY]> = LazyLock::new(|| public(&CLIENT_TRANSIENT));

static HELLO_KEY: LazyLock<SharedKey> =
    LazyLock::new(|| shared(&CLIENT_TRANSIENT, SERVER.public_key().as_bytes()));
static SESSION: LazyLock<SharedKey> =
    LazyLock::new(|| shared(&CLIENT_TRANSIENT, &public(&SERVER_TRANSIENT)));
static CLIENT_VOUCH_KEY: LazyLock<SharedKey> =
    LazyLock::new(|| shared(CLIENT.secret_key().as_bytes(), &public(&SERVER_TRANSIENT)));
static STRANGER_VOUCH_KEY: LazyLock<SharedKey> =
    LazyLock::new(|| shared(STRANGER.secret_key().as_bytes(), &public(&SERVER_TRANSIENT)));
