//! Stories of limits set while running.

use protocol::wire::{
    command::{DailyLossSection, OrderSection, SetLimits, VenueSection},
    event::Event,
    field::{RequestId, Side, V1},
    reply::AckStatus,
    Command, ErrorCode, RejectCode, Reply,
};
use rust_decimal::Decimal;

use super::{
    io::{Input, Record},
    Recovered,
};

use super::story::*;

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
