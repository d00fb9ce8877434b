//! The rules of the simulated market at work: from what closed to what is added to the next minutes.

use super::candle::{Minute, MINUTE_MS};
use super::instrument::{look_up, unknown};
use super::rule_schedule::{Rule, Schedule, Spell, HOLD};
use super::rule_signals::{Past, Signals};

/// One rule of one symbol.
#[derive(Debug, Clone)]
struct Planted {
    schedule: Schedule,
    side: i8,
    minutes_left: i64,
}

/// The rules of one symbol.
#[derive(Debug, Clone)]
struct Followed {
    past: Past,
    /// Whose moves its leader rule follows; without another symbol there is no such rule.
    guide: Option<usize>,
    planted: [Planted; 3],
}

/// All rules of a market.
#[derive(Debug, Clone)]
pub struct Rules {
    symbols: Vec<Followed>,
}

impl Rules {
    /// The rules of a market with these symbols; `leader` is the index of the one that leads.
    #[must_use]
    pub fn new(seed: u64, origin: i64, symbols: &[String], leader: usize) -> Self {
        let others = symbols.iter().enumerate().filter(|(index, _)| *index != leader);
        let second = others.min_by(|a, b| a.1.cmp(b.1)).map(|(index, _)| index);
        let followed = symbols.iter().enumerate().map(|(index, symbol)| Followed {
            past: Past::default(),
            guide: if index == leader { second } else { Some(leader) },
            planted: schedules(seed, origin, symbol).map(|schedule| Planted {
                schedule,
                side: 0,
                minutes_left: 0,
            }),
        });
        Self { symbols: followed.collect() }
    }

    /// Return that the rules add to each second of a symbol's next minute.
    pub fn push(&mut self, index: usize, open_ts: i64) -> f64 {
        let Some(followed) = self.symbols.get_mut(index) else { return 0.0 };
        let mut sum = 0.0;
        for rule in &mut followed.planted {
            if rule.minutes_left > 0 {
                rule.minutes_left -= 1;
                sum += f64::from(rule.side) * rule.schedule.strength_at(open_ts);
            }
        }
        #[allow(clippy::cast_precision_loss)]
        let seconds = (HOLD * 60) as f64;
        sum / seconds
    }

    /// Takes in a closed minute of every symbol.
    pub fn close(&mut self, minutes: &[Minute]) {
        let closed = self.symbols.iter_mut().zip(minutes);
        let signals: Vec<Signals> =
            closed.map(|(followed, minute)| followed.past.close(&minute.candle)).collect();
        for (followed, own) in self.symbols.iter_mut().zip(&signals) {
            let lead = followed.guide.and_then(|guide| signals.get(guide)).map_or(0, |it| it.lead);
            let said = [own.flow, lead, own.reversion];
            for (rule, side) in followed.planted.iter_mut().zip(said) {
                if side != 0 {
                    rule.side = side;
                    rule.minutes_left = HOLD;
                }
            }
        }
    }
}

/// The spells of every rule of every symbol from the origin on, for so many days.
#[must_use]
pub fn spells(seed: u64, origin: i64, symbols: &[String], days: u32) -> Vec<(String, Spell)> {
    let origin = origin.div_euclid(MINUTE_MS) * MINUTE_MS;
    let end_ts = origin + i64::from(days) * 86_400_000;
    let mut rows = Vec::new();
    for symbol in symbols {
        for (rule, schedule) in Rule::ALL.iter().zip(schedules(seed, origin, symbol)) {
            if *rule == Rule::Leader && symbols.len() < 2 {
                continue;
            }
            rows.extend(schedule.spells(end_ts).into_iter().map(|one| (symbol.clone(), one)));
        }
    }
    rows
}

fn schedules(seed: u64, origin: i64, symbol: &str) -> [Schedule; 3] {
    let sigma = look_up(symbol).unwrap_or_else(unknown).sigma;
    Schedule::of_symbol(seed, origin, symbol, sigma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::candle::Candle;

    fn minute(open_ts: i64, price: i64, close: i64) -> Minute {
        let mut candle = Candle::at(open_ts, price);
        candle.take(close, 1_000);
        Minute { candle, points: Vec::new() }
    }

    #[test]
    fn a_rule_that_spoke_moves_the_next_minutes_by_its_strength_and_nothing_after() {
        let symbols = ["BTCUSDT".to_owned()];
        let mut rules = Rules::new(1, 0, &symbols, 0);
        let mut price = 680_000;
        for index in 0..300 {
            rules.push(0, index * MINUTE_MS);
            let close = price + if index % 2 == 0 { 100 } else { -100 };
            rules.close(&[minute(index * MINUTE_MS, price, close)]);
            price = close;
        }
        // A jump: the reversion rule says down until twelve of the last sixty closes lie up there.
        let mut sum = 0.0;
        for index in 300..420 {
            sum += 60.0 * rules.push(0, index * MINUTE_MS);
            let close = if index == 300 { price + 9_000 } else { price };
            rules.close(&[minute(index * MINUTE_MS, price, close)]);
            price = close;
        }
        let [_, _, reversion] = schedules(1, 0, "BTCUSDT");
        let strength = reversion.strength_at(300 * MINUTE_MS);
        let expected = -strength * 25.0 / 15.0;
        assert!(strength > 0.0 && (sum - expected).abs() < 1e-12, "{sum} {expected}");
        for index in 420..600 {
            rules.push(0, index * MINUTE_MS);
            rules.close(&[minute(index * MINUTE_MS, price, price)]);
        }
        assert!(rules.push(0, 600 * MINUTE_MS).abs() < f64::EPSILON * 1e-9);
    }

    #[test]
    fn a_market_of_one_symbol_has_no_leader_rule() {
        let rows = spells(1, 0, &["BTCUSDT".to_owned()], 100);
        assert!(rows.iter().all(|(_, spell)| spell.rule != Rule::Leader));
        let rows = spells(1, 0, &["BTCUSDT".to_owned(), "ETHUSDT".to_owned()], 100);
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            assert!(rows.iter().any(|(name, one)| name == symbol && one.rule == Rule::Leader));
        }
    }
}
