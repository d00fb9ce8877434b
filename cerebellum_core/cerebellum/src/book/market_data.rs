//! Everything public of all symbols: frames in, messages and hints out.

use std::collections::BTreeMap;

use protocol::wire::{
    field::{Finite, Side, Symbol, V1},
    market::{Book, Candle, Market, Stale, Top, Trade},
    DecimalText,
};
use rust_decimal::Decimal;

use super::{
    candles::{CandleSequence, CandleStep, MINUTE_MS},
    features::{SecondClock, SecondFeatures},
    frame_error::FrameError,
    ladder::{Ladder, Scales},
    levels::Levels,
    public_frames::{BookFrame, CandleRow, CandlesFrame, Head, TradesFrame},
};
use crate::execution::model::market::{believe, Quote};

/// How a book's frame begins as the venue writes it; another order of its keys is read, too.
const BOOK_FRAME: &str = "{\"topic\":\"orderbook.";
/// How long a snapshot that was asked for is awaited at first, ms.
const PATIENCE_MS: i64 = 5_000;
/// How long at most.
const MOST_PATIENCE_MS: i64 = 60_000;
/// How many levels a side the live book holds.
pub const DEPTH: usize = 50;

/// What a frame leads to.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Outcomes live until the frame is done.
pub enum Outcome {
    /// Publish to the arena.
    Publish(Market),
    /// Publish the best levels, to whoever wants them.
    Levels(Levels),
    /// The best prices changed.
    Quote(Symbol, Quote, u64),
    /// The book cannot be trusted.
    Stale(Symbol, String),
    /// Market time passed without a change of the best prices.
    Time(u64),
    /// Subscribe to the book again: a new snapshot is needed.
    Resubscribe(Symbol),
    /// Ask for candles, first and last `open_ts`.
    AskCandles(Symbol, u64, u64),
    /// The server answered an operation.
    Answer {
        /// Which one.
        op: String,
        /// Whether it succeeded.
        success: bool,
        /// What was reported.
        text: String,
    },
}

/// The public state of all symbols.
#[derive(Debug)]
pub struct MarketData {
    symbols: BTreeMap<Symbol, SymbolData>,
    market_ms: u64,
}

#[derive(Debug)]
struct SymbolData {
    ladder: Ladder,
    clock: SecondClock,
    candles: CandleSequence,
    quote: Option<Quote>,
    stale: bool,
    top_second: Option<u64>,
    last_update_wall: i64,
    /// When a snapshot was asked for, and how long it is awaited, wall ms.
    asked: Option<(i64, i64)>,
}

impl SymbolData {
    /// Whether a snapshot is to be asked for now; an answer that stays away is awaited ever longer.
    fn ask(&mut self, wall_ms: i64) -> bool {
        let patience = match self.asked {
            None => PATIENCE_MS,
            Some((at, patience)) if wall_ms - at >= patience => {
                (2 * patience).min(MOST_PATIENCE_MS)
            }
            Some(_) => return false,
        };
        self.asked = Some((wall_ms, patience));
        true
    }
}

impl MarketData {
    /// Empty books of symbols with their places and with so many levels a side.
    #[must_use]
    pub fn new(symbols: impl IntoIterator<Item = (Symbol, Scales)>, depth: usize) -> Self {
        let symbols = symbols
            .into_iter()
            .map(|(symbol, scales)| {
                let data = SymbolData {
                    ladder: Ladder::new(scales, depth),
                    clock: SecondClock::default(),
                    candles: CandleSequence::default(),
                    quote: None,
                    stale: true,
                    top_second: None,
                    last_update_wall: 0,
                    asked: None,
                };
                (symbol, data)
            })
            .collect();
        Self { symbols, market_ms: 0 }
    }

    /// Every symbol's book.
    pub fn ladders(&self) -> impl Iterator<Item = (&Symbol, &Ladder)> {
        self.symbols.iter().map(|(symbol, data)| (symbol, &data.ladder))
    }

    /// The latest market time, ms.
    #[must_use]
    pub fn market_ms(&self) -> u64 {
        self.market_ms
    }

