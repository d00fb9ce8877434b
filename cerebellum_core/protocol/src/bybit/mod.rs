//! Bybit v5 as both sides speak it: Cerebellum as client, the paper venue as server.

/// HMAC-SHA256 signatures of REST requests and of WebSocket logins.
pub mod signing;
