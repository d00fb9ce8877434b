//! Replies: what Cerebellum answers to a command.

use serde::{Deserialize, Serialize};

use super::{
    event::{Event, OrderView},
    fault::{ErrorCode, RejectCode},
    field::{nullable, IntentId, Name, RequestId, Symbol, TradingState, V1},
    DecimalText, Family,
};

/// Any reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // A message lives for one step and is never kept in bulk.
pub enum Reply {
    /// Accepted, duplicate or rejected.
    Ack(Ack),
    /// Not treated as a command.
    Error(ErrorReply),
    /// Everything at one moment.
    Snapshot(Snapshot),
    /// Events after a number.
    Replay(Replay),
}

impl Family for Reply {
    const TYPES: &'static [&'static str] = &["ack", "error", "snapshot", "replay"];
}

/// How a command was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckStatus {
    /// Journaled and on disk.
    Accepted,
    /// Known before; the recorded order is returned.
    Duplicate,
    /// Refused, with a code.
    Rejected,
}

/// `ack`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// Always 1.
    pub v: V1,
    /// The latest market time, ms; 0 before any market data.
    pub ts: u64,
    /// The request it answers.
    pub request_id: RequestId,
    /// The intent, where the command spoke of one.
    #[serde(deserialize_with = "nullable")]
    pub intent_id: Option<IntentId>,
    /// How it was taken.
    pub status: AckStatus,
    /// Why it was rejected.
    #[serde(deserialize_with = "nullable")]
    pub code: Option<RejectCode>,
    /// For people.
    pub text: String,
    /// The recorded order, for a duplicate.
    #[serde(deserialize_with = "nullable")]
    pub order: Option<OrderView>,
}

/// `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorReply {
    /// Always 1.
    pub v: V1,
    /// The latest market time, ms; 0 before any market data.
    pub ts: u64,
    /// The request, where it could be read.
    #[serde(deserialize_with = "nullable")]
    pub request_id: Option<RequestId>,
    /// What kind of fault.
    pub code: ErrorCode,
    /// The thing, the value and the next step.
    pub text: String,
}

/// `snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Always 1.
    pub v: V1,
    /// The latest market time, ms; 0 before any market data.
    pub ts: u64,
    /// The request it answers.
    pub request_id: RequestId,
    /// The newest event that this snapshot includes.
    pub seq: u64,
    /// The state of everything together.
    pub state: TradingState,
    /// States of agents, symbols and pairs that differ from ACTIVE, and of everything.
    pub states: Vec<StateView>,
    /// Positions that are not flat.
    pub positions: Vec<PositionView>,
    /// Open orders.
    pub orders: Vec<OrderView>,
    /// Sums over all fills and funding.
    pub totals: Totals,
    /// What is known of the venue.
    pub venue: VenueView,
}

/// One trading state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateView {
    /// The agent; null for every one.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<Name>,
    /// The symbol; null for every one.
    #[serde(deserialize_with = "nullable")]
    pub symbol: Option<Symbol>,
    /// The state.
    pub state: TradingState,
}

/// One agent's position in one symbol, with its protection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionView {
    /// Whose position.
    pub agent: Name,
    /// In what.
    pub symbol: Symbol,
    /// Signed quantity.
    pub qty: DecimalText,
    /// Signed cost: average entry times quantity.
    pub cost: DecimalText,
    /// The protective stop.
    #[serde(deserialize_with = "nullable")]
    pub stop: Option<DecimalText>,
    /// The target.
    #[serde(deserialize_with = "nullable")]
    pub take_profit: Option<DecimalText>,
    /// The market time at which it is closed, ms.
    #[serde(deserialize_with = "nullable")]
    pub deadline_ts: Option<u64>,
}

/// Exact sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// How many fills.
    pub fills: u64,
    /// The sum of the fees.
    pub fees: DecimalText,
    /// The sum of `-side * price * qty - fee` and of funding.
    pub cash: DecimalText,
}

/// What is known of the venue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueView {
    /// Whether the private stream is up and reconciled.
    pub connected: bool,
    /// The wallet balance of the settle coin.
    #[serde(deserialize_with = "nullable")]
    pub wallet: Option<DecimalText>,
}

/// `replay`, the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Always 1.
    pub v: V1,
    /// The latest market time, ms; 0 before any market data.
    pub ts: u64,
    /// The request it answers.
    pub request_id: RequestId,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The newest number in the journal.
    pub last_seq: u64,
    /// Whether more events wait; ask again from the last one here.
    pub more: bool,
}
