//! A market that others report: recorded frames in order of time, or a stream that goes on.

use super::candle::{Candle, Point};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::Arc;

/// One message of a book stream. Prices in ticks, sizes in steps; size zero deletes a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookFrame {
    /// Index of the symbol.
    pub symbol: usize,
    /// Depth of its stream.
    pub depth: usize,
    /// Whether it replaces the book.
    pub snapshot: bool,
    /// Bids that changed.
    pub bids: Vec<(i64, i64)>,
    /// Asks that changed.
    pub asks: Vec<(i64, i64)>,
    /// `u`: its number in the stream.
    pub update: u64,
    /// Cross sequence.
    pub seq: i64,
    /// When it was sent, in milliseconds.
    pub ts: i64,
    /// When the book was so at the matching engine, in milliseconds.
    pub cts: i64,
    /// The frame as it came.
    pub text: Arc<str>,
}

/// One trade that others made.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// The trade.
    pub point: Point,
    /// Cross sequence.
    pub seq: i64,
    /// Whether it was agreed beside the book.
    pub block: bool,
    /// The row as it came.
    pub row: Arc<Value>,
}

/// One thing that others report.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A book changed.
    Book(Arc<BookFrame>),
    /// Somebody traded: symbol and trades.
    Trades(usize, Vec<Print>),
    /// A candle of one minute: symbol, candle and whether it closed.
    Candle(usize, Candle, bool),
    /// Fields of a symbol's ticker changed.
    Ticker(usize, Map<String, Value>),
    /// What is known of a symbol is no longer current, until its next snapshot.
    Lost(usize),
}

/// The queue of what others reported.
#[derive(Debug, Clone)]
pub struct Reported {
    queue: VecDeque<(i64, Event)>,
    first_ts: i64,
    end_ts: Option<i64>,
}

impl Reported {
    /// A recording: events in order of time.
    #[must_use]
    pub fn recorded(events: Vec<(i64, Event)>) -> Self {
        let first_ts = events.first().map_or(0, |(ts, _)| *ts);
        let end_ts = Some(events.last().map_or(0, |(ts, _)| ts + 1));
        Self { queue: events.into(), first_ts, end_ts }
    }

    /// A stream that begins now and has no end.
    #[must_use]
    pub const fn streamed(now: i64) -> Self {
        Self { queue: VecDeque::new(), first_ts: now, end_ts: None }
    }

    /// When it begins.
    #[must_use]
    pub const fn first_ts(&self) -> i64 {
        self.first_ts
    }

    /// First millisecond at which there is nothing any more; `None` for a stream.
    #[must_use]
    pub const fn end_ts(&self) -> Option<i64> {
        self.end_ts
    }

    /// Whether it is a stream, whose candles are reported, too.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.end_ts.is_none()
    }

    /// Appends what was just reported.
    pub fn push(&mut self, ts: i64, event: Event) {
        self.queue.push_back((ts, event));
    }

    /// When the next event is.
    #[must_use]
    pub fn next_ts(&self) -> Option<i64> {
        self.queue.front().map(|(ts, _)| *ts)
    }

    /// The next event.
    pub fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front().map(|(_, event)| event)
    }
}
