use serde_json::json;

use super::*;

fn data() -> MarketData {
    MarketData::new([(symbol(), Scales { price: 1, qty: 3 })], DEPTH)
}

fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

fn book(kind: &str, ts: u64, u: u64, bid: &str, ask: &str) -> String {
    json!({"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": ts, "cts": ts,
           "data": {"s": "BTCUSDT", "b": [[bid, "1"]], "a": [[ask, "2"]], "u": u, "seq": u}})
    .to_string()
}

fn candle(start: u64, confirm: bool) -> String {
    json!({"topic": "kline.1.BTCUSDT", "type": "snapshot", "ts": start + 60_000,
           "data": [{"start": start, "end": start + 59_999, "interval": "1", "open": "1", "close": "2",
                     "high": "3", "low": "1", "volume": "5", "turnover": "9", "confirm": confirm,
                     "timestamp": start + 60_000}]})
    .to_string()
}

fn kinds(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Publish(Market::Candle(_)) => "candle",
            Outcome::Publish(Market::Top(_)) => "top",
            Outcome::Publish(Market::Book(_)) => "book",
            Outcome::Publish(Market::Levels(_)) => "levels as text",
            Outcome::Levels(_) => "levels",
            Outcome::Publish(Market::Trade(_)) => "trade",
            Outcome::Publish(Market::Stale(_)) => "stale",
            Outcome::Quote(..) => "quote",
            Outcome::Stale(..) => "distrust",
            Outcome::Time(_) => "time",
            Outcome::Resubscribe(_) => "resubscribe",
            Outcome::AskCandles(..) => "ask",
            Outcome::Answer { .. } => "answer",
        })
        .collect()
}

#[test]
fn a_gap_marks_the_book_stale_and_asks_for_a_snapshot() {
    let mut data = data();
    assert!(!data.is_whole());
    data.frame(&book("snapshot", 1_000, 1, "100.0", "100.1"), 0).unwrap();
    assert!(data.is_whole());
    let gap = data.frame(&book("delta", 1_020, 3, "100.0", "100.1"), 0).unwrap();
    assert_eq!(kinds(&gap), ["distrust", "stale", "resubscribe"]);
    let ignored = data.frame(&book("delta", 1_040, 4, "100.0", "100.1"), 0).unwrap();
    assert!(ignored.is_empty(), "one resubscription is enough");
    let back = data.frame(&book("snapshot", 1_060, 1, "100.0", "100.1"), 0).unwrap();
    assert_eq!(kinds(&back), ["stale", "quote"]);
}

#[test]
fn tops_and_levels_come_once_a_market_second_and_seconds_before_the_candle() {
    let mut data = data();
    let first = data.frame(&book("snapshot", 58_000, 1, "100.0", "100.1"), 0).unwrap();
    assert_eq!(kinds(&first), ["stale", "quote", "top", "levels"]);
    let same = data.frame(&book("delta", 58_500, 2, "100.0", "100.2"), 0).unwrap();
    assert_eq!(kinds(&same), ["time"], "the best prices did not change");
    let next = data.frame(&book("delta", 59_000, 3, "99.9", "100.2"), 0).unwrap();
    assert_eq!(kinds(&next), ["book", "time", "top", "levels"]);
    let open = data.frame(&candle(0, false), 0).unwrap();
    assert!(open.is_empty(), "an open candle is nobody's business");
    let closed = data.frame(&candle(0, true), 0).unwrap();
    assert_eq!(kinds(&closed), ["time", "book", "candle"]);
}

#[test]
fn a_missed_candle_is_asked_for() {
    let mut data = data();
    data.frame(&candle(0, true), 0).unwrap();
    let later = data.frame(&candle(180_000, true), 0).unwrap();
    assert!(later.contains(&Outcome::AskCandles(symbol(), 60_000, 120_000)));
}

#[test]
fn a_silent_book_is_stale() {
    let mut data = data();
    data.frame(&book("snapshot", 1_000, 1, "100.0", "100.1"), 0).unwrap();
    assert!(data.watch(10_000, 10_000).is_empty());
    assert_eq!(kinds(&data.watch(10_001, 10_000)), ["distrust", "stale", "resubscribe"]);
}

