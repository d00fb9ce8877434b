//! A small exchange to test against.
#![allow(dead_code, missing_docs)]

use paper_venue::exchange::account::Opening;
use paper_venue::exchange::order::Execution;
use paper_venue::exchange::{Exchange, Notice, Refusal};
use paper_venue::market::rule_schedule::RuleSet;
use paper_venue::market::Market;
use protocol::bybit::enums::Side;
use protocol::bybit::envelope::OrderReference;
use rust_decimal::Decimal;
use serde_json::{json, Value};

/// A Monday at midnight UTC.
pub const ORIGIN: i64 = 1_704_067_200_000;
pub const START: i64 = ORIGIN + 3_600_000;

pub fn opening(key: &str, usdt: i64) -> Opening {
    Opening { key: key.to_owned(), secret: format!("{key}-secret"), usdt: Decimal::from(usdt) }
}

pub fn exchange(seed: u64) -> Exchange {
    let symbols = ["BTCUSDT".to_owned(), "ETHUSDT".to_owned()];
    let market = Market::simulated(seed, ORIGIN, &symbols, RuleSet::None);
    Exchange::new(seed, market, &[opening("one", 100_000), opening("two", 100_000)], START)
}

pub fn body(symbol: &str, side: Side, qty: &str, more: Value) -> Value {
    let mut body = json!({
        "category": "linear", "symbol": symbol, "side": side.as_str(), "orderType": "Market", "qty": qty,
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

pub fn limit(side: Side, qty: &str, price: &str, more: Value) -> Value {
    let mut all = json!({"orderType": "Limit", "price": price});
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    body("BTCUSDT", side, qty, all)
}

pub fn best(exchange: &Exchange, side: Side) -> (i64, i64) {
    exchange.levels(0, side, 1)[0]
}

pub fn price(exchange: &Exchange, ticks: i64) -> String {
    exchange.instruments()[0].price(ticks)
}

pub fn code(result: Result<OrderReference, Refusal>) -> i64 {
    result.map_or_else(|refusal| refusal.code, |_| 0)
}

pub fn executions(notices: &[Notice]) -> Vec<(usize, Execution)> {
    let fills = notices.iter().filter_map(|notice| match notice {
        Notice::Execution(account, execution) => Some((*account, (**execution).clone())),
        _ => None,
    });
    fills.collect()
}

pub fn status(exchange: &Exchange, account: usize, link: &str) -> (String, String, String) {
    let number = exchange.find(account, "", link).expect("an order");
    let row = exchange.order_row(exchange.order(number).expect("an order"), false);
    (row.order_status, row.reject_reason, row.cancel_type)
}

/// `wallet - initial = sum(-side * price * qty - fee) + signed open cost - funding`, to the last unit.
pub fn assert_wallet_identity(exchange: &Exchange) {
    for (index, account) in exchange.accounts().iter().enumerate() {
        let mut expected = account.initial;
        for execution in &account.executions {
            let row = exchange.execution_row(execution, false);
            let decimal = |text: &str| text.parse::<Decimal>().expect("a decimal");
            expected -= decimal(&row.exec_fee);
            if row.exec_type == "Trade" {
                let sign = Decimal::from(execution.side.sign());
                expected -= sign * decimal(&row.exec_price) * decimal(&row.exec_qty);
            }
        }
        for symbol in 0..exchange.instruments().len() {
            let row = exchange.position_row(index, symbol, false);
            let cost: Decimal = row.position_value.parse().expect("a decimal");
            expected += if row.side == "Sell" { -cost } else { cost };
        }
        assert_eq!(account.wallet, expected, "account {index}");
    }
}
