//! When which rule of the simulated market holds, and how strongly.
//!
//! Every symbol has three rules. Each goes through the same cycle: it holds for [`ON_MS`], works the
//! other way round for [`TURNED_MS`], when those who still follow it unwind, and rests for what
//! remains of [`CYCLE_MS`]. The three are a third of a cycle apart, so that whenever one ends, the two
//! others hold, one of them for weeks. The first to end is the reversion rule, which is found most
//! often: [`FIRST_END_MS`] after [`HISTORY_MS`], or up to [`FIRST_END_SPAN_MS`] later. The minute follows
//! from seed, origin and symbol alone.

use super::candle::MINUTE_MS;
use super::random::{hash_name, Stream};
use clap::ValueEnum;
use serde::Deserialize;

const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// For how long a rule holds without a break.
pub const ON_MS: i64 = 57 * DAY_MS;
/// For how long it then works the other way round.
pub const TURNED_MS: i64 = 7 * DAY_MS;
/// From one beginning of a rule to its next.
pub const CYCLE_MS: i64 = 66 * DAY_MS;
/// History with which Crucible starts by default.
pub const HISTORY_MS: i64 = 35 * DAY_MS;
/// From that history's end to the first end of a rule, at least.
pub const FIRST_END_MS: i64 = 8 * HOUR_MS;
/// By so much later at most.
pub const FIRST_END_SPAN_MS: i64 = 8 * HOUR_MS;
/// Minutes for which a rule that has spoken moves the price.
pub const HOLD: i64 = 15;

/// Which rules the simulated market holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSet {
    /// Three rules for every symbol, switched on and off.
    #[default]
    Learnable,
    /// No rule.
    None,
}

/// Something in the market's own past that predicts its next minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Volume that leans to one side is spent, and price goes to the other.
    Flow,
    /// The other symbol moved, and this one follows.
    Leader,
    /// A close far from the mean of the last hour comes back.
    Reversion,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Flow, Self::Leader, Self::Reversion];

    /// Its name in the printed schedule.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Leader => "leader",
            Self::Reversion => "reversion",
        }
    }
}

/// What a rule adds to the price within [`HOLD`] minutes, in standard deviations of as many usual ones.
const DEVIATIONS: f64 = 3.5;
/// The square root of [`HOLD`].
const ROOT_OF_HOLD: f64 = 3.872_983_346_207_417;

/// A stretch of market time in which a rule moves the price in one way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spell {
    /// Which rule.
    pub rule: Rule,
    /// First millisecond.
    pub on_ts: i64,
    /// First millisecond after it.
    pub off_ts: i64,
    /// Return that it adds over [`HOLD`] minutes; negative while it works the other way round.
    pub strength: f64,
}

/// The times of one rule of one symbol.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    rule: Rule,
    origin: i64,
    /// A beginning of the rule; others lie whole cycles before and after.
    on_ts: i64,
    strength: f64,
}

impl Schedule {
    /// The schedules of a symbol's rules, in the order of [`Rule::ALL`].
    ///
    /// `sigma` is the standard deviation of the symbol's one-minute returns in a usual hour.
    #[must_use]
    pub fn of_symbol(seed: u64, origin: i64, symbol: &str, sigma: f64) -> [Self; 3] {
        let mut stream = Stream::new(&[seed, origin.unsigned_abs(), hash_name(symbol), 2]);
        let span = (FIRST_END_SPAN_MS / MINUTE_MS).unsigned_abs();
        let minute = i64::try_from(stream.below(span)).unwrap_or(0);
        let first_end = origin + HISTORY_MS + FIRST_END_MS + minute * MINUTE_MS;
        let strength = DEVIATIONS * sigma * ROOT_OF_HOLD;
        let of = |rule: Rule, place: i64| {
            let end = first_end + place * (CYCLE_MS / 3);
            Self { rule, origin, on_ts: end - ON_MS, strength }
        };
        [of(Rule::Flow, 1), of(Rule::Leader, 2), of(Rule::Reversion, 0)]
    }

    /// Return that the rule adds over [`HOLD`] minutes at an instant; zero while it rests.
    #[must_use]
    pub const fn strength_at(&self, ts: i64) -> f64 {
        let place = (ts - self.on_ts).rem_euclid(CYCLE_MS);
        if place < ON_MS {
            self.strength
        } else if place < ON_MS + TURNED_MS {
            -self.strength
        } else {
            0.0
        }
    }

