//! The comparison of the agents' sum with the venue.

use std::collections::{BTreeMap, BTreeSet};

use protocol::wire::field::Symbol;
use rust_decimal::Decimal;

use crate::execution::{reconciliation::audit::Suspicion, Core};

/// How soon a difference is looked at again, ms.
const AGAIN_MS: i64 = 2_000;
/// After how many comparisons a difference is an alarm even if fills keep coming.
const PATIENCE: u32 = 10;

impl Core {
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
                self.end_missing(&symbol);
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
        let comparisons = before.as_ref().map_or(1, |suspicion| suspicion.comparisons + 1);
        let still = before.is_some_and(|suspicion| {
            suspicion.agents == agents && suspicion.venue == venue && suspicion.bookings == bookings
        });
        // The pull under way may bring what explains the difference.
        let still = still && !self.audit.pulling;
        self.audit
            .suspicions
            .insert(symbol.clone(), Suspicion { comparisons, agents, venue, bookings });
        if !still && comparisons < PATIENCE {
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
