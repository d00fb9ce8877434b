//! A venue that loses, repeats, reorders and delays, against the whole core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use protocol::wire::{
    event::{Event, OrderStatus},
    field::Side,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CancelOutcome, CreateOrder, CreateOutcome, Effect, Execution, Input},
        order::{Shown, VenueEnd},
    },
    testing::scenario::*,
};

/// A venue that keeps every promise of the protocol and breaks every habit.
#[derive(Default)]
struct Venue {
    orders: BTreeMap<String, (CreateOrder, Decimal)>,
    executions: BTreeMap<String, Vec<Execution>>,
    stream: VecDeque<Input>,
    net: Decimal,
}

impl Venue {
    /// Takes an order once; splits it into fills; queues rows for the stream.
    fn take(&mut self, order: &CreateOrder, parts: u8) -> bool {
        if self.orders.contains_key(&order.link_id) {
            return false;
        }
        let qty: Decimal = order.qty.parse().unwrap();
        let signed = if order.side == Side::Buy { qty } else { -qty };
        self.net += signed;
        let part = (qty / Decimal::from(parts)).round_dp(3);
        let mut left = qty;
        let mut rows = Vec::new();
        for at in 0..parts {
            let amount = if at + 1 == parts { left } else { part.min(left) };
            left -= amount;
            if amount > Decimal::ZERO {
                rows.push(execution(order, &format!("{}-{at}", order.link_id), amount, 100));
            }
        }
        self.stream.push_back(Input::OrderSeen(seen(order, Shown::Working)));
        for row in &rows {
            self.stream
                .push_back(Input::Executions { executions: vec![row.clone()], pulled: false });
        }
        let end = VenueEnd { status: OrderStatus::Filled, filled_qty: qty, text: None };
        self.stream.push_back(Input::OrderSeen(seen(order, Shown::Ended(end))));
        self.executions.insert(order.link_id.clone(), rows);
        self.orders.insert(order.link_id.clone(), (order.clone(), qty));
        true
    }

    fn look_up(&self, link: &str) -> Input {
        let known = self.orders.get(link);
        Input::Asked {
            link_id: link.to_owned(),
            seen: known.map(|(order, qty)| {
                let status = OrderStatus::Filled;
                let end = VenueEnd { status, filled_qty: *qty, text: None };
                seen(order, Shown::Ended(end))
            }),
            executions: self.executions.get(link).cloned().unwrap_or_default(),
            complete: true,
        }
    }

    /// Does what the core asked, with a fault picked by a die.
    fn serve(&mut self, scenario: &mut Scenario, die: &mut impl FnMut() -> u8, faults: bool) {
        for effect in std::mem::take(&mut scenario.asked) {
            let roll = if faults { die() % 8 } else { 7 };
            match effect {
                Effect::Create(order) => {
                    let link_id = order.link_id.clone();
                    let silent = CreateOutcome::Ambiguous { text: "cut".to_owned() };
                    let outcome = match roll {
                        // Lost in flight there, or in flight back.
                        0 => silent,
                        1 => {
                            self.take(&order, 1 + die() % 3);
                            silent
                        }
                        2 => CreateOutcome::NotExecuted {
                            retry_at: scenario.wall + 50,
                            text: "10006".to_owned(),
                        },
                        _ => {
                            if self.take(&order, 1 + die() % 3) {
                                CreateOutcome::Accepted { order_id: format!("o-{link_id}") }
                            } else {
                                CreateOutcome::Landed
                            }
                        }
                    };
                    scenario.receive(Input::CreateReply { link_id, outcome });
                }
                Effect::Ask { link_id, .. } => {
                    let answer = if roll == 0 {
                        Input::Asked {
                            link_id,
                            seen: None,
                            executions: Vec::new(),
                            complete: false,
                        }
                    } else {
                        self.look_up(&link_id)
                    };
                    scenario.receive(answer);
                }
                Effect::Cancel { link_id, .. } => {
                    let outcome = CancelOutcome::Gone { text: "too late".to_owned() };
                    scenario.receive(Input::CancelReply { link_id, outcome });
                }
                Effect::PullExecutions { .. } => {
                    let executions = self.executions.values().flatten().cloned().collect();
                    scenario.receive(Input::Executions { executions, pulled: true });
                }
                Effect::PullPositions => {
                    let mut positions = BTreeMap::from([(symbol(), self.net)]);
                    positions.retain(|_, qty| !qty.is_zero());
                    scenario.receive(Input::Positions(positions));
                }
                _ => {}
            }
        }
    }

