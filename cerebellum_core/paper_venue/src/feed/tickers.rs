//! Tickers: last price, best prices and the last day in figures.

use crate::exchange::advance::FUNDING_MS;
use crate::exchange::Exchange;
use crate::market::candle::MINUTE_MS;
use protocol::bybit::enums::Side;
use rust_decimal::Decimal;
use serde_json::{json, Map, Value};

/// The last day of a symbol, counted once per minute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Day {
    minute: i64,
    previous: i64,
    previous_hour: i64,
    high: i64,
    low: i64,
    volume: i64,
    turnover: i128,
}

impl Day {
    /// Counts the last day again when a minute passed.
    pub fn refresh(&mut self, exchange: &Exchange, symbol: usize) {
        let minute = exchange.now().div_euclid(MINUTE_MS);
        if self.minute == minute {
            return;
        }
        let history = exchange.market().history(symbol);
        let from = history.partition_point(|candle| candle.open_ts < (minute - 1_440) * MINUTE_MS);
        let hour = history.partition_point(|candle| candle.open_ts < (minute - 60) * MINUTE_MS);
        let last = exchange.state(symbol).map_or(0, |state| state.last);
        let mut day = Self {
            minute,
            previous: last,
            previous_hour: last,
            high: last,
            low: last,
            ..Self::default()
        };
        for (index, candle) in history.iter().skip(from).enumerate() {
            if index == 0 {
                day.previous = candle.open;
            }
            day.high = day.high.max(candle.high);
            day.low = day.low.min(candle.low);
            day.volume += candle.volume;
            day.turnover += candle.turnover;
        }
        if let Some(candle) = history.get(hour) {
            day.previous_hour = candle.open;
        }
        *self = day;
    }

    /// The ticker's fields.
    #[must_use]
    pub fn row(&self, exchange: &Exchange, symbol: usize) -> Map<String, Value> {
        let instrument = &exchange.instruments()[symbol];
        let Some(state) = exchange.state(symbol) else { return Map::new() };
        let best = |side: Side| exchange.levels(symbol, side, 1).first().copied().unwrap_or((0, 0));
        let ((bid, bid_qty), (ask, ask_qty)) = (best(Side::Buy), best(Side::Sell));
        let last = instrument.price(state.last);
        let change = if self.previous > 0 {
            (Decimal::from(state.last - self.previous) / Decimal::from(self.previous)).round_dp(6)
        } else {
            Decimal::ZERO
        };
        let interest = instrument.level_qty.saturating_mul(50_000);
        let value = instrument.exact_price(state.last) * instrument.exact_qty(interest);
        let fields = json!({
            "symbol": instrument.symbol,
            "lastPrice": last,
            "indexPrice": instrument.price(state.index()),
            "markPrice": instrument.price(state.mark()),
            "prevPrice24h": instrument.price(self.previous),
            "price24hPcnt": change.to_string(),
            "highPrice24h": instrument.price(self.high.max(state.last)),
            "lowPrice24h": instrument.price(self.low.min(state.last)),
            "prevPrice1h": instrument.price(self.previous_hour),
            "openInterest": instrument.qty(interest),
            "openInterestValue": value.round_dp(2).to_string(),
            "turnover24h": instrument.turnover(self.turnover),
            "volume24h": instrument.volume(self.volume),
            "fundingRate": reported(exchange.funding_rate(symbol)),
            "nextFundingTime": reported(exchange.next_funding(symbol)),
            "fundingIntervalHour": (FUNDING_MS / 3_600_000).to_string(),
            "fundingCap": "0.00375",
            "predictedDeliveryPrice": "",
            "basisRate": "",
            "deliveryFeeRate": "",
            "deliveryTime": "0",
            "basis": "",
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
            "bid1Price": instrument.price(bid),
            "bid1Size": instrument.qty(bid_qty),
            "ask1Price": instrument.price(ask),
            "ask1Size": instrument.qty(ask_qty),
        });
        let mut row = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        row.extend(state.ticker.clone());
        row
    }
}

/// A figure as it travels; empty where it is not known.
fn reported(figure: Option<impl ToString>) -> String {
    figure.map_or_else(String::new, |figure| figure.to_string())
}
