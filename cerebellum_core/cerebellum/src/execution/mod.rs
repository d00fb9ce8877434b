//! The pure core: (state, input) -> (state, effects).
//!
//! No socket, file or clock is touched here. The engine hands in what arrived and what time it is,
//! writes the journal's rows before it lets any other effect out, and does what the effects say.

/// Orders, positions, instruments, limits, and what goes in and out.
pub mod model;
/// From an intent to the venue's last word on its order.
pub mod oms;
/// Guards and the exits that they ask for.
pub mod protection;
/// The venue's word against ours.
pub mod reconciliation;
/// What an intent must pass, and what stops everybody.
pub mod risk;
/// Views of the state for the wire.
mod views;

#[cfg(test)]
mod chaos_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod races_tests;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use protocol::wire::{
    event::{Event, OrderEvent, OrderStatus, OrderView, RiskEvent},
    field::{Name, Symbol, V1},
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        day_book::DayBook,
        guard::Guard,
        io::{Effect, Execution, Input, Now, Record},
        journaling::Journaling,
        ledger::{Holding, Ledger},
        limits::Limits,
        market::{Instrument, Quote},
        order::Order,
        orders::Orders,
        trading_state::States,
    },
    oms::{
        rate_limit::{Budget, Lane, Pacer},
        state_machine::Happened,
    },
    reconciliation::{audit::Audit, foreign_orders::Strangers},
};

/// How many finished orders and executions are remembered outside the journal.
const REMEMBERED: usize = 4096;

/// What the core is told once, at the start.
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
    setup: Setup,
    orders: Orders,
    ledger: Ledger,
    guards: BTreeMap<Holding, Guard>,
    states: States,
    day: Option<DayBook>,
    unmarked: BTreeSet<Symbol>,
    instruments: BTreeMap<Symbol, Instrument>,
    quotes: BTreeMap<Symbol, Quote>,
    pacer: Pacer,
    amends: Pacer,
    asks: Budget,
    cancels: Budget,
    submits: BTreeMap<Name, VecDeque<i64>>,
    seen_executions: HashSet<String>,
    seen_order: VecDeque<String>,
    seq: u64,
    market_ms: u64,
    wallet: Option<Decimal>,
    audit: Audit,
    strangers: Strangers,
    journaling: Journaling,
    heartbeat_at: Option<i64>,
    deadman_tripped: bool,
    last_exec_ts: Option<u64>,
    first_intent_ts: Option<u64>,
    funding: Vec<(Execution, i64)>,
    next_second_at: i64,
    now: Now,
    out: Vec<Effect>,
}

impl Core {
    /// A core with what the journal knew.
    #[must_use]
    pub fn new(setup: Setup, recovered: Recovered, now: Now) -> Self {
        let pacer = Pacer::new(setup.limits.venue.orders_per_second as usize);
        // The venue counts amends apart from new orders.
        let amends = pacer.clone();
        let mut core = Self {
            orders: Orders::default(),
            ledger: recovered.ledger,
            guards: recovered.guards,
            states: recovered.states,
            day: recovered.day,
            unmarked: BTreeSet::new(),
            instruments: BTreeMap::new(),
            quotes: BTreeMap::new(),
            pacer,
            amends,
            asks: Budget::new(3, 100),
            cancels: Budget::new(10, 1_000),
            submits: BTreeMap::new(),
            seen_executions: HashSet::new(),
            seen_order: VecDeque::new(),
            seq: recovered.last_seq,
            market_ms: 0,
            wallet: None,
            audit: Audit::default(),
            strangers: Strangers::default(),
            journaling: Journaling::default(),
            heartbeat_at: None,
            deadman_tripped: false,
            last_exec_ts: recovered.last_exec_ts,
            first_intent_ts: recovered.first_intent_ts,
            funding: Vec::new(),
            next_second_at: 0,
            now,
            out: Vec::new(),
            setup,
        };
        // Whoever gave orders before may have died together with this process.
        let heard_before = core.first_intent_ts.is_some()
            || !recovered.open_orders.is_empty()
            || core.ledger.positions().next().is_some();
        if heard_before {
            core.heard_arena();
        }
        for mut order in recovered.open_orders {
            // When it was last sent is not known: the venue may still take it for a whole window.
            order.care.sent_at = now.ms;
            order.care.changed_at = now.ms;
            order.care.terms_at = now.ms;
            if order.amend.as_ref().is_some_and(|amend| !amend.sent) {
                core.amends.push(&order.intent.agent, Lane::of(&order), order.link_id.clone());
            }
            // That a request leaves is journaled before: one that is pending never left.
            let waits = order.status == OrderStatus::Pending && order.is_unsent();
            if order.is_unseen() && !waits {
                order.status = OrderStatus::Unknown;
            }
            let link = order.link_id.clone();
            core.remember(order);
            if waits {
                core.queue_again(&link);
            }
        }
        if let Some(limits) = recovered.limits {
            core.keep_limits(limits);
        }
        core
    }

