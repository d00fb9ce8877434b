//! Stories of the private stream's clock while the public streams are down.

use protocol::wire::{
    event::OrderStatus,
    field::{Kind, Side, Symbol},
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{io::Input, market::Quote},
    testing::scenario::*,
};

const DEADLINE: u64 = 2_000_000;

/// A long position of agent `a` with a deadline.
fn until_a_deadline() -> Story {
    let mut story = Story::new().ready();
    let mut entry = submit("a", Side::Buy, "1", story.market);
    entry.protect = protect(None, None, Some(DEADLINE));
    story.send(&entry);
    let order = story.creates().remove(0);
    story.fill(&order, "entry", "1", 100);
    story
}

#[test]
fn a_deadline_closes_by_the_private_streams_clock_while_the_public_streams_are_down() {
    let mut story = until_a_deadline();
    story.tell(Input::BookStale { symbol: symbol() });
    story.tell(Input::VenueTime(DEADLINE - 1));
    assert!(story.creates().is_empty());
    story.tell(Input::VenueTime(DEADLINE));
    let exit = story.creates().remove(0);
    assert_eq!((exit.side, exit.kind, exit.qty.as_str()), (Side::Sell, Kind::Market, "1"));
    story.fill(&exit, "exit", "1", 90);
    assert_eq!(story.position("a"), Decimal::ZERO);
}

#[test]
fn the_private_streams_clock_moves_nothing_while_any_book_is_live() {
    let mut story = until_a_deadline();
    story.tell(Input::VenueTime(DEADLINE));
    assert_eq!((story.core.market_ms(), story.creates().len()), (story.market, 0));
    let ether = Symbol::new("ETHUSDT").unwrap();
    let quote = Quote { bid: Decimal::from(9), ask: Decimal::from(10) };
    story.tell(Input::Quote { symbol: ether.clone(), quote, ts: story.market });
    story.tell(Input::BookStale { symbol: symbol() });
    story.tell(Input::VenueTime(DEADLINE));
    assert_eq!((story.core.market_ms(), story.creates().len()), (story.market, 0));
    story.tell(Input::BookStale { symbol: ether });
    story.tell(Input::VenueTime(DEADLINE));
    assert_eq!((story.core.market_ms(), story.creates().len()), (DEADLINE, 1));
}

#[test]
fn the_private_streams_clock_never_goes_back_and_an_absurd_time_is_not_believed() {
    let mut story = until_a_deadline();
    story.tell(Input::BookStale { symbol: symbol() });
    story.tell(Input::VenueTime(1_500_000));
    for (told, held) in
        [(1_400_000, 1_500_000), (0, 1_500_000), (u64::MAX, 1_500_000), (1_600_000, 1_600_000)]
    {
        story.tell(Input::VenueTime(told));
        assert_eq!(story.core.market_ms(), held, "after {told}");
    }
    assert!(story.creates().is_empty());
}

#[test]
fn an_entry_never_leaves_on_the_private_streams_clock_and_ends_when_its_time_to_live_does() {
    let (mut story, waiting) = Story::waiting_without_a_book();
    let last = story.market + waiting.ttl_ms;
    story.tell(Input::VenueTime(last));
    story.pass(1_100);
    assert!(story.creates().is_empty(), "an entry left without a live book");
    assert_eq!(story.status(&waiting), OrderStatus::Pending);
    story.tell(Input::VenueTime(last + 1));
    assert!(story.creates().is_empty());
    assert_eq!(story.status(&waiting), OrderStatus::Rejected);
}
