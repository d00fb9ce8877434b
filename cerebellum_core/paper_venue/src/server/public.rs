//! Queries of market data.

use super::answer::Answer;
use super::{parameters, Core};
use crate::clock::wall_ns;
use crate::exchange::request::Fields;
use crate::exchange::Refusal;
use crate::feed::candles::{self, Interval};
use crate::feed::trade_id;
use crate::market::instrument::Instrument;
use protocol::bybit::codes;
use rust_decimal::Decimal;
use serde_json::{json, Value};

fn bad(message: String) -> Refusal {
    Refusal::new(codes::PARAMETER, message)
}

fn limit(fields: Fields<'_>, usual: i64, most: i64) -> Result<usize, Refusal> {
    let asked = fields.whole("limit")?;
    let limit = if asked == 0 { usual } else { asked };
    if !(1..=most).contains(&limit) {
        return Err(bad(format!("params error: limit {limit} is not between 1 and {most}")));
    }
    Ok(usize::try_from(limit).unwrap_or(1))
}

/// An instant of market time; `None` when missing.
fn instant(fields: Fields<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    Ok(if fields.text(name)?.is_empty() { None } else { Some(fields.whole(name)?) })
}

fn symbol(core: &Core, fields: Fields<'_>) -> Result<usize, Refusal> {
    fields.linear()?;
    let name = fields.required("symbol")?;
    core.exchange.symbol(&name).ok_or_else(|| bad(format!("params error: symbol {name} invalid")))
}

/// Categories that exist at the real exchange and are empty here.
fn is_foreign(fields: Fields<'_>) -> Result<bool, Refusal> {
    Ok(matches!(fields.text("category")?.as_str(), "spot" | "inverse" | "option"))
}

/// Answers a public query; `None` when the path does not exist.
///
/// # Errors
/// A parameter that is missing or wrong.
pub fn answer(core: &mut Core, path: &str, query: &Value) -> Option<Answer> {
    let fields = Fields(query);
    if let Err(refusal) = parameters::check_public(path, query) {
        return Some(Err(refusal));
    }
    Some(match path {
        "time" => {
            // A clock that is off on demand shows it, as it would at a real venue.
            let offset = i128::from(core.faults.clock_offset_ms) * 1_000_000;
            let nanos = i128::try_from(wall_ns()).unwrap_or(0) + offset;
            Ok(
                json!({"timeSecond": (nanos / 1_000_000_000).to_string(), "timeNano": nanos.to_string()}),
            )
        }
        "kline" | "mark-price-kline" | "index-price-kline" => kline(core, fields),
        "orderbook" => orderbook(core, fields),
        "tickers" => tickers(core, fields),
        "recent-trade" => recent_trade(core, fields),
        "instruments-info" => instruments(core, fields),
        "price-limit" => price_limit(core, fields),
        "funding/history" => funding_history(core, fields),
        _ => return None,
    })
}

fn kline(core: &mut Core, fields: Fields<'_>) -> Answer {
    let symbol = symbol(core, fields)?;
    let text = fields.required("interval")?;
    let interval = Interval::read(&text)
        .ok_or_else(|| bad(format!("params error: interval {text} invalid")))?;
    let limit = limit(fields, 200, 1_000)?;
    let window = (instant(fields, "start")?, instant(fields, "end")?);
    let candles = candles::select(&core.exchange, symbol, interval, window, limit);
    let instrument = &core.exchange.instruments()[symbol];
    let rows: Vec<Value> =
        candles.iter().rev().map(|candle| candles::row(instrument, candle)).collect();
    Ok(json!({"symbol": instrument.symbol, "category": "linear", "list": rows}))
}

fn orderbook(core: &mut Core, fields: Fields<'_>) -> Answer {
    let symbol = symbol(core, fields)?;
    let depth = limit(fields, 25, 1_000)?;
    let view = core.feed.book(&mut core.exchange, &mut core.hub, symbol);
    let instrument = &core.exchange.instruments()[symbol];
    let side = |levels: &[(i64, i64)]| -> Vec<Value> {
        let top = levels.iter().take(depth);
        top.map(|(price, qty)| json!([instrument.price(*price), instrument.qty(*qty)])).collect()
    };
    Ok(json!({
        "s": instrument.symbol,
        "b": side(&view.bids),
        "a": side(&view.asks),
        "ts": view.ts,
        "u": view.update,
        "seq": view.seq,
        "cts": view.cts,
    }))
}

