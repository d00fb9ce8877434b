//! Exits that the venue places for positions: take-profit, stop-loss and trailing stop.

use super::order::{ExitTerms, Order, SelfMatch, Trail, Trigger};
use super::request::bad;
use super::{Exchange, Refusal};
use protocol::bybit::codes;
use protocol::bybit::enums::{OrderStatus, OrderType, Side, TimeInForce};
use rust_decimal::Decimal;

/// Exits that somebody asks for: `None` leaves a level as it is, zero removes it. Prices in ticks,
/// sizes in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exits {
    /// Price of the take-profit.
    pub take_profit: Option<i64>,
    /// Price of the stop-loss.
    pub stop_loss: Option<i64>,
    /// Distance of the trailing stop.
    pub trailing: Option<i64>,
    /// Price from which on the trailing stop follows.
    pub starts_at: Option<i64>,
    /// Sizes of partial exits: take-profit and stop-loss.
    pub sizes: (i64, i64),
    /// How they are to be placed.
    pub terms: ExitTerms,
}

/// One exit to place.
struct Plan {
    kind: &'static str,
    trigger: Trigger,
    qty: i64,
    limit: Option<i64>,
    trail: Option<Trail>,
}

impl Exchange {
    /// Sets the exits of an open position.
    ///
    /// # Errors
    /// Without a position, with a level on the wrong side of the market, or when nothing changes.
    pub fn set_exits(
        &mut self,
        account: usize,
        symbol: usize,
        exits: &Exits,
    ) -> Result<(), Refusal> {
        let size = self.accounts[account].positions[symbol].size;
        if size == 0 {
            return Err(bad("can not set tp/sl/ts for zero position"));
        }
        self.check_sides(symbol, size, exits)?;
        self.check_prices(symbol, size, exits)?;
        if exits.terms.partial {
            self.check_parts(symbol, size, exits)?;
        } else if self.keeps_all(account, symbol, exits) {
            return Err(Refusal::new(codes::NOT_MODIFIED, "not modified"));
        }
        self.protect(account, symbol, exits);
        self.settle();
        Ok(())
    }

    /// A take-profit lies where the market brings a profit, a stop-loss where it brings a loss.
    fn check_sides(&self, symbol: usize, size: i64, exits: &Exits) -> Result<(), Refusal> {
        let terms = exits.terms;
        for (name, level, by, above) in [
            ("takeProfit", exits.take_profit, terms.take_profit_by, size > 0),
            ("stopLoss", exits.stop_loss, terms.stop_loss_by, size < 0),
        ] {
            let now = self.watched(symbol, by);
            let wrong = |price: i64| price > 0 && (price == now || (price > now) != above);
            if level.is_some_and(wrong) {
                return Err(bad(format!(
                    "params error: {name} must lie {} the {by} {} of the position",
                    if above { "above" } else { "below" },
                    self.instruments()[symbol].price(now)
                )));
            }
        }
        Ok(())
    }

    /// Prices are whole ticks, and a trailing stop begins where it can follow.
    fn check_prices(&self, symbol: usize, size: i64, exits: &Exits) -> Result<(), Refusal> {
        let prices = [
            exits.take_profit,
            exits.stop_loss,
            exits.trailing,
            exits.starts_at,
            exits.terms.take_profit_limit,
            exits.terms.stop_loss_limit,
        ];
        let (tick, last) = (self.instruments()[symbol].tick, self.states[symbol].last);
        if prices.iter().flatten().any(|price| price % tick != 0) {
            return Err(bad("a price of an exit is not a multiple of the tick"));
        }
        if exits.trailing.is_some_and(|distance| distance >= last) {
            return Err(bad("trailingStop is not below the last price"));
        }
        if exits.starts_at.is_some_and(|price| price > 0 && (price > last) != (size > 0)) {
            return Err(bad("activePrice lies on the wrong side of the last price"));
        }
        Ok(())
    }

    /// A partial exit is for whole steps, and for no more than the position.
    fn check_parts(&self, symbol: usize, size: i64, exits: &Exits) -> Result<(), Refusal> {
        let step = self.instruments()[symbol].qty_step;
        let (take, stop) = exits.sizes;
        for (level, qty) in [(exits.take_profit, take), (exits.stop_loss, stop)] {
            let asked = level.is_some_and(|price| price > 0);
            if asked && (qty <= 0 || qty > size.abs() || qty % step != 0) {
                return Err(bad("tpSize or slSize is not a part of the position"));
            }
        }
        Ok(())
    }

