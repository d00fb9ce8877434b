//! Orders as requests describe them, with a reason for everything that cannot be meant.

use super::order::{ExitTerms, Order, SelfMatch, Trigger};
use super::request::{bad, Fields};
use super::{Exchange, Refusal};
use protocol::bybit::codes;
use protocol::bybit::decimals;
use protocol::bybit::enums::{OrderStatus, OrderType, Side, TimeInForce};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::Decimal;
use serde_json::Value;

/// Prices that a trigger can watch.
pub const TRIGGER_PRICES: [&str; 3] = ["LastPrice", "MarkPrice", "IndexPrice"];
/// Most ticks of slippage that a market order may tolerate.
const MOST_TICKS: i64 = 10_000;
/// Most percent of slippage that a market order may tolerate.
const MOST_PERCENT: i64 = 10;
/// Deepest level of the book that an order can name as its price.
const MOST_LEVELS: i64 = 5;

impl Exchange {
    pub(super) fn known_symbol(&self, fields: Fields<'_>) -> Result<usize, Refusal> {
        fields.linear()?;
        let name = fields.required("symbol")?;
        self.symbol(&name).ok_or_else(|| bad(format!("params error: symbol {name} invalid")))
    }

    pub(super) fn read_order(&self, account: usize, body: &Value) -> Result<Order, Refusal> {
        let fields = Fields(body);
        let symbol = self.known_symbol(fields)?;
        let (side, kind) = (read_side(fields)?, read_kind(fields)?);
        let time_in_force = read_time_in_force(fields, kind)?;
        if fields.whole("positionIdx")? != 0 {
            return Err(Refusal::new(codes::PARAMETER, "position idx not match position mode"));
        }
        let instrument = &self.instruments()[symbol];
        let (ticks, steps) = (instrument.price_decimals, instrument.qty_decimals);
        fields.required("qty")?;
        let qty = fields.scaled("qty", steps)?.unwrap_or(0);
        let price = self.read_price(fields, symbol, side, kind)?;
        let trigger = self.read_trigger(fields, symbol)?;
        let (reduce_only, close_on_trigger) =
            (fields.flag("reduceOnly")?, fields.flag("closeOnTrigger")?);
        let take_profit = fields.scaled("takeProfit", ticks)?.filter(|price| *price > 0);
        let stop_loss = fields.scaled("stopLoss", ticks)?.filter(|price| *price > 0);
        let self_match = read_self_match(fields)?;
        let terms = fields.exit_terms(ticks)?;
        Ok(Order {
            number: self.numbering.next_number,
            priority: self.numbering.next_priority,
            account,
            symbol,
            id: self.numbering.make_id(1, self.numbering.next_number),
            link_id: fields.link_id()?,
            side,
            kind,
            time_in_force,
            price,
            qty,
            filled: 0,
            value: Decimal::ZERO,
            fee: Decimal::ZERO,
            profit: Decimal::ZERO,
            status: if trigger.is_some() { OrderStatus::Untriggered } else { OrderStatus::New },
            reduce_only,
            close_on_trigger,
            trigger,
            stop_type: if trigger.is_some() { "Stop" } else { "" },
            trail: None,
            pair: None,
            children: Vec::new(),
            terms,
            self_match,
            met: String::new(),
            take_profit,
            stop_loss,
            create_type: "CreateByUser",
            cancel_type: "UNKNOWN",
            reject_reason: "EC_NoError",
            ahead: 0,
            last_price: self.states[symbol].last,
            created: self.timeline.now,
            updated: self.timeline.now,
        })
    }

    /// The price of a limit order, or the worst that a market order takes.
    fn read_price(
        &self,
        fields: Fields<'_>,
        symbol: usize,
        side: Side,
        kind: OrderType,
    ) -> Result<i64, Refusal> {
        match kind {
            OrderType::Limit => match self.read_book_price(fields, symbol, side)? {
                Some(price) => Ok(price),
                None => fields
                    .scaled("price", self.instruments()[symbol].price_decimals)?
                    .filter(|price| *price > 0)
                    .ok_or_else(|| bad("params error: price is missing or zero")),
            },
            OrderType::Market => {
                let worst = self.worst_price(symbol, side);
                let tolerated = self.read_tolerance(fields, symbol, side)?;
                // The nearer of both.
                Ok(tolerated.map_or(worst, |price| {
                    side.sign() * (price * side.sign()).min(worst * side.sign())
                }))
            }
        }
    }