fn tickers(core: &mut Core, fields: Fields<'_>) -> Answer {
    let wanted: Vec<usize> = if is_foreign(fields)? {
        Vec::new()
    } else if fields.text("symbol")?.is_empty() {
        fields.linear()?;
        let base = fields.text("baseCoin")?;
        let all = core.exchange.instruments().iter().enumerate();
        all.filter(|(_, one)| base.is_empty() || one.base == base).map(|(index, _)| index).collect()
    } else {
        vec![symbol(core, fields)?]
    };
    let rows: Vec<Value> = wanted
        .into_iter()
        .map(|symbol| Value::Object(core.feed.ticker(&core.exchange, symbol)))
        .collect();
    Ok(json!({"category": fields.text("category")?, "list": rows}))
}

fn recent_trade(core: &mut Core, fields: Fields<'_>) -> Answer {
    let symbol = symbol(core, fields)?;
    let limit = limit(fields, 500, 1_000)?;
    let instrument = &core.exchange.instruments()[symbol];
    let recent = core.exchange.state(symbol).map(|state| &state.recent);
    let rows: Vec<Value> = recent
        .into_iter()
        .flatten()
        .rev()
        .take(limit)
        .map(|(point, seq, row)| {
            if let Some(row) = row {
                return reported_trade(row);
            }
            json!({
                "execId": trade_id(&instrument.symbol, *seq),
                "symbol": instrument.symbol,
                "price": instrument.price(point.price),
                "size": instrument.volume(point.qty),
                "side": point.side.as_str(),
                "time": point.ts.to_string(),
                "isBlockTrade": false,
                "isRPITrade": false,
                "seq": seq.to_string(),
            })
        })
        .collect();
    Ok(json!({"category": "linear", "list": rows}))
}

/// A trade that others reported, as REST spells it.
fn reported_trade(row: &Value) -> Value {
    let field = |name: &str| row.get(name).cloned().unwrap_or(Value::Null);
    let text = |name: &str| match field(name) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    json!({
        "execId": field("i"),
        "symbol": field("s"),
        "price": field("p"),
        "size": field("v"),
        "side": field("S"),
        "time": text("T"),
        "isBlockTrade": field("BT"),
        "isRPITrade": field("RPI"),
        "seq": text("seq"),
    })
}

fn instruments(core: &mut Core, fields: Fields<'_>) -> Answer {
    let status = fields.text("status")?;
    let (name, base) = (fields.text("symbol")?, fields.text("baseCoin")?);
    let limit = limit(fields, 500, 1_000)?;
    let category = fields.required("category")?;
    if is_foreign(fields)? {
        return Ok(json!({"category": category, "list": [], "nextPageCursor": ""}));
    }
    fields.linear()?;
    let kind = fields.text("symbolType")?;
    let cursor = fields.text("cursor")?;
    let place = cursor.strip_prefix("i.").and_then(|number| number.parse().ok());
    let from: usize = match place {
        Some(place) => place,
        None if cursor.is_empty() => 0,
        None => return Err(bad(format!("params error: cursor {cursor} invalid"))),
    };
    let all = core.exchange.instruments().iter().filter(|one| {
        (status.is_empty() || status == "Trading")
            && (name.is_empty() || one.symbol == name)
            && (base.is_empty() || one.base == base)
            && (kind.is_empty() || instrument_row(one)["symbolType"] == kind.as_str())
    });
    let matching: Vec<&Instrument> = all.collect();
    if !name.is_empty() && matching.is_empty() && status.is_empty() {
        return Err(bad(format!("params error: symbol {name} invalid")));
    }
    let rows: Vec<Value> =
        matching.iter().skip(from).take(limit).map(|one| instrument_row(one)).collect();
    let next = if from + rows.len() < matching.len() {
        format!("i.{}", from + rows.len())
    } else {
        String::new()
    };
    Ok(json!({"category": "linear", "list": rows, "nextPageCursor": next}))
}

