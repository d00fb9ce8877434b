//! Scenarios of amends: against fills, cancels, lost answers and restarts.

use protocol::wire::{
    command::{Amend, Cancel, Submit},
    event::{Event, OrderStatus},
    field::{Kind, RequestId, Side, V1},
    reply::AckStatus,
    Command, ErrorCode, RejectCode, Reply,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{AmendOutcome, CreateOrder, CreateOutcome, Effect, Input, Now, Record},
        order::{link_id, Shown},
    },
    testing::scenario::*,
    Recovered,
};

fn amend(submit: &Submit, qty: Option<&str>, price: Option<&str>) -> Command {
    let text = |text: Option<&str>| text.map(|text| text.parse().unwrap());
    Command::Amend(Amend {
        v: V1,
        ts: 0,
        request_id: RequestId::new("r").unwrap(),
        intent_id: submit.intent_id.clone(),
        agent: submit.agent.clone(),
        qty: text(qty),
        limit_price: text(price),
    })
}

/// A limit order to buy one coin at 95.
fn bid(agent: &str, scenario: &Scenario) -> Submit {
    let mut order = submit(agent, Side::Buy, "1", scenario.market);
    (order.kind, order.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    order
}

/// The same, resting at the venue.
fn resting() -> (Scenario, Submit, CreateOrder) {
    let mut scenario = Scenario::new().ready();
    let order = bid("a", &scenario);
    scenario.send(&order);
    let created = scenario.creates().remove(0);
    accept(&mut scenario, &created);
    (scenario, order, created)
}

fn accept(scenario: &mut Scenario, created: &CreateOrder) {
    let outcome = CreateOutcome::Accepted { order_id: format!("o-{}", created.link_id) };
    scenario.receive(Input::CreateReply { link_id: created.link_id.clone(), outcome });
    scenario.receive(Input::OrderSeen(seen_at(created, Shown::Working, "1", "95")));
}

fn amends(scenario: &mut Scenario) -> Vec<(Option<String>, Option<String>)> {
    let mut sent = Vec::new();
    scenario.asked.retain(|effect| match effect {
        Effect::Amend { qty, price, .. } => {
            sent.push((qty.clone(), price.clone()));
            false
        }
        _ => true,
    });
    sent
}

fn reply(scenario: &mut Scenario, created: &CreateOrder, outcome: AmendOutcome) {
    scenario.receive(Input::AmendReply { link_id: created.link_id.clone(), outcome });
}

fn asked(scenario: &mut Scenario, created: &CreateOrder, qty: &str, price: &str) {
    scenario.receive(Input::Asked {
        link_id: created.link_id.clone(),
        seen: Some(seen_at(created, Shown::Working, qty, price)),
        executions: Vec::new(),
        complete: true,
    });
}

fn terms(scenario: &Scenario, submit: &Submit) -> String {
    scenario.core.orders[&link_id(&submit.intent_id)].terms.to_string()
}

fn in_flight(scenario: &Scenario, submit: &Submit) -> bool {
    scenario.core.orders[&link_id(&submit.intent_id)].amend.is_some()
}

#[test]
fn an_amend_is_journaled_before_its_ack_and_before_it_is_sent() {
    let (mut scenario, order, _) = resting();
    let command = Box::new(amend(&order, Some("2"), None));
    let input = Input::Command { client: vec![1], command, recorded: None };
    let effects = scenario.core.step(Now { ms: scenario.wall }, input);
    let at = |pick: fn(&Effect) -> bool| effects.iter().position(pick).unwrap();
    let journaled = at(|effect| matches!(effect, Effect::Record(Record::Order(_))));
    let replied = at(|effect| matches!(effect, Effect::Reply(..)));
    let sent = at(|effect| matches!(effect, Effect::Amend { .. }));
    assert!(journaled < replied && journaled < sent);
    let before = effects[..sent].iter().rev().find_map(|effect| match effect {
        Effect::Record(Record::Order(order)) => order.amend.clone(),
        _ => None,
    });
    assert!(before.unwrap().sent, "the journal must know that it may have left");
}

#[test]
fn an_amend_holds_once_a_row_of_the_venue_shows_it() {
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, None, Some("96")));
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
    assert_eq!(amends(&mut scenario), [(None, Some("96".to_owned()))]);
    reply(&mut scenario, &created, AmendOutcome::Accepted);
    assert_eq!(terms(&scenario, &order), "qty 1 at 95", "taken is not done");
    // An older row comes late.
    scenario.receive(Input::OrderSeen(seen_at(&created, Shown::Working, "1", "95")));
    assert!(in_flight(&scenario, &order));
    scenario.receive(Input::OrderSeen(seen_at(&created, Shown::Working, "1.0", "96.0")));
    assert_eq!(terms(&scenario, &order), "qty 1 at 96");
    let reported = scenario.events.iter().rev().find_map(|event| match event {
        Event::Order(event) => event.order.limit_price.clone(),
        _ => None,
    });
    assert_eq!(reported.unwrap().as_str(), "96");
    scenario.command(amend(&order, Some("1"), Some("96.0")));
    assert_eq!(scenario.ack().0, AckStatus::Duplicate);
    scenario.receive(Input::OrderSeen(seen_at(&created, Shown::Working, "1", "95")));
    assert_eq!(terms(&scenario, &order), "qty 1 at 96", "a late row turned the terms back");
}

