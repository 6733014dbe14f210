//! Two mechanisms face each other in one thread.

mod null;
mod plain;

use super::*;
use crate::zmtp::FrameHeader;

/// One side, as far as it can be told from outside.
pub(super) struct Side {
    pub(super) mechanism: Box<dyn Mechanism>,
    pub(super) output: BytesMut,
}

impl Side {
    pub(super) fn new(mechanism: impl Mechanism + 'static) -> Self {
        let mut side = Self {
            mechanism: Box::new(mechanism),
            output: BytesMut::new(),
        };
        side.mechanism.start(&mut side.output);
        side
    }

    /// The bodies of the commands that it has to say.
    pub(super) fn says(&mut self) -> Vec<Bytes> {
        let mut bodies = Vec::new();
        while let Some(header) = FrameHeader::parse(&self.output).unwrap() {
            assert_eq!(header.kind, FrameKind::Command, "N11");
            let mut frame = self.output.split_to(header.header_len + header.body_len);
            bodies.push(frame.split_off(header.header_len).freeze());
        }
        assert!(self.output.is_empty(), "only whole commands");
        bodies
    }

    /// The one command that it has to say.
    #[track_caller]
    pub(super) fn says_one(&mut self) -> Bytes {
        let mut bodies = self.says();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        bodies.remove(0)
    }

    #[track_caller]
    pub(super) fn says_nothing(&mut self) {
        assert_eq!(self.says(), Vec::<Bytes>::new());
    }

    pub(super) fn hears(&mut self, body: impl AsRef<[u8]>) -> Result<Step, HandshakeError> {
        self.hears_at(body, Instant::now())
    }

    pub(super) fn hears_at(
        &mut self,
        body: impl AsRef<[u8]>,
        now: Instant,
    ) -> Result<Step, HandshakeError> {
        let body = Bytes::copy_from_slice(body.as_ref());
        self.mechanism.receive(body, now, &mut self.output)
    }

    pub(super) fn accepts(&mut self) {
        self.mechanism.accept(&mut self.output);
    }
}

#[track_caller]
pub(super) fn met(step: Result<Step, HandshakeError>) -> Bytes {
    match step {
        Ok(Step::Met(metadata)) => metadata,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn to_decide(step: Result<Step, HandshakeError>) -> (Credentials, Option<Bytes>) {
    match step {
        Ok(Step::Decide {
            credentials,
            metadata,
        }) => (credentials, metadata),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn failed(step: Result<Step, HandshakeError>) -> HandshakeError {
    step.expect_err("an error")
}

#[track_caller]
pub(super) fn goes_on(step: Result<Step, HandshakeError>) {
    assert!(matches!(step, Ok(Step::Continue)), "{step:?}");
}

#[test]
fn a_role_is_shown_by_its_name_and_no_secret_is() {
    let client = Role::PlainClient {
        user: "user".into(),
        password: Password::new("secret").unwrap(),
    };
    let shown = [Role::Null, client, Role::PlainServer].map(|role| format!("{role:?}"));
    assert_eq!(shown, ["NULL", "PLAIN client", "PLAIN server"]);
}
