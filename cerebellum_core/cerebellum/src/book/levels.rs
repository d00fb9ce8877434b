//! The best ten levels of a book at one market time.
//!
//! They are copied as scaled integers where the frame is read, and written as text by whoever publishes
//! them: the reader of frames also carries the quotes that orders are checked against.

use protocol::wire::{
    field::{Symbol, V1},
    market::{self, Market, PriceLevel},
};
use rust_decimal::Decimal;

use super::{
    features::LEVELS,
    ladder::{Ladder, Level, Scales},
};

/// How the topic of levels ends, after the symbol.
pub const KIND: &str = "levels";

/// Ten levels a side at most, best first; neither side is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// Of what.
    pub symbol: Symbol,
    /// Market time of the book, ms.
    ts: u64,
    scales: Scales,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Levels {
    /// What a book holds at a market time; nothing where it is not whole or a side of it is empty.
    #[must_use]
    pub fn of(symbol: &Symbol, ladder: &Ladder, ts: u64) -> Option<Self> {
        if !ladder.is_whole() || ladder.best_bid().is_none() || ladder.best_ask().is_none() {
            return None;
        }
        Some(Self {
            symbol: symbol.clone(),
            ts,
            scales: ladder.scales(),
            bids: ladder.bids().take(LEVELS).collect(),
            asks: ladder.asks().take(LEVELS).collect(),
        })
    }

    /// The message of it.
    #[must_use]
    pub fn message(self) -> Market {
        let text = |levels: Vec<Level>| {
            let written = levels.into_iter().map(|level| {
                PriceLevel(
                    Decimal::new(level.price, self.scales.price).into(),
                    Decimal::new(level.qty, self.scales.qty).into(),
                )
            });
            written.collect()
        };
        let (bids, asks) = (text(self.bids), text(self.asks));
        Market::Levels(market::Levels { v: V1, ts: self.ts, symbol: self.symbol, bids, asks })
    }
}

#[cfg(test)]
#[path = "levels_tests.rs"]
mod tests;
