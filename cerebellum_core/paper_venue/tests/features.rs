//! Promises of what orders and positions can carry: self-match prevention, exits, tolerances.

mod support;

use paper_venue::exchange::exits::Exits;
use paper_venue::exchange::order::{ExitTerms, Order};
use paper_venue::exchange::Exchange;
use protocol::bybit::codes;
use protocol::bybit::enums::{OrderStatus, Side};
use serde_json::{json, Value};
use support::*;

/// A price between the best bid and the best ask, once there is room for one.
fn inside(exchange: &mut Exchange) -> i64 {
    let mut ts = exchange.now();
    while best(exchange, Side::Sell).0 - best(exchange, Side::Buy).0 < 2 {
        ts += 250;
        exchange.advance(ts);
    }
    best(exchange, Side::Buy).0 + 1
}

fn exits_of(exchange: &Exchange, kind: &str) -> Vec<Order> {
    let account = &exchange.accounts()[0];
    let mut numbers: Vec<u64> = account.open.iter().chain(&account.ended).copied().collect();
    numbers.sort_unstable();
    let orders = numbers.iter().filter_map(|number| exchange.order(*number));
    orders.filter(|order| order.stop_type == kind).cloned().collect()
}

fn last(exchange: &Exchange) -> i64 {
    exchange.state(0).expect("a pit").last
}

#[test]
fn self_match_prevention_cancels_whom_it_names_and_nobody_trades_with_himself() {
    for (smp, maker, taker) in [
        ("CancelMaker", "Cancelled", "Filled"),
        ("CancelTaker", "New", "Cancelled"),
        ("CancelBoth", "Cancelled", "Cancelled"),
        ("None", "Filled", "Filled"),
    ] {
        let mut exchange = exchange(3);
        let ticks = inside(&mut exchange);
        let text = price(&exchange, ticks);
        let rests = limit(Side::Buy, "0.010", &text, json!({"orderLinkId": "maker"}));
        exchange.create(0, &rests).expect("accepted");
        exchange.drain();
        let takes = json!({"orderLinkId": "taker", "smpType": smp});
        exchange.create(0, &body("BTCUSDT", Side::Sell, "0.010", takes)).expect("accepted");
        assert_eq!(status(&exchange, 0, "maker").0, maker, "{smp}");
        assert_eq!(status(&exchange, 0, "taker").0, taker, "{smp}");
        let own = executions(&exchange.drain()).iter().filter(|(_, one)| one.is_maker).count();
        assert_eq!(own > 0, smp == "None", "{smp}");
        if smp == "CancelBoth" {
            let number = exchange.find(0, "", "taker").expect("the order");
            let row = exchange.order_row(exchange.order(number).expect("kept"), true);
            assert_eq!((row.cancel_type.as_str(), row.smp_type.as_str()), ("CancelBySmp", smp));
            assert!(!row.smp_order_id.is_empty());
        }
        assert_wallet_identity(&exchange);
    }
}

#[test]
fn another_account_is_no_self_match() {
    let mut exchange = exchange(3);
    let text = inside(&mut exchange);
    let text = price(&exchange, text);
    exchange.create(1, &limit(Side::Buy, "0.010", &text, json!({}))).expect("accepted");
    let takes = json!({"orderLinkId": "taker", "smpType": "CancelBoth"});
    exchange.create(0, &body("BTCUSDT", Side::Sell, "0.010", takes)).expect("accepted");
    assert_eq!(status(&exchange, 0, "taker").0, "Filled");
}

#[test]
fn a_trailing_stop_follows_the_best_price_and_closes_behind_it() {
    let mut exchange = exchange(17);
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.1", json!({}))).expect("accepted");
    let distance = 400;
    let exits = Exits { trailing: Some(distance), ..Exits::default() };
    exchange.set_exits(0, 0, &exits).expect("set");
    assert_eq!(exchange.position_row(0, 0, false).trailing_stop, price(&exchange, distance));
    let again = exchange.set_exits(0, 0, &exits).expect_err("the same");
    assert_eq!(again.code, codes::NOT_MODIFIED);
    let mut highest = last(&exchange);
    for _ in 0..100_000 {
        let now = exchange.now();
        exchange.advance(now + 500);
        if exchange.accounts()[0].positions[0].size == 0 {
            break;
        }
        highest = highest.max(last(&exchange));
        let stop = &exits_of(&exchange, "TrailingStop")[0];
        assert!(stop.trigger.expect("a trigger").price >= highest - distance - 50);
        assert!(stop.trigger.expect("a trigger").price <= highest - distance);
    }
    assert_eq!(exchange.accounts()[0].positions[0].size, 0, "it fired");
    assert_eq!(exits_of(&exchange, "TrailingStop")[0].status, OrderStatus::Filled);
    assert_eq!(exchange.position_row(0, 0, false).trailing_stop, "0");
    assert_wallet_identity(&exchange);
}

