//! Pre-trade checks: (intent, what is known) -> accepted, or a code and a text.

use protocol::wire::{
    field::{Kind, Side, Symbol, TradingState},
    RejectCode,
};
use rust_decimal::Decimal;

use crate::execution::model::{
    limits::Limits,
    market::{Instrument, Quote},
    order::Intent,
};

/// What the reader of a refusal is asked to do; `crucible status` names the scope that holds it back.
const TELLS_WHY: &str =
    "crucible status tells why; to lift it: crucible resume --operator NAME [--agent A] [--symbol S]";

/// What is known of the loss of the day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DayLoss {
    /// Inside the limits, or there are none.
    #[default]
    Inside,
    /// A limit is reached; the text names which.
    Reached(String),
    /// A position cannot be valued; the text names which.
    Unknown(String),
}

/// All that a pre-trade check looks at.
#[derive(Clone, Debug)]
pub struct RiskContext<'a> {
    /// The limits.
    pub limits: &'a Limits,
    /// The symbol's filters, if it is traded here.
    pub instrument: Option<&'a Instrument>,
    /// The best prices, if the book can be trusted.
    pub quote: Option<&'a Quote>,
    /// Market time, ms.
    pub market_ms: u64,
    /// The strictest state that applies.
    pub state: TradingState,
    /// The agent's signed position.
    pub position: Decimal,
    /// What the agent's working orders may still buy.
    pub working_buys: Decimal,
    /// What the agent's working orders may still sell.
    pub working_sells: Decimal,
    /// The sum of all agents' absolute notionals, working entries included; a symbol that cannot be
    /// valued instead.
    pub total_notional: Result<Decimal, Symbol>,
    /// How many orders the agent submitted in the last second.
    pub agent_rate: u32,
    /// Whether the agent, or all, lost the day's limit.
    pub daily_loss: DayLoss,
    /// For new terms of an order that works already: how much of it is filled.
    pub amended: Option<Decimal>,
}

/// A refusal: the code for machines, the text for people.
pub type Refusal = (RejectCode, String);

/// Checks an intent; the first thing wrong is reported.
///
/// # Errors
/// The refusal's code and text.
pub fn check(intent: &Intent, context: &RiskContext<'_>) -> Result<(), Refusal> {
    let symbol = &intent.symbol;
    let instrument = context.instrument.ok_or_else(|| {
        (
            RejectCode::UnknownSymbol,
            format!("{symbol} is not traded here; start with --symbols that include it"),
        )
    })?;
    check_quantity(intent, instrument, context.amended)?;
    check_price(intent, instrument)?;
    // The time to live is about sending; an order that rests has been sent.
    if context.amended.is_none() && context.market_ms > intent.expires_at() {
        return Err((
            RejectCode::Expired,
            format!(
                "ts {} + ttl_ms {} lies before market time {}; decide on newer data",
                intent.ts, intent.ttl_ms, context.market_ms
            ),
        ));
    }
    check_state(intent, context)?;
    if intent.reduce_only {
        check_reduces(intent, context)?;
    } else {
        let quote = context.quote.ok_or_else(|| {
            (
                RejectCode::StaleBook,
                format!("the book of {symbol} is stale; wait for {symbol}.stale to say false"),
            )
        })?;
        check_entry(intent, instrument, quote, context)?;
    }
    if context.agent_rate >= context.limits.order.per_second_per_agent {
        return Err((
            RejectCode::OrderRate,
            format!(
                "{} orders of {} in the last second, limit {}; send fewer",
                context.agent_rate, intent.agent, context.limits.order.per_second_per_agent
            ),
        ));
    }
    Ok(())
}

