//! Scenarios of races: a cancel against a resend, a fill against its cancel, an answer against a loss.

use std::collections::BTreeMap;

use protocol::wire::{
    command::{Cancel, Flatten, SetState, Submit},
    event::OrderStatus,
    field::{Kind, Reason, RequestId, Side, TradingState, V1},
    Command, RejectCode,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CancelOutcome, CreateOrder, CreateOutcome, Effect, Input, Record},
        order::{Order, Shown},
    },
    testing::{instrument, intent, scenario::*},
    Recovered,
};

fn request() -> RequestId {
    RequestId::new("r").unwrap()
}

fn cancel(submit: &Submit) -> Command {
    let intent_id = submit.intent_id.clone();
    Command::Cancel(Cancel { v: V1, ts: 0, request_id: request(), intent_id })
}

fn flatten() -> Command {
    let reason = Reason::new("kill").unwrap();
    Command::Flatten(Flatten {
        v: V1,
        ts: 0,
        request_id: request(),
        agent: None,
        symbol: None,
        reason,
    })
}

fn halt() -> Command {
    Command::SetState(SetState {
        v: V1,
        ts: 0,
        request_id: request(),
        agent: None,
        symbol: None,
        state: TradingState::Halted,
        operator: None,
    })
}

fn limit(scenario: &mut Scenario, agent: &str, side: Side, price: &str) -> (Submit, CreateOrder) {
    let mut order = submit(agent, side, "1", scenario.market);
    (order.kind, order.limit_price) = (Kind::Limit, Some(price.parse().unwrap()));
    scenario.send(&order);
    let created = scenario.creates().remove(0);
    (order, created)
}

/// An order that the venue refused to look at for now, so that it waits for its next turn.
fn put_off() -> (Scenario, Submit) {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let link_id = scenario.creates().remove(0).link_id;
    let retry_at = scenario.wall + 1_000;
    let outcome = CreateOutcome::NotExecuted { retry_at, text: "10006".to_owned() };
    scenario.receive(Input::CreateReply { link_id, outcome });
    (scenario, one)
}

#[test]
fn an_order_put_off_by_the_venue_is_sent_again_after_the_pause() {
    let (mut scenario, _) = put_off();
    scenario.pass(900);
    assert!(scenario.creates().is_empty());
    scenario.pass(200);
    assert_eq!(scenario.creates().len(), 1);
}

#[test]
fn a_cancelled_order_that_was_put_off_is_never_sent() {
    let (mut scenario, one) = put_off();
    scenario.command(cancel(&one));
    assert_eq!(scenario.status(&one), OrderStatus::Cancelled);
    scenario.pass(5_000);
    assert!(scenario.creates().is_empty());
}

#[test]
fn a_halt_withdraws_an_order_that_was_put_off() {
    let (mut scenario, one) = put_off();
    scenario.command(halt());
    assert_eq!(scenario.status(&one), OrderStatus::Cancelled);
    scenario.pass(5_000);
    assert!(scenario.creates().is_empty());
}

#[test]
fn a_cancel_that_meets_the_first_request_in_flight_withdraws_it_once_it_is_known_not_executed() {
    let mut scenario = Scenario::new().ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let link_id = scenario.creates().remove(0).link_id;
    scenario.command(cancel(&one));
    assert!(!scenario.status(&one).is_terminal(), "the request may still be executed");
    let outcome = CreateOutcome::NotExecuted { retry_at: scenario.wall, text: "10002".to_owned() };
    scenario.receive(Input::CreateReply { link_id, outcome });
    assert_eq!(scenario.status(&one), OrderStatus::Cancelled);
    scenario.pass(2_000);
    assert!(scenario.creates().is_empty());
}

#[test]
fn the_journal_knows_of_every_request_that_left() {
    let (mut scenario, one) = put_off();
    scenario.records.clear();
    scenario.pass(1_100);
    assert_eq!(scenario.creates().len(), 1);
    let last = scenario.records.iter().rev().find_map(|record| match record {
        Record::Order(order) => Some(order.clone()),
        _ => None,
    });
    let last = last.expect("a resend that the journal does not know of");
    assert_eq!((last.intent.intent_id.clone(), last.sends), (one.intent_id, 1));
}

