//! What happened at the exchange, and what is still to be published of it.

use super::order::{Execution, Order};
use crate::market::candle::{Candle, Point};
use crate::market::reported::BookFrame;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

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

/// What changed since notices were drained.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// Orders whose row changed, by number.
    pub orders: BTreeSet<u64>,
    /// Positions that changed: account and symbol.
    pub positions: BTreeSet<(usize, usize)>,
    /// Wallets that changed, by account.
    pub wallets: BTreeSet<usize>,
    /// What happened, in order.
    pub notices: Vec<Notice>,
}

impl Changes {
    /// An execution of an order: the order, its position and the wallet change with it.
    pub(super) fn filled(
        &mut self,
        number: u64,
        account: usize,
        symbol: usize,
        execution: Box<Execution>,
    ) {
        self.notices.push(Notice::Execution(account, execution));
        self.orders.insert(number);
        self.positions.insert((account, symbol));
        self.wallets.insert(account);
    }
}