#[test]
fn a_snapshot_that_does_not_come_is_asked_for_again_ever_more_patiently() {
    let mut data = data();
    data.subscribed(0);
    let asked: Vec<i64> = (0..400)
        .map(|half| half * 500)
        .filter(|wall| kinds(&data.watch(*wall, 10_000)) == ["resubscribe"])
        .collect();
    assert_eq!(asked, [5_000, 15_000, 35_000, 75_000, 135_000, 195_000]);
    data.disconnected("cut");
    assert!(data.watch(400_000, 10_000).is_empty(), "nothing is asked for without a connection");
    data.subscribed(400_000);
    assert_eq!(kinds(&data.watch(405_000, 10_000)), ["resubscribe"]);
}

#[test]
fn a_bad_snapshot_is_not_asked_for_again_at_once_and_a_good_one_ends_the_patience() {
    let mut data = data();
    data.frame(&book("snapshot", 1_000, 1, "100.0", "100.1"), 0).unwrap();
    let gap = data.frame(&book("delta", 1_020, 3, "100.0", "100.1"), 1_000).unwrap();
    assert!(kinds(&gap).contains(&"resubscribe"));
    let crossed = book("snapshot", 1_040, 1, "100.2", "100.1");
    for wall in [1_050, 1_100, 5_999] {
        assert!(data.frame(&crossed, wall).unwrap().is_empty(), "a loop of subscriptions");
    }
    assert_eq!(kinds(&data.watch(6_000, 10_000)), ["resubscribe"]);
    data.frame(&book("snapshot", 7_000, 1, "100.0", "100.1"), 7_000).unwrap();
    let gap = data.frame(&book("delta", 7_020, 3, "100.0", "100.1"), 7_010).unwrap();
    assert!(kinds(&gap).contains(&"resubscribe"), "a new fault is told at once");
}

#[test]
fn frames_that_are_no_frames_are_reported_and_dropped() {
    let mut data = data();
    for bad in ["", "{", "{\"topic\":\"orderbook.50.BTCUSDT\"}", "{\"topic\":7}"] {
        assert!(data.frame(bad, 0).is_err(), "{bad}");
    }
    for foreign_order in
        ["{}", "{\"topic\":\"x\"}", "{\"topic\":\"orderbook.50.XXX\"}", "{\"op\":\"pong\"}"]
    {
        data.frame(foreign_order, 0).unwrap();
    }
}

#[test]
fn a_frame_of_an_absurd_time_is_dropped_and_market_time_stays() {
    let mut data = data();
    data.frame(&book("snapshot", 1_000, 1, "100.0", "100.1"), 0).unwrap();
    let beyond = 4_102_444_800_001_u64;
    let trade = |at: u64| {
        json!({"topic": "publicTrade.BTCUSDT", "ts": at, "data": [
            {"T": at, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "100", "i": "t"}]})
        .to_string()
    };
    for ts in [0, beyond, u64::MAX] {
        let fast = book("delta", ts, 2, "100.0", "100.2");
        // Another order of the keys is read another way.
        let slow = fast.replacen('{', r#"{"cts2":1,"#, 1);
        let kline = candle(if ts == 0 { beyond } else { ts - 60_000 }, true);
        for frame in [fast, slow, trade(ts), kline] {
            let error = data.frame(&frame, 0).unwrap_err().to_string();
            assert!(error.contains("is no time between 1970 and 2100"), "{error}");
        }
        assert_eq!(data.market_ms(), 1_000);
    }
    for frame in
        [book("delta", 7, 2, "1", "2").replace(":7,", ":-7,"), trade(9).replace(":9,", ":-9,")]
    {
        assert!(data.frame(&frame, 0).is_err(), "{frame}");
    }
    let next = data.frame(&book("delta", 1_020, 2, "100.0", "100.2"), 0).unwrap();
    assert_eq!(kinds(&next), ["time"], "the book goes on where it was");
    assert_eq!(data.market_ms(), 1_020);
}
