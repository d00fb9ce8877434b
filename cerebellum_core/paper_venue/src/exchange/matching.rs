//! Fills: taking orders walk the book, resting orders wait for their place in the queue.
//!
//! Price first, then time. At one price the market's quantity that was there before an order is
//! ahead of it. A trade of the market at the price eats what is ahead, then the order; a trade
//! beyond the price fills the order in full, because the market cannot have got there otherwise.

use super::order::{Execution, FilledOrder, Order, SelfMatch};
use super::{Exchange, MAKER_FEE, TAKER_FEE};
use crate::market::candle::Point;
use protocol::bybit::enums::{OrderStatus, OrderType, Side};

impl Exchange {
    /// Fills resting orders that a trade of the market reaches.
    pub(super) fn meet_resting(&mut self, symbol: usize, point: &Point) {
        if self.states[symbol].resting.is_empty() {
            return;
        }
        let mut volume = self.instruments()[symbol].steps_of_volume(point.qty);
        for number in self.queue(symbol, point.side.opposite(), None) {
            let Some(order) = self.orders.get(&number) else { continue };
            let (side, price) = (order.side, order.price);
            let beyond = side.sign() * (price - point.price);
            if beyond < 0 {
                break;
            }
            if beyond > 0 {
                self.fill(number, price, i64::MAX, true);
                continue;
            }
            let eaten = order.ahead.min(volume);
            volume -= eaten;
            if let Some(order) = self.orders.get_mut(&number) {
                order.ahead -= eaten;
            }
            if volume > 0 {
                volume -= self.fill(number, price, volume, true);
            }
        }
        self.cross_resting(symbol);
    }

    /// Fills resting orders that the book went through: a book that opened beyond one cannot have
    /// got there otherwise. Of a book that is reported, they get what it offers there and no more.
    pub(super) fn cross_resting(&mut self, symbol: usize) {
        for side in [Side::Buy, Side::Sell] {
            for number in self.queue(symbol, side, None) {
                let Some(order) = self.orders.get_mut(&number) else { continue };
                let book = &self.states[symbol].book;
                let price = order.price;
                let is_reported = book.is_reported();
                let crossed = |best: i64| best > 0 && side.sign() * (price - best) >= 0;
                if !crossed(book.best(side.opposite())) {
                    order.ahead = order.ahead.min(book.qty(side, price));
                } else if !is_reported {
                    self.fill(number, price, i64::MAX, true);
                } else {
                    loop {
                        let first = self.states[symbol].book.levels(side.opposite()).next();
                        let Some((best, qty)) = first.filter(|(best, _)| crossed(*best)) else {
                            break;
                        };
                        let done = self.fill(number, price, qty, true);
                        if done == 0 {
                            break;
                        }
                        self.states[symbol].book.take(side.opposite(), best, done);
                    }
                }
            }
        }
    }

    /// Customers' resting orders of a side, best price first and oldest first at one price.
    fn queue(&self, symbol: usize, side: Side, limit: Option<i64>) -> Vec<u64> {
        let resting = self.states.get(symbol).map_or(&[][..], |state| &state.resting);
        let orders = resting.iter().filter_map(|number| self.orders.get(number));
        let mut queue: Vec<(i64, u64, u64)> = orders
            .filter(|order| order.side == side)
            .filter(|order| limit.is_none_or(|limit| side.sign() * (order.price - limit) >= 0))
            .map(|order| (-side.sign() * order.price, order.priority, order.number))
            .collect();
        queue.sort_unstable();
        queue.into_iter().map(|(_, _, number)| number).collect()
    }

    /// What an order could take at once within its limit, in steps.
    ///
    /// Without the resting orders of an account, if one is given.
    pub(super) fn available(
        &self,
        symbol: usize,
        side: Side,
        limit: i64,
        without: Option<usize>,
    ) -> i64 {
        let other = side.opposite();
        let market = self.states.get(symbol).map_or(0, |state| {
            state
                .book
                .levels(other)
                .take_while(|(price, _)| side.sign() * (limit - price) >= 0)
                .fold(0_i64, |sum, (_, qty)| sum.saturating_add(qty))
        });
        let queue = self.queue(symbol, other, Some(limit));
        let mine = queue.iter().filter_map(|number| self.orders.get(number));
        let mine = mine.filter(|order| Some(order.account) != without).map(Order::leaves);
        mine.fold(market, i64::saturating_add)
    }

    /// Whether an order at this price would take at once.
    pub(super) fn would_take(&self, symbol: usize, side: Side, price: i64) -> bool {
        self.available(symbol, side, price, None) > 0
    }