    /// Every spell that touches the market from its origin up to `end_ts`, in time order.
    #[must_use]
    pub fn spells(&self, end_ts: i64) -> Vec<Spell> {
        let mut spells = Vec::new();
        let mut begins = self.origin - (self.origin - self.on_ts).rem_euclid(CYCLE_MS);
        while begins < end_ts {
            let ends = begins + ON_MS;
            for (on_ts, off_ts, strength) in
                [(begins, ends, self.strength), (ends, ends + TURNED_MS, -self.strength)]
            {
                if off_ts > self.origin && on_ts < end_ts {
                    let on_ts = on_ts.max(self.origin);
                    spells.push(Spell { rule: self.rule, on_ts, off_ts, strength });
                }
            }
            begins += CYCLE_MS;
        }
        spells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: i64 = 1_735_689_600_000;

    fn spells_of(seed: u64, symbol: &str, days: i64) -> Vec<Spell> {
        Schedule::of_symbol(seed, ORIGIN, symbol, 0.000_5)
            .iter()
            .flat_map(|schedule| schedule.spells(ORIGIN + days * DAY_MS))
            .collect()
    }

    #[test]
    fn printed_spells_are_the_strengths_that_are_planted() {
        for seed in 0..20 {
            for schedule in Schedule::of_symbol(seed, ORIGIN, "ETHUSDT", 0.000_5) {
                let spells = schedule.spells(ORIGIN + 300 * DAY_MS);
                for minute in (0..300 * 1_440).step_by(7) {
                    let ts = ORIGIN + minute * MINUTE_MS;
                    let printed = spells.iter().find(|one| (one.on_ts..one.off_ts).contains(&ts));
                    let planted = schedule.strength_at(ts);
                    assert!((printed.map_or(0.0, |one| one.strength) - planted).abs() < 1e-15);
                }
            }
        }
    }

    #[test]
    fn a_rule_that_held_through_the_first_history_ends_within_sixteen_hours_of_it() {
        for seed in 0..50 {
            for symbol in ["BTCUSDT", "ETHUSDT", "NEWUSDT"] {
                let spells = spells_of(seed, symbol, 60);
                let history = ORIGIN + HISTORY_MS;
                let ended: Vec<&Spell> = spells
                    .iter()
                    .filter(|one| one.strength > 0.0)
                    .filter(|one| (history..history + 16 * HOUR_MS).contains(&one.off_ts))
                    .collect();
                assert_eq!(ended.len(), 1, "seed {seed} {symbol}");
                assert_eq!(ended[0].on_ts, ORIGIN);
                assert_eq!(ended[0].rule, Rule::Reversion);
            }
        }
    }

    #[test]
    fn whenever_a_rule_ends_the_two_others_hold_and_one_has_for_a_month() {
        for seed in 0..20 {
            let spells = spells_of(seed, "BTCUSDT", 700);
            let held: Vec<&Spell> = spells.iter().filter(|one| one.strength > 0.0).collect();
            for ended in held.iter().filter(|one| one.off_ts > ORIGIN + 70 * DAY_MS) {
                let others = held.iter().filter(|one| one.rule != ended.rule);
                let ages: Vec<i64> = others
                    .filter(|one| (one.on_ts..one.off_ts).contains(&ended.off_ts))
                    .map(|one| (ended.off_ts - one.on_ts) / DAY_MS)
                    .collect();
                if ended.off_ts < ORIGIN + 690 * DAY_MS {
                    assert_eq!(ages.len(), 2, "seed {seed} {ended:?}");
                    assert!(ages.iter().any(|age| *age >= 30), "{ages:?}");
                }
            }
        }
    }

    #[test]
    fn seeds_and_symbols_have_times_of_their_own() {
        let first = |seed, symbol| spells_of(seed, symbol, 40)[0].off_ts;
        assert_eq!(first(1, "BTCUSDT"), first(1, "BTCUSDT"));
        assert_ne!(first(1, "BTCUSDT"), first(2, "BTCUSDT"));
        assert_ne!(first(1, "BTCUSDT"), first(1, "ETHUSDT"));
    }
}