    /// Exits must lie where they cannot fire at the very fill that they protect.
    pub(super) fn check_exits(&self, order: &Order) -> Result<(), Refusal> {
        let levels = [
            ("takeProfit", order.take_profit, order.side == Side::Buy),
            ("stopLoss", order.stop_loss, order.side == Side::Sell),
        ];
        if order.reduce_only && levels.iter().any(|(_, level, _)| level.is_some()) {
            return Err(bad(
                "params error: a reduce-only order cannot carry takeProfit or stopLoss",
            ));
        }
        // Where the market is when the order arrives at the book, and what it asks for there.
        let market = order.trigger.map_or(self.states[order.symbol].last, |trigger| trigger.price);
        let asked = if order.kind == OrderType::Limit { order.price } else { market };
        let crosses = (market - asked) * order.side.sign() <= 0;
        let bases = [asked, if crosses { market } else { asked }];
        for (name, level, above) in levels {
            let Some(level) = level else { continue };
            let wrong = bases.iter().find(|base| level == **base || (level > **base) != above);
            if let Some(base) = wrong {
                return Err(bad(format!(
                    "params error: {name} must lie {} the base price {} of a {} order",
                    if above { "above" } else { "below" },
                    self.instruments()[order.symbol].price(*base),
                    order.side.as_str()
                )));
            }
        }
        Ok(())
    }

    /// A trigger must lie ahead of the price that it watches.
    pub(super) fn check_trigger(&self, symbol: usize, trigger: Trigger) -> Result<(), Refusal> {
        let now = self.watched(symbol, trigger.by);
        if trigger.rising && trigger.price <= now {
            return Err(Refusal::new(
                codes::TRIGGER_NOT_ABOVE,
                "expect Rising, but trigger_price <= current price",
            ));
        }
        if !trigger.rising && (trigger.price >= now || trigger.price <= 0) {
            return Err(Refusal::new(
                codes::TRIGGER_NOT_BELOW,
                "expect Falling, but trigger_price >= current price",
            ));
        }
        Ok(())
    }

    /// The price that a trigger watches, in ticks.
    pub(super) fn watched(&self, symbol: usize, by: &str) -> i64 {
        let state = &self.states[symbol];
        match by {
            "MarkPrice" => state.mark(),
            "IndexPrice" => state.index(),
            _ => state.last,
        }
    }

    fn read_trigger(&self, fields: Fields<'_>, symbol: usize) -> Result<Option<Trigger>, Refusal> {
        let places = self.instruments()[symbol].price_decimals;
        let Some(price) = fields.scaled("triggerPrice", places)?.filter(|price| *price > 0) else {
            return Ok(None);
        };
        let by = fields.one_of("triggerBy", &TRIGGER_PRICES)?.unwrap_or("LastPrice");
        let rising = match fields.whole("triggerDirection")? {
            1 => true,
            2 => false,
            _ => {
                return Err(bad("params error: triggerDirection must be 1 (rising) or 2 (falling)"))
            }
        };
        let trigger = Trigger { price, rising, by };
        self.check_trigger(symbol, trigger)?;
        Ok(Some(trigger))
    }

    /// The worst price that the slippage tolerance of a market order permits.
    fn read_tolerance(
        &self,
        fields: Fields<'_>,
        symbol: usize,
        side: Side,
    ) -> Result<Option<i64>, Refusal> {
        let Some(kind) = fields.one_of("slippageToleranceType", &["TickSize", "Percent"])? else {
            return Ok(None);
        };
        let text = fields.required("slippageTolerance")?;
        if !fields.text("triggerPrice")?.is_empty() {
            return Err(bad(
                "params error: slippageTolerance is not served for conditional orders",
            ));
        }
        let off = || bad(format!("params error: slippageTolerance {text} invalid for {kind}"));
        let value = decimals::parse(&text).ok_or_else(off)?;
        let best = self.states[symbol].book.best(side.opposite());
        let slip = if kind == "TickSize" {
            let ticks = value.to_i64().filter(|ticks| Decimal::from(*ticks) == value);
            let ticks = ticks.filter(|ticks| (1..=MOST_TICKS).contains(ticks)).ok_or_else(off)?;
            ticks * self.instruments()[symbol].tick
        } else {
            let fits = value >= Decimal::new(1, 2) && value <= Decimal::from(MOST_PERCENT);
            if !fits || value.normalize().scale() > 2 {
                return Err(off());
            }
            (Decimal::from(best) * value / Decimal::ONE_HUNDRED).trunc().to_i64().unwrap_or(0)
        };
        Ok(Some((best + side.sign() * slip).max(1)))
    }

