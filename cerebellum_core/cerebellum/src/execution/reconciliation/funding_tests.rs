//! Scenarios of funding that is reported late, early or not at all.

use protocol::wire::{event::Event, field::Side};
use rust_decimal::Decimal;

use crate::execution::{
    model::io::{CreateOrder, Effect, Execution, ExecutionKind, Input},
    testing::scenario::*,
};

/// A payment on a position of a size at a market time.
fn payment(order: &CreateOrder, exec_id: &str, size: i64, exec_ts: u64) -> Execution {
    Execution {
        link_id: String::new(),
        order_id: String::new(),
        kind: ExecutionKind::Funding,
        fee: Decimal::new(7, 1),
        exec_ts,
        ..execution(order, exec_id, Decimal::from(size), 100)
    }
}

fn trade(order: &CreateOrder, exec_id: &str, exec_ts: u64) -> Execution {
    Execution { exec_ts, ..execution(order, exec_id, Decimal::ONE, 100) }
}

fn stream(scenario: &mut Scenario, executions: Vec<Execution>) {
    scenario.receive(Input::Executions { executions, pulled: false });
}

fn paid(scenario: &Scenario) -> Vec<(String, Decimal)> {
    let rows = scenario.events.iter().filter_map(|event| match event {
        Event::Funding(row) => Some((row.agent.as_str().to_owned(), row.amount.value())),
        _ => None,
    });
    rows.collect()
}

fn bought_and_sold(scenario: &mut Scenario) -> (CreateOrder, CreateOrder) {
    scenario.submit("a", Side::Buy, "1");
    let buy = scenario.creates().remove(0);
    stream(scenario, vec![trade(&buy, "e1", 1_000_100)]);
    scenario.submit("a", Side::Sell, "1");
    let sell = scenario.creates().remove(0);
    (buy, sell)
}

#[test]
fn funding_reported_after_the_position_was_closed_is_paid_by_who_held_it() {
    let mut scenario = Scenario::new().ready();
    let (buy, sell) = bought_and_sold(&mut scenario);
    stream(&mut scenario, vec![trade(&sell, "e2", 1_000_300)]);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
    stream(&mut scenario, vec![payment(&buy, "f", 1, 1_000_200)]);
    assert_eq!(paid(&scenario), [("a".to_owned(), Decimal::new(7, 1))]);
    assert_eq!(scenario.risks("foreign_execution"), 0);
}

#[test]
fn funding_reported_before_an_earlier_fill_waits_for_it() {
    let mut scenario = Scenario::new().ready();
    scenario.submit("a", Side::Buy, "1");
    let buy = scenario.creates().remove(0);
    stream(&mut scenario, vec![payment(&buy, "f", 1, 1_000_200)]);
    assert_eq!(paid(&scenario), []);
    stream(&mut scenario, vec![trade(&buy, "e1", 1_000_100)]);
    assert_eq!(paid(&scenario), [("a".to_owned(), Decimal::new(7, 1))]);
}

#[test]
fn funding_that_no_fill_explains_is_alarmed_once_and_recorded() {
    let mut scenario = Scenario::new().ready();
    scenario.submit("a", Side::Buy, "1");
    let buy = scenario.creates().remove(0);
    stream(&mut scenario, vec![payment(&buy, "f", 1, 1_000_200)]);
    for _ in 0..5 {
        scenario.pass(20_000);
    }
    assert_eq!(scenario.risks("foreign_execution"), 1);
    assert_eq!(paid(&scenario), []);
}

#[test]
fn a_pull_goes_back_to_before_the_stream_was_lost_whatever_was_answered_meanwhile() {
    let mut scenario = Scenario::new().ready();
    let (_, sell) = bought_and_sold(&mut scenario);
    scenario.receive(Input::PrivateDown);
    // Ten minutes later an answer about one order reports its newest execution.
    scenario.receive(Input::Asked {
        link_id: sell.link_id.clone(),
        seen: None,
        executions: vec![trade(&sell, "e2", 1_600_000)],
        complete: true,
    });
    scenario.asked.clear();
    scenario.receive(Input::PrivateUp);
    let since = scenario.asked.iter().find_map(|effect| match effect {
        Effect::PullExecutions { since_ts } => Some(*since_ts),
        _ => None,
    });
    assert!(since.is_some_and(|since| since <= 1_000_100), "pulled from {since:?}");
}