#[test]
fn a_resend_outside_the_time_to_live_never_leaves_and_its_fate_is_asked_for() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    let one = scenario.submit("a", Side::Buy, "1");
    let link_id = scenario.creates().remove(0).link_id;
    let silent = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    scenario.receive(Input::CreateReply { link_id: link_id.clone(), outcome: silent });
    // Its turn has not come when the time to live ends.
    scenario.wall += 100;
    scenario.receive(not_found(&link_id));
    scenario.receive(not_found(&link_id));
    scenario.market += 60_001;
    scenario.quote(99, 100);
    scenario.asked.clear();
    scenario.pass(1_500);
    assert!(scenario.creates().is_empty());
    assert!(scenario.asked.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
    assert_eq!(scenario.status(&one), OrderStatus::Unknown);
    scenario.pass(10_000);
    scenario.receive(not_found(&link_id));
    assert_eq!(scenario.status(&one), OrderStatus::Rejected);
}

#[test]
fn an_order_that_the_venue_shows_while_it_waits_for_a_resend_is_not_sent_again() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    scenario.submit("a", Side::Buy, "1");
    let order = scenario.creates().remove(0);
    let link_id = order.link_id.clone();
    let outcome = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    scenario.receive(Input::CreateReply { link_id: link_id.clone(), outcome });
    scenario.receive(not_found(&link_id));
    scenario.receive(not_found(&link_id));
    scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
    scenario.pass(1_500);
    assert!(scenario.creates().is_empty());
    assert_eq!(scenario.risks("impossible_transition"), 0);
}

#[test]
fn an_order_that_ends_by_a_fetched_fill_does_not_hold_readiness_back() {
    let mut order = Order::new(intent("a", Side::Buy, "1"));
    order.status = OrderStatus::Sent;
    order.sends = 1;
    let created = CreateOrder {
        link_id: order.link_id.clone(),
        symbol: symbol(),
        side: Side::Buy,
        kind: Kind::Market,
        qty: "1".to_owned(),
        price: None,
        reduce_only: false,
    };
    let recovered = Recovered {
        open_orders: vec![order],
        first_intent_ts: Some(1_000_000),
        ..Recovered::default()
    };
    let mut scenario = Scenario::with(setup(), recovered);
    scenario.receive(Input::Instruments(BTreeMap::from([(symbol(), instrument())])));
    scenario.quote(99, 100);
    scenario.receive(Input::PublicUp);
    scenario.receive(Input::PrivateUp);
    let executions = vec![execution(&created, "e1", Decimal::ONE, 100)];
    scenario.receive(Input::Executions { executions, pulled: true });
    scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    let link_id = created.link_id;
    scenario.receive(Input::Asked { link_id, seen: None, executions: vec![], complete: false });
    scenario.pass(1_000);
    assert!(scenario.core.is_ready(), "an order that has ended is still awaited");
}

#[test]
fn a_kill_sends_no_more_cancels_a_second_than_the_venue_takes_and_each_once() {
    let mut scenario = Scenario::new().ready();
    let resting: Vec<CreateOrder> = (0..40)
        .map(|_| {
            let (_, order) = limit(&mut scenario, "a", Side::Buy, "95");
            scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
            order
        })
        .collect();
    scenario.records.clear();
    scenario.command(halt());
    let wanted = scenario.records.iter().filter(|record| match record {
        Record::Order(order) => order.cancel_wanted,
        _ => false,
    });
    assert_eq!(wanted.count(), 40, "a restart must know of those that wait, too");
    let mut sent: Vec<(i64, String)> = Vec::new();
    let begun = scenario.wall;
    while scenario.wall <= begun + 4_000 {
        for effect in std::mem::take(&mut scenario.asked) {
            let Effect::Cancel { link_id, .. } = effect else { continue };
            let order = resting.iter().find(|order| order.link_id == link_id).unwrap();
            scenario.receive(Input::OrderSeen(seen(order, ended(OrderStatus::Cancelled, "0"))));
            sent.push((scenario.wall - begun, link_id));
        }
        scenario.pass(20);
    }
    assert_eq!(sent.iter().filter(|(at, _)| *at < 1_000).count(), 10);
    assert_eq!(sent.len(), 40);
    let each: std::collections::BTreeSet<&String> = sent.iter().map(|(_, link)| link).collect();
    assert_eq!(each.len(), 40);
}

#[test]
fn an_entry_that_fills_while_its_cancel_is_in_flight_is_flattened_too() {
    let mut scenario = protected();
    let (_, resting) = limit(&mut scenario, "a", Side::Buy, "95");
    scenario.receive(Input::OrderSeen(seen(&resting, Shown::Working)));
    let (_, other) = limit(&mut scenario, "b", Side::Sell, "105");
    scenario.receive(Input::OrderSeen(seen(&other, Shown::Working)));
    scenario.command(halt());
    scenario.command(flatten());
    let exit = scenario.creates().remove(0);
    scenario.fill(&exit, "exit", "1", 100);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
    // Both entries were faster than their cancels.
    scenario.fill(&resting, "late-a", "1", 95);
    scenario.fill(&other, "late-b", "1", 105);
    let exits = scenario.creates();
    assert_eq!(exits.len(), 2, "late fills stay open");
    for (at, exit) in exits.iter().enumerate() {
        scenario.fill(exit, &format!("closed-{at}"), "1", 100);
    }
    assert_eq!((scenario.position("a"), scenario.position("b")), (Decimal::ZERO, Decimal::ZERO));
}

