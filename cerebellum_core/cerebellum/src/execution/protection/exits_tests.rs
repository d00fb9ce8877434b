//! Scenarios of exits, states, limits and reconciliation.

use std::collections::BTreeMap;

use protocol::wire::{
    command::{Flatten, Plain, SetState},
    event::{Event, OrderStatus},
    field::{Kind, Reason, RequestId, Side, TradingState, V1},
    reply::AckStatus,
    Command, RejectCode, Reply,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CreateOrder, Effect, Execution, ExecutionKind, Input},
        order::Shown,
    },
    testing::scenario::*,
    Recovered, Setup,
};

#[test]
fn a_stop_closes_the_position_with_an_own_reduce_only_intent() {
    let mut scenario = protected();
    scenario.quote(91, 92);
    assert!(scenario.creates().is_empty());
    scenario.quote(90, 91);
    let exit = scenario.creates().remove(0);
    assert_eq!((exit.side, exit.qty.as_str(), exit.kind), (Side::Sell, "1", Kind::Market));
    scenario.quote(89, 90);
    assert!(scenario.creates().is_empty(), "one exit at a time");
    scenario.fill(&exit, "exit", "1", 90);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
    let reported = scenario.events.iter().any(|event| {
        matches!(event, Event::Fill(fill) if fill.reason.as_str() == "stop" && fill.agent.as_str() == "a")
    });
    assert!(reported, "the exit keeps the agent and tells why");
    scenario.quote(80, 81);
    assert!(scenario.creates().is_empty(), "protection ends with the position");
}

#[test]
fn a_stop_that_races_with_the_arenas_own_exit_never_flips_the_position() {
    let mut scenario = protected();
    let mut exit = submit("a", Side::Sell, "1", scenario.market);
    exit.reduce_only = true;
    scenario.send(&exit);
    let arena_exit = scenario.creates().remove(0);
    scenario.quote(90, 91);
    assert!(scenario.creates().is_empty(), "the arena's exit is under way");
    scenario.fill(&arena_exit, "exit", "1", 90);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
    assert!(scenario.creates().is_empty());

    let mut scenario = protected();
    scenario.quote(90, 91);
    let stop = scenario.creates().remove(0);
    let mut late = submit("a", Side::Sell, "1", scenario.market);
    late.reduce_only = true;
    scenario.send(&late);
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    scenario.fill(&stop, "stop", "1", 90);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
}

#[test]
fn an_exit_that_fails_is_tried_again_until_the_position_is_closed() {
    let mut scenario = protected();
    scenario.quote(90, 91);
    let first = scenario.creates().remove(0);
    scenario.fill(&first, "part", "0.4", 90);
    scenario.receive(Input::OrderSeen(seen(&first, ended(OrderStatus::Cancelled, "0.4"))));
    scenario.pass(2_000);
    let second = scenario.creates().remove(0);
    assert_eq!(second.qty, "0.6");
    assert_ne!(second.link_id, first.link_id);
}

#[test]
fn a_deadline_works_without_a_book_and_after_a_restart() {
    let mut scenario = Scenario::new().ready();
    let mut entry = submit("a", Side::Buy, "1", scenario.market);
    entry.protect = protect(None, None, Some(2_000_000));
    scenario.send(&entry);
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "entry", "1", 100);
    let recovered = Recovered {
        ledger: scenario.core.ledger.clone(),
        guards: scenario.core.protection.guards.clone(),
        last_seq: scenario.core.last_seq(),
        last_exec_ts: Some(1_000_001),
        ..Recovered::default()
    };
    let mut scenario = Scenario::with(setup(), recovered).ready();
    scenario.receive(Input::Executions { executions: Vec::new(), pulled: true });
    scenario.receive(Input::BookStale { symbol: symbol() });
    scenario.receive(Input::MarketTime(1_999_999));
    assert!(scenario.creates().is_empty());
    scenario.receive(Input::MarketTime(2_000_000));
    assert_eq!(scenario.creates().remove(0).side, Side::Sell);
}

#[test]
fn reduce_only_reaches_the_venue_only_when_the_net_position_allows_it() {
    let mut scenario = protected();
    scenario.submit("b", Side::Sell, "1");
    let short = scenario.creates().remove(0);
    scenario.fill(&short, "b1", "1", 99);
    assert_eq!(scenario.core.ledger.net(&symbol()), Decimal::ZERO);
    let mut exit = submit("a", Side::Sell, "1", scenario.market);
    exit.reduce_only = true;
    scenario.send(&exit);
    assert_eq!(scenario.ack().0, AckStatus::Accepted, "agent a holds it, whatever the net says");
    let order = scenario.creates().remove(0);
    assert!(!order.reduce_only, "at the venue it makes the net position larger");
    scenario.fill(&order, "a2", "1", 99);
    let mut cover = submit("b", Side::Buy, "1", scenario.market);
    cover.reduce_only = true;
    scenario.send(&cover);
    assert!(scenario.creates().remove(0).reduce_only);
}

