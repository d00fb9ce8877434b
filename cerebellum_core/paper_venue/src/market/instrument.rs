//! What may be traded: ticks, steps, limits and the shape of each symbol's book.

use protocol::bybit::decimals;
use rust_decimal::Decimal;
use serde_json::Value;

/// One linear perpetual and its filters.
#[derive(Debug, Clone)]
pub struct Instrument {
    /// For example `BTCUSDT`.
    pub symbol: String,
    /// For example `BTC`.
    pub base: String,
    /// Decimals of a price; prices are counted in units of the last place.
    pub price_decimals: u32,
    /// Distance between permitted prices, in units of the last place.
    pub tick: i64,
    /// Decimals of an order's quantity; quantities are counted in units of the last place, which
    /// are called steps.
    pub qty_decimals: u32,
    /// Distance between permitted quantities, in those units.
    pub qty_step: i64,
    /// Decimals of market volumes; at least `qty_decimals`.
    pub volume_decimals: u32,
    /// Smallest order, in steps.
    pub min_qty: i64,
    /// Largest limit order, in steps.
    pub max_qty: i64,
    /// Largest market order, in steps.
    pub max_market_qty: i64,
    /// Smallest notional of an order.
    pub min_notional: Decimal,
    /// Largest leverage.
    pub max_leverage: Decimal,
    /// Distance between book levels, in ticks.
    pub grid: i64,
    /// Typical size of a book level, in steps.
    pub level_qty: i64,
    /// How far from the last price an order may take, as a share of it.
    pub price_limit: Decimal,
    /// The exchange's own row, served as it came; built from the other fields when missing.
    pub row: Option<Value>,
}

/// Figures of a symbol that is well known; its decimals are those of Bybit's `instruments-info`
/// (category `linear`) as recorded on 2026-08-09.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Symbol.
    pub symbol: &'static str,
    /// Decimals of a price.
    pub price_decimals: u32,
    /// Decimals of a quantity.
    pub qty_decimals: u32,
    /// Price at the origin.
    pub price: f64,
    /// Base asset traded in a usual minute.
    pub volume: f64,
    /// Standard deviation of one-minute returns in a usual hour.
    pub sigma: f64,
    /// Share of the market's common move.
    pub beta: f64,
}

const fn known(
    symbol: &'static str,
    (price_decimals, qty_decimals): (u32, u32),
    (price, volume): (f64, f64),
    (sigma, beta): (f64, f64),
) -> Known {
    Known { symbol, price_decimals, qty_decimals, price, volume, sigma, beta }
}

const KNOWN: [Known; 12] = [
    known("BTCUSDT", (1, 3), (68_000.0, 90.0), (0.000_50, 1.0)),
    known("ETHUSDT", (2, 2), (3_400.0, 1_400.0), (0.000_62, 1.1)),
    known("SOLUSDT", (2, 1), (160.0, 14_000.0), (0.000_78, 1.2)),
    known("XRPUSDT", (4, 1), (2.2, 450_000.0), (0.000_75, 0.9)),
    known("BNBUSDT", (1, 2), (620.0, 700.0), (0.000_45, 0.8)),
    known("DOGEUSDT", (5, 0), (0.18, 7_000_000.0), (0.000_90, 1.2)),
    known("ADAUSDT", (4, 0), (0.70, 900_000.0), (0.000_80, 1.1)),
    known("LINKUSDT", (3, 1), (15.0, 30_000.0), (0.000_80, 1.1)),
    known("AVAXUSDT", (3, 1), (24.0, 20_000.0), (0.000_85, 1.2)),
    known("LTCUSDT", (2, 1), (90.0, 6_000.0), (0.000_70, 0.9)),
    known("DOTUSDT", (4, 1), (4.2, 90_000.0), (0.000_80, 1.1)),
    known("BCHUSDT", (1, 2), (420.0, 600.0), (0.000_75, 0.9)),
];

/// The figures of a symbol; one that is not in the table trades like a mid-priced coin.
#[must_use]
pub fn look_up(symbol: &str) -> Option<Known> {
    KNOWN.iter().find(|known| known.symbol == symbol).copied()
}

/// Figures for a symbol that the table does not have.
#[must_use]
pub const fn unknown() -> Known {
    known("", (3, 1), (20.0, 20_000.0), (0.000_80, 1.0))
}

