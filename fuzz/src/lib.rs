//! What is fuzzed: each target is a function of some octets that panics if a promise of the library is broken.
//!
//! Most of what they call is private, and a public way in would be one to keep. So this crate is made of the library's own
//! source: what is fuzzed is the same code, under the same paths. A file whose content is visible one level up only is
//! mounted once more by the target that needs it.
//!
//! The programs in `fuzz_targets` hand libFuzzer's inputs to these functions, `tests/replay.rs` the inputs that were kept.

#![forbid(unsafe_code)]
#![allow(
    clippy::duplicate_mod,
    reason = "what is visible one level up only is mounted where it is used"
)]

/// The library: `src/lib.rs`, as a module.
#[path = "../../src/lib.rs"]
#[allow(
    dead_code,
    unused_imports,
    unfulfilled_lint_expectations,
    reason = "here it is no library with a public surface, and a part of it is used"
)]
mod source;

mod memory;
mod stream;
mod targets;

// So that what the modules call `crate::…` is found.
#[allow(
    unused_imports,
    reason = "for the modules; the targets name what they use"
)]
use source::*;

pub use targets::*;

/// A target: its name, which is that of its program and its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, the quickest first.
pub const TARGETS: [Target; 19] = [
    ("greeting", greeting),
    ("endpoint", endpoint),
    ("metadata", metadata),
    ("zap", zap),
    ("commands", commands),
    ("z85", z85),
    ("certificate", certificate),
    ("frames", frames),
    ("null", null),
    ("plain", plain),
    ("index", index),
    ("crowded_index", crowded_index),
    ("handshake", handshake),
    ("engine", engine),
    ("encrypted_engine", encrypted_engine),
    ("curve_traffic", curve_traffic),
    ("curve_client", curve_client),
    ("curve_server", curve_server),
    ("curve_handshake", curve_handshake),
];
