//! What an account could lose, and if it can afford an order.

use super::order::Order;
use super::{Exchange, TAKER_FEE};
use protocol::bybit::enums::{OrderStatus, Side, TimeInForce};
use rust_decimal::Decimal;

/// Maintenance margin as a share of the value.
pub const MAINTENANCE: Decimal = Decimal::from_parts(5, 0, 0, false, 3);

/// An account's money at the last prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Wallet and what open positions would bring.
    pub equity: Decimal,
    /// What open positions would bring.
    pub unrealised: Decimal,
    /// Initial margin of positions.
    pub position_margin: Decimal,
    /// Initial margin of open orders beyond that of positions.
    pub order_margin: Decimal,
    /// Maintenance margin.
    pub maintenance: Decimal,
}

impl Standing {
    /// What is free for new orders.
    #[must_use]
    pub fn available(&self) -> Decimal {
        (self.equity - self.position_margin - self.order_margin).max(Decimal::ZERO)
    }
}

impl Exchange {
    /// An account's money, with one more order if given.
    #[must_use]
    pub fn standing(&self, account: usize, more: Option<&Order>) -> Standing {
        let owner = &self.accounts[account];
        let mut standing = Standing {
            equity: owner.wallet,
            unrealised: Decimal::ZERO,
            position_margin: Decimal::ZERO,
            order_margin: Decimal::ZERO,
            maintenance: Decimal::ZERO,
        };
        let mut orders: Vec<&Order> =
            owner.open.iter().filter_map(|number| self.orders.get(number)).collect();
        orders.extend(more);
        for (symbol, position) in owner.positions.iter().enumerate() {
            let mine = orders.iter().filter(|order| order.symbol == symbol && !order.reduce_only);
            let mut working = [0_i64, 0_i64];
            let mut worst = 0_i64;
            for order in mine.filter(|order| order.status != OrderStatus::Untriggered) {
                let side = usize::from(order.side == Side::Sell);
                working[side] = working[side].saturating_add(order.leaves());
                worst = worst.max(self.cost_price(order));
            }
            if position.size == 0 && working == [0, 0] {
                continue;
            }
            let instrument = &self.instruments()[symbol];
            let last = instrument.exact_price(self.states[symbol].mark());
            let step = instrument.exact_qty(1);
            let held = Decimal::from(position.steps()) * step * last;
            let long = position.size.saturating_add(working[0]).max(0);
            let short = working[1].saturating_sub(position.size).max(0);
            let largest = long.max(short).max(position.steps());
            let beyond =
                Decimal::from(largest - position.steps()) * step * instrument.exact_price(worst);
            standing.unrealised += position.unrealised(step, last);
            standing.position_margin += held / position.leverage;
            standing.order_margin += beyond / position.leverage;
            standing.maintenance += held * MAINTENANCE;
        }
        standing.equity += standing.unrealised;
        standing
    }

    /// Whether an account can afford an order.
    pub(super) fn affords(&self, order: &Order) -> bool {
        let before = self.standing(order.account, None);
        let after = self.standing(order.account, Some(order));
        let needed = after.order_margin - before.order_margin;
        if needed <= Decimal::ZERO {
            return true;
        }
        let instrument = &self.instruments()[order.symbol];
        let value =
            instrument.exact_qty(order.leaves()) * instrument.exact_price(self.cost_price(order));
        needed + value * TAKER_FEE <= before.available()
    }

    /// The price that an order is margined at: its limit, or the market when that is nearer.
    fn cost_price(&self, order: &Order) -> i64 {
        let state = &self.states[order.symbol];
        let immediate = matches!(order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        match order.side {
            Side::Buy if immediate => order.price.min(state.book.best(Side::Sell)),
            Side::Sell if immediate => state.last,
            Side::Buy => order.price,
            Side::Sell => order.price.max(state.last),
        }
    }

    /// Closes every position of an account whose equity no longer covers its maintenance margin.
    pub(super) fn liquidate(&mut self) {
        for account in 0..self.accounts.len() {
            if self.accounts[account].positions.iter().all(|position| position.size == 0) {
                continue;
            }
            let standing = self.standing(account, None);
            if standing.equity >= standing.maintenance {
                continue;
            }
            let mut open: Vec<u64> = self.accounts[account].open.iter().copied().collect();
            open.sort_unstable();
            for number in open {
                self.stop(number, "CancelAllBeforeLiq", "EC_NoError");
            }
            for symbol in 0..self.states.len() {
                self.close_at_market(account, symbol, "CreateByLiq");
            }
            self.settle();
        }
    }
}
