//! Recorded one-minute candles from Parquet; what is refused, and why, is described in `data/schema.md`.

use super::candle::MINUTE_MS;
use super::columns::{guarded, Table};
use super::plausible::{
    implausible_steps, implausible_year, LARGEST_PRICE, LARGEST_VOLUME, LEAST_PRICE,
};
use std::path::Path;

/// Names of the columns, in the order in which they are read.
const NAMES: [&str; 5] = ["open", "high", "low", "close", "volume"];

/// Candles as a file has them.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// Open times in milliseconds.
    pub times: Vec<i64>,
    /// Open, high, low, close and volume.
    pub values: [Vec<f64>; 5],
}

/// Reads and checks a file.
///
/// # Errors
/// A line that names the file, the row and what is wrong with it.
pub fn read(path: &Path) -> Result<Columns, String> {
    let reported = |what: String| format!("{}: {what}", path.display());
    let names: Vec<&str> = std::iter::once("ts").chain(NAMES).collect();
    let columns = guarded(|| {
        let table = Table::open(path, "candles", &names)?;
        let mut columns = Columns { times: table.times("ts")?, ..Columns::default() };
        for (name, into) in NAMES.iter().zip(&mut columns.values) {
            *into = table.numbers(name)?;
        }
        Ok(columns)
    })
    .map_err(reported)?;
    check(&columns).map_err(reported)?;
    Ok(columns)
}

/// Checks every row by itself, after the one before it, and the candles as a whole.
///
/// # Errors
/// The first bad row, and what is wrong with it.
pub fn check(columns: &Columns) -> Result<(), String> {
    let times = &columns.times;
    if times.is_empty() {
        return Err("no candles".to_owned());
    }
    let rows = times.len();
    if columns.values.iter().any(|column| column.len() != rows) {
        return Err("columns have different numbers of rows".to_owned());
    }
    let refuse = |row: usize, what: String| Err(format!("row {row} (ts {}): {what}", times[row]));
    if let Some((row, what)) = implausible_year(times) {
        return refuse(row, what);
    }
    if let Some(row) = (1..rows).find(|row| times[*row] <= times[row - 1]) {
        return refuse(row, format!("time is not after the row before: {}", times[row]));
    }
    if let Some(row) = times.iter().position(|ts| ts % MINUTE_MS != 0) {
        return refuse(row, format!("time is not on the candle grid: {}", times[row]));
    }
    for (name, column) in NAMES.iter().zip(&columns.values) {
        if let Some(row) = column.iter().position(|value| !value.is_finite()) {
            return refuse(row, format!("{name} is not finite: {}", column[row]));
        }
        let price = *name != "volume";
        let low = |value: &f64| if price { *value <= 0.0 } else { *value < 0.0 };
        if let Some(row) = column.iter().position(low) {
            let what = if price { "not positive" } else { "negative" };
            return refuse(row, format!("{name} is {what}: {}", column[row]));
        }
        let plausible = if price { LEAST_PRICE..=LARGEST_PRICE } else { 0.0..=LARGEST_VOLUME };
        if let Some(row) = column.iter().position(|value| !plausible.contains(value)) {
            let what = if price {
                "no plausible price (1e-12 to 1e12)"
            } else {
                "not plausible (at most 1e18)"
            };
            return refuse(row, format!("{name} is {what}: {}", column[row]));
        }
    }
    let [opens, highs, lows, closes, _] = &columns.values;
    if let Some(row) = (0..rows).find(|row| highs[*row] < opens[*row].max(closes[*row])) {
        return refuse(row, format!("high is below the body: {}", highs[row]));
    }
    if let Some(row) = (0..rows).find(|row| lows[*row] > opens[*row].min(closes[*row])) {
        return refuse(row, format!("low is above the body: {}", lows[row]));
    }
    match implausible_steps(times) {
        Some((row, what)) => refuse(row, what),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(ts: i64, volume: f64) -> Columns {
        let price = |value: f64| vec![value];
        let values =
            [price(95_505.4), price(95_505.5), price(95_502.7), price(95_502.7), price(volume)];
        Columns { times: vec![ts], values }
    }

    #[test]
    fn a_row_that_is_not_a_candle_is_refused_by_name() {
        const MINUTE: i64 = 1_746_372_780_000;
        assert!(check(&candle(MINUTE, 1.0)).is_ok());
        let broken = check(&candle(MINUTE + 1_000, 1.0)).expect_err("not a minute");
        assert!(broken.contains("row 0") && broken.contains("1746372781000"), "{broken}");
        for volume in [-1.0, f64::NAN, f64::INFINITY] {
            let refused = check(&candle(MINUTE, volume)).expect_err("no volume");
            assert!(refused.contains("volume"), "{refused}");
        }
    }
}
