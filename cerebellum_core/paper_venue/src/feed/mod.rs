//! What happened, as frames for those who listen.

/// Order-book streams.
pub mod books;
/// Candles as they travel.
pub mod candles;
/// Who listens to what.
pub mod hub;
/// Tickers.
pub mod tickers;

use crate::exchange::order::Execution;
use crate::exchange::{Exchange, Notice};
use crate::market::candle::Candle;
use crate::market::reported::BookFrame;
use crate::random_generator::RandomGenerator;
use books::{View, KEPT};
use candles::Interval;
use hub::Hub;
use serde::Serialize;
use serde_json::{json, Map, Value};
use tickers::Day;

/// Depths of order-book streams.
pub const DEPTHS: [usize; 4] = [1, 50, 200, 1_000];

/// What was last shown of one symbol.
#[derive(Debug, Default)]
struct Shown {
    view: View,
    deep: bool,
    day: Day,
    ticker: Map<String, Value>,
    candle: Option<Candle>,
    candle_ts: i64,
    /// By how much `u` runs behind that of those who report the book.
    shift: i64,
}

/// The feed: remembers what was shown, so that it can show what changed.
#[derive(Debug)]
pub struct Feed {
    shown: Vec<Shown>,
    message: u64,
    /// Least market time between two updates of a candle that is being made.
    candle_gap_ms: i64,
    /// Books whose updates get left out on demand.
    gaps: Vec<(usize, RandomGenerator)>,
}

