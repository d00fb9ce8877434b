//! Create, amend and cancel, with their checks in the exchange's order.

use super::order::Order;
use super::reading::TRIGGER_PRICES;
use super::request::{bad, Fields};
use super::{Exchange, Refusal};
use crate::market::instrument::Instrument;
use protocol::bybit::codes;
use protocol::bybit::enums::{OrderStatus, OrderType, Side};
use protocol::bybit::envelope::OrderReference;
use serde_json::Value;

/// Most resting orders per account and symbol.
const MOST_ORDERS: usize = 500;
/// Most conditional orders per account and symbol.
const MOST_CONDITIONAL: usize = 10;

impl Exchange {
    /// Creates an order.
    ///
    /// # Errors
    /// A refusal leaves no trace of the order.
    pub fn create(&mut self, account: usize, body: &Value) -> Result<OrderReference, Refusal> {
        let order = self.read_order(account, body)?;
        self.check_exits(&order)?;
        self.check_filters(&order)?;
        if self.accounts[account].link_ids.contains_key(&order.link_id) {
            return Err(Refusal::new(codes::DUPLICATE_LINK_ID, "OrderLinkedID is duplicate"));
        }
        let order = self.check_reduce_only(order)?;
        self.check_counts(&order)?;
        if order.status != OrderStatus::Untriggered && !order.reduce_only && !self.affords(&order) {
            return Err(Refusal::new(codes::INSUFFICIENT_BALANCE, "ab not enough for new order"));
        }
        let reference =
            OrderReference { order_id: order.id.clone(), order_link_id: order.link_id.clone() };
        let (number, conditional) = (order.number, order.status == OrderStatus::Untriggered);
        self.numbering.next_number += 1;
        self.numbering.next_priority += 1;
        self.enter(order);
        if !conditional {
            self.work(number);
        }
        self.settle();
        Ok(reference)
    }

    fn check_filters(&self, order: &Order) -> Result<(), Refusal> {
        let instrument = &self.instruments()[order.symbol];
        let closes_all = order.qty == 0 && order.reduce_only && order.close_on_trigger;
        if order.qty < instrument.min_qty() && !closes_all {
            return Err(bad(format!(
                "The number of contracts is below the minimum {}",
                instrument.qty(instrument.min_qty())
            )));
        }
        let most = match order.kind {
            OrderType::Limit => instrument.max_qty,
            OrderType::Market => instrument.max_market_qty,
        };
        if order.qty > most {
            return Err(bad(format!(
                "The number of contracts exceeds maximum limit allowed {}",
                instrument.qty(most)
            )));
        }
        check_grid(order, instrument)?;
        self.check_open(order.symbol)?;
        self.check_price_range(order)?;
        let last = self.states[order.symbol].last;
        let price = if order.kind == OrderType::Limit { order.price } else { last };
        let notional = instrument.exact_price(price) * instrument.exact_qty(order.qty);
        if notional < instrument.min_notional && !order.reduce_only {
            return Err(Refusal::new(
                codes::NOTIONAL_BELOW_MINIMUM,
                format!("Order does not meet minimum order value {}USDT", instrument.min_notional),
            ));
        }
        Ok(())
    }

    /// Whether the symbol is traded at this moment.
    fn check_open(&self, symbol: usize) -> Result<(), Refusal> {
        let state = &self.states[symbol];
        if state.halted {
            return Err(Refusal::new(
                codes::NOT_LIVE,
                "This contract is not live: the market that is mirrored does not answer",
            ));
        }
        if !state.book.is_open() {
            return Err(Refusal::new(
                codes::NOT_LIVE,
                "This contract is not live: it had no trade yet",
            ));
        }
        Ok(())
    }

