//! What is left when something is over: no memory, no file, no task. And what breaks when code of others panics: a connection at most.
//!
//! Memory, files and tasks belong to the process, so these tests run one after the other.

#[path = "../support/mod.rs"]
mod support;

mod alone;
mod connections;
mod crowd;
mod panics;
mod sockets;

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);