#[test]
fn a_working_exit_with_nothing_left_to_reduce_is_withdrawn() {
    let mut scenario = protected();
    let [one, two] = ["105", "106"].map(|price| scenario.resting_exit("0.5", price));
    scenario.submit("b", Side::Buy, "1");
    let others = scenario.creates().remove(0);
    scenario.fill(&others, "b1", "1", 100);
    scenario.fill(&one, "a1", "0.5", 105);
    assert!(scenario.withdrawn().is_empty(), "there is something left to reduce");
    scenario.submit("a", Side::Sell, "0.5");
    let rest = scenario.creates().remove(0);
    scenario.fill(&rest, "a2", "0.5", 100);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
    assert_eq!(scenario.withdrawn(), [two.link_id]);

    let mut scenario = protected();
    let exit = scenario.resting_exit("0.5", "105");
    scenario.submit("a", Side::Sell, "2");
    let turn = scenario.creates().remove(0);
    scenario.fill(&turn, "a1", "2", 100);
    assert_eq!(scenario.position("a"), -Decimal::ONE);
    assert_eq!(scenario.withdrawn(), [exit.link_id], "it would make the short larger");
}

fn flatten(agent: Option<&str>) -> Command {
    Command::Flatten(Flatten {
        v: V1,
        ts: 0,
        request_id: RequestId::new("f").unwrap(),
        agent: agent.map(name),
        symbol: None,
        reason: Reason::new("cull").unwrap(),
    })
}

fn set_state(state: TradingState, operator: Option<&str>) -> Command {
    Command::SetState(SetState {
        v: V1,
        ts: 0,
        request_id: RequestId::new("s").unwrap(),
        agent: None,
        symbol: None,
        state,
        operator: operator.map(name),
    })
}

#[test]
fn kill_halts_and_closes_everything_and_only_an_operator_opens_again() {
    let mut scenario = protected();
    let mut resting = submit("b", Side::Buy, "1", scenario.market);
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    scenario.send(&resting);
    let rest = scenario.creates().remove(0);
    scenario.receive(Input::OrderSeen(seen(&rest, Shown::Working)));
    scenario.command(set_state(TradingState::Halted, None));
    assert!(scenario
        .asked
        .iter()
        .any(|e| matches!(e, Effect::Cancel { link_id, .. } if *link_id == rest.link_id)));
    scenario.command(flatten(None));
    assert_eq!(scenario.creates().remove(0).side, Side::Sell);
    scenario.submit("c", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::Halted)));
    scenario.command(set_state(TradingState::Active, None));
    assert!(matches!(scenario.replies.last(), Some(Reply::Error(_))));
    scenario.command(set_state(TradingState::Active, Some("ada")));
    scenario.submit("c", Side::Buy, "1");
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
}

#[test]
fn a_halt_leaves_what_a_late_fill_brings_under_its_protection() {
    let mut scenario = Scenario::new().ready();
    let mut entry = submit("a", Side::Buy, "1", scenario.market);
    entry.protect = protect(Some("90"), None, None);
    scenario.send(&entry);
    let order = scenario.creates().remove(0);
    scenario.command(set_state(TradingState::Halted, None));
    scenario.fill(&order, "late", "1", 100);
    scenario.quote(95, 96);
    assert_eq!(scenario.position("a"), Decimal::ONE);
    assert!(scenario.creates().is_empty(), "a halt closes nothing, late or not");
    scenario.quote(90, 91);
    assert_eq!(scenario.creates().remove(0).side, Side::Sell, "its stop still works");
}

#[test]
fn a_silent_arena_trips_the_switch_once_and_positions_stay_protected() {
    let mut scenario = protected_with(Setup { deadman_ms: 1_000, ..setup() });
    let mut resting = submit("b", Side::Buy, "1", scenario.market);
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    scenario.send(&resting);
    let rest = scenario.creates().remove(0);
    scenario.receive(Input::OrderSeen(seen(&rest, Shown::Working)));
    scenario.pass(900);
    let plain = Plain { v: V1, ts: 0, request_id: RequestId::new("h").unwrap() };
    scenario.command(Command::Heartbeat(plain));
    scenario.pass(900);
    assert_eq!(scenario.risks("deadman"), 0);
    scenario.pass(200);
    scenario.pass(5_000);
    assert_eq!(scenario.risks("deadman"), 1);
    assert!(scenario.asked.iter().any(|e| matches!(e, Effect::Cancel { .. })));
    scenario.submit("c", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    scenario.quote(90, 91);
    assert_eq!(scenario.creates().len(), 1, "the stop still works");
}

#[test]
fn a_cancel_before_sending_never_reaches_the_venue() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    scenario.submit("a", Side::Buy, "1");
    let waiting = scenario.submit("a", Side::Buy, "2");
    assert_eq!(scenario.creates().len(), 1);
    scenario.command(Command::Cancel(protocol::wire::command::Cancel {
        v: V1,
        ts: 0,
        request_id: RequestId::new("c").unwrap(),
        intent_id: waiting.intent_id.clone(),
    }));
    assert_eq!(scenario.status(&waiting), OrderStatus::Cancelled);
    scenario.pass(1_500);
    assert!(scenario.creates().is_empty());
}

