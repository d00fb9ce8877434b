//! Scenarios of the private stream's clock while the public streams are down.

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
fn until_a_deadline() -> Scenario {
    let mut scenario = Scenario::new().ready();
    let mut entry = submit("a", Side::Buy, "1", scenario.market);
    entry.protect = protect(None, None, Some(DEADLINE));
    scenario.send(&entry);
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "entry", "1", 100);
    scenario
}

#[test]
fn a_deadline_closes_by_the_private_streams_clock_while_the_public_streams_are_down() {
    let mut scenario = until_a_deadline();
    scenario.receive(Input::BookStale { symbol: symbol() });
    scenario.receive(Input::VenueTime(DEADLINE - 1));
    assert!(scenario.creates().is_empty());
    scenario.receive(Input::VenueTime(DEADLINE));
    let exit = scenario.creates().remove(0);
    assert_eq!((exit.side, exit.kind, exit.qty.as_str()), (Side::Sell, Kind::Market, "1"));
    scenario.fill(&exit, "exit", "1", 90);
    assert_eq!(scenario.position("a"), Decimal::ZERO);
}

#[test]
fn the_private_streams_clock_moves_nothing_while_any_book_is_live() {
    let mut scenario = until_a_deadline();
    scenario.receive(Input::VenueTime(DEADLINE));
    assert_eq!((scenario.core.market_ms(), scenario.creates().len()), (scenario.market, 0));
    let ether = Symbol::new("ETHUSDT").unwrap();
    let quote = Quote { bid: Decimal::from(9), ask: Decimal::from(10) };
    scenario.receive(Input::Quote { symbol: ether.clone(), quote, ts: scenario.market });
    scenario.receive(Input::BookStale { symbol: symbol() });
    scenario.receive(Input::VenueTime(DEADLINE));
    assert_eq!((scenario.core.market_ms(), scenario.creates().len()), (scenario.market, 0));
    scenario.receive(Input::BookStale { symbol: ether });
    scenario.receive(Input::VenueTime(DEADLINE));
    assert_eq!((scenario.core.market_ms(), scenario.creates().len()), (DEADLINE, 1));
}

#[test]
fn the_private_streams_clock_never_goes_back_and_an_absurd_time_is_not_believed() {
    let mut scenario = until_a_deadline();
    scenario.receive(Input::BookStale { symbol: symbol() });
    scenario.receive(Input::VenueTime(1_500_000));
    for (reported, held) in
        [(1_400_000, 1_500_000), (0, 1_500_000), (u64::MAX, 1_500_000), (1_600_000, 1_600_000)]
    {
        scenario.receive(Input::VenueTime(reported));
        assert_eq!(scenario.core.market_ms(), held, "after {reported}");
    }
    assert!(scenario.creates().is_empty());
}

#[test]
fn an_entry_never_leaves_on_the_private_streams_clock_and_ends_when_its_time_to_live_does() {
    let (mut scenario, waiting) = Scenario::waiting_without_a_book();
    let last = scenario.market + waiting.ttl_ms;
    scenario.receive(Input::VenueTime(last));
    scenario.pass(1_100);
    assert!(scenario.creates().is_empty(), "an entry left without a live book");
    assert_eq!(scenario.status(&waiting), OrderStatus::Pending);
    scenario.receive(Input::VenueTime(last + 1));
    assert!(scenario.creates().is_empty());
    assert_eq!(scenario.status(&waiting), OrderStatus::Rejected);
}