    /// Whether every book is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.symbols.values().all(|data| !data.stale)
    }

    /// Takes one frame.
    ///
    /// # Errors
    /// What cannot be read, with the frame's beginning; the frame is dropped.
    pub fn frame(&mut self, text: &str, wall_ms: i64) -> Result<Vec<Outcome>, FrameError> {
        let unreadable = |error: serde_json::Error| {
            let start = text.chars().take(120).collect();
            FrameError::Json { error: error.to_string(), start }
        };
        // Nearly every frame is a book's, so it is read once, without a look at its head first.
        if text.starts_with(BOOK_FRAME) {
            if let Ok(frame) = serde_json::from_str::<BookFrame<'_>>(text) {
                believe(frame.ts, "ts of a book")?;
                let name = frame.topic.and_then(|topic| topic.rsplit_once('.'));
                return Ok(match name.map(|(_, name)| Symbol::new(name)) {
                    Some(Ok(symbol)) => self.book(&symbol, &frame, wall_ms),
                    _ => Vec::new(),
                });
            }
        }
        let head: Head<'_> = serde_json::from_str(text).map_err(unreadable)?;
        let Some(topic) = head.topic else {
            return Ok(vec![Outcome::Answer {
                op: head.op.unwrap_or_default().to_owned(),
                success: head.success.unwrap_or(true),
                text: head.ret_msg.unwrap_or_default(),
            }]);
        };
        let Some((kind, name)) = topic.rsplit_once('.') else { return Ok(Vec::new()) };
        let Ok(symbol) = Symbol::new(name) else { return Ok(Vec::new()) };
        if !self.symbols.contains_key(&symbol) {
            return Ok(Vec::new());
        }
        if kind.starts_with("orderbook.") {
            let frame: BookFrame<'_> = serde_json::from_str(text).map_err(unreadable)?;
            believe(frame.ts, "ts of a book")?;
            Ok(self.book(&symbol, &frame, wall_ms))
        } else if kind == "publicTrade" {
            let frame: TradesFrame<'_> = serde_json::from_str(text).map_err(unreadable)?;
            self.trades(&symbol, &frame)
        } else if kind == "kline.1" {
            let frame: CandlesFrame = serde_json::from_str(text).map_err(unreadable)?;
            self.candles(&symbol, &frame)
        } else {
            Ok(Vec::new())
        }
    }

    /// All books are lost: the connection broke.
    pub fn disconnected(&mut self, why: &str) -> Vec<Outcome> {
        self.symbols.values_mut().for_each(|data| data.asked = None);
        let symbols: Vec<Symbol> = self.symbols.keys().cloned().collect();
        symbols.iter().flat_map(|symbol| self.distrust(symbol, why)).collect()
    }

    /// All books were subscribed to: their snapshots are awaited.
    pub fn subscribed(&mut self, wall_ms: i64) {
        self.symbols.values_mut().for_each(|data| data.asked = Some((wall_ms, PATIENCE_MS)));
    }

    /// Marks books that had no update for too long (wall ms), asks again for snapshots that did not
    /// come, and notices missing candles.
    pub fn watch(&mut self, wall_ms: i64, stale_after_ms: i64) -> Vec<Outcome> {
        let market_ms = self.market_ms;
        let mut out = Vec::new();
        let quiet: Vec<Symbol> = self
            .symbols
            .iter()
            .filter(|(_, data)| !data.stale && wall_ms - data.last_update_wall > stale_after_ms)
            .map(|(symbol, _)| symbol.clone())
            .collect();
        for symbol in quiet {
            out.extend(self.distrust(&symbol, &format!("no update for {stale_after_ms} ms")));
            if self.symbols.get_mut(&symbol).is_some_and(|data| data.ask(wall_ms)) {
                out.push(Outcome::Resubscribe(symbol));
            }
        }
        for (symbol, data) in &mut self.symbols {
            if data.stale && data.asked.is_some() && data.ask(wall_ms) {
                out.push(Outcome::Resubscribe(symbol.clone()));
            }
        }
        // A stream that lost a candle may still be alive; give it five market seconds.
        for (symbol, data) in &mut self.symbols {
            let step = data.candles.overdue(market_ms.saturating_sub(5_000));
            out.extend(follow(symbol, data, step));
        }
        out
    }

    /// Takes candles that were asked for.
    pub fn candles_answered(
        &mut self,
        symbol: &Symbol,
        candles: Vec<Candle>,
        asked: (u64, u64),
        reached: bool,
    ) -> Vec<Outcome> {
        let Some(data) = self.symbols.get_mut(symbol) else { return Vec::new() };
        let step = data.candles.answered(candles, asked, reached);
        follow(symbol, data, step)
    }

    /// Candles up to this one were closed before we listened.
    pub fn begin_candles_after(&mut self, symbol: &Symbol, open_ts: u64) {
        if let Some(data) = self.symbols.get_mut(symbol) {
            data.candles.begin_after(open_ts);
        }
    }

    fn distrust(&mut self, symbol: &Symbol, why: &str) -> Vec<Outcome> {
        let market_ms = self.market_ms;
        let Some(data) = self.symbols.get_mut(symbol) else { return Vec::new() };
        data.ladder.clear();
        data.clock.stale();
        data.quote = None;
        if std::mem::replace(&mut data.stale, true) {
            return Vec::new();
        }
        let stale = Stale {
            v: V1,
            ts: market_ms,
            symbol: symbol.clone(),
            stale: true,
            reason: why.to_owned(),
        };
        vec![Outcome::Stale(symbol.clone(), why.to_owned()), Outcome::Publish(Market::Stale(stale))]
    }

    fn book(&mut self, symbol: &Symbol, frame: &BookFrame<'_>, wall_ms: i64) -> Vec<Outcome> {
        let ts = frame.ts;
        self.market_ms = self.market_ms.max(ts);
        let Some(data) = self.symbols.get_mut(symbol) else { return Vec::new() };
        let snapshot = frame.kind == "snapshot";
        if !snapshot && data.stale {
            // Deltas between a fault and the snapshot that was asked for.
            return Vec::new();
        }
        let applied = data.ladder.apply(
            snapshot,
            frame.data.u,
            frame.data.b.iter().copied(),
            frame.data.a.iter().copied(),
        );
        if let Err(fault) = applied {
            let asks = data.ask(wall_ms);
            let mut out = self.distrust(symbol, &fault.to_string());
            if asks {
                out.push(Outcome::Resubscribe(symbol.clone()));
            }
            return out;
        }
        data.last_update_wall = wall_ms;
        if snapshot {
            data.asked = None;
        }
        let mut out = Vec::new();
        let was_stale = std::mem::replace(&mut data.stale, false);
        for second in data.clock.update(ts, &data.ladder) {
            out.push(book_message(symbol, &data.ladder, &second));
        }
        if was_stale {
            let reason = if snapshot { "snapshot" } else { "recovered" }.to_owned();
            let (symbol, stale) = (symbol.clone(), false);
            out.push(Outcome::Publish(Market::Stale(Stale { v: V1, ts, symbol, stale, reason })));
        }
        best_prices(symbol, data, ts, &mut out);
        out
    }

    fn trades(
        &mut self,
        symbol: &Symbol,
        frame: &TradesFrame<'_>,
    ) -> Result<Vec<Outcome>, FrameError> {
        let mut out = Vec::with_capacity(frame.data.len());
        for row in &frame.data {
            let side = match row.side {
                "Buy" => Side::Buy,
                "Sell" => Side::Sell,
                other => {
                    let side = other.to_owned();
                    return Err(FrameError::Side { symbol: symbol.clone(), side });
                }
            };
            out.push(Outcome::Publish(Market::Trade(Trade {
                v: V1,
                ts: believe(row.at, "T of a trade")?,
                symbol: symbol.clone(),
                side,
                price: row.price.parse()?,
                qty: row.qty.parse()?,
                trade_id: row.id.clone(),
            })));
        }
        Ok(out)
    }

    fn candles(
        &mut self,
        symbol: &Symbol,
        frame: &CandlesFrame,
    ) -> Result<Vec<Outcome>, FrameError> {
        let mut out = Vec::new();
        for row in frame.data.iter().filter(|row| row.confirm) {
            let candle = candle_of(symbol, row)?;
            self.market_ms = self.market_ms.max(candle.close_ts);
            out.push(Outcome::Time(candle.close_ts));
            let Some(data) = self.symbols.get_mut(symbol) else { continue };
            // The minute's last second is reported before the minute.
            for second in data.clock.advance(candle.close_ts) {
                out.push(book_message(symbol, &data.ladder, &second));
            }
            let step = data.candles.confirmed(candle);
            out.extend(follow(symbol, data, step));
        }
        Ok(out)
    }
}

