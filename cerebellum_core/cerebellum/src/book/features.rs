//! Ten-level features over one market second; formulas in `docs/reference/book-features.md`.
//!
//! Order-flow imbalance after Cont, Kukanov and Stoikov (2014), summed over ten levels and over the
//! second's updates, divided by the mean depth of a side over the second. It explains the same second's price change;
//! it is not a forecast.

use super::ladder::{Ladder, Level};

/// How many levels a side are looked at.
pub const LEVELS: usize = 10;
/// A second, in market ms.
const SECOND_MS: u64 = 1_000;
/// The longest stretch of seconds without any update that is reported one by one.
const LONGEST_GAP_S: u64 = 120;

/// The features of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondFeatures {
    /// First market millisecond of the second.
    pub second_ts: u64,
    /// Scaled best bid and ask at the second's end.
    pub best: (i64, i64),
    /// The statistics; `None` where the book was stale at any time in the second.
    pub statistics: Option<Statistics>,
    /// How many updates the second had.
    pub updates: u64,
}

/// Statistics of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Depth imbalance in [-1, 1], weighted by nearness, averaged over time.
    pub skew: f64,
    /// Order-flow imbalance over mean depth.
    pub ofi: f64,
    /// Depth of ten levels, mean of both sides and over the second's time, in the base coin.
    pub depth: f64,
    /// Microprice minus mid at the second's end, in the quote coin.
    pub microprice_offset: f64,
}

/// The ten best levels of both sides, as floats.
#[derive(Clone, Debug, PartialEq)]
struct RiskContext {
    bids: Vec<(f64, f64)>,
    asks: Vec<(f64, f64)>,
    best: (i64, i64),
}

/// Accumulates a second after the other for one symbol.
#[derive(Clone, Debug, Default)]
pub struct SecondClock {
    second: Option<u64>,
    context: Option<RiskContext>,
    last_best: Option<(i64, i64)>,
    skew: f64,
    depth: f64,
    since: u64,
    known_from: u64,
    skew_time: f64,
    depth_time: f64,
    ofi_sum: f64,
    updates: u64,
    stale: bool,
}

impl SecondClock {
    /// Takes the book after an update at a market time; returns the seconds that ended before it.
    pub fn update(&mut self, ts: u64, ladder: &Ladder) -> Vec<SecondFeatures> {
        let ended = self.advance(ts);
        if self.second.is_none() {
            self.begin(ts / SECOND_MS * SECOND_MS);
        }
        let Some(context) = context(ladder) else {
            self.stale();
            return ended;
        };
        if let Some(before) = &self.context {
            let stood = elapsed(self.since, ts);
            self.skew_time += self.skew * stood;
            self.depth_time += self.depth * stood;
            self.ofi_sum += order_flow(before, &context);
        } else {
            self.known_from = ts;
        }
        self.since = self.since.max(ts);
        self.skew = skew(&context);
        self.depth = depth(&context);
        self.updates += 1;
        self.last_best = Some(context.best);
        self.context = Some(context);
        ended
    }

    /// Lets market time pass; returns the seconds that ended.
    pub fn advance(&mut self, ts: u64) -> Vec<SecondFeatures> {
        let mut ended = Vec::new();
        let now = ts / SECOND_MS * SECOND_MS;
        while let Some(second) = self.second {
            if second >= now {
                break;
            }
            if (now - second) / SECOND_MS > LONGEST_GAP_S {
                self.stale();
                ended.extend(self.end(second));
                self.begin(now);
                break;
            }
            ended.extend(self.end(second));
            self.begin(second + SECOND_MS);
        }
        ended
    }

    /// The book is not to be trusted: this second has no statistics, the next snapshot is a first one.
    pub fn stale(&mut self) {
        self.stale = true;
        self.context = None;
    }

