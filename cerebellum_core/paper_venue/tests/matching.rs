//! Promises of the matching engine.

mod support;

use paper_venue::exchange::{Exchange, MAKER_FEE, TAKER_FEE};
use protocol::bybit::codes;
use protocol::bybit::enums::Side;
use rust_decimal::Decimal;
use serde_json::{json, Value};
use support::*;

#[test]
fn a_market_order_walks_the_book_level_by_level_at_the_takers_fee() {
    let mut exchange = exchange(1);
    let levels = exchange.levels(0, Side::Sell, 3);
    let two_levels = levels[0].1 + levels[1].1;
    let qty = exchange.instruments()[0].qty(two_levels + 1);
    exchange
        .create(0, &body("BTCUSDT", Side::Buy, &qty, json!({"orderLinkId": "w"})))
        .expect("accepted");
    let fills = executions(&exchange.drain());
    let walked: Vec<(i64, i64)> = fills.iter().map(|(_, fill)| (fill.price, fill.qty)).collect();
    assert_eq!(walked, vec![levels[0], levels[1], (levels[2].0, 1)]);
    for (_, fill) in &fills {
        assert!(!fill.is_maker);
        assert_eq!(fill.fee, fill.value * TAKER_FEE);
    }
    assert_eq!(status(&exchange, 0, "w").0, "Filled");
    assert_eq!(
        exchange.levels(0, Side::Sell, 1)[0],
        (levels[2].0, levels[2].1 - 1),
        "the book is thinner now"
    );
    assert_wallet_identity(&exchange);
}

#[test]
fn a_resting_order_fills_at_its_price_and_fee_once_the_market_trades_through() {
    let mut exchange = exchange(2);
    let (bid, _) = best(&exchange, Side::Buy);
    let text = price(&exchange, bid - 200);
    exchange
        .create(0, &limit(Side::Buy, "0.1", &text, json!({"orderLinkId": "r"})))
        .expect("accepted");
    assert_eq!(status(&exchange, 0, "r").0, "New");
    let mut fills = Vec::new();
    for minute in 1..600 {
        exchange.advance(START + minute * 60_000);
        fills.extend(executions(&exchange.drain()));
        if !fills.is_empty() {
            break;
        }
    }
    let total: i64 = fills.iter().map(|(_, fill)| fill.qty).sum();
    assert!(total > 0, "the market never came down in ten hours");
    for (_, fill) in &fills {
        assert!(fill.is_maker);
        assert_eq!((fill.price, fill.fee), (bid - 200, fill.value * MAKER_FEE));
    }
    assert_wallet_identity(&exchange);
}

#[test]
fn the_better_price_goes_first_and_at_one_price_the_earlier_order() {
    let mut exchange = exchange(3);
    // A spread of two ticks leaves room for an order between; wait for one.
    let mut ts = START;
    while best(&exchange, Side::Sell).0 - best(&exchange, Side::Buy).0 < 2 {
        ts += 250;
        exchange.advance(ts);
    }
    let inside = price(&exchange, best(&exchange, Side::Buy).0 + 1);
    for link in ["first", "second"] {
        exchange
            .create(0, &limit(Side::Buy, "0.010", &inside, json!({"orderLinkId": link})))
            .expect("accepted");
    }
    exchange.drain();
    exchange.create(1, &body("BTCUSDT", Side::Sell, "0.015", json!({}))).expect("accepted");
    let makers: Vec<(String, i64)> = executions(&exchange.drain())
        .into_iter()
        .filter(|(account, _)| *account == 0)
        .map(|(_, fill)| (fill.order.expect("an order").link_id, fill.qty))
        .collect();
    assert_eq!(makers, vec![("first".to_owned(), 10), ("second".to_owned(), 5)]);
    assert_eq!(status(&exchange, 0, "second").0, "PartiallyFilled");
    assert_wallet_identity(&exchange);
}

#[test]
fn an_order_behind_the_queue_waits_for_what_is_ahead_of_it() {
    let mut exchange = exchange(4);
    let (bid, size) = best(&exchange, Side::Buy);
    let text = price(&exchange, bid);
    exchange
        .create(0, &limit(Side::Buy, "0.010", &text, json!({"orderLinkId": "q"})))
        .expect("accepted");
    let ahead = exchange.instruments()[0].qty(size);
    exchange.create(1, &body("BTCUSDT", Side::Sell, &ahead, json!({}))).expect("accepted");
    assert_eq!(status(&exchange, 0, "q").0, "New", "what was there before is filled before");
    exchange.create(1, &body("BTCUSDT", Side::Sell, "0.010", json!({}))).expect("accepted");
    assert_eq!(status(&exchange, 0, "q").0, "Filled");
}

