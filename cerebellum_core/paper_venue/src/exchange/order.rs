//! One order and its whole life.

use protocol::bybit::enums::{OrderStatus, OrderType, Side, TimeInForce};
use rust_decimal::Decimal;

/// What wakes a conditional order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// Price in ticks.
    pub price: i64,
    /// Whether the market must rise to it.
    pub rising: bool,
    /// Which price is watched, as it travels.
    pub by: &'static str,
}

impl Trigger {
    /// Whether the market is there.
    #[must_use]
    pub const fn is_met(&self, price: i64) -> bool {
        if self.rising {
            price >= self.price
        } else {
            price <= self.price
        }
    }
}

/// What happens when an order would meet one of its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelfMatch {
    /// They trade with each other.
    #[default]
    Allowed,
    /// The resting one is cancelled.
    CancelMaker,
    /// The one that takes is cancelled.
    CancelTaker,
    /// Both are cancelled.
    CancelBoth,
}

impl SelfMatch {
    /// The word as it travels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "None",
            Self::CancelMaker => "CancelMaker",
            Self::CancelTaker => "CancelTaker",
            Self::CancelBoth => "CancelBoth",
        }
    }
}

/// How the take-profit and stop-loss of a position are to be placed. Prices in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitTerms {
    /// For a part of the position, beside those that are there, instead of for all of it.
    pub partial: bool,
    /// Limit of the take-profit; at the market without one.
    pub take_profit_limit: Option<i64>,
    /// Limit of the stop-loss; at the market without one.
    pub stop_loss_limit: Option<i64>,
    /// Price that the take-profit watches.
    pub take_profit_by: &'static str,
    /// Price that the stop-loss watches.
    pub stop_loss_by: &'static str,
}

impl Default for ExitTerms {
    fn default() -> Self {
        Self {
            partial: false,
            take_profit_limit: None,
            stop_loss_limit: None,
            take_profit_by: "LastPrice",
            stop_loss_by: "LastPrice",
        }
    }
}

/// How a trailing stop follows the market. Prices in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trail {
    /// How far behind the best price it stays.
    pub distance: i64,
    /// Price that the market must reach before it follows; `None` once it does.
    pub starts_at: Option<i64>,
}

/// One order.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its number in the order of arrival.
    pub number: u64,
    /// Who is first at a price; grows when an amendment costs the place in the queue.
    pub priority: u64,
    /// Index of the account.
    pub account: usize,
    /// Index of the symbol.
    pub symbol: usize,
    /// The venue's id.
    pub id: String,
    /// The client's id; may be empty.
    pub link_id: String,
    /// Side.
    pub side: Side,
    /// With or without a limit.
    pub kind: OrderType,
    /// How long it works.
    pub time_in_force: TimeInForce,
    /// Limit in ticks; for a market order the worst price it may take.
    pub price: i64,
    /// Total quantity in steps.
    pub qty: i64,
    /// Filled quantity in steps.
    pub filled: i64,
    /// Sum of price times quantity of its fills.
    pub value: Decimal,
    /// Sum of its fees.
    pub fee: Decimal,
    /// Sum of what its fills closed, before fees.
    pub profit: Decimal,
    /// Where it stands.
    pub status: OrderStatus,
    /// Only closes.
    pub reduce_only: bool,
    /// Makes room for itself when triggered.
    pub close_on_trigger: bool,
    /// What wakes it.
    pub trigger: Option<Trigger>,
    /// `Stop`, `TakeProfit`, `StopLoss`, `TrailingStop`, `PartialTakeProfit`, `PartialStopLoss` or
    /// empty.
    pub stop_type: &'static str,
    /// How a trailing stop follows the market.
    pub trail: Option<Trail>,
    /// The exit that leaves when this one fires.
    pub pair: Option<u64>,
    /// Partial exits that its fills placed.
    pub children: Vec<u64>,
    /// How its take-profit and stop-loss are to be placed.
    pub terms: ExitTerms,
    /// What happens when it would meet one of its own account.
    pub self_match: SelfMatch,
    /// The order that it would have met, once that ended it.
    pub met: String,
    /// Take-profit for the position it opens, in ticks.
    pub take_profit: Option<i64>,
    /// Stop-loss for the position it opens, in ticks.
    pub stop_loss: Option<i64>,
    /// Who made it, as it travels.
    pub create_type: &'static str,
    /// Why it ended, as it travels.
    pub cancel_type: &'static str,
    /// Why it was not filled, as it travels.
    pub reject_reason: &'static str,
    /// Market's quantity ahead of it at its price, in steps.
    pub ahead: i64,
    /// Last price when it came, in ticks.
    pub last_price: i64,
    /// Market time of its arrival.
    pub created: i64,
    /// Market time of its last change.
    pub updated: i64,
}