/// What an updated book tells of its best prices: a quote where they changed, and once a second the top
/// of the book and its best levels, both of the same moment.
fn best_prices(symbol: &Symbol, data: &mut SymbolData, ts: u64, out: &mut Vec<Outcome>) {
    let (Some(bid), Some(ask)) = (data.ladder.best_bid(), data.ladder.best_ask()) else {
        // One side is empty: nothing is known about a price.
        out.push(Outcome::Stale(symbol.clone(), "one side is empty".to_owned()));
        data.quote = None;
        return;
    };
    let quote = Quote { bid: data.ladder.price(bid.price), ask: data.ladder.price(ask.price) };
    if data.quote.as_ref() == Some(&quote) {
        out.push(Outcome::Time(ts));
    } else {
        data.quote = Some(quote.clone());
        out.push(Outcome::Quote(symbol.clone(), quote.clone(), ts));
    }
    if data.top_second != Some(ts / 1000) {
        data.top_second = Some(ts / 1000);
        out.push(Outcome::Publish(Market::Top(Top {
            v: V1,
            ts,
            symbol: symbol.clone(),
            bid: quote.bid.into(),
            bid_qty: data.ladder.qty(bid.qty).into(),
            ask: quote.ask.into(),
            ask_qty: data.ladder.qty(ask.qty).into(),
        })));
        out.extend(Levels::of(symbol, &data.ladder, ts).map(Outcome::Levels));
    }
}

