//! Private requests: orders, executions, positions, wallet and settings.

use super::answer::Answer;
use super::{parameters, public, Core, Venue};
use crate::exchange::exits::Exits;
use crate::exchange::order::Order;
use crate::exchange::request::Fields;
use crate::exchange::{Exchange, Refusal};
use protocol::bybit::codes;
use protocol::bybit::decimals;
use protocol::bybit::enums::OrderStatus;
use rust_decimal::Decimal;
use serde_json::{json, Value};

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(codes::PARAMETER, message)
}

/// The limit per second of a private path, and the bucket it counts in; `None` if there is none.
#[must_use]
pub fn bucket(method: &str, path: &str) -> Option<(&'static str, usize)> {
    Some(match (method, path) {
        ("POST", "/v5/order/create") => ("create", 10),
        ("POST", "/v5/order/amend") => ("amend", 10),
        ("POST", "/v5/order/cancel") => ("cancel", 10),
        ("POST", "/v5/order/cancel-all") => ("cancel-all", 10),
        ("POST", "/v5/order/create-batch") => ("create-batch", 10),
        ("POST", "/v5/order/amend-batch") => ("amend-batch", 10),
        ("POST", "/v5/order/cancel-batch") => ("cancel-batch", 10),
        ("POST", "/v5/position/set-leverage") => ("set-leverage", 10),
        ("POST", "/v5/position/switch-mode") => ("switch-mode", 10),
        ("POST", "/v5/position/trading-stop") => ("trading-stop", 10),
        ("GET", "/v5/order/realtime") => ("realtime", 50),
        ("GET", "/v5/order/history") => ("history", 50),
        ("GET", "/v5/execution/list") => ("execution", 50),
        ("GET", "/v5/position/list") => ("position", 50),
        ("GET", "/v5/account/wallet-balance") => ("wallet", 50),
        ("GET", "/v5/account/info") => ("info", 50),
        ("GET", "/v5/user/query-api") => ("query-api", 10),
        ("GET", "/v5/account/fee-rate") => ("fee-rate", 10),
        ("GET", "/v5/asset/coin/query-info") => ("coin-info", 10),
        _ => return None,
    })
}

/// Answers a private request whose sender is known.
///
/// # Errors
/// A refusal of the exchange.
pub fn answer(core: &mut Core, venue: &Venue, account: usize, path: &str, body: &Value) -> Answer {
    parameters::check_private(path, body)?;
    let fields = Fields(body);
    match path {
        "/v5/order/create" => reference(core.exchange.create(account, body)),
        "/v5/order/amend" => reference(core.exchange.amend(account, body)),
        "/v5/order/cancel" => reference(core.exchange.cancel(account, body)),
        "/v5/order/cancel-all" => {
            let list = core.exchange.cancel_all(account, body)?;
            Ok(json!({"list": list, "success": "1"}))
        }
        "/v5/position/set-leverage" => set_leverage(&mut core.exchange, account, fields),
        "/v5/position/switch-mode" => switch_mode(fields),
        "/v5/position/trading-stop" => trading_stop(&mut core.exchange, account, fields),
        "/v5/order/realtime" => orders(&core.exchange, account, fields, true),
        "/v5/order/history" => orders(&core.exchange, account, fields, false),
        "/v5/execution/list" => executions(&core.exchange, account, fields),
        "/v5/position/list" => positions(&core.exchange, account, fields),
        "/v5/account/wallet-balance" => wallet(&core.exchange, account, fields),
        "/v5/account/info" => Ok(account_info(core.exchange.now())),
        "/v5/user/query-api" => Ok(key_info(venue, account)),
        "/v5/account/fee-rate" => public::fee_rates(core, fields),
        // ccxt asks for it when it loads markets; nothing can be paid in or out here.
        "/v5/asset/coin/query-info" => {
            let usdt = json!({"name": "USDT", "coin": "USDT", "remainAmount": "0", "chains": []});
            let rows = if holds_usdt(&fields.text("coin")?) { vec![usdt] } else { Vec::new() };
            Ok(json!({"rows": rows}))
        }
        _ => Err(Refusal::new(codes::ROUTE, format!("route {path} not found"))),
    }
}

