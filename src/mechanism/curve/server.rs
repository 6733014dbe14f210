//! The side whose key the clients know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::boxes::{Nonce, SharedKey};
use super::traffic::{self, Side};
use super::{
    COOKIE_PREFIX, Entropy, HELLO, HELLO_PREFIX, INITIATE, INITIATE_PREFIX, KEY, LONG_NONCE, NAME,
    PADDING, READY_PREFIX, SHORT_NONCE, SIGNED, TAG, VERSION, VOUCH_PREFIX, WELCOME,
    WELCOME_PREFIX, malformed, take,
};
use crate::mechanism::{Mechanism, Step, Traffic};
use crate::security::{Credentials, KeyPair, PublicKey, public_half};
use crate::zmtp::{Command, HandshakeError, READY, put_command, shown};

pub(crate) struct CurveServer {
    /// S and s
    own: Arc<KeyPair>,
    /// What to announce.
    metadata: Bytes,
    state: State,
}

enum State {
    AwaitsHello(Entropy),
    /// C3: what is known of the client is in the cookie, which the client has.
    AwaitsInitiate {
        cookie_key: Zeroizing<[u8; KEY]>,
        until: Instant,
        /// The short nonce of HELLO.
        heard: u64,
    },
    /// The client is whom it says; whether it may connect is not decided.
    AwaitsVerdict {
        /// s' with C'
        session: SharedKey,
        /// The short nonce of INITIATE.
        heard: u64,
    },
    Met {
        session: SharedKey,
        heard: u64,
    },
    Failed,
}

/// What an INITIATE proves and says.
struct Initiate {
    session: SharedKey,
    number: u64,
    /// C
    client: PublicKey,
    metadata: Bytes,
}

impl CurveServer {
    pub(crate) fn new(own: Arc<KeyPair>, metadata: Bytes, entropy: Entropy) -> Self {
        Self {
            own,
            metadata,
            state: State::AwaitsHello(entropy),
        }
    }

    /// C1, C2: takes HELLO and answers with WELCOME.
    fn hello(
        &self,
        mut data: &[u8],
        entropy: Entropy,
        now: Instant,
        output: &mut BytesMut,
    ) -> Result<State, HandshakeError> {
        let hello = || malformed("HELLO");
        let version: [u8; VERSION.len()] = take(&mut data).ok_or_else(hello)?;
        let padding: [u8; PADDING.len()] = take(&mut data).ok_or_else(hello)?;
        let transient_client: [u8; KEY] = take(&mut data).ok_or_else(hello)?;
        let number: [u8; SHORT_NONCE] = take(&mut data).ok_or_else(hello)?;
        // C13: this version or none.
        if version != VERSION || padding != PADDING || data.len() != TAG + SIGNED.len() {
            return Err(hello());
        }
        let heard = u64::from_be_bytes(number);
        let key = SharedKey::between(self.own.secret_key().as_bytes(), &transient_client)?;
        let text = key.open(&Nonce::short(HELLO_PREFIX, heard), data);
        // C8: the first number is 1.
        if heard == 0 || text.is_none_or(|text| *text != SIGNED) {
            return Err(HandshakeError::WrongServerKey);
        }

        let [cookie_nonce, welcome_nonce] = entropy.nonces;
        let cookie = SharedKey::own(&entropy.cookie_key).seal(
            &Nonce::long(COOKIE_PREFIX, &cookie_nonce),
            &[&transient_client, &*entropy.transient],
        );
        let transient_public = public_half(&entropy.transient);
        let sealed = key.seal(
            &Nonce::long(WELCOME_PREFIX, &welcome_nonce),
            &[&transient_public, &cookie_nonce, &cookie],
        );
        put_command(output, WELCOME, &[&welcome_nonce, &sealed]);
        Ok(State::AwaitsInitiate {
            cookie_key: entropy.cookie_key,
            until: now + COOKIE_LIFE,
            heard,
        })
    }

