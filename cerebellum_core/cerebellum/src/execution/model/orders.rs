//! Every order in memory, with indexes and sums of the open ones: no order costs more because others
//! are open.
//!
//! Whatever is derived from an order is derived anew when it was changed: [`Orders::get_mut`] keeps in
//! mind which orders that may be, [`Orders::settle`] does it. Whether an order is open is known at once,
//! by [`Orders::refresh`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::HashMap;
use protocol::wire::field::{Name, Side, Symbol};
use rust_decimal::Decimal;

use crate::execution::model::{
    order::Order,
    schedule::{schedule, Schedule},
    trading_state::Scope,
};

/// All orders; see the head of this file.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct Orders {
    all: HashMap<String, Held>,
    by_order_id: HashMap<String, String>,
    open: BTreeSet<String>,
    holdings: BTreeMap<Name, BTreeMap<Symbol, Working>>,
    symbols: BTreeMap<Symbol, BTreeSet<String>>,
    entries: Entries,
    /// Questions to ask, by when: of orders whose fate is open, and of those that only rest.
    unsure: BTreeSet<(i64, String)>,
    resting: BTreeSet<(i64, String)>,
    cancels: BTreeSet<(i64, String)>,
    /// Orders that never left, by the end of their time to live.
    unsent: BTreeSet<(u64, String)>,
    finished: VecDeque<String>,
    touched: Vec<String>,
}

/// An order and what the indexes took from it.
#[derive(Clone, Debug)]
struct Held {
    order: Order,
    taken: Option<Taken>,
}

#[derive(Clone, Debug, PartialEq)]
struct Taken {
    remaining: Decimal,
    highest: Option<Decimal>,
    schedule: Schedule,
    unsent_until: Option<u64>,
}

/// The open orders of one agent in one symbol.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::execution) struct Working {
    links: BTreeSet<String>,
    /// What they may still buy and sell.
    pub all: BuysAndSells,
    /// The part of it that yields to a new exit.
    pub yielding: BuysAndSells,
}

/// What may still be bought, and sold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::execution) struct BuysAndSells {
    pub buys: Decimal,
    pub sells: Decimal,
}

impl BuysAndSells {
    pub(in crate::execution) fn add(&mut self, side: Side, qty: Decimal) {
        match side {
            Side::Buy => self.buys += qty,
            Side::Sell => self.sells += qty,
        }
    }
}

/// What the open entries of everybody may still bring.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::execution) struct Entries {
    limits: usize,
    /// Price times quantity of the limit orders.
    pub at_limits: Decimal,
    /// What is to come at the market: how many orders, and how much.
    pub at_market: BTreeMap<Symbol, (usize, BuysAndSells)>,
}

impl Entries {
    fn count(&mut self, order: &Order, taken: &Taken, sign: Decimal) {
        if order.intent.reduce_only {
            return;
        }
        let more = sign.is_sign_positive();
        let step = |count: usize| if more { count + 1 } else { count.saturating_sub(1) };
        if let Some(price) = taken.highest {
            self.limits = step(self.limits);
            self.at_limits += sign * taken.remaining.saturating_mul(price);
            if self.limits == 0 {
                self.at_limits = Decimal::ZERO;
            }
            return;
        }
        let (count, sums) = self.at_market.entry(order.intent.symbol.clone()).or_default();
        *count = step(*count);
        sums.add(order.intent.side, sign * taken.remaining);
        if *count == 0 {
            self.at_market.remove(&order.intent.symbol);
        }
    }
}

impl Orders {
    /// An order by its client order id.
    pub(in crate::execution) fn get(&self, link: &str) -> Option<&Order> {
        self.all.get(link).map(|held| &held.order)
    }

    /// The same, to be changed.
    pub(in crate::execution) fn get_mut(&mut self, link: &str) -> Option<&mut Order> {
        let held = self.all.get_mut(link)?;
        if held.taken.is_some() && self.touched.last().is_none_or(|last| last != link) {
            self.touched.push(link.to_owned());
        }
        Some(&mut held.order)
    }