fn check_quantity(
    intent: &Intent,
    instrument: &Instrument,
    filled: Option<Decimal>,
) -> Result<(), Refusal> {
    let qty = intent.qty.value();
    let bad = |text: String| Err((RejectCode::BadQuantity, text));
    if qty <= Decimal::ZERO {
        return bad(format!("qty {} must be above zero", intent.qty));
    }
    if let Some(filled) = filled.filter(|filled| qty <= *filled) {
        return bad(format!(
            "qty {} is not above the {filled} filled; cancel the rest",
            intent.qty
        ));
    }
    let most = match intent.kind {
        Kind::Market => instrument.max_market_qty,
        Kind::Limit => instrument.max_qty,
    };
    if qty > most {
        return bad(format!(
            "qty {} of {} is above the venue's {most}; split the order",
            intent.qty, intent.symbol
        ));
    }
    if !is_multiple(qty, instrument.qty_step) {
        return bad(format!(
            "qty {} of {} is off the step {}; round it to the step",
            intent.qty, intent.symbol, instrument.qty_step
        ));
    }
    if qty < instrument.min_qty {
        return Err((
            RejectCode::BelowMinimum,
            format!(
                "qty {} of {} is below the venue's {}; send more or nothing",
                intent.qty, intent.symbol, instrument.min_qty
            ),
        ));
    }
    Ok(())
}

fn check_price(intent: &Intent, instrument: &Instrument) -> Result<(), Refusal> {
    let bad = |text: String| Err((RejectCode::BadPrice, text));
    match (intent.kind, &intent.limit_price) {
        (Kind::Market, None) => {}
        (Kind::Market, Some(price)) => {
            return bad(format!("a market order with limit_price {price}; send null"))
        }
        (Kind::Limit, None) => return bad("a limit order without limit_price".to_owned()),
        (Kind::Limit, Some(price)) => {
            let value = price.value();
            if value < instrument.min_price || value > instrument.max_price {
                return bad(format!(
                    "limit_price {price} of {} is outside {} to {}",
                    intent.symbol, instrument.min_price, instrument.max_price
                ));
            }
            if !is_multiple(value, instrument.tick_size) {
                return bad(format!(
                    "limit_price {price} of {} is off the tick {}; round it to the tick",
                    intent.symbol, instrument.tick_size
                ));
            }
        }
    }
    if let Some(protect) = &intent.protect {
        for (name, level) in [("stop", &protect.stop), ("take_profit", &protect.take_profit)] {
            if let Some(level) = level.as_ref().filter(|level| level.value() <= Decimal::ZERO) {
                return bad(format!("protect.{name} {level} must be above zero"));
            }
        }
    }
    Ok(())
}

fn check_state(intent: &Intent, context: &RiskContext<'_>) -> Result<(), Refusal> {
    match context.state {
        TradingState::Halted => Err((
            RejectCode::Halted,
            format!("{} in {} is HALTED; {TELLS_WHY}", intent.agent, intent.symbol),
        )),
        TradingState::ReduceOnly if !intent.reduce_only => match &context.daily_loss {
            DayLoss::Reached(text) => Err((RejectCode::DailyLoss, text.clone())),
            DayLoss::Inside | DayLoss::Unknown(_) => Err((
                RejectCode::ReduceOnly,
                format!("{} in {} is REDUCE_ONLY; {TELLS_WHY}", intent.agent, intent.symbol),
            )),
        },
        _ if intent.reduce_only => Ok(()),
        _ => match &context.daily_loss {
            DayLoss::Reached(text) => Err((RejectCode::DailyLoss, text.clone())),
            DayLoss::Unknown(text) => Err((RejectCode::MarkUnknown, text.clone())),
            DayLoss::Inside => Ok(()),
        },
    }
}

/// What an intent may still add: of one that is amended, what is filled is held already.
fn to_come(intent: &Intent, context: &RiskContext<'_>) -> Decimal {
    intent.qty.value() - context.amended.unwrap_or_default()
}

/// Reduce-only is a promise about the agent's own position, not about the venue's net one.
fn check_reduces(intent: &Intent, context: &RiskContext<'_>) -> Result<(), Refusal> {
    let (room, working) = match intent.side {
        Side::Sell => (context.position, context.working_sells),
        Side::Buy => (-context.position, context.working_buys),
    };
    let reducible = room.max(Decimal::ZERO) - working;
    if to_come(intent, context) <= reducible {
        return Ok(());
    }
    Err((
        RejectCode::ReduceOnly,
        format!(
            "{} holds {} {} with {working} already on its way out; at most {} can be closed, not {}",
            intent.agent,
            context.position.normalize(),
            intent.symbol,
            reducible.max(Decimal::ZERO).normalize(),
            intent.qty
        ),
    ))
}

