//! Order management: commands come in, orders are journaled, sent, amended, cancelled and asked for.
//!
//! Entry points: `Core::command` for what the arena asks, `Core::release` and `Core::release_amends`
//! for what may leave now. Invariants: an order is journaled before it leaves, an intent becomes one
//! order however often it is sent, and an order whose fate is unknown is asked for and never doubled.

/// Changing the terms of an order.
mod amend;
/// Commands of the arena.
mod commands;
/// What is done while the journal cannot be written.
mod journaling;
/// Fair sharing of the venue's order rate.
pub mod rate_limit;
/// The order state machine.
pub mod state_machine;
/// Sending, asking, resending.
mod submission;
/// When an open order is asked for.
mod tracking;
/// How much the venue takes of each kind of request.
pub(in crate::execution) mod venue_rates;

#[cfg(test)]
mod amend_tests;
#[cfg(test)]
mod journaling_tests;
