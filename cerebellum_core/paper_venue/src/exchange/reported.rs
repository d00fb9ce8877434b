//! A market that others report: their books, trades, candles and tickers as they come.

use super::{Exchange, Notice};
use crate::book::MarketBook;
use crate::market::candle::{Candle, MINUTE_MS};
use crate::market::reported::{BookFrame, Event, Print};
use protocol::bybit::decimals;
use protocol::bybit::enums::Side;
use serde_json::{Map, Value};
use std::sync::Arc;

impl Exchange {
    /// Appends what was just reported; it counts from the next advance on.
    pub fn receive_event(&mut self, ts: i64, event: Event) {
        if let Some(reported) = self.market.reported_events_mut() {
            reported.push(ts, event);
        }
    }

    /// Lets time run to `to` and takes in everything that was reported until then.
    pub(super) fn advance_reported(&mut self, to: i64) {
        while !self.timeline.ended && self.timeline.now <= to {
            let boundary = self.timeline.minute_ts + MINUTE_MS;
            let next = self.market.reported_events().and_then(|reported| reported.next_ts());
            match next.filter(|ts| *ts <= to && *ts < boundary) {
                Some(ts) => {
                    self.timeline.now = self.timeline.now.max(ts);
                    let event =
                        self.market.reported_events_mut().and_then(|reported| reported.pop());
                    if let Some(event) = event {
                        self.receive(event);
                    }
                }
                None if self.market.end_ts().is_some_and(|end| next.is_none() && to >= end) => {
                    self.timeline.now =
                        self.timeline.now.max(self.market.end_ts().unwrap_or(self.timeline.now));
                    self.timeline.ended = true;
                    self.changes.notices.push(Notice::Ended);
                }
                None if boundary <= to => {
                    self.timeline.now = boundary;
                    self.turn_minute();
                    self.timeline.minute_ts = boundary;
                }
                None => {
                    self.timeline.now = self.timeline.now.max(to);
                    return;
                }
            }
        }
    }

    fn receive(&mut self, event: Event) {
        match event {
            Event::Book(frame) => self.receive_book(frame),
            Event::Trades(symbol, prints) => {
                for print in prints {
                    self.receive_print(symbol, print);
                }
            }
            Event::Candle(symbol, candle, confirm) => self.receive_candle(symbol, candle, confirm),
            Event::Ticker(symbol, row) => self.receive_ticker(symbol, row),
            Event::Lost(symbol) => {
                self.states[symbol].halted = true;
                tracing::warn!(symbol = self.instruments()[symbol].symbol, "the market is lost");
            }
        }
        self.settle();
    }

    fn receive_book(&mut self, frame: Arc<BookFrame>) {
        let state = &mut self.states[frame.symbol];
        let MarketBook::Reported(ladder) = &mut state.book else { return };
        if state.halted && !frame.snapshot {
            return;
        }
        ladder.apply(frame.snapshot, &frame.bids, &frame.asks);
        state.halted = state.halted && !frame.snapshot;
        state.seq = state.seq.max(frame.seq);
        if state.last == 0 {
            state.last = state.book.best(Side::Buy).max(1);
        }
        let symbol = frame.symbol;
        self.changes.notices.push(Notice::Book(frame));
        self.cross_resting(symbol);
    }

    fn receive_print(&mut self, symbol: usize, print: Print) {
        let state = &mut self.states[symbol];
        let (point, seq) = (print.point, print.seq);
        state.seq = state.seq.max(seq);
        if print.block {
            self.changes.notices.push(Notice::Trade {
                symbol,
                point,
                rising: None,
                seq,
                row: Some(print.row),
            });
            return;
        }
        let open_ts = self.timeline.minute_ts;
        let streamed = self.market.reported_events().is_some_and(|reported| reported.is_streamed());
        if !streamed {
            match &mut state.forming {
                Some(candle) => candle.take(point.price, point.qty),
                None => {
                    let mut candle = Candle::at(open_ts, point.price);
                    candle.take(point.price, point.qty);
                    state.forming = Some(candle);
                }
            }
        }
        state.last = point.price;
        state.remember(point, seq, Some(Arc::clone(&print.row)));
        self.changes.notices.push(Notice::Trade {
            symbol,
            point,
            rising: None,
            seq,
            row: Some(print.row),
        });
        self.meet_resting(symbol, &point);
        self.wake(symbol);
    }

    /// A candle of the stream: the one that is being made, or one that closed.
    fn receive_candle(&mut self, symbol: usize, candle: Candle, confirm: bool) {
        let newest = self.market.history(symbol).last().map_or(i64::MIN, |last| last.open_ts);
        if candle.open_ts <= newest {
            return;
        }
        let state = &mut self.states[symbol];
        if !confirm {
            state.forming = Some(candle);
            return;
        }
        if state.forming.is_some_and(|forming| forming.open_ts <= candle.open_ts) {
            state.forming = None;
        }
        self.market.close(symbol, Some(candle));
        self.timeline.closing.push((symbol, candle));
        self.leave_together();
    }

    /// Publishes closed candles once every symbol's is there, or one is a minute ahead.
    fn leave_together(&mut self) {
        let first =
            self.timeline.closing.iter().map(|(_, candle)| candle.open_ts).min().unwrap_or(0);
        let of_first =
            self.timeline.closing.iter().filter(|(_, candle)| candle.open_ts == first).count();
        let others = of_first < self.timeline.closing.len();
        if of_first == self.states.len() || others {
            let (leaving, staying) = std::mem::take(&mut self.timeline.closing)
                .into_iter()
                .partition(|(_, candle)| candle.open_ts == first);
            self.timeline.closing = staying;
            self.changes.notices.push(Notice::Closed(leaving));
        }
    }

    fn receive_ticker(&mut self, symbol: usize, row: Map<String, Value>) {
        let places = self.instruments()[symbol].price_decimals;
        let state = &mut self.states[symbol];
        state.ticker.extend(row);
        let price = |name: &str| {
            let text = state.ticker.get(name).and_then(Value::as_str)?;
            let price = decimals::parse(text)?.round_dp(places);
            decimals::scale_decimal(price, places).ok().filter(|price| *price > 0)
        };
        let (last, mark, index) = (price("lastPrice"), price("markPrice"), price("indexPrice"));
        (state.mark, state.index) = (mark.or(state.mark), index.or(state.index));
        if state.last == 0 {
            state.last = last.unwrap_or(0);
        }
        state.changed = true;
        self.wake(symbol);
    }

    /// A minute ends: recorded trades make their candle, funding is paid, accounts are checked.
    fn turn_minute(&mut self) {
        let reported = self.market.reported_events();
        let recorded = reported.is_some_and(|reported| !reported.is_streamed());
        // A minute that the recording does not have from its first second is no candle.
        let whole =
            reported.is_some_and(|reported| reported.first_ts() <= self.timeline.minute_ts + 1_000);
        if recorded {
            let mut closed = Vec::new();
            for symbol in 0..self.states.len() {
                let before = self.market.history(symbol).last().map(|last| last.close);
                let forming = self.states[symbol].forming.take();
                let flat = before.map(|close| Candle::at(self.timeline.minute_ts, close));
                if let Some(candle) = forming.or(flat).filter(|_| whole) {
                    self.market.close(symbol, Some(candle));
                    closed.push((symbol, candle));
                }
            }
            if !closed.is_empty() {
                self.changes.notices.push(Notice::Closed(closed));
            }
        }
        self.pay_funding();
        self.liquidate();
    }
}