#[test]
fn a_refused_amend_leaves_the_order_as_it_was() {
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, Some("2"), Some("96")));
    reply(&mut scenario, &created, AmendOutcome::Refused { text: "110007".to_owned() });
    assert_eq!(terms(&scenario, &order), "qty 1 at 95");
    assert_eq!(scenario.status(&order), OrderStatus::New);
    assert!(!in_flight(&scenario, &order));
    let text = scenario.core.orders[&created.link_id].text.clone().unwrap();
    assert!(text.contains("110007"), "{text}");
    scenario.command(amend(&order, Some("2"), None));
    assert_eq!(scenario.ack().0, AckStatus::Accepted, "it can be tried again");
}

#[test]
fn an_amend_without_an_answer_is_asked_for_and_the_venues_row_decides() {
    for arrived in [true, false] {
        let (mut scenario, order, created) = resting();
        scenario.command(amend(&order, Some("2"), None));
        reply(&mut scenario, &created, AmendOutcome::Ambiguous { text: "timeout".to_owned() });
        assert!(scenario.asked.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
        asked(&mut scenario, &created, "1", "95");
        assert!(in_flight(&scenario, &order), "the request may still be on the way");
        for _ in 0..8 {
            scenario.pass(1_001);
            asked(&mut scenario, &created, if arrived { "2" } else { "1" }, "95");
        }
        assert!(!in_flight(&scenario, &order));
        assert_eq!(terms(&scenario, &order), if arrived { "qty 2 at 95" } else { "qty 1 at 95" });
        assert_eq!(scenario.risks("impossible_transition"), 0);
        assert_eq!(amends(&mut scenario).len(), 1, "an amend is not sent twice on a guess");
    }
}

#[test]
fn a_fill_that_races_with_an_amend_ends_the_order_only_by_the_venues_word() {
    // Smaller: the fill is the whole of what was wanted, and less than what was held.
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, Some("0.5"), None));
    scenario.fill(&created, "e1", "0.5", 95);
    assert_eq!(scenario.status(&order), OrderStatus::PartiallyFilled);
    let row = seen_at(&created, ended(OrderStatus::Filled, "0.5"), "0.5", "95");
    scenario.receive(Input::OrderSeen(row));
    assert_eq!(scenario.status(&order), OrderStatus::Filled);
    assert_eq!(terms(&scenario, &order), "qty 0.5 at 95");
    // Larger: what was held is filled, and the amend may have arrived before.
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, Some("2"), None));
    scenario.fill(&created, "e1", "1", 95);
    assert_eq!(scenario.status(&order), OrderStatus::PartiallyFilled);
    scenario.receive(Input::OrderSeen(seen_at(&created, Shown::Working, "2", "95")));
    scenario.fill(&created, "e2", "1", 95);
    assert_eq!(scenario.status(&order), OrderStatus::Filled);
    // Larger, and too late.
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, Some("2"), None));
    scenario.fill(&created, "e1", "1", 95);
    reply(&mut scenario, &created, AmendOutcome::Refused { text: "110001".to_owned() });
    scenario.receive(Input::OrderSeen(seen_at(
        &created,
        ended(OrderStatus::Filled, "1"),
        "1",
        "95",
    )));
    assert_eq!(scenario.status(&order), OrderStatus::Filled);
    assert_eq!(terms(&scenario, &order), "qty 1 at 95");
    assert_eq!(scenario.risks("impossible_transition"), 0);
}

#[test]
fn a_cancel_wins_over_an_amend() {
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, Some("2"), None));
    scenario.command(Command::Cancel(Cancel {
        v: V1,
        ts: 0,
        request_id: RequestId::new("c").unwrap(),
        intent_id: order.intent_id.clone(),
    }));
    scenario.command(amend(&order, Some("3"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::NotAmendable)));
    scenario.receive(Input::OrderSeen(seen_at(
        &created,
        ended(OrderStatus::Cancelled, "0"),
        "2",
        "95",
    )));
    assert_eq!(scenario.status(&order), OrderStatus::Cancelled);
    reply(&mut scenario, &created, AmendOutcome::Accepted);
    assert!(!in_flight(&scenario, &order));
    scenario.command(amend(&order, Some("3"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::OrderEnded)));
    assert_eq!(amends(&mut scenario).len(), 1);
}

#[test]
fn an_order_that_was_not_sent_takes_its_new_terms_at_once() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    scenario.submit("b", Side::Buy, "1");
    scenario.creates();
    let order = bid("a", &scenario);
    scenario.send(&order);
    scenario.command(amend(&order, Some("2"), Some("94")));
    assert_eq!(terms(&scenario, &order), "qty 2 at 94");
    scenario.send(&order);
    assert_eq!(scenario.ack().0, AckStatus::Duplicate, "the intent is the one that was journaled");
    scenario.pass(1_500);
    let created = scenario.creates().remove(0);
    assert_eq!((created.qty.as_str(), created.price.as_deref()), ("2", Some("94")));
    assert!(amends(&mut scenario).is_empty());
}

