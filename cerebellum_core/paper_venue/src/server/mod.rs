//! The rim: sockets, the wall clock, keys, limits and faults.

/// Status and faults for whoever runs the venue.
pub mod admin;
/// Answers and the envelopes that they travel in.
pub mod answer;
/// Who sent a request.
pub mod auth;
/// Batches of orders.
pub mod batch;
/// What goes wrong on demand.
pub mod faults;
/// Who may ask at all.
pub mod gate;
/// Rate limits.
pub mod limits;
/// Which parameters a query takes.
pub mod parameters;
/// Queries of orders, executions, positions and wallets.
pub mod private;
/// All that is read, without sockets.
pub mod probe;
/// Queries of market data.
pub mod public;
/// Query strings.
pub mod query;
/// Private requests inside their rate limit.
pub mod rate_limited;
/// What is wrong with a request of whoever runs the venue.
pub mod request_error;
/// REST requests and answers.
pub mod rest;
/// Which handler answers which path.
mod router;
/// Which requests a fault is for, and how often it strikes.
pub mod scope;
/// WebSocket connections.
pub mod sockets;
/// Everything that changes, behind one lock.
mod venue;

pub use router::router;
pub use venue::{Core, Venue};