#[test]
fn a_trailing_stop_with_an_active_price_waits_for_it() {
    let mut exchange = exchange(17);
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.1", json!({}))).expect("accepted");
    let start = last(&exchange) * 3;
    let exits = Exits { trailing: Some(1), starts_at: Some(start), ..Exits::default() };
    exchange.set_exits(0, 0, &exits).expect("set");
    let now = exchange.now();
    exchange.advance(now + 600_000);
    assert_eq!(exchange.accounts()[0].positions[0].size, 100, "the market never was there");
    let order = &exits_of(&exchange, "TrailingStop")[0];
    assert_eq!(exchange.order_row(order, false).trigger_price, "");
}

#[test]
fn a_partial_exit_closes_its_part_and_its_pair_leaves_with_it() {
    let mut exchange = exchange(11);
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.3", json!({}))).expect("accepted");
    let (terms, at) = (ExitTerms { partial: true, ..ExitTerms::default() }, last(&exchange));
    let exits = Exits {
        take_profit: Some(at + 300),
        stop_loss: Some(at - 300),
        sizes: (100, 100),
        terms,
        ..Exits::default()
    };
    let too_much = Exits { sizes: (301, 100), ..exits };
    assert_eq!(exchange.set_exits(0, 0, &too_much).expect_err("too much").code, codes::PARAMETER);
    exchange.set_exits(0, 0, &exits).expect("set");
    let row = exchange.position_row(0, 0, false);
    assert_eq!((row.take_profit.as_str(), row.stop_loss.as_str()), ("", ""), "not the position's");
    for _ in 0..10_000 {
        let now = exchange.now();
        exchange.advance(now + 1_000);
        if exchange.accounts()[0].open.is_empty() {
            break;
        }
    }
    assert_eq!(exchange.accounts()[0].positions[0].size, 200, "a third was closed");
    let states: Vec<OrderStatus> = ["PartialTakeProfit", "PartialStopLoss"]
        .iter()
        .map(|kind| exits_of(&exchange, kind)[0].status.clone())
        .collect();
    assert!(states.contains(&OrderStatus::Filled) && states.contains(&OrderStatus::Deactivated));
    assert_wallet_identity(&exchange);
}

#[test]
fn an_order_with_partial_exits_protects_exactly_what_it_filled() {
    let mut exchange = exchange(11);
    let at = last(&exchange);
    let levels = exchange.levels(0, Side::Sell, 2);
    let qty = exchange.instruments()[0].qty(levels[0].1 + 1);
    let more = json!({
        "tpslMode": "Partial", "tpOrderType": "Limit",
        "takeProfit": price(&exchange, at + 500), "tpLimitPrice": price(&exchange, at + 490),
        "stopLoss": price(&exchange, at - 500), "slTriggerBy": "MarkPrice",
    });
    exchange.create(0, &body("BTCUSDT", Side::Buy, &qty, more)).expect("accepted");
    let (take, stop) =
        (&exits_of(&exchange, "PartialTakeProfit"), &exits_of(&exchange, "PartialStopLoss"));
    assert_eq!((take.len(), stop.len()), (1, 1), "one pair for two fills");
    assert_eq!((take[0].qty, stop[0].qty), (levels[0].1 + 1, levels[0].1 + 1));
    assert_eq!((take[0].price, stop[0].trigger.expect("one").by), (at + 490, "MarkPrice"));
}

#[test]
fn slippage_tolerance_ends_a_market_order_at_its_price() {
    let mut exchange = exchange(1);
    let levels = exchange.levels(0, Side::Sell, 2);
    let qty = exchange.instruments()[0].qty(levels[0].1 + levels[1].1);
    let more =
        json!({"slippageToleranceType": "TickSize", "slippageTolerance": "1", "orderLinkId": "t"});
    assert!(levels[1].0 - levels[0].0 > 1, "the second level lies beyond");
    exchange.create(0, &body("BTCUSDT", Side::Buy, &qty, more)).expect("accepted");
    let filled: i64 = executions(&exchange.drain()).iter().map(|(_, one)| one.qty).sum();
    assert_eq!(filled, levels[0].1);
    assert_eq!(status(&exchange, 0, "t").1, "EC_NoImmediateQtyToFill");
    for (kind, value) in [("TickSize", "0"), ("TickSize", "1.5"), ("Percent", "11"), ("Ell", "1")] {
        let more = json!({"slippageToleranceType": kind, "slippageTolerance": value});
        let refused = exchange.create(0, &body("BTCUSDT", Side::Buy, "0.01", more));
        assert_eq!(code(refused), codes::PARAMETER, "{kind} {value}");
    }
}

