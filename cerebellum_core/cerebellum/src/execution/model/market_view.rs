//! What the core knows of the market at this moment.

use std::collections::BTreeMap;

use protocol::wire::field::Symbol;

use crate::execution::model::market::{Instrument, Quote};

/// Market time, filters and the best prices.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct MarketView {
    /// The latest market time, ms; 0 before any market data.
    pub ms: u64,
    /// The venue's filters.
    pub instruments: BTreeMap<Symbol, Instrument>,
    /// The best prices of the books that can be trusted.
    pub quotes: BTreeMap<Symbol, Quote>,
}

impl MarketView {
    /// Lets market time pass; it never goes back.
    pub(in crate::execution) fn advance_to(&mut self, ts: u64) {
        self.ms = self.ms.max(ts);
    }
}