#[test]
fn post_only_ioc_and_fok_end_as_the_exchange_reports() {
    let mut exchange = exchange(5);
    let (ask, size) = best(&exchange, Side::Sell);
    let at_ask = price(&exchange, ask);
    let too_much = exchange.instruments()[0].qty(size + 5);
    let send = |exchange: &mut Exchange, link: &str, qty: &str, tif: &str| {
        let order =
            limit(Side::Buy, qty, &at_ask, json!({"orderLinkId": link, "timeInForce": tif}));
        exchange.create(0, &order).expect("accepted");
        status(exchange, 0, link)
    };
    let post = send(&mut exchange, "post", "0.010", "PostOnly");
    assert_eq!((post.0.as_str(), post.1.as_str()), ("Cancelled", "EC_PostOnlyWillTakeLiquidity"));
    let fok = send(&mut exchange, "fok", &too_much, "FOK");
    assert_eq!((fok.0.as_str(), fok.1.as_str()), ("Cancelled", "EC_CancelForNoFullFill"));
    assert!(executions(&exchange.drain()).is_empty(), "neither traded");
    let ioc = send(&mut exchange, "ioc", &too_much, "IOC");
    assert_eq!((ioc.0.as_str(), ioc.1.as_str()), ("Cancelled", "EC_NoImmediateQtyToFill"));
    let filled: i64 = executions(&exchange.drain()).iter().map(|(_, fill)| fill.qty).sum();
    assert_eq!(filled, size, "what was there is kept");
}

#[test]
fn reduce_only_never_opens_and_leaves_when_the_position_is_gone() {
    let mut exchange = exchange(6);
    let reduce = json!({"reduceOnly": true});
    let refused = code(exchange.create(0, &body("BTCUSDT", Side::Sell, "0.1", reduce.clone())));
    assert_eq!(refused, codes::REDUCE_ONLY);
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.1", json!({}))).expect("accepted");
    assert_eq!(
        code(exchange.create(0, &body("BTCUSDT", Side::Buy, "0.1", reduce.clone()))),
        codes::REDUCE_ONLY
    );
    let far = price(&exchange, best(&exchange, Side::Sell).0 * 102 / 100);
    let resting =
        limit(Side::Sell, "0.1", &far, json!({"reduceOnly": true, "orderLinkId": "exit"}));
    exchange.create(0, &resting).expect("accepted");
    exchange
        .create(0, &body("BTCUSDT", Side::Sell, "5", reduce))
        .expect("truncated to the position");
    assert_eq!(exchange.accounts()[0].positions[0].size, 0);
    let exit = status(&exchange, 0, "exit");
    assert_eq!((exit.0.as_str(), exit.2.as_str()), ("Cancelled", "CancelByReduceOnly"));
    assert_wallet_identity(&exchange);
}

#[test]
fn a_refused_order_leaves_nothing_behind_and_names_the_reason() {
    let mut exchange = exchange(7);
    let (ask, _) = best(&exchange, Side::Sell);
    let (near, high) = (price(&exchange, ask - 10), price(&exchange, ask * 2));
    let market = |qty: &str| body("BTCUSDT", Side::Buy, qty, json!({}));
    let cases: Vec<(Value, i64)> = vec![
        (market("0.0005"), codes::PARAMETER),
        (market("0"), codes::PARAMETER),
        (market("-1"), codes::PARAMETER),
        (market("NaN"), codes::PARAMETER),
        (market("1e3"), codes::PARAMETER),
        (market("99999999999999999999999"), codes::PARAMETER),
        (market("600"), codes::PARAMETER),
        (limit(Side::Buy, "0.001", "100.05", json!({})), codes::PARAMETER),
        (limit(Side::Buy, "0.1", &high, json!({})), codes::PRICE_RANGE),
        (limit(Side::Buy, "0.1", "1.0", json!({})), codes::PRICE_RANGE),
        (limit(Side::Buy, "14", &near, json!({})), 0),
        (limit(Side::Buy, "14", &near, json!({})), codes::INSUFFICIENT_BALANCE),
        (body("NOPEUSDT", Side::Buy, "1", json!({})), codes::PARAMETER),
        (json!({"category": "spot"}), codes::PARAMETER),
        (json!([1, 2]), codes::PARAMETER),
        (body("BTCUSDT", Side::Buy, "0.1", json!({"orderLinkId": "a b"})), codes::PARAMETER),
        (
            body("BTCUSDT", Side::Buy, "0.1", json!({"triggerPrice": near, "triggerDirection": 1})),
            codes::TRIGGER_NOT_ABOVE,
        ),
        (
            body("BTCUSDT", Side::Buy, "0.1", json!({"triggerPrice": high, "triggerDirection": 2})),
            codes::TRIGGER_NOT_BELOW,
        ),
    ];
    for (request, expected) in cases {
        let before = (exchange.accounts()[0].open.len(), exchange.accounts()[0].ended.len());
        let got = code(exchange.create(0, &request));
        assert_eq!(got, expected, "{request}");
        if expected != 0 {
            assert_eq!(
                before,
                (exchange.accounts()[0].open.len(), exchange.accounts()[0].ended.len())
            );
        }
    }
}

