//! Candles as they travel: REST rows and stream frames, for every interval.

use crate::exchange::Exchange;
use crate::market::candle::{aggregate, Candle, MINUTE_MS};
use crate::market::instrument::Instrument;
use serde_json::{json, Value};

/// Length of a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Whole minutes.
    Minutes(i64),
    /// Weeks from Monday.
    Week,
    /// Calendar months.
    Month,
}

const DAY_MS: i64 = 86_400_000;

impl Interval {
    /// Every interval as the exchange spells it.
    pub const ALL: [&'static str; 13] =
        ["1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M"];

    /// First millisecond after the candle that holds an instant.
    #[must_use]
    pub fn close_of(self, ts: i64) -> i64 {
        let open = self.open_of(ts);
        match self {
            // A day after the last day that any month can have lies in the next one.
            Self::Month => self.open_of(open.saturating_add(31 * DAY_MS)),
            _ => open.saturating_add(self.longest_ms()),
        }
    }

    /// Reads an interval as the exchange spells it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "1" | "3" | "5" | "15" | "30" | "60" | "120" | "240" | "360" | "720" => {
                text.parse().ok().map(Self::Minutes)
            }
            "D" => Some(Self::Minutes(1_440)),
            "W" => Some(Self::Week),
            "M" => Some(Self::Month),
            _ => None,
        }
    }

    /// Open time of the candle that holds an instant.
    #[must_use]
    pub fn open_of(self, ts: i64) -> i64 {
        match self {
            Self::Minutes(minutes) => ts.div_euclid(minutes * MINUTE_MS) * minutes * MINUTE_MS,
            // 1970-01-05 was a Monday.
            Self::Week => (ts - 4 * DAY_MS).div_euclid(7 * DAY_MS) * 7 * DAY_MS + 4 * DAY_MS,
            Self::Month => month_open(ts.div_euclid(DAY_MS)) * DAY_MS,
        }
    }

    /// Longest a candle can be.
    #[must_use]
    pub const fn longest_ms(self) -> i64 {
        match self {
            Self::Minutes(minutes) => minutes * MINUTE_MS,
            Self::Week => 7 * DAY_MS,
            Self::Month => 31 * DAY_MS,
        }
    }
}

/// Day number of the first of the month that holds a day (days since 1970, Gregorian).
fn month_open(day: i64) -> i64 {
    // Counting from 0000-03-01 makes every month's first day a formula (Hinnant, 2013).
    let shifted = day + 719_468;
    let era_day = shifted.rem_euclid(146_097);
    let year = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year + year / 4 - year / 100);
    let month = (5 * year_day + 2) / 153;
    day - (year_day - (153 * month + 2) / 5)
}

/// Candles of a symbol between two instants, oldest first, the forming one included.
///
/// With a start alone the oldest `limit` candles are kept, else the newest.
#[must_use]
pub fn select(
    exchange: &Exchange,
    symbol: usize,
    interval: Interval,
    (start, end): (Option<i64>, Option<i64>),
    limit: usize,
) -> Vec<Candle> {
    let history = exchange.market().history(symbol);
    let forming = exchange.state(symbol).and_then(|state| state.forming);
    let span = interval.longest_ms().saturating_mul(i64::try_from(limit).unwrap_or(1_000) + 1);
    let newest = exchange.now();
    let last = end.unwrap_or(newest).min(newest);
    let (from, to) = match (start, end) {
        (Some(start), None) => (start, start.saturating_add(span).min(last)),
        (Some(start), Some(_)) => (start.max(last.saturating_sub(span)), last),
        (None, _) => (last.saturating_sub(span), last),
    };
    // Whole candles only: begin where the candle of `from` begins.
    let first = history.partition_point(|candle| candle.open_ts < interval.open_of(from));
    let until = interval.open_of(to).saturating_add(interval.longest_ms());
    let past = history.partition_point(|candle| candle.open_ts < until);
    let mut minutes: Vec<Candle> = history.get(first..past).unwrap_or(&[]).to_vec();
    minutes.extend(
        forming.filter(|candle| candle.open_ts < until && candle.open_ts >= interval.open_of(from)),
    );
    let mut candles = aggregate(&minutes, |ts| interval.open_of(ts));
    candles.retain(|candle| {
        start.is_none_or(|start| candle.open_ts >= start) && candle.open_ts <= last
    });
    if candles.len() > limit {
        if start.is_some() && end.is_none() {
            candles.truncate(limit);
        } else {
            candles.drain(..candles.len() - limit);
        }
    }
    candles
}

/// One row of `/v5/market/kline`.
#[must_use]
pub fn row(instrument: &Instrument, candle: &Candle) -> Value {
    json!([
        candle.open_ts.to_string(),
        instrument.price(candle.open),
        instrument.price(candle.high),
        instrument.price(candle.low),
        instrument.price(candle.close),
        instrument.volume(candle.volume),
        instrument.turnover(candle.turnover),
    ])
}

/// A frame of a candle stream.
#[must_use]
pub fn frame(
    instrument: &Instrument,
    interval: &str,
    candle: &Candle,
    confirm: bool,
    now: i64,
) -> String {
    let close = Interval::read(interval)
        .map_or(candle.open_ts + MINUTE_MS, |one| one.close_of(candle.open_ts));
    json!({
        "topic": format!("kline.{interval}.{}", instrument.symbol),
        "type": "snapshot",
        "ts": now,
        "data": [{
            "start": candle.open_ts,
            "end": close - 1,
            "interval": interval,
            "open": instrument.price(candle.open),
            "close": instrument.price(candle.close),
            "high": instrument.price(candle.high),
            "low": instrument.price(candle.low),
            "volume": instrument.volume(candle.volume),
            "turnover": instrument.turnover(candle.turnover),
            "confirm": confirm,
            "timestamp": now,
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        // 2024-02-29 12:00 UTC, a Thursday.
        let ts = 1_709_208_000_000;
        assert_eq!(Interval::Week.open_of(ts), 1_708_905_600_000);
        assert_eq!(Interval::Month.open_of(ts), 1_706_745_600_000);
        assert_eq!(Interval::Minutes(1_440).open_of(ts), 1_709_164_800_000);
        assert_eq!(Interval::Month.close_of(ts), 1_709_251_200_000);
        // 2025-01-01 00:00 is its own month.
        assert_eq!(Interval::Month.open_of(1_735_689_600_000), 1_735_689_600_000);
    }
}
