//! Orders at the venue that are not ours: told once, cancelled by the operator's hand alone.

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

fn stranger(order_id: &str, of: &str) -> OrderSeen {
    OrderSeen {
        link_id: String::new(),
        order_id: order_id.to_owned(),
        symbol: Symbol::new(of).unwrap(),
        shown: Shown::Working,
        terms: None,
        updated_ts: None,
    }
}

fn list(story: &mut Story, orders: &[&str]) {
    let orders = orders.iter().map(|order_id| stranger(order_id, "BTCUSDT")).collect();
    story.tell(Input::OpenOrders(orders));
}

fn risks(story: &mut Story, code: &str) -> Vec<String> {
    let events = std::mem::take(&mut story.events);
    let of_code = events.into_iter().filter_map(|event| match event {
        Event::Risk(risk) if risk.code == code => Some(risk.text),
        _ => None,
    });
    of_code.collect()
}

/// The venue's ids of cancelled strangers, and whether a list was asked for.
fn asked(story: &mut Story) -> (Vec<String>, bool) {
    let (mut cancelled, mut pulled) = (Vec::new(), false);
    for effect in std::mem::take(&mut story.asked) {
        match effect {
            Effect::CancelForeign { order_id, .. } => cancelled.push(order_id),
            Effect::PullOpenOrders => pulled = true,
            _ => {}
        }
    }
    (cancelled, pulled)
}

fn cancel_all(story: &mut Story, agent: Option<&str>, symbol: Option<&str>) -> String {
    story.command(Command::CancelAll(CancelAll {
        v: V1,
        ts: 0,
        request_id: RequestId::new("r").unwrap(),
        agent: agent.map(name),
        symbol: symbol.map(|text| Symbol::new(text).unwrap()),
    }));
    match story.replies.last() {
        Some(Reply::Ack(ack)) => ack.text.clone(),
        other => panic!("no ack: {other:?}"),
    }
}

#[test]
fn a_strangers_order_is_told_once_however_often_it_is_listed() {
    let mut story = Story::new().ready();
    assert!(asked(&mut story).1, "open orders are asked for at the start");
    for _ in 0..5 {
        list(&mut story, &["x-1"]);
    }
    list(&mut story, &["x-1", "x-2"]);
    let told = risks(&mut story, "foreign_order");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("x-1") && told[1].contains("x-2"), "{told:?}");
    assert!(asked(&mut story).0.is_empty(), "nobody asked for a cancel");
}

#[test]
fn our_own_orders_ended_ones_and_those_of_other_symbols_are_no_strangers() {
    let mut story = Story::new().ready();
    let submit = story.submit("a", protocol::wire::field::Side::Buy, "1");
    let link = crate::execution::model::order::link_id(&submit.intent_id);
    let ours = OrderSeen { link_id: link, ..stranger("o-1", "BTCUSDT") };
    let other = stranger("o-2", "XRPUSDT");
    let ended = OrderSeen {
        shown: ended(protocol::wire::event::OrderStatus::Cancelled, "0"),
        ..stranger("o-3", "BTCUSDT")
    };
    story.tell(Input::OpenOrders(vec![ours, other, ended]));
    assert!(risks(&mut story, "foreign_order").is_empty());
}

#[test]
fn open_orders_are_looked_through_every_thirty_seconds_and_after_a_reconnect() {
    let mut story = Story::new().ready();
    list(&mut story, &[]);
    asked(&mut story);
    story.pass(29_000);
    assert!(!asked(&mut story).1);
    story.pass(1_000);
    assert!(asked(&mut story).1);
    story.pass(60_000);
    assert!(!asked(&mut story).1, "one list at a time");
    list(&mut story, &[]);
    story.tell(Input::PrivateDown);
    story.pass(60_000);
    assert!(!asked(&mut story).1);
    story.tell(Input::PrivateUp);
    assert!(asked(&mut story).1);
}

#[test]
fn cancelling_everything_takes_strangers_too_until_none_is_left_and_tells_how_many() {
    let mut story = Story::new().ready();
    list(&mut story, &["x-1"]);
    asked(&mut story);
    let text = cancel_all(&mut story, None, None);
    assert!(text.contains("1 of orders that belong to no intent"), "{text}");
    assert_eq!(asked(&mut story), (vec!["x-1".to_owned()], true), "the known ones go at once");
    list(&mut story, &["x-1", "x-2"]);
    assert_eq!(asked(&mut story).0, ["x-2"], "one that is on its way is not cancelled again");
    assert!(risks(&mut story, "foreign_orders_cancelled").is_empty());
    story.pass(1_000);
    assert!(asked(&mut story).1, "it is looked at again until it is done");
    list(&mut story, &[]);
    let told = risks(&mut story, "foreign_orders_cancelled");
    assert!(told.len() == 1 && told[0].starts_with("2 open orders"), "{told:?}");
    list(&mut story, &["x-3"]);
    assert!(asked(&mut story).0.is_empty(), "a later stranger is left alone");
}

#[test]
fn a_kill_reaches_strangers_while_the_private_stream_is_down() {
    let mut story = Story::with(setup(), Recovered::default());
    cancel_all(&mut story, None, None);
    assert!(asked(&mut story).1);
    list(&mut story, &["x-1"]);
    assert_eq!(asked(&mut story).0, ["x-1"]);
    story.pass(1_000);
    assert!(asked(&mut story).1);
}

#[test]
fn an_agents_cancels_and_those_of_another_symbol_leave_strangers_alone() {
    let mut story = Story::new().ready();
    list(&mut story, &["x-1"]);
    asked(&mut story);
    cancel_all(&mut story, Some("a"), None);
    cancel_all(&mut story, None, Some("ETHUSDT"));
    list(&mut story, &["x-1"]);
    assert!(asked(&mut story).0.is_empty());
}

#[test]
fn hundreds_of_strangers_are_cancelled_no_faster_than_the_venue_takes_it() {
    let mut story = Story::new().ready();
    let many: Vec<String> = (0..100).map(|at| format!("x-{at}")).collect();
    let mut left: Vec<&str> = many.iter().map(String::as_str).collect();
    list(&mut story, &left);
    asked(&mut story);
    cancel_all(&mut story, None, None);
    for _ in 0..12 {
        let (cancelled, _) = asked(&mut story);
        assert!(cancelled.len() <= 10, "{}", cancelled.len());
        left.retain(|order_id| !cancelled.iter().any(|gone| gone == order_id));
        story.pass(1_000);
        list(&mut story, &left);
    }
    assert!(left.is_empty(), "{left:?}");
    assert!(risks(&mut story, "foreign_orders_cancelled")[0].starts_with("100 open orders"));
}

#[test]
fn strangers_that_cannot_be_cancelled_are_told_and_given_up() {
    let mut story = Story::new().ready();
    cancel_all(&mut story, None, None);
    for _ in 0..130 {
        list(&mut story, &["x-1"]);
        story.pass(1_000);
    }
    let told = risks(&mut story, "foreign_orders_left");
    assert!(told.len() == 1 && told[0].starts_with("1 of 1"), "{told:?}");
    asked(&mut story);
    list(&mut story, &["x-1"]);
    assert!(asked(&mut story).0.is_empty());
}