#[test]
fn entries_that_wait_stay_while_the_private_stream_is_down_and_exits_leave() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    scenario.submit("a", Side::Buy, "1");
    let first = scenario.creates().remove(0);
    scenario.fill(&first, "e1", "1", 100);
    let entry = scenario.submit("b", Side::Buy, "1");
    let mut exit = submit("a", Side::Sell, "1", scenario.market);
    exit.reduce_only = true;
    scenario.send(&exit);
    scenario.receive(Input::PrivateDown);
    scenario.pass(1_100);
    scenario.pass(1_100);
    scenario.pass(1_100);
    let left = scenario.creates();
    assert_eq!(left.len(), 1, "an entry left blind");
    assert_eq!(left[0].side, Side::Sell);
    assert_eq!(scenario.status(&entry), OrderStatus::Pending);
    scenario.receive(Input::PrivateUp);
    for link_id in scenario.core.audit.awaiting.clone() {
        scenario.receive(not_found(&link_id));
    }
    scenario.receive(Input::Executions { executions: vec![], pulled: true });
    scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    scenario.pass(1_100);
    assert_eq!(scenario.creates().remove(0).side, Side::Buy);
}

/// An entry that waits for its turn, long after it came, while the book is stale.
fn waiting_for_long() -> (Scenario, Submit) {
    let (mut scenario, waiting) = Scenario::waiting_without_a_book();
    scenario.pass(61_000);
    scenario.pass(1_100);
    assert!(scenario.creates().is_empty(), "an entry left on market time that stands still");
    assert_eq!(scenario.status(&waiting), OrderStatus::Pending);
    (scenario, waiting)
}

#[test]
fn an_entry_that_waits_while_the_book_is_stale_leaves_once_it_is_back_in_time() {
    let (mut scenario, waiting) = waiting_for_long();
    scenario.market += 60_000;
    scenario.quote(99, 100);
    assert_eq!(scenario.creates().len(), 1);
    assert_eq!(scenario.status(&waiting), OrderStatus::Sent);
}

#[test]
fn an_entry_whose_time_to_live_ended_while_the_book_was_stale_never_leaves() {
    let (mut scenario, waiting) = waiting_for_long();
    scenario.market += 60_001;
    scenario.quote(99, 100);
    scenario.pass(1_100);
    assert!(scenario.creates().is_empty());
    assert_eq!(scenario.status(&waiting), OrderStatus::Rejected);
}

#[test]
fn a_lost_entry_is_not_sent_again_while_the_book_is_stale_and_an_exit_leaves() {
    let mut scenario = protected();
    scenario.submit("b", Side::Buy, "1");
    let link_id = scenario.creates().remove(0).link_id;
    let outcome = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    scenario.receive(Input::CreateReply { link_id: link_id.clone(), outcome });
    scenario.receive(Input::BookStale { symbol: symbol() });
    scenario.receive(not_found(&link_id));
    scenario.receive(not_found(&link_id));
    scenario.pass(1_100);
    assert!(scenario.creates().is_empty(), "a resend on market time that stands still");
    let mut exit = submit("a", Side::Sell, "1", scenario.market);
    exit.reduce_only = true;
    scenario.send(&exit);
    let left = scenario.creates();
    assert_eq!((left.len(), left[0].side), (1, Side::Sell));
}

#[test]
fn a_vanished_exit_is_replaced_once_positions_show_that_it_did_nothing() {
    let mut scenario = protected();
    scenario.quote(90, 91);
    let exit = scenario.creates().remove(0);
    let outcome = CreateOutcome::Accepted { order_id: format!("o-{}", exit.link_id) };
    scenario.receive(Input::CreateReply { link_id: exit.link_id.clone(), outcome });
    scenario.receive(Input::OrderSeen(seen(&exit, Shown::Working)));
    for _ in 0..10 {
        scenario.pass(1_000);
        scenario.receive(not_found(&exit.link_id));
        scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    }
    assert_eq!(scenario.risks("order_vanished"), 1);
    assert!(scenario.creates().is_empty(), "the venue may still show it");
    for _ in 0..8 {
        scenario.pass(1_000);
        scenario.receive(not_found(&exit.link_id));
    }
    // The position is gone at the venue: the exit worked, only its execution is missing.
    scenario.receive(Input::Positions(BTreeMap::new()));
    scenario.pass(1_000);
    assert!(scenario.creates().is_empty(), "an exit for a position that is gone");
    scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    scenario.pass(2_000);
    let again = scenario.creates().remove(0);
    assert_ne!(again.link_id, exit.link_id);
    scenario.fill(&again, "exit", "1", 90);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
}

