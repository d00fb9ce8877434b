//! Readiness after a connect: what was missed is fetched before intents are taken.

use protocol::wire::event::OrderStatus;

use crate::execution::{
    model::{io::Effect, order::Order},
    Core,
};

/// How often positions are compared, ms.
const EVERY_MS: i64 = 30_000;
/// How far behind the newest execution a pull begins, market ms.
const OVERLAP_MS: u64 = 60_000;
/// The same for the first pull after a start, market ms: answers about single orders are booked too
/// while the stream is down, so the newest booked execution does not show what else is missing.
const START_OVERLAP_MS: u64 = 86_400_000;

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
        if self.market.instruments.is_empty() || lost || (audit.ready && audit.connected) {
            return None;
        }
        let mut parts = Vec::new();
        if !audit.public_up {
            parts.push("the public streams".to_owned());
        }
        if self.market.ms == 0 {
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
        // What waits for its turn, or is in flight, is not asked for; before the first readiness
        // nothing is in flight.
        let is_asked_for = |order: &&Order| {
            let in_flight = ready && (order.sends == 0 || order.tracking.sending);
            order.status != OrderStatus::Pending && !in_flight
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
            let delay_ms = i64::from(!self.rates.queries.take(self.now.ms));
            self.ask(&link, delay_ms);
        }
        self.outbox.push(Effect::PullPositions);
        self.audit.next_at = self.now.ms + EVERY_MS;
        self.pull_open_orders();
    }

    pub(super) fn pull_executions(&mut self, since_ts: u64) {
        self.audit.pulling = true;
        self.outbox.push(Effect::PullExecutions { since_ts });
    }

    pub(super) fn pull_from(&self) -> Option<u64> {
        let newest = self.executions.newest_ts.or(self.journal.first_intent_ts)?;
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
        if !audit.ready && audit.public_up && self.market.ms > 0 {
            audit.ready = true;
            self.outbox.push(Effect::Ready);
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
        self.outbox.push(Effect::PullPositions);
    }
}