    /// C4: takes INITIATE, whose cookie is ours.
    fn initiate(
        &self,
        mut data: &[u8],
        cookie_key: &Zeroizing<[u8; KEY]>,
        heard: u64,
    ) -> Result<Initiate, HandshakeError> {
        let initiate = || malformed("INITIATE");
        let forged = || HandshakeError::NotAuthentic {
            command: "INITIATE",
        };
        let cookie_nonce: [u8; LONG_NONCE] = take(&mut data).ok_or_else(initiate)?;
        let cookie: [u8; TAG + 2 * KEY] = take(&mut data).ok_or_else(initiate)?;
        let number: [u8; SHORT_NONCE] = take(&mut data).ok_or_else(initiate)?;
        if data.len() < TAG + KEY + LONG_NONCE + TAG + 2 * KEY {
            return Err(initiate());
        }

        let nonce = Nonce::long(COOKIE_PREFIX, &cookie_nonce);
        let cookie = SharedKey::own(cookie_key).open(&nonce, &cookie);
        let cookie = cookie.ok_or_else(forged)?;
        let mut cookie = cookie.as_slice();
        let transient_client: [u8; KEY] = take(&mut cookie).ok_or_else(forged)?;
        let transient = Zeroizing::new(take::<KEY>(&mut cookie).ok_or_else(forged)?);

        let session = SharedKey::between(&transient, &transient_client)?;
        let number = u64::from_be_bytes(number);
        // C8
        if number <= heard {
            return Err(forged());
        }
        let text = session.open(&Nonce::short(INITIATE_PREFIX, number), data);
        let text = text.ok_or_else(forged)?;
        let mut text = text.as_slice();
        let client: [u8; KEY] = take(&mut text).ok_or_else(forged)?;
        let vouch_nonce: [u8; LONG_NONCE] = take(&mut text).ok_or_else(forged)?;
        let vouch: [u8; TAG + 2 * KEY] = take(&mut text).ok_or_else(forged)?;
        let key = SharedKey::between(&transient, &client)?;
        let vouched = key.open(&Nonce::long(VOUCH_PREFIX, &vouch_nonce), &vouch);
        let expected = [transient_client, *self.own.public_key().as_bytes()];
        let vouched = vouched.ok_or_else(forged)?;
        // Both halves: else who has a vouch for another server could come here with it.
        if !bool::from(vouched.as_slice().ct_eq(expected.as_flattened())) {
            return Err(forged());
        }
        Ok(Initiate {
            session,
            number,
            client: PublicKey::proven(client),
            metadata: Bytes::copy_from_slice(text),
        })
    }
}

impl Mechanism for CurveServer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn as_server(&self) -> bool {
        true
    }

    fn start(&mut self, _output: &mut BytesMut) {}

    fn receive(
        &mut self,
        body: Bytes,
        now: Instant,
        output: &mut BytesMut,
    ) -> Result<Step, HandshakeError> {
        // Whatever goes wrong from here on, nothing is awaited any more.
        let state = std::mem::replace(&mut self.state, State::Failed);
        let command = Command::decode(body)?;
        match (state, command.name()) {
            (State::AwaitsHello(entropy), HELLO) => {
                self.state = self.hello(command.data(), entropy, now, output)?;
                Ok(Step::Continue)
            }
            (
                State::AwaitsInitiate {
                    cookie_key, heard, ..
                },
                INITIATE,
            ) => {
                let initiate = self.initiate(command.data(), &cookie_key, heard)?;
                self.state = State::AwaitsVerdict {
                    session: initiate.session,
                    heard: initiate.number,
                };
                Ok(Step::Decide {
                    credentials: Credentials::Curve {
                        key: initiate.client,
                    },
                    metadata: Some(initiate.metadata),
                })
            }
            (_, name) => Err(HandshakeError::UnexpectedCommand { name: shown(name) }),
        }
    }

    fn accept(&mut self, output: &mut BytesMut) {
        let State::AwaitsVerdict { session, heard } =
            std::mem::replace(&mut self.state, State::Failed)
        else {
            return;
        };
        let nonce = Nonce::short(READY_PREFIX, READY_NUMBER);
        let sealed = session.seal(&nonce, &[&self.metadata]);
        put_command(output, READY, &[&READY_NUMBER.to_be_bytes(), &sealed]);
        self.state = State::Met { session, heard };
    }

    /// Each of them: two multiplications of points.
    fn labours(&self) -> bool {
        matches!(
            self.state,
            State::AwaitsHello(_) | State::AwaitsInitiate { .. }
        )
    }

    /// C3
    fn expires(&self) -> Option<(Instant, HandshakeError)> {
        match self.state {
            State::AwaitsInitiate { until, .. } => Some((until, HandshakeError::CookieExpired)),
            _ => None,
        }
    }

    fn traffic(&mut self) -> Option<Traffic> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Met { session, heard } => Some(traffic::begin(
                &session,
                Side::Server,
                READY_NUMBER + 1,
                heard,
            )),
            _ => None,
        }
    }
}

/// C8: short nonces count from 1.
const READY_NUMBER: u64 = 1;

/// C3: how long a client may take to come back.
const COOKIE_LIFE: Duration = Duration::from_secs(60);