impl Order {
    /// Whether it is an exit that the venue placed for a position.
    #[must_use]
    pub fn is_exit(&self) -> bool {
        !matches!(self.stop_type, "" | "Stop")
    }

    /// Whether it is an exit for the whole position, however large that is when it fires.
    #[must_use]
    pub fn is_full_exit(&self) -> bool {
        matches!(self.stop_type, "TakeProfit" | "StopLoss" | "TrailingStop")
    }

    /// What is still to fill, in steps; zero once it ended.
    #[must_use]
    pub fn leaves(&self) -> i64 {
        if self.status.is_open() {
            self.qty - self.filled
        } else {
            0
        }
    }

    /// Adds a fill: its steps, its value, its fee, and what it closed before that.
    pub fn fill(&mut self, qty: i64, value: Decimal, fee: Decimal, profit: Decimal, now: i64) {
        self.filled += qty;
        self.value += value;
        self.fee += fee;
        self.profit += profit;
        self.updated = now;
        self.status = if self.filled == self.qty {
            OrderStatus::Filled
        } else {
            OrderStatus::PartiallyFilled
        };
    }

    /// Ends it unfilled or partly filled.
    pub fn end(&mut self, cancel_type: &'static str, reason: &'static str, now: i64) {
        self.status = if self.status == OrderStatus::Untriggered {
            OrderStatus::Deactivated
        } else {
            OrderStatus::Cancelled
        };
        self.cancel_type = cancel_type;
        self.reject_reason = reason;
        self.updated = now;
    }
}

/// One execution: a fill, or a funding payment.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The venue's id.
    pub id: String,
    /// Index of the symbol.
    pub symbol: usize,
    /// The order it belongs to; `None` for funding.
    pub order: Option<FilledOrder>,
    /// Side of the order, or of the position that paid.
    pub side: Side,
    /// Price in ticks.
    pub price: i64,
    /// Quantity in steps.
    pub qty: i64,
    /// Price times quantity.
    pub value: Decimal,
    /// What was paid; below zero when received.
    pub fee: Decimal,
    /// Rate of the fee.
    pub fee_rate: Decimal,
    /// What the closed part brought, before fees.
    pub profit: Decimal,
    /// Whether the order was resting.
    pub is_maker: bool,
    /// Steps that it closed.
    pub closed: i64,
    /// Mark price in ticks.
    pub mark: i64,
    /// Market time.
    pub ts: i64,
    /// Cross sequence.
    pub seq: i64,
}

/// The part of an order that its executions repeat.
#[derive(Debug, Clone)]
pub struct FilledOrder {
    /// The venue's id.
    pub id: String,
    /// The client's id.
    pub link_id: String,
    /// Limit in ticks.
    pub price: i64,
    /// Total quantity in steps.
    pub qty: i64,
    /// What is left after this execution.
    pub leaves: i64,
    /// With or without a limit.
    pub kind: OrderType,
    /// `Stop`, `TakeProfit`, `StopLoss` or empty.
    pub stop_type: &'static str,
    /// Who made it.
    pub create_type: &'static str,
}

impl From<&Order> for FilledOrder {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id.clone(),
            link_id: order.link_id.clone(),
            price: order.price,
            qty: order.qty,
            leaves: order.qty - order.filled,
            kind: order.kind,
            stop_type: order.stop_type,
            create_type: order.create_type,
        }
    }
}
