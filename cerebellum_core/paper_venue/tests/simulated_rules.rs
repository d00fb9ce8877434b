//! The rules of the simulated market are in its prices when they hold, and only then.
#![allow(missing_docs)]

use paper_venue::market::candle::Candle;
use paper_venue::market::rule_schedule::{Rule, RuleSet, HOLD};
use paper_venue::market::rule_signals::Past;
use paper_venue::market::{rules, Market};

const ORIGIN: i64 = 1_735_689_600_000;
const MINUTE_MS: i64 = 60_000;
const DAYS: i64 = 80;
/// What the prices of a symbol show of one rule: its direction, its strength, and the returns.
struct Shown {
    side: Vec<f64>,
    strength: Vec<f64>,
}

fn symbols() -> Vec<String> {
    ["BTCUSDT", "ETHUSDT"].map(str::to_owned).to_vec()
}

fn history(seed: u64, days: i64, rules: RuleSet) -> Vec<Vec<Candle>> {
    let mut market = Market::simulated(seed, ORIGIN, &symbols(), rules);
    market.skip_to(ORIGIN + days * 1_440 * MINUTE_MS);
    (0..symbols().len()).map(|symbol| market.history(symbol).to_vec()).collect()
}

/// Direction in which each minute is moved by what closed before it.
fn sides(said: &[i8]) -> Vec<f64> {
    let (mut side, mut left) = (0_i8, 0);
    said.iter()
        .map(|next| {
            let now = if left > 0 { f64::from(side) } else { 0.0 };
            left -= 1;
            if *next != 0 {
                (side, left) = (*next, HOLD);
            }
            now
        })
        .collect()
}

/// Every rule of ETHUSDT, whose leader is BTCUSDT.
fn shown(seed: u64, candles: &[Vec<Candle>]) -> Vec<Shown> {
    let mut pasts = [Past::default(), Past::default()];
    let mut said = vec![Vec::new(); 3];
    for (leader, own) in candles[0].iter().zip(&candles[1]) {
        let (lead, own) = (pasts[0].close(leader).lead, pasts[1].close(own));
        for (row, side) in said.iter_mut().zip([own.flow, lead, own.reversion]) {
            row.push(side);
        }
    }
    let spells = rules::spells(seed, ORIGIN, &symbols(), 100);
    Rule::ALL
        .iter()
        .zip(&said)
        .map(|(rule, said)| {
            let own: Vec<_> = spells
                .iter()
                .filter(|(symbol, spell)| symbol == "ETHUSDT" && spell.rule == *rule)
                .collect();
            let strength = candles[1].iter().map(|candle| {
                let ts = candle.open_ts;
                let spell = own.iter().find(|(_, one)| (one.on_ts..one.off_ts).contains(&ts));
                spell.map_or(0.0, |(_, one)| one.strength)
            });
            Shown { side: sides(said), strength: strength.collect() }
        })
        .collect()
}

fn returns(candles: &[Candle]) -> Vec<f64> {
    let closes = candles.iter().map(|candle| candle.close as f64);
    let before = std::iter::once(candles[0].open as f64).chain(closes.clone());
    closes.zip(before).map(|(close, before)| close / before - 1.0).collect()
}

/// How much of what the rules plant arrives in the returns of chosen minutes: 1 is all of it.
fn arrives(planted: &[f64], returns: &[f64], chosen: impl Fn(usize) -> bool) -> f64 {
    let minutes = (0..returns.len()).filter(|minute| chosen(*minute));
    let (mut both, mut squares) = (0.0, 0.0);
    for minute in minutes {
        both += planted[minute] * returns[minute];
        squares += planted[minute] * planted[minute];
    }
    both / squares
}

#[test]
fn what_rules_plant_arrives_while_they_hold_while_they_are_turned_and_not_while_they_rest() {
    let (mut held, mut turned, mut rests) = (Vec::new(), Vec::new(), Vec::new());
    for seed in [3, 7, 12] {
        let candles = history(seed, DAYS, RuleSet::Learnable);
        let (rows, returns) = (shown(seed, &candles), returns(&candles[1]));
        let total: Vec<f64> = (0..returns.len())
            .map(|i| {
                rows.iter().map(|row| row.side[i] * row.strength[i]).sum::<f64>() / HOLD as f64
            })
            .collect();
        let any = |i: usize, test: fn(f64) -> bool| {
            rows.iter().any(|row| row.side[i] != 0.0 && test(row.strength[i]))
        };
        held.push(arrives(&total, &returns, |i| any(i, |it| it > 0.0) && !any(i, |it| it < 0.0)));
        turned.push(arrives(&total, &returns, |i| any(i, |it| it < 0.0) && !any(i, |it| it > 0.0)));
        let usual = rows.iter().flat_map(|row| &row.strength).fold(0.0_f64, |a, b| a.max(*b));
        let would: Vec<f64> = (0..returns.len())
            .map(|i| rows.iter().map(|row| row.side[i]).sum::<f64>() * usual / HOLD as f64)
            .collect();
        rests.push(arrives(&would, &returns, |i| {
            any(i, |it| it == 0.0) && !any(i, |it| it != 0.0) && would[i] != 0.0
        }));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!((mean(&held) - 1.0).abs() < 0.15, "held {held:?}");
    assert!((mean(&turned) - 1.0).abs() < 0.3, "turned {turned:?}");
    assert!(mean(&rests).abs() < 0.3, "rests {rests:?}");
}

#[test]
fn the_market_with_rules_goes_nowhere_on_average() {
    let mut logs = Vec::new();
    for seed in 100..112 {
        let candles = history(seed, 45, RuleSet::Learnable);
        let of = |row: &Vec<Candle>| (row[row.len() - 1].close as f64 / row[0].open as f64).ln();
        logs.push(candles.iter().map(of).sum::<f64>() / candles.len() as f64);
    }
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let variance = logs.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (logs.len() - 1) as f64;
    let error = (variance / logs.len() as f64).sqrt();
    assert!(mean.abs() < 3.0 * error, "{mean} with a standard error of {error}");
    assert!(error < 0.15, "{error}");
}
