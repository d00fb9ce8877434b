//! Reads public frames and REST rows of the real exchange into events in scaled integers.

use super::candle::{Candle, Point};
use super::instrument::Instrument;
use super::reported::{BookFrame, Event, Print};
use protocol::bybit::decimals;
use protocol::bybit::enums::Side;
use serde_json::Value;
use std::sync::Arc;

/// A frame that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is no JSON.
    #[error("a frame is not JSON: {0}")]
    Json(String),
    /// It is not as its topic is documented.
    #[error("a frame of {topic} {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        source: FrameFault,
    },
}

/// What is wrong with a frame of a known topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// It does not tell its time.
    #[error("has no ts")]
    NoTime,
    /// It holds nothing.
    #[error("has no data")]
    NoData,
    /// A book of no depth.
    #[error("has no depth")]
    NoDepth,
    /// A book with a price or a size between two ticks or steps.
    #[error("has a level that is off the grid of its instrument")]
    OffGrid,
    /// A book without a number.
    #[error("has no u")]
    NoUpdate,
    /// Trades that are no list.
    #[error("has no rows")]
    NoRows,
    /// A trade that cannot be read.
    #[error("has a row that is no trade")]
    NoTrade,
    /// A candle that is not there.
    #[error("has no row")]
    NoRow,
    /// A candle that cannot be read.
    #[error("has a row that is no candle")]
    NoCandle,
    /// A ticker that is no object.
    #[error("has no object")]
    NoObject,
}

/// Reads one public frame; `None` for one that is of no use here (answers, other topics).
///
/// # Errors
/// A frame of a known topic that is not as documented, named with what is wrong.
pub fn read(text: &str, instruments: &[Instrument]) -> Result<Option<(i64, Event)>, FrameError> {
    let frame: Value =
        serde_json::from_str(text).map_err(|error| FrameError::Json(error.to_string()))?;
    let Some(topic) = frame.get("topic").and_then(Value::as_str) else { return Ok(None) };
    let parts: Vec<&str> = topic.split('.').collect();
    let Some(symbol) =
        parts.last().and_then(|name| instruments.iter().position(|one| one.symbol == **name))
    else {
        return Ok(None);
    };
    read_event(&frame, &parts, (symbol, &instruments[symbol]), text)
        .map_err(|source| FrameError::Topic { topic: topic.to_owned(), source })
}

/// The time and the event of a frame, by the parts of its topic.
fn read_event(
    frame: &Value,
    topic: &[&str],
    (symbol, one): (usize, &Instrument),
    text: &str,
) -> Result<Option<(i64, Event)>, FrameFault> {
    let ts = whole(frame, "ts").ok_or(FrameFault::NoTime)?;
    let data = frame.get("data").ok_or(FrameFault::NoData)?;
    let event = match topic {
        ["orderbook", depth, _] => {
            let side = |name: &str| levels(data.get(name), one).ok_or(FrameFault::OffGrid);
            Event::Book(Arc::new(BookFrame {
                symbol,
                depth: depth.parse().map_err(|_| FrameFault::NoDepth)?,
                snapshot: frame.get("type").and_then(Value::as_str) == Some("snapshot"),
                bids: side("b")?,
                asks: side("a")?,
                update: data.get("u").and_then(Value::as_u64).ok_or(FrameFault::NoUpdate)?,
                seq: whole(data, "seq").unwrap_or(0),
                ts,
                cts: whole(frame, "cts").unwrap_or(ts),
                text: text.into(),
            }))
        }
        ["publicTrade", _] => {
            let rows = data.as_array().ok_or(FrameFault::NoRows)?;
            let prints: Option<Vec<Print>> = rows.iter().map(|row| print(row, one)).collect();
            Event::Trades(symbol, prints.ok_or(FrameFault::NoTrade)?)
        }
        ["kline", "1", _] => {
            let row = data.get(0).ok_or(FrameFault::NoRow)?;
            let candle = stream_candle(row, one).ok_or(FrameFault::NoCandle)?;
            let confirm = row.get("confirm").and_then(Value::as_bool).unwrap_or(false);
            Event::Candle(symbol, candle, confirm)
        }
        ["tickers", _] => {
            Event::Ticker(symbol, data.as_object().cloned().ok_or(FrameFault::NoObject)?)
        }
        _ => return Ok(None),
    };
    Ok(Some((ts, event)))
}