    /// Takes from the book until the order is filled or its limit is reached.
    pub(super) fn take(&mut self, number: u64) {
        loop {
            let Some(order) = self.orders.get(&number) else { return };
            let (symbol, side, limit, leaves) =
                (order.symbol, order.side, order.price, order.leaves());
            if leaves == 0 || self.capped(order) == 0 {
                return;
            }
            let other = side.opposite();
            let market = self.states[symbol].book.levels(other).next();
            let rival = self.queue(symbol, other, Some(limit)).first().copied();
            let rival = rival.and_then(|rival| self.orders.get(&rival));
            let market = market.filter(|(price, _)| side.sign() * (limit - price) >= 0);
            // Whoever has the better price; at one price the market's part that came first.
            let from_market = match (market, rival) {
                (None, None) => return,
                (Some((price, qty)), None) => Some((price, qty)),
                (None, Some(_)) => None,
                (Some((price, qty)), Some(rival)) => {
                    match (side.sign() * (rival.price - price)).cmp(&0) {
                        std::cmp::Ordering::Greater => Some((price, qty)),
                        std::cmp::Ordering::Less => None,
                        std::cmp::Ordering::Equal => {
                            Some((price, qty.min(rival.ahead))).filter(|(_, qty)| *qty > 0)
                        }
                    }
                }
            };
            if let Some((price, qty)) = from_market {
                let done = self.fill(number, price, qty, false);
                self.states[symbol].book.take(other, price, done);
                self.pass_queue(symbol, other, price, done);
                if done == 0 {
                    return;
                }
            } else if let Some((rival, price)) = rival.map(|rival| (rival.number, rival.price)) {
                match self.self_match(number, rival) {
                    SelfMatch::Allowed => {}
                    SelfMatch::CancelMaker => {
                        self.end_self_match(rival, number);
                        continue;
                    }
                    SelfMatch::CancelTaker => return self.end_self_match(number, rival),
                    SelfMatch::CancelBoth => {
                        self.end_self_match(rival, number);
                        return self.end_self_match(number, rival);
                    }
                }
                let qty = self.orders.get(&number).map_or(0, |order| self.capped(order));
                let done = self.fill(rival, price, qty, true);
                if done == 0 {
                    // A reduce-only rival with nothing left to reduce; it is leaving the book.
                    self.enforce_reduce_only();
                    continue;
                }
                self.fill(number, price, done, false);
            }
        }
    }

    /// What is to happen when an order meets a resting one.
    fn self_match(&self, taker: u64, rival: u64) -> SelfMatch {
        match (self.orders.get(&taker), self.orders.get(&rival)) {
            (Some(taker), Some(rival)) if taker.account == rival.account => taker.self_match,
            _ => SelfMatch::Allowed,
        }
    }

    /// Ends an order that would have met another one of its account.
    fn end_self_match(&mut self, number: u64, other: u64) {
        let met = self.orders.get(&other).map(|order| order.id.clone()).unwrap_or_default();
        if let Some(order) = self.orders.get_mut(&number) {
            order.met = met;
        }
        self.stop(number, "CancelBySmp", "EC_BySelfMatch");
    }

    /// Market quantity that was taken at a price is no longer ahead of those who wait there.
    fn pass_queue(&mut self, symbol: usize, side: Side, price: i64, qty: i64) {
        for number in self.queue(symbol, side, Some(price)) {
            if let Some(order) = self.orders.get_mut(&number).filter(|order| order.price == price) {
                order.ahead = (order.ahead - qty).max(0);
            }
        }
    }

    /// What an order may still fill: its rest, or what its position leaves when it only reduces.
    fn capped(&self, order: &Order) -> i64 {
        if order.reduce_only {
            let position = &self.accounts[order.account].positions[order.symbol];
            order.leaves().min(position.reducible(order.side))
        } else {
            order.leaves()
        }
    }

