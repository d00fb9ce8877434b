//! Everybody else's book of one symbol, without customers' orders.

/// A book that frames reported.
pub mod ladder;
/// A book that is modelled around the last trade.
pub mod modelled;

use crate::market::candle::Point;
use crate::market::instrument::Instrument;
use ladder::Ladder;
use modelled::ModelledBook;
pub use modelled::DEPTH;
use protocol::bybit::enums::Side;

/// Everybody else's book.
#[derive(Debug, Clone)]
pub enum MarketBook {
    /// Modelled around the last trade.
    Modelled(ModelledBook),
    /// Recorded or mirrored.
    Reported(Ladder),
}

impl MarketBook {
    /// An empty modelled book.
    #[must_use]
    pub fn modelled(seed: u64, instrument: &Instrument) -> Self {
        Self::Modelled(ModelledBook::new(seed, instrument))
    }

    /// Whether frames report it.
    #[must_use]
    pub const fn is_reported(&self) -> bool {
        matches!(self, Self::Reported(_))
    }

    /// Moves a modelled book to a new trade; a book that is reported waits for its frame.
    pub fn follow(&mut self, point: &Point) {
        if let Self::Modelled(book) = self {
            book.follow(point);
        }
    }

    /// The best price of a side; zero when there is none.
    #[must_use]
    pub fn best(&self, side: Side) -> i64 {
        match self {
            Self::Modelled(book) => book.best(side),
            Self::Reported(book) => book.best(side),
        }
    }

    /// Whether there is a book.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Modelled(book) => book.is_open(),
            Self::Reported(book) => book.is_open(),
        }
    }

    /// What is left of a level of a side.
    #[must_use]
    pub fn qty(&self, side: Side, price: i64) -> i64 {
        match self {
            Self::Modelled(book) => book.qty(side, price),
            Self::Reported(book) => book.qty(side, price),
        }
    }

    /// Takes from a level.
    pub fn take(&mut self, side: Side, price: i64, qty: i64) {
        match self {
            Self::Modelled(book) => book.take(side, price, qty),
            Self::Reported(book) => book.take(side, price, qty),
        }
    }

    /// Levels of a side from the best on, empty ones left out.
    #[must_use]
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = (i64, i64)> + '_> {
        match self {
            Self::Modelled(book) => Box::new(book.levels(side)),
            Self::Reported(book) => book.levels(side),
        }
    }
}
