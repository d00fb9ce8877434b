//! Candles in scaled integers, and the trades inside one minute.

use protocol::bybit::enums::Side;

/// One minute in milliseconds.
pub const MINUTE_MS: i64 = 60_000;

/// One closed candle. Prices in ticks, volume in volume units of its instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// First millisecond of the candle.
    pub open_ts: i64,
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub close: i64,
    /// Traded base asset.
    pub volume: i64,
    /// Traded quote asset, scaled by both decimals together.
    pub turnover: i128,
}

impl Candle {
    /// A candle that has seen one price and no volume yet.
    #[must_use]
    pub const fn at(open_ts: i64, price: i64) -> Self {
        Self { open_ts, open: price, high: price, low: price, close: price, volume: 0, turnover: 0 }
    }

    /// Takes in one more trade.
    pub fn take(&mut self, price: i64, qty: i64) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume += qty;
        self.turnover += i128::from(price) * i128::from(qty);
    }

    /// Takes in the candle that follows, to build a longer one.
    pub fn join(&mut self, next: &Self) {
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
        self.volume += next.volume;
        self.turnover += next.turnover;
    }
}

/// One price of the market: a trade when `qty` is above zero, else only a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Market time in milliseconds.
    pub ts: i64,
    /// Price in ticks.
    pub price: i64,
    /// Size in volume units.
    pub qty: i64,
    /// The side that took.
    pub side: Side,
    /// How much the book leans to the bid, in thousandths from -1000 to 1000.
    pub lean: i32,
}

/// One minute of one symbol: its trades, and the candle they make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minute {
    /// What the trades add up to.
    pub candle: Candle,
    /// In order of time.
    pub points: Vec<Point>,
}

/// The candle that a minute's points add up to; `None` without any point.
#[must_use]
pub fn fold(open_ts: i64, points: &[Point]) -> Option<Candle> {
    let first = points.first()?;
    let mut candle = Candle::at(open_ts, first.price);
    for point in points {
        candle.take(point.price, point.qty);
    }
    Some(candle)
}

/// The first candle's open, the last one's close, and everything between, per interval.
///
/// `bucket` maps an open time to the open time of the longer candle.
pub fn aggregate(candles: &[Candle], bucket: impl Fn(i64) -> i64) -> Vec<Candle> {
    let mut longer: Vec<Candle> = Vec::new();
    for candle in candles {
        let open_ts = bucket(candle.open_ts);
        match longer.last_mut() {
            Some(last) if last.open_ts == open_ts => last.join(candle),
            _ => longer.push(Candle { open_ts, ..*candle }),
        }
    }
    longer
}
