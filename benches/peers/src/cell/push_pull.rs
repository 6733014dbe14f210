//! PUSH→PULL: how many messages a second reach the other side.

use super::{Cell, KIB, MIB, Measure, Pattern, Role, Seat, Transport};

static PUSH_PULL: Pattern = Pattern {
    name: "push-pull",
    title: "PUSH→PULL, messages a second",
    binds: Role::Pull,
    connects: Role::Push,
    measure: Measure::Rate,
};

/// Every size over every transport.
pub fn cells() -> Vec<Cell> {
    let over = |transport| {
        SIZES.iter().map(move |&size| Cell {
            pattern: &PUSH_PULL,
            transport,
            size,
            crowd: 1,
            seat: Seat::Task,
        })
    };
    [Transport::Tcp, Transport::Ipc, Transport::Inproc]
        .into_iter()
        .flat_map(over)
        .collect()
}

const SIZES: [usize; 7] = [16, 64, 256, KIB, 16 * KIB, 128 * KIB, MIB];
