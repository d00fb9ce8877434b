//! The connection to the exchange: signed requests, two streams, clocks and limits.

/// Keys: from the environment or from a file that only we may read.
pub mod keys;
/// Orders: over the trade socket where it is up, else over REST.
pub mod orders;
/// What a refused order means.
pub mod outcome;
/// Ten minutes without requests, when the venue turns this address away.
pub mod pause;
/// Questions that the engine asks: orders, executions, positions, filters, candles.
pub mod queries;
/// What cannot be read, and why.
pub mod read_error;
/// What it means when the venue refuses the key.
pub mod refused_key;
/// Signed and unsigned requests.
pub mod rest;
/// Rows of orders and executions, as far as they are read.
pub mod rows;
/// Why a session with a stream ended.
pub mod session_error;
/// One WebSocket: connect, ping, back-off.
pub mod socket;
/// What cannot be read.
pub mod unreadable;
/// The private stream.
pub mod ws_private;
/// The public streams.
pub mod ws_public;
/// The trade socket.
pub mod ws_trade;

/// Wall milliseconds since 1970.
#[must_use]
pub fn wall_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
