//! Which parameters a request takes. One that is not known is refused: to ignore it would answer another
//! question than the one that was asked, or place an order without the stop that it was to have.

use super::request_error::RequestError;
use crate::exchange::Refusal;
use protocol::bybit::codes;
use serde_json::Value;

/// Parameters of the queries of market data, by the last part of their path.
const PUBLIC: [(&str, &[&str]); 10] = [
    ("time", &[]),
    ("kline", &KLINE),
    ("mark-price-kline", &KLINE),
    ("index-price-kline", &KLINE),
    ("orderbook", &["category", "symbol", "limit"]),
    ("tickers", &["category", "symbol", "baseCoin"]),
    ("recent-trade", &["category", "symbol", "limit"]),
    (
        "instruments-info",
        &["category", "symbol", "symbolType", "status", "baseCoin", "limit", "cursor"],
    ),
    ("price-limit", &["category", "symbol"]),
    ("funding/history", &["category", "symbol", "startTime", "endTime", "limit"]),
];

const KLINE: [&str; 6] = ["category", "symbol", "interval", "start", "end", "limit"];

/// Parameters of the private queries, by path.
const PRIVATE: [(&str, &[&str]); 9] = [
    (
        "/v5/order/realtime",
        &[
            "category",
            "symbol",
            "baseCoin",
            "settleCoin",
            "orderId",
            "orderLinkId",
            "openOnly",
            "orderFilter",
            "limit",
            "cursor",
        ],
    ),
    (
        "/v5/order/history",
        &[
            "category",
            "symbol",
            "baseCoin",
            "settleCoin",
            "orderId",
            "orderLinkId",
            "orderFilter",
            "orderStatus",
            "startTime",
            "endTime",
            "limit",
            "cursor",
        ],
    ),
    (
        "/v5/execution/list",
        &[
            "category",
            "symbol",
            "baseCoin",
            "settleCoin",
            "orderId",
            "orderLinkId",
            "execType",
            "startTime",
            "endTime",
            "limit",
            "cursor",
        ],
    ),
    ("/v5/position/list", &["category", "symbol", "baseCoin", "settleCoin", "limit", "cursor"]),
    ("/v5/account/wallet-balance", &["accountType", "coin"]),
    ("/v5/account/info", &[]),
    ("/v5/user/query-api", &[]),
    ("/v5/account/fee-rate", &["category", "symbol", "baseCoin"]),
    ("/v5/asset/coin/query-info", &["coin"]),
];

/// Fields of the private orders, by path: those of the exchange for linear perpetuals, and what ccxt
/// passes on of its own (`trigger`, `stop`, and `reduceOnly` with the exits of a position).
const ORDERS: [(&str, &[&str]); 7] = [
    (
        "/v5/order/create",
        &[
            "category",
            "symbol",
            "side",
            "orderType",
            "qty",
            "price",
            "timeInForce",
            "orderLinkId",
            "orderFilter",
            "reduceOnly",
            "closeOnTrigger",
            "positionIdx",
            "triggerPrice",
            "triggerDirection",
            "triggerBy",
            "takeProfit",
            "stopLoss",
            "tpTriggerBy",
            "slTriggerBy",
            "tpslMode",
            "tpOrderType",
            "slOrderType",
            "tpLimitPrice",
            "slLimitPrice",
            "smpType",
            "slippageToleranceType",
            "slippageTolerance",
            "bboSideType",
            "bboLevel",
            "isLeverage",
            "marketUnit",
            "mmp",
            "orderIv",
        ],
    ),
    (
        "/v5/order/amend",
        &[
            "category",
            "symbol",
            "orderId",
            "orderLinkId",
            "qty",
            "price",
            "triggerPrice",
            "triggerBy",
            "takeProfit",
            "stopLoss",
            "tpTriggerBy",
            "slTriggerBy",
            "tpslMode",
            "tpLimitPrice",
            "slLimitPrice",
            "orderIv",
        ],
    ),
    (
        "/v5/order/cancel",
        &["category", "symbol", "orderId", "orderLinkId", "orderFilter", "trigger", "stop"],
    ),
    (
        "/v5/order/cancel-all",
        &[
            "category",
            "symbol",
            "baseCoin",
            "settleCoin",
            "orderFilter",
            "stopOrderType",
            "trigger",
            "stop",
        ],
    ),
    ("/v5/position/set-leverage", &["category", "symbol", "buyLeverage", "sellLeverage"]),
    ("/v5/position/switch-mode", &["category", "symbol", "coin", "mode"]),
    (
        "/v5/position/trading-stop",
        &[
            "category",
            "symbol",
            "positionIdx",
            "takeProfit",
            "stopLoss",
            "trailingStop",
            "activePrice",
            "tpTriggerBy",
            "slTriggerBy",
            "tpslMode",
            "tpSize",
            "slSize",
            "tpLimitPrice",
            "slLimitPrice",
            "tpOrderType",
            "slOrderType",
            "reduceOnly",
        ],
    ),
];

/// Refuses a parameter that a query of market data does not take.
///
/// # Errors
/// The parameter by name, and those that there are.
pub fn check_public(path: &str, query: &Value) -> Result<(), Refusal> {
    check(&PUBLIC, path, query)
}

/// Refuses a parameter that a private query, or a field that a private order, does not take.
///
/// # Errors
/// The parameter by name, and those that there are.
pub fn check_private(path: &str, query: &Value) -> Result<(), Refusal> {
    check(&PRIVATE, path, query)?;
    check(&ORDERS, path, query)
}

fn check(table: &[(&str, &[&str])], path: &str, query: &Value) -> Result<(), Refusal> {
    let Some((_, known)) = table.iter().find(|(name, _)| *name == path) else { return Ok(()) };
    only(known, query)
        .map_err(|line| Refusal::new(codes::PARAMETER, format!("params error: {line}")))
}

/// Refuses a field that is not among the known ones.
///
/// # Errors
/// The field by name, and the known ones.
pub fn only(known: &[&str], query: &Value) -> Result<(), RequestError> {
    let fields = query.as_object().into_iter().flatten();
    let unknown = fields.map(|(name, _)| name).find(|name| !known.contains(&name.as_str()));
    match unknown {
        None => Ok(()),
        Some(name) if known.is_empty() => {
            Err(format!("{name} is not known here; there is none").into())
        }
        Some(name) => {
            Err(format!("{name} is not known here; there are {}", known.join(", ")).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::private;
    use serde_json::json;

    #[test]
    fn every_private_request_names_what_it_takes() {
        let queries = PRIVATE.map(|(path, _)| ("GET", path));
        let orders = ORDERS.map(|(path, _)| ("POST", path));
        for (method, path) in queries.into_iter().chain(orders) {
            assert!(private::bucket(method, path).is_some(), "{path}");
            let refused = check_private(path, &json!({"ordrStatus": "Filled"}));
            let refused = refused.expect_err("misspelt");
            assert!(refused.code == codes::PARAMETER, "{path}");
            assert!(refused.message.contains("ordrStatus"), "{}", refused.message);
        }
    }
}
