//! Properties that hold for any orders at any time.

mod support;

use paper_venue::exchange::exits::Exits;
use paper_venue::exchange::order::ExitTerms;
use paper_venue::exchange::Exchange;
use proptest::prelude::*;
use protocol::bybit::enums::Side;
use serde_json::{json, Value};
use support::*;

/// One thing that somebody does.
#[derive(Debug, Clone)]
enum Act {
    Wait(i64),
    Market { account: usize, symbol: bool, buy: bool, steps: i64, reduce: bool },
    Limit { account: usize, buy: bool, steps: i64, away: i64, tif: u8, exits: u8 },
    Cancel { account: usize, back: usize },
    Amend { account: usize, back: usize, steps: i64, away: i64 },
    CancelAll { account: usize },
    Stop { account: usize, buy: bool, steps: i64, away: i64 },
    Exits { account: usize, take: i64, stop: i64, trail: i64, part: i64 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1_i64..900_000).prop_map(Act::Wait),
        4 => (0_usize..2, any::<bool>(), any::<bool>(), 1_i64..4_000, any::<bool>())
            .prop_map(|(account, symbol, buy, steps, reduce)| Act::Market { account, symbol, buy, steps, reduce }),
        5 => (0_usize..2, any::<bool>(), 1_i64..3_000, -40_i64..300, 0_u8..4, 0_u8..12)
            .prop_map(|(account, buy, steps, away, tif, exits)| Act::Limit { account, buy, steps, away, tif, exits }),
        2 => (0_usize..2, 0_usize..8).prop_map(|(account, back)| Act::Cancel { account, back }),
        2 => (0_usize..2, 0_usize..8, 1_i64..3_000, -20_i64..200)
            .prop_map(|(account, back, steps, away)| Act::Amend { account, back, steps, away }),
        1 => (0_usize..2).prop_map(|account| Act::CancelAll { account }),
        2 => (0_usize..2, any::<bool>(), 1_i64..2_000, 1_i64..200)
            .prop_map(|(account, buy, steps, away)| Act::Stop { account, buy, steps, away }),
        3 => (0_usize..2, -20_i64..300, -20_i64..300, 0_i64..200, 0_i64..2_000)
            .prop_map(|(account, take, stop, trail, part)| Act::Exits { account, take, stop, trail, part }),
    ]
}

fn near(exchange: &Exchange, side: Side, away: i64) -> i64 {
    let best = best(exchange, side).0;
    (best - side.sign() * away).max(1)
}

fn newest(exchange: &Exchange, account: usize, back: usize) -> String {
    let mut open: Vec<u64> = exchange.accounts()[account].open.iter().copied().collect();
    open.sort_unstable();
    let number = open.iter().rev().nth(back).and_then(|number| exchange.order(*number));
    number.map_or_else(|| "none".to_owned(), |order| order.id.clone())
}

/// How a limit order works, and the exits that its fills place: none, whole ones or partial ones.
fn terms(exchange: &Exchange, buy: bool, ticks: i64, tif: u8, exits: u8) -> Value {
    let time_in_force = ["GTC", "IOC", "FOK", "PostOnly"][usize::from(tif)];
    let self_match = ["None", "CancelMaker", "CancelTaker", "CancelBoth"][usize::from(exits % 4)];
    let mut terms = json!({"timeInForce": time_in_force, "smpType": self_match});
    if exits >= 4 {
        let (over, under) = (price(exchange, ticks + 400), price(exchange, (ticks - 400).max(1)));
        terms["takeProfit"] = json!(if buy { &over } else { &under });
        terms["stopLoss"] = json!(if buy { &under } else { &over });
        terms["tpslMode"] = json!(if exits >= 8 { "Partial" } else { "Full" });
    }
    terms
}

/// Exits at a take-profit and a stop-loss, for a part of the position if that has a size.
fn exits((take_profit, stop_loss): (i64, i64), trail: i64, part: i64) -> Exits {
    Exits {
        take_profit: Some(take_profit.max(0)),
        stop_loss: Some(stop_loss.max(0)),
        trailing: Some(trail),
        sizes: (part, part),
        terms: ExitTerms { partial: part > 0, ..ExitTerms::default() },
        ..Exits::default()
    }
}

