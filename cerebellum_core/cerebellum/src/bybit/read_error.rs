//! What the venue sent and cannot be read. Always recoverable: the question is asked again.

use protocol::wire::DecimalError;

use crate::execution::model::market::ImplausibleTime;

/// What cannot be read, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// A row that lacks a field, or holds one that cannot be read.
    #[error("{fault} in row {row}")]
    Row {
        /// The field and what is wrong with it.
        fault: String,
        /// The row's beginning.
        row: String,
    },
    /// A field that is no number.
    #[error("{field} {text:?} is not a number")]
    NotANumber {
        /// The field.
        field: String,
        /// Its value.
        text: String,
    },
    /// A number that no market has.
    #[error("{field} {text:?} is beyond belief")]
    BeyondBelief {
        /// The field.
        field: String,
        /// Its value.
        text: String,
    },
    /// A price or a size.
    #[error(transparent)]
    Decimal(#[from] DecimalError),
    /// A time.
    #[error(transparent)]
    Time(#[from] ImplausibleTime),
    /// A row of an instrument without a field.
    #[error("{field} is missing in row {row}")]
    Missing {
        /// The field.
        field: String,
        /// The row.
        row: String,
    },
    /// Steps of an instrument by which nothing can be rounded.
    #[error("tickSize and qtyStep must be above zero")]
    Steps,
    /// A candle with too few fields.
    #[error("candle of {symbol} with {fields} fields")]
    Candle {
        /// Of what.
        symbol: String,
        /// How many fields it has.
        fields: usize,
    },
    /// A candle that begins at no time.
    #[error("candle start {0:?} is no time")]
    CandleStart(String),
    /// A frame of the trade socket.
    #[error("trade frame cannot be read: {error}: {start}")]
    TradeFrame {
        /// What the parser reports.
        error: String,
        /// The frame's beginning.
        start: String,
    },
    /// The data of a private frame.
    #[error("data: {0}")]
    Data(String),
    /// Something that is no such JSON.
    #[error("{0}")]
    Json(String),
}
