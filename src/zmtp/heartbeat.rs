//! Heartbeats: when to send PING, and when silence means that the peer is gone (RFC 37, *Connection Heartbeating*).

use std::time::{Duration, Instant};

use super::error::ProtocolError;
use super::{after, overslept};

/// When to ask the peer for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeartbeatConfig {
    /// The time between two PINGs; zero sends none.
    pub(crate) interval: Duration,
    /// How long after a PING the peer may be silent.
    pub(crate) timeout: Duration,
    /// How long the peer shall hold out our silence; zero leaves that to the peer.
    pub(crate) ttl: Duration,
}

/// The clockwork of one connection. Time comes in as `now`, deadlines go out.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    config: Option<HeartbeatConfig>,
    next_ping: Option<Instant>,
    /// When the oldest unanswered PING has timed out; `None` once anything was heard.
    reply_by: Option<Instant>,
    last_heard: Instant,
    /// The silence that the peer announced as its longest, in its last PING.
    peer_ttl: Option<Duration>,
}

impl Heartbeat {
    pub(crate) fn new(config: Option<HeartbeatConfig>, now: Instant) -> Self {
        let config = config.filter(|config| !config.interval.is_zero());
        Self {
            config,
            next_ping: config.map(|config| after(now, config.interval)),
            reply_by: None,
            last_heard: now,
            peer_ttl: None,
        }
    }

