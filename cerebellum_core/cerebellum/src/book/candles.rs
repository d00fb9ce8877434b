//! Closed candles in order, without holes: a missing one is asked for, never invented.

use std::collections::BTreeMap;

use protocol::wire::market::Candle;

/// A minute, in market ms.
pub const MINUTE_MS: u64 = 60_000;

/// What to do after a candle or an answer came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CandleStep {
    /// To be published, in order.
    pub publish: Vec<Candle>,
    /// First and last `open_ts` of candles to be asked for.
    pub ask: Option<(u64, u64)>,
}

/// The candles of one symbol.
#[derive(Clone, Debug, Default)]
pub struct CandleSequence {
    last_open: Option<u64>,
    waiting: BTreeMap<u64, Candle>,
    asking: bool,
    refused_up_to: u64,
}

impl CandleSequence {
    /// Begins after a candle that was closed before we listened.
    pub fn begin_after(&mut self, open_ts: u64) {
        self.last_open = Some(self.last_open.unwrap_or(0).max(open_ts));
    }

    /// Takes a confirmed candle of the stream.
    pub fn confirmed(&mut self, candle: Candle) -> CandleStep {
        if self.last_open.is_some_and(|last| candle.open_ts <= last) {
            return CandleStep::default();
        }
        self.waiting.insert(candle.open_ts, candle);
        self.flow()
    }

    /// Takes the answer to an ask; candles that the venue does not have stay missing.
    pub fn answered(
        &mut self,
        candles: Vec<Candle>,
        asked: (u64, u64),
        reached: bool,
    ) -> CandleStep {
        self.asking = false;
        for candle in candles {
            if self.last_open.is_none_or(|last| candle.open_ts > last) {
                self.waiting.entry(candle.open_ts).or_insert(candle);
            }
        }
        if reached {
            self.refused_up_to = self.refused_up_to.max(asked.1);
        }
        self.flow()
    }

    /// Asks whether a closed candle might have been missed, as of a market time.
    pub fn overdue(&mut self, market_ms: u64) -> CandleStep {
        let Some(last) = self.last_open else { return CandleStep::default() };
        let newest_closed = (market_ms / MINUTE_MS).saturating_sub(1) * MINUTE_MS;
        if self.asking || !self.waiting.is_empty() || newest_closed <= last {
            return CandleStep::default();
        }
        self.asking = true;
        CandleStep { publish: Vec::new(), ask: Some((last + MINUTE_MS, newest_closed)) }
    }

    fn flow(&mut self) -> CandleStep {
        let mut step = CandleStep::default();
        while let Some((&open_ts, _)) = self.waiting.first_key_value() {
            let due = self.last_open.map_or(open_ts, |last| last + MINUTE_MS);
            if open_ts > due && open_ts - MINUTE_MS > self.refused_up_to {
                if !self.asking {
                    self.asking = true;
                    step.ask = Some((due, open_ts - MINUTE_MS));
                }
                break;
            }
            if let Some((_, candle)) = self.waiting.pop_first() {
                self.last_open = Some(open_ts);
                step.publish.push(candle);
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use protocol::wire::field::{Symbol, V1};

    use super::*;

    fn candle(minute: u64) -> Candle {
        let one = || "1".parse().unwrap();
        Candle {
            v: V1,
            ts: (minute + 1) * MINUTE_MS,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            open_ts: minute * MINUTE_MS,
            close_ts: (minute + 1) * MINUTE_MS,
            open: one(),
            high: one(),
            low: one(),
            close: one(),
            volume: one(),
            turnover: one(),
        }
    }

    fn minutes(step: &CandleStep) -> Vec<u64> {
        step.publish.iter().map(|candle| candle.open_ts / MINUTE_MS).collect()
    }

    #[test]
    fn a_missed_candle_is_fetched_and_published_before_the_next() {
        let mut sequence = CandleSequence::default();
        assert_eq!(minutes(&sequence.confirmed(candle(1))), [1]);
        let step = sequence.confirmed(candle(4));
        assert_eq!((minutes(&step), step.ask), (vec![], Some((2 * MINUTE_MS, 3 * MINUTE_MS))));
        assert_eq!(minutes(&sequence.confirmed(candle(5))), Vec::<u64>::new());
        let step =
            sequence.answered(vec![candle(3), candle(2)], (2 * MINUTE_MS, 3 * MINUTE_MS), true);
        assert_eq!(minutes(&step), [2, 3, 4, 5]);
    }

    #[test]
    fn a_candle_that_the_venue_lacks_is_not_invented() {
        let mut sequence = CandleSequence::default();
        sequence.confirmed(candle(1));
        sequence.confirmed(candle(4));
        let asked = (2 * MINUTE_MS, 3 * MINUTE_MS);
        assert_eq!(minutes(&sequence.answered(vec![candle(2)], asked, true)), [2, 4]);
    }

    #[test]
    fn an_ask_that_failed_is_repeated_and_old_candles_are_dropped() {
        let mut sequence = CandleSequence::default();
        sequence.confirmed(candle(1));
        sequence.confirmed(candle(3));
        let asked = (2 * MINUTE_MS, 2 * MINUTE_MS);
        let step = sequence.answered(Vec::new(), asked, false);
        assert_eq!(step.ask, Some(asked));
        sequence.answered(vec![candle(2)], asked, true);
        assert_eq!(minutes(&sequence.confirmed(candle(2))), Vec::<u64>::new());
        assert_eq!(minutes(&sequence.confirmed(candle(3))), Vec::<u64>::new());
    }

    #[test]
    fn a_silent_stream_is_noticed_by_the_clock() {
        let mut sequence = CandleSequence::default();
        sequence.confirmed(candle(1));
        assert_eq!(sequence.overdue(3 * MINUTE_MS - 1).ask, None);
        assert_eq!(sequence.overdue(3 * MINUTE_MS).ask, Some((2 * MINUTE_MS, 2 * MINUTE_MS)));
        assert_eq!(sequence.overdue(3 * MINUTE_MS).ask, None, "one ask at a time");
    }
}
