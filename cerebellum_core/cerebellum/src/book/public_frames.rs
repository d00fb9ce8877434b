//! Public frames of the exchange: only what is read, unknown fields pass.

use serde::Deserialize;

/// Any frame: a topic's message, or the answer to an operation.
#[derive(Debug, Deserialize)]
pub struct Head<'a> {
    /// The topic, for a message.
    #[serde(borrow, default)]
    pub topic: Option<&'a str>,
    /// The operation, for an answer.
    #[serde(borrow, default)]
    pub op: Option<&'a str>,
    /// Whether the operation succeeded.
    #[serde(default)]
    pub success: Option<bool>,
    /// What was reported of it.
    #[serde(default)]
    pub ret_msg: Option<String>,
}

/// An order book message.
#[derive(Debug, Deserialize)]
pub struct BookFrame<'a> {
    /// The topic.
    #[serde(borrow, default)]
    pub topic: Option<&'a str>,
    /// `snapshot` or `delta`.
    #[serde(rename = "type", borrow)]
    pub kind: &'a str,
    /// Server ms.
    pub ts: u64,
    /// Matching-engine ms.
    #[serde(default)]
    pub cts: Option<u64>,
    /// The levels.
    #[serde(borrow)]
    pub data: BookData<'a>,
}

/// Levels of a message.
#[derive(Debug, Deserialize)]
pub struct BookData<'a> {
    /// Bids: price and quantity.
    #[serde(borrow)]
    pub b: Vec<(&'a str, &'a str)>,
    /// Asks: price and quantity.
    #[serde(borrow)]
    pub a: Vec<(&'a str, &'a str)>,
    /// Update id.
    pub u: u64,
}

/// A trades message.
#[derive(Debug, Deserialize)]
pub struct TradesFrame<'a> {
    /// The trades.
    #[serde(borrow)]
    pub data: Vec<TradeRow<'a>>,
}

/// One trade.
#[derive(Debug, Deserialize)]
pub struct TradeRow<'a> {
    /// Market ms.
    #[serde(rename = "T")]
    pub at: u64,
    /// The taker's side.
    #[serde(rename = "S", borrow)]
    pub side: &'a str,
    /// Quantity.
    #[serde(rename = "v", borrow)]
    pub qty: &'a str,
    /// Price.
    #[serde(rename = "p", borrow)]
    pub price: &'a str,
    /// Id.
    #[serde(rename = "i")]
    pub id: String,
}

/// A candle message.
#[derive(Debug, Deserialize)]
pub struct CandlesFrame {
    /// The candles.
    pub data: Vec<CandleRow>,
}

/// One candle, closed or not.
#[derive(Debug, Deserialize)]
pub struct CandleRow {
    /// First ms.
    pub start: u64,
    /// First price.
    pub open: String,
    /// Last price.
    pub close: String,
    /// Highest price.
    pub high: String,
    /// Lowest price.
    pub low: String,
    /// Base coin.
    pub volume: String,
    /// Quote coin.
    pub turnover: String,
    /// Whether it is closed.
    pub confirm: bool,
    /// Market ms of the message.
    #[serde(default)]
    pub timestamp: Option<u64>,
}
