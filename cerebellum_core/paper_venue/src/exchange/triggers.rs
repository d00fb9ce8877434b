//! Orders that wait for a price, and what wakes them.

use super::order::Order;
use super::{Exchange, Refusal};
use protocol::bybit::codes;
use protocol::bybit::enums::{OrderStatus, OrderType, Side};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::Decimal;

impl Exchange {
    /// Wakes every conditional order whose price the market reached.
    pub(super) fn wake(&mut self, symbol: usize) {
        self.trail(symbol);
        let state = &self.states[symbol];
        let (last, mark, index) = (state.last, state.mark(), state.index());
        let met: Vec<u64> = self.states[symbol]
            .waiting
            .iter()
            .copied()
            .filter(|number| {
                let order = self
                    .orders
                    .get(number)
                    .filter(|order| order.trail.is_none_or(|trail| trail.starts_at.is_none()));
                order.and_then(|order| order.trigger).is_some_and(|trigger| {
                    trigger.is_met(match trigger.by {
                        "MarkPrice" => mark,
                        "IndexPrice" => index,
                        _ => last,
                    })
                })
            })
            .collect();
        for number in met {
            self.trigger(number);
        }
    }

    /// Turns a conditional order into a working one under the same id.
    fn trigger(&mut self, number: u64) {
        let Some(order) = self.orders.get(&number) else { return };
        let (account, symbol, side) = (order.account, order.symbol, order.side);
        if order.status != OrderStatus::Untriggered {
            return;
        }
        let reducible = self.accounts[account].positions[symbol].reducible(side);
        let band = self.worst_price(symbol, side);
        let now = self.timeline.now;
        self.states[symbol].waiting.retain(|other| *other != number);
        let Some(order) = self.orders.get_mut(&number) else { return };
        order.status = OrderStatus::New;
        order.updated = now;
        if order.qty == 0 || order.is_full_exit() {
            order.qty = reducible;
        } else if order.is_exit() {
            order.qty = order.qty.min(reducible);
        }
        let (pair, kind) = (order.pair.take(), order.stop_type);
        if order.kind == OrderType::Market {
            order.price = band;
        }
        if let Some(pair) = pair {
            self.drop_exit(pair);
        }
        // An exit fires once, even when the book cannot take the whole position.
        self.accounts[account].positions[symbol].forget_exit(kind);
        let Some(order) = self.orders.get_mut(&number) else { return };
        if order.reduce_only && reducible == 0 {
            order.end("CancelByReduceOnly", "EC_NoError", now);
            self.retire(number);
            return;
        }
        if !order.reduce_only && !self.can_open(number) {
            if let Some(order) = self.orders.get_mut(&number) {
                order.end("UNKNOWN", "EC_Others", now);
                order.status = OrderStatus::Rejected;
            }
            self.retire(number);
            return;
        }
        self.work(number);
        self.enforce_reduce_only();
    }

    /// Whether an order that just woke can be afforded, with itself out of the way.
    fn can_open(&mut self, number: u64) -> bool {
        let Some(order) = self.orders.get(&number).cloned() else { return false };
        self.accounts[order.account].open.remove(&number);
        let affords = self.affords(&order);
        self.accounts[order.account].open.insert(number);
        affords
    }

    /// The worst price a market order may take: the edge of the permitted range.
    pub(super) fn worst_price(&self, symbol: usize, side: Side) -> i64 {
        let (lowest, highest) = self.price_limits(symbol);
        match side {
            Side::Buy => highest,
            Side::Sell => lowest,
        }
    }

    /// Lowest price of a sell and highest price of a buy, on the tick: a share from the last.
    #[must_use]
    pub fn price_limits(&self, symbol: usize) -> (i64, i64) {
        let last = self.states.get(symbol).map_or(0, |state| state.last);
        let instrument = &self.instruments()[symbol];
        let far = (Decimal::from(last) * instrument.price_limit).trunc().to_i64().unwrap_or(0);
        let tick = instrument.tick;
        let lowest = (last - far).div_euclid(tick) * tick;
        let highest = (last + far).div_euclid(tick) * tick + tick;
        (lowest.max(tick), highest)
    }

    /// Puts an order into the books of the account and the symbol.
    pub(super) fn enter(&mut self, order: Order) {
        let (number, account) = (order.number, &mut self.accounts[order.account]);
        account.open.insert(number);
        if !order.link_id.is_empty() {
            account.link_ids.insert(order.link_id.clone(), number);
        }
        self.lookup.orders.insert(order.id.clone(), number);
        if order.status == OrderStatus::Untriggered {
            self.states[order.symbol].waiting.push(number);
        }
        self.changes.orders.insert(number);
        self.orders.insert(number, order);
    }
}

/// Settings of positions.
impl Exchange {
    /// Sets the leverage of a symbol.
    ///
    /// # Errors
    /// When it is the same already, or the account could not carry its positions with it.
    pub fn set_leverage(
        &mut self,
        account: usize,
        symbol: usize,
        leverage: Decimal,
    ) -> Result<(), Refusal> {
        let position = &mut self.accounts[account].positions[symbol];
        let before = position.leverage;
        if before == leverage {
            return Err(Refusal::new(codes::LEVERAGE_UNCHANGED, "leverage not modified"));
        }
        position.leverage = leverage;
        let standing = self.standing(account, None);
        if leverage < before && standing.equity < standing.position_margin + standing.order_margin {
            self.accounts[account].positions[symbol].leverage = before;
            return Err(Refusal::new(
                codes::INSUFFICIENT_BALANCE,
                "ab not enough for new leverage",
            ));
        }
        self.changes.positions.insert((account, symbol));
        self.settle();
        Ok(())
    }
}