    /// Whether a limit price lies within what the exchange allows at this moment.
    fn check_price_range(&self, order: &Order) -> Result<(), Refusal> {
        let (state, instrument) = (&self.states[order.symbol], &self.instruments()[order.symbol]);
        let (lowest, highest) = self.price_limits(order.symbol);
        if order.kind == OrderType::Limit {
            let working = order.trigger.is_none();
            let beyond = match order.side {
                Side::Buy => working && order.price > highest,
                Side::Sell => working && order.price < lowest,
            };
            if beyond
                || order.price > state.last.saturating_mul(20)
                || order.price < state.last / 20
            {
                return Err(Refusal::new(
                    codes::PRICE_RANGE,
                    format!(
                        "Order price is out of permissible range, {}",
                        instrument.price(order.price)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_reduce_only(&self, mut order: Order) -> Result<Order, Refusal> {
        if !order.reduce_only {
            return Ok(order);
        }
        let position = &self.accounts[order.account].positions[order.symbol];
        let reducible = position.reducible(order.side);
        if reducible == 0 {
            return Err(Refusal::new(
                codes::REDUCE_ONLY,
                "current position is zero, cannot fix reduce-only order qty",
            ));
        }
        if order.trigger.is_none() {
            order.qty = if order.qty == 0 { reducible } else { order.qty.min(reducible) };
        }
        Ok(order)
    }

    fn check_counts(&self, order: &Order) -> Result<(), Refusal> {
        let conditional = order.status == OrderStatus::Untriggered;
        let open =
            self.accounts[order.account].open.iter().filter_map(|number| self.orders.get(number));
        let same = |other: &&Order| {
            other.symbol == order.symbol
                && (other.status == OrderStatus::Untriggered) == conditional
                && !other.is_exit()
        };
        let count = open.filter(same).count();
        if conditional && count >= MOST_CONDITIONAL {
            return Err(Refusal::new(codes::TOO_MANY_CONDITIONAL, "too many conditional orders"));
        }
        if !conditional && count >= MOST_ORDERS {
            return Err(Refusal::new(codes::TOO_MANY_ORDERS, "more than 500 active orders"));
        }
        Ok(())
    }

    fn locate(&self, account: usize, fields: Fields<'_>) -> Result<u64, Refusal> {
        self.known_symbol(fields)?;
        let (id, link_id) = (fields.text("orderId")?, fields.text("orderLinkId")?);
        if id.is_empty() && link_id.is_empty() {
            return Err(bad("params error: orderId or orderLinkId is missing"));
        }
        self.find(account, &id, &link_id)
            .filter(|number| self.orders.get(number).is_some_and(|order| order.status.is_open()))
            .ok_or_else(|| {
                Refusal::new(codes::ORDER_NOT_FOUND, "order not exists or too late to cancel")
            })
    }

    /// Changes an open order.
    ///
    /// # Errors
    /// A refusal leaves the order as it was.
    pub fn amend(&mut self, account: usize, body: &Value) -> Result<OrderReference, Refusal> {
        let fields = Fields(body);
        let number = self.locate(account, fields)?;
        let old = self.orders.get(&number).cloned();
        let Some(old) = old else {
            return Err(Refusal::new(codes::ORDER_NOT_FOUND, "order not exists"));
        };
        let new = self.amended(fields, &old)?;
        self.check_amended(number, &old, &new)?;
        Ok(self.replace(number, &old, new))
    }

    /// An order with the terms that a request asks for.
    fn amended(&self, fields: Fields<'_>, old: &Order) -> Result<Order, Refusal> {
        let mut new = old.clone();
        let instrument = &self.instruments()[old.symbol];
        let (ticks, steps) = (instrument.price_decimals, instrument.qty_decimals);
        if let Some(qty) = fields.scaled("qty", steps)? {
            if qty <= old.filled {
                return Err(Refusal::new(
                    codes::QTY_BELOW_FILLED,
                    "new qty is not above the filled qty",
                ));
            }
            new.qty = qty;
        }
        let price = fields.scaled("price", ticks)?.filter(|price| *price > 0);
        if let Some(price) = price.filter(|_| old.kind == OrderType::Limit) {
            new.price = price;
        }
        let trigger_price = fields.scaled("triggerPrice", ticks)?;
        let trigger_by = fields.one_of("triggerBy", &TRIGGER_PRICES)?;
        if let Some(trigger) = &mut new.trigger {
            trigger.price = trigger_price.unwrap_or(trigger.price);
            trigger.by = trigger_by.unwrap_or(trigger.by);
        }
        if let Some(trigger) = new.trigger.filter(|_| new.trigger != old.trigger) {
            self.check_trigger(old.symbol, trigger)?;
        }
        let level = |asked: Option<i64>, now: Option<i64>| match asked {
            None => now,
            Some(price) => Some(price).filter(|price| *price > 0),
        };
        new.take_profit = level(fields.scaled("takeProfit", ticks)?, old.take_profit);
        new.stop_loss = level(fields.scaled("stopLoss", ticks)?, old.stop_loss);
        if let Some(by) = fields.one_of("tpTriggerBy", &TRIGGER_PRICES)? {
            new.terms.take_profit_by = by;
        }
        if let Some(by) = fields.one_of("slTriggerBy", &TRIGGER_PRICES)? {
            new.terms.stop_loss_by = by;
        }
        Ok(new)
    }

    /// Whether new terms differ, lie where they may, and can be afforded.
    fn check_amended(&mut self, number: u64, old: &Order, new: &Order) -> Result<(), Refusal> {
        let terms = |order: &Order| {
            let exits = (order.take_profit, order.stop_loss, order.terms);
            (order.price, order.qty, order.trigger, exits)
        };
        if terms(new) == terms(old) {
            return Err(bad("The order remains unchanged as the parameters entered match the \
                existing ones."));
        }
        // An order in flight keeps the exits that it has, whatever the market does meanwhile.
        let moved = (new.price, new.trigger) != (old.price, old.trigger);
        if moved || (new.take_profit, new.stop_loss) != (old.take_profit, old.stop_loss) {
            self.check_exits(new)?;
        }
        self.check_filters(new)?;
        if new.status != OrderStatus::Untriggered && !new.reduce_only {
            // Affordable with the old order out of the way.
            self.accounts[new.account].open.remove(&number);
            let affords = self.affords(new);
            self.accounts[new.account].open.insert(number);
            if !affords {
                return Err(Refusal::new(
                    codes::INSUFFICIENT_BALANCE,
                    "ab not enough for new order",
                ));
            }
        }
        Ok(())
    }

    /// Puts new terms in force; a better price or a larger size loses the order's place.
    fn replace(&mut self, number: u64, old: &Order, mut new: Order) -> OrderReference {
        new.updated = self.timeline.now;
        let loses_place = new.price != old.price || new.qty > old.qty;
        if loses_place {
            new.priority = self.numbering.next_priority;
            self.numbering.next_priority += 1;
        }
        let reference =
            OrderReference { order_id: new.id.clone(), order_link_id: new.link_id.clone() };
        let working = new.status != OrderStatus::Untriggered;
        self.orders.insert(number, new);
        self.changes.orders.insert(number);
        if working && loses_place {
            self.states[old.symbol].resting.retain(|other| *other != number);
            self.work(number);
        }
        self.bump(old.symbol);
        self.settle();
        reference
    }

    /// Cancels an open order.
    ///
    /// # Errors
    /// When there is no such open order.
    pub fn cancel(&mut self, account: usize, body: &Value) -> Result<OrderReference, Refusal> {
        let number = self.locate(account, Fields(body))?;
        let reference = self.stop(number, "CancelByUser", "EC_PerCancelRequest");
        self.settle();
        Ok(reference)
    }

    /// Cancels every open order that matches; returns what was cancelled.
    ///
    /// # Errors
    /// When the request does not state which orders.
    pub fn cancel_all(
        &mut self,
        account: usize,
        body: &Value,
    ) -> Result<Vec<OrderReference>, Refusal> {
        let fields = Fields(body);
        fields.linear()?;
        let wanted =
            match (fields.text("symbol")?, fields.text("baseCoin")?, fields.text("settleCoin")?) {
                (name, _, _) if !name.is_empty() => vec![self.known_symbol(fields)?],
                (_, base, _) if !base.is_empty() => {
                    let all = self.instruments().iter().enumerate();
                    all.filter(|(_, one)| one.base == base).map(|(index, _)| index).collect()
                }
                (_, _, settle) if settle == "USDT" => (0..self.states.len()).collect(),
                _ => {
                    return Err(bad("params error: symbol, baseCoin or settleCoin=USDT is missing"))
                }
            };
        let filter = fields.one_of("orderFilter", &["Order", "StopOrder"])?;
        // Of the conditional orders those that are no exits of a position.
        let plain = fields.one_of("stopOrderType", &["Stop"])?.is_some();
        if plain && filter != Some("StopOrder") {
            return Err(bad("params error: stopOrderType needs orderFilter StopOrder"));
        }
        let mut numbers: Vec<u64> = self.accounts[account].open.iter().copied().collect();
        numbers.sort_unstable();
        numbers.retain(|number| {
            self.orders.get(number).is_some_and(|order| {
                let conditional = order.status == OrderStatus::Untriggered;
                wanted.contains(&order.symbol)
                    && filter.is_none_or(|filter| (filter == "StopOrder") == conditional)
                    && !(plain && order.is_exit())
            })
        });
        let cancelled = numbers
            .into_iter()
            .map(|n| self.stop(n, "CancelByUser", "EC_PerCancelRequest"))
            .collect();
        self.settle();
        Ok(cancelled)
    }

    /// Ends one open order.
    pub(super) fn stop(
        &mut self,
        number: u64,
        kind: &'static str,
        reason: &'static str,
    ) -> OrderReference {
        let now = self.timeline.now;
        let Some(order) = self.orders.get_mut(&number) else { return OrderReference::default() };
        order.end(kind, reason, now);
        let reference =
            OrderReference { order_id: order.id.clone(), order_link_id: order.link_id.clone() };
        let (account, symbol, exit) = (order.account, order.symbol, order.stop_type);
        self.accounts[account].positions[symbol].forget_exit(exit);
        if order.is_exit() {
            self.changes.positions.insert((account, symbol));
        }
        self.retire(number);
        self.bump(symbol);
        reference
    }

    /// Closes a position with a market order of the venue's own.
    pub(super) fn close_at_market(
        &mut self,
        account: usize,
        symbol: usize,
        create_type: &'static str,
    ) {
        let size = self.accounts[account].positions[symbol].size;
        if size == 0 {
            return;
        }
        let side = if size > 0 { Side::Sell } else { Side::Buy };
        let body = serde_json::json!({
            "category": "linear",
            "symbol": self.instruments()[symbol].symbol,
            "side": side.as_str(),
            "orderType": "Market",
            "qty": self.instruments()[symbol].qty(size.abs()),
            "reduceOnly": true,
        });
        if let Ok(mut order) = self.read_order(account, &body) {
            order.create_type = create_type;
            let number = order.number;
            self.numbering.next_number += 1;
            self.numbering.next_priority += 1;
            self.enter(order);
            self.work(number);
        }
    }
}

/// Prices are multiples of the tick, and the quantity is one of the step.
fn check_grid(order: &Order, instrument: &Instrument) -> Result<(), Refusal> {
    let (tick, step) = (instrument.tick, instrument.qty_step);
    let prices = [
        Some(order.price).filter(|_| order.kind == OrderType::Limit),
        order.trigger.map(|trigger| trigger.price),
        order.take_profit,
        order.stop_loss,
        order.terms.take_profit_limit,
        order.terms.stop_loss_limit,
    ];
    if let Some(price) = prices.into_iter().flatten().find(|price| price % tick != 0) {
        return Err(bad(format!(
            "params error: price {} is not a multiple of the tick {}",
            instrument.price(price),
            instrument.price(tick)
        )));
    }
    if order.qty % step != 0 {
        return Err(bad(format!(
            "params error: qty {} is not a multiple of the step {}",
            instrument.qty(order.qty),
            instrument.qty(step)
        )));
    }
    Ok(())
}
