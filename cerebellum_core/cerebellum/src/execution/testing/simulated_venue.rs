//! A venue with resting orders that loses, repeats, delays and forgets; and the journal beside it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::wire::{
    event::OrderStatus,
    field::{Kind, Side},
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{
            AmendOutcome, CancelOutcome, CreateOrder, CreateOutcome, Effect, Execution, Input,
            OrderSeen, Record,
        },
        ledger::Booking,
        order::{Order, Shown, Tracking},
    },
    testing::scenario::*,
    Recovered,
};

/// A die that a seed decides.
pub(in crate::execution) struct Die(pub(in crate::execution) u64);

impl Die {
    pub(in crate::execution) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives when its answer is given up for lost.
    Late,
    /// It is done, and the answer is lost.
    Unanswered,
    /// It is to be sent again later.
    PutOff,
    /// It is done and answered.
    Well,
}

impl Fate {
    fn of(roll: u64) -> Self {
        match roll {
            0 => Self::Lost,
            1 => Self::Late,
            2 => Self::Unanswered,
            3 => Self::PutOff,
            _ => Self::Well,
        }
    }
}

/// What is reported of a connection that broke.
fn cut() -> String {
    "cut".to_owned()
}

/// One order at the venue.
pub(in crate::execution) struct Held {
    pub(in crate::execution) order: CreateOrder,
    pub(in crate::execution) qty: Decimal,
    price: String,
    pub(in crate::execution) filled: Decimal,
    pub(in crate::execution) ended: Option<OrderStatus>,
    updated: u64,
}

/// A venue that keeps the promises of the protocol, and no others.
#[derive(Default)]
pub(in crate::execution) struct Venue {
    pub(in crate::execution) held: BTreeMap<String, Held>,
    pub(in crate::execution) executions: Vec<Execution>,
    pub(in crate::execution) stream: VecDeque<Input>,
    /// Requests whose answer is given up for lost, and when they arrive after all.
    late: Vec<(i64, Effect)>,
}

impl Venue {
    pub(in crate::execution) fn net(&self) -> Decimal {
        let signed = |row: &Execution| if row.side == Side::Buy { row.qty } else { -row.qty };
        self.executions.iter().map(signed).sum()
    }

    fn row(&self, link: &str) -> Option<OrderSeen> {
        let held = self.held.get(link)?;
        let shown = match held.ended {
            None => Shown::Working,
            Some(status) => ended(status, &held.filled.to_string()),
        };
        let row = match held.order.kind {
            Kind::Limit => seen_at(&held.order, shown, &held.qty.to_string(), &held.price),
            Kind::Market => seen(&held.order, shown),
        };
        Some(OrderSeen { updated_ts: Some(held.updated), ..row })
    }

    fn publish(&mut self, link: &str) {
        if let Some(held) = self.held.get_mut(link) {
            held.updated += 1;
        }
        if let Some(row) = self.row(link) {
            self.stream.push_back(Input::OrderSeen(row));
        }
    }

    /// Fills a part of an order that works.
    pub(in crate::execution) fn fill(&mut self, link: &str, most: Decimal) {
        let Some(held) = self.held.get_mut(link).filter(|held| held.ended.is_none()) else {
            return;
        };
        let part = most.min(held.qty - held.filled);
        held.filled += part;
        if held.filled == held.qty {
            held.ended = Some(OrderStatus::Filled);
        }
        let exec_id = format!("{link}-{}", held.filled);
        let row = execution(&held.order, &exec_id, part, 100);
        self.executions.push(row.clone());
        self.stream.push_back(Input::Executions { executions: vec![row], pulled: false });
        self.publish(link);
    }

    /// Takes an order once.
    fn create(&mut self, order: &CreateOrder, die: &mut Die) -> bool {
        if self.held.contains_key(&order.link_id) {
            return false;
        }
        let qty: Decimal = order.qty.parse().unwrap();
        let price = order.price.clone().unwrap_or_default();
        let held = Held {
            order: order.clone(),
            qty,
            price,
            filled: Decimal::ZERO,
            ended: None,
            updated: 0,
        };
        self.held.insert(order.link_id.clone(), held);
        self.publish(&order.link_id);
        if order.kind == Kind::Market {
            for _ in 0..die.roll(3) {
                self.fill(&order.link_id, Decimal::new(7, 1));
            }
            self.fill(&order.link_id, qty);
        }
        true
    }

    fn amend(&mut self, link: &str, qty: Option<&String>, price: Option<&String>) -> bool {
        let Some(held) = self.held.get_mut(link).filter(|held| held.ended.is_none()) else {
            return false;
        };
        let wanted = qty.map_or(held.qty, |qty| qty.parse().unwrap());
        if wanted <= held.filled {
            return false;
        }
        held.qty = wanted;
        if let Some(price) = price {
            held.price.clone_from(price);
        }
        self.publish(link);
        true
    }

    fn cancel(&mut self, link: &str) -> bool {
        let Some(held) = self.held.get_mut(link).filter(|held| held.ended.is_none()) else {
            return false;
        };
        held.ended = Some(OrderStatus::Cancelled);
        self.publish(link);
        true
    }

    /// Carries out requests that were in flight for long.
    pub(in crate::execution) fn arrive(&mut self, now: i64, die: &mut Die) {
        let (due, wait) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = wait;
        let due: Vec<(i64, Effect)> = due;
        for (_, effect) in due {
            match effect {
                Effect::Create(order) => {
                    self.create(&order, die);
                }
                Effect::Amend { link_id, qty, price, .. } => {
                    self.amend(&link_id, qty.as_ref(), price.as_ref());
                }
                Effect::Cancel { link_id, .. } => {
                    self.cancel(&link_id);
                }
                _ => {}
            }
        }
    }