    /// The price of a level of the book that a limit order names instead of a price.
    fn read_book_price(
        &self,
        fields: Fields<'_>,
        symbol: usize,
        side: Side,
    ) -> Result<Option<i64>, Refusal> {
        let Some(kind) = fields.one_of("bboSideType", &["Queue", "Counterparty"])? else {
            return Ok(None);
        };
        let level = fields.whole("bboLevel")?;
        if !(1..=MOST_LEVELS).contains(&level) {
            return Err(bad(format!("params error: bboLevel {level} is not 1 to {MOST_LEVELS}")));
        }
        let of = if kind == "Queue" { side } else { side.opposite() };
        let levels = self.levels(symbol, of, usize::try_from(level).unwrap_or(1));
        let price = levels.last().map(|(price, _)| *price);
        price.map(Some).ok_or_else(|| bad("params error: the book has no such level"))
    }
}

impl Fields<'_> {
    /// How take-profit and stop-loss are to be placed.
    ///
    /// # Errors
    /// A word that does not exist, or a limit in full mode.
    pub fn exit_terms(&self, ticks: u32) -> Result<ExitTerms, Refusal> {
        let partial = self.one_of("tpslMode", &["Full", "Partial"])? == Some("Partial");
        let limit = |kind: &str, price: &str| -> Result<Option<i64>, Refusal> {
            let is_limit = self.one_of(kind, &["Market", "Limit"])? == Some("Limit");
            let price_given = self.scaled(price, ticks)?.filter(|given| *given > 0);
            match (is_limit, price_given) {
                (false, _) => Ok(None),
                (true, None) => Err(bad(format!("params error: {price} is missing"))),
                (true, _) if !partial => {
                    Err(bad(format!("params error: {kind} Limit needs tpslMode Partial")))
                }
                (true, given) => Ok(given),
            }
        };
        let by = |name: &str| -> Result<&'static str, Refusal> {
            Ok(self.one_of(name, &TRIGGER_PRICES)?.unwrap_or("LastPrice"))
        };
        Ok(ExitTerms {
            partial,
            take_profit_limit: limit("tpOrderType", "tpLimitPrice")?,
            stop_loss_limit: limit("slOrderType", "slLimitPrice")?,
            take_profit_by: by("tpTriggerBy")?,
            stop_loss_by: by("slTriggerBy")?,
        })
    }
}

fn read_side(fields: Fields<'_>) -> Result<Side, Refusal> {
    match fields.required("side")?.as_str() {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        other => Err(bad(format!("params error: side {other} is not Buy or Sell"))),
    }
}

fn read_kind(fields: Fields<'_>) -> Result<OrderType, Refusal> {
    match fields.required("orderType")?.as_str() {
        "Limit" => Ok(OrderType::Limit),
        "Market" => Ok(OrderType::Market),
        other => Err(bad(format!("params error: orderType {other} is not Limit or Market"))),
    }
}

fn read_time_in_force(fields: Fields<'_>, kind: OrderType) -> Result<TimeInForce, Refusal> {
    match (kind, fields.text("timeInForce")?.as_str()) {
        (OrderType::Market, _) | (_, "IOC") => Ok(TimeInForce::Ioc),
        (_, "" | "GTC") => Ok(TimeInForce::Gtc),
        (_, "FOK") => Ok(TimeInForce::Fok),
        (_, "PostOnly") => Ok(TimeInForce::PostOnly),
        (_, other) => Err(bad(format!("params error: timeInForce {other} invalid"))),
    }
}

fn read_self_match(fields: Fields<'_>) -> Result<SelfMatch, Refusal> {
    match fields.text("smpType")?.as_str() {
        "" | "None" => Ok(SelfMatch::Allowed),
        "CancelMaker" => Ok(SelfMatch::CancelMaker),
        "CancelTaker" => Ok(SelfMatch::CancelTaker),
        "CancelBoth" => Ok(SelfMatch::CancelBoth),
        other => Err(bad(format!("params error: smpType {other} invalid"))),
    }
}