    /// Books one fill of at most `qty` steps; returns how many it was.
    fn fill(&mut self, number: u64, price: i64, qty: i64, is_maker: bool) -> i64 {
        let Some(order) = self.orders.get(&number) else { return 0 };
        let qty = qty.min(self.capped(order));
        if qty <= 0 {
            return 0;
        }
        let (account, symbol, side) = (order.account, order.symbol, order.side);
        let instrument = &self.market.instruments()[symbol];
        let (exact_price, step) = (instrument.exact_price(price), instrument.exact_qty(1));
        let value = (exact_price * instrument.exact_qty(qty)).normalize();
        let rate = if is_maker { MAKER_FEE } else { TAKER_FEE };
        let fee = (value * rate).normalize();
        let (id, now) =
            (self.numbering.make_id(2, self.numbering.next_execution), self.timeline.now);
        self.numbering.next_execution += 1;
        let seq = self.bump(symbol);
        let mark = self.states[symbol].mark();

        let owner = &mut self.accounts[account];
        let before = owner.positions[symbol].size;
        let booked = owner.positions[symbol].fill(side, qty, step, exact_price);
        owner.positions[symbol].realise(before, booked.profit - fee, now);
        owner.pay(booked.profit - fee);

        let Some(order) = self.orders.get_mut(&number) else { return 0 };
        order.fill(qty, value, fee, booked.profit, now);
        let execution = Execution {
            id,
            symbol,
            order: Some(FilledOrder::from(&*order)),
            side,
            price,
            qty,
            value,
            fee,
            fee_rate: rate,
            profit: booked.profit,
            is_maker,
            closed: booked.closed,
            mark,
            ts: now,
            seq,
        };
        let is_done = order.status == OrderStatus::Filled;
        self.changes.filled(number, account, symbol, Box::new(execution.clone()));
        self.accounts[account].executions.push(execution);
        if is_done {
            self.retire(number);
        }
        let size = self.accounts[account].positions[symbol].size;
        if before != 0 && before.signum() != size.signum() {
            self.clear_exits(account, symbol);
        }
        self.protect_fill(number, qty - booked.closed);
        qty
    }

    /// Cancels resting reduce-only orders whose position is gone or turned, and exits with them.
    pub(super) fn enforce_reduce_only(&mut self) {
        let touched: Vec<(usize, usize)> = self.changes.positions.iter().copied().collect();
        for (account, symbol) in touched {
            let position = &self.accounts[account].positions[symbol];
            let numbers: Vec<u64> = self.accounts[account].open.iter().copied().collect();
            let mut gone: Vec<u64> = numbers
                .into_iter()
                .filter_map(|number| self.orders.get(&number))
                .filter(|order| order.symbol == symbol && order.reduce_only)
                .filter(|order| position.reducible(order.side) == 0)
                .map(|order| order.number)
                .collect();
            gone.sort_unstable();
            if position.size == 0 {
                let position = &mut self.accounts[account].positions[symbol];
                (position.take_profit, position.stop_loss) = (None, None);
                position.trailing = None;
            }
            for number in gone {
                let now = self.timeline.now;
                if let Some(order) = self.orders.get_mut(&number) {
                    let kind =
                        if order.is_exit() { "CancelByTpSlTsClear" } else { "CancelByReduceOnly" };
                    order.end(kind, "EC_NoError", now);
                }
                self.retire(number);
            }
        }
    }

    /// Puts a new order to work: takes, rests or ends, by its time in force.
    pub(super) fn work(&mut self, number: u64) {
        use protocol::bybit::enums::TimeInForce;
        let Some(order) = self.orders.get(&number) else { return };
        let (symbol, side, price, now) = (order.symbol, order.side, order.price, self.timeline.now);
        let time_in_force = order.time_in_force.clone();
        let without = (order.self_match != SelfMatch::Allowed).then_some(order.account);
        let miss = match time_in_force {
            TimeInForce::PostOnly if self.would_take(symbol, side, price) => {
                Some("EC_PostOnlyWillTakeLiquidity")
            }
            TimeInForce::Fok
                if self.available(symbol, side, price, without) < self.capped(order) =>
            {
                Some("EC_CancelForNoFullFill")
            }
            _ => None,
        };
        if miss.is_none() {
            self.take(number);
        }
        let Some(order) = self.orders.get(&number) else { return };
        self.changes.orders.insert(number);
        if order.leaves() == 0 {
            return;
        }
        let rests = order.kind == OrderType::Limit
            && matches!(
                time_in_force,
                TimeInForce::Gtc | TimeInForce::PostOnly | TimeInForce::Other(_)
            );
        if miss.is_none() && rests && self.capped(order) > 0 {
            let ahead = self.states[symbol].book.qty(side, price);
            if let Some(order) = self.orders.get_mut(&number) {
                order.ahead = ahead;
            }
            if !self.states[symbol].resting.contains(&number) {
                self.states[symbol].resting.push(number);
            }
            self.bump(symbol);
            return;
        }
        let spent = order.reduce_only && self.capped(order) == 0;
        let (cancel_type, reason) = match miss {
            Some(reason) => ("UNKNOWN", reason),
            None if spent => ("CancelByReduceOnly", "EC_NoError"),
            None => ("UNKNOWN", "EC_NoImmediateQtyToFill"),
        };
        if let Some(order) = self.orders.get_mut(&number) {
            order.end(cancel_type, reason, now);
        }
        self.retire(number);
    }
}