fn instrument_row(one: &Instrument) -> Value {
    if let Some(row) = &one.row {
        return row.clone();
    }
    json!({
        "symbol": one.symbol,
        "symbolId": 1,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": one.base,
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": one.price_decimals.to_string(),
        "leverageFilter": {
            "minLeverage": "1", "maxLeverage": format!("{}.00", one.max_leverage), "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": one.price(one.tick),
            "maxPrice": one.price(10_i64.pow(one.price_decimals).saturating_mul(1_999_999)),
            "tickSize": one.price(one.tick),
        },
        "lotSizeFilter": {
            "minOrderQty": one.qty(one.min_qty()),
            "maxOrderQty": one.qty(one.max_qty),
            "qtyStep": one.qty(one.qty_step),
            "maxMktOrderQty": one.qty(one.max_market_qty),
            "postOnlyMaxOrderQty": one.qty(one.max_qty),
            "minNotionalValue": one.min_notional.to_string(),
        },
        "unifiedMarginTrade": true,
        "fundingInterval": 480,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": false,
        "preListingInfo": null,
        "riskParameters": {
            "priceLimitRatioX": one.price_limit.to_string(),
            "priceLimitRatioY": one.price_limit.to_string(),
        },
        "displayName": "",
        "symbolType": "",
    })
}

fn price_limit(core: &mut Core, fields: Fields<'_>) -> Answer {
    let symbol = symbol(core, fields)?;
    let instrument = &core.exchange.instruments()[symbol];
    let (lowest, highest) = core.exchange.price_limits(symbol);
    Ok(json!({
        "symbol": instrument.symbol,
        "buyLmt": instrument.price(highest),
        "sellLmt": instrument.price(lowest),
        "ts": core.exchange.now().to_string(),
    }))
}

/// The rates of funding settlements that are over, newest first.
fn funding_history(core: &mut Core, fields: Fields<'_>) -> Answer {
    let symbol = symbol(core, fields)?;
    let limit = limit(fields, 200, 200)?;
    let (start, end) = (instant(fields, "startTime")?, instant(fields, "endTime")?);
    if start.is_some() && end.is_none() {
        return Err(bad("params error: startTime needs an endTime beside it".to_owned()));
    }
    let (start, end) = (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX));
    let name = &core.exchange.instruments()[symbol].symbol;
    let rows: Vec<Value> = core
        .exchange
        .past_funding(symbol)
        .into_iter()
        .filter(|(ts, _)| (start..=end).contains(ts))
        .take(limit)
        .map(|(ts, rate)| {
            json!({
                "symbol": name,
                "fundingRate": rate.to_string(),
                "fundingRateTimestamp": ts.to_string(),
            })
        })
        .collect();
    Ok(json!({"category": "linear", "list": rows}))
}

/// The fee rates of every symbol, or of one.
///
/// # Errors
/// An unknown symbol.
pub fn fee_rates(core: &Core, fields: Fields<'_>) -> Answer {
    let (name, base) = (fields.text("symbol")?, fields.text("baseCoin")?);
    if is_foreign(fields)? {
        return Ok(json!({"category": fields.text("category")?, "list": []}));
    }
    if !fields.text("category")?.is_empty() {
        fields.linear()?;
    }
    let show = |rate: Decimal| rate.to_string();
    let rows: Vec<Value> = core
        .exchange
        .instruments()
        .iter()
        .filter(|one| name.is_empty() || one.symbol == name)
        .filter(|one| base.is_empty() || one.base == base)
        .map(|one| {
            json!({
                "symbol": one.symbol,
                "takerFeeRate": show(crate::exchange::TAKER_FEE),
                "makerFeeRate": show(crate::exchange::MAKER_FEE),
            })
        })
        .collect();
    if rows.is_empty() && !name.is_empty() {
        return Err(bad(format!("params error: symbol {name} invalid")));
    }
    Ok(json!({"category": "linear", "list": rows}))
}
