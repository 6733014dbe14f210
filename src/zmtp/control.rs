//! Commands after the handshake: what they do to the engine, and what they may cost it.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::allowance::Allowance;
use super::command::{self, Command, Ping, Pong};
use super::engine::Inbound;
use super::error::ProtocolError;
use super::heartbeat::{Heartbeat, HeartbeatConfig};

/// Deals with a peer's commands, and says PING and PONG.
#[derive(Debug)]
pub(crate) struct Control {
    heartbeat: Heartbeat,
    /// Whether SUBSCRIBE and CANCEL mean something to this socket.
    publishes: bool,
    /// For commands without a use; none if they are not limited.
    allowance: Option<Allowance>,
    max_command_rate: u32,
    /// The PONG that is owed: the last one asked for.
    pong: Option<Pong>,
    /// The PING that is due.
    ping: Option<Ping>,
}

impl Control {
    pub(crate) fn new(
        publishes: bool,
        max_command_rate: u32,
        heartbeat: Option<HeartbeatConfig>,
        now: Instant,
    ) -> Self {
        Self {
            heartbeat: Heartbeat::new(heartbeat, now),
            publishes,
            // A full second may be saved up.
            allowance: (max_command_rate > 0)
                .then(|| Allowance::new(max_command_rate, max_command_rate)),
            max_command_rate,
            pong: None,
            ping: None,
        }
    }

    /// Something arrived.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heartbeat.heard(now);
    }

    /// Does what `command` asks for; returns what is left for the application.
    #[cold]
    pub(crate) fn obey(
        &mut self,
        command: &Command,
        now: Instant,
    ) -> Result<Option<Inbound>, ProtocolError> {
        let data = command.data();
        match command.name() {
            command::SUBSCRIBE if self.publishes => {
                return Ok(Some(Inbound::Subscribe(data.clone())));
            }
            command::CANCEL if self.publishes => return Ok(Some(Inbound::Cancel(data.clone()))),
            // N10
            command::ERROR => {
                let reason = command::decode_error(data)?;
                return Err(ProtocolError::Refused { reason });
            }
            // N12
            command::READY => return Err(ProtocolError::SecondReady),
            command::PING => {
                let Ping { ttl, context } = Ping::decode(data)?;
                self.heartbeat.promised(ttl);
                self.pong = Some(Pong { context });
            }
            // Its arrival was all it has to say.
            command::PONG => drop(Pong::decode(data)?),
            // F6
            _ => {}
        }
        // It gives the application nothing.
        let allowance = self.allowance.as_mut();
        if allowance.is_none_or(|allowance| allowance.spend(now)) {
            return Ok(None);
        }
        let limit = self.max_command_rate;
        Err(ProtocolError::CommandFlood { limit })
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.heartbeat.next_timeout()
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if let Some(ttl) = self.heartbeat.on_timeout(now)? {
            let context = Bytes::new();
            self.ping = Some(Ping { ttl, context });
        }
        Ok(())
    }

    /// Appends what is owed and what is due: one PONG and one PING at most.
    pub(crate) fn speak(&mut self, out: &mut BytesMut) {
        if let Some(pong) = self.pong.take() {
            pong.encode(out);
        }
        if let Some(ping) = self.ping.take() {
            ping.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 10;

    fn command(name: &'static [u8], data: &'static [u8]) -> Command {
        Command::new(name, data).unwrap()
    }

    #[test]
    fn f6_an_unknown_command_is_ignored() {
        let now = Instant::now();
        let mut control = Control::new(true, RATE, None, now);
        for name in [&b"HELLO"[..], b"ready", b"JOIN", b"x"] {
            assert_eq!(control.obey(&command(name, b"data"), now), Ok(None));
        }
        let mut out = BytesMut::new();
        control.speak(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn s2_only_a_publisher_is_told_of_subscriptions() {
        let now = Instant::now();
        let (subscribe, cancel) = (command(b"SUBSCRIBE", b"a"), command(b"CANCEL", b""));
        let mut publisher = Control::new(true, RATE, None, now);
        let topic = Bytes::from_static(b"a");
        assert_eq!(
            publisher.obey(&subscribe, now),
            Ok(Some(Inbound::Subscribe(topic)))
        );
        assert_eq!(
            publisher.obey(&cancel, now),
            Ok(Some(Inbound::Cancel(Bytes::new())))
        );
        let mut puller = Control::new(false, RATE, None, now);
        assert_eq!(puller.obey(&subscribe, now), Ok(None));
        assert_eq!(puller.obey(&cancel, now), Ok(None));
    }

    #[test]
    fn n12_a_second_ready_is_an_error() {
        let now = Instant::now();
        let mut control = Control::new(false, RATE, None, now);
        let ready = command(b"READY", b"\x0bSocket-Type\0\0\0\x04PUSH");
        assert_eq!(control.obey(&ready, now), Err(ProtocolError::SecondReady));
    }

    #[test]
    fn n10_an_error_is_the_last_word_and_fatal() {
        let now = Instant::now();
        let mut control = Control::new(false, RATE, None, now);
        let error = control
            .obey(&command(b"ERROR", b"\x04gone"), now)
            .unwrap_err();
        let reason = "gone".into();
        assert_eq!(error, ProtocolError::Refused { reason });
        assert!(error.is_fatal());
        assert!(!ProtocolError::SecondReady.is_fatal());
    }

    #[test]
    fn h6_only_the_last_pong_is_pending() {
        let now = Instant::now();
        let mut control = Control::new(false, RATE, None, now);
        for context in [&b"\0\0one"[..], b"\0\0two"] {
            assert_eq!(control.obey(&command(b"PING", context), now), Ok(None));
        }
        let mut out = BytesMut::new();
        control.speak(&mut out);
        assert_eq!(out, &b"\x04\x08\x04PONGtwo"[..]);
        control.speak(&mut out);
        assert_eq!(out.len(), 10);
    }

    #[test]
    fn h1_a_malformed_ping_or_pong_is_an_error() {
        let now = Instant::now();
        let mut control = Control::new(false, RATE, None, now);
        let (ping, pong) = (command(b"PING", b"\0"), command(b"PONG", &[b'x'; 17]));
        let malformed = |name| Err(ProtocolError::MalformedCommand { name });
        assert_eq!(control.obey(&ping, now), malformed("PING"));
        assert_eq!(control.obey(&pong, now), malformed("PONG"));
    }

    #[test]
    fn a_flood_of_commands_without_a_use_is_an_error_and_subscriptions_are_not_counted() {
        let now = Instant::now();
        let mut control = Control::new(true, RATE, None, now);
        let ping = command(b"PING", b"\0\0");
        // A second's worth at once, and not one more.
        for _ in 0..RATE {
            assert_eq!(control.obey(&ping, now), Ok(None));
            assert!(control.obey(&command(b"SUBSCRIBE", b"t"), now).is_ok());
        }
        let flood = Err(ProtocolError::CommandFlood { limit: RATE });
        assert_eq!(control.obey(&command(b"unknown", b""), now), flood);
        let mut patient = Control::new(true, 0, None, now);
        assert!((0..10 * RATE).all(|_| patient.obey(&ping, now).is_ok()));
    }
}