#[test]
fn an_old_question_about_a_late_order_raises_no_alarm_when_it_is_answered() {
    let mut scenario = Scenario::new().ready();
    let (one, order) = limit(&mut scenario, "a", Side::Buy, "95");
    let link_id = order.link_id.clone();
    let outcome = CreateOutcome::Ambiguous { text: "timeout".to_owned() };
    scenario.receive(Input::CreateReply { link_id: link_id.clone(), outcome });
    // The question is under way when the venue shows the order after all.
    scenario.pass(50);
    scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
    scenario.receive(not_found(&link_id));
    assert_eq!(scenario.status(&one), OrderStatus::New);
    assert_eq!(scenario.risks("order_vanished"), 0);
    for _ in 0..10 {
        scenario.pass(1_000);
        scenario.receive(not_found(&link_id));
    }
    assert_eq!(scenario.risks("order_vanished"), 1, "later questions count");
}

#[test]
fn an_order_declared_gone_that_shows_up_again_is_alarmed_and_withdrawn() {
    let mut scenario = Scenario::new().ready();
    let (one, order) = limit(&mut scenario, "a", Side::Buy, "95");
    let outcome = CreateOutcome::Accepted { order_id: format!("o-{}", order.link_id) };
    scenario.receive(Input::CreateReply { link_id: order.link_id.clone(), outcome });
    scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
    for _ in 0..20 {
        scenario.pass(1_000);
        scenario.receive(not_found(&order.link_id));
    }
    scenario.receive(Input::Positions(BTreeMap::new()));
    assert_eq!(scenario.status(&one), OrderStatus::Cancelled);
    scenario.asked.clear();
    scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
    assert_eq!(scenario.risks("impossible_transition"), 1);
    assert!(scenario.asked.iter().any(|effect| matches!(effect, Effect::Cancel { .. })));
    scenario.receive(Input::OrderSeen(seen(&order, ended(OrderStatus::Cancelled, "0"))));
    assert_eq!(scenario.status(&one), OrderStatus::Cancelled);
}

#[test]
fn a_fill_that_crosses_zero_leaves_the_old_protection_behind() {
    let mut scenario = protected();
    let mut turn = submit("a", Side::Sell, "3", scenario.market);
    turn.protect = protect(Some("110"), None, None);
    scenario.send(&turn);
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "turn", "3", 100);
    assert_eq!(scenario.position("a"), Decimal::from(-2));
    let guard = &scenario.core.protection.guards[&(name("a"), symbol())];
    assert_eq!((guard.stop, guard.take_profit), (Some(Decimal::from(110)), None));
    // 90 was the stop of the long position.
    scenario.quote(89, 90);
    assert!(scenario.creates().is_empty());
    scenario.quote(110, 111);
    assert_eq!(scenario.creates().remove(0).side, Side::Buy);
}

#[test]
fn a_position_that_crosses_without_levels_of_its_own_is_not_closed_for_the_old_ones() {
    let mut scenario = protected();
    scenario.submit("a", Side::Sell, "3");
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "turn", "3", 100);
    scenario.quote(89, 90);
    scenario.quote(121, 122);
    assert!(scenario.creates().is_empty());
}

#[test]
fn a_cancel_refused_as_too_late_asks_for_the_order() {
    let mut scenario = Scenario::new().ready();
    let (one, order) = limit(&mut scenario, "a", Side::Buy, "95");
    scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
    scenario.command(cancel(&one));
    scenario.asked.clear();
    let outcome = CancelOutcome::Gone { text: "110001".to_owned() };
    scenario.receive(Input::CancelReply { link_id: order.link_id.clone(), outcome });
    assert!(scenario.asked.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
    let refused = CreateOutcome::Refused { code: RejectCode::BadPrice, text: "late".to_owned() };
    scenario.receive(Input::CreateReply { link_id: order.link_id, outcome: refused });
    assert_eq!(scenario.risks("impossible_transition"), 1, "refused while it rests");
}
