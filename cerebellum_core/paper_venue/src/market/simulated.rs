//! The simulated market: seeded, endless, and a pure function of its origin.
//!
//! The prices depend on the seed, the origin, the set of symbols and the market time, and on
//! nothing else: not on orders, not on when the process started. A second process with the same
//! seed and origin serves the identical history and goes on where the first one would have been.
//! All arithmetic is plain IEEE addition, multiplication, division and square root, so machines
//! agree bit for bit.
//!
//! What it models, per minute and inside the minute per second:
//!
//! - **Regimes**: the whole market is calm, usual or turbulent (mean stay three hours); each asset
//!   drifts up, down or not at all for about four hours, at 0.05 standard deviations a minute.
//! - **Volatility** wanders around the regime's level and follows the hour of the day, which with
//!   rare jumps (about two a day, a third of which is given back over ten minutes) makes fat tails.
//! - **A common factor** moves all assets by their beta.
//! - **Lead and lag**: what the leader (BTCUSDT, or the first symbol by name) does on its own
//!   reaches the others one to three minutes later, explaining about half a percent of their
//!   variance.
//! - **Order flow** is persistent (half-life 46 s), moves the price, decides the side of trades and
//!   leans the book; it explains about a tenth of the variance while it happens and little of what
//!   comes after.
//! - **Rules**, unless there are none: what closed predicts the next hour (`rules`), at times that
//!   `rule_schedule` has. They draw no random numbers, so the market without them has the same noise.

use super::candle::{fold, Minute, Point, MINUTE_MS};
use super::instrument::{look_up, power, unknown, Instrument, Known};
use super::random::{hash_name, Stream};
use super::rule_schedule::RuleSet;
use super::rules::Rules;
use protocol::bybit::enums::Side;

/// Persistence of order flow from second to second.
const FLOW_MEMORY: f64 = 0.985;
/// Innovation that keeps the flow's variance at one.
const FLOW_SHOCK: f64 = 0.172_5;
/// Price per second and unit of flow, in minute standard deviations.
const FLOW_IMPACT: f64 = 0.006;
/// Pure noise per second, in minute standard deviations.
const NOISE: f64 = 0.105;
/// How much of the leader's own move arrives one, two and three minutes later.
const SPILL: [f64; 3] = [0.055, 0.035, 0.025];
/// Pull to the price at the origin for each 100% away from it, in minute standard deviations.
const PULL: f64 = 0.02;
/// The same where rules add to what the price does by itself.
const PULL_WITH_RULES: f64 = 0.05;
/// Rules push a price no further away than to so many times, or one part in so many, of where it began.
const REACH: f64 = 2.0;
/// Activity by hour of the day (UTC), mean one.
const HOURS: [f64; 24] = [
    1.05, 1.0, 0.95, 0.85, 0.8, 0.75, 0.75, 0.85, 0.95, 1.0, 0.95, 0.95, 1.0, 1.2, 1.45, 1.5, 1.35,
    1.2, 1.1, 1.05, 1.05, 0.95, 0.9, 1.0,
];

#[derive(Debug, Clone)]
struct Asset {
    stream: Stream,
    known: Known,
    tick: f64,
    unit: f64,
    /// Price in ticks, between ticks as well.
    price: f64,
    origin_price: f64,
    volatility: f64,
    trend: f64,
    flow: f64,
    give_back: f64,
}

/// The generator; yields one minute of every symbol at a time.
#[derive(Debug, Clone)]
pub struct Simulated {
    assets: Vec<Asset>,
    leader: usize,
    common: Stream,
    level: f64,
    /// The leader's own moves of the last three minutes in its standard deviations, newest first.
    lead: [f64; 3],
    rules: Option<Rules>,
    next_ts: i64,
}

/// Filters for the simulated market, in the given order.
#[must_use]
pub fn instruments(symbols: &[String]) -> Vec<Instrument> {
    symbols
        .iter()
        .map(|symbol| {
            let known = look_up(symbol).unwrap_or_else(unknown);
            let decimals = (known.price_decimals, known.qty_decimals, known.qty_decimals);
            Instrument::new(symbol, decimals, known.price, known.volume)
        })
        .collect()
}

impl Simulated {
    /// The market at its origin (the first millisecond of a minute).
    #[must_use]
    pub fn new(seed: u64, origin: i64, symbols: &[String], rules: RuleSet) -> Self {
        let origin_bits = origin.unsigned_abs();
        let assets: Vec<Asset> = symbols
            .iter()
            .map(|symbol| {
                let known = look_up(symbol).unwrap_or_else(unknown);
                let tick = 1.0 / power(known.price_decimals);
                let mut stream = Stream::new(&[seed, origin_bits, hash_name(symbol)]);
                let price = known.price * (0.9 + 0.2 * stream.uniform()) / tick;
                let unit = power(known.qty_decimals);
                Asset {
                    stream,
                    known,
                    tick,
                    unit,
                    price,
                    origin_price: price,
                    volatility: 1.0,
                    trend: 0.0,
                    flow: 0.0,
                    give_back: 0.0,
                }
            })
            .collect();
        let leader = symbols.iter().position(|symbol| symbol == "BTCUSDT").unwrap_or_else(|| {
            let first = symbols.iter().enumerate().min_by(|a, b| a.1.cmp(b.1));
            first.map_or(0, |(index, _)| index)
        });
        let mut names: Vec<u64> = symbols.iter().map(|symbol| hash_name(symbol)).collect();
        names.sort_unstable();
        let mut parts = vec![seed, origin_bits, 1];
        parts.extend(names);
        let common = Stream::new(&parts);
        let rules = match rules {
            RuleSet::Learnable => Some(Rules::new(seed, origin, symbols, leader)),
            RuleSet::None => None,
        };
        Self { assets, leader, common, level: 1.0, lead: [0.0; 3], rules, next_ts: origin }
    }

