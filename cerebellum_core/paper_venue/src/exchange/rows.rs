//! Rows as they travel, from orders, executions, positions and wallets.

use super::order::{Execution, Order};
use super::Exchange;
use crate::market::instrument::Instrument;
use protocol::bybit::enums::{OrderStatus, OrderType};
use protocol::bybit::rows::{CoinRow, ExecutionRow, OrderRow, PositionRow, WalletRow};
use rust_decimal::Decimal;

/// Decimals of figures that are rounded for display.
const SHOWN: u32 = 8;

fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

fn shown(value: Decimal) -> String {
    value.round_dp(SHOWN).normalize().to_string()
}

/// The limit of an order; zero for one that takes any price.
fn limit_price(order: &Order, instrument: &Instrument) -> String {
    match order.kind {
        OrderType::Limit => instrument.price(order.price),
        OrderType::Market if order.price > 0 => instrument.price(order.price),
        OrderType::Market => "0".to_owned(),
    }
}

/// The mean price of an order's fills; empty without one.
fn average_price(order: &Order, instrument: &Instrument) -> String {
    if order.filled == 0 {
        String::new()
    } else {
        shown(order.value / instrument.exact_qty(order.filled))
    }
}

/// Whether an order's exits are for a part of the position or for all of it; empty where it has none.
fn exit_mode(order: &Order) -> &'static str {
    let exits = order.take_profit.is_some() || order.stop_loss.is_some();
    if order.terms.partial {
        "Partial"
    } else if exits || order.trigger.is_some() {
        "Full"
    } else {
        ""
    }
}

impl Exchange {
    /// An order's row; `stream` adds what only the private stream carries.
    #[must_use]
    pub fn order_row(&self, order: &Order, stream: bool) -> OrderRow {
        let instrument = &self.instruments()[order.symbol];
        let optional =
            |price: Option<i64>| price.map_or_else(String::new, |price| instrument.price(price));
        let leaves = order.leaves();
        let follows = order.trail.is_none_or(|trail| trail.starts_at.is_none());
        OrderRow {
            category: stream.then(|| "linear".to_owned()),
            order_id: order.id.clone(),
            order_link_id: order.link_id.clone(),
            symbol: instrument.symbol.clone(),
            price: limit_price(order, instrument),
            qty: instrument.qty(order.qty),
            side: order.side.as_str().to_owned(),
            order_status: order.status.as_str().to_owned(),
            create_type: order.create_type.to_owned(),
            cancel_type: order.cancel_type.to_owned(),
            reject_reason: order.reject_reason.to_owned(),
            avg_price: average_price(order, instrument),
            leaves_qty: if leaves == 0 { "0".to_owned() } else { instrument.qty(leaves) },
            leaves_value: plain(instrument.exact_price(order.price) * instrument.exact_qty(leaves)),
            cum_exec_qty: instrument.qty(order.filled),
            cum_exec_value: plain(order.value),
            cum_exec_fee: plain(order.fee),
            time_in_force: order.time_in_force.as_str().to_owned(),
            order_type: order.kind.as_str().to_owned(),
            stop_order_type: order.stop_type.to_owned(),
            trigger_price: optional(order.trigger.filter(|_| follows).map(|trigger| trigger.price)),
            take_profit: optional(order.take_profit),
            stop_loss: optional(order.stop_loss),
            tp_trigger_by: order.take_profit.map_or("", |_| order.terms.take_profit_by).to_owned(),
            sl_trigger_by: order.stop_loss.map_or("", |_| order.terms.stop_loss_by).to_owned(),
            trigger_direction: order
                .trigger
                .map_or(0, |trigger| if trigger.rising { 1 } else { 2 }),
            trigger_by: order.trigger.map_or("", |trigger| trigger.by).to_owned(),
            last_price_on_created: instrument.price(order.last_price),
            reduce_only: order.reduce_only,
            close_on_trigger: order.close_on_trigger,
            smp_type: order.self_match.as_str().to_owned(),
            smp_order_id: order.met.clone(),
            tpsl_mode: exit_mode(order).to_owned(),
            tp_limit_price: optional(order.terms.take_profit_limit),
            sl_limit_price: optional(order.terms.stop_loss_limit),
            created_time: order.created.to_string(),
            updated_time: order.updated.to_string(),
            cum_fee_detail: [("USDT".to_owned(), plain(order.fee))].into(),
            closed_pnl: stream.then(|| plain(order.profit)),
            fee_currency: stream.then(|| "USDT".to_owned()),
            ..OrderRow::default()
        }
    }

