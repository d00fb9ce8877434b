//! The replayed market: recorded one-minute candles from Parquet, one file per symbol.

use super::candle::{Candle, Minute, MINUTE_MS};
use super::candle_file::{self, Columns};
use super::expand::expand;
use super::facts::{on_grid, Facts, Seen};
use super::facts_error::FactsError;
use super::file_error::{refused, FileError, FileFault, RowFault};
use super::funding::{self, Settlement};
use super::instrument::{is_symbol, look_up, power, Instrument};
use protocol::bybit::decimals::spell;
use std::path::Path;

/// How the name of a file of candles ends.
const ENDING: &str = "-1m.parquet";

/// One symbol's recorded candles.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Filters that fit the prices.
    pub instrument: Instrument,
    /// In order of time; minutes may be missing.
    pub candles: Vec<Candle>,
    /// Settlements of funding, oldest first; empty where none is known.
    pub funding: Vec<Settlement>,
}

/// What a replay is read from.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Folder of `SYMBOL-1m.parquet`.
    pub candles: &'a Path,
    /// Folder of `SYMBOL-funding.parquet`; the candles' own when none is named.
    pub funding: Option<&'a Path>,
    /// File of instruments; `instruments.json` beside the candles when none is named.
    pub instruments: Option<&'a Path>,
}

/// Why candles cannot be replayed. Always fatal: the venue does not open.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The folder cannot be looked into.
    #[error("cannot read the candle folder {folder}: {source}")]
    Folder {
        /// Which.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The folder has no candles.
    #[error(
        "no SYMBOL{ENDING} of a symbol in capitals that ends in USDT in {folder} (others: {others}): \
         point --candles at a folder that has one"
    )]
    NoCandles {
        /// Which.
        folder: String,
        /// What it has instead.
        others: String,
    },
    /// The file of instruments.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// A file of candles or of funding.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder of funding is named and has none.
    #[error("--funding {folder} has no SYMBOL-funding.parquet of {symbols}")]
    NoFunding {
        /// Which.
        folder: String,
        /// Of what.
        symbols: String,
    },
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

/// Reads the candles of each symbol, or of every file in the folder when none is named, with funding
/// and filters.
///
/// # Errors
/// A line that names the file or column and what is wrong with it.
pub fn load(places: &Places<'_>, symbols: &[String]) -> Result<Vec<Recording>, ReplayError> {
    let folder = places.candles;
    let (names, left_out) = match symbols {
        [] => symbols_in(folder)?,
        named => (named.to_vec(), Vec::new()),
    };
    if names.is_empty() {
        let others = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
        return Err(ReplayError::NoCandles { folder: folder.display().to_string(), others });
    }
    let facts = Facts::read(places.instruments, folder)?;
    let mut recordings = Vec::with_capacity(names.len());
    for symbol in &names {
        let path = folder.join(format!("{symbol}{ENDING}"));
        let columns = candle_file::read(&path)?;
        let settled = funding::read(places.funding.unwrap_or(folder), symbol)?;
        let funding = settled.unwrap_or_default();
        let recording = build(symbol, &columns, &facts, funding);
        recordings.push(recording.map_err(|fault| fault.of(&path))?);
    }
    if let Some(named) = places.funding.filter(|_| recordings.iter().all(|r| r.funding.is_empty()))
    {
        let folder = named.display().to_string();
        return Err(ReplayError::NoFunding { folder, symbols: names.join(", ") });
    }
    if !left_out.is_empty() {
        tracing::warn!(symbols = left_out.join(", "), "left out: no symbol in capitals with USDT");
    }
    Ok(recordings)
}