    /// Open time of the minute that [`Self::next_minute`] yields.
    #[must_use]
    pub const fn next_ts(&self) -> i64 {
        self.next_ts
    }

    /// The next minute of every symbol.
    pub fn next_minute(&mut self) -> Vec<Minute> {
        let open_ts = self.next_ts;
        self.next_ts += MINUTE_MS;
        let hour = usize::try_from(open_ts.div_euclid(3_600_000).rem_euclid(24)).unwrap_or(0);
        let activity = HOURS.get(hour).copied().unwrap_or(1.0);
        if self.common.below(180) == 0 {
            self.level = [0.6, 1.0, 1.0, 2.0][usize::try_from(self.common.below(4)).unwrap_or(1)];
        }
        let factor = self.common.normal() * 0.55;
        let spill: f64 = SPILL.iter().zip(self.lead).map(|(share, move_)| share * move_).sum();
        let (level, leader) = (self.level, self.leader);
        let pull = if self.rules.is_some() { PULL_WITH_RULES } else { PULL };
        let mut minutes = Vec::with_capacity(self.assets.len());
        let mut lead_now = 0.0;
        for (index, asset) in self.assets.iter_mut().enumerate() {
            let arrived = if index == leader { 0.0 } else { spill };
            let push = self.rules.as_mut().map_or(0.0, |rules| rules.push(index, open_ts));
            let around = Around { level, activity, factor, arrived, push, pull };
            let (minute, own) = asset.minute(open_ts, &around);
            if index == leader {
                lead_now = own;
            }
            minutes.push(minute);
        }
        self.lead = [lead_now, self.lead[0], self.lead[1]];
        if let Some(rules) = &mut self.rules {
            rules.close(&minutes);
        }
        minutes
    }
}

/// What a minute brings to an asset from outside.
struct Around {
    /// The market's regime.
    level: f64,
    /// Of the hour of the day.
    activity: f64,
    /// The market's common move.
    factor: f64,
    /// What the leader did, in usual standard deviations.
    arrived: f64,
    /// Return that the rules add to each second.
    push: f64,
    /// How strongly the price is drawn to where it began.
    pull: f64,
}

impl Asset {
    /// One minute, and the move that is the asset's own, in usual standard deviations.
    fn minute(&mut self, open_ts: i64, around: &Around) -> (Minute, f64) {
        let Around { level, activity, factor, arrived, .. } = *around;
        let away = self.price / self.origin_price;
        let spent =
            (away > REACH && around.push > 0.0) || (away < 1.0 / REACH && around.push < 0.0);
        let push = if spent { 0.0 } else { around.push };
        let shock = self.stream.normal();
        self.volatility += 0.03 * (level - self.volatility) + 0.09 * self.volatility.sqrt() * shock;
        self.volatility = self.volatility.clamp(0.25, 6.0);
        if self.stream.below(240) == 0 {
            self.trend = [-1.0, 0.0, 0.0, 1.0][usize::try_from(self.stream.below(4)).unwrap_or(1)];
        }
        let sigma = self.known.sigma * self.volatility * (0.5 + 0.5 * activity);
        let common = self.known.beta * factor;
        let mut drift = common + arrived + 0.05 * self.trend + self.give_back;
        drift -= around.pull * (self.price / self.origin_price - 1.0);
        self.give_back *= 0.9;
        let jump_at = if self.stream.below(720) == 0 { self.stream.below(60) } else { 60 };
        let started = self.price;
        let mut points = Vec::with_capacity(60);
        for second in 0..60_u32 {
            self.flow = FLOW_MEMORY * self.flow + FLOW_SHOCK * self.stream.normal();
            let mut change = drift / 60.0 + FLOW_IMPACT * self.flow + NOISE * self.stream.normal();
            if u64::from(second) == jump_at {
                let size = (3.0 + 6.0 * self.stream.uniform()) * self.stream.normal().signum();
                change += size;
                self.give_back -= 0.033 * size;
            }
            self.price *= (1.0 + sigma * change + push).clamp(0.8, 1.25);
            self.price = self.price.max(10.0);
            if second == 0 || self.stream.below(10) != 0 {
                points.push(self.trade(open_ts + i64::from(second) * 1_000, activity));
            }
        }
        // A minute always has its first second, so the fold always has a point.
        let candle = fold(open_ts, &points).unwrap_or(super::candle::Candle::at(open_ts, 1));
        let own = (self.price / started - 1.0) / self.known.sigma - common;
        (Minute { candle, points }, own.clamp(-10.0, 10.0))
    }

