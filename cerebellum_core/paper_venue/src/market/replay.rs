//! The replayed market: recorded one-minute candles from Parquet, one file per symbol.

use super::candle::{Candle, Minute, MINUTE_MS};
use super::expand::expand;
use super::instrument::{is_symbol, look_up, power, Instrument};
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use std::path::Path;

/// Most decimals that a recorded price may have.
const PRICE_DECIMALS: u32 = 10;
/// Most decimals that a recorded volume may have.
const VOLUME_DECIMALS: u32 = 8;

/// One symbol's recorded candles.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Filters that fit the prices.
    pub instrument: Instrument,
    /// In order of time; minutes may be missing.
    pub candles: Vec<Candle>,
}

/// The replayed market; yields one minute of every symbol at a time.
#[derive(Debug, Clone)]
pub struct Replay {
    seed: u64,
    recordings: Vec<Recording>,
    cursors: Vec<usize>,
    next_ts: i64,
    end_ts: i64,
}

/// Reads `SYMBOL-1m.parquet` for each symbol, or for every file in the folder when none is named.
///
/// # Errors
/// A line that names the file or column and what is wrong with it.
pub fn load(folder: &Path, symbols: &[String]) -> Result<Vec<Recording>, String> {
    let mut names = symbols.to_vec();
    if names.is_empty() {
        let entries = std::fs::read_dir(folder).map_err(|error| {
            format!("cannot read the candle folder {}: {error}", folder.display())
        })?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(symbol) = name.strip_suffix("-1m.parquet").filter(|name| is_symbol(name)) {
                names.push(symbol.to_owned());
            }
        }
        names.sort();
    }
    if names.is_empty() {
        return Err(format!(
            "no SYMBOL-1m.parquet in {}: point --candles at a folder that has one",
            folder.display()
        ));
    }
    names.iter().map(|symbol| read(&folder.join(format!("{symbol}-1m.parquet")), symbol)).collect()
}