impl Feed {
    /// A feed for so many symbols at a market speed.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(symbols: usize, speed: f64) -> Self {
        let shown = std::iter::repeat_with(Shown::default).take(symbols).collect();
        // At most four updates a wall second, at least one a market second.
        Self {
            shown,
            message: 0,
            candle_gap_ms: (speed * 250.0).max(1_000.0) as i64,
            gaps: Vec::new(),
        }
    }

    /// The book as it stands, shown to those who listen first.
    pub fn book(&mut self, exchange: &mut Exchange, hub: &mut Hub, symbol: usize) -> View {
        self.show_book(exchange, hub, symbol);
        self.shown.get(symbol).map(|shown| shown.view.clone()).unwrap_or_default()
    }

    /// Leaves out update numbers of a symbol's book whenever the random generator strikes.
    pub fn skip_updates(&mut self, symbol: usize, chance: RandomGenerator) {
        self.gaps.retain(|(other, _)| *other != symbol);
        self.gaps.push((symbol, chance));
    }

    /// Leaves out nothing any more.
    pub fn skip_nothing(&mut self) {
        self.gaps.clear();
    }

    /// Begins a symbol's book streams again: a snapshot under update number one.
    pub fn restart_book(&mut self, exchange: &mut Exchange, hub: &mut Hub, symbol: usize) {
        let Some(shown) = self.shown.get_mut(symbol) else { return };
        exchange.take_changed(symbol);
        if exchange.state(symbol).is_some_and(|state| state.book.is_reported()) {
            shown.shift += i64::try_from(shown.view.update).unwrap_or(0) - 1;
            shown.view.update = 1;
        } else {
            shown.view.update = 0;
            shown.view = shown.view.next(exchange, symbol, if shown.deep { 1_000 } else { KEPT });
        }
        let instrument = &exchange.instruments()[symbol];
        for depth in DEPTHS {
            let topic = format!("orderbook.{depth}.{}", instrument.symbol);
            if hub.wanted(&topic) {
                hub.publish(&topic, shown.view.snapshot(instrument, depth));
            }
        }
    }

    /// A symbol's ticker as it stands.
    pub fn ticker(&mut self, exchange: &Exchange, symbol: usize) -> Map<String, Value> {
        let Some(shown) = self.shown.get_mut(symbol) else { return Map::new() };
        shown.day.refresh(exchange, symbol);
        shown.day.row(exchange, symbol)
    }

    /// The first frame of a public topic, for a new listener.
    pub fn first_frame(
        &mut self,
        exchange: &mut Exchange,
        hub: &mut Hub,
        topic: &Topic,
    ) -> Option<String> {
        let instrument = exchange.instruments().get(topic.symbol())?.clone();
        match topic {
            Topic::Book(depth, symbol) => {
                let shown = self.shown.get_mut(*symbol)?;
                if *depth > KEPT && !shown.deep {
                    shown.deep = true;
                    exchange.mark_changed(*symbol);
                }
                let view = self.book(exchange, hub, *symbol);
                Some(view.snapshot(&instrument, *depth))
            }
            Topic::Ticker(symbol) => {
                // Those who listen already get their delta first.
                let topic = format!("tickers.{}", instrument.symbol);
                self.show_ticker(exchange, hub, *symbol, &topic);
                let row = self.ticker(exchange, *symbol);
                let seq = exchange.state(*symbol).map_or(0, |state| state.seq);
                let frame = ticker_frame(&instrument.symbol, "snapshot", &row, seq, exchange.now());
                self.shown.get_mut(*symbol)?.ticker = row;
                Some(frame)
            }
            Topic::Candle(symbol, interval) => {
                let forming = newest(exchange, *symbol, interval)?;
                Some(candles::frame(&instrument, interval, &forming, false, exchange.now()))
            }
            Topic::Trade(_) => None,
        }
    }

    /// Sends everybody what happened since the last time.
    pub fn flush(&mut self, exchange: &mut Exchange, hub: &mut Hub) {
        let mut trades: Vec<Vec<Value>> = vec![Vec::new(); self.shown.len()];
        let mut notices = exchange.drain().into_iter().peekable();
        while let Some(notice) = notices.next() {
            match notice {
                Notice::Trade { symbol, point, rising, seq, row } => {
                    trades[symbol].push(match row {
                        Some(row) => row.as_ref().clone(),
                        None => trade_row(exchange, symbol, &point, rising, seq),
                    });
                }
                Notice::Book(frame) => {
                    // Trades leave before the book that they made.
                    show_trades(exchange, hub, &mut trades);
                    self.show_frame(exchange, hub, &frame);
                }
                Notice::Closed(closed) => {
                    // A minute's trades leave before the candle that they made.
                    show_trades(exchange, hub, &mut trades);
                    self.show_closed(exchange, hub, &closed);
                }
                Notice::Execution(account, execution) => {
                    let mut executions = vec![execution];
                    while let Some(Notice::Execution(_, execution)) = notices.next_if(
                        |next| matches!(next, Notice::Execution(other, _) if *other == account),
                    ) {
                        executions.push(execution);
                    }
                    self.show_executions(exchange, hub, account, &executions);
                }
                Notice::Order(account, order) => {
                    let mut rows = vec![exchange.order_row(&order, true)];
                    while let Some(Notice::Order(_, order)) = notices.next_if(
                        |next| matches!(next, Notice::Order(other, _) if *other == account),
                    ) {
                        rows.push(exchange.order_row(&order, true));
                    }
                    self.whisper(exchange, hub, account, "order", &rows);
                }
                Notice::Position(account, symbol) => {
                    let rows = [exchange.position_row(account, symbol, true)];
                    self.whisper(exchange, hub, account, "position", &rows);
                }
                Notice::Wallet(account) => {
                    let rows = [exchange.wallet_row(account)];
                    self.whisper(exchange, hub, account, "wallet", &rows);
                }
                Notice::Ended => {
                    tracing::info!(
                        market_ts = exchange.now(),
                        "the recording is over, the market stands still"
                    );
                }
            }
        }
        show_trades(exchange, hub, &mut trades);
        for symbol in 0..self.shown.len() {
            self.show_symbol(exchange, hub, symbol);
        }
    }

    /// A symbol as it stands after everything that happened.
    fn show_symbol(&mut self, exchange: &mut Exchange, hub: &mut Hub, symbol: usize) {
        let name = exchange.instruments()[symbol].symbol.clone();
        if DEPTHS.iter().any(|depth| hub.wanted(&format!("orderbook.{depth}.{name}"))) {
            self.show_book(exchange, hub, symbol);
        }
        self.show_candle(exchange, hub, symbol);
        self.show_ticker(exchange, hub, symbol, &format!("tickers.{name}"));
    }

    /// An account's executions that came at once, in the usual stream and in the fast one.
    fn show_executions(
        &mut self,
        exchange: &Exchange,
        hub: &mut Hub,
        account: usize,
        executions: &[Box<Execution>],
    ) {
        let rows: Vec<_> =
            executions.iter().map(|execution| exchange.execution_row(execution, true)).collect();
        self.whisper(exchange, hub, account, "execution", &rows);
        let fast: Vec<Value> =
            executions.iter().filter_map(|execution| fast_row(exchange, execution)).collect();
        if !fast.is_empty() && hub.listens(account, "execution.fast") {
            self.whisper(exchange, hub, account, "execution.fast", &fast);
        }
    }

    fn whisper<T: Serialize>(
        &mut self,
        exchange: &Exchange,
        hub: &mut Hub,
        account: usize,
        topic: &str,
        rows: &[T],
    ) {
        self.message += 1;
        let frame = json!({
            "id": format!("m{}", self.message),
            "topic": topic,
            "creationTime": exchange.now(),
            "data": rows,
        });
        hub.whisper(account, topic, &frame.to_string());
    }

    fn show_closed(&mut self, exchange: &Exchange, hub: &mut Hub, closed: &[(usize, Candle)]) {
        for text in Interval::ALL {
            let Some(interval) = Interval::read(text) else { continue };
            for (symbol, minute) in closed {
                let instrument = &exchange.instruments()[*symbol];
                let topic = format!("kline.{text}.{}", instrument.symbol);
                let end = minute.open_ts + crate::market::candle::MINUTE_MS;
                if !hub.wanted(&topic) || interval.close_of(minute.open_ts) != end {
                    continue;
                }
                let window = (Some(interval.open_of(minute.open_ts)), Some(minute.open_ts));
                let candle = match text {
                    "1" => Some(*minute),
                    _ => candles::select(exchange, *symbol, interval, window, 1).pop(),
                };
                if let Some(candle) = candle {
                    hub.publish(&topic, candles::frame(instrument, text, &candle, true, end));
                }
            }
        }
    }

    fn show_candle(&mut self, exchange: &Exchange, hub: &mut Hub, symbol: usize) {
        let now = exchange.now();
        let Some(shown) = self.shown.get_mut(symbol) else { return };
        let Some(forming) = exchange.state(symbol).and_then(|state| state.forming) else { return };
        if shown.candle == Some(forming) || now - shown.candle_ts < self.candle_gap_ms {
            return;
        }
        (shown.candle, shown.candle_ts) = (Some(forming), now);
        let instrument = &exchange.instruments()[symbol];
        for text in Interval::ALL {
            let topic = format!("kline.{text}.{}", instrument.symbol);
            if let Some(candle) =
                hub.wanted(&topic).then(|| newest(exchange, symbol, text)).flatten()
            {
                hub.publish(&topic, candles::frame(instrument, text, &candle, false, now));
            }
        }
    }

    fn show_ticker(&mut self, exchange: &Exchange, hub: &mut Hub, symbol: usize, topic: &str) {
        if !hub.wanted(topic) {
            return;
        }
        let row = self.ticker(exchange, symbol);
        let Some(shown) = self.shown.get_mut(symbol) else { return };
        let mut changed: Map<String, Value> = row
            .iter()
            .filter(|(name, value)| shown.ticker.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if changed.is_empty() {
            return;
        }
        let name = row.get("symbol").cloned().unwrap_or(Value::Null);
        let text = name.as_str().unwrap_or("").to_owned();
        changed.insert("symbol".to_owned(), name);
        shown.ticker = row;
        let seq = exchange.state(symbol).map_or(0, |state| state.seq);
        hub.publish(topic, ticker_frame(&text, "delta", &changed, seq, exchange.now()));
    }

    /// Shows a book frame that others reported: as it came in the stream of its depth, cut to size in
    /// the others.
    fn show_frame(&mut self, exchange: &Exchange, hub: &mut Hub, frame: &BookFrame) {
        let Some(shown) = self.shown.get_mut(frame.symbol) else { return };
        let update = u64::try_from(i64::try_from(frame.update).unwrap_or(0) - shown.shift);
        let view = shown.view.reported(frame, update.unwrap_or(1));
        let skipped =
            self.gaps.iter_mut().any(|(other, chance)| *other == frame.symbol && chance.strikes());
        let instrument = &exchange.instruments()[frame.symbol];
        for depth in DEPTHS.into_iter().filter(|_| !skipped) {
            let topic = format!("orderbook.{depth}.{}", instrument.symbol);
            if hub.wanted(&topic) {
                hub.publish(
                    &topic,
                    if depth == frame.depth && shown.shift == 0 {
                        frame.text.to_string()
                    } else if frame.snapshot || depth == 1 {
                        view.snapshot(instrument, depth)
                    } else {
                        view.delta(&shown.view, instrument, depth)
                    },
                );
            }
        }
        shown.view = view;
    }

    fn show_book(&mut self, exchange: &mut Exchange, hub: &mut Hub, symbol: usize) {
        let reported = exchange.state(symbol).is_some_and(|state| state.book.is_reported());
        if reported || !exchange.take_changed(symbol) {
            return;
        }
        let Some(shown) = self.shown.get_mut(symbol) else { return };
        if self.gaps.iter_mut().any(|(other, chance)| *other == symbol && chance.strikes()) {
            shown.view.update += 1;
        }
        let kept = if shown.deep { 1_000 } else { KEPT };
        let view = shown.view.next(exchange, symbol, kept);
        let instrument = &exchange.instruments()[symbol];
        for depth in DEPTHS {
            let topic = format!("orderbook.{depth}.{}", instrument.symbol);
            if hub.wanted(&topic) {
                let frame = if depth == 1 {
                    view.snapshot(instrument, 1)
                } else {
                    view.delta(&shown.view, instrument, depth)
                };
                hub.publish(&topic, frame);
            }
        }
        shown.view = view;
    }
}

