//! A replayed market serves exactly the candles that were recorded.

mod support;

use paper_venue::exchange::{Exchange, Notice};
use paper_venue::market::candle::Candle;
use paper_venue::market::instrument::Instrument;
use paper_venue::market::random::Stream;
use paper_venue::market::replay::{Recording, Replay};
use paper_venue::market::Market;
use protocol::bybit::enums::Side;
use support::*;

const MINUTE: i64 = 60_000;

/// A walk of candles with a hole of five minutes.
fn recording(symbol: &str, minutes: i64) -> Recording {
    let mut stream = Stream::new(&[9, minutes.unsigned_abs()]);
    let mut price = 1_000_000_i64;
    let mut candles = Vec::new();
    for minute in 0..minutes {
        let open = price;
        let wiggle = |stream: &mut Stream| stream.below(900).cast_signed() - 450;
        let close = open + wiggle(&mut stream);
        let (high, low) = (
            open.max(close) + stream.below(300).cast_signed(),
            open.min(close) - stream.below(300).cast_signed(),
        );
        let volume = if minute % 17 == 0 { 0 } else { stream.below(90_000).cast_signed() };
        price = close + wiggle(&mut stream) / 9;
        if !(100..105).contains(&minute) {
            let open_ts = ORIGIN + minute * MINUTE;
            candles.push(Candle {
                open_ts,
                open,
                high,
                low,
                close,
                volume,
                turnover: i128::from(volume) * i128::from(open),
            });
        }
    }
    let instrument = Instrument::new(symbol, (1, 3, 3), 100_000.0, 45.0);
    Recording { instrument, candles, funding: Vec::new() }
}

#[test]
fn candles_that_close_live_are_the_recorded_ones_and_so_are_the_trades_inside() {
    let recordings = vec![recording("BTCUSDT", 300), recording("ETHUSDT", 200)];
    let market = Market::replayed(Replay::new(4, recordings.clone()));
    let start = ORIGIN + 50 * MINUTE;
    let mut exchange = Exchange::new(4, market, &[opening("one", 1_000)], start);
    assert_eq!(exchange.market().history(0), &recordings[0].candles[..50]);
    let (mut closed, mut volumes) = (vec![Vec::new(), Vec::new()], vec![0_i64; 2]);
    let mut ts = start;
    while !exchange.ended() {
        ts += 7_001;
        exchange.advance(ts);
        for notice in exchange.drain() {
            match notice {
                Notice::Closed(candles) => {
                    for (symbol, candle) in candles {
                        assert_eq!(
                            volumes[symbol], candle.volume,
                            "trades add up to the candle's volume"
                        );
                        volumes[symbol] = 0;
                        closed[symbol].push(candle);
                    }
                }
                Notice::Trade { symbol, point, .. } => volumes[symbol] += point.qty,
                _ => {}
            }
        }
        let (bid, ask) = (best(&exchange, Side::Buy).0, best(&exchange, Side::Sell).0);
        assert!(bid < ask && ask - bid <= 2, "a spread of a tick or two");
    }
    for (symbol, recording) in recordings.iter().enumerate() {
        let live: Vec<Candle> =
            recording.candles.iter().filter(|c| c.open_ts >= start).copied().collect();
        assert_eq!(closed[symbol], live);
        assert_eq!(exchange.market().history(symbol), recording.candles);
    }
    assert_eq!(exchange.now(), ORIGIN + 300 * MINUTE, "market time stands still at the end");
    exchange.advance(ts + 3_600_000);
    assert!(exchange.drain().is_empty(), "nothing new after the end");
}
