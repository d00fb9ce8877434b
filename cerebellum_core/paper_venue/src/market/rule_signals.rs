//! What the rules of the simulated market say at the close of a minute.
//!
//! They look at closed candles alone: closes in ticks and volumes in units. All sums are of integers,
//! so they stay exact however long the market runs, and a minute costs the same few steps whatever
//! the windows.

use super::candle::Candle;
use std::collections::VecDeque;

/// Minutes over which usual returns are measured.
const USUAL: usize = 240;
/// Minutes of a leader's move and of volume that leans.
const QUARTER: usize = 15;
/// Minutes of the mean that a close comes back to.
const HOUR: usize = 60;
/// From which deviation on a leader's move is followed.
const LEADER_DEVIATIONS: f64 = 2.5;
/// From which deviation on a close comes back.
const REVERSION_DEVIATIONS: f64 = 2.0;
/// From which share of the volume on the volume is spent.
const FLOW_LEAN: f64 = 0.6;
/// Returns are counted in so many parts.
const PARTS: i128 = 1_000_000_000;

/// The exact sum of the newest values.
#[derive(Debug, Clone)]
struct RollingSum {
    values: VecDeque<i128>,
    length: usize,
    sum: i128,
}

impl RollingSum {
    fn new(length: usize) -> Self {
        Self { values: VecDeque::with_capacity(length + 1), length, sum: 0 }
    }

    fn push(&mut self, value: i128) {
        self.values.push_back(value);
        self.sum += value;
        if self.values.len() > self.length {
            self.sum -= self.values.pop_front().unwrap_or(0);
        }
    }

    #[allow(clippy::cast_precision_loss)] // Rounded once, the same way on every machine.
    const fn value(&self) -> f64 {
        self.sum as f64
    }
}

/// What a symbol's closed minutes show: 1 up, -1 down, 0 nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// Of volume that leans.
    pub flow: i8,
    /// To those that follow this symbol.
    pub lead: i8,
    /// Of a close far from its mean.
    pub reversion: i8,
}

/// The windows of one symbol.
#[derive(Debug, Clone)]
pub struct Past {
    close: Option<i64>,
    minutes: usize,
    /// Sum of all returns so far.
    level: i128,
    levels: RollingSum,
    level_squares: RollingSum,
    returns: RollingSum,
    squares: RollingSum,
    leaning: RollingSum,
    volume: RollingSum,
}

impl Default for Past {
    fn default() -> Self {
        Self {
            close: None,
            minutes: 0,
            level: 0,
            levels: RollingSum::new(HOUR),
            level_squares: RollingSum::new(HOUR),
            returns: RollingSum::new(QUARTER),
            squares: RollingSum::new(USUAL),
            leaning: RollingSum::new(QUARTER),
            volume: RollingSum::new(QUARTER),
        }
    }
}

impl Past {
    /// Takes in a closed minute and says what follows from it.
    pub fn close(&mut self, candle: &Candle) -> Signals {
        let before = i128::from(self.close.unwrap_or(candle.open).max(1));
        self.close = Some(candle.close);
        let change = (i128::from(candle.close) - before) * PARTS / before;
        self.minutes += 1;
        self.level += change;
        self.levels.push(self.level);
        self.level_squares.push(self.level * self.level);
        self.returns.push(change);
        self.squares.push(change * change);
        self.leaning.push(change.signum() * i128::from(candle.volume));
        self.volume.push(i128::from(candle.volume));
        if self.minutes < USUAL {
            return Signals::default();
        }
        Signals { flow: self.flow(), lead: self.lead(), reversion: self.reversion() }
    }

    fn flow(&self) -> i8 {
        -beyond(self.leaning.value(), FLOW_LEAN * self.volume.value())
    }

    #[allow(clippy::cast_precision_loss)]
    fn lead(&self) -> i8 {
        let variance = self.squares.value() / USUAL as f64 * QUARTER as f64;
        beyond(self.returns.value(), LEADER_DEVIATIONS * variance.sqrt())
    }

    #[allow(clippy::cast_precision_loss)]
    fn reversion(&self) -> i8 {
        let count = HOUR as i128;
        let away = (count * self.level - self.levels.sum) as f64;
        let spread = count * self.level_squares.sum - self.levels.sum * self.levels.sum;
        -beyond(away, REVERSION_DEVIATIONS * (spread.max(0) as f64).sqrt())
    }
}

/// Whether a value lies above a bound, below its negative, or between.
fn beyond(value: f64, bound: f64) -> i8 {
    if value > bound {
        1
    } else if value < -bound {
        -1
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::random::Stream;

    fn candles(count: i64) -> Vec<Candle> {
        let mut stream = Stream::new(&[5]);
        let mut price = 680_000;
        (0..count)
            .map(|minute| {
                let open = price;
                price += i64::try_from(stream.below(801)).unwrap_or(0) - 400;
                let volume = i64::try_from(stream.below(90_000)).unwrap_or(0);
                let mut candle = Candle::at(minute * 60_000, open);
                candle.take(price, volume + 1);
                candle
            })
            .collect()
    }

    #[test]
    fn what_is_said_depends_on_the_newest_minutes_alone_however_long_the_market_ran() {
        let candles = candles(50_000);
        let (mut long, mut short) = (Past::default(), Past::default());
        let mut spoken = 0;
        for (minute, candle) in candles.iter().enumerate() {
            let said = long.close(candle);
            // One minute more than the longest window, for the close before it.
            if minute >= 49_000 - USUAL {
                let again = short.close(candle);
                if minute > 49_000 {
                    assert_eq!(said, again, "minute {minute}");
                    spoken += i32::from(said != Signals::default());
                }
            }
        }
        assert!(spoken > 10, "{spoken}");
    }

    #[test]
    fn nothing_is_said_before_every_window_is_full() {
        let mut past = Past::default();
        for candle in candles(USUAL as i64 - 1) {
            assert_eq!(past.close(&candle), Signals::default());
        }
    }

    #[test]
    fn rising_closes_fall_back_and_lead_others_up() {
        let mut past = Past::default();
        let quiet = candles(400);
        let mut last = 0;
        for candle in &quiet {
            past.close(candle);
            last = candle.close;
        }
        let mut said = Signals::default();
        for minute in 0..15 {
            let mut candle = Candle::at((400 + minute) * 60_000, last);
            last += 1_500;
            candle.take(last, 1_000);
            said = past.close(&candle);
        }
        assert_eq!(said, Signals { flow: -1, lead: 1, reversion: -1 });
    }
}
