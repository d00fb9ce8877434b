//! Events: what happened, numbered without gaps by the journal.

use serde::{Deserialize, Serialize};

use super::{
    field::{nullable, IntentId, Kind, Name, Reason, Side, Symbol, TradingState, V1},
    DecimalText, Family,
};

/// Any event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An order changed.
    Order(OrderEvent),
    /// A trade of one of our orders.
    Fill(FillEvent),
    /// Funding paid or received.
    Funding(FundingEvent),
    /// An agent's position changed.
    Position(PositionEvent),
    /// Something a person should know.
    Risk(RiskEvent),
    /// A trading state moved.
    State(StateEvent),
}

impl Family for Event {
    const TYPES: &'static [&'static str] =
        &["order", "fill", "funding", "position", "risk", "state"];
}

impl Event {
    /// The event's number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Order(e) => e.seq,
            Self::Fill(e) => e.seq,
            Self::Funding(e) => e.seq,
            Self::Position(e) => e.seq,
            Self::Risk(e) => e.seq,
            Self::State(e) => e.seq,
        }
    }

    /// The event's `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Order(_) => "order",
            Self::Fill(_) => "fill",
            Self::Funding(_) => "funding",
            Self::Position(_) => "position",
            Self::Risk(_) => "risk",
            Self::State(_) => "state",
        }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Journaled, not yet sent.
    Pending,
    /// In flight to the venue, or acknowledged but not yet seen on the private stream.
    Sent,
    /// Rests at the venue.
    New,
    /// Rests at the venue, partly filled.
    PartiallyFilled,
    /// Filled whole.
    Filled,
    /// Ended with a rest unfilled; `filled_qty` may be above zero.
    Cancelled,
    /// Refused, by Cerebellum or by the venue.
    Rejected,
    /// Whether the venue has it is being asked.
    Unknown,
}

impl OrderStatus {
    /// Whether nothing more is expected.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Rejected)
    }

    /// The status as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::New => "new",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

/// An order as the wire shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderView {
    /// The intent behind it.
    pub intent_id: IntentId,
    /// The client order id at the venue.
    pub order_link_id: String,
    /// The venue's id, once known.
    #[serde(deserialize_with = "nullable")]
    pub order_id: Option<String>,
    /// Whose order.
    pub agent: Name,
    /// The model version behind it.
    pub version: Name,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Market or limit.
    pub kind: Kind,
    /// How much was asked for.
    pub qty: DecimalText,
    /// The limit price.
    #[serde(deserialize_with = "nullable")]
    pub limit_price: Option<DecimalText>,
    /// Whether it may only reduce the agent's position.
    pub reduce_only: bool,
    /// Where it stands.
    pub status: OrderStatus,
    /// How much is filled.
    pub filled_qty: DecimalText,
    /// The average price of the fills.
    #[serde(deserialize_with = "nullable")]
    pub avg_price: Option<DecimalText>,
    /// The code of a refusal.
    #[serde(deserialize_with = "nullable")]
    pub code: Option<String>,
    /// What the venue or Cerebellum reported.
    #[serde(deserialize_with = "nullable")]
    pub text: Option<String>,
    /// Why it was sent.
    pub reason: Reason,
}

/// `order`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderEvent {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// The event's number.
    pub seq: u64,
    /// The order after the change.
    pub order: OrderView,
}

/// `fill`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FillEvent {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// The event's number.
    pub seq: u64,
    /// The venue's id of the execution.
    pub exec_id: String,
    /// The intent behind it.
    pub intent_id: IntentId,
    /// The client order id.
    pub order_link_id: String,
    /// The venue's order id.
    pub order_id: String,
    /// Whose fill.
    pub agent: Name,
    /// The model version behind it.
    pub version: Name,
    /// What was traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How much.
    pub qty: DecimalText,
    /// At what price.
    pub price: DecimalText,
    /// What it cost; negative is a rebate.
    pub fee: DecimalText,
    /// The coin of the fee.
    pub fee_currency: String,
    /// Whether our order rested.
    pub is_maker: bool,
    /// Market time of the trade, ms.
    pub exec_ts: u64,
    /// Why the order was sent.
    pub reason: Reason,
}

/// `funding`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FundingEvent {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// The event's number.
    pub seq: u64,
    /// The venue's id of the settlement.
    pub exec_id: String,
    /// Whose share.
    pub agent: Name,
    /// Of what.
    pub symbol: Symbol,
    /// What the agent paid; negative: received.
    pub amount: DecimalText,
    /// Market time of the settlement, ms.
    pub exec_ts: u64,
}

/// `position`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionEvent {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// The event's number.
    pub seq: u64,
    /// Whose position.
    pub agent: Name,
    /// In what.
    pub symbol: Symbol,
    /// Signed quantity.
    pub qty: DecimalText,
    /// Signed cost: average entry times quantity.
    pub cost: DecimalText,
}

/// `risk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskEvent {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// The event's number.
    pub seq: u64,
    /// What kind of alarm.
    pub code: String,
    /// The thing, both sides, the next step.
    pub text: String,
    /// The agent concerned.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<Name>,
    /// The symbol concerned.
    #[serde(deserialize_with = "nullable")]
    pub symbol: Option<Symbol>,
}

/// `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEvent {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// The event's number.
    pub seq: u64,
    /// The agent concerned; null for every one.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<Name>,
    /// The symbol concerned; null for every one.
    #[serde(deserialize_with = "nullable")]
    pub symbol: Option<Symbol>,
    /// The state after the move.
    pub state: TradingState,
    /// Who or what moved it.
    pub reason: Reason,
}
