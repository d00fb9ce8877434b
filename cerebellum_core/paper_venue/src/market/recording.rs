//! Recorded frames of public streams, read from files into events in order of time.
//!
//! A file holds one JSON object per line, compressed with gzip when its name ends in `.gz`. A line is a
//! frame as the exchange sent it, or an envelope `{"t","conn","ts","data"}` around one, as
//! recorders write them: `t` is `recv` for frames, `connect` with `addr` for the connection that
//! they came by (only public linear ones count), and `http` with `url` for REST answers, of which
//! `instruments-info` is used.

use super::frames::{self, FrameError};
use super::instrument::{Instrument, InstrumentError};
use super::reported::{Event, Reported};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest silence inside a recording.
const LONGEST_GAP_MS: i64 = 3_600_000;

/// What a recording holds.
#[derive(Debug)]
pub struct Recording {
    /// Filters of its symbols, in order.
    pub instruments: Vec<Instrument>,
    /// Its events.
    pub events: Reported,
}

/// Why frames cannot be replayed. Always fatal: the venue does not open.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The place cannot be looked into.
    #[error("cannot read --frames {place}: {source}")]
    Unreadable {
        /// The file or folder.
        place: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder without frames.
    #[error("--frames {0} has no .jsonl or .jsonl.gz file")]
    NoFile(String),
    /// A file cannot be opened.
    #[error("--frames {file}: {source}")]
    File {
        /// Which.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A line cannot be read.
    #[error("--frames {file}: line {number} {source}")]
    Line {
        /// Of which file.
        file: String,
        /// Its number, from one on.
        number: usize,
        /// Why not.
        source: LineFault,
    },
    /// A symbol that is asked for was not recorded.
    #[error("--frames {place} has no book of --symbols {symbol}")]
    NoBook {
        /// The file or folder.
        place: String,
        /// The symbol.
        symbol: String,
    },
    /// Nothing of use was recorded.
    #[error("--frames {0} has no orderbook frame of a linear symbol")]
    NoFrames(String),
    /// A recorded instrument cannot be read.
    #[error(transparent)]
    Instrument(#[from] InstrumentError),
    /// A frame cannot be read.
    #[error("--frames {place}: {source}")]
    Frame {
        /// The file or folder.
        place: String,
        /// Why not.
        source: FrameError,
    },
    /// Two recordings that are not one.
    #[error(
        "--frames {place} is silent from {from} to {until}: name one file or --symbols of one recording"
    )]
    Silent {
        /// The file or folder.
        place: String,
        /// The last event before.
        from: i64,
        /// The first event after.
        until: i64,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// It cannot be unpacked, or is no text.
    #[error("{0}")]
    Unreadable(std::io::Error),
    /// It is no JSON.
    #[error("is not JSON")]
    Json,
    /// The answer in it is no JSON.
    #[error("holds an answer that is not JSON")]
    Answer,
}

/// What the files hold, before anything is scaled.
#[derive(Default)]
struct Raw {
    frames: Vec<String>,
    rows: BTreeMap<String, Value>,
}

/// Reads a file of frames, or every `.jsonl` and `.jsonl.gz` in a folder.
///
/// # Errors
/// A line that names the file, its line and what is wrong with it.
pub fn load(place: &Path, symbols: &[String]) -> Result<Recording, RecordingError> {
    let shown = || place.display().to_string();
    let mut raw = Raw::default();
    for file in files(place)? {
        read_file(&file, &mut raw)?;
    }
    let found = decimals_seen(&raw.frames);
    let wanted: Vec<&String> =
        if symbols.is_empty() { found.keys().collect() } else { symbols.iter().collect() };
    let mut instruments = Vec::new();
    for symbol in wanted {
        let seen = found
            .get(symbol)
            .ok_or_else(|| RecordingError::NoBook { place: shown(), symbol: symbol.clone() })?;
        instruments.push(match raw.rows.get(symbol) {
            Some(row) => Instrument::from_row(row)?,
            None => Instrument::new(symbol, (seen.0, seen.1, seen.1), seen.2, 1.0),
        });
    }
    if instruments.is_empty() {
        return Err(RecordingError::NoFrames(shown()));
    }
    let mut events: Vec<(i64, Event)> = Vec::new();
    for frame in &raw.frames {
        let event = frames::read(frame, &instruments)
            .map_err(|source| RecordingError::Frame { place: shown(), source })?;
        // Candles are made of the trades, so that both agree.
        events.extend(event.filter(|(_, event)| !matches!(event, Event::Candle(..))));
    }
    events.sort_by_key(|(ts, _)| *ts);
    if let Some(pair) = events.windows(2).find(|pair| pair[1].0 - pair[0].0 > LONGEST_GAP_MS) {
        let (from, until) = (pair[0].0, pair[1].0);
        return Err(RecordingError::Silent { place: shown(), from, until });
    }
    Ok(Recording { instruments, events: Reported::recorded(events) })
}

fn files(place: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let shown = || place.display().to_string();
    let reported = |source| RecordingError::Unreadable { place: shown(), source };
    if place.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place).map_err(reported)? {
        let path = entry.map_err(reported)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.ends_with(".jsonl") || name.ends_with(".jsonl.gz")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(RecordingError::NoFile(shown()));
    }
    Ok(files)
}