fn play(exchange: &mut Exchange, act: &Act, index: usize) {
    let side = |buy: bool| if buy { Side::Buy } else { Side::Sell };
    let qty =
        |exchange: &Exchange, symbol: usize, steps: i64| exchange.instruments()[symbol].qty(steps);
    match *act {
        Act::Wait(ms) => exchange.advance(exchange.now() + ms),
        Act::Market { account, symbol, buy, steps, reduce } => {
            let name = if symbol { "BTCUSDT" } else { "ETHUSDT" };
            let text = qty(exchange, usize::from(!symbol), steps);
            let _ = exchange
                .create(account, &body(name, side(buy), &text, json!({"reduceOnly": reduce})));
        }
        Act::Limit { account, buy, steps, away, tif, exits } => {
            let ticks = near(exchange, side(buy), away);
            let mut more = terms(exchange, buy, ticks, tif, exits);
            more["orderLinkId"] = json!(format!("l{index}"));
            let _ = exchange.create(
                account,
                &limit(side(buy), &qty(exchange, 0, steps), &price(exchange, ticks), more),
            );
        }
        Act::Cancel { account, back } => {
            let id = newest(exchange, account, back);
            let _ = exchange.cancel(
                account,
                &json!({"category": "linear", "symbol": "BTCUSDT", "orderId": id}),
            );
        }
        Act::Amend { account, back, steps, away } => {
            let id = newest(exchange, account, back);
            let ticks = near(exchange, Side::Buy, away);
            let request = json!({
                "category": "linear", "symbol": "BTCUSDT", "orderId": id,
                "qty": qty(exchange, 0, steps), "price": price(exchange, ticks),
            });
            let _ = exchange.amend(account, &request);
        }
        Act::Stop { account, buy, steps, away } => {
            let last = exchange.state(0).expect("a pit").last;
            let trigger = price(exchange, if buy { last + away } else { (last - away).max(1) });
            let more =
                json!({"triggerPrice": trigger, "triggerDirection": if buy { 1 } else { 2 }});
            let text = qty(exchange, 0, steps);
            let _ = exchange.create(account, &body("BTCUSDT", side(buy), &text, more));
        }
        Act::Exits { account, take, stop, trail, part } => {
            let last = exchange.state(0).expect("a pit").last;
            let sign = exchange.accounts()[account].positions[0].size.signum();
            let levels = (last + sign * take, last - sign * stop);
            let _ = exchange.set_exits(account, 0, &exits(levels, trail, part));
        }
        Act::CancelAll { account } => {
            let _ =
                exchange.cancel_all(account, &json!({"category": "linear", "settleCoin": "USDT"}));
        }
    }
}