    /// Takes one input and returns what is to be done, in order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.now = now;
        match input {
            Input::Command { client, command, recorded } => {
                self.command(client, *command, recorded.map(|order| *order));
            }
            Input::Tick => self.tick(),
            Input::Quote { symbol, quote, ts } => {
                self.saw_market_time(ts);
                self.quotes.insert(symbol.clone(), quote);
                self.drive_exits(Some(&symbol));
            }
            Input::BookStale { symbol } => {
                self.quotes.remove(&symbol);
            }
            Input::MarketTime(ts) => {
                self.saw_market_time(ts);
                self.drive_exits(None);
            }
            Input::VenueTime(ts) => self.heard_venue_time(ts),
            Input::Limits(limits) => self.take_limits(*limits),
            Input::Journal(journaling) => self.journal_is(journaling),
            Input::Instruments(instruments) => self.instruments = instruments,
            other => self.venue_input(other),
        }
        if !self.audit.connected {
            self.settle_readiness();
        }
        self.release();
        self.release_amends();
        self.orders.settle();
        std::mem::take(&mut self.out)
    }

    /// Whether the order is in memory; if not, the journal must be asked before `step`.
    #[must_use]
    pub fn knows(&self, link_id: &str) -> bool {
        self.orders.contains(link_id)
    }

    /// The client order id that belongs to a venue's order id, if it is in memory.
    #[must_use]
    pub fn link_of_order_id(&self, order_id: &str) -> Option<&str> {
        self.orders.link_of(order_id).map(String::as_str)
    }

    /// Whether an execution is already booked, as far as memory reaches.
    #[must_use]
    pub fn has_booked(&self, exec_id: &str) -> bool {
        self.seen_executions.contains(exec_id)
    }

    /// The newest event's number.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.seq
    }

    /// The latest market time, ms; 0 before any market data.
    #[must_use]
    pub fn market_ms(&self) -> u64 {
        self.market_ms
    }

    /// How many orders wait for their turn at the venue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pacer.len()
    }

    /// Milliseconds until the next tick is worth its while.
    #[must_use]
    pub fn patience_ms(&self) -> i64 {
        if self.pacer.is_empty() {
            100
        } else {
            10
        }
    }

    fn tick(&mut self) {
        self.check_deadman();
        self.care_for_orders();
        self.audit_when_due();
        self.watch_strangers();
        self.settle_funding();
        if self.now.ms >= self.next_second_at {
            self.next_second_at = self.now.ms + 1000;
            self.watch_daily_loss();
            self.drive_exits(None);
            // Agents that were silent for a while are not counted any more.
            let since = self.now.ms - 1000;
            self.submits.retain(|_, times| times.back().is_some_and(|at| *at > since));
        }
    }

    fn saw_market_time(&mut self, ts: u64) {
        self.market_ms = self.market_ms.max(ts);
    }

    /// The private stream's clock drives deadlines on while no public book does.
    fn heard_venue_time(&mut self, ts: u64) {
        if !self.quotes.is_empty() {
            return;
        }
        if let Ok(ts) = model::market::believe(ts, "the venue's time") {
            self.saw_market_time(ts);
            self.drive_exits(None);
        }
    }

    /// Puts an order into memory.
    fn remember(&mut self, order: Order) {
        self.orders.insert(order, REMEMBERED);
    }

    /// Moves an order, journals the move and tells it.
    fn happen(&mut self, link_id: &str, happened: Happened) -> oms::state_machine::Step {
        let now = self.now.ms;
        let Some(order) = self.orders.get_mut(link_id) else {
            return oms::state_machine::Step::default();
        };
        let was_terminal = order.is_terminal();
        let step = oms::state_machine::advance(order, happened);
        if step.changed {
            order.care.changed_at = now;
        }
        if step.terms_changed {
            order.care.terms_at = now;
        }
        if order.amend.is_none() {
            self.amends.remove(link_id);
        }
        let is_terminal = order.is_terminal();
        self.orders.refresh(link_id);
        if is_terminal && !was_terminal {
            self.pacer.remove(link_id);
            self.audit.awaiting.remove(link_id);
        }
        if step.changed {
            self.tell_order(link_id);
        }
        if let Some(oddity) = &step.oddity {
            let (agent, symbol) = self.owner(link_id);
            let text = format!("order {link_id}: {oddity}; compare the journal with the venue");
            self.alarm("impossible_transition", text, agent, symbol);
        }
        if is_terminal && !was_terminal {
            self.exit_ended(link_id);
        }
        step
    }

    fn owner(&self, link_id: &str) -> (Option<Name>, Option<Symbol>) {
        self.orders.get(link_id).map_or((None, None), |order| {
            (Some(order.intent.agent.clone()), Some(order.intent.symbol.clone()))
        })
    }

    fn tell_order(&mut self, link_id: &str) {
        let Some(order) = self.orders.get(link_id) else { return };
        let (record, view) = (Record::Order(Box::new(order.clone())), order.view());
        self.out.push(Effect::Record(record));
        self.tell_view(view);
    }

    fn tell_view(&mut self, order: OrderView) {
        let (ts, seq) = self.next_seq();
        self.tell(Event::Order(OrderEvent { v: V1, ts, seq, order }));
    }

    fn next_seq(&mut self) -> (u64, u64) {
        self.seq += 1;
        (self.market_ms, self.seq)
    }

    fn tell(&mut self, event: Event) {
        self.out.push(Effect::Event(Box::new(event)));
    }

    fn alarm(&mut self, code: &str, text: String, agent: Option<Name>, symbol: Option<Symbol>) {
        let (ts, seq) = self.next_seq();
        self.tell(Event::Risk(RiskEvent {
            v: V1,
            ts,
            seq,
            code: code.to_owned(),
            text,
            agent,
            symbol,
        }));
    }
}
