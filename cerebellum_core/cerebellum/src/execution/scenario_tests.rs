//! Scenarios of intents, orders and fills.

use std::collections::BTreeMap;

use protocol::wire::{
    command::Submit, event::OrderStatus, field::Side, reply::AckStatus, Command, RejectCode, Reply,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CreateOutcome, Effect, Input, Now, Record},
        order::{Order, Shown},
    },
    testing::{instrument, intent, scenario::*},
    Recovered,
};

#[test]
fn nothing_is_taken_before_the_venue_is_reconciled() {
    let mut scenario = Scenario::new();
    scenario.receive(Input::Instruments(BTreeMap::from([(symbol(), instrument())])));
    scenario.quote(99, 100);
    let early = scenario.submit("a", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::NotReady)));
    assert!(scenario.records.is_empty(), "a refusal for unreadiness is not journaled");
    let mut scenario = scenario.ready();
    assert!(scenario.asked.contains(&Effect::Ready));
    scenario.send(&early);
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
}

#[test]
fn an_intent_is_journaled_before_its_ack_and_before_it_is_sent() {
    let mut scenario = Scenario::new().ready();
    let command = Box::new(Command::Submit(submit("a", Side::Buy, "1", 1_000_000)));
    let input = Input::Command { client: vec![1], command, recorded: None };
    let effects = scenario.core.step(Now { ms: scenario.wall }, input);
    let at = |pick: fn(&Effect) -> bool| effects.iter().position(pick).unwrap();
    let journaled = at(|effect| matches!(effect, Effect::Record(Record::Intent(_))));
    let replied = at(|effect| matches!(effect, Effect::Reply(..)));
    let sent = at(|effect| matches!(effect, Effect::Create(_)));
    assert!(journaled < replied && journaled < sent);
}

#[test]
fn the_same_intent_again_returns_the_recorded_order_and_sends_nothing() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    assert_eq!(scenario.creates().len(), 1);
    scenario.send(&one);
    assert_eq!(scenario.ack().0, AckStatus::Duplicate);
    scenario.send(&Submit { qty: "2".parse().unwrap(), ..one.clone() });
    assert!(matches!(scenario.replies.last(), Some(Reply::Error(_))));
    let rejected = scenario.submit("a", Side::Buy, "0.0005");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::BadQuantity)));
    scenario.send(&rejected);
    assert_eq!(scenario.ack(), (AckStatus::Duplicate, Some(RejectCode::BadQuantity)));
    assert!(scenario.creates().is_empty());
}

#[test]
fn a_timeout_is_asked_for_and_sent_again_only_under_the_same_id() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let first = scenario.creates().remove(0);
    let silent = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    scenario.receive(Input::CreateReply { link_id: first.link_id.clone(), outcome: silent });
    assert_eq!(scenario.status(&one), OrderStatus::Unknown);
    for _ in 0..2 {
        scenario.pass(300);
        scenario.receive(not_found(&first.link_id));
    }
    let again = scenario.creates();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].link_id, first.link_id);
    // The first attempt had landed after all.
    scenario.receive(Input::CreateReply {
        link_id: first.link_id.clone(),
        outcome: CreateOutcome::Landed,
    });
    scenario.receive(Input::Asked {
        link_id: first.link_id.clone(),
        seen: Some(seen(&first, ended(OrderStatus::Filled, "1"))),
        executions: vec![execution(&first, "e1", Decimal::ONE, 100)],
        complete: true,
    });
    assert_eq!(scenario.status(&one), OrderStatus::Filled);
    assert_eq!(scenario.position("a"), Decimal::ONE);
}

#[test]
fn an_order_is_declared_expired_only_when_the_venue_can_no_longer_take_it() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let link = scenario.creates().remove(0).link_id;
    let silent = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    scenario.receive(Input::CreateReply { link_id: link.clone(), outcome: silent });
    scenario.market += 120_000;
    scenario.quote(99, 100);
    scenario.pass(3_000);
    scenario.receive(not_found(&link));
    scenario.receive(not_found(&link));
    assert_eq!(scenario.status(&one), OrderStatus::Unknown, "the receive window is still open");
    scenario.pass(4_000);
    scenario.receive(not_found(&link));
    assert_eq!(scenario.status(&one), OrderStatus::Rejected);
    assert!(scenario.creates().is_empty());
}

