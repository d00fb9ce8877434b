//! Why a recorded file is refused: the file, the row, and what is wrong with it. Always fatal: the
//! venue does not open.

use super::facts_error::FitError;
use super::plausible::Implausible;
use super::table_error::TableError;

/// A file that is refused.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}")]
pub struct FileError {
    /// Which.
    pub file: String,
    /// Why.
    pub source: Box<FileFault>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It cannot be looked for.
    #[error("{0}")]
    Unknown(std::io::Error),
    /// It does not hold the columns that it should.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It is empty.
    #[error("no candles")]
    NoCandles,
    /// It is ragged.
    #[error("columns have different numbers of rows")]
    Uneven,
    /// A row.
    #[error("row {row} (ts {ts}): {source}")]
    Row {
        /// Its number.
        row: usize,
        /// Its time.
        ts: i64,
        /// What is wrong with it.
        source: RowFault,
    },
    /// No instrument fits it.
    #[error(transparent)]
    Unfit(#[from] FitError),
}

impl FileFault {
    /// The refusal of the file of that name.
    pub(super) fn of(self, file: &std::path::Path) -> FileError {
        FileError { file: file.display().to_string(), source: self.into() }
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RowFault {
    /// No recording looks so.
    #[error(transparent)]
    Implausible(#[from] Implausible),
    /// Rows are not in order.
    #[error("time is not after the row before: {0}")]
    NotAfter(i64),
    /// No minute begins there.
    #[error("time is not on the candle grid: {0}")]
    OffGrid(i64),
    /// A price or a volume is no number.
    #[error("{name} is not finite: {value}")]
    NotFinite {
        /// The column.
        name: &'static str,
        /// The number.
        value: f64,
    },
    /// A price is zero or below.
    #[error("{name} is not positive: {value}")]
    NotPositive {
        /// The column.
        name: &'static str,
        /// The price.
        value: f64,
    },
    /// A price that nothing has.
    #[error("{name} is no plausible price (1e-12 to 1e12): {value}")]
    ImplausiblePrice {
        /// The column.
        name: &'static str,
        /// The price.
        value: f64,
    },
    /// A volume is below zero.
    #[error("volume is negative: {0}")]
    NegativeVolume(f64),
    /// A volume that nothing has.
    #[error("volume is not plausible (at most 1e18): {0}")]
    ImplausibleVolume(f64),
    /// A high that is not the highest price.
    #[error("high is below the body: {0}")]
    HighBelowBody(f64),
    /// A low that is not the lowest price.
    #[error("low is above the body: {0}")]
    LowAboveBody(f64),
    /// A price between two ticks.
    #[error("a price does not lie on the grid of ticks")]
    OffTicks,
    /// A volume that does not fit its unit.
    #[error("volume is too large: {0}")]
    VolumeTooLarge(f64),
    /// Funding that follows sooner than any venue settles.
    #[error(
        "ts is {minutes} minutes after the row before, and every row is charged in full: give what \
         was settled, not rates that were told in between"
    )]
    TooSoon {
        /// After how long.
        minutes: i64,
    },
    /// A rate of funding by which a position would pay more than it is worth.
    #[error("funding_rate is no share of a position's worth: {0}")]
    NoShare(f64),
}

/// The row of that number, refused.
pub(super) fn refused(times: &[i64], row: usize, fault: impl Into<RowFault>) -> FileFault {
    FileFault::Row { row, ts: times[row], source: fault.into() }
}
