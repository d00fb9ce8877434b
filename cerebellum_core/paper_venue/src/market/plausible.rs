//! Are these times and sizes plausible? Asked of every file before anything is computed from it.
//!
//! A time in another unit is still a number: microseconds read as milliseconds are the year 57000. The
//! bounds are in `data/schema.md`, word for word; `crucible/market/plausible.py` asks the same.

use super::candle::MINUTE_MS;

const FIRST_YEAR: i64 = 2000;
const LAST_YEAR: i64 = 2099;
const FIRST_MS: i64 = 946_684_800_000;
const END_MS: i64 = 4_102_444_800_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;
const YEAR_MS: i64 = 31_556_952_000;
const LARGEST_GAP_MS: i64 = 14 * DAY_MS;
/// Of so many steps in a row at least one is a single candle.
const STEPS_APART: usize = 60;
/// A file with fewer steps is too short to know its candles' length from.
const FEWEST_STEPS: usize = 5;
const SPARSE_SPAN_MS: i64 = 30 * DAY_MS;
/// Over a longer span at least one candle in so many is there.
const SPARSEST: i64 = 10;
/// A coin in satoshi is 1e-8, one in the smallest currency about 1e9.
pub const LEAST_PRICE: f64 = 1e-12;
/// See `LEAST_PRICE`.
pub const LARGEST_PRICE: f64 = 1e12;
/// Of a minute; the supply of the most numerous coins is about 1e15.
pub const LARGEST_VOLUME: f64 = 1e18;
/// Minutes of all years in which candles can be.
pub const MOST_ROWS: i64 = (END_MS - FIRST_MS) / MINUTE_MS;

/// What no recording looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// A time of another century, which another unit may explain.
    #[error(
        "ts is in the year {year}, not in {first} to {last}{guess}; write milliseconds since 1970 UTC",
        first = FIRST_YEAR,
        last = LAST_YEAR,
        guess = .unit.map_or(String::new(), |unit| format!("; it looks like {unit}"))
    )]
    Year {
        /// The year.
        year: i64,
        /// The unit in which the time would be plausible.
        unit: Option<&'static str>,
    },
    /// Too long a time without a candle.
    #[error(
        "ts is {days} days after the row before, a gap of more than {most} days; fetch what is \
         missing, or cut the file there"
    )]
    Gap {
        /// How long.
        days: String,
        /// How long at most.
        most: String,
    },
    /// Candles of more than a minute.
    #[error(
        "ts is {step} minutes after the row before, and no step is one minute from there to row \
         {until}; it looks like {usual}-minute candles; the name says one minute: give one-minute \
         candles"
    )]
    LongerCandles {
        /// Minutes of the first step.
        step: i64,
        /// The row up to which no step is a minute.
        until: usize,
        /// Minutes of a usual step.
        usual: i64,
    },
    /// Hardly any minute has a candle.
    #[error(
        "{count} candles over {days} days are fewer than one in {least} minutes; fetch what is \
         missing, or cut the file",
        least = SPARSEST
    )]
    Sparse {
        /// How many there are.
        count: i64,
        /// Over how long.
        days: String,
    },
}

/// The first time outside of the years in which candles can be: its row, and what is wrong with it.
#[must_use]
pub fn implausible_year(times: &[i64]) -> Option<(usize, Implausible)> {
    let row = times.iter().position(|ts| !(FIRST_MS..END_MS).contains(ts))?;
    let value = times[row];
    let year = 1970 + value.div_euclid(YEAR_MS);
    Some((row, Implausible::Year { year, unit: likely_unit(value) }))
}

/// The unit in which a number is a plausible time, if it is another one than milliseconds.
fn likely_unit(value: i64) -> Option<&'static str> {
    let units = [("seconds", 1_000, 1), ("microseconds", 1, 1_000), ("nanoseconds", 1, 1_000_000)];
    let fits = |times: i128, over: i128| {
        let ms = (i128::from(value) * times).div_euclid(over);
        (i128::from(FIRST_MS)..i128::from(END_MS)).contains(&ms)
    };
    units.into_iter().find(|(_, times, over)| fits(*times, *over)).map(|(unit, _, _)| unit)
}

/// What one-minute candles never look like: a gap of more than two weeks, longer candles under a
/// one-minute name, or so few candles that hardly any minute has one. Times are plausible and
/// increasing.
#[must_use]
pub fn implausible_steps(times: &[i64]) -> Option<(usize, Implausible)> {
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let largest = *steps.iter().max()?;
    if largest > LARGEST_GAP_MS {
        let row = steps.iter().position(|step| *step == largest)? + 1;
        return Some((row, Implausible::Gap { days: days(largest), most: days(LARGEST_GAP_MS) }));
    }
    let length = STEPS_APART.min(steps.len());
    let apart = if steps.len() < FEWEST_STEPS { None } else { first_run(&steps, length) };
    if let Some(apart) = apart {
        let mut run = steps[apart..(apart + STEPS_APART).min(steps.len())].to_vec();
        run.sort_unstable();
        let longer = Implausible::LongerCandles {
            step: steps[apart] / MINUTE_MS,
            until: apart + length,
            usual: i64::midpoint(run[(run.len() - 1) / 2], run[run.len() / 2]) / MINUTE_MS,
        };
        return Some((apart + 1, longer));
    }
    let (count, span) = (i64::try_from(times.len()).ok()?, times.last()? - times.first()?);
    (span > SPARSE_SPAN_MS && count * SPARSEST < span / MINUTE_MS)
        .then(|| (times.len() - 1, Implausible::Sparse { count, days: days(span) }))
}

/// The first of so many steps in a row that are longer than a minute.
fn first_run(steps: &[i64], length: usize) -> Option<usize> {
    let mut run = 0;
    for (index, step) in steps.iter().enumerate() {
        run = if *step > MINUTE_MS { run + 1 } else { 0 };
        if run == length {
            return Some(index + 1 - length);
        }
    }
    None
}

#[allow(clippy::cast_precision_loss)]
fn days(span_ms: i64) -> String {
    let text = format!("{:.2}", span_ms as f64 / DAY_MS as f64);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_the_unit_that_makes_it_a_time() {
        assert_eq!(likely_unit(1_735_689_600), Some("seconds"));
        assert_eq!(likely_unit(1_735_689_600_000_000), Some("microseconds"));
        assert_eq!(likely_unit(1_735_689_600_000_000_000), Some("nanoseconds"));
        assert_eq!(likely_unit(0), None);
        assert_eq!(likely_unit(i64::MIN), None);
    }
}
