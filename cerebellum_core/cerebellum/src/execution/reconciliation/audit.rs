//! Where the reconciliation with the venue stands.

use std::collections::{BTreeMap, BTreeSet};

use protocol::wire::field::Symbol;
use rust_decimal::Decimal;

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
    /// Orders whose fate was asked for and not yet reported.
    pub awaiting: BTreeSet<String>,
    /// When positions are fetched next, ms.
    pub next_at: i64,
    /// The wallet balance of the settle coin.
    pub wallet: Option<Decimal>,
    pub(super) bookings: BTreeMap<Symbol, u64>,
    pub(super) suspicions: BTreeMap<Symbol, Suspicion>,
    pub(super) alarmed: BTreeMap<Symbol, (Decimal, Decimal)>,
}

/// A difference that may yet be explained.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub(super) comparisons: u32,
    pub(super) agents: Decimal,
    pub(super) venue: Decimal,
    pub(super) bookings: u64,
}

impl Audit {
    /// Counts a booking, so that a comparison knows that positions moved.
    pub(in crate::execution) fn booked(&mut self, symbol: &Symbol) {
        *self.bookings.entry(symbol.clone()).or_default() += 1;
    }

    /// Asks for a comparison soon.
    pub(in crate::execution) fn soon(&mut self, now: i64) {
        self.next_at = self.next_at.min(now + 500);
    }
}
