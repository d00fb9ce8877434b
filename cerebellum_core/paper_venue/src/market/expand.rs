//! Expands one candle into trades that add up to exactly that candle.
//!
//! The path starts at the open, visits the two extremes at two seconds of its own, ends at the
//! close and wanders in between without leaving the range. Volume is split over the seconds to the
//! last unit. The path depends on the seed, the symbol and the candle's open time alone.

use super::candle::{Candle, Minute, Point};
use super::random::{hash_name, Stream};
use protocol::bybit::enums::Side;

/// Trades inside a minute.
const SECONDS: usize = 60;

/// The minute that `candle` could have been, with prices on its grid of ticks.
#[must_use]
pub fn expand(seed: u64, symbol: &str, tick: i64, candle: &Candle) -> Minute {
    let mut stream = Stream::new(&[seed, hash_name(symbol), candle.open_ts.unsigned_abs()]);
    let prices = prices(candle, &mut stream, tick.max(1));
    let sizes = split(candle.volume, &mut stream);
    let mut points = Vec::with_capacity(SECONDS);
    let (mut last, mut side) = (candle.open, Side::Buy);
    for (second, (price, qty)) in prices.into_iter().zip(sizes).enumerate() {
        side = match price.cmp(&last) {
            std::cmp::Ordering::Greater => Side::Buy,
            std::cmp::Ordering::Less => Side::Sell,
            std::cmp::Ordering::Equal if stream.below(3) == 0 => side.opposite(),
            std::cmp::Ordering::Equal => side,
        };
        let offset = i64::try_from(second).unwrap_or(0) * 1_000 + stream.below(1_000).cast_signed();
        points.push(Point { ts: candle.open_ts + offset, price, qty, side, lean: 0 });
        last = price;
    }
    Minute { candle: *candle, points }
}

/// Open, both extremes and close at their seconds, a clamped random walk between them.
fn prices(candle: &Candle, stream: &mut Stream, tick: i64) -> [i64; SECONDS] {
    let whole = candle;
    // Recorded prices are whole ticks, so nothing is lost.
    let candle = &Candle {
        open: whole.open / tick,
        high: whole.high / tick,
        low: whole.low / tick,
        close: whole.close / tick,
        ..*whole
    };
    let rising = candle.close >= candle.open;
    let low_first = rising != (stream.below(4) == 0);
    let (first, second) =
        if low_first { (candle.low, candle.high) } else { (candle.high, candle.low) };
    let early = 1 + usize::try_from(stream.below(28)).unwrap_or(0);
    let late = early + 1 + usize::try_from(stream.below(28)).unwrap_or(0);
    let anchors = [(0, candle.open), (early, first), (late, second), (SECONDS - 1, candle.close)];
    let wiggle = (candle.high - candle.low) / 12 + 1;
    let mut prices = [candle.open; SECONDS];
    for pair in anchors.windows(2) {
        let ((from, start), (to, end)) = (pair[0], pair[1]);
        let steps = i64::try_from(to - from).unwrap_or(1).max(1);
        for (step, price) in (0_i64..).zip(&mut prices[from..to]) {
            let straight =
                i128::from(start) + i128::from(end - start) * i128::from(step) / i128::from(steps);
            let straight = i64::try_from(straight).unwrap_or(start);
            let bound = u64::try_from(2 * wiggle + 1).unwrap_or(1);
            let noise = stream.below(bound).cast_signed() - wiggle;
            *price = (straight + noise).clamp(candle.low, candle.high);
        }
        prices[from] = start;
    }
    prices[SECONDS - 1] = candle.close;
    prices.map(|price| price * tick)
}

/// Splits a volume into random shares that add up to it.
fn split(volume: i64, stream: &mut Stream) -> [i64; SECONDS] {
    let mut weights = [0_i128; SECONDS];
    for weight in &mut weights {
        let draw = i128::from(stream.below(1_000));
        *weight = 50 + draw * draw / 1_000;
    }
    let total: i128 = weights.iter().sum();
    let mut shares = [0_i64; SECONDS];
    let mut given = 0;
    for (share, weight) in shares.iter_mut().zip(weights) {
        *share = i64::try_from(i128::from(volume) * weight / total).unwrap_or(0);
        given += *share;
    }
    let rest = volume - given;
    shares[usize::try_from(stream.below(60)).unwrap_or(0)] += rest;
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::candle::fold;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_path_of_a_candle_adds_up_to_exactly_that_candle(
            seed: u64,
            minute in 0_i64..50_000_000,
            low in 1_i64..1_000_000_000_000,
            range in 0_i64..1_000_000,
            open in 0.0..=1.0_f64,
            close in 0.0..=1.0_f64,
            volume in 0_i64..1_000_000_000_000_000,
            tick in 1_i64..60,
        ) {
            let place = |share: f64| tick * (low + (range as f64 * share) as i64);
            let mut candle = Candle::at(minute * 60_000, place(open));
            (candle.low, candle.high, candle.close, candle.volume) =
                (tick * low, tick * (low + range), place(close), volume);
            let path = expand(seed, "BTCUSDT", tick, &candle);
            let built = fold(candle.open_ts, &path.points).expect("points");
            prop_assert_eq!(
                (built.open, built.high, built.low, built.close, built.volume),
                (candle.open, candle.high, candle.low, candle.close, candle.volume)
            );
            prop_assert!(path.points.windows(2).all(|pair| pair[0].ts <= pair[1].ts));
            prop_assert!(path.points.iter().all(|p| (0..60_000).contains(&(p.ts - candle.open_ts))));
            prop_assert!(path.points.iter().all(|point| point.price % tick == 0));
            prop_assert_eq!(path, expand(seed, "BTCUSDT", tick, &candle));
        }
    }
}
