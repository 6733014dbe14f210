//! REQ/REP: how long a question of 64 octets waits for its answer, from either seat.

use super::{Cell, Measure, Pattern, Role, Seat, Transport};

static REQ_REP: Pattern = Pattern {
    name: "req-rep",
    title: "REQ/REP round trip, median",
    binds: Role::Reply,
    connects: Role::Request,
    measure: Measure::RoundTrip,
};

/// Both seats over both transports that cross a process boundary.
pub fn cells() -> Vec<Cell> {
    let over = |transport| {
        [Seat::Task, Seat::Main].map(|seat| Cell {
            pattern: &REQ_REP,
            transport,
            size: 64,
            crowd: 1,
            seat,
        })
    };
    [Transport::Tcp, Transport::Ipc]
        .into_iter()
        .flat_map(over)
        .collect()
}
