//! Order-book streams: one snapshot per subscriber, then deltas with `u` growing by one.
//!
//! All depths of a symbol share one `u`, and the REST book names it too, so a book fetched at `u`
//! is exactly what a stream showed at `u`.

use crate::exchange::Exchange;
use crate::market::instrument::Instrument;
use crate::market::reported::BookFrame;
use protocol::bybit::decimals::spell_into;
use protocol::bybit::enums::Side;
use std::fmt::Write;

/// Levels that a view keeps per side.
pub const KEPT: usize = 200;

type Levels = Vec<(i64, i64)>;

/// A symbol's public book as it was last shown.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Bids, best first.
    pub bids: Levels,
    /// Asks, best first.
    pub asks: Levels,
    /// Grows by one with every message.
    pub update: u64,
    /// Cross sequence.
    pub seq: i64,
    /// Market time.
    pub ts: i64,
    /// When the book was so at the matching engine.
    pub cts: i64,
}

impl View {
    /// The book as it is now, under the next update number.
    #[must_use]
    pub fn next(&self, exchange: &Exchange, symbol: usize, kept: usize) -> Self {
        Self {
            bids: exchange.levels(symbol, Side::Buy, kept),
            asks: exchange.levels(symbol, Side::Sell, kept),
            update: self.update + 1,
            seq: exchange.state(symbol).map_or(0, |state| state.seq),
            ts: exchange.now(),
            cts: exchange.now(),
        }
    }

    /// The book after a frame that others reported, under an update number.
    #[must_use]
    pub fn reported(&self, frame: &BookFrame, update: u64) -> Self {
        let mut next =
            Self { update, seq: frame.seq, ts: frame.ts, cts: frame.cts, ..Self::default() };
        if !frame.snapshot {
            (next.bids, next.asks) = (self.bids.clone(), self.asks.clone());
        }
        for (levels, changed, direction) in
            [(&mut next.bids, &frame.bids, -1), (&mut next.asks, &frame.asks, 1)]
        {
            for (price, qty) in changed {
                let place =
                    levels.binary_search_by_key(&(direction * price), |one| direction * one.0);
                match (place, *qty) {
                    (Ok(at), 0) => {
                        levels.remove(at);
                    }
                    (Ok(at), qty) => levels[at].1 = qty,
                    (Err(_), 0) => {}
                    (Err(at), qty) => levels.insert(at, (*price, qty)),
                }
            }
        }
        next
    }

    /// `"b":[...],"a":[...]` of the best `depth` levels.
    #[must_use]
    pub fn sides(&self, instrument: &Instrument, depth: usize) -> String {
        let mut text = String::with_capacity(depth.min(KEPT) * 48 + 32);
        text.push_str("\"b\":");
        write_levels(&mut text, instrument, self.bids.iter().take(depth).copied());
        text.push_str(",\"a\":");
        write_levels(&mut text, instrument, self.asks.iter().take(depth).copied());
        text
    }

    /// A snapshot frame.
    #[must_use]
    pub fn snapshot(&self, instrument: &Instrument, depth: usize) -> String {
        let sides = self.sides(instrument, depth);
        self.frame(instrument, depth, "snapshot", &sides)
    }

    /// What changed against the view before, as a frame.
    #[must_use]
    pub fn delta(&self, before: &Self, instrument: &Instrument, depth: usize) -> String {
        let mut sides = String::with_capacity(512);
        sides.push_str("\"b\":");
        let bids = changes(&before.bids, &self.bids, depth, -1);
        write_levels(&mut sides, instrument, bids.into_iter());
        sides.push_str(",\"a\":");
        let asks = changes(&before.asks, &self.asks, depth, 1);
        write_levels(&mut sides, instrument, asks.into_iter());
        self.frame(instrument, depth, "delta", &sides)
    }

    fn frame(&self, instrument: &Instrument, depth: usize, kind: &str, sides: &str) -> String {
        let symbol = &instrument.symbol;
        let (ts, cts, update, seq) = (self.ts, self.cts, self.update, self.seq);
        format!(
            "{{\"topic\":\"orderbook.{depth}.{symbol}\",\"type\":\"{kind}\",\"ts\":{ts},\
             \"data\":{{\"s\":\"{symbol}\",{sides},\"u\":{update},\"seq\":{seq}}},\"cts\":{cts}}}"
        )
    }
}

/// Levels that differ within the best `depth`, with quantity zero for those that left it.
///
/// `direction` is 1 where prices grow away from the best (asks) and -1 where they fall.
fn changes(before: &[(i64, i64)], after: &[(i64, i64)], depth: usize, direction: i64) -> Levels {
    let (mut old, mut new) =
        (before.iter().take(depth).peekable(), after.iter().take(depth).peekable());
    let mut changed = Levels::new();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changed,
            (Some((price, _)), None) => {
                changed.push((*price, 0));
                old.next();
            }
            (None, Some(level)) => {
                changed.push(**level);
                new.next();
            }
            (Some((left, left_qty)), Some(level)) => match (direction * (left - level.0)).cmp(&0) {
                std::cmp::Ordering::Less => {
                    changed.push((*left, 0));
                    old.next();
                }
                std::cmp::Ordering::Greater => {
                    changed.push(**level);
                    new.next();
                }
                std::cmp::Ordering::Equal => {
                    if *left_qty != level.1 {
                        changed.push(**level);
                    }
                    old.next();
                    new.next();
                }
            },
        }
    }
}

fn write_levels(
    text: &mut String,
    instrument: &Instrument,
    levels: impl Iterator<Item = (i64, i64)>,
) {
    text.push('[');
    for (index, (price, qty)) in levels.enumerate() {
        text.push_str(if index == 0 { "[\"" } else { ",[\"" });
        spell_into(text, i128::from(price), instrument.price_decimals);
        text.push_str("\",\"");
        if qty == 0 {
            text.push('0');
        } else {
            spell_into(text, i128::from(qty), instrument.qty_decimals);
        }
        let _ = text.write_str("\"]");
    }
    text.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn side() -> impl Strategy<Value = Levels> {
        prop::collection::btree_map(1_i64..60, 1_i64..5, 0..40)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_delta_turns_the_old_top_into_the_new_one_and_deletes_only_what_is_there(
            before in side(), after in side(), depth in 1_usize..50,
        ) {
            let mut book: BTreeMap<i64, i64> = before.iter().take(depth).copied().collect();
            for (price, qty) in changes(&before, &after, depth, 1) {
                if qty == 0 {
                    prop_assert!(book.remove(&price).is_some(), "deleted {price}, which is not there");
                } else {
                    book.insert(price, qty);
                }
            }
            prop_assert_eq!(book, after.iter().take(depth).copied().collect());
        }
    }
}
