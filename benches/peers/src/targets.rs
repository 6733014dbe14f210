//! What jackstay aims at: one line a cell. Without a line here, a cell has no target.

use crate::cell::Cell;

/// What is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// So many times better than libzmq, at least.
    Libzmq(f64),
    /// A round trip so many times as long as the floor's, at most.
    Floor(f64),
    /// A round trip of so many seconds, at most.
    Seconds(f64),
    /// So many seconds, and octets of memory a connection on each side, at most.
    Gather { seconds: f64, octets: f64 },
}

/// The target of `cell`.
pub fn of(cell: &Cell) -> Option<Target> {
    let name = cell.to_string();
    let line = TARGETS.iter().find(|(cell, _)| *cell == name);
    line.map(|(_, target)| *target)
}

const TARGETS: &[(&str, Target)] = &[
    ("push-pull/tcp/16B", Target::Libzmq(5.0)),
    ("push-pull/tcp/64B", Target::Libzmq(4.0)),
    ("push-pull/tcp/256B", Target::Libzmq(4.2)),
    ("push-pull/tcp/1KiB", Target::Libzmq(3.4)),
    ("push-pull/tcp/16KiB", Target::Libzmq(3.2)),
    ("push-pull/tcp/128KiB", Target::Libzmq(1.7)),
    ("push-pull/tcp/1KiB/curve", Target::Libzmq(1.5)),
    ("push-pull/tcp/1MiB", Target::Libzmq(1.6)),
    ("push-pull/ipc/64B", Target::Libzmq(4.5)),
    ("push-pull/ipc/1KiB", Target::Libzmq(5.5)),
    ("push-pull/ipc/128KiB", Target::Libzmq(2.4)),
    ("push-pull/inproc/64B", Target::Libzmq(3.0)),
    ("push-pull/inproc/1KiB", Target::Libzmq(3.5)),
    ("push-pull/tcp/64B/64-1", Target::Libzmq(4.0)),
    ("pub-sub/tcp/64B/1-1", Target::Libzmq(4.0)),
    ("pub-sub/tcp/1KiB/1-1", Target::Libzmq(3.4)),
    ("pub-sub/tcp/64B/1-8", Target::Libzmq(5.0)),
    ("pub-sub/tcp/1KiB/1-8", Target::Libzmq(4.2)),
    ("pub-sub/tcp/64B/1-64", Target::Libzmq(5.5)),
    ("pub-sub/tcp/1KiB/1-64", Target::Libzmq(5.0)),
    ("topics/tcp/64B/1-1", Target::Libzmq(2.5)),
    ("dealer-router/tcp/64B", Target::Libzmq(2.0)),
    ("req-rep/tcp/64B/task/awake", Target::Floor(1.15)),
    ("req-rep/tcp/64B/main/awake", Target::Floor(1.15)),
    ("req-rep/ipc/64B/task/awake", Target::Floor(1.15)),
    ("req-rep/ipc/64B/main/awake", Target::Floor(1.15)),
    ("req-rep/inproc/64B/task/awake", Target::Seconds(1.5e-6)),
    ("req-rep/tcp/64B/task/asleep", Target::Floor(1.0)),
    ("req-rep/tcp/64B/main/asleep", Target::Floor(1.0)),
    ("req-rep/ipc/64B/task/asleep", Target::Floor(1.0)),
    ("req-rep/ipc/64B/main/asleep", Target::Floor(1.0)),
    ("req-rep/inproc/64B/task/asleep", Target::Seconds(1.5e-6)),
    (
        "connections/tcp/64B/1000-1",
        Target::Gather {
            seconds: 0.19,
            octets: 8.0 * 1024.0,
        },
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;

    #[test]
    fn every_target_belongs_to_a_cell() {
        let cells: Vec<String> = cells::all().iter().map(ToString::to_string).collect();
        for (name, _) in TARGETS {
            assert!(cells.contains(&(*name).to_owned()), "{name}");
        }
    }
}