fn read_file(path: &Path, raw: &mut Raw) -> Result<(), RecordingError> {
    let shown = || path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|source| RecordingError::File { file: shown(), source })?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut foreign: HashSet<String> = HashSet::new();
    for (index, line) in BufReader::new(reader).lines().enumerate() {
        let taken =
            line.map_err(LineFault::Unreadable).and_then(|line| take_line(line, &mut foreign, raw));
        taken.map_err(|source| RecordingError::Line {
            file: shown(),
            number: index + 1,
            source,
        })?;
    }
    Ok(())
}

/// Takes one line: a frame, or an envelope around one; what came by a foreign connection is left out.
fn take_line(line: String, foreign: &mut HashSet<String>, raw: &mut Raw) -> Result<(), LineFault> {
    if line.trim().is_empty() {
        return Ok(());
    }
    let value: Value = serde_json::from_str(&line).map_err(|_| LineFault::Json)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
    match (text("t"), value.get("topic").is_some()) {
        (_, true) => raw.frames.push(line),
        ("connect", _) if !text("addr").ends_with("/v5/public/linear") => {
            foreign.insert(text("conn").to_owned());
        }
        ("recv", _) if !foreign.contains(text("conn")) => {
            raw.frames.push(text("data").to_owned());
        }
        ("http", _)
            if text("url").contains("instruments-info")
                && text("url").contains("category=linear") =>
        {
            let answer: Value =
                serde_json::from_str(text("data")).map_err(|_| LineFault::Answer)?;
            let rows = answer.pointer("/result/list").and_then(Value::as_array);
            for row in rows.into_iter().flatten() {
                if let Some(symbol) = row.get("symbol").and_then(Value::as_str) {
                    raw.rows.insert(symbol.to_owned(), row.clone());
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Decimals of prices and sizes, and a price, of every symbol with a book.
fn decimals_seen(frames: &[String]) -> BTreeMap<String, (u32, u32, f64)> {
    let mut seen: BTreeMap<String, (u32, u32, f64)> = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.contains("orderbook.")) {
        let Ok(value) = serde_json::from_str::<Value>(frame) else { continue };
        let Some(symbol) = value.pointer("/data/s").and_then(Value::as_str) else { continue };
        let entry = seen.entry(symbol.to_owned()).or_insert((0, 0, 1.0));
        for side in ["/data/b", "/data/a"] {
            for level in value.pointer(side).and_then(Value::as_array).into_iter().flatten() {
                let text = |index: usize| level.get(index).and_then(Value::as_str).unwrap_or("");
                let places = |text: &str| {
                    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
                    u32::try_from(places).unwrap_or(0)
                };
                entry.0 = entry.0.max(places(text(0)));
                entry.1 = entry.1.max(places(text(1)));
                entry.2 = text(0).parse().unwrap_or(entry.2);
            }
        }
    }
    seen
}
