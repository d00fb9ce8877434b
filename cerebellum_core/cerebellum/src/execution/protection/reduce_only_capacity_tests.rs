//! Scenarios of exits beside each other.

use proptest::prelude::*;
use protocol::wire::{
    command::Submit,
    event::OrderStatus,
    field::{Kind, Side},
    reply::AckStatus,
    RejectCode,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CreateOrder, Input},
        ledger::{Booking, Ledger},
        order::{link_id, Order, Shown},
    },
    testing::{intent, scenario::*},
    Recovered,
};

/// A long position of agent `a` of ten coins.
fn long_ten() -> Scenario {
    let mut scenario = Scenario::new().ready();
    scenario.submit("a", Side::Buy, "10");
    let order = scenario.creates().remove(0);
    scenario.fill(&order, "entry", "10", 100);
    scenario
}

fn exit(scenario: &mut Scenario, kind: Kind, qty: &str) -> Submit {
    let mut exit = submit("a", Side::Sell, qty, scenario.market);
    exit.reduce_only = true;
    if kind == Kind::Limit {
        (exit.kind, exit.limit_price) = (kind, Some("110".parse().unwrap()));
    }
    scenario.send(&exit);
    exit
}

fn cancelled(scenario: &mut Scenario, order: &CreateOrder, filled: &str) {
    scenario.receive(Input::OrderSeen(seen(order, ended(OrderStatus::Cancelled, filled))));
}

#[test]
fn a_new_exit_is_not_refused_for_a_resting_one_and_leaves_when_that_has_ended() {
    for kind in [Kind::Market, Kind::Limit] {
        let mut scenario = long_ten();
        let old = scenario.resting_exit("10", "110");
        exit(&mut scenario, kind, "10");
        assert_eq!(scenario.ack().0, AckStatus::Accepted);
        assert_eq!(scenario.withdrawn(), std::slice::from_ref(&old.link_id));
        assert!(scenario.creates().is_empty(), "both could be filled: {kind:?}");
        cancelled(&mut scenario, &old, "0");
        let new = scenario.creates().remove(0);
        assert_eq!((new.kind, new.qty.as_str()), (kind, "10"));
        scenario.fill(&new, "x", "10", 110);
        assert_eq!(scenario.position("a"), Decimal::ZERO);
    }
}

#[test]
fn a_new_exit_is_cut_to_what_the_one_before_it_left() {
    let mut scenario = long_ten();
    let old = scenario.resting_exit("10", "110");
    let new = exit(&mut scenario, Kind::Market, "10");
    scenario.fill(&old, "x", "4", 110);
    assert!(scenario.creates().is_empty());
    let text = scenario.core.orders[&link_id(&new.intent_id)].text.clone().unwrap();
    assert_eq!(text, "cut to 6, which is what is left to close");
    cancelled(&mut scenario, &old, "4");
    assert_eq!(scenario.creates().remove(0).qty, "6");

    let mut scenario = long_ten();
    let old = scenario.resting_exit("10", "110");
    let new = exit(&mut scenario, Kind::Market, "10");
    scenario.fill(&old, "x", "10", 110);
    assert_eq!(scenario.status(&new), OrderStatus::Cancelled, "nothing is left to close");
    assert!(scenario.creates().is_empty());
}

#[test]
fn exits_that_fit_beside_each_other_rest_together_and_the_newest_leaves_first() {
    let mut scenario = long_ten();
    let [one, two, three] = ["3", "4", "3"].map(|qty| scenario.resting_exit(qty, "110"));
    assert!(scenario.withdrawn().is_empty());
    scenario.fill(&two, "x", "4", 110);
    assert!(scenario.withdrawn().is_empty(), "what is left still fits");
    scenario.submit("a", Side::Sell, "1");
    let entry = scenario.creates().remove(0);
    scenario.fill(&entry, "y", "1", 100);
    assert_eq!(scenario.withdrawn(), [three.link_id]);
    scenario.pass(1_000);
    assert!(!scenario.withdrawn().contains(&one.link_id));
}

#[test]
fn a_market_exit_under_way_makes_no_room_for_another() {
    let mut scenario = long_ten();
    exit(&mut scenario, Kind::Market, "10");
    assert_eq!(scenario.creates().len(), 1);
    exit(&mut scenario, Kind::Market, "10");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
    assert!(scenario.withdrawn().is_empty());
    exit(&mut scenario, Kind::Limit, "11");
    assert_eq!(scenario.ack(), (AckStatus::Rejected, Some(RejectCode::ReduceOnly)));
}