    pub(in crate::execution) fn contains(&self, link: &str) -> bool {
        self.all.contains_key(link)
    }

    /// The client order id that belongs to a venue's order id.
    pub(in crate::execution) fn link_of(&self, order_id: &str) -> Option<&String> {
        self.by_order_id.get(order_id)
    }

    /// Takes an order in; of those that have ended only so many are kept.
    pub(in crate::execution) fn insert(&mut self, order: Order, remembered: usize) {
        let link = order.link_id.clone();
        if order.is_terminal() {
            self.finished.push_back(link.clone());
        }
        self.all.insert(link.clone(), Held { order, taken: None });
        self.refresh(&link);
        while self.finished.len() > remembered {
            let Some(oldest) = self.finished.pop_front() else { break };
            if self.open.contains(&oldest) {
                continue;
            }
            if let Some(order_id) = self.all.remove(&oldest).and_then(|gone| gone.order.order_id) {
                self.by_order_id.remove(&order_id);
            }
        }
    }

    /// Brings every index up to date with one order.
    pub(in crate::execution) fn refresh(&mut self, link: &str) {
        let Some(mut held) = self.all.remove(link) else { return };
        let order = &held.order;
        if let Some(order_id) = &order.order_id {
            if !self.by_order_id.contains_key(order_id) {
                self.by_order_id.insert(order_id.clone(), link.to_owned());
            }
        }
        let taken = (!order.is_terminal()).then(|| Taken {
            remaining: order.remaining(),
            highest: order.highest_price(),
            schedule: schedule(order),
            unsent_until: order.is_unsent().then(|| order.intent.expires_at()),
        });
        if taken != held.taken {
            if let Some(before) = held.taken.take() {
                self.give_back(&held.order, &before, taken.is_none());
            }
            if let Some(now) = &taken {
                self.take(&held.order, now);
            }
            held.taken = taken;
        }
        self.all.insert(link.to_owned(), held);
    }

    /// Does so for every order that may have changed.
    pub(in crate::execution) fn settle(&mut self) {
        while let Some(link) = self.touched.pop() {
            self.refresh(&link);
        }
    }

    fn take(&mut self, order: &Order, taken: &Taken) {
        let (link, intent) = (&order.link_id, &order.intent);
        self.open.insert(link.clone());
        self.symbols.entry(intent.symbol.clone()).or_default().insert(link.clone());
        let of_agent = self.holdings.entry(intent.agent.clone()).or_default();
        let working = of_agent.entry(intent.symbol.clone()).or_default();
        working.links.insert(link.clone());
        working.all.add(intent.side, taken.remaining);
        if order.yields() {
            working.yielding.add(intent.side, taken.remaining);
        }
        self.entries.count(order, taken, Decimal::ONE);
        let Schedule { ask, rests, cancel } = taken.schedule;
        if let Some(at) = ask {
            let questions = if rests { &mut self.resting } else { &mut self.unsure };
            questions.insert((at, link.clone()));
        }
        if let Some(at) = cancel {
            self.cancels.insert((at, link.clone()));
        }
        if let Some(until) = taken.unsent_until {
            self.unsent.insert((until, link.clone()));
        }
    }

    fn give_back(&mut self, order: &Order, taken: &Taken, ended: bool) {
        let (link, intent) = (&order.link_id, &order.intent);
        if ended {
            self.open.remove(link);
            self.finished.push_back(link.clone());
        }
        remove_from(&mut self.symbols, &intent.symbol, link);
        if let Some(of_agent) = self.holdings.get_mut(&intent.agent) {
            if let Some(working) = of_agent.get_mut(&intent.symbol) {
                working.links.remove(link);
                working.all.add(intent.side, -taken.remaining);
                if order.yields() {
                    working.yielding.add(intent.side, -taken.remaining);
                }
                if working.links.is_empty() {
                    of_agent.remove(&intent.symbol);
                }
            }
            if of_agent.is_empty() {
                self.holdings.remove(&intent.agent);
            }
        }
        self.entries.count(order, taken, Decimal::NEGATIVE_ONE);
        if let Some(at) = taken.schedule.ask {
            self.unsure.remove(&(at, link.clone()));
            self.resting.remove(&(at, link.clone()));
        }
        if let Some(at) = taken.schedule.cancel {
            self.cancels.remove(&(at, link.clone()));
        }
        if let Some(until) = taken.unsent_until {
            self.unsent.remove(&(until, link.clone()));
        }
    }

