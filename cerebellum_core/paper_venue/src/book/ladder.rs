//! A recorded or mirrored book: the levels that frames reported, less what our orders took.
//!
//! What an order takes at a price stays away until a frame reports that price again, or until a
//! snapshot replaces the whole book.

use protocol::bybit::enums::Side;
use std::collections::{BTreeMap, HashMap};

/// The book of one symbol as frames built it. Prices in ticks, sizes in steps.
#[derive(Debug, Clone, Default)]
pub struct Ladder {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    taken: HashMap<(Side, i64), i64>,
}

impl Ladder {
    /// Takes in a frame; a snapshot replaces everything.
    pub fn apply(&mut self, snapshot: bool, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        if snapshot {
            *self = Self::default();
        }
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            let into = if side == Side::Buy { &mut self.bids } else { &mut self.asks };
            for (price, qty) in levels {
                if *qty == 0 {
                    into.remove(price);
                } else {
                    into.insert(*price, *qty);
                }
                self.taken.remove(&(side, *price));
            }
        }
    }

    /// The best price of a side on which something is left; zero when it is empty.
    #[must_use]
    pub fn best(&self, side: Side) -> i64 {
        self.levels(side).next().map_or(0, |(price, _)| price)
    }

    /// Whether both sides have something.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.bids.is_empty() && !self.asks.is_empty()
    }

    /// What is left of a level of a side.
    #[must_use]
    pub fn qty(&self, side: Side, price: i64) -> i64 {
        let levels = if side == Side::Buy { &self.bids } else { &self.asks };
        let offered = levels.get(&price).copied().unwrap_or(0);
        (offered - self.taken.get(&(side, price)).copied().unwrap_or(0)).max(0)
    }

    /// Takes from a level.
    pub fn take(&mut self, side: Side, price: i64, qty: i64) {
        *self.taken.entry((side, price)).or_insert(0) += qty;
    }

    /// Levels of a side from the best on, empty ones left out.
    #[must_use]
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = (i64, i64)> + '_> {
        let left = move |price: &i64| (*price, self.qty(side, *price));
        let some = |level: &(i64, i64)| level.1 > 0;
        match side {
            Side::Buy => Box::new(self.bids.keys().rev().map(left).filter(some)),
            Side::Sell => Box::new(self.asks.keys().map(left).filter(some)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_stays_away_until_a_frame_reports_that_price_again() {
        let mut ladder = Ladder::default();
        ladder.apply(true, &[(99, 5), (98, 7)], &[(101, 4), (102, 6)]);
        ladder.take(Side::Sell, 101, 4);
        assert_eq!(ladder.best(Side::Sell), 102);
        ladder.apply(false, &[(99, 6)], &[(102, 3)]);
        assert_eq!((ladder.best(Side::Sell), ladder.qty(Side::Sell, 102)), (102, 3));
        ladder.apply(false, &[], &[(101, 2)]);
        assert_eq!((ladder.best(Side::Sell), ladder.qty(Side::Sell, 101)), (101, 2));
        ladder.apply(false, &[(99, 0)], &[]);
        assert_eq!(ladder.levels(Side::Buy).collect::<Vec<_>>(), vec![(98, 7)]);
    }
}
