//! The state of the core, grouped into parts, and how it begins from what the journal knew.

use std::collections::BTreeMap;

use protocol::wire::{event::OrderStatus, field::Symbol};

use crate::execution::{
    model::{
        day_book::DayBook,
        guard::Guard,
        io::Now,
        journaling::{JournalView, Journaling},
        ledger::{Holding, Ledger},
        limits::Limits,
        market_view::MarketView,
        order::Order,
        orders::Orders,
        trading_state::States,
    },
    oms::{rate_limit::Lane, venue_rates::VenueRates},
    outbox::Outbox,
    protection::protection_state::ProtectionState,
    reconciliation::{audit::Audit, executions::Executions, foreign_orders::ForeignOrders},
    risk::risk_state::RiskState,
};

/// What the core is given once, at the start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The symbols traded here.
    pub symbols: Vec<Symbol>,
    /// The limits.
    pub limits: Limits,
    /// Silence of the arena that trips the dead-man switch, ms; 0 switches it off.
    pub deadman_ms: i64,
    /// Whether a tripped switch also closes positions.
    pub flatten_on_deadman: bool,
    /// How long the venue may still take a request after it was signed, ms.
    pub receive_window_ms: i64,
    /// A text unique to the journal; ids of own intents derive from it.
    pub journal_id: String,
}

/// What the journal knew at the start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Orders that have not ended.
    pub open_orders: Vec<Order>,
    /// Positions and sums.
    pub ledger: Ledger,
    /// Protection.
    pub guards: BTreeMap<Holding, Guard>,
    /// Trading states.
    pub states: States,
    /// Where agents stood at the start of the market day.
    pub day: Option<DayBook>,
    /// Limits that a command set, if the file was not read again since.
    pub limits: Option<Limits>,
    /// The newest event's number.
    pub last_seq: u64,
    /// The newest execution's market time, ms.
    pub last_exec_ts: Option<u64>,
    /// The oldest intent's market time, ms.
    pub first_intent_ts: Option<u64>,
}

/// Everything that decides.
#[derive(Clone, Debug)]
pub struct Core {
    pub(in crate::execution) setup: Setup,
    pub(in crate::execution) now: Now,
    pub(in crate::execution) next_second_at: i64,
    pub(in crate::execution) orders: Orders,
    pub(in crate::execution) ledger: Ledger,
    pub(in crate::execution) market: MarketView,
    pub(in crate::execution) rates: VenueRates,
    pub(in crate::execution) risk: RiskState,
    pub(in crate::execution) protection: ProtectionState,
    pub(in crate::execution) audit: Audit,
    pub(in crate::execution) foreign_orders: ForeignOrders,
    pub(in crate::execution) executions: Executions,
    pub(in crate::execution) journal: JournalView,
    pub(in crate::execution) outbox: Outbox,
}

impl Core {
    /// A core with what the journal knew.
    #[must_use]
    pub fn new(setup: Setup, recovered: Recovered, now: Now) -> Self {
        let mut core = Self {
            now,
            next_second_at: 0,
            orders: Orders::default(),
            ledger: recovered.ledger,
            market: MarketView::default(),
            rates: VenueRates::new(setup.limits.venue.orders_per_second as usize),
            risk: RiskState::new(recovered.states, recovered.day),
            protection: ProtectionState::new(recovered.guards),
            audit: Audit::default(),
            foreign_orders: ForeignOrders::default(),
            executions: Executions::since(recovered.last_exec_ts),
            journal: JournalView {
                condition: Journaling::default(),
                first_intent_ts: recovered.first_intent_ts,
            },
            outbox: Outbox::after(recovered.last_seq),
            setup,
        };
        // Whoever gave orders before may have died together with this process.
        let had_arena = core.journal.first_intent_ts.is_some()
            || !recovered.open_orders.is_empty()
            || core.ledger.positions().next().is_some();
        if had_arena {
            core.protection.note_heartbeat(now.ms);
        }
        for order in recovered.open_orders {
            core.recover(order);
        }
        if let Some(limits) = recovered.limits {
            core.restore_limits(limits);
        }
        core
    }

    /// Takes up an order that the journal holds as open.
    fn recover(&mut self, mut order: Order) {
        // When it was last sent is not known: the venue may still take it for a whole window.
        order.tracking.sent_at = self.now.ms;
        order.tracking.changed_at = self.now.ms;
        order.tracking.terms_at = self.now.ms;
        if order.amend.as_ref().is_some_and(|amend| !amend.sent) {
            let link = order.link_id.clone();
            self.rates.amends.push(&order.intent.agent, Lane::of(&order), link);
        }
        // That a request leaves is journaled before: one that is pending never left.
        let waits = order.status == OrderStatus::Pending && order.is_unsent();
        if order.is_unseen() && !waits {
            order.status = OrderStatus::Unknown;
        }
        let link = order.link_id.clone();
        self.remember(order);
        if waits {
            self.queue_again(&link);
        }
    }
}