fn follow(symbol: &Symbol, _data: &SymbolData, step: CandleStep) -> Vec<Outcome> {
    let mut out: Vec<Outcome> =
        step.publish.into_iter().map(|candle| Outcome::Publish(Market::Candle(candle))).collect();
    if let Some((first, last)) = step.ask {
        out.push(Outcome::AskCandles(symbol.clone(), first, last));
    }
    out
}

/// A closed candle of the stream.
///
/// # Errors
/// The number that cannot be read.
pub fn candle_of(symbol: &Symbol, row: &CandleRow) -> Result<Candle, FrameError> {
    let close_ts = believe(row.start.saturating_add(MINUTE_MS), "end of a candle")?;
    Ok(Candle {
        v: V1,
        ts: close_ts,
        symbol: symbol.clone(),
        open_ts: row.start,
        close_ts,
        open: row.open.parse()?,
        high: row.high.parse()?,
        low: row.low.parse()?,
        close: row.close.parse()?,
        volume: row.volume.parse()?,
        turnover: row.turnover.parse()?,
    })
}

fn book_message(symbol: &Symbol, ladder: &Ladder, second: &SecondFeatures) -> Outcome {
    let (bid, ask) = (ladder.price(second.best.0), ladder.price(second.best.1));
    let number = |pick: fn(&super::features::Statistics) -> f64| {
        second.statistics.as_ref().and_then(|statistics| Finite::new(pick(statistics)))
    };
    Outcome::Publish(Market::Book(Book {
        v: V1,
        ts: second.second_ts + 1_000,
        symbol: symbol.clone(),
        second_ts: second.second_ts,
        mid: DecimalText::from((bid + ask) / Decimal::TWO),
        spread: DecimalText::from(ask - bid),
        skew: number(|s| s.skew),
        ofi: number(|s| s.ofi),
        depth: number(|s| s.depth),
        microprice_offset: number(|s| s.microprice_offset),
        updates: second.updates,
    }))
}

#[cfg(test)]
#[path = "market_data_tests.rs"]
mod tests;