    /// Whether a position has every exit that is asked for.
    fn keeps_all(&self, account: usize, symbol: usize, exits: &Exits) -> bool {
        let kept = |asked: Option<i64>, now: Option<i64>| {
            asked.is_none_or(|asked| asked == now.unwrap_or(0))
        };
        let position = &self.accounts[account].positions[symbol];
        kept(exits.take_profit, position.take_profit)
            && kept(exits.stop_loss, position.stop_loss)
            && kept(exits.trailing, position.trailing)
    }

    /// Places, moves and removes exits of a position.
    pub(super) fn protect(&mut self, account: usize, symbol: usize, exits: &Exits) {
        let terms = exits.terms;
        let size = self.accounts[account].positions[symbol].size;
        if terms.partial {
            self.protect_part(account, symbol, exits);
        } else {
            for (level, kind, by) in [
                (exits.take_profit, "TakeProfit", terms.take_profit_by),
                (exits.stop_loss, "StopLoss", terms.stop_loss_by),
            ] {
                let Some(price) = level else { continue };
                let position = &mut self.accounts[account].positions[symbol];
                let slot = if kind == "TakeProfit" {
                    &mut position.take_profit
                } else {
                    &mut position.stop_loss
                };
                if size != 0 && *slot == Some(price) {
                    continue;
                }
                *slot = (price > 0 && size != 0).then_some(price);
                self.drop_exits(account, symbol, kind);
                if price > 0 && size != 0 {
                    let rising = (size > 0) == (kind == "TakeProfit");
                    let trigger = Trigger { price, rising, by };
                    let plan = Plan { kind, trigger, qty: size.abs(), limit: None, trail: None };
                    self.place_exit(account, symbol, &plan);
                }
            }
        }
        if let Some(distance) = exits.trailing {
            self.accounts[account].positions[symbol].trailing =
                (distance > 0 && size != 0).then_some(distance);
            self.drop_exits(account, symbol, "TrailingStop");
            if distance > 0 && size != 0 {
                let last = self.states[symbol].last;
                let starts_at = exits.starts_at.filter(|price| *price > 0);
                let price = last - size.signum() * distance;
                let plan = Plan {
                    kind: "TrailingStop",
                    trigger: Trigger { price, rising: size < 0, by: "LastPrice" },
                    qty: size.abs(),
                    limit: None,
                    trail: Some(Trail { distance, starts_at }),
                };
                self.place_exit(account, symbol, &plan);
            }
        }
        self.changes.positions.insert((account, symbol));
    }

    /// Places exits for a part of a position, beside those that are there; returns their numbers.
    pub(super) fn protect_part(
        &mut self,
        account: usize,
        symbol: usize,
        exits: &Exits,
    ) -> Vec<u64> {
        let terms = exits.terms;
        let long = self.accounts[account].positions[symbol].size > 0;
        let mut placed = Vec::new();
        for (price, kind, by, limit, qty) in [
            (
                exits.take_profit,
                "PartialTakeProfit",
                terms.take_profit_by,
                terms.take_profit_limit,
                exits.sizes.0,
            ),
            (
                exits.stop_loss,
                "PartialStopLoss",
                terms.stop_loss_by,
                terms.stop_loss_limit,
                exits.sizes.1,
            ),
        ] {
            let Some(price) = price.filter(|price| *price > 0) else { continue };
            let rising = long == (kind == "PartialTakeProfit");
            let plan =
                Plan { kind, trigger: Trigger { price, rising, by }, qty, limit, trail: None };
            placed.push(self.place_exit(account, symbol, &plan));
        }
        if let [one, other] = placed[..] {
            for (number, pair) in [(one, other), (other, one)] {
                if let Some(order) = self.orders.get_mut(&number) {
                    order.pair = Some(pair);
                }
            }
        }
        placed
    }

    /// Places the exits that an order carries, for what one of its fills opened.
    pub(super) fn protect_fill(&mut self, number: u64, qty: i64) {
        let Some(order) = self.orders.get(&number) else { return };
        let (account, symbol, terms) = (order.account, order.symbol, order.terms);
        let exits = Exits {
            take_profit: order.take_profit,
            stop_loss: order.stop_loss,
            sizes: (qty, qty),
            terms,
            ..Exits::default()
        };
        if qty == 0
            || (exits.take_profit.is_none() && exits.stop_loss.is_none())
            || self.accounts[account].positions[symbol].size == 0
        {
            return;
        }
        if !terms.partial {
            self.protect(account, symbol, &exits);
            return;
        }
        // What its earlier fills placed and still waits grows; else there are new ones.
        let children = order.children.clone();
        let mut grown = false;
        for child in children {
            let waiting = self.orders.get_mut(&child);
            if let Some(exit) = waiting.filter(|one| one.status == OrderStatus::Untriggered) {
                exit.qty += qty;
                grown = true;
                self.changes.orders.insert(child);
            }
        }
        if !grown {
            let placed = self.protect_part(account, symbol, &exits);
            if let Some(order) = self.orders.get_mut(&number) {
                order.children = placed;
            }
        }
    }

