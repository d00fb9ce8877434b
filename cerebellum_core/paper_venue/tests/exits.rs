//! Exits and triggers never lie where they would fire at once, however they are asked for.

mod support;

use paper_venue::exchange::Refusal;
use protocol::bybit::codes;
use protocol::bybit::enums::Side;
use protocol::bybit::envelope::OrderReference;
use serde_json::json;
use support::*;

fn refused(result: Result<OrderReference, Refusal>, named: &str) {
    let refusal = result.expect_err("an exit on the wrong side");
    assert_eq!(refusal.code, codes::PARAMETER, "{}", refusal.message);
    assert!(refusal.message.contains(named), "{}", refusal.message);
}

#[test]
fn an_amended_exit_lies_where_a_created_one_may_lie() {
    let mut exchange = exchange(21);
    let last = exchange.state(0).expect("a pit").last;
    let instrument = exchange.instruments()[0].clone();
    let price = |share: i64| instrument.price(last * share / 100);
    let (low, below, at, above) = (price(85), price(88), price(90), price(92));
    let ask = |exits: serde_json::Value| {
        let mut ask = json!({"category": "linear", "symbol": "BTCUSDT"});
        for (name, value) in exits.as_object().into_iter().flatten() {
            ask[name] = value.clone();
        }
        ask
    };
    let order = json!({
        "side": "Buy", "orderType": "Limit", "qty": "0.5", "price": at, "stopLoss": low,
        "orderLinkId": "resting",
    });
    exchange.create(0, &ask(order)).expect("accepted");
    for (exits, named) in [
        (json!({"stopLoss": above}), "stopLoss"),
        (json!({"stopLoss": at}), "stopLoss"),
        (json!({"takeProfit": below}), "takeProfit"),
        // The stop that is there would lie above the new price.
        (json!({"price": price(84)}), "stopLoss"),
    ] {
        let mut asked = ask(exits);
        asked["orderLinkId"] = json!("resting");
        refused(exchange.amend(0, &asked), named);
    }
    let mut moved = ask(json!({"stopLoss": below, "takeProfit": above}));
    moved["orderLinkId"] = json!("resting");
    exchange.amend(0, &moved).expect("on the right sides");
}

#[test]
fn exits_of_an_order_that_fills_at_once_respect_the_market_and_its_price() {
    let mut exchange = exchange(22);
    let last = exchange.state(0).expect("a pit").last;
    let instrument = exchange.instruments()[0].clone();
    let price = |share: i64| instrument.price(last * share / 100);
    let (beyond, between) = (price(103), price(101));
    let order = json!({"orderType": "Limit", "price": beyond, "stopLoss": between});
    refused(exchange.create(0, &body("BTCUSDT", Side::Buy, "0.5", order)), "stopLoss");
    let trigger = json!({
        "orderType": "Limit", "price": beyond, "stopLoss": price(102), "triggerPrice": between,
        "triggerDirection": 1,
    });
    refused(exchange.create(0, &body("BTCUSDT", Side::Buy, "0.5", trigger)), "stopLoss");
    assert_eq!(exchange.accounts()[0].positions[0].size, 0);
}

#[test]
fn an_amended_trigger_lies_ahead_of_the_market() {
    let mut exchange = exchange(23);
    let last = exchange.state(0).expect("a pit").last;
    let instrument = exchange.instruments()[0].clone();
    let price = |share: i64| instrument.price(last * share / 100);
    let order = json!({
        "triggerPrice": price(95), "triggerDirection": 2, "orderLinkId": "waiting",
    });
    exchange.create(0, &body("BTCUSDT", Side::Sell, "0.5", order)).expect("accepted");
    for wrong in ["0".to_owned(), price(100), price(105)] {
        let ask = json!({
            "category": "linear", "symbol": "BTCUSDT", "orderLinkId": "waiting",
            "triggerPrice": wrong,
        });
        let refusal = exchange.amend(0, &ask).expect_err("fires at once, or never");
        assert_eq!(refusal.code, codes::TRIGGER_NOT_BELOW, "{wrong}");
    }
}
