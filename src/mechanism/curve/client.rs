//! The side that knows the server's key beforehand.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::boxes::{Nonce, SharedKey};
use super::traffic::{self, Side};
use super::{
    COOKIE, Entropy, HELLO, HELLO_PREFIX, INITIATE, INITIATE_PREFIX, KEY, LONG_NONCE, NAME,
    PADDING, READY_PREFIX, SHORT_NONCE, SIGNED, VERSION, VOUCH_PREFIX, WELCOME, WELCOME_PREFIX,
    malformed, take,
};
use crate::mechanism::{Mechanism, Step, Traffic};
use crate::security::{KeyPair, PublicKey, public_half};
use crate::zmtp::{Command, ERROR, HandshakeError, READY, decode_error, put_command, shown};

pub(crate) struct CurveClient {
    /// S
    server: PublicKey,
    /// C and c
    own: Arc<KeyPair>,
    /// c'
    transient: Zeroizing<[u8; KEY]>,
    /// C'
    transient_public: [u8; KEY],
    /// c' with S
    hello_key: SharedKey,
    vouch_nonce: [u8; LONG_NONCE],
    /// What to announce.
    metadata: Bytes,
    state: State,
}

/// C12
enum State {
    AwaitsWelcome,
    AwaitsReady {
        /// c' with S'
        session: SharedKey,
    },
    Met {
        session: SharedKey,
        /// The short nonce of READY.
        heard: u64,
    },
    Failed,
}

impl CurveClient {
    pub(crate) fn new(
        server: PublicKey,
        own: Arc<KeyPair>,
        metadata: Bytes,
        entropy: &Entropy,
    ) -> Result<Self, HandshakeError> {
        let [vouch_nonce, _] = entropy.nonces;
        Ok(Self {
            hello_key: SharedKey::between(&entropy.transient, server.as_bytes())?,
            server,
            own,
            transient_public: public_half(&entropy.transient),
            transient: entropy.transient.clone(),
            vouch_nonce,
            metadata,
            state: State::AwaitsWelcome,
        })
    }

    /// C2: takes WELCOME and answers with INITIATE.
    fn welcome(&self, mut data: &[u8], output: &mut BytesMut) -> Result<SharedKey, HandshakeError> {
        let nonce = take(&mut data).ok_or_else(|| malformed("WELCOME"))?;
        if data.len() != WELCOME_BOX {
            return Err(malformed("WELCOME"));
        }
        let nonce = Nonce::long(WELCOME_PREFIX, &nonce);
        let forged = HandshakeError::NotAuthentic { command: "WELCOME" };
        let text = self.hello_key.open(&nonce, data).ok_or(forged)?;
        let mut text = text.as_slice();
        let transient_server = take(&mut text).ok_or_else(|| malformed("WELCOME"))?;
        let cookie: [u8; COOKIE] = take(&mut text).ok_or_else(|| malformed("WELCOME"))?;

        let session = SharedKey::between(&self.transient, &transient_server)?;
        let own = SharedKey::between(self.own.secret_key().as_bytes(), &transient_server)?;
        let vouch = own.seal(
            &Nonce::long(VOUCH_PREFIX, &self.vouch_nonce),
            &[&self.transient_public, self.server.as_bytes()],
        );
        let sealed = session.seal(
            &Nonce::short(INITIATE_PREFIX, INITIATE_NUMBER),
            &[
                self.own.public_key().as_bytes(),
                &self.vouch_nonce,
                &vouch,
                &self.metadata,
            ],
        );
        let number = INITIATE_NUMBER.to_be_bytes();
        put_command(output, INITIATE, &[&cookie, &number, &sealed]);
        Ok(session)
    }
}

impl Mechanism for CurveClient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn as_server(&self) -> bool {
        false
    }

    fn start(&mut self, output: &mut BytesMut) {
        // C1
        let nonce = Nonce::short(HELLO_PREFIX, HELLO_NUMBER);
        let signature = self.hello_key.seal(&nonce, &[&SIGNED]);
        let parts: [&[u8]; 5] = [
            &VERSION,
            &PADDING,
            &self.transient_public,
            &HELLO_NUMBER.to_be_bytes(),
            &signature,
        ];
        put_command(output, HELLO, &parts);
    }

    fn receive(
        &mut self,
        body: Bytes,
        _now: Instant,
        output: &mut BytesMut,
    ) -> Result<Step, HandshakeError> {
        // Whatever goes wrong from here on, nothing is awaited any more.
        let state = std::mem::replace(&mut self.state, State::Failed);
        let command = Command::decode(body)?;
        match (state, command.name()) {
            (State::AwaitsWelcome, WELCOME) => {
                let session = self.welcome(command.data(), output)?;
                self.state = State::AwaitsReady { session };
                Ok(Step::Continue)
            }
            (State::AwaitsReady { session }, READY) => {
                let (heard, metadata) = open_ready(&session, command.data())?;
                self.state = State::Met { session, heard };
                Ok(Step::Met(metadata))
            }
            // N10
            (State::AwaitsWelcome | State::AwaitsReady { .. }, ERROR) => {
                Err(HandshakeError::refused(decode_error(command.data())?))
            }
            (State::AwaitsWelcome, HELLO) => Err(HandshakeError::SameRole {
                mechanism: NAME,
                as_server: false,
            }),
            (_, name) => Err(HandshakeError::UnexpectedCommand { name: shown(name) }),
        }
    }

    fn accept(&mut self, _output: &mut BytesMut) {}

    fn refuse(&self, _reason: &str, _output: &mut BytesMut) {
        // C10
    }

    fn closed(&self) -> HandshakeError {
        match self.state {
            State::AwaitsWelcome => HandshakeError::ClosedAtHello { mechanism: NAME },
            State::AwaitsReady { .. } | State::Met { .. } | State::Failed => HandshakeError::Closed,
        }
    }

    fn traffic(&mut self) -> Option<Traffic> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Met { session, heard } => Some(traffic::begin(
                &session,
                Side::Client,
                INITIATE_NUMBER + 1,
                heard,
            )),
            _ => None,
        }
    }
}

/// C5: the number and the metadata of READY.
fn open_ready(session: &SharedKey, mut data: &[u8]) -> Result<(u64, Bytes), HandshakeError> {
    let number: [u8; SHORT_NONCE] = take(&mut data).ok_or_else(|| malformed("READY"))?;
    let number = u64::from_be_bytes(number);
    // C8
    let forged = HandshakeError::NotAuthentic { command: "READY" };
    if number == 0 {
        return Err(forged);
    }
    let text = session.open(&Nonce::short(READY_PREFIX, number), data);
    let text = text.ok_or(forged)?;
    Ok((number, Bytes::copy_from_slice(&text)))
}

/// C8: short nonces count from 1.
const HELLO_NUMBER: u64 = 1;
const INITIATE_NUMBER: u64 = 2;

/// S' and the cookie in their box.
const WELCOME_BOX: usize = super::TAG + KEY + COOKIE;
