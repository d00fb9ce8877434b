//! Orders at the venue that are not ours: reported once, cancelled by the operator alone.

use protocol::wire::{
    command::CancelAll,
    event::Event,
    field::{RequestId, Symbol, V1},
    reply::Reply,
    Command,
};

use crate::execution::{
    model::{
        io::{Effect, Input, OrderSeen},
        order::Shown,
    },
    testing::scenario::*,
    Recovered,
};

fn foreign_order(order_id: &str, of: &str) -> OrderSeen {
    OrderSeen {
        link_id: String::new(),
        order_id: order_id.to_owned(),
        symbol: Symbol::new(of).unwrap(),
        shown: Shown::Working,
        terms: None,
        updated_ts: None,
    }
}

fn list(scenario: &mut Scenario, orders: &[&str]) {
    let orders = orders.iter().map(|order_id| foreign_order(order_id, "BTCUSDT")).collect();
    scenario.receive(Input::OpenOrders(orders));
}

fn risks(scenario: &mut Scenario, code: &str) -> Vec<String> {
    let events = std::mem::take(&mut scenario.events);
    let of_code = events.into_iter().filter_map(|event| match event {
        Event::Risk(risk) if risk.code == code => Some(risk.text),
        _ => None,
    });
    of_code.collect()
}

/// The venue's ids of cancelled foreign orders, and whether a list was asked for.
fn asked(scenario: &mut Scenario) -> (Vec<String>, bool) {
    let (mut cancelled, mut pulled) = (Vec::new(), false);
    for effect in std::mem::take(&mut scenario.asked) {
        match effect {
            Effect::CancelForeign { order_id, .. } => cancelled.push(order_id),
            Effect::PullOpenOrders => pulled = true,
            _ => {}
        }
    }
    (cancelled, pulled)
}

fn cancel_all(scenario: &mut Scenario, agent: Option<&str>, symbol: Option<&str>) -> String {
    scenario.command(Command::CancelAll(CancelAll {
        v: V1,
        ts: 0,
        request_id: RequestId::new("r").unwrap(),
        agent: agent.map(name),
        symbol: symbol.map(|text| Symbol::new(text).unwrap()),
    }));
    match scenario.replies.last() {
        Some(Reply::Ack(ack)) => ack.text.clone(),
        other => panic!("no ack: {other:?}"),
    }
}

#[test]
fn a_foreign_order_is_reported_once_however_often_it_is_listed() {
    let mut scenario = Scenario::new().ready();
    assert!(asked(&mut scenario).1, "open orders are asked for at the start");
    for _ in 0..5 {
        list(&mut scenario, &["x-1"]);
    }
    list(&mut scenario, &["x-1", "x-2"]);
    let reported = risks(&mut scenario, "foreign_order");
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(reported[0].contains("x-1") && reported[1].contains("x-2"), "{reported:?}");
    assert!(asked(&mut scenario).0.is_empty(), "nobody asked for a cancel");
}

#[test]
fn our_own_orders_ended_ones_and_those_of_other_symbols_are_no_foreign_orders() {
    let mut scenario = Scenario::new().ready();
    let submit = scenario.submit("a", protocol::wire::field::Side::Buy, "1");
    let link = crate::execution::model::order::link_id(&submit.intent_id);
    let ours = OrderSeen { link_id: link, ..foreign_order("o-1", "BTCUSDT") };
    let other = foreign_order("o-2", "XRPUSDT");
    let ended = OrderSeen {
        shown: ended(protocol::wire::event::OrderStatus::Cancelled, "0"),
        ..foreign_order("o-3", "BTCUSDT")
    };
    scenario.receive(Input::OpenOrders(vec![ours, other, ended]));
    assert!(risks(&mut scenario, "foreign_order").is_empty());
}

