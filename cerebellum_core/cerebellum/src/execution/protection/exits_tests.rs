//! Stories of exits, states, limits and reconciliation.

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
    let mut story = protected();
    story.quote(91, 92);
    assert!(story.creates().is_empty());
    story.quote(90, 91);
    let exit = story.creates().remove(0);
    assert_eq!((exit.side, exit.qty.as_str(), exit.kind), (Side::Sell, "1", Kind::Market));
    story.quote(89, 90);
    assert!(story.creates().is_empty(), "one exit at a time");
    story.fill(&exit, "exit", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
    let told = story.events.iter().any(|event| {
        matches!(event, Event::Fill(fill) if fill.reason.as_str() == "stop" && fill.agent.as_str() == "a")
    });
    assert!(told, "the exit keeps the agent and tells why");
    story.quote(80, 81);
    assert!(story.creates().is_empty(), "protection ends with the position");
}

#[test]
fn a_stop_that_races_with_the_arenas_own_exit_never_flips_the_position() {
    let mut story = protected();
    let mut exit = submit("a", Side::Sell, "1", story.market);
    exit.reduce_only = true;
    story.send(&exit);
    let arena_exit = story.creates().remove(0);
    story.quote(90, 91);
    assert!(story.creates().is_empty(), "the arena's exit is under way");
    story.fill(&arena_exit, "exit", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
    assert!(story.creates().is_empty());

    let mut story = protected();
    story.quote(90, 91);
    let stop = story.creates().remove(0);
    let mut late = submit("a", Side::Sell, "1", story.market);
    late.reduce_only = true;
    story.send(&late);
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    story.fill(&stop, "stop", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
}

#[test]
fn an_exit_that_fails_is_tried_again_until_the_position_is_closed() {
    let mut story = protected();
    story.quote(90, 91);
    let first = story.creates().remove(0);
    story.fill(&first, "part", "0.4", 90);
    story.tell(Input::OrderSeen(seen(&first, ended(OrderStatus::Cancelled, "0.4"))));
    story.pass(2_000);
    let second = story.creates().remove(0);
    assert_eq!(second.qty, "0.6");
    assert_ne!(second.link_id, first.link_id);
}

#[test]
fn a_deadline_works_without_a_book_and_after_a_restart() {
    let mut story = Story::new().ready();
    let mut entry = submit("a", Side::Buy, "1", story.market);
    entry.protect = protect(None, None, Some(2_000_000));
    story.send(&entry);
    let order = story.creates().remove(0);
    story.fill(&order, "entry", "1", 100);
    let recovered = Recovered {
        ledger: story.core.ledger.clone(),
        guards: story.core.protection.guards.clone(),
        last_seq: story.core.last_seq(),
        last_exec_ts: Some(1_000_001),
        ..Recovered::default()
    };
    let mut story = Story::with(setup(), recovered).ready();
    story.tell(Input::Executions { executions: Vec::new(), pulled: true });
    story.tell(Input::BookStale { symbol: symbol() });
    story.tell(Input::MarketTime(1_999_999));
    assert!(story.creates().is_empty());
    story.tell(Input::MarketTime(2_000_000));
    assert_eq!(story.creates().remove(0).side, Side::Sell);
}

#[test]
fn reduce_only_reaches_the_venue_only_when_the_net_position_allows_it() {
    let mut story = protected();
    story.submit("b", Side::Sell, "1");
    let short = story.creates().remove(0);
    story.fill(&short, "b1", "1", 99);
    assert_eq!(story.core.ledger.net(&symbol()), Decimal::ZERO);
    let mut exit = submit("a", Side::Sell, "1", story.market);
    exit.reduce_only = true;
    story.send(&exit);
    assert_eq!(story.ack().0, AckStatus::Accepted, "agent a holds it, whatever the net says");
    let order = story.creates().remove(0);
    assert!(!order.reduce_only, "at the venue it makes the net position larger");
    story.fill(&order, "a2", "1", 99);
    let mut cover = submit("b", Side::Buy, "1", story.market);
    cover.reduce_only = true;
    story.send(&cover);
    assert!(story.creates().remove(0).reduce_only);
}

#[test]
fn a_working_exit_with_nothing_left_to_reduce_is_taken_back() {
    let mut story = protected();
    let [one, two] = ["105", "106"].map(|price| story.resting_exit("0.5", price));
    story.submit("b", Side::Buy, "1");
    let others = story.creates().remove(0);
    story.fill(&others, "b1", "1", 100);
    story.fill(&one, "a1", "0.5", 105);
    assert!(story.taken_back().is_empty(), "there is something left to reduce");
    story.submit("a", Side::Sell, "0.5");
    let rest = story.creates().remove(0);
    story.fill(&rest, "a2", "0.5", 100);
    assert_eq!(story.position("a"), Decimal::ZERO);
    assert_eq!(story.taken_back(), [two.link_id]);

    let mut story = protected();
    let exit = story.resting_exit("0.5", "105");
    story.submit("a", Side::Sell, "2");
    let turn = story.creates().remove(0);
    story.fill(&turn, "a1", "2", 100);
    assert_eq!(story.position("a"), -Decimal::ONE);
    assert_eq!(story.taken_back(), [exit.link_id], "it would make the short larger");
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
    let mut story = protected();
    let mut resting = submit("b", Side::Buy, "1", story.market);
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    story.send(&resting);
    let rest = story.creates().remove(0);
    story.tell(Input::OrderSeen(seen(&rest, Shown::Working)));
    story.command(set_state(TradingState::Halted, None));
    assert!(story
        .asked
        .iter()
        .any(|e| matches!(e, Effect::Cancel { link_id, .. } if *link_id == rest.link_id)));
    story.command(flatten(None));
    assert_eq!(story.creates().remove(0).side, Side::Sell);
    story.submit("c", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::Halted)));
    story.command(set_state(TradingState::Active, None));
    assert!(matches!(story.replies.last(), Some(Reply::Error(_))));
    story.command(set_state(TradingState::Active, Some("ada")));
    story.submit("c", Side::Buy, "1");
    assert_eq!(story.ack().0, AckStatus::Accepted);
}

