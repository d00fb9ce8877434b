//! Stories of limits set while running.

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

fn told(story: &Story, code: &str) -> String {
    let found = story.events.iter().rev().find_map(|event| match event {
        Event::Risk(risk) if risk.code == code => Some(risk.text.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn an_operator_sets_a_section_and_the_rest_stays() {
    let mut setup = setup();
    setup.limits.daily_loss.total = Some(Decimal::from(7));
    let mut story = Story::with(setup, Recovered::default()).ready();
    story.command(Command::SetLimits(set_limits(None, "150")));
    assert!(matches!(
        story.replies.last(),
        Some(Reply::Error(error)) if error.code == ErrorCode::NeedsOperator
    ));
    story.command(Command::SetLimits(set_limits(Some("ada"), "150")));
    assert_eq!(story.ack().0, AckStatus::Accepted);
    let text = told(&story, "limits_changed");
    assert!(text.contains("ada") && text.contains("order.max_notional none -> 150"), "{text}");
    assert_eq!(story.core.setup.limits.daily_loss.total, Some(Decimal::from(7)));
    story.submit("a", Side::Buy, "2");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::LimitNotional)));
}

#[test]
fn limits_that_make_no_sense_are_refused_and_nothing_changes() {
    let mut story = Story::new().ready();
    let before = story.core.setup.limits.clone();
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
        story.command(Command::SetLimits(bad));
        assert!(matches!(
            story.replies.last(),
            Some(Reply::Error(error)) if error.code == ErrorCode::BadField
        ));
    }
    assert_eq!(story.core.setup.limits, before);
    assert!(story.records.is_empty());
}

#[test]
fn limits_of_a_command_win_over_the_file_until_the_file_is_read_again() {
    let mut story = Story::new().ready();
    story.command(Command::SetLimits(set_limits(Some("ada"), "150")));
    let journaled = story.records.iter().rev().find_map(|record| match record {
        Record::Limits(limits) => Some(limits.clone()),
        _ => None,
    });
    let limits = journaled.flatten().map(|limits| *limits);
    assert!(limits.is_some());
    let mut story = Story::with(setup(), Recovered { limits, ..Recovered::default() }).ready();
    assert!(told(&story, "limits_kept").contains("order.max_notional none -> 150"));
    story.submit("a", Side::Buy, "2");
    assert_eq!(story.ack(), (AckStatus::Rejected, Some(RejectCode::LimitNotional)));
    story.tell(Input::Limits(Box::default()));
    assert!(story.records.contains(&Record::Limits(None)));
    story.submit("a", Side::Buy, "2");
    assert_eq!(story.ack().0, AckStatus::Accepted);
}

fn set_daily_loss(most: &str) -> Command {
    let daily_loss = Some(DailyLossSection { agent: Some(most.parse().unwrap()), total: None });
    Command::SetLimits(SetLimits { order: None, daily_loss, ..set_limits(Some("ada"), "1") })
}

#[test]
fn a_daily_loss_limit_set_at_noon_counts_from_the_start_of_the_day() {
    for (most, state) in [("8", TradingState::Active), ("7", TradingState::ReduceOnly)] {
        let mut story = Story::new().ready();
        story.pass(1_000);
        story.submit("a", Side::Buy, "1");
        let order = story.creates().remove(0);
        story.fill(&order, "a1", "1", 100);
        story.quote(92, 93);
        story.pass(1_000);
        story.command(set_daily_loss(most));
        story.pass(1_000);
        // Bought at 100 for a fee of 0.01, worth 92.5 now.
        assert_eq!(story.core.risk.states.get(&(Some(name("a")), None)), state, "limit {most}");
    }
}

#[test]
fn a_day_that_turns_without_limits_leaves_the_loss_of_the_day_before_behind() {
    let mut story = protected();
    story.pass(1_000);
    story.quote(92, 93);
    story.market += 86_400_000;
    story.quote(92, 93);
    story.pass(1_000);
    story.command(set_daily_loss("5"));
    story.pass(1_000);
    assert_eq!(story.core.risk.states.get(&(Some(name("a")), None)), TradingState::Active);
    story.quote(95, 96);
    story.quote(91, 92);
    story.command(set_daily_loss("1"));
    story.pass(1_000);
    assert_eq!(story.core.risk.states.get(&(Some(name("a")), None)), TradingState::ReduceOnly);
}

#[test]
fn without_limits_a_missing_mark_is_no_alarm_and_the_day_book_is_kept_once_a_day() {
    let mut story = protected();
    for _ in 0..3 {
        story.pass(1_000);
    }
    story.tell(Input::BookStale { symbol: symbol() });
    story.pass(1_000);
    assert_eq!(story.risks("mark_unknown"), 0);
    let days = story.records.iter().filter(|record| matches!(record, Record::Day(_))).count();
    assert_eq!(days, 1);
}