fn check_entry(
    intent: &Intent,
    instrument: &Instrument,
    quote: &Quote,
    context: &RiskContext<'_>,
) -> Result<(), Refusal> {
    let taking = match intent.side {
        Side::Buy => quote.ask,
        Side::Sell => quote.bid,
    };
    let price = intent.limit_price.as_ref().map_or(taking, |price| price.value());
    check_notional(intent, instrument, context, price.saturating_mul(intent.qty.value()))?;
    check_collar(intent, context, price, taking)?;
    check_position(intent, context, price)
}

/// Neither less than the venue takes nor more than the limit on one order.
fn check_notional(
    intent: &Intent,
    instrument: &Instrument,
    context: &RiskContext<'_>,
    notional: Decimal,
) -> Result<(), Refusal> {
    if notional < instrument.min_notional {
        return Err((
            RejectCode::BelowMinimum,
            format!(
                "order notional {} of {} is below the venue's {}; send more or nothing",
                notional.normalize(),
                intent.symbol,
                instrument.min_notional
            ),
        ));
    }
    if let Some(most) = context.limits.order.max_notional.filter(|most| notional > *most) {
        return Err((
            RejectCode::LimitNotional,
            format!(
                "order notional {} of {} is above the limit {most}; send a smaller order",
                notional.normalize(),
                intent.symbol
            ),
        ));
    }
    Ok(())
}

/// A limit price does not cross the opposite best price by more than the collar.
fn check_collar(
    intent: &Intent,
    context: &RiskContext<'_>,
    price: Decimal,
    taking: Decimal,
) -> Result<(), Refusal> {
    let collar = taking.saturating_mul(Decimal::new(i64::from(context.limits.order.collar_bps), 4));
    let crosses_too_far = match intent.side {
        Side::Buy => price > taking + collar,
        Side::Sell => price < taking - collar,
    };
    if crosses_too_far {
        return Err((
            RejectCode::PriceCollar,
            format!(
                "limit_price {price} of {} is more than {} bps through the best price {taking}",
                intent.symbol, context.limits.order.collar_bps
            ),
        ));
    }
    Ok(())
}

/// The agent's position and that of all agents fit under their limits once the order is filled.
fn check_position(
    intent: &Intent,
    context: &RiskContext<'_>,
    price: Decimal,
) -> Result<(), Refusal> {
    let coming = to_come(intent, context);
    let after = match intent.side {
        Side::Buy => context.position + context.working_buys + coming,
        Side::Sell => -(context.position - context.working_sells - coming),
    };
    let grown = after.max(Decimal::ZERO).saturating_mul(price);
    if let Some(most) = context.limits.position.max_notional.filter(|most| grown > *most) {
        return Err((
            RejectCode::LimitPosition,
            format!(
                "{} would hold {} of {}, limit {most}; send a smaller order",
                intent.agent,
                grown.normalize(),
                intent.symbol
            ),
        ));
    }
    match context.limits.position.max_total_notional {
        Some(most) if after > context.position.abs() => {
            check_total(context, price.saturating_mul(coming), most)
        }
        _ => Ok(()),
    }
}

/// An entry that makes the sum of all agents larger fits under the limit on it.
fn check_total(context: &RiskContext<'_>, notional: Decimal, most: Decimal) -> Result<(), Refusal> {
    let total = match &context.total_notional {
        Ok(total) => total.saturating_add(notional),
        Err(symbol) => {
            let text = format!(
                "what all agents hold is not known: the book of {symbol} is stale; wait for \
                 {symbol}.stale to say false, or close what is held in it"
            );
            return Err((RejectCode::MarkUnknown, text));
        }
    };
    if total <= most {
        return Ok(());
    }
    Err((
        RejectCode::LimitPosition,
        format!("all agents would hold {}, limit {most}; close something", total.normalize()),
    ))
}

fn is_multiple(value: Decimal, step: Decimal) -> bool {
    value.checked_rem(step).is_some_and(|rest| rest.is_zero())
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