fn account_info(now: i64) -> Value {
    json!({
        "unifiedMarginStatus": 5,
        "marginMode": "REGULAR_MARGIN",
        "isMasterTrader": false,
        "spotHedgingStatus": "OFF",
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "updatedTime": now.to_string(),
    })
}

fn key_info(venue: &Venue, account: usize) -> Value {
    json!({
        "id": account.to_string(),
        "note": "paper",
        "apiKey": venue.keys.get(account).map_or("", |opening| opening.key.as_str()),
        "readOnly": 0,
        "secret": "",
        "permissions": {"ContractTrade": ["Order", "Position"], "Derivatives": ["DerivativesTrade"]},
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": "2099-01-01T00:00:00Z",
        "createdAt": "2024-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": account + 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "isMaster": true,
        "parentUid": "0",
    })
}

/// Whether a list of coins, by commas, has the only one that there is; an empty list has all.
fn holds_usdt(coins: &str) -> bool {
    coins.is_empty() || coins.split(',').any(|coin| coin == "USDT")
}

fn wallet(exchange: &Exchange, account: usize, fields: Fields<'_>) -> Answer {
    let kind = fields.required("accountType")?;
    if kind != "UNIFIED" {
        return Err(bad(format!("params error: accountType {kind} invalid, use UNIFIED")));
    }
    let mut row = json!(exchange.wallet_row(account));
    if !holds_usdt(&fields.text("coin")?) {
        row["coin"] = json!([]);
    }
    Ok(json!({"list": [row]}))
}

fn reference(result: Result<protocol::bybit::envelope::OrderReference, Refusal>) -> Answer {
    let reference = result?;
    Ok(json!({"orderId": reference.order_id, "orderLinkId": reference.order_link_id}))
}

fn is_foreign(fields: Fields<'_>) -> Result<bool, Refusal> {
    Ok(matches!(fields.required("category")?.as_str(), "spot" | "inverse" | "option"))
}

fn empty(fields: Fields<'_>) -> Answer {
    Ok(json!({"category": fields.text("category")?, "list": [], "nextPageCursor": ""}))
}

/// Rows below a cursor, newest first, and where the next page begins.
fn page<T>(
    rows: Vec<(u64, T)>,
    fields: Fields<'_>,
    usual: usize,
    most: i64,
) -> Result<(Vec<T>, String), Refusal> {
    let asked = fields.whole("limit")?;
    if !(0..=most).contains(&asked) {
        return Err(bad(format!("params error: limit {asked} is not between 1 and {most}")));
    }
    let limit = if asked == 0 { usual } else { usize::try_from(asked).unwrap_or(usual) };
    let cursor = fields.text("cursor")?;
    let below = if cursor.is_empty() {
        u64::MAX
    } else {
        let number = cursor.strip_prefix("c.").and_then(|number| number.parse().ok());
        number.ok_or_else(|| bad(format!("params error: cursor {cursor} invalid")))?
    };
    let mut rows: Vec<(u64, T)> = rows.into_iter().filter(|(key, _)| *key < below).collect();
    rows.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map_or_else(String::new, |(key, _)| format!("c.{key}"));
    Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
}

/// Longest window of a query.
const LONGEST_WINDOW_MS: i64 = 7 * 86_400_000;

/// Whether an instant lies in the asked window.
fn in_window(fields: Fields<'_>) -> Result<impl Fn(i64) -> bool, Refusal> {
    let (start, end) = (fields.whole("startTime")?, fields.whole("endTime")?);
    if start < 0 || end < 0 || (end != 0 && start > end) {
        return Err(bad(format!(
            "params error: startTime {start} and endTime {end} are no window"
        )));
    }
    if start != 0 && end.saturating_sub(start) > LONGEST_WINDOW_MS {
        return Err(bad("params error: startTime to endTime is longer than 7 days"));
    }
    Ok(move |ts: i64| ts >= start && (end == 0 || ts <= end))
}