    /// Client order ids of all open orders.
    pub(in crate::execution) fn open(&self) -> &BTreeSet<String> {
        &self.open
    }

    /// Open orders of one agent in one symbol, the oldest intent first.
    pub(in crate::execution) fn of<'a>(
        &'a self,
        agent: &Name,
        symbol: &Symbol,
    ) -> impl DoubleEndedIterator<Item = &'a Order> + 'a {
        let working = self.holdings.get(agent).and_then(|of_agent| of_agent.get(symbol));
        working
            .map(|working| &working.links)
            .into_iter()
            .flatten()
            .filter_map(move |link| self.get(link))
    }

    /// The sums of the same.
    pub(in crate::execution) fn working(&self, agent: &Name, symbol: &Symbol) -> Option<&Working> {
        debug_assert!(self.touched.is_empty(), "sums of orders that have changed");
        self.holdings.get(agent)?.get(symbol)
    }

    /// Open orders of one symbol, whoever's.
    pub(in crate::execution) fn of_symbol<'a>(
        &'a self,
        symbol: &Symbol,
    ) -> impl Iterator<Item = &'a Order> + 'a {
        self.symbols.get(symbol).into_iter().flatten().filter_map(move |link| self.get(link))
    }

    /// Every symbol with an open order.
    pub(in crate::execution) fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.keys()
    }

    /// What open entries may still bring.
    pub(in crate::execution) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Client order ids of the open orders that a scope covers, the oldest intent first.
    pub(in crate::execution) fn in_scope(&self, scope: &Scope) -> Vec<String> {
        let mut links: Vec<String> = match scope {
            (None, None) => return self.open.iter().cloned().collect(),
            (None, Some(symbol)) => {
                return self.symbols.get(symbol).into_iter().flatten().cloned().collect();
            }
            (Some(agent), symbol) => self
                .holdings
                .get(agent)
                .into_iter()
                .flatten()
                .filter(|(held, _)| symbol.as_ref().is_none_or(|symbol| symbol == *held))
                .flat_map(|(_, working)| working.links.iter().cloned())
                .collect(),
        };
        links.sort_unstable();
        links
    }

    /// Up to so many orders that are due to be asked for: whoever waits longest first, and those that
    /// only rest last.
    pub(in crate::execution) fn to_ask(&self, now: i64, most: usize) -> Vec<String> {
        due(&self.unsure, now).chain(due(&self.resting, now)).take(most).cloned().collect()
    }

    /// Up to so many orders whose cancel is due to be sent, again or at last.
    pub(in crate::execution) fn to_cancel(&self, now: i64, most: usize) -> Vec<String> {
        due(&self.cancels, now).take(most).cloned().collect()
    }

    /// Up to so many orders that never left and whose time to live has ended.
    pub(in crate::execution) fn expired(&self, market_ms: u64, most: usize) -> Vec<String> {
        let unsent = self.unsent.iter().take_while(|(until, _)| *until < market_ms);
        unsent.take(most).map(|(_, link)| link.clone()).collect()
    }
}

fn due(waiting: &BTreeSet<(i64, String)>, now: i64) -> impl Iterator<Item = &String> {
    waiting.iter().take_while(move |(at, _)| *at <= now).map(|(_, link)| link)
}

fn remove_from(sets: &mut BTreeMap<Symbol, BTreeSet<String>>, symbol: &Symbol, link: &str) {
    if let Some(set) = sets.get_mut(symbol) {
        set.remove(link);
        if set.is_empty() {
            sets.remove(symbol);
        }
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