#[test]
fn a_halt_leaves_what_a_late_fill_brings_under_its_protection() {
    let mut story = Story::new().ready();
    let mut entry = submit("a", Side::Buy, "1", story.market);
    entry.protect = protect(Some("90"), None, None);
    story.send(&entry);
    let order = story.creates().remove(0);
    story.command(set_state(TradingState::Halted, None));
    story.fill(&order, "late", "1", 100);
    story.quote(95, 96);
    assert_eq!(story.position("a"), Decimal::ONE);
    assert!(story.creates().is_empty(), "a halt closes nothing, late or not");
    story.quote(90, 91);
    assert_eq!(story.creates().remove(0).side, Side::Sell, "its stop still works");
}

#[test]
fn a_silent_arena_trips_the_switch_once_and_positions_stay_protected() {
    let mut story = protected_with(Setup { deadman_ms: 1_000, ..setup() });
    let mut resting = submit("b", Side::Buy, "1", story.market);
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    story.send(&resting);
    let rest = story.creates().remove(0);
    story.tell(Input::OrderSeen(seen(&rest, Shown::Working)));
    story.pass(900);
    let plain = Plain { v: V1, ts: 0, request_id: RequestId::new("h").unwrap() };
    story.command(Command::Heartbeat(plain));
    story.pass(900);
    assert_eq!(story.risks("deadman"), 0);
    story.pass(200);
    story.pass(5_000);
    assert_eq!(story.risks("deadman"), 1);
    assert!(story.asked.iter().any(|e| matches!(e, Effect::Cancel { .. })));
    story.submit("c", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    story.quote(90, 91);
    assert_eq!(story.creates().len(), 1, "the stop still works");
}

#[test]
fn a_cancel_before_sending_never_reaches_the_venue() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut story = Story::with(setup, Recovered::default()).ready();
    story.submit("a", Side::Buy, "1");
    let waiting = story.submit("a", Side::Buy, "2");
    assert_eq!(story.creates().len(), 1);
    story.command(Command::Cancel(protocol::wire::command::Cancel {
        v: V1,
        ts: 0,
        request_id: RequestId::new("c").unwrap(),
        intent_id: waiting.intent_id.clone(),
    }));
    assert_eq!(story.status(&waiting), OrderStatus::Cancelled);
    story.pass(1_500);
    assert!(story.creates().is_empty());
}

#[test]
fn an_order_that_waited_too_long_is_not_sent() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 1;
    let mut story = Story::with(setup, Recovered::default()).ready();
    story.submit("a", Side::Buy, "1");
    let late = story.submit("a", Side::Buy, "2");
    story.market += 60_001;
    story.quote(99, 100);
    story.pass(1_500);
    assert_eq!(story.creates().len(), 1);
    assert_eq!(story.status(&late), OrderStatus::Rejected);
}

