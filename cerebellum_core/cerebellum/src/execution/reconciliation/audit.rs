//! Readiness after a connect, and the comparison of the agents' sum with the venue.

use std::collections::{BTreeMap, BTreeSet};

use protocol::wire::{event::OrderStatus, field::Symbol};
use rust_decimal::Decimal;

use crate::execution::{
    model::{io::Effect, order::Order},
    Core,
};

/// How often positions are compared, ms.
const EVERY_MS: i64 = 30_000;
/// How soon a difference is looked at again, ms.
const AGAIN_MS: i64 = 2_000;
/// How far behind the newest execution a pull begins, market ms.
const OVERLAP_MS: u64 = 60_000;
/// The same for the first pull after a start, market ms: answers about single orders are booked too
/// while the stream is down, so the newest booked execution does not tell what else is missing.
const START_OVERLAP_MS: u64 = 86_400_000;
/// After how many looks a difference is an alarm even if fills keep coming.
const PATIENCE: u32 = 10;

/// Where the reconciliation stands.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct Audit {
    /// Whether intents are taken; once true it stays.
    pub ready: bool,
    /// Whether the private stream is up and all that was missed is fetched.
    pub connected: bool,
    /// Whether the public streams were up once.
    pub public_up: bool,
    /// Whether the private stream is logged in.
    pub private_up: bool,
    /// Whether executions were fetched since then.
    pub pulled: bool,
    /// Whether positions were fetched since then.
    pub positions_seen: bool,
    /// Whether the answer to a pull of executions is awaited.
    pub pulling: bool,
    /// Orders whose fate was asked for and not yet told.
    pub awaiting: BTreeSet<String>,
    next_at: i64,
    bookings: BTreeMap<Symbol, u64>,
    suspicions: BTreeMap<Symbol, Suspicion>,
    alarmed: BTreeMap<Symbol, (Decimal, Decimal)>,
}

#[derive(Clone, Debug)]
struct Suspicion {
    looks: u32,
    agents: Decimal,
    venue: Decimal,
    bookings: u64,
}

impl Audit {
    /// Counts a booking, so that a comparison knows that the world moved.
    pub(in crate::execution) fn booked(&mut self, symbol: &Symbol) {
        *self.bookings.entry(symbol.clone()).or_default() += 1;
    }

    /// Asks for a comparison soon.
    pub(in crate::execution) fn soon(&mut self, now: i64) {
        self.next_at = self.next_at.min(now + 500);
    }
}

