//! Commands: what the arena asks.

use serde::{Deserialize, Serialize};

use super::{
    field::{nullable, IntentId, Kind, Name, Reason, RequestId, Side, Symbol, TradingState, V1},
    DecimalText, Family,
};

/// Any command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // A message lives for one step and is never kept in bulk.
pub enum Command {
    /// Place an order for an agent.
    Submit(Submit),
    /// Take one order back.
    Cancel(Cancel),
    /// Take many orders back.
    CancelAll(CancelAll),
    /// Close positions with reduce-only market orders.
    Flatten(Flatten),
    /// Move a trading state.
    SetState(SetState),
    /// The arena lives.
    Heartbeat(Plain),
    /// Everything at one moment.
    Snapshot(Plain),
    /// Events after a number.
    Replay(ReplayRequest),
}

impl Family for Command {
    const TYPES: &'static [&'static str] = &[
        "submit",
        "cancel",
        "cancel_all",
        "flatten",
        "set_state",
        "heartbeat",
        "snapshot",
        "replay",
    ];
}

impl Command {
    /// The request that this command is.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        match self {
            Self::Submit(c) => &c.request_id,
            Self::Cancel(c) => &c.request_id,
            Self::CancelAll(c) => &c.request_id,
            Self::Flatten(c) => &c.request_id,
            Self::SetState(c) => &c.request_id,
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
    /// Whose order is taken back.
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