    /// H3: anything that arrives is a sign of life. Called for every message, so only two stores.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.reply_by = None;
    }

    /// H4: takes the TTL of a received PING, in tenths of a second.
    pub(crate) fn promised(&mut self, ttl: u16) {
        self.peer_ttl = (ttl > 0).then(|| Duration::from_millis(100 * u64::from(ttl)));
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [self.next_ping, self.reply_by, self.ttl_end()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a PING is due, and with which TTL.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Result<Option<u16>, ProtocolError> {
        if self.overslept(now) {
            self.heard(now);
            self.next_ping = self.config.map(|_| now);
        }
        let over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if over(self.reply_by) {
            return Err(ProtocolError::HeartbeatTimeout);
        }
        if over(self.ttl_end()) {
            return Err(ProtocolError::TtlExpired);
        }
        let Some(config) = self.config.filter(|_| over(self.next_ping)) else {
            return Ok(None);
        };
        self.next_ping = Some(after(now, config.interval));
        self.reply_by.get_or_insert(after(now, config.timeout));
        Ok(Some(tenths(config.ttl)))
    }

    /// Whether the peer's time was over while nobody listened: that is no silence of its own.
    fn overslept(&self, now: Instant) -> bool {
        let reply = self.reply_by.zip(self.config.map(|config| config.timeout));
        let promise = self.ttl_end().zip(self.peer_ttl);
        let mut times = reply.into_iter().chain(promise);
        times.any(|(deadline, time)| overslept(deadline, time, now))
    }

    fn ttl_end(&self) -> Option<Instant> {
        self.peer_ttl.map(|ttl| after(self.last_heard, ttl))
    }
}

/// A duration as a TTL: rounded up, so that a short one does not become "none".
fn tenths(ttl: Duration) -> u16 {
    let tenths = ttl.as_millis().div_ceil(100);
    u16::try_from(tenths).unwrap_or(MAX_TTL).min(MAX_TTL)
}

/// H4: libzmq computes milliseconds in 16 bits, so that from here on its timeouts wrap round.
const MAX_TTL: u16 = 655;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> HeartbeatConfig {
        HeartbeatConfig {
            interval: 10 * SECOND,
            timeout: 3 * SECOND,
            ttl: 30 * SECOND,
        }
    }

    #[test]
    fn without_configuration_or_ttl_there_is_no_timeout() {
        let now = Instant::now();
        for config in [
            None,
            Some(HeartbeatConfig {
                interval: Duration::ZERO,
                ..config()
            }),
        ] {
            let mut heartbeat = Heartbeat::new(config, now);
            assert_eq!(heartbeat.next_timeout(), None);
            assert_eq!(heartbeat.on_timeout(now + 3600 * SECOND), Ok(None));
        }
    }

    #[test]
    fn a_ping_is_due_every_interval() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(config()), start);
        for beat in 1..5 {
            let due = start + beat * 10 * SECOND;
            assert_eq!(heartbeat.next_timeout(), Some(due));
            assert_eq!(heartbeat.on_timeout(due - SECOND), Ok(None));
            assert_eq!(heartbeat.on_timeout(due), Ok(Some(300)));
            assert_eq!(heartbeat.next_timeout(), Some(due + 3 * SECOND));
            heartbeat.heard(due);
        }
    }

    #[test]
    fn h5_silence_after_a_ping_ends_the_connection() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(config()), start);
        let ping = start + 10 * SECOND;
        assert_eq!(heartbeat.on_timeout(ping), Ok(Some(300)));
        let end = ping + 3 * SECOND;
        assert_eq!(heartbeat.on_timeout(end - SECOND), Ok(None));
        assert_eq!(
            heartbeat.on_timeout(end),
            Err(ProtocolError::HeartbeatTimeout)
        );
    }

    #[test]
    fn h5_the_oldest_unanswered_ping_counts_when_the_timeout_is_longer_than_the_interval() {
        let start = Instant::now();
        let config = HeartbeatConfig {
            interval: SECOND,
            timeout: 3 * SECOND,
            ttl: SECOND,
        };
        let mut heartbeat = Heartbeat::new(Some(config), start);
        for second in 1..4 {
            assert_eq!(heartbeat.on_timeout(start + second * SECOND), Ok(Some(10)));
        }
        let end = heartbeat.on_timeout(start + 4 * SECOND);
        assert_eq!(end, Err(ProtocolError::HeartbeatTimeout));
    }

    #[test]
    fn h3_anything_heard_is_an_answer() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(config()), start);
        let ping = start + 10 * SECOND;
        assert_eq!(heartbeat.on_timeout(ping), Ok(Some(300)));
        heartbeat.heard(ping);
        assert_eq!(heartbeat.on_timeout(ping + 5 * SECOND), Ok(None));
        assert_eq!(heartbeat.next_timeout(), Some(ping + 10 * SECOND));
    }

    #[test]
    fn h4_silence_for_longer_than_the_peers_ttl_ends_the_connection() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(None, start);
        heartbeat.promised(25);
        let ttl = Duration::from_millis(2500);
        assert_eq!(heartbeat.next_timeout(), Some(start + ttl));
        heartbeat.heard(start + SECOND);
        assert_eq!(heartbeat.on_timeout(start + ttl), Ok(None));
        let end = start + SECOND + ttl;
        assert_eq!(heartbeat.next_timeout(), Some(end));
        assert_eq!(heartbeat.on_timeout(end), Err(ProtocolError::TtlExpired));
        // A later PING may take the promise back.
        heartbeat.promised(0);
        assert_eq!(heartbeat.next_timeout(), None);
    }

    #[test]
    fn h5_time_in_which_nobody_listened_is_no_silence() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(config()), start);
        let ping = start + 10 * SECOND;
        assert_eq!(heartbeat.on_timeout(ping), Ok(Some(300)));
        // The peer is asked again at once, and has its time anew.
        let woken = ping + 3600 * SECOND;
        assert_eq!(heartbeat.on_timeout(woken), Ok(Some(300)));
        let end = woken + 3 * SECOND;
        assert_eq!(heartbeat.next_timeout(), Some(end));
        let gone = Err(ProtocolError::HeartbeatTimeout);
        assert_eq!(heartbeat.on_timeout(end), gone);
        // A machine that is merely busy is late by less.
        assert_eq!(heartbeat.on_timeout(end + SECOND), gone);
    }

    // A machine that was stopped for half the time was busy, too, for all that anybody knows.
    #[test]
    fn h5_whoever_looks_late_by_more_than_half_the_timeout_asks_again() {
        let start = Instant::now();
        let config = HeartbeatConfig {
            timeout: 10 * SECOND,
            ..config()
        };
        let end = start + 20 * SECOND;
        for (late, gone) in [(4 * SECOND, true), (5 * SECOND, true), (6 * SECOND, false)] {
            let mut heartbeat = Heartbeat::new(Some(config), start);
            let ping = heartbeat.on_timeout(start + 10 * SECOND);
            assert_eq!(ping, Ok(Some(300)));
            assert_eq!(heartbeat.on_timeout(end + late).is_err(), gone, "{late:?}");
        }
    }

    #[test]
    fn h4_time_in_which_nobody_listened_does_not_count_against_the_peers_ttl() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(None, start);
        heartbeat.promised(50);
        let woken = start + 3600 * SECOND;
        assert_eq!(heartbeat.on_timeout(woken), Ok(None));
        let end = woken + 5 * SECOND;
        assert_eq!(heartbeat.on_timeout(end), Err(ProtocolError::TtlExpired));
    }

    #[test]
    fn h4_a_ttl_above_655_is_never_sent_and_a_short_one_is_not_lost() {
        assert_eq!(tenths(Duration::ZERO), 0);
        assert_eq!(tenths(Duration::from_millis(1)), 1);
        assert_eq!(tenths(Duration::from_millis(65_400)), 654);
        assert_eq!(tenths(Duration::from_millis(65_501)), 655);
        assert_eq!(tenths(Duration::MAX), 655);
    }
}
