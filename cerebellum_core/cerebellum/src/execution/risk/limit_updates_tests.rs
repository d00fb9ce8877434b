//! Scenarios of limits set while running.

use protocol::wire::{
    command::{DailyLossSection, OrderSection, SetLimits, VenueSection},
    event::Event,
    field::{RequestId, Side, TradingState, V1},
    reply::AckStatus,
    Command, ErrorCode, RejectCode, Reply,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::io::{Input, Record},
    testing::scenario::*,
    Recovered,
};

fn set_limits(operator: Option<&str>, most: &str) -> SetLimits {
    SetLimits {
        v: V1,
        ts: 0,
        request_id: RequestId::new("l").unwrap(),
        operator: operator.map(name),
        order: Some(OrderSection {
            max_notional: Some(most.parse().unwrap()),
            collar_bps: 500,
            per_second_per_agent: 1000,
        }),
        position: None,
        daily_loss: None,
        venue: None,
    }
}

fn reported(scenario: &Scenario, code: &str) -> String {
    let found = scenario.events.iter().rev().find_map(|event| match event {
        Event::Risk(risk) if risk.code == code => Some(risk.text.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn an_operator_sets_a_section_and_the_rest_stays() {
    let mut setup = setup();
    setup.limits.daily_loss.total = Some(Decimal::from(7));
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    scenario.command(Command::SetLimits(set_limits(None, "150")));
    assert!(matches!(
        scenario.replies.last(),
        Some(Reply::Error(error)) if error.code == ErrorCode::NeedsOperator
    ));
    scenario.command(Command::SetLimits(set_limits(Some("ada"), "150")));
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
    let text = reported(&scenario, "limits_changed");
    assert!(text.contains("ada") && text.contains("order.max_notional none -> 150"), "{text}");
    assert_eq!(scenario.core.setup.limits.daily_loss.total, Some(Decimal::from(7)));
    scenario.submit("a", Side::Buy, "2");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::LimitNotional)));
}

#[test]
fn limits_that_make_no_sense_are_refused_and_nothing_changes() {
    let mut scenario = Scenario::new().ready();
    let before = scenario.core.setup.limits.clone();
    for bad in [
        set_limits(Some("ada"), "0"),
        SetLimits {
            venue: Some(VenueSection { orders_per_second: 0 }),
            ..set_limits(Some("ada"), "1")
        },
        SetLimits {
            daily_loss: Some(DailyLossSection { agent: None, total: Some("-1".parse().unwrap()) }),
            ..set_limits(Some("ada"), "1")
        },
    ] {
        scenario.command(Command::SetLimits(bad));
        assert!(matches!(
            scenario.replies.last(),
            Some(Reply::Error(error)) if error.code == ErrorCode::BadField
        ));
    }
    assert_eq!(scenario.core.setup.limits, before);
    assert!(scenario.records.is_empty());
}

#[test]
fn limits_of_a_command_win_over_the_file_until_the_file_is_read_again() {
    let mut scenario = Scenario::new().ready();
    scenario.command(Command::SetLimits(set_limits(Some("ada"), "150")));
    let journaled = scenario.records.iter().rev().find_map(|record| match record {
        Record::Limits(limits) => Some(limits.clone()),
        _ => None,
    });
    let limits = journaled.flatten().map(|limits| *limits);
    assert!(limits.is_some());
    let mut scenario =
        Scenario::with(setup(), Recovered { limits, ..Recovered::default() }).ready();
    assert!(reported(&scenario, "limits_kept").contains("order.max_notional none -> 150"));
    scenario.submit("a", Side::Buy, "2");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::LimitNotional)));
    scenario.receive(Input::Limits(Box::default()));
    assert!(scenario.records.contains(&Record::Limits(None)));
    scenario.submit("a", Side::Buy, "2");
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
}

fn set_daily_loss(most: &str) -> Command {
    let daily_loss = Some(DailyLossSection { agent: Some(most.parse().unwrap()), total: None });
    Command::SetLimits(SetLimits { order: None, daily_loss, ..set_limits(Some("ada"), "1") })
}

#[test]
fn a_daily_loss_limit_set_at_noon_counts_from_the_start_of_the_day() {
    for (most, state) in [("8", TradingState::Active), ("7", TradingState::ReduceOnly)] {
        let mut scenario = Scenario::new().ready();
        scenario.pass(1_000);
        scenario.submit("a", Side::Buy, "1");
        let order = scenario.creates().remove(0);
        scenario.fill(&order, "a1", "1", 100);
        scenario.quote(92, 93);
        scenario.pass(1_000);
        scenario.command(set_daily_loss(most));
        scenario.pass(1_000);
        // Bought at 100 for a fee of 0.01, worth 92.5 now.
        assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), state, "limit {most}");
    }
}

#[test]
fn a_day_that_turns_without_limits_leaves_the_loss_of_the_day_before_behind() {
    let mut scenario = protected();
    scenario.pass(1_000);
    scenario.quote(92, 93);
    scenario.market += 86_400_000;
    scenario.quote(92, 93);
    scenario.pass(1_000);
    scenario.command(set_daily_loss("5"));
    scenario.pass(1_000);
    assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), TradingState::Active);
    scenario.quote(95, 96);
    scenario.quote(91, 92);
    scenario.command(set_daily_loss("1"));
    scenario.pass(1_000);
    assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), TradingState::ReduceOnly);
}

#[test]
fn without_limits_a_missing_mark_is_no_alarm_and_the_day_book_is_kept_once_a_day() {
    let mut scenario = protected();
    for _ in 0..3 {
        scenario.pass(1_000);
    }
    scenario.receive(Input::BookStale { symbol: symbol() });
    scenario.pass(1_000);
    assert_eq!(scenario.risks("mark_unknown"), 0);
    let days = scenario.records.iter().filter(|record| matches!(record, Record::Day(_))).count();
    assert_eq!(days, 1);
}