/// Whether a text can be a symbol here: capital letters and digits that end in USDT.
#[must_use]
pub fn is_symbol(symbol: &str) -> bool {
    symbol.len() > 4
        && symbol.len() <= 24
        && symbol.ends_with("USDT")
        && symbol.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// What cannot be read of a row of `/v5/market/instruments-info`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    /// A field that is missing or no number.
    #[error("the instrument {symbol} has {path} {text:?}, not a number")]
    NotANumber {
        /// Of what.
        symbol: String,
        /// The field.
        path: &'static str,
        /// Its value.
        text: String,
    },
    /// A size between two steps.
    #[error("the instrument {symbol} has {path} {value} off its step")]
    OffStep {
        /// Of what.
        symbol: String,
        /// The field.
        path: &'static str,
        /// Its value.
        value: Decimal,
    },
    /// A tick or a step by which nothing can be counted.
    #[error("the instrument {symbol} has tick {tick} and step {step}")]
    Grid {
        /// Of what.
        symbol: String,
        /// The tick.
        tick: Decimal,
        /// The step.
        step: Decimal,
    },
}

impl Instrument {
    /// Builds the filters from decimals, a price and a usual minute's volume.
    #[must_use]
    pub fn new(symbol: &str, decimals: (u32, u32, u32), price: f64, volume: f64) -> Self {
        let (price_decimals, qty_decimals, volume_decimals) = decimals;
        let ticks = price * power(price_decimals);
        let steps = volume * power(qty_decimals);
        let million = (1_000_000.0 / price.max(1e-12) * power(qty_decimals)).max(1.0);
        Self {
            symbol: symbol.to_owned(),
            base: symbol.strip_suffix("USDT").unwrap_or(symbol).to_owned(),
            price_decimals,
            tick: 1,
            qty_decimals,
            qty_step: 1,
            volume_decimals: volume_decimals.max(qty_decimals),
            min_qty: 1,
            max_qty: round_number(million * 100.0),
            max_market_qty: round_number(million * 40.0),
            min_notional: Decimal::from(5),
            max_leverage: Decimal::from(100),
            grid: round_number(ticks * 0.000_02).max(1),
            level_qty: round_number(steps / 60.0).max(2),
            price_limit: Decimal::new(5, 2),
            row: None,
        }
    }

    /// The same filters beside a book that fits a price and a usual minute's volume; what nobody wrote
    /// down of sizes fits them, too.
    #[must_use]
    pub fn in_market(mut self, price: f64, volume: f64) -> Self {
        let decimals = (self.price_decimals, self.qty_decimals, self.volume_decimals);
        let fitted = Self::new(&self.symbol, decimals, price, volume);
        let (tick, step) = (self.tick, self.qty_step);
        self.grid = (fitted.grid / tick * tick).max(tick);
        self.level_qty = (fitted.level_qty / step * step).max(step);
        if self.row.is_none() {
            self.max_qty = (fitted.max_qty / step * step).max(step);
            self.max_market_qty = (fitted.max_market_qty / step * step).max(step);
        }
        self
    }

