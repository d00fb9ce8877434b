//! Why the filters of a replayed symbol are not known. Always fatal: the venue does not open.

use super::instrument::InstrumentError;
use rust_decimal::Decimal;
use serde_json::Value;

/// A file of instruments that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("instruments {file}: {source}")]
pub struct FactsError {
    /// Which.
    pub file: String,
    /// Why.
    pub source: FactsFault,
}

/// What is wrong with a file of instruments.
#[derive(Debug, thiserror::Error)]
pub enum FactsFault {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(std::io::Error),
    /// It is no JSON.
    #[error("is not JSON: {0}")]
    Json(serde_json::Error),
    /// It is something else than instruments.
    #[error("is not an object of instruments by symbol")]
    Shape,
    /// A row of the exchange.
    #[error(transparent)]
    Row(#[from] InstrumentError),
    /// An instrument that somebody wrote down.
    #[error("{symbol} {source}")]
    Written {
        /// Which.
        symbol: String,
        /// What is wrong with it.
        source: WrittenError,
    },
}

/// What is wrong with an instrument that somebody wrote down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrittenError {
    /// It is something else than fields.
    #[error("is not an object")]
    Shape,
    /// It has a field that nothing reads.
    #[error("has {name}; it takes {known}")]
    Unknown {
        /// The field.
        name: String,
        /// Those that are read.
        known: String,
    },
    /// A field that it needs.
    #[error("lacks {0}")]
    Lacks(&'static str),
    /// A field without a number.
    #[error("has {name} {value}, not a number")]
    NotANumber {
        /// The field.
        name: &'static str,
        /// Its value.
        value: Value,
    },
    /// A tick or a step that no market has.
    #[error("has {name} {number}, not above 0 with at most {most} decimals")]
    Grid {
        /// The field.
        name: &'static str,
        /// Its value.
        number: Decimal,
        /// The most decimals.
        most: u32,
    },
    /// A smallest quantity between two steps.
    #[error("has min_qty {0}, no multiple of its qty_step")]
    OffStep(Decimal),
}

/// Why no filters fit what was recorded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// A price is not on the grid that somebody wrote down.
    #[error("row {row}: {name} is not a multiple of the tick {tick} that {file} gives: {price}")]
    OffTicks {
        /// The row's number.
        row: usize,
        /// The column.
        name: &'static str,
        /// The tick.
        tick: String,
        /// Where it is written.
        file: String,
        /// The price.
        price: f64,
    },
    /// What was recorded leaves a doubt.
    #[error(
        "{doubt}, so the {symbol} instrument cannot be told from its candles; write \
         {{\"{symbol}\": {{\"tick_size\": \"...\", \"qty_step\": \"...\"}}}} into {beside} beside them, \
         or name such a file with --instruments"
    )]
    Unsure {
        /// Which.
        doubt: Doubt,
        /// The symbol.
        symbol: String,
        /// The file that settles it.
        beside: &'static str,
    },
}

/// Why ticks or steps do not follow from what was recorded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// A price with more digits than a float holds.
    #[error("row {row}: {name} is finer than any tick: {price}")]
    FinerThanTicks {
        /// The row's number.
        row: usize,
        /// The column.
        name: &'static str,
        /// The price.
        price: f64,
    },
    /// A price with more decimals than nearly all of the others.
    #[error(
        "row {row}: {name} has {finest} decimals where nearly all prices have {usual}: {price}"
    )]
    RareDecimals {
        /// The row's number.
        row: usize,
        /// The column.
        name: &'static str,
        /// Its decimals.
        finest: usize,
        /// Those of the others.
        usual: usize,
        /// The price.
        price: f64,
    },
    /// Prices of too few decimals to be recorded in full.
    #[error("no price has more than {places} decimals, a tick of {tick} at a price of {lowest}")]
    CoarseTick {
        /// Their decimals.
        places: u32,
        /// The tick that follows.
        tick: String,
        /// The lowest price.
        lowest: f64,
    },
    /// A volume with more digits than a size has.
    #[error("row {row}: volume is finer than any step: {volume}")]
    FinerThanSteps {
        /// The row's number.
        row: usize,
        /// The volume.
        volume: f64,
    },
    /// Volumes of too few decimals to be recorded in full.
    #[error("no volume has more than {steps} decimals, a step worth {worth}")]
    DearStep {
        /// Their decimals.
        steps: u32,
        /// What the step that follows is worth.
        worth: f64,
    },
}