    fn answer_create(
        &mut self,
        order: &CreateOrder,
        fate: Fate,
        now: i64,
        die: &mut Die,
    ) -> CreateOutcome {
        match fate {
            Fate::Lost | Fate::Late => CreateOutcome::Ambiguous { text: cut() },
            Fate::PutOff => CreateOutcome::NotExecuted { retry_at: now + 50, text: cut() },
            _ if !self.create(order, die) => CreateOutcome::Landed,
            Fate::Unanswered => CreateOutcome::Ambiguous { text: cut() },
            Fate::Well => CreateOutcome::Accepted { order_id: format!("o-{}", order.link_id) },
        }
    }

    /// What became of an order, as far as every place where it is asked for answers.
    fn look_up(&self, link_id: String, fate: Fate) -> Input {
        let complete = !matches!(fate, Fate::Lost | Fate::Late);
        let of_order = |row: &&Execution| complete && row.link_id == link_id;
        Input::Asked {
            seen: self.row(&link_id).filter(|_| complete),
            executions: self.executions.iter().filter(of_order).cloned().collect(),
            complete,
            link_id,
        }
    }

    /// Does what was asked, with a fault picked by a die; returns the answer.
    pub(in crate::execution) fn serve(
        &mut self,
        effect: Effect,
        now: i64,
        die: &mut Die,
        faults: bool,
    ) -> Option<Input> {
        let fate = if faults { Fate::of(die.roll(9)) } else { Fate::Well };
        let at = now + i64::try_from(die.roll(3_000)).unwrap();
        if fate == Fate::Late {
            self.late.push((at, effect.clone()));
        }
        Some(match effect {
            Effect::Create(order) => Input::CreateReply {
                link_id: order.link_id.clone(),
                outcome: self.answer_create(&order, fate, now, die),
            },
            Effect::Amend { link_id, qty, price, .. } => {
                let outcome = match fate {
                    Fate::Lost | Fate::Late => AmendOutcome::Ambiguous { text: cut() },
                    Fate::PutOff => AmendOutcome::NotExecuted { retry_at: now + 50, text: cut() },
                    _ if !self.amend(&link_id, qty.as_ref(), price.as_ref()) => {
                        AmendOutcome::Refused { text: "110001".to_owned() }
                    }
                    Fate::Unanswered => AmendOutcome::Ambiguous { text: cut() },
                    Fate::Well => AmendOutcome::Accepted,
                };
                Input::AmendReply { link_id, outcome }
            }
            Effect::Cancel { link_id, .. } => {
                let outcome = match fate {
                    Fate::Lost | Fate::Late | Fate::PutOff => CancelOutcome::Retry { text: cut() },
                    _ if !self.cancel(&link_id) => CancelOutcome::Gone { text: cut() },
                    Fate::Unanswered => CancelOutcome::Retry { text: cut() },
                    Fate::Well => CancelOutcome::Accepted,
                };
                Input::CancelReply { link_id, outcome }
            }
            Effect::Ask { link_id, .. } => self.look_up(link_id, fate),
            Effect::PullExecutions { .. } => {
                Input::Executions { executions: self.executions.clone(), pulled: true }
            }
            Effect::PullOpenOrders => {
                let open = self.held.iter().filter(|(_, held)| held.ended.is_none());
                Input::OpenOrders(open.filter_map(|(link, _)| self.row(link)).collect())
            }
            Effect::PullPositions => {
                let mut positions = BTreeMap::from([(symbol(), self.net())]);
                positions.retain(|_, qty| !qty.is_zero());
                Input::Positions(positions)
            }
            _ => return None,
        })
    }
}

/// What the journal holds, kept from the rows that the core wrote.
#[derive(Default)]
pub(in crate::execution) struct Rows {
    pub(in crate::execution) orders: BTreeMap<String, Order>,
    pub(in crate::execution) booked: BTreeSet<String>,
    recovered: Recovered,
}

impl Rows {
    /// Takes rows; returns an execution that was booked twice.
    pub(in crate::execution) fn write(&mut self, records: Vec<Record>) -> Option<String> {
        for record in records {
            match record {
                Record::Intent(order) | Record::Order(order) => {
                    let ts = order.intent.ts;
                    self.recovered.first_intent_ts = self.recovered.first_intent_ts.or(Some(ts));
                    let kept = Order { tracking: Tracking::default(), venue_end: None, ..*order };
                    self.orders.insert(kept.link_id.clone(), kept);
                }
                Record::Fill(fill) => {
                    self.recovered.ledger.book(&Booking {
                        agent: fill.agent.clone(),
                        symbol: fill.symbol.clone(),
                        side: fill.side,
                        qty: fill.qty.value(),
                        price: fill.price.value(),
                        fee: fill.fee.value(),
                        exec_ts: fill.exec_ts,
                    });
                    self.recovered.last_exec_ts = Some(fill.exec_ts);
                    if !self.booked.insert(fill.exec_id.clone()) {
                        return Some(fill.exec_id);
                    }
                }
                Record::Guard(holding, Some(guard)) => {
                    self.recovered.guards.insert(holding, *guard);
                }
                Record::Guard(holding, None) => {
                    self.recovered.guards.remove(&holding);
                }
                Record::State(scope, state) => self.recovered.states.set(scope, state),
                _ => {}
            }
        }
        None
    }

    /// What a restart reads.
    pub(in crate::execution) fn recover(&self, last_seq: u64) -> Recovered {
        let open = self.orders.values().filter(|order| !order.is_terminal());
        Recovered { open_orders: open.cloned().collect(), last_seq, ..self.recovered.clone() }
    }
}