/// Which symbols a query is about.
fn scope(exchange: &Exchange, fields: Fields<'_>) -> Result<Option<Vec<usize>>, Refusal> {
    let (name, base) = (fields.text("symbol")?, fields.text("baseCoin")?);
    if !name.is_empty() {
        let symbol = exchange.symbol(&name);
        return symbol
            .map(|s| Some(vec![s]))
            .ok_or_else(|| bad(format!("params error: symbol {name} invalid")));
    }
    if !base.is_empty() {
        let all = exchange.instruments().iter().enumerate().filter(|(_, one)| one.base == base);
        return Ok(Some(all.map(|(index, _)| index).collect()));
    }
    match fields.text("settleCoin")?.as_str() {
        "" => Ok(None),
        "USDT" => Ok(Some((0..exchange.instruments().len()).collect())),
        // Nothing here settles in another coin.
        _ => Ok(Some(Vec::new())),
    }
}

/// What an order can become.
const STATUSES: [&str; 9] = [
    "New",
    "PartiallyFilled",
    "Untriggered",
    "Rejected",
    "PartiallyFilledCanceled",
    "Filled",
    "Cancelled",
    "Triggered",
    "Deactivated",
];

/// What an execution can be.
const EXECUTIONS: [&str; 9] = [
    "Trade",
    "AdlTrade",
    "Funding",
    "BustTrade",
    "Delivery",
    "Settle",
    "BlockTrade",
    "MovePosition",
    "FutureSpread",
];

fn orders(exchange: &Exchange, account: usize, fields: Fields<'_>, realtime: bool) -> Answer {
    if is_foreign(fields)? {
        return empty(fields);
    }
    fields.linear()?;
    let (id, link_id) = (fields.text("orderId")?, fields.text("orderLinkId")?);
    let owner = &exchange.accounts()[account];
    let named = !id.is_empty() || !link_id.is_empty();
    let scope = scope(exchange, fields)?;
    if realtime && !named && scope.is_none() {
        return Err(bad("params error: symbol, baseCoin or settleCoin is missing"));
    }
    let closed = fields.one_of("openOnly", &["0", "1"])? == Some("1");
    let window = in_window(fields)?;
    let filter = fields.one_of("orderFilter", &["Order", "StopOrder"])?;
    let status = fields.one_of("orderStatus", &STATUSES)?;
    let numbers: Vec<u64> = if named {
        exchange.find(account, &id, &link_id).into_iter().collect()
    } else if realtime && !closed {
        owner.open.iter().copied().collect()
    } else if realtime {
        owner.ended.iter().rev().take(500).copied().collect()
    } else {
        owner.ended.clone()
    };
    let wanted = |order: &&Order| {
        let conditional = order.status == OrderStatus::Untriggered;
        (named || scope.as_ref().is_none_or(|symbols| symbols.contains(&order.symbol)))
            && (realtime || (window(order.updated) && !order.status.is_open()))
            && status.is_none_or(|status| order.status.as_str() == status)
            && filter.is_none_or(|filter| (filter == "StopOrder") == conditional)
    };
    let found = numbers.iter().filter_map(|number| exchange.order(*number)).filter(wanted);
    let rows = found.map(|order| (order.number, exchange.order_row(order, false))).collect();
    let (list, next) = page(rows, fields, 20, 50)?;
    Ok(json!({"category": "linear", "list": list, "nextPageCursor": next}))
}

fn executions(exchange: &Exchange, account: usize, fields: Fields<'_>) -> Answer {
    if is_foreign(fields)? {
        return empty(fields);
    }
    fields.linear()?;
    let scope = scope(exchange, fields)?;
    let (id, link_id) = (fields.text("orderId")?, fields.text("orderLinkId")?);
    let kind = fields.one_of("execType", &EXECUTIONS)?;
    let window = in_window(fields)?;
    let all =
        exchange.accounts()[account].executions.iter().enumerate().filter(|(_, execution)| {
            let order = execution.order.as_ref();
            scope.as_ref().is_none_or(|symbols| symbols.contains(&execution.symbol))
                && window(execution.ts)
                && (id.is_empty() || order.is_some_and(|order| order.id == id))
                && (link_id.is_empty() || order.is_some_and(|order| order.link_id == link_id))
                && kind.is_none_or(|kind| kind == if order.is_some() { "Trade" } else { "Funding" })
        });
    let rows = all
        .map(|(index, one)| {
            (u64::try_from(index).unwrap_or(0) + 1, exchange.execution_row(one, false))
        })
        .collect();
    let (list, next) = page(rows, fields, 50, 100)?;
    Ok(json!({"category": "linear", "list": list, "nextPageCursor": next}))
}