#[test]
fn an_order_waits_for_its_fills_before_it_is_reported_filled() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let order = scenario.creates().remove(0);
    scenario.receive(Input::OrderSeen(seen(&order, ended(OrderStatus::Filled, "1"))));
    assert!(!scenario.status(&one).is_terminal());
    scenario.pass(400);
    assert!(scenario.asked.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
    scenario.fill(&order, "e1", "1", 100);
    assert_eq!(scenario.status(&one), OrderStatus::Filled);
}

#[test]
fn a_cancelled_order_keeps_the_fills_it_had() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "e1", "0.4", 100);
    scenario.receive(Input::OrderSeen(seen(&order, ended(OrderStatus::Cancelled, "0.4"))));
    assert_eq!(scenario.status(&one), OrderStatus::Cancelled);
    assert_eq!(scenario.position("a"), Decimal::new(4, 1));
    assert_eq!(scenario.risks("impossible_transition"), 0);
}

#[test]
fn an_impossible_transition_is_alarmed_and_booked_and_never_panics() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let order = scenario.creates().remove(0);
    let refused = CreateOutcome::Refused { code: RejectCode::VenueRejected, text: "no".to_owned() };
    scenario.receive(Input::CreateReply { link_id: order.link_id.clone(), outcome: refused });
    assert_eq!(scenario.status(&one), OrderStatus::Rejected);
    scenario.fill(&order, "e1", "1", 100);
    assert_eq!(scenario.status(&one), OrderStatus::Filled);
    assert_eq!(scenario.position("a"), Decimal::ONE, "a fill always counts");
    assert_eq!(scenario.risks("impossible_transition"), 1);
}

#[test]
fn a_connect_asks_for_many_orders_in_turn_and_for_each_once() {
    let open_orders = (0..40).map(|_| {
        let mut order = Order::new(intent("a", Side::Buy, "1"));
        (order.status, order.sends) = (OrderStatus::Sent, 1);
        order
    });
    let recovered = Recovered { open_orders: open_orders.collect(), ..Recovered::default() };
    let mut scenario = Scenario::with(setup(), recovered).instructed();
    scenario.receive(Input::PublicUp);
    scenario.receive(Input::PrivateUp);
    scenario.receive(Input::Positions(BTreeMap::new()));
    let mut asked = Vec::new();
    for round in 0..100 {
        for effect in std::mem::take(&mut scenario.asked) {
            if let Effect::Ask { link_id, .. } = effect {
                asked.push((round * 20, link_id));
            }
        }
        scenario.pass(20);
    }
    assert_eq!(asked.iter().filter(|(at, _)| *at < 100).count(), 3);
    assert_eq!(asked.len(), 40);
    let each: std::collections::BTreeSet<&String> = asked.iter().map(|(_, link)| link).collect();
    assert_eq!(each.len(), 40);
}

#[test]
fn questions_are_asked_again_by_the_clock_even_where_market_time_stands_still() {
    let mut scenario = Scenario::new().ready();
    scenario.submit("a", Side::Buy, "1");
    let left = scenario.creates().remove(0);
    let open_orders = vec![scenario.core.orders[&left.link_id].clone()];
    let recovered = Recovered { open_orders, ..Recovered::default() };
    let mut scenario = Scenario::with(setup(), recovered).ready();
    let asks = |scenario: &mut Scenario| {
        let before = scenario.asked.len();
        scenario.asked.retain(|effect| !matches!(effect, Effect::Ask { .. }));
        before - scenario.asked.len()
    };
    for number in 0..60 {
        assert_eq!(asks(&mut scenario), 1, "question {number}");
        scenario.receive(Input::Asked {
            link_id: left.link_id.clone(),
            seen: None,
            executions: Vec::new(),
            complete: false,
        });
        assert!(!scenario.core.is_ready());
        let what = scenario.core.awaits().unwrap();
        assert!(what.contains("the fate of 1 orders") && what.contains(&left.link_id), "{what}");
        scenario.pass(499);
        assert_eq!(asks(&mut scenario), 0);
        scenario.pass(1);
    }
    scenario.receive(Input::Asked {
        link_id: left.link_id.clone(),
        seen: Some(seen(&left, Shown::Working)),
        executions: Vec::new(),
        complete: true,
    });
    assert!(scenario.core.is_ready() && scenario.core.is_connected());
    assert_eq!(scenario.core.awaits(), None);
}