fn check(exchange: &Exchange) {
    assert_wallet_identity(exchange);
    for symbol in 0..2 {
        let (bids, asks) =
            (exchange.levels(symbol, Side::Buy, 50), exchange.levels(symbol, Side::Sell, 50));
        assert!(bids[0].0 < asks[0].0, "crossed: {:?} {:?}", bids[0], asks[0]);
        assert!(bids.windows(2).all(|pair| pair[0].0 > pair[1].0));
        assert!(asks.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
    for (index, account) in exchange.accounts().iter().enumerate() {
        let mut money = account.initial;
        for execution in &account.executions {
            money += execution.profit - execution.fee;
            let Some(order) = execution.order.as_ref().filter(|_| execution.qty > 0) else {
                continue;
            };
            // A market order's price is the worst that it may take.
            let better = execution.side.sign() * (order.price - execution.price);
            assert!(better >= 0, "filled through its limit: {execution:?}");
        }
        assert_eq!(account.wallet, money, "deposit, profits, fees and funding");
        let mut sizes = [0_i64; 2];
        for execution in account.executions.iter().filter(|execution| execution.order.is_some()) {
            sizes[execution.symbol] += execution.side.sign() * execution.qty;
        }
        let positions: Vec<i64> = account.positions.iter().map(|position| position.size).collect();
        assert_eq!(positions, sizes, "account {index}: positions are the sum of fills");
        for (symbol, position) in account.positions.iter().enumerate() {
            let exits = account.open.iter().filter_map(|number| exchange.order(*number));
            let full = exits.filter(|order| order.symbol == symbol && order.is_full_exit()).count();
            let levels = [position.take_profit, position.stop_loss, position.trailing];
            assert_eq!(full, levels.iter().flatten().count(), "a level is an order: {position:?}");
        }
        for number in account.open.iter().chain(&account.ended) {
            let order = exchange.order(*number).expect("kept");
            let fills = account
                .executions
                .iter()
                .filter(|one| one.order.as_ref().is_some_and(|o| o.id == order.id));
            let filled: i64 = fills.map(|one| one.qty).sum();
            assert_eq!(order.filled, filled, "an order's fills add up");
            assert!(order.filled <= order.qty || !order.stop_type.is_empty());
            assert_eq!(order.status.is_open(), account.open.contains(number));
            if order.status.as_str() == "Filled" {
                assert_eq!(order.filled, order.qty);
            }
        }
    }
}

/// Customers' resting orders of both sides as they must be met: price first, then time.
fn queues(exchange: &Exchange, symbol: usize) -> Vec<String> {
    let resting = exchange.state(symbol).map(|state| state.resting.clone()).unwrap_or_default();
    let mut orders: Vec<_> = resting.iter().filter_map(|one| exchange.order(*one)).collect();
    orders.sort_by_key(|order| {
        (order.side, -order.side.sign() * order.price, order.priority, order.number)
    });
    orders.into_iter().map(|order| order.id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn books_add_up_after_every_act_whatever_happens(
        seed in 0_u64..1_000, acts in prop::collection::vec(act(), 1..60)
    ) {
        let mut exchange = exchange(seed);
        for (index, act) in acts.iter().enumerate() {
            play(&mut exchange, act, index);
            check(&exchange);
        }
    }

    #[test]
    fn whoever_takes_meets_resting_orders_by_price_and_then_by_time(
        seed in 0_u64..1_000, acts in prop::collection::vec(act(), 1..60)
    ) {
        let mut exchange = exchange(seed);
        for (index, act) in acts.iter().enumerate() {
            exchange.drain();
            let before = [queues(&exchange, 0), queues(&exchange, 1)];
            play(&mut exchange, act, index);
            if matches!(act, Act::Wait(_)) {
                continue;
            }
            let mut last = [[0_usize; 2]; 2];
            for (_, fill) in executions(&exchange.drain()).iter().filter(|(_, one)| one.is_maker) {
                let id = &fill.order.as_ref().expect("an order").id;
                let rank = before[fill.symbol].iter().position(|other| other == id);
                let Some(rank) = rank else { continue };
                let last = &mut last[fill.symbol][usize::from(fill.side == Side::Sell)];
                prop_assert!(rank >= *last, "{rank} after {last} in {act:?}");
                *last = rank;
            }
        }
    }

    #[test]
    fn the_same_orders_at_the_same_instants_give_the_same_fills(
        seed in 0_u64..1_000, acts in prop::collection::vec(act(), 1..40), split in 1_i64..5_000
    ) {
        let (mut one, mut two) = (exchange(seed), exchange(seed));
        for (index, act) in acts.iter().enumerate() {
            play(&mut one, act, index);
            // The second one's time advances in steps of another length.
            if let Act::Wait(ms) = act {
                let end = two.now() + ms;
                while two.now() + split < end {
                    two.advance(two.now() + split);
                }
                two.advance(end);
            } else {
                play(&mut two, act, index);
            }
        }
        prop_assert_eq!(one.now(), two.now());
        for (left, right) in one.accounts().iter().zip(two.accounts()) {
            prop_assert_eq!(format!("{:?}", left.executions), format!("{:?}", right.executions));
            prop_assert_eq!(left.wallet, right.wallet);
        }
        prop_assert_eq!(one.levels(0, Side::Buy, 200), two.levels(0, Side::Buy, 200));
    }

    #[test]
    fn no_request_whatever_it_holds_ends_the_venue(requests in prop::collection::vec(garbage(), 1..40)) {
        let mut exchange = exchange(1);
        for request in &requests {
            let _ = exchange.create(0, request);
            let _ = exchange.amend(0, request);
            let _ = exchange.cancel(1, request);
            let _ = exchange.cancel_all(0, request);
        }
        exchange.advance(exchange.now() + 120_000);
        check(&exchange);
    }
}

/// A request whose fields are mostly wrong.
fn garbage() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(json!(null)),
        Just(json!("linear")),
        Just(json!("BTCUSDT")),
        Just(json!("Buy")),
        Just(json!("Limit")),
        Just(json!("Market")),
        Just(json!([])),
        any::<i64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number.to_string())),
        (0_u32..40).prop_map(|zeros| json!(format!(
            "0.{:0>width$}",
            1,
            width = zeros as usize + 1
        ))),
        (0_i64..2_000_000).prop_map(|cents| json!(format!("{}.{:02}", cents / 100, cents % 100))),
        ".{0,40}".prop_map(|text| json!(text)),
    ];
    let names = [
        "qty",
        "price",
        "triggerPrice",
        "triggerDirection",
        "takeProfit",
        "stopLoss",
        "orderLinkId",
        "orderId",
        "timeInForce",
        "reduceOnly",
        "closeOnTrigger",
        "positionIdx",
        "side",
        "orderType",
        "symbol",
    ];
    prop::collection::vec((prop::sample::select(names.to_vec()), text), 0..8).prop_map(|fields| {
        let mut request = json!({
            "category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Limit", "qty": "0.01",
            "price": "68000",
        });
        for (name, value) in fields {
            request[name] = value;
        }
        request
    })
}
