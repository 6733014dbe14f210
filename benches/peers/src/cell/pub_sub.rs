//! PUB→SUB without drops: how many messages a second reach all subscribers together.

use super::{Cell, KIB, Measure, Pattern, Role, Seat, Transport};

static PUB_SUB: Pattern = Pattern {
    name: "pub-sub",
    title: "PUB→1, 8 and 64 SUB without drops, messages a second over all subscribers",
    binds: Role::Publish,
    connects: Role::Subscribe,
    measure: Measure::Rate,
};

/// Both sizes for each crowd.
pub fn cells() -> Vec<Cell> {
    let to = |crowd| {
        [64, KIB].map(|size| Cell {
            pattern: &PUB_SUB,
            transport: Transport::Tcp,
            size,
            crowd,
            seat: Seat::Task,
        })
    };
    [1, 8, 64].into_iter().flat_map(to).collect()
}
