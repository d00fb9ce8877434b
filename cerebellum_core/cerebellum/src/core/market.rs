//! What the core knows of markets: instruments and the best prices.

use rust_decimal::Decimal;

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