#[test]
fn a_difference_with_the_venue_is_alarmed_with_both_sides_and_not_absorbed() {
    let mut story = protected();
    for _ in 0..3 {
        story.tell(Input::Positions(BTreeMap::from([(symbol(), Decimal::from(3))])));
        story.tell(Input::Executions { executions: vec![], pulled: true });
    }
    assert_eq!(story.risks("reconcile_mismatch"), 1);
    let text = story.events.iter().find_map(|event| match event {
        Event::Risk(risk) if risk.code == "reconcile_mismatch" => Some(risk.text.clone()),
        _ => None,
    });
    let text = text.unwrap();
    assert!(text.contains("sum to 1") && text.contains("holds 3"), "{text}");
    assert_eq!(story.position("a"), Decimal::ONE);
    story.tell(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    assert_eq!(story.risks("reconcile_agrees"), 1);
}

#[test]
fn a_difference_is_no_alarm_while_the_pull_that_may_explain_it_is_under_way() {
    let mut story = protected();
    let look = |story: &mut Story| {
        story.tell(Input::Positions(BTreeMap::from([(symbol(), Decimal::from(3))])));
        story.asked.iter().filter(|e| matches!(e, Effect::PullExecutions { .. })).count()
    };
    assert_eq!(look(&mut story), 1);
    assert_eq!(look(&mut story), 1, "the pull begins from its first page again");
    assert_eq!(story.risks("reconcile_mismatch"), 0);
    story.tell(Input::Executions { executions: vec![], pulled: true });
    look(&mut story);
    assert_eq!(story.risks("reconcile_mismatch"), 1);

    let mut story = protected();
    for _ in 0..10 {
        look(&mut story);
    }
    assert_eq!(story.risks("reconcile_mismatch"), 1, "a pull without an end hides nothing");
}

#[test]
fn entries_wait_while_the_private_stream_is_down_and_exits_do_not() {
    let mut story = protected();
    story.tell(Input::PrivateDown);
    story.tell(Input::Positions(BTreeMap::from([(symbol(), Decimal::ONE)])));
    story.submit("b", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::NotReady)));
    let mut exit = submit("a", Side::Sell, "1", story.market);
    exit.reduce_only = true;
    story.send(&exit);
    assert_eq!(story.ack().0, AckStatus::Accepted);
}

#[test]
fn a_lost_day_closes_the_agent_for_entries_only() {
    let mut setup = setup();
    setup.limits.daily_loss.agent = Some(Decimal::from(5));
    let mut story = protected_with(setup);
    story.pass(1_000);
    story.quote(96, 97);
    story.pass(1_000);
    assert_eq!(story.core.risk.states.get(&(Some(name("a")), None)), TradingState::Active);
    story.quote(93, 94);
    story.pass(1_000);
    assert_eq!(story.core.risk.states.get(&(Some(name("a")), None)), TradingState::ReduceOnly);
    story.submit("a", Side::Buy, "1");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::DailyLoss)));
    story.submit("b", Side::Buy, "1");
    assert_eq!(story.ack().0, AckStatus::Accepted);
}

#[test]
fn funding_is_shared_among_the_holders_and_booked_once() {
    let mut story = protected();
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
    let before = story.core.ledger.cash();
    for _ in 0..2 {
        let executions = vec![funding.clone()];
        story.tell(Input::Executions { executions, pulled: false });
    }
    assert_eq!(story.core.ledger.cash(), before - Decimal::new(25, 2));
    assert_eq!(story.position("a"), Decimal::ONE, "funding is no size");
}

#[test]
fn somebody_elses_execution_is_an_alarm_and_nobodys_fill() {
    let mut story = Story::new().ready();
    let stranger = CreateOrder {
        link_id: "by-hand".to_owned(),
        symbol: symbol(),
        side: Side::Buy,
        kind: Kind::Market,
        qty: "1".to_owned(),
        price: None,
        reduce_only: false,
    };
    story.fill(&stranger, "x1", "1", 100);
    story.fill(&stranger, "x1", "1", 100);
    assert_eq!(story.risks("foreign_execution"), 1);
    assert_eq!(story.core.ledger.fills(), 0);
}
