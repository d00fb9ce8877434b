//! An exchange that speaks Bybit v5 on loopback.
//!
//! From the inside out: [`market`] makes prices, [`book`] puts everybody else's orders around them,
//! [`exchange`] holds accounts and matches orders as a function of market time, [`feed`] turns what
//! happened into frames, and [`server`] is the rim with sockets, the wall clock and faults; [`mirror`] stands beside
//! it and brings in what a real exchange reports.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Everybody else's book.
pub mod book;
/// Wall time and market time.
pub mod clock;
/// Accounts, orders and matching.
pub mod exchange;
/// Frames for those who listen.
pub mod feed;
/// Connections that can break on demand.
pub mod listener;
/// Where prices come from.
pub mod market;
/// The public side of a real exchange, as a market.
pub mod mirror;
/// How often something strikes.
pub mod random_generator;
/// Sockets, keys, limits and faults.
pub mod server;
/// Settings.
pub mod settings;