    /// Removes every exit of a position that is gone or turned.
    pub(super) fn clear_exits(&mut self, account: usize, symbol: usize) {
        let position = &mut self.accounts[account].positions[symbol];
        (position.take_profit, position.stop_loss, position.trailing) = (None, None, None);
        let exits: Vec<u64> = self.states[symbol]
            .waiting
            .iter()
            .copied()
            .filter(|number| {
                let order = self.orders.get(number);
                order.is_some_and(|one| one.account == account && one.is_exit())
            })
            .collect();
        for number in exits {
            self.drop_exit(number);
        }
    }

    fn drop_exits(&mut self, account: usize, symbol: usize, kind: &str) {
        let old: Vec<u64> = self.states[symbol]
            .waiting
            .iter()
            .copied()
            .filter(|number| {
                let order = self.orders.get(number);
                order.is_some_and(|one| one.account == account && one.stop_type == kind)
            })
            .collect();
        for number in old {
            self.drop_exit(number);
        }
    }

    /// Ends an exit that is no longer wanted.
    pub(super) fn drop_exit(&mut self, number: u64) {
        let now = self.timeline.now;
        let order = self.orders.get_mut(&number).filter(|order| order.status.is_open());
        if let Some(order) = order {
            order.end("CancelByTpSlTsClear", "EC_NoError", now);
            self.retire(number);
        }
    }

    fn place_exit(&mut self, account: usize, symbol: usize, plan: &Plan) -> u64 {
        let long = self.accounts[account].positions[symbol].size > 0;
        let number = self.numbering.next_number;
        self.numbering.next_number += 1;
        let order = Order {
            number,
            priority: self.numbering.next_priority,
            account,
            symbol,
            id: self.numbering.make_id(1, number),
            link_id: String::new(),
            side: if long { Side::Sell } else { Side::Buy },
            kind: if plan.limit.is_some() { OrderType::Limit } else { OrderType::Market },
            time_in_force: if plan.limit.is_some() { TimeInForce::Gtc } else { TimeInForce::Ioc },
            price: plan.limit.unwrap_or(0),
            qty: plan.qty,
            filled: 0,
            value: Decimal::ZERO,
            fee: Decimal::ZERO,
            profit: Decimal::ZERO,
            status: OrderStatus::Untriggered,
            reduce_only: true,
            close_on_trigger: true,
            trigger: Some(plan.trigger),
            stop_type: plan.kind,
            trail: plan.trail,
            pair: None,
            children: Vec::new(),
            terms: ExitTerms { partial: plan.kind.starts_with("Partial"), ..ExitTerms::default() },
            self_match: SelfMatch::Allowed,
            met: String::new(),
            take_profit: None,
            stop_loss: None,
            create_type: match plan.kind {
                "TakeProfit" => "CreateByTakeProfit",
                "PartialTakeProfit" => "CreateByPartialTakeProfit",
                "PartialStopLoss" => "CreateByPartialStopLoss",
                "TrailingStop" => "CreateByTrailingStop",
                _ => "CreateByStopLoss",
            },
            cancel_type: "UNKNOWN",
            reject_reason: "EC_NoError",
            ahead: 0,
            last_price: self.states[symbol].last,
            created: self.timeline.now,
            updated: self.timeline.now,
        };
        self.numbering.next_priority += 1;
        self.enter(order);
        number
    }

    /// Moves trailing stops behind the last price.
    pub(super) fn trail(&mut self, symbol: usize) {
        let last = self.states[symbol].last;
        for number in self.states[symbol].waiting.clone() {
            let Some(order) = self.orders.get_mut(&number) else { continue };
            let (Some(trail), Some(trigger)) = (&mut order.trail, &mut order.trigger) else {
                continue;
            };
            // The exit of a long position sells: it follows the market up.
            let up = order.side == Side::Sell;
            let price = if up { last - trail.distance } else { last + trail.distance };
            if let Some(start) = trail.starts_at {
                if (up && last >= start) || (!up && last <= start) {
                    trail.starts_at = None;
                    trigger.price = price;
                    order.updated = self.timeline.now;
                    self.changes.orders.insert(number);
                }
            } else if (up && price > trigger.price) || (!up && price < trigger.price) {
                trigger.price = price;
            }
        }
    }
}