/// The candle of an interval that is being made.
fn newest(exchange: &Exchange, symbol: usize, text: &str) -> Option<Candle> {
    let forming = exchange.state(symbol)?.forming?;
    if text == "1" {
        return Some(forming);
    }
    let interval = Interval::read(text)?;
    let window = (Some(interval.open_of(forming.open_ts)), Some(exchange.now()));
    candles::select(exchange, symbol, interval, window, 1).pop()
}

fn ticker_frame(symbol: &str, kind: &str, row: &Map<String, Value>, seq: i64, now: i64) -> String {
    json!({"topic": format!("tickers.{symbol}"), "type": kind, "data": row, "cs": seq, "ts": now})
        .to_string()
}

/// A fill as the fast stream has it, without the client's id of a maker; `None` for funding.
fn fast_row(exchange: &Exchange, execution: &Execution) -> Option<Value> {
    let order = execution.order.as_ref()?;
    let instrument = &exchange.instruments()[execution.symbol];
    Some(json!({
        "category": "linear",
        "symbol": instrument.symbol,
        "execId": execution.id,
        "execPrice": instrument.price(execution.price),
        "execQty": instrument.qty(execution.qty),
        "orderId": order.id,
        "isMaker": execution.is_maker,
        "orderLinkId": if execution.is_maker { "" } else { order.link_id.as_str() },
        "side": execution.side.as_str(),
        "execTime": execution.ts.to_string(),
        "seq": execution.seq,
    }))
}