#[test]
fn an_order_that_waited_too_long_is_not_sent() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    scenario.submit("a", Side::Buy, "1");
    let late = scenario.submit("a", Side::Buy, "2");
    scenario.market += 60_001;
    scenario.quote(99, 100);
    scenario.pass(1_500);
    assert_eq!(scenario.creates().len(), 1);
    assert_eq!(scenario.status(&late), OrderStatus::Rejected);
}

#[test]
fn a_difference_with_the_venue_is_alarmed_with_both_sides_and_not_absorbed() {
    let mut scenario = protected();
    for _ in 0..3 {
        scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::from(3))])));
        scenario.receive(Input::Executions { executions: vec![], pulled: true });
    }
    assert_eq!(scenario.risks("reconcile_mismatch"), 1);
    let text = scenario.events.iter().find_map(|event| match event {
        Event::Risk(risk) if risk.code == "reconcile_mismatch" => Some(risk.text.clone()),
        _ => None,
    });
    let text = text.unwrap();
    assert!(text.contains("sum to 1") && text.contains("holds 3"), "{text}");
    assert_eq!(scenario.position("a"), Decimal::ONE);
    scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    assert_eq!(scenario.risks("reconcile_agrees"), 1);
}

#[test]
fn a_difference_is_no_alarm_while_the_pull_that_may_explain_it_is_under_way() {
    let mut scenario = protected();
    let look = |scenario: &mut Scenario| {
        scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::from(3))])));
        scenario.asked.iter().filter(|e| matches!(e, Effect::PullExecutions { .. })).count()
    };
    assert_eq!(look(&mut scenario), 1);
    assert_eq!(look(&mut scenario), 1, "the pull begins from its first page again");
    assert_eq!(scenario.risks("reconcile_mismatch"), 0);
    scenario.receive(Input::Executions { executions: vec![], pulled: true });
    look(&mut scenario);
    assert_eq!(scenario.risks("reconcile_mismatch"), 1);

    let mut scenario = protected();
    for _ in 0..10 {
        look(&mut scenario);
    }
    assert_eq!(scenario.risks("reconcile_mismatch"), 1, "a pull without an end hides nothing");
}

#[test]
fn entries_wait_while_the_private_stream_is_down_and_exits_do_not() {
    let mut scenario = protected();
    scenario.receive(Input::PrivateDown);
    scenario.receive(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    scenario.submit("b", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::NotReady)));
    let mut exit = submit("a", Side::Sell, "1", scenario.market);
    exit.reduce_only = true;
    scenario.send(&exit);
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
}

#[test]
fn a_lost_day_closes_the_agent_for_entries_only() {
    let mut setup = setup();
    setup.limits.daily_loss.agent = Some(Decimal::from(5));
    let mut scenario = protected_with(setup);
    scenario.pass(1_000);
    scenario.quote(96, 97);
    scenario.pass(1_000);
    assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), TradingState::Active);
    scenario.quote(93, 94);
    scenario.pass(1_000);
    assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), TradingState::ReduceOnly);
    scenario.submit("a", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::DailyLoss)));
    scenario.submit("b", Side::Buy, "1");
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
}

#[test]
fn funding_is_shared_among_the_holders_and_booked_once() {
    let mut scenario = protected();
    let funding = Execution {
        exec_id: "f1".to_owned(),
        link_id: String::new(),
        order_id: String::new(),
        kind: ExecutionKind::Funding,
        fee: Decimal::new(25, 2),
        ..execution(
            &CreateOrder {
                link_id: String::new(),
                symbol: symbol(),
                side: Side::Buy,
                kind: Kind::Market,
                qty: "1".to_owned(),
                price: None,
                reduce_only: false,
            },
            "f1",
            Decimal::ONE,
            100,
        )
    };
    let before = scenario.core.ledger.cash();
    for _ in 0..2 {
        let executions = vec![funding.clone()];
        scenario.receive(Input::Executions { executions, pulled: false });
    }
    assert_eq!(scenario.core.ledger.cash(), before - Decimal::new(25, 2));
    assert_eq!(scenario.position("a"), Decimal::ONE, "funding is no size");
}

#[test]
fn somebody_elses_execution_is_an_alarm_and_nobodys_fill() {
    let mut scenario = Scenario::new().ready();
    let foreign_order = CreateOrder {
        link_id: "by-hand".to_owned(),
        symbol: symbol(),
        side: Side::Buy,
        kind: Kind::Market,
        qty: "1".to_owned(),
        price: None,
        reduce_only: false,
    };
    scenario.fill(&foreign_order, "x1", "1", 100);
    scenario.fill(&foreign_order, "x1", "1", 100);
    assert_eq!(scenario.risks("foreign_execution"), 1);
    assert_eq!(scenario.core.ledger.fills(), 0);
}
