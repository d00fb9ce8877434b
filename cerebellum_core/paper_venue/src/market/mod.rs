//! Where prices come from. Nothing here knows of orders or accounts.

/// Candles and the trades inside one minute.
pub mod candle;
/// Recorded candles as their files have them.
pub mod candle_file;
/// Columns of Parquet files.
pub mod columns;
/// From one candle to the trades inside it.
pub mod expand;
/// The filters of replayed symbols.
pub mod facts;
/// Why those are not known.
pub mod facts_error;
/// Why a recorded file is refused.
pub mod file_error;
/// Public frames, read into events.
pub mod frames;
/// Rates of funding, and where they come from.
pub mod funding;
/// What may be traded, and in which steps.
pub mod instrument;
/// Which times can be those of a recording.
pub mod plausible;
/// Seeded randomness that every machine agrees on.
pub mod random;
/// Recorded frames.
pub mod recording;
/// Recorded candles.
pub mod replay;
/// A market that others report.
pub mod reported;
/// When which rule of the seeded market holds.
pub mod rule_schedule;
/// What those rules say of closed minutes.
pub mod rule_signals;
/// Those rules at work.
pub mod rules;
/// The seeded market.
pub mod simulated;
/// Why a Parquet file does not hold the columns that are read from it.
pub mod table_error;

use candle::{Candle, Minute, MINUTE_MS};
use funding::Funding;
use instrument::Instrument;
use replay::Replay;
use reported::Reported;
use rule_schedule::RuleSet;
use simulated::Simulated;

/// A source of prices.
#[derive(Debug, Clone)]
pub enum Source {
    /// The seeded market; it never ends.
    Simulated(Simulated),
    /// Recorded candles; they end.
    Replay(Replay),
    /// Recorded frames, or the stream of a real market.
    Reported(Reported),
}

/// The market: history up to now, and one minute at a time from there.
#[derive(Debug, Clone)]
pub struct Market {
    source: Source,
    instruments: Vec<Instrument>,
    history: Vec<Vec<Candle>>,
    funding: Funding,
}

impl Market {
    /// A market with nothing in its history yet.
    #[must_use]
    pub fn new(source: Source, instruments: Vec<Instrument>) -> Self {
        let history = vec![Vec::new(); instruments.len()];
        let funding = match &source {
            Source::Simulated(_) => Funding::Made,
            Source::Replay(replay) => Funding::Given(replay.funding()),
            Source::Reported(_) => Funding::Reported,
        };
        Self { source, instruments, history, funding }
    }

    /// The seeded market at its origin.
    #[must_use]
    pub fn simulated(seed: u64, origin: i64, symbols: &[String], rules: RuleSet) -> Self {
        let origin = origin.div_euclid(MINUTE_MS) * MINUTE_MS;
        let source = Source::Simulated(Simulated::new(seed, origin, symbols, rules));
        Self::new(source, simulated::instruments(symbols))
    }

    /// Recorded candles from the first one on.
    #[must_use]
    pub fn replayed(replay: Replay) -> Self {
        let instruments = replay.instruments();
        Self::new(Source::Replay(replay), instruments)
    }

    /// A market that others report, with the candles that closed before it begins.
    #[must_use]
    pub fn reported(
        reported: Reported,
        instruments: Vec<Instrument>,
        history: Vec<Vec<Candle>>,
    ) -> Self {
        Self {
            source: Source::Reported(reported),
            instruments,
            history,
            funding: Funding::Reported,
        }
    }

    /// Where its rates of funding come from.
    #[must_use]
    pub const fn funding(&self) -> &Funding {
        &self.funding
    }

    /// What others reported, when that is where prices come from.
    #[must_use]
    pub const fn reported_events(&self) -> Option<&Reported> {
        match &self.source {
            Source::Reported(reported) => Some(reported),
            _ => None,
        }
    }

    /// The same, to push and pop.
    pub fn reported_events_mut(&mut self) -> Option<&mut Reported> {
        match &mut self.source {
            Source::Reported(reported) => Some(reported),
            _ => None,
        }
    }

    /// What may be traded.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Closed candles of a symbol, oldest first.
    #[must_use]
    pub fn history(&self, symbol: usize) -> &[Candle] {
        self.history.get(symbol).map_or(&[], Vec::as_slice)
    }

    /// Open time of the minute that [`Self::next_minute`] yields.
    #[must_use]
    pub const fn next_ts(&self) -> i64 {
        match &self.source {
            Source::Simulated(source) => source.next_ts(),
            Source::Replay(source) => source.next_ts(),
            Source::Reported(source) => source.first_ts(),
        }
    }

    /// First millisecond at which there is no market any more.
    #[must_use]
    pub const fn end_ts(&self) -> Option<i64> {
        match &self.source {
            Source::Simulated(_) => None,
            Source::Replay(source) => Some(source.end_ts()),
            Source::Reported(source) => source.end_ts(),
        }
    }

    /// Moves everything that closes at or before `ts` into the history.
    pub fn skip_to(&mut self, ts: i64) {
        if self.reported_events().is_some() {
            return;
        }
        while self.next_ts() + MINUTE_MS <= ts
            && self.end_ts().is_none_or(|end| self.next_ts() < end)
        {
            let row: Vec<Option<Candle>> = match &mut self.source {
                Source::Simulated(source) => {
                    source.next_minute().into_iter().map(|minute| Some(minute.candle)).collect()
                }
                Source::Replay(source) => source.next_candles(),
                Source::Reported(_) => return,
            };
            for (symbol, candle) in row.into_iter().enumerate() {
                self.close(symbol, candle);
            }
        }
    }

    /// The next minute of every symbol; all `None` after the end.
    pub fn next_minute(&mut self) -> Vec<Option<Minute>> {
        match &mut self.source {
            Source::Simulated(source) => source.next_minute().into_iter().map(Some).collect(),
            Source::Replay(source) => source.next_minute(),
            Source::Reported(_) => vec![None; self.instruments.len()],
        }
    }

    /// Appends a closed candle to the history.
    pub fn close(&mut self, symbol: usize, candle: Option<Candle>) {
        if let (Some(history), Some(candle)) = (self.history.get_mut(symbol), candle) {
            history.push(candle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_and_live_minutes_come_from_one_path() {
        let symbols = ["BTCUSDT".to_owned(), "ETHUSDT".to_owned()];
        let mut early = Market::simulated(5, 0, &symbols, RuleSet::Learnable);
        let mut late = Market::simulated(5, 0, &symbols, RuleSet::Learnable);
        late.skip_to(600 * MINUTE_MS);
        for minute in 0..600 {
            for (symbol, path) in early.next_minute().into_iter().enumerate() {
                let candle = path.map(|path| path.candle);
                assert_eq!(candle, late.history(symbol).get(minute).copied());
            }
        }
        assert_eq!(early.next_minute(), late.next_minute());
    }
}