#[test]
fn an_amend_of_an_order_in_flight_waits_until_the_order_rests() {
    let mut scenario = Scenario::new().ready();
    let order = bid("a", &scenario);
    scenario.send(&order);
    let created = scenario.creates().remove(0);
    scenario.command(amend(&order, Some("2"), None));
    assert!(amends(&mut scenario).is_empty());
    accept(&mut scenario, &created);
    assert_eq!(amends(&mut scenario), [(Some("2".to_owned()), None)]);
}

#[test]
fn an_amend_put_off_by_the_venue_is_sent_again_after_the_pause() {
    let (mut scenario, order, created) = resting();
    scenario.command(amend(&order, Some("2"), None));
    amends(&mut scenario);
    let retry_at = scenario.wall + 500;
    reply(
        &mut scenario,
        &created,
        AmendOutcome::NotExecuted { retry_at, text: "10006".to_owned() },
    );
    scenario.pass(400);
    assert!(amends(&mut scenario).is_empty());
    scenario.pass(200);
    assert_eq!(amends(&mut scenario).len(), 1);
}

#[test]
fn an_amended_order_obeys_every_limit() {
    let mut limited = setup();
    limited.limits.order.max_notional = Some(Decimal::from(300));
    limited.limits.position.max_notional = Some(Decimal::from(400));
    let mut scenario = Scenario::with(limited, Recovered::default()).ready();
    let (one, two) = (bid("a", &scenario), bid("a", &scenario));
    for order in [&one, &two] {
        scenario.send(order);
        let created = scenario.creates().remove(0);
        accept(&mut scenario, &created);
    }
    let mut refused = |qty: Option<&str>, price: Option<&str>| {
        scenario.command(amend(&one, qty, price));
        assert_eq!(scenario.ack().0, AckStatus::Rejected, "{qty:?} {price:?}");
        scenario.ack().1.unwrap()
    };
    assert_eq!(refused(Some("3.5"), None), RejectCode::LimitNotional);
    assert_eq!(refused(Some("0.0015"), None), RejectCode::BadQuantity);
    assert_eq!(refused(Some("0.001"), None), RejectCode::BelowMinimum);
    assert_eq!(refused(None, Some("95.05")), RejectCode::BadPrice);
    assert_eq!(refused(None, Some("150")), RejectCode::PriceCollar);
    scenario.command(amend(&one, Some("3"), None));
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
    // While it is in flight the larger quantity counts.
    scenario.command(amend(&two, Some("2"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::LimitPosition)));
}

#[test]
fn what_cannot_be_amended_is_reported_with_its_code() {
    let (mut scenario, order, created) = resting();
    scenario.fill(&created, "e1", "0.5", 95);
    scenario.command(amend(&order, Some("0.5"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::BadQuantity)));
    scenario.command(amend(&order, None, None));
    assert!(matches!(
        scenario.replies.last(),
        Some(Reply::Error(error)) if error.code == ErrorCode::BadField
    ));
    let foreign_order = Submit { agent: name("b"), ..order.clone() };
    scenario.command(amend(&foreign_order, Some("2"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::UnknownIntent)));
    let market = scenario.submit("a", Side::Buy, "1");
    scenario.command(amend(&market, Some("2"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::NotAmendable)));
    scenario.receive(Input::PrivateDown);
    scenario.command(amend(&order, Some("2"), None));
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::NotReady)));
}

#[test]
fn a_restart_resolves_an_amend_that_left_and_sends_one_that_did_not() {
    for sent in [true, false] {
        let (mut scenario, order, created) = resting();
        scenario.command(amend(&order, Some("2"), None));
        amends(&mut scenario);
        let mut open = scenario.core.orders[&created.link_id].clone();
        open.tracking = crate::execution::model::order::Tracking::default();
        open.amend.as_mut().unwrap().sent = sent;
        let recovered = Recovered {
            open_orders: vec![open],
            first_intent_ts: Some(1_000_000),
            last_seq: scenario.core.last_seq(),
            ..Recovered::default()
        };
        let mut scenario = Scenario::with(setup(), recovered).ready();
        assert!(amends(&mut scenario).is_empty(), "nothing leaves before reconciliation");
        scenario.receive(Input::Executions { executions: Vec::new(), pulled: true });
        asked(&mut scenario, &created, if sent { "2" } else { "1" }, "95");
        assert!(scenario.core.is_ready());
        assert_eq!(amends(&mut scenario).len(), usize::from(!sent));
        if sent {
            assert_eq!(terms(&scenario, &order), "qty 2 at 95");
        }
    }
}

#[test]
fn terms_that_only_the_venue_knows_are_taken_and_alarmed() {
    let (mut scenario, order, created) = resting();
    scenario.pass(31_000);
    asked(&mut scenario, &created, "3", "95");
    assert_eq!(terms(&scenario, &order), "qty 3 at 95");
    assert_eq!(scenario.risks("impossible_transition"), 1);
}
