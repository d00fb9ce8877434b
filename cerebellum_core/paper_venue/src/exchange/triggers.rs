//! Orders that wait for a price: conditional orders, take-profit and stop-loss exits.

use super::order::{Order, Trigger};
use super::request::bad;
use super::{Exchange, Refusal};
use protocol::bybit::codes;
use protocol::bybit::enums::{OrderStatus, OrderType, Side, TimeInForce};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::Decimal;

impl Exchange {
    /// Wakes every conditional order whose price the market reached.
    pub(super) fn wake(&mut self, symbol: usize) {
        let pit = &self.pits[symbol];
        let (last, mark, index) = (pit.last, pit.mark(), pit.index());
        let met: Vec<u64> = self.pits[symbol]
            .waiting
            .iter()
            .copied()
            .filter(|number| {
                let trigger = self.orders.get(number).and_then(|order| order.trigger);
                trigger.is_some_and(|trigger| {
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
        let now = self.now;
        self.pits[symbol].waiting.retain(|other| *other != number);
        let Some(order) = self.orders.get_mut(&number) else { return };
        order.status = OrderStatus::New;
        order.updated = now;
        if order.qty == 0 || matches!(order.stop_type, "TakeProfit" | "StopLoss") {
            order.qty = reducible;
        }
        if order.kind == OrderType::Market {
            order.price = band;
        }
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
        let last = self.pits.get(symbol).map_or(0, |pit| pit.last);
        let instrument = &self.instruments()[symbol];
        let far = (Decimal::from(last) * instrument.price_limit).trunc().to_i64().unwrap_or(0);
        let tick = instrument.tick;
        let lowest = (last - far).div_euclid(tick) * tick;
        let highest = (last + far).div_euclid(tick) * tick + tick;
        (lowest.max(tick), highest)
    }

    /// Sets the exits of a position: `None` leaves a level as it is, zero removes it.
    pub fn protect(&mut self, account: usize, symbol: usize, levels: (Option<i64>, Option<i64>)) {
        for (level, kind) in [(levels.0, "TakeProfit"), (levels.1, "StopLoss")] {
            let Some(price) = level else { continue };
            let position = &mut self.accounts[account].positions[symbol];
            let size = position.size;
            let slot = if kind == "TakeProfit" {
                &mut position.take_profit
            } else {
                &mut position.stop_loss
            };
            if size != 0 && *slot == Some(price) {
                continue;
            }
            *slot = (price > 0 && size != 0).then_some(price);
            self.drop_exit(account, symbol, kind);
            if price > 0 && size != 0 {
                self.place_exit(account, symbol, kind, price);
            }
            self.touched_positions.insert((account, symbol));
        }
    }

    fn drop_exit(&mut self, account: usize, symbol: usize, kind: &str) {
        let now = self.now;
        let old = self.pits[symbol].waiting.iter().copied().find(|number| {
            self.orders.get(number).is_some_and(|o| o.account == account && o.stop_type == kind)
        });
        if let Some(number) = old {
            if let Some(order) = self.orders.get_mut(&number) {
                order.end("CancelByTpSlTsClear", "EC_NoError", now);
            }
            self.retire(number);
        }
    }

    fn place_exit(&mut self, account: usize, symbol: usize, kind: &'static str, price: i64) {
        let position = &self.accounts[account].positions[symbol];
        let long = position.size > 0;
        let number = self.next_number;
        self.next_number += 1;
        let order = Order {
            number,
            priority: self.next_priority,
            account,
            symbol,
            id: self.make_id(1, number),
            link_id: String::new(),
            side: if long { Side::Sell } else { Side::Buy },
            kind: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            price: 0,
            qty: position.steps(),
            filled: 0,
            value: Decimal::ZERO,
            fee: Decimal::ZERO,
            profit: Decimal::ZERO,
            status: OrderStatus::Untriggered,
            reduce_only: true,
            close_on_trigger: true,
            trigger: Some(Trigger {
                price,
                rising: long == (kind == "TakeProfit"),
                by: "LastPrice",
            }),
            stop_type: kind,
            take_profit: None,
            stop_loss: None,
            create_type: if kind == "TakeProfit" {
                "CreateByTakeProfit"
            } else {
                "CreateByStopLoss"
            },
            cancel_type: "UNKNOWN",
            reject_reason: "EC_NoError",
            ahead: 0,
            last_price: self.pits[symbol].last,
            created: self.now,
            updated: self.now,
        };
        self.next_priority += 1;
        self.enter(order);
    }

    /// Puts an order into the books of the account and the symbol.
    pub(super) fn enter(&mut self, order: Order) {
        let (number, account) = (order.number, &mut self.accounts[order.account]);
        account.open.insert(number);
        if !order.link_id.is_empty() {
            account.link_ids.insert(order.link_id.clone(), number);
        }
        self.ids.insert(order.id.clone(), number);
        if order.status == OrderStatus::Untriggered {
            self.pits[order.symbol].waiting.push(number);
        }
        self.touched_orders.insert(number);
        self.orders.insert(number, order);
    }
}

/// Settings of positions.
impl Exchange {
    /// Sets the exits of an open position; zero removes one.
    ///
    /// # Errors
    /// Without a position, or a level on the wrong side of the market.
    pub fn set_exits(
        &mut self,
        account: usize,
        symbol: usize,
        levels: (Option<i64>, Option<i64>),
    ) -> Result<(), Refusal> {
        let size = self.accounts[account].positions[symbol].size;
        if size == 0 {
            return Err(bad("can not set tp/sl/ts for zero position"));
        }
        let last = self.pits[symbol].last;
        for (level, above) in [(levels.0, size > 0), (levels.1, size < 0)] {
            if level.is_some_and(|price| price > 0 && (price > last) != above) {
                return Err(bad("takeProfit or stopLoss lies on the wrong side of the last price"));
            }
        }
        self.protect(account, symbol, levels);
        self.settle();
        Ok(())
    }

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
        self.touched_positions.insert((account, symbol));
        self.settle();
        Ok(())
    }
}
