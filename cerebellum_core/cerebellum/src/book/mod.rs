//! Market data as pure state: order books, their features, candles in order.

/// Closed candles in order, without holes.
pub mod candles;
/// Features of ten levels over one market second.
pub mod features;
/// What cannot be read, and why.
pub mod frame_error;
/// The order book itself.
pub mod ladder;
/// Its best levels at one market time, to be published.
pub mod levels;
/// Everything public of all symbols: frames in, messages out.
pub mod market_data;
/// Public frames of the exchange, as they travel.
pub mod public_frames;