impl Core {
    /// Whether the private stream is up and reconciled.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.audit.connected
    }

    /// Whether intents are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.audit.ready
    }

    /// What reconciliation still waits for, for a log; `None` while it waits for nothing that was asked.
    #[must_use]
    pub fn awaits(&self) -> Option<String> {
        let audit = &self.audit;
        let lost = audit.ready && !audit.private_up;
        if self.instruments.is_empty() || lost || (audit.ready && audit.connected) {
            return None;
        }
        let mut parts = Vec::new();
        if !audit.public_up {
            parts.push("the public streams".to_owned());
        }
        if self.market_ms == 0 {
            parts.push("a first market time".to_owned());
        }
        if !audit.private_up {
            parts.push("the private stream".to_owned());
        }
        if audit.private_up && !audit.pulled {
            parts.push("executions since the last one".to_owned());
        }
        if audit.private_up && !audit.positions_seen {
            parts.push("positions".to_owned());
        }
        if let Some(first) = audit.awaiting.first() {
            parts.push(format!("the fate of {} orders, {first} first", audit.awaiting.len()));
        }
        Some(parts.join(", "))
    }

    pub(in crate::execution) fn private_up(&mut self) {
        self.audit.private_up = true;
        self.audit.connected = false;
        self.audit.pulled = false;
        self.audit.pulling = false;
        self.audit.positions_seen = false;
        let ready = self.audit.ready;
        // What waits for its turn, or is on its way, is not asked for; before the first readiness
        // nothing is on its way.
        let is_asked_for = |order: &&Order| {
            let on_its_way = ready && (order.sends == 0 || order.care.sending);
            order.status != OrderStatus::Pending && !on_its_way
        };
        let open = self.orders.open().iter().filter_map(|link| self.orders.get(link));
        self.audit.awaiting =
            open.filter(is_asked_for).map(|order| order.link_id.clone()).collect();
        match self.pull_from() {
            Some(since_ts) => self.pull_executions(since_ts),
            // A journal without any intent can have missed nothing.
            None => self.audit.pulled = true,
        }
        let links: Vec<String> = self.audit.awaiting.iter().cloned().collect();
        for link in links {
            // The rest goes when there is room.
            let delay_ms = i64::from(!self.asks.take(self.now.ms));
            self.ask(&link, delay_ms);
        }
        self.out.push(Effect::PullPositions);
        self.audit.next_at = self.now.ms + EVERY_MS;
        self.pull_open_orders();
    }

    fn pull_executions(&mut self, since_ts: u64) {
        self.audit.pulling = true;
        self.out.push(Effect::PullExecutions { since_ts });
    }

    fn pull_from(&self) -> Option<u64> {
        let newest = self.last_exec_ts.or(self.first_intent_ts)?;
        let overlap = if self.audit.ready { OVERLAP_MS } else { START_OVERLAP_MS };
        Some(newest.saturating_sub(overlap))
    }

    pub(in crate::execution) fn settle_readiness(&mut self) {
        let audit = &mut self.audit;
        let whole =
            audit.private_up && audit.pulled && audit.positions_seen && audit.awaiting.is_empty();
        if !whole {
            return;
        }
        audit.connected = true;
        if !audit.ready && audit.public_up && self.market_ms > 0 {
            audit.ready = true;
            self.out.push(Effect::Ready);
            self.drive_exits(None);
        }
    }

    pub(in crate::execution) fn audit_when_due(&mut self) {
        if !self.audit.ready {
            self.settle_readiness();
        }
        if !self.audit.private_up || self.now.ms < self.audit.next_at {
            return;
        }
        self.audit.next_at = self.now.ms + EVERY_MS;
        self.out.push(Effect::PullPositions);
    }

    /// Compares the sum of the agents' positions with the venue's net position.
    ///
    /// Fills may be under way, so a difference is looked at again after the missing executions were
    /// asked for and have come; one that stays while nothing is booked is an alarm with both sides.
    pub(in crate::execution) fn compare_positions(&mut self, venue: &BTreeMap<Symbol, Decimal>) {
        self.audit.positions_seen = true;
        let mut symbols: BTreeSet<Symbol> = venue.keys().cloned().collect();
        symbols.extend(self.ledger.positions().map(|((_, symbol), _)| symbol.clone()));
        symbols.extend(self.audit.suspicions.keys().cloned());
        symbols.extend(self.audit.alarmed.keys().cloned());
        // A flat symbol may hold an order that is gone.
        symbols.extend(self.orders.symbols().cloned());
        let mut look_again = false;
        for symbol in symbols {
            let agents = self.ledger.net(&symbol);
            let at_venue = venue.get(&symbol).copied().unwrap_or_default();
            if agents == at_venue {
                self.audit.suspicions.remove(&symbol);
                self.bury_missing(&symbol);
                if self.audit.alarmed.remove(&symbol).is_some() {
                    let text = format!("{symbol}: agents and venue agree again on {agents}");
                    self.alarm("reconcile_agrees", text, None, Some(symbol));
                }
                continue;
            }
            look_again |= self.suspect(&symbol, agents, at_venue);
        }
        if look_again {
            self.audit.next_at = self.now.ms + AGAIN_MS;
            // A new pull would take the place of the one under way and begin from its first page.
            let since_ts = self.pull_from().filter(|_| !self.audit.pulling);
            if let Some(since_ts) = since_ts {
                self.pull_executions(since_ts);
            }
        }
        self.settle_readiness();
    }

    fn suspect(&mut self, symbol: &Symbol, agents: Decimal, venue: Decimal) -> bool {
        let bookings = self.audit.bookings.get(symbol).copied().unwrap_or_default();
        let before = self.audit.suspicions.get(symbol).cloned();
        let looks = before.as_ref().map_or(1, |suspicion| suspicion.looks + 1);
        let still = before.is_some_and(|suspicion| {
            suspicion.agents == agents && suspicion.venue == venue && suspicion.bookings == bookings
        });
        // The pull under way may bring what explains the difference.
        let still = still && !self.audit.pulling;
        self.audit.suspicions.insert(symbol.clone(), Suspicion { looks, agents, venue, bookings });
        if !still && looks < PATIENCE {
            return true;
        }
        if self.audit.alarmed.get(symbol) == Some(&(agents, venue)) {
            return false;
        }
        self.audit.alarmed.insert(symbol.clone(), (agents, venue));
        let parts: Vec<String> = self
            .ledger
            .positions()
            .filter(|((_, held), _)| held == symbol)
            .map(|((agent, _), position)| format!("{agent} {}", position.qty.normalize()))
            .collect();
        let text = format!(
            "{symbol}: agents sum to {} ({}), the venue holds {}; halt and compare the journal with the venue",
            agents.normalize(),
            parts.join(", "),
            venue.normalize()
        );
        self.alarm("reconcile_mismatch", text, None, Some(symbol.clone()));
        false
    }
}
