//! The exchange itself: accounts, orders and matching, as a function of market time.
//!
//! Pure: no sockets, no wall clock, no files. Time comes in through [`Exchange::advance`], orders
//! through [`Exchange::create`] and its siblings, and what happened leaves through
//! [`Exchange::drain`]. The same seed, orders and market instants give the same fills, byte for
//! byte.

/// One account.
pub mod account;
/// Time, candles and funding.
pub mod advance;
/// Create, amend and cancel, with their checks.
pub mod entry;
/// Exits that the venue places for positions.
pub mod exits;
/// What an account could lose, and if it can afford an order.
mod margin;
/// Fills and the queue.
mod matching;
/// One order.
pub mod order;
/// One position.
pub mod position;
/// Orders as requests describe them.
mod reading;
/// A market that others report.
mod reported;
/// What orders ask for, read from JSON.
pub mod request;
/// Rows as they travel.
pub mod rows;
/// Conditional orders, take-profit and stop-loss.
mod triggers;

use crate::book::ladder::Ladder;
use crate::book::MarketBook;
use crate::market::candle::{Candle, Minute, Point, MINUTE_MS};
use crate::market::instrument::Instrument;
use crate::market::random::hash;
use crate::market::reported::BookFrame;
use crate::market::Market;
use account::{Account, Opening};
use order::{Execution, Order};
use protocol::bybit::enums::Side;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Fee of a taker, as a share of the value.
pub const TAKER_FEE: Decimal = Decimal::from_parts(55, 0, 0, false, 5);
/// Fee of a maker.
pub const MAKER_FEE: Decimal = Decimal::from_parts(2, 0, 0, false, 4);

/// Something that happened, for whoever listens.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Somebody traded.
    Trade {
        /// Index of the symbol.
        symbol: usize,
        /// The trade.
        point: Point,
        /// Direction against the trade before.
        rising: Option<bool>,
        /// Cross sequence.
        seq: i64,
        /// The row as others reported it.
        row: Option<Arc<Value>>,
    },
    /// A book that others report changed.
    Book(Arc<BookFrame>),
    /// A minute ended; all symbols' candles together.
    Closed(Vec<(usize, Candle)>),
    /// An order changed: account and order number.
    Order(usize, Box<Order>),
    /// An order was filled, or funding paid.
    Execution(usize, Box<Execution>),
    /// A position changed: account and symbol.
    Position(usize, usize),
    /// A wallet changed.
    Wallet(usize),
    /// The recording is over.
    Ended,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// See `protocol::bybit::codes`.
    pub code: i64,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// One symbol's market as it stands.
#[derive(Debug, Clone)]
pub struct SymbolState {
    /// Everybody else's book.
    pub book: MarketBook,
    /// Last price in ticks; zero before the first trade.
    pub last: i64,
    /// The candle that is being made.
    pub forming: Option<Candle>,
    /// Customers' resting orders, by number.
    pub resting: Vec<u64>,
    /// Customers' conditional orders, by number.
    pub waiting: Vec<u64>,
    /// Cross sequence.
    pub seq: i64,
    /// Whether the book changed since somebody last asked.
    pub changed: bool,
    /// The trades of late with their cross sequence and, when others reported them, their row;
    /// newest last.
    pub recent: VecDeque<(Point, i64, Option<Arc<Value>>)>,
    /// Mark price when it is reported, in ticks.
    pub mark: Option<i64>,
    /// Index price when it is reported, in ticks.
    pub index: Option<i64>,
    /// The ticker as far as it is reported.
    pub ticker: Map<String, Value>,
    /// Whether the book is out of date because those who report it are gone.
    pub halted: bool,
    /// Instants and rates of the funding settlements made so far, oldest first.
    pub settled: Vec<(i64, Decimal)>,
}

/// Trades that `recent-trade` can still show.
const RECENT_TRADES: usize = 1_000;

impl SymbolState {
    fn new(book: MarketBook) -> Self {
        // A book that is reported begins with a snapshot.
        let halted = book.is_reported();
        Self {
            book,
            last: 0,
            forming: None,
            resting: Vec::new(),
            waiting: Vec::new(),
            seq: 0,
            changed: true,
            recent: VecDeque::new(),
            mark: None,
            index: None,
            ticker: Map::new(),
            halted,
            settled: Vec::new(),
        }
    }