#[test]
fn open_orders_are_looked_through_every_thirty_seconds_and_after_a_reconnect() {
    let mut scenario = Scenario::new().ready();
    list(&mut scenario, &[]);
    asked(&mut scenario);
    scenario.pass(29_000);
    assert!(!asked(&mut scenario).1);
    scenario.pass(1_000);
    assert!(asked(&mut scenario).1);
    scenario.pass(60_000);
    assert!(!asked(&mut scenario).1, "one list at a time");
    list(&mut scenario, &[]);
    scenario.receive(Input::PrivateDown);
    scenario.pass(60_000);
    assert!(!asked(&mut scenario).1);
    scenario.receive(Input::PrivateUp);
    assert!(asked(&mut scenario).1);
}

#[test]
fn cancelling_everything_takes_foreign_orders_too_until_none_is_left_and_reports_how_many() {
    let mut scenario = Scenario::new().ready();
    list(&mut scenario, &["x-1"]);
    asked(&mut scenario);
    let text = cancel_all(&mut scenario, None, None);
    assert!(text.contains("1 of orders that belong to no intent"), "{text}");
    assert_eq!(asked(&mut scenario), (vec!["x-1".to_owned()], true), "the known ones go at once");
    list(&mut scenario, &["x-1", "x-2"]);
    assert_eq!(asked(&mut scenario).0, ["x-2"], "one that is on its way is not cancelled again");
    assert!(risks(&mut scenario, "foreign_orders_cancelled").is_empty());
    scenario.pass(1_000);
    assert!(asked(&mut scenario).1, "it is looked at again until it is done");
    list(&mut scenario, &[]);
    let reported = risks(&mut scenario, "foreign_orders_cancelled");
    assert!(reported.len() == 1 && reported[0].starts_with("2 open orders"), "{reported:?}");
    list(&mut scenario, &["x-3"]);
    assert!(asked(&mut scenario).0.is_empty(), "a later stranger is left alone");
}

#[test]
fn a_kill_reaches_foreign_orders_while_the_private_stream_is_down() {
    let mut scenario = Scenario::with(setup(), Recovered::default());
    cancel_all(&mut scenario, None, None);
    assert!(asked(&mut scenario).1);
    list(&mut scenario, &["x-1"]);
    assert_eq!(asked(&mut scenario).0, ["x-1"]);
    scenario.pass(1_000);
    assert!(asked(&mut scenario).1);
}

#[test]
fn an_agents_cancels_and_those_of_another_symbol_leave_foreign_orders_alone() {
    let mut scenario = Scenario::new().ready();
    list(&mut scenario, &["x-1"]);
    asked(&mut scenario);
    cancel_all(&mut scenario, Some("a"), None);
    cancel_all(&mut scenario, None, Some("ETHUSDT"));
    list(&mut scenario, &["x-1"]);
    assert!(asked(&mut scenario).0.is_empty());
}

#[test]
fn hundreds_of_foreign_orders_are_cancelled_no_faster_than_the_venue_takes_it() {
    let mut scenario = Scenario::new().ready();
    let many: Vec<String> = (0..100).map(|at| format!("x-{at}")).collect();
    let mut left: Vec<&str> = many.iter().map(String::as_str).collect();
    list(&mut scenario, &left);
    asked(&mut scenario);
    cancel_all(&mut scenario, None, None);
    for _ in 0..12 {
        let (cancelled, _) = asked(&mut scenario);
        assert!(cancelled.len() <= 10, "{}", cancelled.len());
        left.retain(|order_id| !cancelled.iter().any(|gone| gone == order_id));
        scenario.pass(1_000);
        list(&mut scenario, &left);
    }
    assert!(left.is_empty(), "{left:?}");
    assert!(risks(&mut scenario, "foreign_orders_cancelled")[0].starts_with("100 open orders"));
}

#[test]
fn foreign_orders_that_cannot_be_cancelled_are_reported_and_given_up() {
    let mut scenario = Scenario::new().ready();
    cancel_all(&mut scenario, None, None);
    for _ in 0..130 {
        list(&mut scenario, &["x-1"]);
        scenario.pass(1_000);
    }
    let reported = risks(&mut scenario, "foreign_orders_left");
    assert!(reported.len() == 1 && reported[0].starts_with("1 of 1"), "{reported:?}");
    asked(&mut scenario);
    list(&mut scenario, &["x-1"]);
    assert!(asked(&mut scenario).0.is_empty());
}
