//! What the core knows of markets: instruments and the best prices.

use rust_decimal::Decimal;

/// The latest time that is believed, ms: the year 2100. One frame beyond would move market time, which
/// never goes back, past every deadline.
const LATEST_MS: u64 = 4_102_444_800_000;

/// A time of the venue that is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {ts} is no time between 1970 and 2100")]
pub struct ImplausibleTime {
    what: String,
    ts: u64,
}

/// Takes a time that the venue reported, ms.
///
/// # Errors
/// What it was a time of, if it lies before 1970 or after 2100.
pub fn believe(ts: u64, what: impl std::fmt::Display) -> Result<u64, ImplausibleTime> {
    if (1..=LATEST_MS).contains(&ts) {
        Ok(ts)
    } else {
        Err(ImplausibleTime { what: what.to_string(), ts })
    }
}

/// The filters of one symbol, from the venue's instruments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Prices are whole multiples of it.
    pub tick_size: Decimal,
    /// The lowest price.
    pub min_price: Decimal,
    /// The highest price.
    pub max_price: Decimal,
    /// Quantities are whole multiples of it.
    pub qty_step: Decimal,
    /// The smallest quantity.
    pub min_qty: Decimal,
    /// The largest quantity of a limit order.
    pub max_qty: Decimal,
    /// The largest quantity of a market order.
    pub max_market_qty: Decimal,
    /// The smallest price times quantity.
    pub min_notional: Decimal,
}

/// The best prices of a trustworthy book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: Decimal,
    /// Best ask.
    pub ask: Decimal,
}

impl Quote {
    /// Halfway between.
    #[must_use]
    pub fn mid(&self) -> Decimal {
        (self.bid + self.ask) / Decimal::TWO
    }
}

#[cfg(test)]
mod tests {
    use crate::execution::model::market::*;

    #[test]
    fn a_time_that_is_not_positive_or_after_2100_is_not_believed() {
        for (ts, believed) in [
            (0, false),
            (1, true),
            (4_102_444_800_000, true),
            (4_102_444_800_001, false),
            (u64::MAX, false),
        ] {
            assert_eq!(believe(ts, "ts").is_ok(), believed, "{ts}");
        }
    }
}
