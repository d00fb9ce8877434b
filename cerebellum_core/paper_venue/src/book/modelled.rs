//! The market's own book around the last trade: what everybody else offers.
//!
//! Levels sit on a fixed grid of prices beyond the best bid and ask; the size of a level depends on
//! the seed, its price and ten market seconds of its own, so most levels stay as they are from one
//! trade to the next. What our orders take away stays away until the next trade.

use crate::market::candle::Point;
use crate::market::instrument::Instrument;
use crate::market::random::hash;
use protocol::bybit::enums::Side;
use std::collections::HashMap;

/// Most levels of a side.
pub const DEPTH: usize = 1_000;

/// How long a level keeps its size, in market milliseconds.
const LEVEL_LIFE_MS: u64 = 10_000;

/// The book of one symbol without customers' orders.
#[derive(Debug, Clone)]
pub struct ModelledBook {
    seed: u64,
    tick: i64,
    step: i64,
    grid: i64,
    level_qty: i64,
    bid: i64,
    ask: i64,
    ts: i64,
    lean: i32,
    taken: HashMap<(Side, i64), i64>,
}

impl ModelledBook {
    /// An empty book.
    #[must_use]
    pub fn new(seed: u64, instrument: &Instrument) -> Self {
        Self {
            seed: hash(&[seed, crate::market::random::hash_name(&instrument.symbol)]),
            tick: instrument.tick,
            step: instrument.qty_step,
            grid: instrument.grid,
            level_qty: instrument.level_qty,
            bid: 0,
            ask: 0,
            ts: 0,
            lean: 0,
            taken: HashMap::new(),
        }
    }

    /// Moves the book to a new trade; what was taken is offered again.
    pub fn follow(&mut self, point: &Point) {
        let wide = hash(&[self.seed, point.ts.unsigned_abs(), 3]).is_multiple_of(4);
        let spread = if wide { 2 * self.tick } else { self.tick };
        (self.bid, self.ask) = match point.side {
            Side::Buy => ((point.price - spread).max(self.tick), point.price.max(2 * self.tick)),
            Side::Sell => (point.price, point.price + spread),
        };
        (self.ts, self.lean) = (point.ts, point.lean);
        self.taken.clear();
    }

    /// The best price of a side; zero before the first trade.
    #[must_use]
    pub const fn best(&self, side: Side) -> i64 {
        match side {
            Side::Buy => self.bid,
            Side::Sell => self.ask,
        }
    }

    /// Whether there was a trade yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.bid > 0
    }

    /// What is left of a level of a side.
    #[must_use]
    pub fn qty(&self, side: Side, price: i64) -> i64 {
        let best = self.best(side);
        let beyond = if side == Side::Buy { price <= best } else { price >= best };
        if !self.is_open() || !beyond || (price != best && price % self.grid != 0) {
            return 0;
        }
        (self.offered(side, price) - self.taken.get(&(side, price)).copied().unwrap_or(0)).max(0)
    }

    /// Takes from a level.
    pub fn take(&mut self, side: Side, price: i64, qty: i64) {
        *self.taken.entry((side, price)).or_insert(0) += qty;
    }

    /// Levels of a side from the best on, empty ones left out.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        let best = self.best(side);
        let first = match side {
            Side::Buy => (best - 1).div_euclid(self.grid) * self.grid,
            Side::Sell => (best + self.grid).div_euclid(self.grid) * self.grid,
        };
        let step = -side.sign() * self.grid;
        let count = if self.is_open() { DEPTH } else { 0 };
        std::iter::once(best)
            .chain((0_i64..).map(move |index| first + index * step))
            .take(count)
            .take_while(|price| *price > 0)
            .map(move |price| (price, self.qty(side, price)))
            .filter(|(_, qty)| *qty > 0)
    }

    fn offered(&self, side: Side, price: i64) -> i64 {
        let key = hash(&[self.seed, price.unsigned_abs(), u64::from(side == Side::Buy)]);
        let best = self.best(side);
        let life = if price == best {
            self.ts.unsigned_abs() | (1 << 63)
        } else {
            (self.ts.unsigned_abs() + key % LEVEL_LIFE_MS) / LEVEL_LIFE_MS
        };
        // A quarter to two and a half times the usual size, in 1024ths.
        let mut share = 256 + i64::try_from(hash(&[key, life]) % 2_304).unwrap_or(0);
        if (price - best).abs() <= 4 * self.grid {
            // The lean moves in five steps so that a level does not change at every trade.
            share = share * (1_000 + side.sign() * i64::from(self.lean / 400 * 400)) / 1_000;
        }
        let share = i128::from(share.max(64));
        let qty = i64::try_from(i128::from(self.level_qty) * share / 1_024).unwrap_or(i64::MAX);
        (qty / self.step * self.step).max(self.step)
    }
}
