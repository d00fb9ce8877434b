//! Protection of positions: stops, targets, deadlines, flatten and the dead-man switch.
//!
//! Entry points: `Core::drive_exits` when prices or time move, `Core::flatten_scope` for whoever wants
//! out, `Core::fit_exits` after whatever changed what can still be closed. Invariants: one exit machine
//! for each (agent, symbol), and all exits together never close more than the position.

/// Protective exits, flatten, dead-man switch.
mod exits;
/// What watches over positions.
pub(in crate::execution) mod protection_state;
/// Exits beside each other.
pub(in crate::execution) mod reduce_only_capacity;

#[cfg(test)]
mod exits_tests;
#[cfg(test)]
mod reduce_only_capacity_tests;
