//! Scenarios of limits that cannot be checked, of a silent arena after a restart, and of fair shares.

use std::collections::BTreeMap;

use protocol::wire::{
    command::Submit,
    event::OrderStatus,
    field::{Kind, Side, Symbol, TradingState},
    reply::AckStatus,
    RejectCode,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{Effect, Input, Record},
        market::Quote,
        order::Order,
    },
    testing::{instrument, intent, scenario::*},
    Recovered, Setup,
};

fn ether() -> Symbol {
    Symbol::new("ETHUSDT").unwrap()
}

fn quote_ether(scenario: &mut Scenario, bid: i64) {
    let quote = Quote { bid: Decimal::from(bid), ask: Decimal::from(bid + 1) };
    scenario.receive(Input::Quote { symbol: ether(), quote, ts: scenario.market });
}

fn buy_ether(scenario: &mut Scenario, agent: &str) -> Submit {
    let mut order = submit(agent, Side::Buy, "1", scenario.market);
    order.symbol = ether();
    scenario.send(&order);
    order
}

/// Agent `a` holds one coin of each symbol.
fn two_symbols(setup: Setup) -> Scenario {
    let mut scenario = protected_with(setup);
    let instruments = BTreeMap::from([(symbol(), instrument()), (ether(), instrument())]);
    scenario.receive(Input::Instruments(instruments));
    quote_ether(&mut scenario, 49);
    buy_ether(&mut scenario, "a");
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "ether", "1", 50);
    scenario.pass(1_000);
    scenario
}

#[test]
fn a_loss_that_is_not_known_refuses_entries_and_is_alarmed_once() {
    let mut setup = setup();
    setup.limits.daily_loss.agent = Some(Decimal::from(30));
    let mut scenario = two_symbols(setup);
    scenario.receive(Input::BookStale { symbol: ether() });
    for _ in 0..5 {
        scenario.pass(1_000);
    }
    assert_eq!(scenario.risks("mark_unknown"), 1);
    scenario.submit("a", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::MarkUnknown)));
    scenario.submit("b", Side::Buy, "1");
    assert_eq!(scenario.ack().0, AckStatus::Accepted, "b holds nothing of it");
    let mut exit = submit("a", Side::Sell, "1", scenario.market);
    exit.reduce_only = true;
    scenario.send(&exit);
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
    assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), TradingState::Active);
    // The price it comes back with shows the loss that cost would have hidden.
    quote_ether(&mut scenario, 9);
    scenario.pass(1_000);
    assert_eq!(scenario.core.risk.states.get(&(Some(name("a")), None)), TradingState::ReduceOnly);
    scenario.receive(Input::BookStale { symbol: ether() });
    scenario.pass(1_000);
    assert_eq!(scenario.risks("mark_unknown"), 2, "a new spell is told again");
}

#[test]
fn one_unknown_position_hides_the_loss_of_all() {
    let mut setup = setup();
    setup.limits.daily_loss.total = Some(Decimal::from(30));
    let mut scenario = two_symbols(setup);
    scenario.receive(Input::BookStale { symbol: ether() });
    scenario.submit("b", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::MarkUnknown)));
}

#[test]
fn the_market_day_does_not_turn_on_a_guessed_value() {
    let mut setup = setup();
    setup.limits.daily_loss.agent = Some(Decimal::from(30));
    let mut scenario = two_symbols(setup);
    let days = |scenario: &Scenario| {
        scenario.records.iter().filter(|record| matches!(record, Record::Day(_))).count()
    };
    let before = days(&scenario);
    scenario.receive(Input::BookStale { symbol: ether() });
    scenario.market += 86_400_000;
    scenario.quote(99, 100);
    scenario.pass(1_000);
    assert_eq!(days(&scenario), before);
    quote_ether(&mut scenario, 9);
    scenario.pass(1_000);
    assert_eq!(days(&scenario), before + 1);
}

#[test]
fn the_sum_of_all_is_never_taken_for_smaller_than_it_is() {
    let mut setup = setup();
    setup.limits.position.max_total_notional = Some(Decimal::from(100_000));
    let mut scenario = two_symbols(setup);
    buy_ether(&mut scenario, "b");
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
    let order = scenario.creates().remove(0);
    // A market order under way, and then nobody knows what it will cost.
    scenario.receive(Input::BookStale { symbol: ether() });
    scenario.submit("c", Side::Buy, "1");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::MarkUnknown)));
    quote_ether(&mut scenario, 49);
    scenario.submit("c", Side::Buy, "1");
    assert_eq!(scenario.ack().0, AckStatus::Accepted);
    scenario.fill(&order, "b", "1", 50);
}

#[test]
fn a_restart_while_the_arena_is_dead_still_trips_the_dead_man_switch() {
    let setup = Setup { deadman_ms: 1_000, ..setup() };
    let mut resting = intent("a", Side::Buy, "1");
    (resting.kind, resting.limit_price) = (Kind::Limit, Some("95".parse().unwrap()));
    let mut order = Order::new(resting);
    (order.status, order.sends) = (OrderStatus::New, 1);
    let recovered = Recovered { open_orders: vec![order], ..Recovered::default() };
    let mut scenario = Scenario::with(setup.clone(), recovered);
    scenario.pass(900);
    assert_eq!(scenario.risks("deadman"), 0);
    scenario.pass(200);
    assert_eq!(scenario.risks("deadman"), 1);
    assert!(scenario.asked.iter().any(|effect| matches!(effect, Effect::Cancel { .. })));

    let recovered = Recovered { first_intent_ts: Some(1), ..Recovered::default() };
    let mut scenario = Scenario::with(setup.clone(), recovered);
    scenario.pass(1_100);
    assert_eq!(scenario.risks("deadman"), 1, "an arena was there before");

    let mut scenario = Scenario::with(setup, Recovered::default());
    scenario.pass(60_000);
    assert_eq!(scenario.risks("deadman"), 0, "a journal without an intent never had an arena");
}

#[test]
fn a_loud_agent_leaves_the_quiet_ones_their_share_of_the_venues_rate() {
    let mut setup = setup();
    setup.limits.venue.orders_per_second = 10;
    let mut scenario = Scenario::with(setup, Recovered::default()).ready();
    for _ in 0..60 {
        scenario.submit("loud", Side::Buy, "1");
    }
    let loud_links = scenario.core.orders.open().clone();
    scenario.creates();
    for agent in ["quiet", "shy"] {
        for _ in 0..10 {
            scenario.submit(agent, Side::Buy, "1");
        }
    }
    for second in 1..=2 {
        scenario.pass(1_001);
        let sent = scenario.creates();
        assert_eq!(sent.len(), 10, "second {second}");
        let loud = sent.iter().filter(|order| loud_links.contains(&order.link_id)).count();
        assert!((3..=4).contains(&loud), "{loud} of 10 in second {second} are the loud agent's");
    }
}