/// Publishes trades, one frame per symbol.
fn show_trades(exchange: &Exchange, hub: &mut Hub, trades: &mut [Vec<Value>]) {
    for (instrument, rows) in exchange.instruments().iter().zip(trades) {
        let rows = std::mem::take(rows);
        let topic = format!("publicTrade.{}", instrument.symbol);
        if !rows.is_empty() && hub.wanted(&topic) {
            let frame =
                json!({"topic": topic, "type": "snapshot", "ts": exchange.now(), "data": rows});
            hub.publish(&topic, frame.to_string());
        }
    }
}

fn trade_row(
    exchange: &Exchange,
    symbol: usize,
    point: &crate::market::candle::Point,
    rising: Option<bool>,
    seq: i64,
) -> Value {
    let instrument = &exchange.instruments()[symbol];
    json!({
        "T": point.ts,
        "s": instrument.symbol,
        "S": point.side.as_str(),
        "v": instrument.volume(point.qty),
        "p": instrument.price(point.price),
        "L": match rising { Some(true) => "PlusTick", Some(false) => "MinusTick", None => "ZeroPlusTick" },
        "i": trade_id(&instrument.symbol, seq),
        "BT": false,
        "RPI": false,
        "seq": seq,
    })
}

/// The id of a market trade.
#[must_use]
pub fn trade_id(symbol: &str, seq: i64) -> String {
    format!("{symbol}-{seq}")
}

/// A public topic that exists here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Order book: depth and symbol.
    Book(usize, usize),
    /// Trades of a symbol.
    Trade(usize),
    /// Candles of a symbol: the interval as the exchange spells it.
    Candle(usize, &'static str),
    /// Ticker of a symbol.
    Ticker(usize),
}

impl Topic {
    /// Reads a topic; `None` when it does not exist here.
    #[must_use]
    pub fn read(exchange: &Exchange, text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            ["orderbook", depth, symbol] => {
                let depth = depth.parse().ok().filter(|depth| DEPTHS.contains(depth))?;
                Some(Self::Book(depth, exchange.symbol(symbol)?))
            }
            ["publicTrade", symbol] => Some(Self::Trade(exchange.symbol(symbol)?)),
            ["kline", interval, symbol] => {
                let interval = Interval::ALL.into_iter().find(|known| known == interval)?;
                Some(Self::Candle(exchange.symbol(symbol)?, interval))
            }
            ["tickers", symbol] => Some(Self::Ticker(exchange.symbol(symbol)?)),
            _ => None,
        }
    }

    /// Index of its symbol.
    #[must_use]
    pub const fn symbol(&self) -> usize {
        match self {
            Self::Book(_, symbol)
            | Self::Trade(symbol)
            | Self::Candle(symbol, _)
            | Self::Ticker(symbol) => *symbol,
        }
    }
}
