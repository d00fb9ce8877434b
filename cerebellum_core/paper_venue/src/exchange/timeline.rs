//! Where the exchange stands in market time.

use crate::market::candle::{Candle, Minute};

/// The minute under way, and how far each symbol's path through it has been walked.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    /// Market time, ms.
    pub now: i64,
    /// When the minute under way began, ms.
    pub minute_ts: i64,
    /// The paths of the minute, by symbol.
    pub minute: Vec<Option<Minute>>,
    /// The next point of each path.
    pub cursors: Vec<usize>,
    /// Whether the recording is over.
    pub ended: bool,
    /// Candles that wait for those of the other symbols.
    pub closing: Vec<(usize, Candle)>,
}

impl Timeline {
    /// The first minute of so many symbols, nothing of it loaded yet.
    pub(super) fn at(minute_ts: i64, symbols: usize) -> Self {
        Self {
            now: minute_ts,
            minute_ts,
            minute: Vec::new(),
            cursors: vec![0; symbols],
            ended: false,
            closing: Vec::new(),
        }
    }
}
