//! What tasks and threads meet at: locks, what is read without one, wake-ups, and the runtime that tasks are spawned on.
//!
//! All that is shared between a socket's tasks comes from here. `concurrency/` mounts the library's source beside another
//! module of this name, whose types stop at each step, so that the orders in which tasks can take their steps are tried one by one.
//!
//! What belongs to the process and not to a socket comes from the standard library: spare buffers, the next number of a peer.

use std::time::Duration;

pub(crate) use std::sync::{LazyLock, Mutex, MutexGuard, atomic};

/// How long a thread looks for what may come at once before it sleeps.
pub(crate) const MOMENT: Duration = Duration::from_micros(20);

pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::sync::Notify;