#[test]
fn a_client_order_id_is_taken_for_ever_but_only_in_its_account() {
    let mut exchange = exchange(8);
    let order = body("BTCUSDT", Side::Buy, "0.1", json!({"orderLinkId": "once"}));
    exchange.create(0, &order).expect("accepted");
    assert_eq!(code(exchange.create(0, &order)), codes::DUPLICATE_LINK_ID);
    assert_eq!(code(exchange.create(1, &order)), 0);
    assert_eq!(exchange.accounts()[0].executions.len(), 1);
}

#[test]
fn amending_keeps_the_id_and_cancelling_twice_is_refused() {
    let mut exchange = exchange(9);
    let (bid, _) = best(&exchange, Side::Buy);
    let (text, lower) = (price(&exchange, bid - 500), price(&exchange, bid - 900));
    let made = exchange
        .create(0, &limit(Side::Buy, "0.1", &text, json!({"orderLinkId": "a"})))
        .expect("accepted");
    let amend = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a", "price": lower, "qty": "0.2"});
    assert_eq!(exchange.amend(0, &amend).expect("amended"), made);
    let number = exchange.find(0, &made.order_id, "").expect("the order");
    let row = exchange.order_row(exchange.order(number).expect("the order"), false);
    assert_eq!((row.price, row.qty), (lower, "0.200".to_owned()));
    let cancel = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"});
    assert_eq!(
        code(exchange.cancel(1, &cancel)),
        codes::ORDER_NOT_FOUND,
        "not the other account's"
    );
    assert_eq!(exchange.cancel(0, &cancel).expect("cancelled"), made);
    assert_eq!(code(exchange.cancel(0, &cancel)), codes::ORDER_NOT_FOUND);
    assert_eq!(status(&exchange, 0, "a").1, "EC_PerCancelRequest");
}

#[test]
fn a_conditional_order_keeps_its_id_when_it_wakes() {
    let mut exchange = exchange(10);
    let last = exchange.state(0).expect("a pit").last;
    let above = price(&exchange, last + 50);
    let order = body(
        "BTCUSDT",
        Side::Buy,
        "0.1",
        json!({"triggerPrice": above, "triggerDirection": 1, "orderLinkId": "stop"}),
    );
    let made = exchange.create(0, &order).expect("accepted");
    assert_eq!(status(&exchange, 0, "stop").0, "Untriggered");
    let other = body(
        "BTCUSDT",
        Side::Buy,
        "0.1",
        json!({"triggerPrice": price(&exchange, last * 2), "triggerDirection": 1, "orderLinkId": "never"}),
    );
    exchange.create(0, &other).expect("accepted");
    for minute in 1..300 {
        exchange.advance(START + minute * 60_000);
        if status(&exchange, 0, "stop").0 != "Untriggered" {
            break;
        }
    }
    assert_eq!(status(&exchange, 0, "stop").0, "Filled");
    assert_eq!(exchange.find(0, &made.order_id, ""), exchange.find(0, "", "stop"));
    exchange
        .cancel_all(0, &json!({"category": "linear", "settleCoin": "USDT"}))
        .expect("cancelled");
    assert_eq!(status(&exchange, 0, "never").0, "Deactivated");
}

#[test]
fn when_one_exit_fires_the_other_disappears() {
    let mut exchange = exchange(11);
    let last = exchange.state(0).expect("a pit").last;
    let exits = json!({"takeProfit": price(&exchange, last + 300), "stopLoss": price(&exchange, last - 300)});
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.1", exits)).expect("accepted");
    let row = exchange.position_row(0, 0, false);
    assert_eq!(
        (row.take_profit, row.stop_loss),
        (price(&exchange, last + 300), price(&exchange, last - 300))
    );
    assert_eq!(exchange.accounts()[0].open.len(), 2);
    for minute in 1..300 {
        exchange.advance(START + minute * 60_000);
    }
    let account = &exchange.accounts()[0];
    assert_eq!((account.positions[0].size, account.open.len()), (0, 0));
    let row = exchange.position_row(0, 0, false);
    assert_eq!((row.take_profit.as_str(), row.stop_loss.as_str()), ("", ""));
    let types: Vec<&str> =
        account.ended.iter().filter_map(|n| exchange.order(*n)).map(|o| o.stop_type).collect();
    assert!(types.contains(&"TakeProfit") && types.contains(&"StopLoss"), "{types:?}");
    assert_wallet_identity(&exchange);
}

