//! One symbol's market as it stands.

use crate::book::MarketBook;
use crate::market::candle::{Candle, Point};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::Arc;

/// One symbol's market as it stands.
#[derive(Debug, Clone)]
pub struct SymbolState {
    /// Everybody else's book.
    pub book: MarketBook,
    /// Last price in ticks; zero before the first trade.
    pub last: i64,
    /// The candle that is being made.
    pub forming: Option<Candle>,
    /// Customers' resting orders, by number.
    pub resting: Vec<u64>,
    /// Customers' conditional orders, by number.
    pub waiting: Vec<u64>,
    /// Cross sequence.
    pub seq: i64,
    /// Whether the book changed since somebody last asked.
    pub changed: bool,
    /// The trades of late with their cross sequence and, when others reported them, their row;
    /// newest last.
    pub recent: VecDeque<(Point, i64, Option<Arc<Value>>)>,
    /// Mark price when it is reported, in ticks.
    pub mark: Option<i64>,
    /// Index price when it is reported, in ticks.
    pub index: Option<i64>,
    /// The ticker as far as it is reported.
    pub ticker: Map<String, Value>,
    /// Whether the book is out of date because those who report it are gone.
    pub halted: bool,
    /// Instants and rates of the funding settlements made so far, oldest first.
    pub settled: Vec<(i64, Decimal)>,
}

/// Trades that `recent-trade` can still show.
const RECENT_TRADES: usize = 1_000;

impl SymbolState {
    pub(super) fn new(book: MarketBook) -> Self {
        // A book that is reported begins with a snapshot.
        let halted = book.is_reported();
        Self {
            book,
            last: 0,
            forming: None,
            resting: Vec::new(),
            waiting: Vec::new(),
            seq: 0,
            changed: true,
            recent: VecDeque::new(),
            mark: None,
            index: None,
            ticker: Map::new(),
            halted,
            settled: Vec::new(),
        }
    }

    /// Mark price in ticks; the last price when nobody reports another.
    #[must_use]
    pub fn mark(&self) -> i64 {
        self.mark.unwrap_or(self.last)
    }

    /// Index price in ticks; the last price when nobody reports another.
    #[must_use]
    pub fn index(&self) -> i64 {
        self.index.unwrap_or(self.last)
    }

    pub(super) fn remember(&mut self, point: Point, seq: i64, row: Option<Arc<Value>>) {
        self.recent.push_back((point, seq, row));
        if self.recent.len() > RECENT_TRADES {
            self.recent.pop_front();
        }
    }
}