    #[allow(clippy::cast_possible_truncation)] // Bounded: ticks and units stay far below 2^53.
    fn trade(&mut self, second_ts: i64, activity: f64) -> Point {
        let side = if self.stream.uniform() < 0.5 + 0.17 * self.flow.clamp(-2.0, 2.0) {
            Side::Buy
        } else {
            Side::Sell
        };
        let price = if side == Side::Buy { self.price.ceil() } else { self.price.floor() };
        let draw = self.stream.uniform();
        let usual = self.known.volume * self.known.price / (self.price * self.tick) / 54.0;
        let size = usual * activity * (0.3 + 0.7 * self.volatility) * (0.1 + 2.7 * draw * draw);
        Point {
            ts: second_ts + self.stream.below(1_000).cast_signed(),
            price: (price as i64).max(1),
            qty: ((size * self.unit) as i64).max(1),
            side,
            lean: (self.flow * 350.0).clamp(-900.0, 900.0) as i32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Vec<String> {
        ["BTCUSDT", "ETHUSDT", "SOLUSDT"].map(str::to_owned).to_vec()
    }

    fn returns(minutes: usize) -> Vec<Vec<f64>> {
        let mut market =
            Simulated::new(7, 1_700_000_000_000 / 60_000 * 60_000, &symbols(), RuleSet::None);
        let mut series = vec![Vec::new(); 3];
        let mut last = [0.0; 3];
        for _ in 0..minutes {
            for (index, minute) in market.next_minute().iter().enumerate() {
                let close = minute.candle.close as f64;
                if last[index] > 0.0 {
                    series[index].push(close / last[index] - 1.0);
                }
                last[index] = close;
            }
        }
        series
    }

    fn correlation(left: &[f64], right: &[f64]) -> f64 {
        let count = left.len().min(right.len()) as f64;
        let (ml, mr) = (left.iter().sum::<f64>() / count, right.iter().sum::<f64>() / count);
        let cov: f64 = left.iter().zip(right).map(|(l, r)| (l - ml) * (r - mr)).sum();
        let vl: f64 = left.iter().map(|l| (l - ml).powi(2)).sum();
        let vr: f64 = right.iter().map(|r| (r - mr).powi(2)).sum();
        cov / (vl * vr).sqrt()
    }

    const BOTH: [RuleSet; 2] = [RuleSet::None, RuleSet::Learnable];

    #[test]
    fn the_same_seed_and_origin_give_the_same_market() {
        for rules in BOTH {
            let mut one = Simulated::new(3, 0, &symbols(), rules);
            let mut two = Simulated::new(3, 0, &symbols(), rules);
            for _ in 0..2_000 {
                assert_eq!(one.next_minute(), two.next_minute());
            }
            assert_ne!(
                Simulated::new(4, 0, &symbols(), rules).next_minute(),
                Simulated::new(3, 0, &symbols(), rules).next_minute()
            );
        }
    }

    #[test]
    fn the_order_of_symbols_does_not_change_their_prices() {
        for rules in BOTH {
            let mut one = Simulated::new(3, 0, &symbols(), rules);
            let reversed = symbols().into_iter().rev().collect::<Vec<_>>();
            let mut two = Simulated::new(3, 0, &reversed, rules);
            for _ in 0..2_000 {
                let (first, mut second) = (one.next_minute(), two.next_minute());
                second.reverse();
                assert_eq!(first, second);
            }
        }
    }

    #[test]
    fn the_leader_moves_before_its_followers_and_only_a_little() {
        let series = returns(40_000);
        let ahead = correlation(&series[0][..39_998], &series[1][1..]);
        let behind = correlation(&series[1][..39_998], &series[0][1..]);
        assert!(ahead > 0.03 && ahead < 0.15, "ahead {ahead}");
        assert!(behind.abs() < 0.03, "behind {behind}");
        assert!(correlation(&series[0], &series[1]) > 0.2);
    }

    #[test]
    fn returns_have_fat_tails_and_sane_size() {
        for series in returns(40_000) {
            let count = series.len() as f64;
            let second = series.iter().map(|r| r * r).sum::<f64>() / count;
            let fourth = series.iter().map(|r| r.powi(4)).sum::<f64>() / count;
            let kurtosis = fourth / (second * second);
            assert!(kurtosis > 4.0, "kurtosis {kurtosis}");
            assert!((0.000_2..0.003).contains(&second.sqrt()), "sigma {}", second.sqrt());
        }
    }

    #[test]
    fn prices_stay_near_where_they_began_for_months() {
        for rules in BOTH {
            let mut market = Simulated::new(1, 0, &symbols(), rules);
            let first: Vec<i64> = market.next_minute().iter().map(|m| m.candle.open).collect();
            for _ in 0..130_000 {
                for (open, minute) in first.iter().zip(market.next_minute()) {
                    let ratio = minute.candle.close as f64 / *open as f64;
                    assert!((0.3..3.5).contains(&ratio), "{ratio}");
                }
            }
        }
    }
}