    /// Reads a row of `/v5/market/instruments-info`.
    ///
    /// # Errors
    /// The field that is missing or not a number.
    pub fn from_row(row: &Value) -> Result<Self, InstrumentError> {
        let symbol = row.get("symbol").and_then(Value::as_str).unwrap_or("").to_owned();
        let number = |path: &'static str| {
            let text = row.pointer(path).and_then(Value::as_str).unwrap_or("");
            decimals::parse(text).ok_or_else(|| InstrumentError::NotANumber {
                symbol: symbol.clone(),
                path,
                text: text.to_owned(),
            })
        };
        let tick_size = number("/priceFilter/tickSize")?;
        let step = number("/lotSizeFilter/qtyStep")?;
        let scale = number("/priceScale")?.to_string().parse().unwrap_or(0);
        let price_decimals = tick_size.normalize().scale().max(scale);
        let qty_decimals = step.normalize().scale();
        let steps = |path: &'static str| -> Result<i64, InstrumentError> {
            let value = number(path)?;
            decimals::scale_decimal(value, qty_decimals).map_err(|_| InstrumentError::OffStep {
                symbol: symbol.clone(),
                path,
                value,
            })
        };
        let tick = decimals::scale_decimal(tick_size, price_decimals).unwrap_or(0);
        let qty_step = decimals::scale_decimal(step, qty_decimals).unwrap_or(0);
        if tick <= 0 || qty_step <= 0 {
            return Err(InstrumentError::Grid { symbol, tick: tick_size, step });
        }
        let ratio = |path: &'static str| number(path).unwrap_or_default();
        let widest = ratio("/riskParameters/priceLimitRatioX")
            .max(ratio("/riskParameters/priceLimitRatioY"));
        let decimals = (price_decimals, qty_decimals, qty_decimals);
        Ok(Self {
            tick,
            qty_step,
            min_qty: steps("/lotSizeFilter/minOrderQty")?,
            max_qty: steps("/lotSizeFilter/maxOrderQty")?,
            max_market_qty: steps("/lotSizeFilter/maxMktOrderQty")?,
            min_notional: number("/lotSizeFilter/minNotionalValue")?,
            max_leverage: number("/leverageFilter/maxLeverage")?,
            price_limit: if widest.is_zero() { Decimal::new(5, 2) } else { widest },
            row: Some(row.clone()),
            ..Self::new(&symbol, decimals, 1.0, 1.0)
        })
    }

    /// A price as it travels.
    #[must_use]
    pub fn price(&self, ticks: i64) -> String {
        decimals::spell(ticks, self.price_decimals)
    }

    /// A quantity as it travels.
    #[must_use]
    pub fn qty(&self, steps: i64) -> String {
        decimals::spell(steps, self.qty_decimals)
    }

    /// A market volume as it travels.
    #[must_use]
    pub fn volume(&self, units: i64) -> String {
        decimals::spell(units, self.volume_decimals)
    }

    /// A turnover as it travels.
    #[must_use]
    pub fn turnover(&self, scaled: i128) -> String {
        let mut text = String::new();
        decimals::spell_into(&mut text, scaled, self.price_decimals + self.volume_decimals);
        text
    }

    /// The exact price.
    #[must_use]
    pub fn exact_price(&self, ticks: i64) -> Decimal {
        decimals::exact(ticks, self.price_decimals)
    }

    /// The exact quantity.
    #[must_use]
    pub fn exact_qty(&self, steps: i64) -> Decimal {
        decimals::exact(steps, self.qty_decimals)
    }

    /// Volume units in steps, rounded down.
    #[must_use]
    pub fn steps_of_volume(&self, units: i64) -> i64 {
        units / 10_i64.pow(self.volume_decimals - self.qty_decimals)
    }

    /// The smallest quantity, in steps.
    #[must_use]
    pub const fn min_qty(&self) -> i64 {
        self.min_qty
    }
}

/// Ten to a small power.
#[must_use]
pub fn power(decimals: u32) -> f64 {
    (0..decimals).fold(1.0, |product, _| product * 10.0)
}

/// The largest of 1, 2 or 5 times a power of ten that is not above `value`; at least one.
#[allow(clippy::cast_possible_truncation)]
fn round_number(value: f64) -> i64 {
    let mut decade = 1_i64;
    let target = value.min(1e17) as i64;
    while decade <= target / 10 {
        decade *= 10;
    }
    [5, 2, 1].iter().map(|digit| digit * decade).find(|number| *number <= target).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_perpetuals_have_the_ticks_and_steps_of_the_exchange() {
        for (symbol, price, qty) in [
            ("BTCUSDT", "0.1", "0.001"),
            ("ETHUSDT", "0.01", "0.01"),
            ("SOLUSDT", "0.01", "0.1"),
            ("XRPUSDT", "0.0001", "0.1"),
        ] {
            let known = look_up(symbol).expect("in the table");
            let decimals = (known.price_decimals, known.qty_decimals, known.qty_decimals);
            let instrument = Instrument::new(symbol, decimals, known.price, known.volume);
            assert_eq!((instrument.price(1).as_str(), instrument.qty(1).as_str()), (price, qty));
        }
    }

    #[test]
    fn a_symbol_is_capitals_and_digits_ending_in_usdt() {
        assert!(is_symbol("1000PEPEUSDT"));
        for text in ["USDT", "btcusdt", "BTCUSD", "BTC/USDT", "../USDT"] {
            assert!(!is_symbol(text), "{text}");
        }
    }
}
