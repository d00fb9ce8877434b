//! Codes: an enum for machines, a text for people.

use serde::{Deserialize, Serialize};

use super::field::RequestId;

/// Why a frame could not be treated as a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame is not one JSON object.
    BadJson,
    /// `v` is missing or not ours.
    BadVersion,
    /// `type` is missing or not known on this socket.
    UnknownType,
    /// A field is missing, extra, or holds a value outside its kind.
    BadField,
    /// The frame is larger than the limit.
    TooLarge,
    /// The intent id was used before with another body.
    IntentBodyDiffers,
    /// Moving a state up, and setting limits, needs an operator's name.
    NeedsOperator,
    /// A fault of Cerebellum itself; the log holds the details.
    Internal,
}

/// Why a well-formed intent or command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// The agent, the symbol or everything is HALTED.
    Halted,
    /// REDUCE_ONLY state, or a reduce-only intent with nothing to reduce.
    ReduceOnly,
    /// The order is larger than the limit on one order's notional.
    LimitNotional,
    /// The position would become larger than the limit on a position's notional.
    LimitPosition,
    /// The limit price is too far from the book.
    PriceCollar,
    /// The agent sends too many orders a second.
    OrderRate,
    /// The agent, or all together, lost the day's limit.
    DailyLoss,
    /// The symbol is not one of those that Cerebellum was started with.
    UnknownSymbol,
    /// The quantity is not positive, off the step or above the venue's maximum.
    BadQuantity,
    /// The price is missing, not positive, off the tick or outside the venue's range.
    BadPrice,
    /// The order is below the venue's minimum quantity or notional.
    BelowMinimum,
    /// The time to live passed before the venue had the order.
    Expired,
    /// There is no trustworthy book of the symbol.
    StaleBook,
    /// A limit counts a position or an order whose price is not known, so it cannot be checked.
    MarkUnknown,
    /// So many orders wait for their turn at the venue that no more are taken.
    TooManyWaiting,
    /// Cerebellum has not yet reconciled with the venue.
    NotReady,
    /// The journal cannot be written, so no entry is taken; nothing of it was recorded.
    JournalUnwritable,
    /// The venue reports that the margin does not suffice.
    InsufficientMargin,
    /// The venue refused for another reason, reported in the text.
    VenueRejected,
    /// No intent with this id is known.
    UnknownIntent,
    /// The order has ended, so nothing of it can be changed.
    OrderEnded,
    /// The order cannot be changed now, or never; the text names why.
    NotAmendable,
}

impl RejectCode {
    /// The code as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::ReduceOnly => "reduce_only",
            Self::LimitNotional => "limit_notional",
            Self::LimitPosition => "limit_position",
            Self::PriceCollar => "price_collar",
            Self::OrderRate => "order_rate",
            Self::DailyLoss => "daily_loss",
            Self::UnknownSymbol => "unknown_symbol",
            Self::BadQuantity => "bad_quantity",
            Self::BadPrice => "bad_price",
            Self::BelowMinimum => "below_minimum",
            Self::Expired => "expired",
            Self::StaleBook => "stale_book",
            Self::MarkUnknown => "mark_unknown",
            Self::TooManyWaiting => "too_many_waiting",
            Self::NotReady => "not_ready",
            Self::JournalUnwritable => "journal_unwritable",
            Self::InsufficientMargin => "insufficient_margin",
            Self::VenueRejected => "venue_rejected",
            Self::UnknownIntent => "unknown_intent",
            Self::OrderEnded => "order_ended",
            Self::NotAmendable => "not_amendable",
        }
    }
}

/// A frame that could not be treated as a message, with what an `error` reply reports of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code.
    pub code: ErrorCode,
    /// The request it belongs to, where that could be read.
    pub request_id: Option<RequestId>,
    /// The thing, the value and the next step.
    pub text: String,
}

impl Fault {
    /// A fault.
    #[must_use]
    pub fn new(code: ErrorCode, request_id: Option<RequestId>, text: String) -> Self {
        Self { code, request_id, text }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.text)
    }
}

impl std::error::Error for Fault {}
