//! Every cell there is, one declaration each, and what jackstay aims at in it.

use crate::cell::{Cell, KIB, MIB, Measure, Pattern, Role, Seat, Transport};

/// The cell of this name, in the tables or beyond.
pub fn named(name: &str) -> Option<Cell> {
    let grown = (0..SIZES.len()).map(of_size).chain(MARKS.map(of_mark));
    let mut known = all().into_iter().chain(grown);
    known.find(|cell| cell.to_string() == name)
}

/// Every cell, in the order of the tables.
pub fn all() -> Vec<Cell> {
    [push_pull(), pub_sub(), two_way(), connections(), seats()].concat()
}

/// A stream of messages of `SIZES[size]` octets, for those that grow.
pub fn of_size(size: usize) -> Cell {
    Cell {
        sizes: &SIZES[size..=size],
        ..PLAIN
    }
}

/// A stream of 64 octets each with this mark on both sides; 0 is none.
pub fn of_mark(mark: usize) -> Cell {
    let mark = Some(mark);
    Cell { mark, ..PLAIN }
}

fn push_pull() -> Vec<Cell> {
    let over = |transport, sizes: &'static [usize]| -> Vec<Cell> {
        let cell = Cell { transport, ..PLAIN };
        sizes
            .chunks(1)
            .map(|sizes| Cell { sizes, ..cell })
            .collect()
    };
    let crowd = Cell {
        senders: 64,
        ..PLAIN
    };
    let encrypted = Cell {
        sizes: &[KIB],
        curve: true,
        ..PLAIN
    };
    [
        over(
            Transport::Tcp,
            &[16, 64, 256, KIB, 16 * KIB, 128 * KIB, MIB],
        ),
        over(Transport::Ipc, &[64, KIB, 128 * KIB]),
        over(Transport::Inproc, &[64, KIB]),
        vec![crowd, encrypted],
    ]
    .concat()
}

fn pub_sub() -> Vec<Cell> {
    let cell = Cell {
        pattern: &PUB_SUB,
        ..PLAIN
    };
    let to = |receivers| {
        let cell = Cell { receivers, ..cell };
        [
            cell,
            Cell {
                sizes: &[KIB],
                ..cell
            },
        ]
    };
    let mut cells: Vec<Cell> = [1, 8, 64].into_iter().flat_map(to).collect();
    cells.push(Cell {
        pattern: &TOPICS,
        ..PLAIN
    });
    cells
}

fn two_way() -> Vec<Cell> {
    let mut cells = vec![Cell {
        pattern: &DEALER_ROUTER,
        ..PLAIN
    }];
    for awake in [true, false] {
        for transport in [Transport::Tcp, Transport::Ipc, Transport::Inproc] {
            for seat in [Seat::Task, Seat::Main] {
                cells.push(Cell {
                    pattern: &REQ_REP,
                    transport,
                    seat,
                    awake,
                    ..PLAIN
                });
            }
        }
    }
    cells
}

fn connections() -> Vec<Cell> {
    vec![Cell {
        pattern: &CONNECTIONS,
        senders: 1000,
        ..PLAIN
    }]
}

fn seats() -> Vec<Cell> {
    let cell = Cell {
        pattern: &SEATS,
        ..PLAIN
    };
    vec![
        cell,
        Cell {
            seat: Seat::Main,
            ..cell
        },
        Cell {
            seat: Seat::Current,
            ..cell
        },
        Cell {
            seat: Seat::Blocking,
            ..cell
        },
        Cell {
            senders: 4,
            receivers: 4,
            shared: true,
            ..cell
        },
        Cell {
            senders: 4,
            receivers: 4,
            ..cell
        },
        Cell { frames: 2, ..cell },
        Cell { frames: 10, ..cell },
        Cell {
            sizes: &MIXED,
            ..cell
        },
        Cell {
            transport: Transport::Inproc,
            seat: Seat::Main,
            ..cell
        },
        Cell {
            pattern: &PUB_SEATS,
            seat: Seat::Main,
            ..cell
        },
    ]
}

const PLAIN: Cell = Cell {
    pattern: &PUSH_PULL,
    transport: Transport::Tcp,
    sizes: &[64],
    frames: 1,
    senders: 1,
    receivers: 1,
    shared: false,
    mark: None,
    curve: false,
    seat: Seat::Task,
    awake: false,
};

/// From room for no more than a number to the largest that is accepted by default.
pub const SIZES: [usize; 9] = [16, 64, 256, KIB, 4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB];

/// From one message to no bound at all.
pub const MARKS: [usize; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 0];

/// Mostly small, as messages are.
const MIXED: [usize; 16] = [
    16,
    64,
    256,
    64,
    KIB,
    64,
    16,
    256,
    64,
    4 * KIB,
    16,
    64,
    256,
    16 * KIB,
    64,
    16,
];

static PUSH_PULL: Pattern = Pattern {
    name: "push-pull",
    title: "PUSH→PULL, messages a second",
    binds: Role::Pull,
    connects: Role::Push,
    measure: Measure::Rate,
    topics: 0,
};

static PUB_SUB: Pattern = Pattern {
    name: "pub-sub",
    title: "PUB→SUB without drops, messages a second over all subscribers",
    binds: Role::Publish,
    connects: Role::Subscribe,
    measure: Measure::Rate,
    topics: 0,
};

static TOPICS: Pattern = Pattern {
    name: "topics",
    title: "PUB→SUB with 10,000 subscriptions, one message in ten matches: published messages a second",
    topics: 10_000,
    ..PUB_SUB
};

static DEALER_ROUTER: Pattern = Pattern {
    name: "dealer-router",
    title: "DEALER↔ROUTER, a window of 100: messages a second each way",
    binds: Role::Route,
    connects: Role::Deal,
    ..PUSH_PULL
};

static REQ_REP: Pattern = Pattern {
    name: "req-rep",
    title: "REQ/REP round trip, median",
    binds: Role::Reply,
    connects: Role::Request,
    measure: Measure::RoundTrip,
    topics: 0,
};

static CONNECTIONS: Pattern = Pattern {
    name: "connections",
    title: "1,000 connections to one PULL: time until a message of each has arrived",
    measure: Measure::Gather,
    ..PUSH_PULL
};

static SEATS: Pattern = Pattern {
    name: "seats",
    title: "PUSH→PULL from other seats and in other shapes, messages a second",
    ..PUSH_PULL
};

static PUB_SEATS: Pattern = Pattern {
    name: "seats/pub-sub",
    title: "PUB→SUB without drops from another seat, messages a second",
    ..PUB_SUB
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names: Vec<String> = all().iter().map(ToString::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in [
            "push-pull/tcp/64B",
            "req-rep/ipc/64B/main/asleep",
            "seats/tcp/64Bx10",
            "seats/tcp/64B/4-4/shared",
        ] {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
    }

    #[test]
    fn messages_take_sizes_by_turns_of_a_power_of_two() {
        assert!(all().iter().all(|cell| cell.sizes.len().is_power_of_two()));
    }
}
