//! The pure core: (state, input) -> (state, effects).
//!
//! No socket, file or clock is touched here. The engine hands in what arrived and what time it is,
//! writes the journal's rows before it lets any other effect out, and does what the effects ask.
//! Entry points: [`Core::new`], and [`Core::step`] for everything that arrives.
//!
//! Who may use whom, from the bottom up: [`model`] holds the values and knows nothing else here; each
//! folder keeps the state of its subject in a file of its own, which uses the model alone; `state`
//! puts those parts together into [`Core`]; and the files that decide are `impl Core` blocks, which use
//! `Core`, the model and pure functions of each other's folders. What every part shares moves down
//! into the model, so no file ever needs one that needs it.

/// Orders, positions, instruments, limits, and what goes in and out.
pub mod model;
/// From an intent to the venue's last word on its order.
pub mod oms;
/// Effects of a step, and the numbers of events.
mod outbox;
/// Guards and the exits that they ask for.
pub mod protection;
/// The venue's word against ours.
pub mod reconciliation;
/// What an intent must pass, and what stops everybody.
pub mod risk;
/// The parts of the core.
mod state;
/// One step.
mod step;
/// Transitions of orders.
mod transitions;
/// Views of the state for the wire.
mod views;

#[cfg(test)]
mod chaos_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod races_tests;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use self::state::{Core, Recovered, Setup};
