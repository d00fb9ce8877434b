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
/// What happened, and what changed.
mod notice;
/// Numbers and ids.
mod numbering;
/// One order.
pub mod order;
/// One position.
pub mod position;
/// Orders as requests describe them.
mod reading;
/// Why a request was refused.
mod refusal;
/// A market that others report.
mod reported;
/// What orders ask for, read from JSON.
pub mod request;
/// Rows as they travel.
pub mod rows;
/// One symbol's market as it stands.
mod symbol_state;
/// Where the exchange stands in market time.
mod timeline;
/// Conditional orders, take-profit and stop-loss.
mod triggers;

use crate::book::ladder::Ladder;
use crate::book::MarketBook;
use crate::exchange::notice::Changes;
use crate::exchange::numbering::Numbering;
use crate::exchange::timeline::Timeline;
use crate::market::candle::{Point, MINUTE_MS};
use crate::market::instrument::Instrument;
use crate::market::random::hash;
use crate::market::Market;
use account::{Account, Opening};
use order::Order;
use protocol::bybit::enums::Side;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};

pub use notice::Notice;
pub use refusal::Refusal;
pub use symbol_state::SymbolState;

/// Fee of a taker, as a share of the value.
pub const TAKER_FEE: Decimal = Decimal::from_parts(55, 0, 0, false, 5);
/// Fee of a maker.
pub const MAKER_FEE: Decimal = Decimal::from_parts(2, 0, 0, false, 4);

/// The exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    seed: u64,
    market: Market,
    states: Vec<SymbolState>,
    accounts: Vec<Account>,
    orders: BTreeMap<u64, Order>,
    lookup: Lookup,
    timeline: Timeline,
    numbering: Numbering,
    changes: Changes,
}

/// Where names lead.
#[derive(Debug, Clone)]
struct Lookup {
    /// The index of a symbol.
    symbols: HashMap<String, usize>,
    /// The number of an order by the venue's id.
    orders: HashMap<String, u64>,
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
            market,
            states,
            accounts,
            orders: BTreeMap::new(),
            lookup: Lookup { symbols: names, orders: HashMap::new() },
            timeline: Timeline::at(minute_ts, count),
            numbering: Numbering::salted(hash(&[seed, start.unsigned_abs()])),
            changes: Changes::default(),
        };
        exchange.open_books();
        if !is_reported {
            exchange.load_minute();
        }
        exchange.advance(start);
        if !is_reported {
            exchange.changes.notices.clear();
        }
        exchange
    }

    /// Salts all ids, so that another run with the same seed and start has other ones.
    #[must_use]
    pub fn salted(mut self, salt: u64) -> Self {
        if salt != 0 {
            self.numbering.salt_again(salt);
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
        self.timeline.now
    }

    /// Whether the recording is over.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.timeline.ended
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
        self.lookup.symbols.get(name).copied()
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
            self.lookup.orders.get(id)
        };
        number
            .copied()
            .filter(|number| self.orders.get(number).is_some_and(|order| order.account == account))
    }

    /// What happened since this was last asked, in order.
    pub fn drain(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.changes.notices)
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
        for number in std::mem::take(&mut self.changes.orders) {
            if let Some(order) = self.orders.get(&number) {
                self.changes.notices.push(Notice::Order(order.account, Box::new(order.clone())));
            }
        }
        for (account, symbol) in std::mem::take(&mut self.changes.positions) {
            self.changes.notices.push(Notice::Position(account, symbol));
        }
        for account in std::mem::take(&mut self.changes.wallets) {
            self.changes.notices.push(Notice::Wallet(account));
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
        self.changes.orders.insert(number);
    }
}