/// Symbols with a file in a folder, and names of files that cannot be one here.
fn symbols_in(folder: &Path) -> Result<(Vec<String>, Vec<String>), ReplayError> {
    let reported = |source| ReplayError::Folder { folder: folder.display().to_string(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(reported)? {
        let name = entry.map_err(reported)?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(ENDING).map(str::to_owned));
    }
    names.sort();
    Ok(names.into_iter().partition(|name| is_symbol(name)))
}

/// Reports what a replay does not know, and where it differs from what is usual.
pub fn warn(recordings: &[Recording]) {
    for Recording { instrument, funding, .. } in recordings {
        let symbol = instrument.symbol.as_str();
        if funding.is_empty() {
            tracing::warn!(symbol, "no rates of funding are known: none is charged");
        }
        let known = look_up(symbol).map(|known| spell(1, known.price_decimals));
        let tick = instrument.price(instrument.tick);
        if let Some(usual) = known.filter(|usual| *usual != tick) {
            tracing::warn!(symbol, tick, usual, "the tick is another one than the usual one");
        }
    }
}

/// Candles in scaled integers, with decimals that lose nothing of a price.
fn build(
    symbol: &str,
    columns: &Columns,
    facts: &Facts,
    funding: Vec<Settlement>,
) -> Result<Recording, FileFault> {
    let [opens, highs, lows, closes, volumes] = &columns.values;
    let instrument = facts.fit(symbol, &Seen { prices: [opens, highs, lows, closes], volumes })?;
    let mut candles = Vec::with_capacity(columns.times.len());
    for (row, &ts) in columns.times.iter().enumerate() {
        let refuse = |fault: RowFault| refused(&columns.times, row, fault);
        let price = |column: &[f64]| on_grid(column[row], instrument.price_decimals);
        let prices = [price(opens), price(highs), price(lows), price(closes)];
        let [Some(open), Some(high), Some(low), Some(close)] = prices else {
            return Err(refuse(RowFault::OffTicks));
        };
        let volume = scaled(volumes[row], instrument.volume_decimals)
            .ok_or_else(|| refuse(RowFault::VolumeTooLarge(volumes[row])))?;
        // The recording has no turnover: volume at the mean of the four prices stands in.
        let mean = (i128::from(open) + i128::from(high) + i128::from(low) + i128::from(close)) / 4;
        let turnover = mean * i128::from(volume);
        candles.push(Candle { open_ts: ts, open, high, low, close, volume, turnover });
    }
    Ok(Recording { instrument, candles, funding })
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

    /// Settlements of funding of every symbol, in order.
    #[must_use]
    pub fn funding(&self) -> Vec<Vec<Settlement>> {
        self.recordings.iter().map(|recording| recording.funding.clone()).collect()
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

    /// Where live time begins when none is named: after a third of what every symbol has, three days
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
        let expand = |instrument: &Instrument, candle: Candle| {
            expand(seed, &instrument.symbol, instrument.tick, &candle)
        };
        pairs.map(|(candle, r)| candle.map(|c| expand(&r.instrument, c))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(symbol: &str, prices: [f64; 4], volume: f64) -> Result<Recording, FileFault> {
        let values = [prices[0], prices[1], prices[2], prices[3], volume].map(|value| vec![value]);
        let columns = Columns { times: vec![1_746_372_780_000], values };
        build(symbol, &columns, &Facts::default(), Vec::new())
    }

    #[test]
    fn a_recorded_candle_keeps_every_digit() {
        let prices = [95_505.4, 95_505.5, 95_502.7, 95_502.7];
        let recording = built("BTCUSDT", prices, 16.536).expect("a candle");
        let (instrument, candle) = (&recording.instrument, recording.candles[0]);
        assert_eq!(instrument.price(candle.open), "95505.4");
        assert_eq!(instrument.volume(candle.volume), "16.536");
    }

    #[test]
    fn a_price_of_a_hundred_millionth_keeps_every_digit() {
        let prices = [1.234e-8, 1.235e-8, 1.23e-8, 1.231e-8];
        let recording = built("TINYUSDT", prices, 1e9).expect("a candle");
        assert_eq!(recording.instrument.price(recording.candles[0].high), "0.00000001235");
        assert_eq!(recording.instrument.price(recording.candles[0].close), "0.00000001231");
        assert_eq!(recording.instrument.qty_decimals, 0);
    }
}
