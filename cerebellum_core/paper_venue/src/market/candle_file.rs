//! Recorded one-minute candles from Parquet; what is refused, and why, is described in `data/schema.md`.

use super::candle::MINUTE_MS;
use super::columns::{guarded, Table};
use super::file_error::{refused, FileError, FileFault, RowFault};
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
pub fn read(path: &Path) -> Result<Columns, FileError> {
    let names: Vec<&str> = std::iter::once("ts").chain(NAMES).collect();
    let columns = guarded(|| {
        let table = Table::open(path, "candles", &names)?;
        let mut columns = Columns { times: table.times("ts")?, ..Columns::default() };
        for (name, into) in NAMES.iter().zip(&mut columns.values) {
            *into = table.numbers(name)?;
        }
        Ok(columns)
    });
    let columns = columns.map_err(|error| FileFault::from(error).of(path))?;
    check(&columns).map_err(|fault| fault.of(path))?;
    Ok(columns)
}

/// Checks every row by itself, after the one before it, and the candles as a whole.
///
/// # Errors
/// The first bad row, and what is wrong with it.
pub fn check(columns: &Columns) -> Result<(), FileFault> {
    let times = &columns.times;
    if times.is_empty() {
        return Err(FileFault::NoCandles);
    }
    let rows = times.len();
    if columns.values.iter().any(|column| column.len() != rows) {
        return Err(FileFault::Uneven);
    }
    let refuse = |row: usize, fault: RowFault| Err(refused(times, row, fault));
    if let Some((row, implausible)) = implausible_year(times) {
        return refuse(row, implausible.into());
    }
    if let Some(row) = (1..rows).find(|row| times[*row] <= times[row - 1]) {
        return refuse(row, RowFault::NotAfter(times[row]));
    }
    if let Some(row) = times.iter().position(|ts| ts % MINUTE_MS != 0) {
        return refuse(row, RowFault::OffGrid(times[row]));
    }
    for (name, column) in NAMES.into_iter().zip(&columns.values) {
        if let Some((row, fault)) = implausible_value(name, column) {
            return refuse(row, fault);
        }
    }
    let [opens, highs, lows, closes, _] = &columns.values;
    if let Some(row) = (0..rows).find(|row| highs[*row] < opens[*row].max(closes[*row])) {
        return refuse(row, RowFault::HighBelowBody(highs[row]));
    }
    if let Some(row) = (0..rows).find(|row| lows[*row] > opens[*row].min(closes[*row])) {
        return refuse(row, RowFault::LowAboveBody(lows[row]));
    }
    match implausible_steps(times) {
        Some((row, implausible)) => refuse(row, implausible.into()),
        None => Ok(()),
    }
}

/// The first value that a column of that name never holds: its row, and what is wrong with it.
fn implausible_value(name: &'static str, column: &[f64]) -> Option<(usize, RowFault)> {
    if let Some(row) = column.iter().position(|value| !value.is_finite()) {
        return Some((row, RowFault::NotFinite { name, value: column[row] }));
    }
    if name == "volume" {
        return implausible_volume(column);
    }
    if let Some(row) = column.iter().position(|price| *price <= 0.0) {
        return Some((row, RowFault::NotPositive { name, value: column[row] }));
    }
    let row = column.iter().position(|price| !(LEAST_PRICE..=LARGEST_PRICE).contains(price))?;
    Some((row, RowFault::ImplausiblePrice { name, value: column[row] }))
}

fn implausible_volume(column: &[f64]) -> Option<(usize, RowFault)> {
    if let Some(row) = column.iter().position(|volume| *volume < 0.0) {
        return Some((row, RowFault::NegativeVolume(column[row])));
    }
    let row = column.iter().position(|volume| *volume > LARGEST_VOLUME)?;
    Some((row, RowFault::ImplausibleVolume(column[row])))
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
        let broken = check(&candle(MINUTE + 1_000, 1.0)).expect_err("not a minute").to_string();
        assert!(broken.contains("row 0") && broken.contains("1746372781000"), "{broken}");
        for volume in [-1.0, f64::NAN, f64::INFINITY] {
            let refused = check(&candle(MINUTE, volume)).expect_err("no volume").to_string();
            assert!(refused.contains("volume"), "{refused}");
        }
    }
}