    /// An execution's row.
    #[must_use]
    pub fn execution_row(&self, execution: &Execution, stream: bool) -> ExecutionRow {
        let instrument = &self.instruments()[execution.symbol];
        let order = execution.order.as_ref();
        let stop = order.map_or("", |order| order.stop_type);
        ExecutionRow {
            category: stream.then(|| "linear".to_owned()),
            symbol: instrument.symbol.clone(),
            order_id: order.map_or_else(|| execution.id.clone(), |order| order.id.clone()),
            order_link_id: order.map_or_else(String::new, |order| order.link_id.clone()),
            side: execution.side.as_str().to_owned(),
            order_price: order
                .map_or_else(|| "0".to_owned(), |order| instrument.price(order.price)),
            order_qty: order.map_or_else(|| "0".to_owned(), |order| instrument.qty(order.qty)),
            leaves_qty: order.map_or_else(|| "0".to_owned(), |order| instrument.qty(order.leaves)),
            create_type: order.map_or("", |order| order.create_type).to_owned(),
            order_type: order.map_or("UNKNOWN", |order| order.kind.as_str()).to_owned(),
            stop_order_type: if stop.is_empty() { "UNKNOWN" } else { stop }.to_owned(),
            exec_id: execution.id.clone(),
            exec_price: instrument.price(execution.price),
            exec_qty: instrument.qty(execution.qty),
            exec_value: plain(execution.value),
            exec_fee: plain(execution.fee),
            fee_rate: plain(execution.fee_rate),
            fee_currency: "USDT".to_owned(),
            exec_type: if order.is_some() { "Trade" } else { "Funding" }.to_owned(),
            exec_time: execution.ts.to_string(),
            exec_pnl: plain(execution.profit),
            is_maker: execution.is_maker,
            is_leverage: "0".to_owned(),
            closed_size: instrument.qty(execution.closed),
            mark_price: instrument.price(execution.mark),
            seq: execution.seq,
            ..ExecutionRow::default()
        }
    }

    /// A position's row; its `positionValue` is the carried cost, exact.
    #[must_use]
    pub fn position_row(&self, account: usize, symbol: usize, stream: bool) -> PositionRow {
        let instrument = &self.instruments()[symbol];
        let owner = &self.accounts[account];
        let position = &owner.positions[symbol];
        let last = instrument.exact_price(self.states[symbol].mark());
        let step = instrument.exact_qty(1);
        let size = instrument.exact_qty(position.steps());
        let flat = position.size == 0;
        let average = if flat { Decimal::ZERO } else { position.cost.abs() / size };
        let held = size * last;
        let optional =
            |price: Option<i64>| price.map_or_else(String::new, |price| instrument.price(price));
        let or_empty = |value: Decimal| if flat { String::new() } else { shown(value) };
        let round_trip =
            super::TAKER_FEE * Decimal::from(2) * Decimal::from(position.size.signum());
        let reserve = self.liquidation_price(account, symbol);
        let price = Some(if flat { "0".to_owned() } else { shown(average) });
        let margin = position.cost.abs() / position.leverage;
        PositionRow {
            category: stream.then(|| "linear".to_owned()),
            risk_id: 1,
            risk_limit_value: "2000000".to_owned(),
            symbol: instrument.symbol.clone(),
            side: position.side().to_owned(),
            size: if flat { "0".to_owned() } else { instrument.qty(position.steps()) },
            avg_price: if stream { None } else { price.clone() },
            entry_price: if stream { price } else { None },
            position_value: plain(position.cost.abs()),
            position_status: "Normal".to_owned(),
            adl_rank_indicator: i64::from(!flat) * 2,
            leverage: plain(position.leverage),
            position_balance: or_empty(margin),
            break_even_price: or_empty(average * (Decimal::ONE + round_trip)),
            mark_price: instrument.price(self.states[symbol].mark()),
            liq_price: reserve
                .map_or_else(String::new, |price| plain(price.round_dp(instrument.price_decimals))),
            position_im: or_empty(margin),
            position_im_by_mp: or_empty(held / position.leverage),
            position_mm: or_empty(position.cost.abs() * super::margin::MAINTENANCE),
            position_mm_by_mp: or_empty(held * super::margin::MAINTENANCE),
            tpsl_mode: "Full".to_owned(),
            take_profit: optional(position.take_profit),
            stop_loss: optional(position.stop_loss),
            trailing_stop: position
                .trailing
                .map_or_else(|| "0".to_owned(), |distance| instrument.price(distance)),
            unrealised_pnl: if flat {
                "0".to_owned()
            } else {
                shown(position.unrealised(step, last))
            },
            cur_realised_pnl: plain(position.realised_open),
            cum_realised_pnl: plain(position.realised),
            seq: self.states[symbol].seq,
            created_time: position.created.to_string(),
            updated_time: position.updated.to_string(),
            open_time: position.opened,
            ..PositionRow::default()
        }
    }