    /// Mark price in ticks; the last price when nobody reports another.
    #[must_use]
    pub fn mark(&self) -> i64 {
        self.mark.unwrap_or(self.last)
    }

    /// Index price in ticks; the last price when nobody reports another.
    #[must_use]
    pub fn index(&self) -> i64 {
        self.index.unwrap_or(self.last)
    }

    fn remember(&mut self, point: Point, seq: i64, row: Option<Arc<Value>>) {
        self.recent.push_back((point, seq, row));
        if self.recent.len() > RECENT_TRADES {
            self.recent.pop_front();
        }
    }
}

/// The exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    seed: u64,
    salt: u64,
    market: Market,
    states: Vec<SymbolState>,
    names: HashMap<String, usize>,
    accounts: Vec<Account>,
    orders: BTreeMap<u64, Order>,
    ids: HashMap<String, u64>,
    now: i64,
    minute_ts: i64,
    minute: Vec<Option<Minute>>,
    cursors: Vec<usize>,
    ended: bool,
    next_number: u64,
    next_execution: u64,
    next_priority: u64,
    touched_orders: BTreeSet<u64>,
    touched_positions: BTreeSet<(usize, usize)>,
    touched_wallets: BTreeSet<usize>,
    notices: Vec<Notice>,
    /// Candles that wait for those of the other symbols.
    closing: Vec<(usize, Candle)>,
}

impl Exchange {
    /// An exchange whose live time begins at `start`.
    #[must_use]
    pub fn new(seed: u64, mut market: Market, openings: &[Opening], start: i64) -> Self {
        market.skip_to(start);
        let instruments = market.instruments();
        let is_reported = market.reported_events().is_some();
        let states: Vec<SymbolState> = instruments
            .iter()
            .map(|instrument| {
                SymbolState::new(if is_reported {
                    MarketBook::Reported(Ladder::default())
                } else {
                    MarketBook::modelled(seed, instrument)
                })
            })
            .collect();
        let names =
            instruments.iter().enumerate().map(|(i, one)| (one.symbol.clone(), i)).collect();
        let count = states.len();
        let accounts = openings.iter().map(|opening| Account::new(opening.usdt, count)).collect();
        let first_ts = if is_reported { start } else { market.next_ts() };
        let minute_ts = first_ts.div_euclid(MINUTE_MS) * MINUTE_MS;
        let mut exchange = Self {
            seed,
            salt: hash(&[seed, start.unsigned_abs()]),
            market,
            states,
            names,
            accounts,
            orders: BTreeMap::new(),
            ids: HashMap::new(),
            now: minute_ts,
            minute_ts,
            minute: Vec::new(),
            cursors: vec![0; count],
            ended: false,
            next_number: 1,
            next_execution: 1,
            next_priority: 1,
            touched_orders: BTreeSet::new(),
            touched_positions: BTreeSet::new(),
            touched_wallets: BTreeSet::new(),
            notices: Vec::new(),
            closing: Vec::new(),
        };
        exchange.open_books();
        if !is_reported {
            exchange.load_minute();
        }
        exchange.advance(start);
        if !is_reported {
            exchange.notices.clear();
        }
        exchange
    }

    /// Salts all ids, so that another run with the same seed and start has other ones.
    #[must_use]
    pub fn salted(mut self, salt: u64) -> Self {
        if salt != 0 {
            self.salt = hash(&[self.salt, salt]);
        }
        self
    }

    /// Gives every book a first price: the last close of the history.
    fn open_books(&mut self) {
        for (symbol, state) in self.states.iter_mut().enumerate() {
            if let Some(candle) = self.market.history(symbol).last() {
                let ts = candle.open_ts + MINUTE_MS - 1;
                let point = Point { ts, price: candle.close, qty: 0, side: Side::Buy, lean: 0 };
                state.book.follow(&point);
                state.last = candle.close;
            }
        }
    }