fn read(path: &Path, symbol: &str) -> Result<Recording, String> {
    let told = |what: String| format!("{}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|error| told(error.to_string()))?;
    let reader = SerializedFileReader::new(file).map_err(|error| told(error.to_string()))?;
    let mut times = Vec::new();
    let mut columns: [Vec<f64>; 5] = Default::default();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let index = |name: &str, kind: Type| {
        (0..schema.num_columns())
            .find(|column| schema.column(*column).name() == name)
            .filter(|column| schema.column(*column).physical_type() == kind)
            .ok_or_else(|| told(format!("needs a column {name} of type {kind}")))
    };
    let time_column = index("ts", Type::INT64)?;
    let mut value_columns = [0; 5];
    for (column, name) in value_columns.iter_mut().zip(["open", "high", "low", "close", "volume"]) {
        *column = index(name, Type::DOUBLE)?;
    }
    for group in 0..reader.num_row_groups() {
        let rows = reader.get_row_group(group).map_err(|error| told(error.to_string()))?;
        if let ColumnReader::Int64ColumnReader(values) =
            open(rows.as_ref(), time_column).map_err(told)?
        {
            times.extend(drain(values).map_err(told)?);
        }
        for (column, into) in value_columns.iter().zip(&mut columns) {
            if let ColumnReader::DoubleColumnReader(values) =
                open(rows.as_ref(), *column).map_err(told)?
            {
                into.extend(drain(values).map_err(told)?);
            }
        }
    }
    build(symbol, &times, &columns).map_err(told)
}

fn open(rows: &dyn RowGroupReader, column: usize) -> Result<ColumnReader, String> {
    rows.get_column_reader(column).map_err(|error| error.to_string())
}

fn drain<T: DataType>(mut reader: ColumnReaderImpl<T>) -> Result<Vec<T::T>, String> {
    let (mut all, mut definitions) = (Vec::new(), Vec::new());
    loop {
        let (records, _, _) = reader
            .read_records(65_536, Some(&mut definitions), None, &mut all)
            .map_err(|error| error.to_string())?;
        if records == 0 {
            return Ok(all);
        }
    }
}

/// Candles in scaled integers from columns of floats, with decimals that lose nothing.
fn build(symbol: &str, times: &[i64], columns: &[Vec<f64>; 5]) -> Result<Recording, String> {
    let [opens, highs, lows, closes, volumes] = columns;
    if times.is_empty() {
        return Err("has no candle".to_owned());
    }
    if columns.iter().any(|column| column.len() != times.len()) {
        return Err("has missing values; remove those rows first".to_owned());
    }
    let known = look_up(symbol);
    let prices = || opens.iter().chain(highs).chain(lows).chain(closes);
    let least_price = known.map_or(0, |known| known.price_decimals);
    let price_decimals = decimals_of(prices(), PRICE_DECIMALS).max(least_price);
    let reference = opens.first().copied().unwrap_or(1.0);
    let qty_decimals =
        known.map_or_else(|| quantity_decimals(reference), |known| known.qty_decimals);
    let largest = volumes.iter().copied().fold(0.0, f64::max);
    let mut volume_decimals = decimals_of(volumes.iter(), VOLUME_DECIMALS).max(qty_decimals);
    while volume_decimals > qty_decimals && largest * power(volume_decimals) > 4e15 {
        volume_decimals -= 1;
    }
    let mut candles = Vec::with_capacity(times.len());
    let mut previous = i64::MIN;
    for row in 0..times.len() {
        let ts = times[row];
        let at = |what: &str| format!("row {row} (ts {ts}) {what}");
        if ts % MINUTE_MS != 0 || ts <= previous {
            return Err(at("is not a later, whole minute than the row before"));
        }
        previous = ts;
        let price = |value: f64| scaled(value, price_decimals).filter(|ticks| *ticks > 0);
        let prices = [opens[row], highs[row], lows[row], closes[row]].map(price);
        let [Some(open), Some(high), Some(low), Some(close)] = prices else {
            return Err(at("has a price that is not a positive number"));
        };
        if high < open.max(close) || low > open.min(close) {
            return Err(at("has a high or low inside its open and close"));
        }
        let Some(volume) = scaled(volumes[row], volume_decimals).filter(|units| *units >= 0) else {
            return Err(at("has a volume that is not a number of at least zero"));
        };
        // The recording has no turnover: volume at the mean of the four prices stands in.
        let mean = (i128::from(open) + i128::from(high) + i128::from(low) + i128::from(close)) / 4;
        let turnover = mean * i128::from(volume);
        candles.push(Candle { open_ts: ts, open, high, low, close, volume, turnover });
    }
    let early = volumes.len().min(1_440);
    #[allow(clippy::cast_precision_loss)]
    let usual = volumes[..early].iter().sum::<f64>() / early as f64;
    let decimals = (price_decimals, qty_decimals, volume_decimals);
    Ok(Recording { instrument: Instrument::new(symbol, decimals, reference, usual), candles })
}

/// Decimals of the most precise number, as its shortest spelling has them.
fn decimals_of<'a>(values: impl Iterator<Item = &'a f64>, most: u32) -> u32 {
    let mut decimals = 0;
    for value in values {
        let text = value.to_string();
        let places = text.split_once('.').map_or(0, |(_, places)| places.len());
        decimals = decimals.max(u32::try_from(places).unwrap_or(most));
        if decimals >= most {
            return most;
        }
    }
    decimals
}

/// A step worth somewhere between ten cents and ten dollars, for most prices.
fn quantity_decimals(price: f64) -> u32 {
    let digits = format!("{:.0}", price.trunc()).len();
    u32::try_from(digits.saturating_sub(1).min(3)).unwrap_or(0)
}

#[allow(clippy::cast_possible_truncation)] // Checked against 2^53 first.
fn scaled(value: f64, decimals: u32) -> Option<i64> {
    let scaled = (value * power(decimals)).round();
    (scaled.is_finite() && scaled.abs() < 9.0e15).then_some(scaled as i64)
}

