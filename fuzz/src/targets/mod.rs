//! One file for each target, or for a few that are alike.

mod certificate;
mod commands;
mod curve;
mod endpoint;
mod engine;
mod frames;
mod greeting;
mod handshake;
mod index;
mod mechanisms;
mod metadata;
mod z85;
mod zap;

pub use self::certificate::certificate;
pub use self::commands::commands;
pub use self::curve::{curve_client, curve_server, curve_traffic};
pub use self::endpoint::endpoint;
pub use self::engine::{encrypted_engine, engine};
pub use self::frames::frames;
pub use self::greeting::greeting;
pub use self::handshake::{curve_handshake, handshake};
pub use self::index::{crowded_index, index};
pub use self::mechanisms::{null, plain};
pub use self::metadata::metadata;
pub use self::z85::z85;
pub use self::zap::zap;