fn positions(exchange: &Exchange, account: usize, fields: Fields<'_>) -> Answer {
    if is_foreign(fields)? {
        return empty(fields);
    }
    fields.linear()?;
    let named = !fields.text("symbol")?.is_empty();
    let symbols = scope(exchange, fields)?
        .ok_or_else(|| bad("params error: symbol or settleCoin is missing"))?;
    let owner = &exchange.accounts()[account];
    let shown = symbols.into_iter().filter(|symbol| named || owner.positions[*symbol].size != 0);
    let rows = shown
        .map(|symbol| (u64::MAX - 1 - symbol as u64, exchange.position_row(account, symbol, false)))
        .collect();
    let (list, next) = page(rows, fields, 20, 200)?;
    Ok(json!({"category": "linear", "list": list, "nextPageCursor": next}))
}

fn set_leverage(exchange: &mut Exchange, account: usize, fields: Fields<'_>) -> Answer {
    fields.linear()?;
    let name = fields.required("symbol")?;
    let symbol = exchange
        .symbol(&name)
        .ok_or_else(|| bad(format!("params error: symbol {name} invalid")))?;
    let read = |field: &str| -> Result<Decimal, Refusal> {
        let text = fields.required(field)?;
        decimals::parse(&text)
            .ok_or_else(|| bad(format!("params error: {field} {text} is not a number")))
    };
    let (buy, sell) = (read("buyLeverage")?, read("sellLeverage")?);
    if buy != sell {
        return Err(bad(
            "params error: buyLeverage and sellLeverage must be equal in one-way mode",
        ));
    }
    if buy < Decimal::ONE || buy > exchange.instruments()[symbol].max_leverage {
        return Err(Refusal::new(
            codes::LEVERAGE_RANGE,
            "cannot set leverage gt maxLeverage by risk limit",
        ));
    }
    exchange.set_leverage(account, symbol, buy)?;
    Ok(json!({}))
}

fn switch_mode(fields: Fields<'_>) -> Answer {
    fields.linear()?;
    match fields.required("mode")?.as_str() {
        "0" => Err(Refusal::new(codes::MODE_UNCHANGED, "Position mode is not modified")),
        "3" => Err(bad("params error: mode 3 (hedge) is not served here, use 0 (one-way)")),
        other => Err(bad(format!("params error: mode {other} invalid"))),
    }
}

fn trading_stop(exchange: &mut Exchange, account: usize, fields: Fields<'_>) -> Answer {
    fields.linear()?;
    let name = fields.required("symbol")?;
    let symbol = exchange
        .symbol(&name)
        .ok_or_else(|| bad(format!("params error: symbol {name} invalid")))?;
    if fields.whole("positionIdx")? != 0 {
        return Err(bad("position idx not match position mode"));
    }
    let instrument = &exchange.instruments()[symbol];
    let (ticks, steps) = (instrument.price_decimals, instrument.qty_decimals);
    let exits = Exits {
        take_profit: fields.scaled("takeProfit", ticks)?,
        stop_loss: fields.scaled("stopLoss", ticks)?,
        trailing: fields.scaled("trailingStop", ticks)?,
        starts_at: fields.scaled("activePrice", ticks)?,
        sizes: (
            fields.scaled("tpSize", steps)?.unwrap_or(0),
            fields.scaled("slSize", steps)?.unwrap_or(0),
        ),
        terms: fields.exit_terms(ticks)?,
    };
    exchange.set_exits(account, symbol, &exits)?;
    Ok(json!({}))
}
