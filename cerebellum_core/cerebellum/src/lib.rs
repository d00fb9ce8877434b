//! Cerebellum: the only process that touches an exchange.
//!
//! Commands come in over ZeroMQ, are checked and journaled on disk, and leave as signed Bybit v5
//! requests; what the exchange reports is booked per agent, numbered and published.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Addresses that settings may name.
mod addresses;
/// Books, their features, candles.
pub mod book;
/// The connection to the exchange.
pub mod bybit;
/// The thread that owns sockets, journal and core.
pub mod engine;
/// The pure core: decisions as functions of values.
pub mod execution;
/// The record on disk.
pub mod journal;
/// Putting the parts together.
pub mod process;
/// What ends the process.
pub mod process_error;
/// Recorded public frames, read offline.
pub mod replay_frames;
/// The folder of the sockets.
pub mod run_folder;
/// Flags, config file, checks.
pub mod settings;
/// Logs and metrics.
pub mod telemetry;
/// The uplink to the venue.
pub mod uplink;