    fn begin(&mut self, second: u64) {
        self.second = Some(second);
        self.since = second;
        self.known_from = second;
        (self.skew_time, self.depth_time, self.ofi_sum, self.updates) = (0.0, 0.0, 0.0, 0);
        self.stale = self.stale && self.context.is_none();
    }

    fn end(&mut self, second: u64) -> Option<SecondFeatures> {
        let best = self.last_best?;
        let end = second + SECOND_MS;
        let statistics = match &self.context {
            Some(context) if !self.stale => {
                let (whole, rest) = (elapsed(self.known_from, end), elapsed(self.since, end));
                let mean = |sum: f64, last: f64| {
                    if whole > 0.0 {
                        (sum + last * rest) / whole
                    } else {
                        last
                    }
                };
                let depth = mean(self.depth_time, self.depth);
                Some(Statistics {
                    skew: mean(self.skew_time, self.skew),
                    ofi: if depth > 0.0 { self.ofi_sum / depth } else { 0.0 },
                    depth,
                    microprice_offset: microprice_offset(context),
                })
            }
            _ => None,
        };
        Some(SecondFeatures { second_ts: second, best, statistics, updates: self.updates })
    }
}

fn elapsed(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64
}

fn context(ladder: &Ladder) -> Option<RiskContext> {
    let best = (ladder.best_bid()?.price, ladder.best_ask()?.price);
    let scales = ladder.scales();
    let (price, qty) = (10_f64.powi(-(scales.price as i32)), 10_f64.powi(-(scales.qty as i32)));
    let read = |level: Level| (level.price as f64 * price, level.qty as f64 * qty);
    Some(RiskContext {
        bids: ladder.bids().take(LEVELS).map(read).collect(),
        asks: ladder.asks().take(LEVELS).map(read).collect(),
        best,
    })
}

/// Sum over levels of the order flow between two pictures; a level that one of them lacks is left out.
fn order_flow(before: &RiskContext, now: &RiskContext) -> f64 {
    let bids = before.bids.iter().zip(&now.bids).map(|((old, old_qty), (new, new_qty))| {
        let arrived = if new >= old { *new_qty } else { 0.0 };
        let left = if new <= old { *old_qty } else { 0.0 };
        arrived - left
    });
    let asks = before.asks.iter().zip(&now.asks).map(|((old, old_qty), (new, new_qty))| {
        let arrived = if new <= old { *new_qty } else { 0.0 };
        let left = if new >= old { *old_qty } else { 0.0 };
        left - arrived
    });
    bids.sum::<f64>() + asks.sum::<f64>()
}

/// Sum of w (qb - qa) over sum of w (qb + qa), w = exp(-distance to mid / spread / 2).
fn skew(context: &RiskContext) -> f64 {
    let (Some((bid, _)), Some((ask, _))) = (context.bids.first(), context.asks.first()) else {
        return 0.0;
    };
    let (mid, spread) = ((bid + ask) / 2.0, ask - bid);
    let weigh = |levels: &[(f64, f64)]| -> f64 {
        levels.iter().map(|(price, qty)| (-0.5 * (price - mid).abs() / spread).exp() * qty).sum()
    };
    let (bids, asks) = (weigh(&context.bids), weigh(&context.asks));
    if bids + asks > 0.0 {
        (bids - asks) / (bids + asks)
    } else {
        0.0
    }
}

/// Half the quantity of all levels of both sides.
fn depth(context: &RiskContext) -> f64 {
    let sum = |levels: &[(f64, f64)]| levels.iter().map(|(_, qty)| qty).sum::<f64>();
    (sum(&context.bids) + sum(&context.asks)) / 2.0
}

fn microprice_offset(context: &RiskContext) -> f64 {
    let (Some((bid, bid_qty)), Some((ask, ask_qty))) = (context.bids.first(), context.asks.first())
    else {
        return 0.0;
    };
    let all = bid_qty + ask_qty;
    if all > 0.0 {
        (bid * ask_qty + ask * bid_qty) / all - (bid + ask) / 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
