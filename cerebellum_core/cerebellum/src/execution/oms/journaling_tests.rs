//! Scenarios of a journal that cannot be written: entries stop, exits go on, and nothing leaves twice.

use protocol::wire::{event::OrderStatus, field::Side, reply::AckStatus, RejectCode};

use crate::execution::{
    model::{
        io::{CreateOutcome, Input},
        journaling::Journaling,
    },
    testing::scenario::*,
    Recovered,
};

fn troubles() -> [Journaling; 2] {
    [Journaling::Reserve("full".to_owned()), Journaling::Held("locked".to_owned())]
}

#[test]
fn entries_are_refused_unrecorded_and_taken_again_once_the_journal_is_whole() {
    for trouble in troubles() {
        let mut scenario = Scenario::new().ready();
        scenario.receive(Input::Journal(trouble));
        assert_eq!(scenario.risks("journal_unwritable"), 1);
        let records = scenario.records.len();
        let entry = scenario.submit("a", Side::Buy, "1");
        let refused = (AckStatus::Rejected, Some(RejectCode::JournalUnwritable));
        assert_eq!(scenario.ack(), refused);
        assert_eq!(scenario.records.len(), records, "it may be sent again");
        scenario.receive(Input::Journal(Journaling::Whole));
        assert_eq!(scenario.risks("journal_written"), 1);
        scenario.send(&entry);
        assert_eq!(scenario.ack(), (AckStatus::Accepted, None));
        assert_eq!(scenario.creates().len(), 1);
    }
}

#[test]
fn exits_of_cerebellum_and_of_agents_leave_at_once() {
    for trouble in troubles() {
        let mut scenario = protected();
        scenario.receive(Input::Journal(trouble.clone()));
        scenario.quote(89, 90);
        let exits = scenario.creates();
        assert_eq!(exits.len(), 1, "the stop");
        scenario.fill(&exits[0], "x", "1", 89);
        assert_eq!(scenario.position("a"), rust_decimal::Decimal::ZERO);

        let mut scenario = protected();
        scenario.receive(Input::Journal(trouble));
        let mut exit = submit("a", Side::Sell, "1", scenario.market);
        exit.reduce_only = true;
        scenario.send(&exit);
        assert_eq!(scenario.ack(), (AckStatus::Accepted, None));
        assert_eq!(scenario.creates().len(), 1, "the agent's own");
    }
}

#[test]
fn an_entry_that_waits_for_its_turn_waits_for_the_journal_as_well() {
    for trouble in troubles() {
        let mut setup = setup();
        setup.limits.venue.orders_per_second = 1;
        let mut scenario = Scenario::with(setup, Recovered::default()).ready();
        scenario.submit("a", Side::Buy, "1");
        let waiting = scenario.submit("b", Side::Buy, "1");
        assert_eq!(scenario.creates().len(), 1);
        scenario.receive(Input::Journal(trouble));
        scenario.pass(5_000);
        assert!(scenario.creates().is_empty());
        scenario.receive(Input::Journal(Journaling::Whole));
        scenario.pass(10);
        assert_eq!(scenario.creates().len(), 1);
        assert_eq!(scenario.status(&waiting), OrderStatus::Sent);
    }
}

#[test]
fn an_entry_that_was_given_back_leaves_once_and_only_inside_its_time_to_live() {
    for in_time in [true, false] {
        let mut scenario = Scenario::new().ready();
        let entry = scenario.submit("a", Side::Buy, "1");
        let order = scenario.creates().remove(0);
        scenario.receive(Input::Journal(Journaling::Held("locked".to_owned())));
        let outcome = CreateOutcome::NotExecuted {
            retry_at: scenario.wall,
            text: "not journaled".to_owned(),
        };
        scenario.receive(Input::CreateReply { link_id: order.link_id.clone(), outcome });
        scenario.pass(3_000);
        assert!(scenario.creates().is_empty());
        if !in_time {
            scenario.market += 61_000;
        }
        scenario.quote(99, 100);
        scenario.receive(Input::Journal(Journaling::Whole));
        let left = scenario.creates();
        if in_time {
            assert_eq!(left, [order]);
        } else {
            assert!(left.is_empty());
            assert_eq!(scenario.status(&entry), OrderStatus::Rejected);
        }
    }
}
