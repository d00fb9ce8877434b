//! One order book: sorted levels of scaled integers, with continuity of update ids.

use rust_decimal::Decimal;

/// Decimal places of a symbol's prices and quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// Places of a price.
    pub price: u32,
    /// Places of a quantity.
    pub qty: u32,
}

/// One price level; both numbers scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price times ten to the places of a price.
    pub price: i64,
    /// Quantity times ten to the places of a quantity.
    pub qty: i64,
}

/// Why a book cannot be trusted any more; a new snapshot is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookFault {
    /// A delta came before any snapshot.
    NoSnapshot,
    /// Update ids are not consecutive.
    Gap {
        /// What should have come.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// The best bid is not below the best ask.
    Crossed,
    /// A level that is no number on the symbol's grid.
    BadLevel(String),
}

impl std::fmt::Display for BookFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSnapshot => f.write_str("delta before snapshot"),
            Self::Gap { expected, got } => write!(f, "gap: expected u {expected}, got {got}"),
            Self::Crossed => f.write_str("crossed"),
            Self::BadLevel(text) => write!(f, "bad level {text:?}"),
        }
    }
}

/// An order book. The best level of each side is the last of its vector.
#[derive(Clone, Debug)]
pub struct Ladder {
    scales: Scales,
    depth: usize,
    bids: Vec<Level>,
    asks: Vec<Level>,
    last_u: Option<u64>,
}

impl Ladder {
    /// An empty book that keeps at most `depth` levels a side.
    #[must_use]
    pub fn new(scales: Scales, depth: usize) -> Self {
        Self { scales, depth, bids: Vec::new(), asks: Vec::new(), last_u: None }
    }

    /// Applies a frame; on a fault the book is empty until the next snapshot.
    ///
    /// # Errors
    /// The fault that made the book untrustworthy.
    pub fn apply<'a>(
        &mut self,
        snapshot: bool,
        u: u64,
        bids: impl Iterator<Item = (&'a str, &'a str)>,
        asks: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), BookFault> {
        let result = self.try_apply(snapshot, u, bids, asks);
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Forgets everything until the next snapshot.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.last_u = None;
    }

    /// Whether a snapshot was seen and nothing went wrong since.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.last_u.is_some()
    }

    /// The best bid.
    #[must_use]
    pub fn best_bid(&self) -> Option<Level> {
        self.bids.last().copied()
    }

    /// The best ask.
    #[must_use]
    pub fn best_ask(&self) -> Option<Level> {
        self.asks.last().copied()
    }

    /// Bids from the best downwards.
    pub fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.bids.iter().rev().copied()
    }

    /// Asks from the best upwards.
    pub fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.asks.iter().rev().copied()
    }

    /// The places of this book's numbers.
    #[must_use]
    pub fn scales(&self) -> Scales {
        self.scales
    }

    /// A scaled price as an exact number.
    #[must_use]
    pub fn price(&self, scaled: i64) -> Decimal {
        Decimal::new(scaled, self.scales.price)
    }

    /// A scaled quantity as an exact number.
    #[must_use]
    pub fn qty(&self, scaled: i64) -> Decimal {
        Decimal::new(scaled, self.scales.qty)
    }

    fn try_apply<'a>(
        &mut self,
        snapshot: bool,
        u: u64,
        bids: impl Iterator<Item = (&'a str, &'a str)>,
        asks: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), BookFault> {
        if snapshot {
            self.clear();
        } else {
            let last = self.last_u.ok_or(BookFault::NoSnapshot)?;
            if u != last.wrapping_add(1) {
                return Err(BookFault::Gap { expected: last.wrapping_add(1), got: u });
            }
        }
        for (price, qty) in bids {
            let level = self.level(price, qty)?;
            set(&mut self.bids, level, |price| price);
        }
        for (price, qty) in asks {
            let level = self.level(price, qty)?;
            set(&mut self.asks, level, |price| -price);
        }
        trim(&mut self.bids, self.depth);
        trim(&mut self.asks, self.depth);
        self.last_u = Some(u);
        match (self.best_bid(), self.best_ask()) {
            (Some(bid), Some(ask)) if bid.price >= ask.price => Err(BookFault::Crossed),
            _ => Ok(()),
        }
    }

    fn level(&self, price: &str, qty: &str) -> Result<Level, BookFault> {
        match (scaled(price, self.scales.price), scaled(qty, self.scales.qty)) {
            (Some(price), Some(qty)) if price > 0 => Ok(Level { price, qty }),
            _ => Err(BookFault::BadLevel(format!("{price} {qty}").chars().take(60).collect())),
        }
    }
}

/// Sets, adds or deletes one level; the key of the best level is the largest.
fn set(levels: &mut Vec<Level>, level: Level, key: impl Fn(i64) -> i64) {
    let wanted = key(level.price);
    // Most changes are near the best price, so the search starts there.
    let mut at = levels.len();
    while at > 0 && key(levels[at - 1].price) > wanted {
        at -= 1;
        if levels.len() - at > 16 {
            at = levels[..at].partition_point(|known| key(known.price) <= wanted);
            break;
        }
    }
    let found = at > 0 && levels[at - 1].price == level.price;
    match (found, level.qty == 0) {
        (true, true) => {
            levels.remove(at - 1);
        }
        (true, false) => levels[at - 1].qty = level.qty,
        (false, true) => {}
        (false, false) => levels.insert(at, level),
    }
}

fn trim(levels: &mut Vec<Level>, depth: usize) {
    if levels.len() > depth {
        levels.drain(..levels.len() - depth);
    }
}

/// Reads an unsigned plain decimal as an integer with so many places; `None` off the grid.
#[must_use]
pub fn scaled(text: &str, places: u32) -> Option<i64> {
    let mut value: i64 = 0;
    let mut seen_digit = false;
    let mut after_point: Option<u32> = None;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                seen_digit = true;
                if let Some(count) = after_point.as_mut() {
                    if *count == places {
                        if byte != b'0' {
                            return None;
                        }
                        continue;
                    }
                    *count += 1;
                }
                value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
            }
            b'.' if after_point.is_none() && seen_digit => after_point = Some(0),
            _ => return None,
        }
    }
    if !seen_digit {
        return None;
    }
    let missing = places - after_point.unwrap_or(0);
    value.checked_mul(10_i64.checked_pow(missing)?)
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