/// A long position of ten with resting exits of whatever size, as a journal of before may hold it.
fn recovered(sizes: &[i64]) -> (Scenario, Vec<CreateOrder>) {
    let first = intent("a", Side::Sell, "1");
    let mut ledger = Ledger::default();
    ledger.book(&Booking {
        agent: first.agent,
        symbol: symbol(),
        side: Side::Buy,
        qty: Decimal::TEN,
        price: Decimal::from(100),
        fee: Decimal::ZERO,
        exec_ts: 1,
    });
    let mut open_orders = Vec::new();
    for size in sizes {
        let mut one = intent("a", Side::Sell, &size.to_string());
        (one.kind, one.limit_price) = (Kind::Limit, Some("110".parse().unwrap()));
        one.reduce_only = true;
        let mut order = Order::new(one);
        (order.status, order.sends) = (OrderStatus::New, 1);
        open_orders.push(order);
    }
    let exits: Vec<CreateOrder> = open_orders
        .iter()
        .map(|order| CreateOrder {
            link_id: order.link_id.clone(),
            symbol: symbol(),
            side: Side::Sell,
            kind: Kind::Limit,
            qty: order.terms.qty.as_str().to_owned(),
            price: Some("110".to_owned()),
            reduce_only: false,
        })
        .collect();
    let recovered = Recovered { ledger, open_orders, ..Recovered::default() };
    let mut scenario = Scenario::with(setup(), recovered).instructed();
    scenario.receive(Input::PublicUp);
    scenario.receive(Input::PrivateUp);
    (scenario, exits)
}

/// What exits that are not being withdrawn may still close.
fn still_closing(scenario: &Scenario) -> Decimal {
    let open = scenario.open().into_iter();
    let exits = open.filter(|order| order.intent.reduce_only && !order.cancel_wanted);
    exits.map(Order::remaining).sum()
}

proptest! {
    #[test]
    fn fills_of_resting_exits_leave_no_more_of_them_than_the_position(
        sizes in prop::collection::vec(1_i64..=10, 2..=3),
        fills in prop::collection::vec((0_usize..3, 1_i64..=6), 1..12),
    ) {
        let (mut scenario, exits) = recovered(&sizes);
        for (number, (at, qty)) in fills.iter().enumerate() {
            let exit = &exits[at % exits.len()];
            // One being withdrawn may still be filled; the venue fills none beyond its quantity.
            let qty = Decimal::from(*qty).min(scenario.core.orders[&exit.link_id].remaining());
            if qty.is_zero() {
                continue;
            }
            scenario.fill(exit, &format!("x{number}"), &qty.to_string(), 110);
            let position = scenario.position("a");
            prop_assert!(
                still_closing(&scenario) <= position.max(Decimal::ZERO),
                "{} close a position of {position}", still_closing(&scenario)
            );
        }
    }

    #[test]
    fn exits_that_come_fill_and_end_in_any_order_never_turn_the_position(
        acts in prop::collection::vec((0_u8..4, 0_usize..8, 1_i64..=10), 1..40),
    ) {
        let mut scenario = long_ten();
        let mut left: Vec<CreateOrder> = Vec::new();
        for (number, (act, at, qty)) in acts.into_iter().enumerate() {
            let order = left.get(at % left.len().max(1)).cloned();
            match (act, order) {
                (0, _) => drop(exit(&mut scenario, Kind::Limit, &qty.to_string())),
                (1, _) => drop(exit(&mut scenario, Kind::Market, &qty.to_string())),
                (2, Some(order)) => {
                    let held = &scenario.core.orders[&order.link_id];
                    let qty = Decimal::from(qty).min(held.remaining());
                    if !held.is_terminal() && !qty.is_zero() {
                        scenario.fill(&order, &format!("x{number}"), &qty.to_string(), 110);
                    }
                }
                (3, Some(order)) => {
                    let held = &scenario.core.orders[&order.link_id];
                    if held.cancel_wanted && !held.is_terminal() {
                        let filled = held.filled_qty.to_string();
                        cancelled(&mut scenario, &order, &filled);
                    }
                }
                _ => {}
            }
            for order in scenario.creates() {
                scenario.receive(Input::OrderSeen(seen(&order, Shown::Working)));
                left.push(order);
            }
            let position = scenario.position("a");
            prop_assert!(position >= Decimal::ZERO, "turned to {position}");
            prop_assert!(still_closing(&scenario) <= position);
            let open = scenario.open().into_iter();
            let at_venue: Decimal =
                open.filter(|order| order.sends > 0).map(Order::remaining).sum();
            prop_assert!(at_venue <= position, "{at_venue} at the venue close {position}");
        }
    }
}
