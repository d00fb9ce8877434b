//! What a public frame holds and cannot be read. Always recoverable: the frame is dropped.

use protocol::wire::{field::Symbol, DecimalError};

use crate::execution::model::market::ImplausibleTime;

/// What cannot be read, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// The whole frame.
    #[error("public frame cannot be read: {error}: {start}")]
    Json {
        /// What the parser reports.
        error: String,
        /// The frame's beginning.
        start: String,
    },
    /// The side of a trade.
    #[error("trade of {symbol} with side {side:?}")]
    Side {
        /// Of what.
        symbol: Symbol,
        /// What it is instead.
        side: String,
    },
    /// A time.
    #[error(transparent)]
    Time(#[from] ImplausibleTime),
    /// A price or a size.
    #[error(transparent)]
    Decimal(#[from] DecimalError),
}