    /// Market time.
    #[must_use]
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// Whether the recording is over.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// The market with its history and instruments.
    #[must_use]
    pub const fn market(&self) -> &Market {
        &self.market
    }

    /// What may be traded.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        self.market.instruments()
    }

    /// Index of a symbol.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// One symbol's market as it stands.
    #[must_use]
    pub fn state(&self, symbol: usize) -> Option<&SymbolState> {
        self.states.get(symbol)
    }

    /// Whether the book changed since this was last asked.
    pub fn take_changed(&mut self, symbol: usize) -> bool {
        self.states.get_mut(symbol).is_some_and(|state| std::mem::take(&mut state.changed))
    }

    /// Has the book shown again even if nothing changes.
    pub fn mark_changed(&mut self, symbol: usize) {
        if let Some(state) = self.states.get_mut(symbol) {
            state.changed = true;
        }
    }

    /// The accounts, in the order of the keys file.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// An order by its number.
    #[must_use]
    pub fn order(&self, number: u64) -> Option<&Order> {
        self.orders.get(&number)
    }

    /// Number of an account's order by either id; the venue's id wins.
    #[must_use]
    pub fn find(&self, account: usize, id: &str, link_id: &str) -> Option<u64> {
        let number = if id.is_empty() {
            self.accounts.get(account)?.link_ids.get(link_id)
        } else {
            self.ids.get(id)
        };
        number
            .copied()
            .filter(|number| self.orders.get(number).is_some_and(|order| order.account == account))
    }

    /// What happened since this was last asked, in order.
    pub fn drain(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The public book: everybody's levels and customers' resting orders, best first.
    #[must_use]
    pub fn levels(&self, symbol: usize, side: Side, depth: usize) -> Vec<(i64, i64)> {
        let Some(state) = self.states.get(symbol) else { return Vec::new() };
        let market = state.book.levels(side).take(depth);
        let mine = state.resting.iter().filter_map(|number| self.orders.get(number));
        let mine: Vec<&Order> = mine.filter(|order| order.side == side).collect();
        // A book that others report is shown as they report it.
        if mine.is_empty() || state.book.is_reported() {
            return market.collect();
        }
        // Keyed so that the best price comes first.
        let mut merged: BTreeMap<i64, i64> = BTreeMap::new();
        for (price, qty) in market.chain(mine.iter().map(|order| (order.price, order.leaves()))) {
            *merged.entry(-side.sign() * price).or_insert(0) += qty;
        }
        merged.into_iter().take(depth).map(|(key, qty)| (-side.sign() * key, qty)).collect()
    }

    /// An id that looks like a UUID and follows from the salt and a number.
    fn make_id(&self, kind: u64, number: u64) -> String {
        let (a, b) = (hash(&[self.salt, kind, number, 1]), hash(&[self.salt, kind, number, 2]));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 50),
            b & 0xffff_ffff_ffff
        )
    }

    fn bump(&mut self, symbol: usize) -> i64 {
        self.states.get_mut(symbol).map_or(0, |state| {
            state.seq += 1;
            state.changed = true;
            state.seq
        })
    }

    /// Publishes everything that was touched: orders, then positions, then wallets.
    fn settle(&mut self) {
        self.enforce_reduce_only();
        for number in std::mem::take(&mut self.touched_orders) {
            if let Some(order) = self.orders.get(&number) {
                self.notices.push(Notice::Order(order.account, Box::new(order.clone())));
            }
        }
        for (account, symbol) in std::mem::take(&mut self.touched_positions) {
            self.notices.push(Notice::Position(account, symbol));
        }
        for account in std::mem::take(&mut self.touched_wallets) {
            self.notices.push(Notice::Wallet(account));
        }
    }

    /// Removes an order from the working sets after it ended.
    fn retire(&mut self, number: u64) {
        let Some(order) = self.orders.get(&number) else { return };
        if let Some(state) = self.states.get_mut(order.symbol) {
            state.resting.retain(|other| *other != number);
            state.waiting.retain(|other| *other != number);
        }
        if let Some(account) = self.accounts.get_mut(order.account) {
            if account.open.remove(&number) {
                account.ended.push(number);
            }
        }
        self.touched_orders.insert(number);
    }
}