impl Replay {
    /// The market from the first recorded candle on.
    #[must_use]
    pub fn new(seed: u64, recordings: Vec<Recording>) -> Self {
        let first = recordings.iter().filter_map(|r| r.candles.first()).map(|c| c.open_ts).min();
        let last = recordings.iter().filter_map(|r| r.candles.last()).map(|c| c.open_ts).max();
        let next_ts = first.unwrap_or(0);
        let end_ts = last.map_or(next_ts, |last| last + MINUTE_MS);
        Self { seed, cursors: vec![0; recordings.len()], recordings, next_ts, end_ts }
    }

    /// Filters of every symbol, in order.
    #[must_use]
    pub fn instruments(&self) -> Vec<Instrument> {
        self.recordings.iter().map(|recording| recording.instrument.clone()).collect()
    }

    /// Open time of the minute that comes next.
    #[must_use]
    pub const fn next_ts(&self) -> i64 {
        self.next_ts
    }

    /// First millisecond after the last recorded candle.
    #[must_use]
    pub const fn end_ts(&self) -> i64 {
        self.end_ts
    }

    /// Where live time begins when nobody says: after a third of what every symbol has, three days
    /// at most.
    #[must_use]
    pub fn usual_start(&self) -> i64 {
        let firsts = self.recordings.iter().filter_map(|r| r.candles.first()).map(|c| c.open_ts);
        let first = firsts.max().unwrap_or(0);
        let span = (self.end_ts - first) / 3;
        (first + span.clamp(0, 3 * 86_400_000)).div_euclid(MINUTE_MS) * MINUTE_MS
    }

    /// The next candle of every symbol without its path; `None` where the recording has a hole.
    pub fn next_candles(&mut self) -> Vec<Option<Candle>> {
        let ts = self.next_ts;
        self.next_ts += MINUTE_MS;
        let mut row = Vec::with_capacity(self.recordings.len());
        for (recording, cursor) in self.recordings.iter().zip(&mut self.cursors) {
            let candle = recording.candles.get(*cursor).filter(|candle| candle.open_ts == ts);
            if candle.is_some() {
                *cursor += 1;
            }
            row.push(candle.copied());
        }
        row
    }

    /// The next minute of every symbol; `None` where the recording has a hole.
    pub fn next_minute(&mut self) -> Vec<Option<Minute>> {
        let candles = self.next_candles();
        let (seed, recordings) = (self.seed, &self.recordings);
        let pairs = candles.into_iter().zip(recordings);
        pairs.map(|(candle, r)| candle.map(|c| expand(seed, &r.instrument.symbol, &c))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(volume: f64) -> [Vec<f64>; 5] {
        [vec![95_505.4], vec![95_505.5], vec![95_502.7], vec![95_502.7], vec![volume]]
    }

    #[test]
    fn a_recorded_candle_keeps_every_digit() {
        let recording = build("BTCUSDT", &[1_746_372_780_000], &columns(16.536)).expect("a candle");
        let (instrument, candle) = (&recording.instrument, recording.candles[0]);
        assert_eq!(instrument.price(candle.open), "95505.4");
        assert_eq!(instrument.volume(candle.volume), "16.536");
    }

    #[test]
    fn an_unknown_cheap_coin_gets_a_tick_as_fine_as_its_prices() {
        let cheap = [
            vec![0.000_012_34],
            vec![0.000_012_35],
            vec![0.000_012_3],
            vec![0.000_012_3],
            vec![1e9],
        ];
        let recording = build("PEPEUSDT", &[60_000], &cheap).expect("a candle");
        assert_eq!(recording.instrument.price(recording.candles[0].high), "0.00001235");
        assert_eq!(recording.instrument.qty_decimals, 0);
    }

    #[test]
    fn a_row_that_is_not_a_candle_is_refused_by_name() {
        let broken = build("BTCUSDT", &[61_000], &columns(1.0)).expect_err("not a minute");
        assert!(broken.contains("row 0") && broken.contains("61000"), "{broken}");
        let negative = build("BTCUSDT", &[60_000], &columns(-1.0)).expect_err("negative");
        assert!(negative.contains("volume"), "{negative}");
        let nan = build("BTCUSDT", &[60_000], &columns(f64::NAN)).expect_err("not a number");
        assert!(nan.contains("volume"), "{nan}");
    }
}
