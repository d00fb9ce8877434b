//! Reconciliation: the venue's word against ours.
//!
//! Entry points: `Core::venue_input` for everything that the venue reports, `Core::audit_when_due` and
//! `Core::watch_foreign_orders` for what is to be asked. Invariants: an execution is booked once, no
//! intent is taken before everything missed was fetched, and a difference that stays is an alarm.

/// Where the reconciliation stands.
pub(in crate::execution) mod audit;
/// Which executions are booked.
pub(in crate::execution) mod executions;
/// Open orders that are not ours.
pub(in crate::execution) mod foreign_orders;
/// Funding payments and whose they are.
mod funding;
/// The list of the account's open orders.
mod open_orders;
/// Comparing the agents' sum with the venue.
mod position_audit;
/// Readiness after a connect.
mod readiness;
/// What the venue reports.
mod venue_events;

#[cfg(test)]
mod foreign_orders_tests;
#[cfg(test)]
mod funding_tests;
#[cfg(test)]
mod venue_time_tests;
