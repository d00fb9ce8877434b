//! Protection of a position: (guard, position, book, market time) -> why to close, if at all.

use protocol::wire::{
    command::Protect,
    field::{IntentId, Name},
};
use rust_decimal::Decimal;

use crate::execution::model::market::Quote;

/// What watches over one agent's position in one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The version that opened the position; its exits carry it.
    pub version: Name,
    /// Close at a loss here.
    pub stop: Option<Decimal>,
    /// Close at a gain here.
    pub take_profit: Option<Decimal>,
    /// Close at this market time, ms.
    pub deadline_ts: Option<u64>,
    /// The intent that brought the levels; a newer one replaces them.
    pub source: Option<IntentId>,
    /// Why the position is being closed, once that is decided.
    pub exit_reason: Option<String>,
    /// How many exits ended without closing it; not journaled.
    pub failures: u32,
    /// Time before which no exit is tried, ms; not journaled.
    pub retry_at: i64,
}

impl Guard {
    /// A guard without any level.
    #[must_use]
    pub fn bare(version: Name) -> Self {
        Self {
            version,
            stop: None,
            take_profit: None,
            deadline_ts: None,
            source: None,
            exit_reason: None,
            failures: 0,
            retry_at: 0,
        }
    }

    /// Takes the levels of an intent, unless a newer intent's levels stand already.
    ///
    /// UUIDv7 texts sort by their time of birth, so a late fill of an old order never brings old
    /// levels back. Returns whether anything changed.
    pub fn take(&mut self, source: &IntentId, version: &Name, protect: &Protect) -> bool {
        if self.source.as_ref().is_some_and(|known| known >= source) {
            return false;
        }
        self.version = version.clone();
        self.stop = protect.stop.as_ref().map(|text| text.value());
        self.take_profit = protect.take_profit.as_ref().map(|text| text.value());
        self.deadline_ts = protect.deadline_ts;
        self.source = Some(source.clone());
        true
    }

    /// Why the position should be closed now.
    ///
    /// A long position leaves at the bid, a short one at the ask, so those prices decide. Without a
    /// trustworthy book only the deadline can speak.
    #[must_use]
    pub fn due(&self, qty: Decimal, quote: Option<&Quote>, market_ms: u64) -> Option<&'static str> {
        if qty.is_zero() {
            return None;
        }
        if let Some(quote) = quote {
            let long = qty.is_sign_positive();
            let exit_price = if long { quote.bid } else { quote.ask };
            let beyond = |level: Decimal, below: bool| {
                if below {
                    exit_price <= level
                } else {
                    exit_price >= level
                }
            };
            if self.stop.is_some_and(|stop| beyond(stop, long)) {
                return Some("stop");
            }
            if self.take_profit.is_some_and(|target| beyond(target, !long)) {
                return Some("take_profit");
            }
        }
        self.deadline_ts.is_some_and(|deadline| market_ms >= deadline).then_some("deadline")
    }
}

#[cfg(test)]
mod tests {
    use crate::execution::model::guard::*;

    fn guard() -> Guard {
        Guard {
            stop: Some(Decimal::from(90)),
            take_profit: Some(Decimal::from(110)),
            deadline_ts: Some(1000),
            ..Guard::bare(Name::new("v").unwrap())
        }
    }

    fn quote(bid: i64, ask: i64) -> Quote {
        Quote { bid: Decimal::from(bid), ask: Decimal::from(ask) }
    }

    #[test]
    fn a_long_position_leaves_at_the_bid_and_a_short_one_at_the_ask() {
        let long = Decimal::ONE;
        assert_eq!(guard().due(long, Some(&quote(91, 110)), 0), None);
        assert_eq!(guard().due(long, Some(&quote(90, 100)), 0), Some("stop"));
        assert_eq!(guard().due(long, Some(&quote(110, 111)), 0), Some("take_profit"));
        let mut short = guard();
        (short.stop, short.take_profit) = (short.take_profit, short.stop);
        assert_eq!(short.due(-long, Some(&quote(90, 91)), 0), None);
        assert_eq!(short.due(-long, Some(&quote(89, 90)), 0), Some("take_profit"));
        assert_eq!(short.due(-long, Some(&quote(100, 110)), 0), Some("stop"));
    }

    #[test]
    fn the_deadline_needs_no_book_and_a_flat_position_needs_nothing() {
        assert_eq!(guard().due(Decimal::ONE, None, 999), None);
        assert_eq!(guard().due(Decimal::ONE, None, 1000), Some("deadline"));
        assert_eq!(guard().due(Decimal::ZERO, Some(&quote(1, 2)), 5000), None);
    }

    #[test]
    fn an_older_intent_never_brings_its_levels_back() {
        let id = |text: &str| IntentId::new(text).unwrap();
        let (old, new) = (
            id("01932c07-20c8-7a31-9b1c-5d3f0a8e4b21"),
            id("01932c07-9d40-7c02-8f6e-2b7d9c1a0e55"),
        );
        let levels = |stop: &str| Protect {
            stop: Some(stop.parse().unwrap()),
            take_profit: None,
            deadline_ts: None,
        };
        let version = Name::new("v").unwrap();
        let mut guard = Guard::bare(version.clone());
        assert!(guard.take(&new, &version, &levels("5")));
        assert!(!guard.take(&old, &version, &levels("9")));
        assert_eq!(guard.stop, Some(Decimal::from(5)));
        assert_eq!(guard.take_profit, None);
    }
}
