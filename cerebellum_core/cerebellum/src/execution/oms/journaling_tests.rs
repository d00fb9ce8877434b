//! Stories of a journal that cannot be written: entries stop, exits go on, and nothing leaves twice.

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
        let mut story = Story::new().ready();
        story.tell(Input::Journal(trouble));
        assert_eq!(story.risks("journal_unwritable"), 1);
        let records = story.records.len();
        let entry = story.submit("a", Side::Buy, "1");
        let refused = (AckStatus::Rejected, Some(RejectCode::JournalUnwritable));
        assert_eq!(story.ack(), refused);
        assert_eq!(story.records.len(), records, "it may be sent again");
        story.tell(Input::Journal(Journaling::Whole));
        assert_eq!(story.risks("journal_written"), 1);
        story.send(&entry);
        assert_eq!(story.ack(), (AckStatus::Accepted, None));
        assert_eq!(story.creates().len(), 1);
    }
}

#[test]
fn exits_of_cerebellum_and_of_agents_leave_at_once() {
    for trouble in troubles() {
        let mut story = protected();
        story.tell(Input::Journal(trouble.clone()));
        story.quote(89, 90);
        let exits = story.creates();
        assert_eq!(exits.len(), 1, "the stop");
        story.fill(&exits[0], "x", "1", 89);
        assert_eq!(story.position("a"), rust_decimal::Decimal::ZERO);

        let mut story = protected();
        story.tell(Input::Journal(trouble));
        let mut exit = submit("a", Side::Sell, "1", story.market);
        exit.reduce_only = true;
        story.send(&exit);
        assert_eq!(story.ack(), (AckStatus::Accepted, None));
        assert_eq!(story.creates().len(), 1, "the agent's own");
    }
}

#[test]
fn an_entry_that_waits_for_its_turn_waits_for_the_journal_as_well() {
    for trouble in troubles() {
        let mut setup = setup();
        setup.limits.venue.orders_per_second = 1;
        let mut story = Story::with(setup, Recovered::default()).ready();
        story.submit("a", Side::Buy, "1");
        let waiting = story.submit("b", Side::Buy, "1");
        assert_eq!(story.creates().len(), 1);
        story.tell(Input::Journal(trouble));
        story.pass(5_000);
        assert!(story.creates().is_empty());
        story.tell(Input::Journal(Journaling::Whole));
        story.pass(10);
        assert_eq!(story.creates().len(), 1);
        assert_eq!(story.status(&waiting), OrderStatus::Sent);
    }
}

#[test]
fn an_entry_that_was_given_back_leaves_once_and_only_inside_its_time_to_live() {
    for in_time in [true, false] {
        let mut story = Story::new().ready();
        let entry = story.submit("a", Side::Buy, "1");
        let order = story.creates().remove(0);
        story.tell(Input::Journal(Journaling::Held("locked".to_owned())));
        let outcome =
            CreateOutcome::NotExecuted { retry_at: story.wall, text: "not journaled".to_owned() };
        story.tell(Input::CreateReply { link_id: order.link_id.clone(), outcome });
        story.pass(3_000);
        assert!(story.creates().is_empty());
        if !in_time {
            story.market += 61_000;
        }
        story.quote(99, 100);
        story.tell(Input::Journal(Journaling::Whole));
        let left = story.creates();
        if in_time {
            assert_eq!(left, [order]);
        } else {
            assert!(left.is_empty());
            assert_eq!(story.status(&entry), OrderStatus::Rejected);
        }
    }
}
