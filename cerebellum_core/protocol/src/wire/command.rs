//! Commands: what the arena asks.

use serde::{Deserialize, Serialize};

use super::{
    field::{nullable, IntentId, Kind, Name, Reason, RequestId, Side, Symbol, TradingState, V1},
    DecimalText,
};

/// Any command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // A message lives for one step and is never kept in bulk.
pub enum Command {
    /// Place an order for an agent.
    Submit(Submit),
    /// Change the quantity or the price of one order.
    Amend(Amend),
    /// Take one order back.
    Cancel(Cancel),
    /// Take many orders back.
    CancelAll(CancelAll),
    /// Close positions with reduce-only market orders.
    Flatten(Flatten),
    /// Move a trading state.
    SetState(SetState),
    /// Put limits in force.
    SetLimits(SetLimits),
    /// The arena lives.
    Heartbeat(Plain),
    /// Everything at one moment.
    Snapshot(Plain),
    /// Events after a number.
    Replay(ReplayRequest),
}

impl Command {
    /// The request that this command is.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        match self {
            Self::Submit(c) => &c.request_id,
            Self::Amend(c) => &c.request_id,
            Self::Cancel(c) => &c.request_id,
            Self::CancelAll(c) => &c.request_id,
            Self::Flatten(c) => &c.request_id,
            Self::SetState(c) => &c.request_id,
            Self::SetLimits(c) => &c.request_id,
            Self::Heartbeat(c) | Self::Snapshot(c) => &c.request_id,
            Self::Replay(c) => &c.request_id,
        }
    }
}

/// `submit`: an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// Always 1.
    pub v: V1,
    /// Market time of the decision, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// The intent's identity; the venue's client order id derives from it.
    pub intent_id: IntentId,
    /// Who wants it.
    pub agent: Name,
    /// The model version behind it.
    pub version: Name,
    /// What to trade.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Market or limit.
    pub kind: Kind,
    /// How much, in the base coin.
    pub qty: DecimalText,
    /// The price of a limit order; null for a market order.
    #[serde(deserialize_with = "nullable")]
    pub limit_price: Option<DecimalText>,
    /// Whether the order may only make the agent's position smaller.
    pub reduce_only: bool,
    /// Market milliseconds after `ts` until which the order may be sent.
    pub ttl_ms: u64,
    /// Protection of the position that this intent opens.
    #[serde(deserialize_with = "nullable")]
    pub protect: Option<Protect>,
    /// Why, for people.
    pub reason: Reason,
}

/// Where a position is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// Close at a loss here.
    #[serde(deserialize_with = "nullable")]
    pub stop: Option<DecimalText>,
    /// Close at a gain here.
    #[serde(deserialize_with = "nullable")]
    pub take_profit: Option<DecimalText>,
    /// Close at this market time, ms.
    #[serde(deserialize_with = "nullable")]
    pub deadline_ts: Option<u64>,
}

/// `amend`: new terms of a limit order; null leaves a term as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amend {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Whose order is changed.
    pub intent_id: IntentId,
    /// The agent of that intent.
    pub agent: Name,
    /// The whole quantity after the change, what is filled included.
    #[serde(deserialize_with = "nullable")]
    pub qty: Option<DecimalText>,
    /// The limit price after the change.
    #[serde(deserialize_with = "nullable")]
    pub limit_price: Option<DecimalText>,
}

/// `cancel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Whose order is withdrawn.
    pub intent_id: IntentId,
}

/// `cancel_all`: null means every one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelAll {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Only this agent's orders.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<Name>,
    /// Only this symbol's orders.
    #[serde(deserialize_with = "nullable")]
    pub symbol: Option<Symbol>,
}

/// `flatten`: null means every one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Only this agent's positions.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<Name>,
    /// Only this symbol's positions.
    #[serde(deserialize_with = "nullable")]
    pub symbol: Option<Symbol>,
    /// Why; the closing orders carry it.
    pub reason: Reason,
}

/// `set_state`: null means every one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetState {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Only this agent.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<Name>,
    /// Only this symbol.
    #[serde(deserialize_with = "nullable")]
    pub symbol: Option<Symbol>,
    /// The state to move to.
    pub state: TradingState,
    /// Who moves it; needed to move up.
    #[serde(deserialize_with = "nullable")]
    pub operator: Option<Name>,
}

/// `set_limits`: each section given is in force as a whole; null leaves it as it is.
///
/// Sections and names are those of the limits file; a null in a section is no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimits {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Who sets them; needed.
    #[serde(deserialize_with = "nullable")]
    pub operator: Option<Name>,
    /// Limits on one order.
    #[serde(deserialize_with = "nullable")]
    pub order: Option<OrderSection>,
    /// Limits on positions.
    #[serde(deserialize_with = "nullable")]
    pub position: Option<PositionSection>,
    /// Limits on the loss of a market day.
    #[serde(deserialize_with = "nullable")]
    pub daily_loss: Option<DailyLossSection>,
    /// What the venue allows.
    #[serde(deserialize_with = "nullable")]
    pub venue: Option<VenueSection>,
}

/// `order` of `set_limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderSection {
    /// The largest price times quantity of one order.
    #[serde(deserialize_with = "nullable")]
    pub max_notional: Option<DecimalText>,
    /// How far a limit price may cross the best price, in basis points.
    pub collar_bps: u32,
    /// Submits and amends of one agent in a second.
    pub per_second_per_agent: u32,
}

/// `position` of `set_limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionSection {
    /// The largest notional of one agent in one symbol.
    #[serde(deserialize_with = "nullable")]
    pub max_notional: Option<DecimalText>,
    /// The largest sum of all agents' notionals.
    #[serde(deserialize_with = "nullable")]
    pub max_total_notional: Option<DecimalText>,
}

/// `daily_loss` of `set_limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailyLossSection {
    /// What one agent may lose in a market day.
    #[serde(deserialize_with = "nullable")]
    pub agent: Option<DecimalText>,
    /// What all together may lose in a market day.
    #[serde(deserialize_with = "nullable")]
    pub total: Option<DecimalText>,
}

/// `venue` of `set_limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueSection {
    /// Orders sent to the venue in any one second.
    pub orders_per_second: u32,
}

/// `heartbeat` and `snapshot`: no field of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
}

/// `replay`, the command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Always 1.
    pub v: V1,
    /// Market time, ms.
    pub ts: u64,
    /// Repeated in the reply.
    pub request_id: RequestId,
    /// Events with a larger number are returned.
    pub since_seq: u64,
    /// At most this many; 1 to 1000.
    #[serde(deserialize_with = "replay_limit")]
    pub limit: u32,
}

fn replay_limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let limit = u32::deserialize(deserializer)?;
    if (1..=1000).contains(&limit) {
        Ok(limit)
    } else {
        Err(serde::de::Error::custom(format!("limit is {limit}; use 1 to 1000")))
    }
}
