//! Risk: what an intent must pass before it becomes an order, and what stops an agent or everybody.
//!
//! Entry points: [`checks::check`] for one intent, `Core::watch_daily_loss` once a second, and
//! `Core::set_limits` for an operator. Invariants: a limit that is set always binds, a figure that is
//! not known refuses what it matters to, and a trading state moves up only by a person's name.

/// Pre-trade checks.
pub mod checks;
/// The loss of a market day.
mod daily_loss;
/// Limits that are put in force while running.
mod limit_updates;
/// What risk keeps in mind.
pub(in crate::execution) mod risk_state;

#[cfg(test)]
mod limit_updates_tests;
#[cfg(test)]
mod limits_tests;