#[test]
fn funding_is_paid_every_eight_hours_by_the_position() {
    let mut exchange = exchange(12);
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.5", json!({}))).expect("accepted");
    exchange.drain();
    exchange.advance(ORIGIN + 16 * 3_600_000);
    let payments: Vec<_> =
        exchange.accounts()[0].executions.iter().filter(|one| one.order.is_none()).collect();
    assert_eq!(payments.len(), 2);
    for payment in payments {
        assert_eq!(payment.ts % (8 * 3_600_000), 0);
        assert_eq!(payment.fee, (payment.value * payment.fee_rate).round_dp(8));
    }
    assert_wallet_identity(&exchange);
}

#[test]
fn past_funding_shows_every_settlement_with_the_rate_that_was_charged() {
    let mut exchange = exchange(12);
    exchange.create(0, &body("BTCUSDT", Side::Buy, "0.5", json!({}))).expect("accepted");
    exchange.advance(ORIGIN + 31 * 3_600_000);
    let charged: Vec<_> = exchange.accounts()[0]
        .executions
        .iter()
        .rev()
        .filter(|one| one.order.is_none())
        .map(|one| (one.ts, one.fee_rate))
        .collect();
    assert_eq!(charged.len(), 3);
    let mut reported: Vec<_> = exchange.past_funding(0);
    // The history's first minute is one, too, before anything could be charged.
    assert_eq!(reported.pop().map(|(ts, _)| ts), Some(ORIGIN));
    assert_eq!(reported, charged);
    assert_eq!(exchange.past_funding(1).len(), 4, "nobody holds a position there");
}

#[test]
fn an_account_that_cannot_hold_its_position_is_closed() {
    let mut exchange = exchange(13);
    exchange.set_leverage(0, 0, Decimal::from(100)).expect("set");
    let last = exchange.state(0).expect("a pit").last;
    // Nearly everything at leverage 100: the first adverse percent is too much.
    let steps = 9_000_000_i64 * 10_000 / last;
    let qty = exchange.instruments()[0].qty(steps);
    let _ = exchange.create(0, &body("BTCUSDT", Side::Buy, &qty, json!({})));
    for _ in 0..40 {
        let chunk = exchange.instruments()[0].qty(steps / 60);
        let now = exchange.now();
        exchange.advance(now + 1_500);
        let _ = exchange.create(0, &body("BTCUSDT", Side::Buy, &chunk, json!({})));
    }
    assert!(exchange.accounts()[0].positions[0].size > 0);
    exchange.advance(START + 5 * 86_400_000);
    assert_wallet_identity(&exchange);
    let standing = exchange.standing(0, None);
    assert!(
        exchange.accounts()[0].positions[0].size == 0 || standing.equity >= standing.maintenance,
        "{standing:?}"
    );
}

#[test]
fn a_conditional_order_that_cannot_be_afforded_when_it_wakes_is_rejected() {
    let mut exchange = exchange(14);
    let last = exchange.state(0).expect("a pit").last;
    let order = body(
        "BTCUSDT",
        Side::Buy,
        "100",
        json!({"triggerPrice": price(&exchange, last + 20), "triggerDirection": 1, "orderLinkId": "big"}),
    );
    exchange.create(0, &order).expect("accepted: nothing is reserved before the trigger");
    for minute in 1..300 {
        exchange.advance(START + minute * 60_000);
    }
    assert_eq!(status(&exchange, 0, "big").0, "Rejected");
    assert!(exchange.accounts()[0].executions.is_empty());
}

#[test]
fn another_run_over_the_same_market_can_have_other_ids() {
    let order = body("BTCUSDT", Side::Buy, "0.1", json!({}));
    let ids = |salt: u64| {
        let mut exchange = exchange(15).salted(salt);
        let made = exchange.create(0, &order).expect("accepted");
        (made.order_id, exchange.accounts()[0].executions[0].id.clone())
    };
    assert_eq!(ids(0), ids(0));
    assert_ne!(ids(0).0, ids(1).0);
    assert_ne!(ids(0).1, ids(1).1);
}
