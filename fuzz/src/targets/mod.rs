//! One file for each target, or for a few that are alike.

mod certificate;
mod commands;
mod endpoint;
mod frames;
mod greeting;
mod index;
mod metadata;
mod z85;
mod zap;

pub use self::certificate::certificate;
pub use self::commands::commands;
pub use self::endpoint::endpoint;
pub use self::frames::frames;
pub use self::greeting::greeting;
pub use self::index::{crowded_index, index};
pub use self::metadata::metadata;
pub use self::z85::z85;
pub use self::zap::zap;