#[test]
fn a_level_of_the_book_can_stand_for_a_price() {
    let mut exchange = exchange(1);
    let bids = exchange.levels(0, Side::Buy, 2);
    let order = body(
        "BTCUSDT",
        Side::Buy,
        "0.01",
        json!({"orderType": "Limit", "bboSideType": "Queue", "bboLevel": "2", "orderLinkId": "b"}),
    );
    exchange.create(0, &order).expect("accepted");
    let number = exchange.find(0, "", "b").expect("the order");
    assert_eq!(exchange.order(number).expect("kept").price, bids[1].0);
}

#[test]
fn a_conditional_order_can_be_moved_and_an_amendment_that_changes_nothing_is_refused() {
    let mut exchange = exchange(10);
    let at = last(&exchange);
    let order = body(
        "BTCUSDT",
        Side::Buy,
        "0.1",
        json!({"triggerPrice": price(&exchange, at + 500), "triggerDirection": 1, "orderLinkId": "c"}),
    );
    exchange.create(0, &order).expect("accepted");
    let amend = |more: Value| {
        let mut request = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "c"});
        if let (Some(request), Value::Object(more)) = (request.as_object_mut(), more) {
            request.extend(more);
        }
        request
    };
    let moved =
        json!({"triggerPrice": price(&exchange, at + 900), "qty": "0.2", "triggerBy": "MarkPrice"});
    exchange.amend(0, &amend(moved.clone())).expect("moved");
    let number = exchange.find(0, "", "c").expect("the order");
    let row = exchange.order_row(exchange.order(number).expect("kept"), false);
    assert_eq!(
        (row.trigger_price, row.qty.as_str(), row.trigger_by.as_str()),
        (price(&exchange, at + 900), "0.200", "MarkPrice")
    );
    assert_eq!(code(exchange.amend(0, &amend(moved))), codes::PARAMETER, "unchanged");
    let low = json!({"triggerPrice": price(&exchange, at - 900)});
    assert_eq!(code(exchange.amend(0, &amend(low))), codes::TRIGGER_NOT_ABOVE);
}

#[test]
fn what_is_not_served_or_cannot_be_meant_is_refused_with_its_own_code() {
    let mut exchange = exchange(7);
    let at = last(&exchange);
    let (up, down) = (price(&exchange, at + 500), price(&exchange, at - 500));
    for (more, expected) in [
        (json!({"positionIdx": 1}), codes::PARAMETER),
        (json!({"smpType": "CancelAll"}), codes::PARAMETER),
        (json!({"takeProfit": down}), codes::PARAMETER),
        (json!({"stopLoss": up}), codes::PARAMETER),
        (json!({"takeProfit": up, "tpOrderType": "Limit", "tpLimitPrice": up}), codes::PARAMETER),
        (json!({"takeProfit": up, "tpslMode": "Half"}), codes::PARAMETER),
        (json!({"takeProfit": up, "tpTriggerBy": "Gut"}), codes::PARAMETER),
        (json!({"timeInForce": "RPI", "orderType": "Limit", "price": down}), codes::PARAMETER),
    ] {
        let order = body("BTCUSDT", Side::Buy, "0.1", more.clone());
        assert_eq!(code(exchange.create(0, &order)), expected, "{more}");
    }
    for (orders, expected) in [(10, codes::TOO_MANY_CONDITIONAL)] {
        let order = json!({"triggerPrice": up, "triggerDirection": 1});
        for _ in 0..orders {
            exchange.create(1, &body("BTCUSDT", Side::Buy, "0.01", order.clone())).expect("room");
        }
        let refused = exchange.create(1, &body("BTCUSDT", Side::Buy, "0.01", order));
        assert_eq!(code(refused), expected);
    }
    let rests = limit(Side::Buy, "0.001", &price(&exchange, at * 99 / 100), json!({}));
    for _ in 0..500 {
        exchange.create(1, &rests).expect("room");
    }
    assert_eq!(code(exchange.create(1, &rests)), codes::TOO_MANY_ORDERS);
}
