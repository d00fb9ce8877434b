//! The values that decisions are made of: intents and orders, positions and cash, instruments and
//! quotes, the limits, and the inputs and effects of a step.
//!
//! Everything else in `execution` may use this; nothing here knows the core. Invariants: an order's
//! indexes follow every change of it ([`orders`]), and sums of fills are exact and independent of
//! their sequence ([`ledger`]).

/// Where agents stood at the start of the market day.
pub mod day_book;
/// Stops, targets and deadlines.
pub mod guard;
/// What goes in, what comes out.
pub mod io;
/// How the journal takes rows.
pub mod journaling;
/// Per-agent sub-ledgers.
pub mod ledger;
/// The limits file.
pub mod limits;
/// Instruments and quotes.
pub mod market;
/// The market at this moment.
pub(in crate::execution) mod market_view;
/// Intents and orders.
pub mod order;
/// Every order in memory, and what is open.
pub(in crate::execution) mod orders;
/// When an open order is asked for.
pub(in crate::execution) mod schedule;
/// Trading states by scope.
pub mod trading_state;
