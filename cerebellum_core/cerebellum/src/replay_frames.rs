//! Recorded public frames, read offline: what would have been published, and the books at the end.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    time::Instant,
};

use protocol::{
    lines::print_line,
    wire::{field::Symbol, FieldError},
};
use serde_json::{json, Value};

use crate::book::{
    frame_error::FrameError,
    ladder::{Ladder, Level, Scales},
    market_data::{MarketData, Outcome},
};

/// Why frames cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    File {
        /// Which.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is no JSON.
    #[error("{file}: {source}")]
    Line {
        /// Of which file.
        file: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// A frame cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A symbol that is none.
    #[error(transparent)]
    Symbol(#[from] FieldError),
    /// Places that cannot be read.
    #[error("--places {0} is not like BTCUSDT:1:3")]
    Places(String),
    /// Nobody takes what is printed.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// Parses and applies a file of frames several times and prints how long that alone took.
///
/// The file is read before the clock starts, and nothing is written before it stops; each time begins
/// with empty books. One JSON line: `frames` and `levels` (level changes) over all times, `seconds`,
/// and the books as they stand at the end.
///
/// # Errors
/// The file, the place or the frame that cannot be read.
pub fn measure(
    file: &Path,
    places: &[String],
    depth: usize,
    repeat: u32,
) -> Result<(), ReplayError> {
    let symbols = places.iter().map(|text| scales(text)).collect::<Result<Vec<_>, _>>()?;
    let shown = || file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|source| ReplayError::File { file: shown(), source })?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut levels = 0;
    for line in &lines {
        let frame: Value = serde_json::from_str(line)
            .map_err(|source| ReplayError::Line { file: shown(), source })?;
        let side = |name: &str| frame["data"][name].as_array().map_or(0, Vec::len);
        levels += side("b") + side("a");
    }
    let mut data = MarketData::new(symbols.clone(), depth);
    let mut outcomes = 0;
    let start = Instant::now();
    for _ in 0..repeat {
        data = MarketData::new(symbols.clone(), depth);
        for line in &lines {
            outcomes += data.frame(line, 0)?.len();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let times = repeat as usize;
    let books: serde_json::Map<String, Value> =
        data.ladders().map(|(symbol, ladder)| (symbol.as_str().to_owned(), book(ladder))).collect();
    let figures = json!({
        "frames": lines.len() * times,
        "levels": levels * times,
        "outcomes": outcomes,
        "seconds": seconds,
        "books": books,
    });
    print_line(&figures.to_string()).map_err(ReplayError::Output)
}

/// Reads a file of frames and prints messages, faults and the last books as JSON lines.
///
/// # Errors
/// The file or the place that cannot be read.
pub fn run(file: &Path, places: &[String], depth: usize) -> Result<(), ReplayError> {
    let symbols = places.iter().map(|text| scales(text)).collect::<Result<Vec<_>, _>>()?;
    let mut data = MarketData::new(symbols, depth);
    let unreadable = |source| ReplayError::File { file: file.display().to_string(), source };
    let opened = File::open(file).map_err(unreadable)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut write = |line: &Value| writeln!(out, "{line}").map_err(ReplayError::Output);
    let (mut frames, mut faults) = (0_u64, 0_u64);
    for line in BufReader::new(opened).lines() {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        frames += 1;
        let outcomes = match data.frame(&line, 0) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                faults += 1;
                write(&json!({"fault": error.to_string()}))?;
                continue;
            }
        };
        for outcome in outcomes {
            match outcome {
                Outcome::Publish(message) => write(&json!(message))?,
                Outcome::Stale(symbol, why) => {
                    faults += 1;
                    write(&json!({"fault": why, "symbol": symbol}))?;
                }
                _ => {}
            }
        }
    }
    let books: serde_json::Map<String, Value> =
        data.ladders().map(|(symbol, ladder)| (symbol.as_str().to_owned(), book(ladder))).collect();
    write(&json!({"frames": frames, "faults": faults, "books": books}))
}

fn book(ladder: &Ladder) -> Value {
    let row = |level: Level| {
        json!([
            ladder.price(level.price).normalize().to_string(),
            ladder.qty(level.qty).normalize().to_string()
        ])
    };
    let (bids, asks): (Vec<_>, Vec<_>) =
        (ladder.bids().map(row).collect(), ladder.asks().map(row).collect());
    json!({"bids": bids, "asks": asks})
}

fn scales(text: &str) -> Result<(Symbol, Scales), ReplayError> {
    let bad = || ReplayError::Places(text.to_owned());
    let mut parts = text.split(':');
    let (Some(symbol), Some(price), Some(qty), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let places = |text: &str| text.parse::<u32>().ok().filter(|places| *places <= 12);
    let (Some(price), Some(qty)) = (places(price), places(qty)) else { return Err(bad()) };
    Ok((Symbol::new(symbol)?, Scales { price, qty }))
}