fn whole(value: &Value, name: &str) -> Option<i64> {
    match value.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn levels(side: Option<&Value>, one: &Instrument) -> Option<Vec<(i64, i64)>> {
    let rows = side?.as_array()?;
    rows.iter()
        .map(|row| {
            let price = decimals::scale(row.get(0)?.as_str()?, one.price_decimals).ok()?;
            let qty = decimals::scale(row.get(1)?.as_str()?, one.qty_decimals).ok()?;
            (price > 0 && qty >= 0).then_some((price, qty))
        })
        .collect()
}

fn print(row: &Value, one: &Instrument) -> Option<Print> {
    let side = match text(row, "S")? {
        "Buy" => Side::Buy,
        "Sell" => Side::Sell,
        _ => return None,
    };
    let point = Point {
        ts: whole(row, "T")?,
        price: decimals::scale(text(row, "p")?, one.price_decimals).ok()?,
        qty: decimals::scale(text(row, "v")?, one.volume_decimals).ok()?,
        side,
        lean: 0,
    };
    Some(Print {
        point,
        seq: whole(row, "seq").unwrap_or(0),
        block: row.get("BT").and_then(Value::as_bool).unwrap_or(false),
        row: Arc::new(row.clone()),
    })
}

fn stream_candle(row: &Value, one: &Instrument) -> Option<Candle> {
    let field = |name: &str| text(row, name);
    build(
        whole(row, "start")?,
        [field("open")?, field("high")?, field("low")?, field("close")?],
        (field("volume")?, field("turnover")?),
        one,
    )
}

/// A row of `/v5/market/kline`: start, open, high, low, close, volume, turnover.
#[must_use]
pub fn rest_candle(row: &Value, one: &Instrument) -> Option<Candle> {
    let field = |index: usize| row.get(index).and_then(Value::as_str);
    build(
        field(0)?.parse().ok()?,
        [field(1)?, field(2)?, field(3)?, field(4)?],
        (field(5)?, field(6)?),
        one,
    )
}

fn build(
    open_ts: i64,
    prices: [&str; 4],
    (volume, turnover): (&str, &str),
    one: &Instrument,
) -> Option<Candle> {
    let [open, high, low, close] =
        prices.map(|text| decimals::scale(text, one.price_decimals).ok().filter(|one| *one > 0));
    let places = one.price_decimals + one.volume_decimals;
    let mut turnover = decimals::parse(turnover)?.round_dp(places);
    turnover.rescale(places);
    Some(Candle {
        open_ts,
        open: open?,
        high: high?,
        low: low?,
        close: close?,
        volume: decimals::scale(volume, one.volume_decimals).ok()?,
        turnover: turnover.mantissa(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_become_events_and_what_is_not_as_documented_is_named() {
        let one = [Instrument::new("BTCUSDT", (2, 3, 3), 65_000.0, 90.0)];
        let book = r#"{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":7,"data":{"s":"BTCUSDT",
            "b":[["65114.20","0"]],"a":[["65114.30","1.5"]],"u":9,"seq":3},"cts":6}"#;
        let Ok(Some((7, Event::Book(frame)))) = read(book, &one) else { panic!("a book") };
        assert_eq!((frame.bids[0], frame.asks[0]), ((6_511_420, 0), (6_511_430, 1_500)));
        assert_eq!((frame.update, frame.cts, frame.snapshot), (9, 6, false));
        let candle = r#"{"topic":"kline.1.BTCUSDT","ts":5,"data":[{"start":0,"open":"1.5","high":"2",
            "low":"1","close":"1.25","volume":"0.5","turnover":"0.7","confirm":true}]}"#;
        let Ok(Some((_, Event::Candle(0, candle, true)))) = read(candle, &one) else {
            panic!("a candle")
        };
        assert_eq!((candle.close, candle.volume, candle.turnover), (125, 500, 70_000));
        assert_eq!(read(r#"{"op":"subscribe","success":true}"#, &one), Ok(None));
        assert_eq!(read(r#"{"topic":"publicTrade.NOPEUSDT","ts":1,"data":[]}"#, &one), Ok(None));
        let off = book.replace("65114.20", "65114.205");
        let fault = read(&off, &one).expect_err("off the grid").to_string();
        assert!(fault.contains("orderbook.200.BTCUSDT"), "{fault}");
        assert!(read("{", &one).is_err());
    }
}