    /// Delivers a queued row: in order, out of order, twice or never.
    fn deliver(&mut self, scenario: &mut Scenario, roll: u8) {
        let input =
            if roll.is_multiple_of(5) { self.stream.pop_back() } else { self.stream.pop_front() };
        let Some(input) = input else { return };
        if roll.is_multiple_of(7) {
            return;
        }
        scenario.receive(input.clone());
        if roll.is_multiple_of(3) {
            scenario.receive(input);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_is_lost_or_doubled_whatever_the_venue_does(
        orders in prop::collection::vec((0_usize..3, any::<bool>(), 1_u32..50), 1..25),
        mut dice in prop::collection::vec(any::<u8>(), 400),
    ) {
        let mut scenario = Scenario::new().ready();
        let mut venue = Venue::default();
        let mut at = 0_usize;
        let length = dice.len();
        let mut die = move || {
            at += 1;
            let value = dice[at % length];
            dice[at % length] = value.wrapping_mul(31).wrapping_add(7);
            value
        };
        let mut expected: BTreeMap<usize, Decimal> = BTreeMap::new();
        let mut submits = Vec::new();
        for (agent, buy, qty) in orders {
            let side = if buy { Side::Buy } else { Side::Sell };
            let text = format!("{}.{:03}", 1 + qty / 10, qty);
            let submit = scenario.submit(["a", "b", "c"][agent], side, &text);
            if die().is_multiple_of(4) { scenario.send(&submit); }
            let signed: Decimal = text.parse().unwrap();
            *expected.entry(agent).or_default() += if buy { signed } else { -signed };
            submits.push(submit);
            for _ in 0..die() % 6 {
                venue.serve(&mut scenario, &mut die, true);
                let roll = die();
                venue.deliver(&mut scenario, roll);
                scenario.pass(i64::from(die() % 200));
            }
        }
        // The faults end; the core must find out everything by itself.
        venue.stream.clear();
        for _ in 0..400 {
            venue.serve(&mut scenario, &mut die, false);
            scenario.pass(200);
        }
        for submit in &submits {
            prop_assert_eq!(scenario.status(submit), OrderStatus::Filled);
        }
        prop_assert_eq!(venue.orders.len(), submits.len(), "an order was doubled or lost");
        for (agent, qty) in expected {
            prop_assert_eq!(scenario.position(["a", "b", "c"][agent]), qty);
        }
        prop_assert_eq!(scenario.core.ledger.net(&symbol()), venue.net);
        let fills: usize = venue.executions.values().map(Vec::len).sum();
        prop_assert_eq!(scenario.core.ledger.fills(), fills as u64);
        prop_assert_eq!(scenario.risks("impossible_transition"), 0);
        prop_assert_eq!(scenario.risks("reconcile_mismatch"), 0);
        check_events(&scenario.events)?;
    }
}

/// Events are numbered without a gap, and no order is filled after its end.
fn check_events(events: &[Event]) -> Result<(), TestCaseError> {
    let mut ended = BTreeSet::new();
    for (at, event) in events.iter().enumerate() {
        prop_assert_eq!(event.seq(), at as u64 + 1, "events have a gap");
        match event {
            Event::Order(event) if event.order.status.is_terminal() => {
                ended.insert(event.order.order_link_id.clone());
            }
            Event::Fill(fill) => {
                prop_assert!(!ended.contains(&fill.order_link_id), "a fill after the end");
            }
            _ => {}
        }
    }
    Ok(())
}
