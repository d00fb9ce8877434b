//! Why a Parquet file does not hold the columns that are read from it.

use parquet::errors::ParquetError;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be opened.
    #[error("cannot be read as {what} with columns {columns}: {reason}")]
    Unreadable {
        /// What it should hold.
        what: String,
        /// In which columns.
        columns: String,
        /// Why it does not.
        reason: String,
    },
    /// It is a folder or a device.
    #[error("is no file")]
    NoFile,
    /// It is longer than any recording.
    #[error("{0} rows are more than there are minutes in a century")]
    TooManyRows(i64),
    /// Its pages are packed in a way that is not read here.
    #[error("its compression is {0}; write it with zstd, snappy, gzip or none")]
    Compression(String),
    /// The library that decodes a page gave up.
    #[error("cannot be read as Parquet: a page is broken")]
    BrokenPage,
    /// A page that holds no values.
    #[error("a page is broken: {0}")]
    Page(ParquetError),
    /// A column.
    #[error("column '{name}' {source}")]
    Column {
        /// Which.
        name: String,
        /// What is wrong with it.
        source: ColumnError,
    },
    /// A row without a value.
    #[error("row {row}: {name} is missing; leave such rows out")]
    NoValue {
        /// Its number.
        row: usize,
        /// The column.
        name: String,
    },
    /// An instant between two milliseconds.
    #[error("row {row}: {name} is no whole millisecond: {value} {unit} since 1970")]
    NoMillisecond {
        /// The row's number.
        row: usize,
        /// The column.
        name: String,
        /// The instant.
        value: i64,
        /// The unit in which it is stored.
        unit: &'static str,
    },
    /// A whole number beyond those that a float holds exactly.
    #[error("row {row}: {name} is too large to be held exactly: {value}; at most 2^53")]
    TooLarge {
        /// The row's number.
        row: usize,
        /// The column.
        name: String,
        /// The number.
        value: i128,
    },
}

impl TableError {
    /// What is wrong with the column of that name.
    pub(super) fn column(name: &str, source: ColumnError) -> Self {
        Self::Column { name: name.to_owned(), source }
    }
}

/// What is wrong with a column.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// There is none of its name.
    #[error("is missing; columns: {0}")]
    Missing(String),
    /// It has no leaf.
    #[error("holds nothing")]
    Empty,
    /// There are several of its name.
    #[error("is there {0} times; keep one of them")]
    Repeated(usize),
    /// It cannot be read.
    #[error("is broken: {0}")]
    Broken(ParquetError),
    /// Its values have parts.
    #[error("holds lists or structures, not {0}")]
    Nested(&'static str),
    /// It is stored as something else than instants are.
    #[error("holds no times; write epoch milliseconds as int64")]
    NoTimes,
    /// It holds something else than instants.
    #[error("holds {0}, not times; write epoch milliseconds as int64")]
    NotTimes(String),
    /// It holds instants of an unknown time zone.
    #[error("holds times without a time zone; write them in UTC, or as int64 milliseconds")]
    NoZone,
    /// It is stored as something else than numbers are.
    #[error("holds no numbers; write float64")]
    NoNumbers,
    /// It holds something else than numbers.
    #[error("holds {0}, not numbers; write float64")]
    NotNumbers(String),
    /// It holds numbers that were cut short.
    #[error("holds {0}, which has lost digits; write float64 from the source")]
    LostDigits(&'static str),
}
