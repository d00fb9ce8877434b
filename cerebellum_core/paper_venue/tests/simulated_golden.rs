//! The simulated market without rules is the market that there was before rules.
#![allow(missing_docs)]

use paper_venue::market::candle::Candle;
use paper_venue::market::random::hash;
use paper_venue::market::rule_schedule::RuleSet;
use paper_venue::market::Market;

const ORIGIN: i64 = 1_735_689_600_000;

fn digest(candle: &Candle) -> u64 {
    let parts = [candle.open_ts, candle.open, candle.high, candle.low, candle.close, candle.volume];
    hash(&parts.map(i64::unsigned_abs))
}

#[test]
fn without_rules_every_candle_is_the_one_recorded_before_there_were_rules() {
    let symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"].map(str::to_owned);
    let mut market = Market::simulated(7, ORIGIN, &symbols, RuleSet::None);
    market.skip_to(ORIGIN + 20_000 * 60_000);
    let found: Vec<u64> = (0..symbols.len())
        .map(|symbol| {
            market.history(symbol).iter().fold(0, |state, one| hash(&[state, digest(one)]))
        })
        .collect();
    assert_eq!(
        found,
        [
            16_354_067_419_145_207_780,
            12_104_937_656_071_525_741,
            10_324_869_672_866_117_227,
            660_592_764_654_174_711,
        ]
    );
}