    /// The price at which this position alone would use up the account's equity.
    fn liquidation_price(&self, account: usize, symbol: usize) -> Option<Decimal> {
        let position = &self.accounts[account].positions[symbol];
        if position.size == 0 {
            return None;
        }
        let instrument = &self.instruments()[symbol];
        let standing = self.standing(account, None);
        let slack = standing.equity - standing.maintenance;
        let price = instrument.exact_price(self.states[symbol].mark())
            - slack / instrument.exact_qty(position.size);
        Some(price).filter(|price| price.is_sign_positive() && !price.is_zero())
    }

    /// An account's wallet.
    #[must_use]
    pub fn wallet_row(&self, account: usize) -> WalletRow {
        let owner = &self.accounts[account];
        let standing = self.standing(account, None);
        let margin = standing.position_margin + standing.order_margin;
        let rate = |value: Decimal| {
            if standing.equity > Decimal::ZERO {
                (value / standing.equity).round_dp(4).normalize().to_string()
            } else {
                "0".to_owned()
            }
        };
        let coin = CoinRow {
            coin: "USDT".to_owned(),
            equity: plain(standing.equity),
            usd_value: plain(standing.equity),
            wallet_balance: plain(owner.wallet),
            locked: "0".to_owned(),
            borrow_amount: "0".to_owned(),
            spot_borrow: "0".to_owned(),
            accrued_interest: "0".to_owned(),
            total_order_im: shown(standing.order_margin),
            total_position_im: shown(standing.position_margin),
            total_position_mm: shown(standing.maintenance),
            unrealised_pnl: plain(standing.unrealised),
            cum_realised_pnl: plain(owner.realised),
            bonus: "0".to_owned(),
            collateral_switch: true,
            margin_collateral: true,
            spot_hedging_qty: "0".to_owned(),
            ..CoinRow::default()
        };
        WalletRow {
            account_type: "UNIFIED".to_owned(),
            account_im_rate: rate(margin),
            account_mm_rate: rate(standing.maintenance),
            account_ltv: "0".to_owned(),
            total_equity: plain(standing.equity),
            total_wallet_balance: plain(owner.wallet),
            total_margin_balance: plain(standing.equity),
            total_available_balance: shown(standing.available()),
            total_perp_upl: plain(standing.unrealised),
            total_initial_margin: shown(margin),
            total_maintenance_margin: shown(standing.maintenance),
            coin: vec![coin],
        }
    }

    /// Whether an order is still of interest to `realtime`.
    #[must_use]
    pub fn is_open(order: &Order) -> bool {
        order.status.is_open() && order.status != OrderStatus::Triggered
    }
}
