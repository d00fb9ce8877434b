//! Where funding rates come from, and recorded ones from Parquet, one file per symbol.

use super::candle::MINUTE_MS;
use super::columns::{guarded, Table};
use super::file_error::{refused, FileError, FileFault, RowFault};
use super::plausible::implausible_year;
use rust_decimal::Decimal;
use std::path::Path;

/// Columns of a file of rates.
const TIME: &str = "ts";
const RATE: &str = "funding_rate";
/// No venue settles more than once an hour; half of that leaves room for stamps that come late.
const SHORTEST_MS: i64 = 30 * MINUTE_MS;

/// One settlement: what a long position pays to a short one, as a share of its worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Instant in milliseconds.
    pub ts: i64,
    /// Rate.
    pub rate: Decimal,
}

impl Settlement {
    /// The minute at whose first instant it is charged; some venues stamp it a little late.
    #[must_use]
    pub const fn minute(&self) -> i64 {
        self.ts.div_euclid(MINUTE_MS) * MINUTE_MS
    }
}

/// Where a market's funding rates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Funding {
    /// Made up every eight hours, as the simulated market is.
    Made,
    /// Those that others report; what nobody reported is not charged.
    Reported,
    /// Recorded ones of every symbol, oldest first; where there are none, none is charged.
    Given(Vec<Vec<Settlement>>),
}

/// Reads `SYMBOL-funding.parquet`; `None` where there is no such file.
///
/// # Errors
/// A line that names the file, the row and what is wrong with it.
pub fn read(folder: &Path, symbol: &str) -> Result<Option<Vec<Settlement>>, FileError> {
    let path = folder.join(format!("{symbol}-funding.parquet"));
    let exists = path.try_exists().map_err(|error| FileFault::Unknown(error).of(&path))?;
    if !exists {
        return Ok(None);
    }
    let columns = guarded(|| {
        let table = Table::open(&path, "funding rates", &[TIME, RATE])?;
        Ok((table.times(TIME)?, table.numbers(RATE)?))
    });
    let (times, rates) = columns.map_err(|error| FileFault::from(error).of(&path))?;
    build(&times, &rates).map(Some).map_err(|fault| fault.of(&path))
}

fn build(times: &[i64], rates: &[f64]) -> Result<Vec<Settlement>, FileFault> {
    let refuse = |row: usize, fault: RowFault| Err(refused(times, row, fault));
    if let Some((row, implausible)) = implausible_year(times) {
        return refuse(row, implausible.into());
    }
    if let Some(row) = (1..times.len()).find(|row| times[*row] <= times[row - 1]) {
        return refuse(row, RowFault::NotAfter(times[row]));
    }
    let soon = (1..times.len()).find(|row| times[*row] - times[row - 1] < SHORTEST_MS);
    if let Some(row) = soon {
        let minutes = (times[row] - times[row - 1]) / MINUTE_MS;
        return refuse(row, RowFault::TooSoon { minutes });
    }
    let mut settlements = Vec::with_capacity(times.len());
    for (row, (&ts, &rate)) in times.iter().zip(rates).enumerate() {
        // The shortest spelling of a number is the one that was meant.
        let exact = rate.to_string().parse::<Decimal>().ok();
        let Some(exact) = exact.filter(|exact| exact.abs() < Decimal::ONE) else {
            return refuse(row, RowFault::NoShare(rate));
        };
        settlements.push(Settlement { ts, rate: exact });
    }
    Ok(settlements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_keeps_every_digit_and_one_that_is_none_is_refused_by_row() {
        const HOURS: [i64; 2] = [1_735_689_600_000, 1_735_693_200_000];
        let read = build(&HOURS, &[0.000_1, -0.000_021_37]).expect("rates");
        let spelled: Vec<String> = read.iter().map(|one| one.rate.to_string()).collect();
        assert_eq!(spelled, ["0.0001", "-0.00002137"]);
        for bad in [1.0, -1.5, f64::NAN, f64::INFINITY] {
            let refused = build(&HOURS, &[0.0, bad]).expect_err("no share").to_string();
            assert!(refused.contains("row 1 (ts 1735693200000)"), "{refused}");
        }
    }
}
