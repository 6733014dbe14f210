//! The protocol, as plain code: octets in, messages out. No socket, no task, no clock.
//!
//! A connection is first a `Handshake` and then an `Engine`. Both take octets from a buffer, leave octets to write
//! in another, and are told the time; so two of them can face each other in one thread, and a test can cut the stream
//! between them at every octet.
//!
//! ```text
//!  Handshake   greeting → mechanism → metadata  ─► Established { peer, engine }
//!  Engine      codec → frame → command, heartbeat
//! ```

mod allowance;
mod codec;
mod command;
mod control;
mod engine;
mod error;
mod frame;
mod greeting;
mod handshake;
mod heartbeat;
mod metadata;
mod opening;
mod run;
mod subscription;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use codec::{CodecError, Item, ZmtpCodec};
pub use command::Command;
pub use error::{HandshakeError, ProtocolError};
pub use greeting::Version;
pub use metadata::{Metadata, MetadataError};

pub(crate) use allowance::Allowance;
pub(crate) use command::{ERROR, READY, decode_error, put_command, put_error};
pub(crate) use engine::{Engine, Inbound};
pub(crate) use error::shown;
pub(crate) use frame::{FrameHeader, FrameKind, encoded_len, put_header};
pub(crate) use handshake::{Established, Handshake, HandshakeConfig, PeerMetadata, Progress};
pub(crate) use heartbeat::HeartbeatConfig;
pub(crate) use metadata::put_property;
pub(crate) use run::{Extent, Run};
pub(crate) use subscription::put_subscription;

/// What a peer may ask of us on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The octets of all frames of a message.
    pub(crate) max_message_size: usize,
    /// The frames of a message.
    pub(crate) max_frames: usize,
    /// The body of a command within the handshake.
    pub(crate) max_handshake_command: usize,
    /// The properties of the metadata.
    pub(crate) max_properties: usize,
    /// A topic that is subscribed to.
    pub(crate) max_topic_size: usize,
    /// Commands without a use in a second, sustained; 0 for no limit.
    pub(crate) max_command_rate: u32,
}

impl Limits {
    /// The body of a command after the handshake: that of a subscription is the longest.
    fn command(&self) -> usize {
        let subscription = 1 + command::SUBSCRIBE.len();
        let longest = self.max_topic_size.saturating_add(subscription);
        longest.max(self.max_handshake_command)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: 64 * 1024 * 1024,
            max_frames: 4096,
            max_handshake_command: 64 * 1024,
            max_properties: 32,
            max_topic_size: 64 * 1024,
            max_command_rate: 1000,
        }
    }
}

/// The instant `duration` after `now`, or one too far off to matter.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now + duration.min(FAR)
}

/// Whether a deadline that left `time` was noticed so late that its keeper must have been stopped, or asleep with the machine. The
/// other side may have been, too, or what it said in time waits to be read: it has to be given time anew.
pub(crate) fn overslept(deadline: Instant, time: Duration, now: Instant) -> bool {
    /// A busy machine is late, too.
    const LATE: Duration = Duration::from_secs(1);
    now.saturating_duration_since(deadline) > LATE.max(time / 2)
}
