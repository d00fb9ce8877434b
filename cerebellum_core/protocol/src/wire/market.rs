//! Market data for the arena.

use serde::{Deserialize, Serialize};

use super::{
    field::{nullable, Finite, Side, Symbol, V1},
    DecimalText, Family,
};

/// Any market message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Market {
    /// A closed one-minute candle.
    Candle(Candle),
    /// The best prices.
    Top(Top),
    /// Features of ten levels over one market second.
    Book(Book),
    /// The best levels of the book itself.
    Levels(Levels),
    /// One public trade.
    Trade(Trade),
    /// The book became stale, or trustworthy again.
    Stale(Stale),
}

impl Family for Market {
    const TYPES: &'static [&'static str] = &["candle", "top", "book", "levels", "trade", "stale"];
}

impl Market {
    /// The topic it is published under: `SYMBOL.KIND`.
    #[must_use]
    pub fn topic(&self) -> String {
        let (symbol, kind) = match self {
            Self::Candle(m) => (&m.symbol, "candle"),
            Self::Top(m) => (&m.symbol, "top"),
            Self::Book(m) => (&m.symbol, "book"),
            Self::Levels(m) => (&m.symbol, "levels"),
            Self::Trade(m) => (&m.symbol, "trade"),
            Self::Stale(m) => (&m.symbol, "stale"),
        };
        format!("{symbol}.{kind}")
    }
}

/// `candle`: one closed minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candle {
    /// Always 1.
    pub v: V1,
    /// Equal to `close_ts`.
    pub ts: u64,
    /// Of what.
    pub symbol: Symbol,
    /// First market millisecond.
    pub open_ts: u64,
    /// First market millisecond after it.
    pub close_ts: u64,
    /// First price.
    pub open: DecimalText,
    /// Highest price.
    pub high: DecimalText,
    /// Lowest price.
    pub low: DecimalText,
    /// Last price.
    pub close: DecimalText,
    /// Traded base coin.
    pub volume: DecimalText,
    /// Traded quote coin.
    pub turnover: DecimalText,
}

/// `top`: the best prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Top {
    /// Always 1.
    pub v: V1,
    /// Market time of the book, ms.
    pub ts: u64,
    /// Of what.
    pub symbol: Symbol,
    /// Best bid.
    pub bid: DecimalText,
    /// Quantity there.
    pub bid_qty: DecimalText,
    /// Best ask.
    pub ask: DecimalText,
    /// Quantity there.
    pub ask_qty: DecimalText,
}

/// `book`: features of ten levels over one market second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// Always 1.
    pub v: V1,
    /// Market time of the end of the second, ms.
    pub ts: u64,
    /// Of what.
    pub symbol: Symbol,
    /// First market millisecond of the second.
    pub second_ts: u64,
    /// Mid price at the second's end; the last trustworthy one where the book is stale.
    pub mid: DecimalText,
    /// Best ask minus best bid, of the same moment as `mid`.
    pub spread: DecimalText,
    /// Depth imbalance in [-1, 1], weighted by nearness, averaged over the second.
    #[serde(deserialize_with = "nullable")]
    pub skew: Option<Finite>,
    /// Order-flow imbalance of ten levels over mean depth.
    #[serde(deserialize_with = "nullable")]
    pub ofi: Option<Finite>,
    /// Mean depth of ten levels a side.
    #[serde(deserialize_with = "nullable")]
    pub depth: Option<Finite>,
    /// Microprice minus mid at the second's end.
    #[serde(deserialize_with = "nullable")]
    pub microprice_offset: Option<Finite>,
    /// How many book updates the second had.
    pub updates: u64,
}

/// `levels`: the best levels of the book, as they stand at one market time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// Always 1.
    pub v: V1,
    /// Market time of the book, ms.
    pub ts: u64,
    /// Of what.
    pub symbol: Symbol,
    /// From the best bid downwards, ten at most.
    pub bids: Vec<PriceLevel>,
    /// From the best ask upwards, ten at most.
    pub asks: Vec<PriceLevel>,
}

/// A price and the quantity there, written as `[price, quantity]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceLevel(pub DecimalText, pub DecimalText);

/// `trade`: one public trade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trade {
    /// Always 1.
    pub v: V1,
    /// Market time of the trade, ms.
    pub ts: u64,
    /// Of what.
    pub symbol: Symbol,
    /// The taker's side.
    pub side: Side,
    /// At what price.
    pub price: DecimalText,
    /// How much.
    pub qty: DecimalText,
    /// The venue's id of the trade.
    pub trade_id: String,
}

/// `stale`: whether the book can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stale {
    /// Always 1.
    pub v: V1,
    /// The latest market time, ms.
    pub ts: u64,
    /// Of what.
    pub symbol: Symbol,
    /// True: do not trust it.
    pub stale: bool,
    /// Why.
    pub reason: String,
}
