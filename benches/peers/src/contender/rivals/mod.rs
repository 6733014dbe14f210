//! Libraries in Rust that speak the same protocol. They take long to compile and stand behind the feature `rivals`.

mod monocoque;
mod omq;
mod rzmq;
mod zeromq;

use super::Entry;
use crate::cell::Cell;

/// All of them, in the order of the tables.
pub const ENTRIES: [Entry; 4] = [zeromq::ENTRY, rzmq::ENTRY, omq::ENTRY, monocoque::ENTRY];

fn offers_no_curve(cell: &Cell) -> Result<(), &'static str> {
    if cell.curve {
        Err("it has no CURVE")
    } else {
        offers_no_seats(cell)
    }
}

fn offers_no_seats(cell: &Cell) -> Result<(), &'static str> {
    if cell.pattern.name.starts_with("seats") {
        Err("seats are measured of floor, libzmq and jackstay")
    } else {
        Ok(())
    }
}
