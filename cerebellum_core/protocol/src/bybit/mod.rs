//! Bybit v5 as both sides speak it: Cerebellum as client, the paper venue as server.

/// Codes of `retCode`, by name.
pub mod codes;
/// Scaled integers and exact decimals: one price, one spelling.
pub mod decimals;
/// The words of orders: side, kind, time in force, status.
pub mod enums;
/// The envelope of every REST answer.
pub mod envelope;
/// Rows of orders, executions, positions and wallets.
pub mod rows;
/// HMAC-SHA256 signatures of REST requests and of WebSocket logins.
pub mod signing;
