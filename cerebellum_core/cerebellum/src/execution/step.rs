//! One step of the core: (state, input) -> (state, effects).

use crate::execution::{
    model::{
        io::{Effect, Input, Now},
        market::believe,
    },
    Core,
};

impl Core {
    /// Takes one input and returns what is to be done, in order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.now = now;
        match input {
            Input::Command { client, command, recorded } => {
                self.command(client, *command, recorded.map(|order| *order));
            }
            Input::Tick => self.tick(),
            Input::Quote { symbol, quote, ts } => {
                self.market.advance_to(ts);
                self.market.quotes.insert(symbol.clone(), quote);
                self.drive_exits(Some(&symbol));
            }
            Input::BookStale { symbol } => {
                self.market.quotes.remove(&symbol);
            }
            Input::MarketTime(ts) => {
                self.market.advance_to(ts);
                self.drive_exits(None);
            }
            Input::VenueTime(ts) => self.receive_venue_time(ts),
            Input::Limits(limits) => self.reload_limits(*limits),
            Input::Journal(journaling) => self.set_journaling(journaling),
            Input::Instruments(instruments) => self.market.instruments = instruments,
            other => self.venue_input(other),
        }
        if !self.audit.connected {
            self.settle_readiness();
        }
        self.release();
        self.release_amends();
        self.orders.settle();
        self.outbox.take()
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
        self.executions.contains(exec_id)
    }

    /// The newest event's number.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.outbox.seq()
    }

    /// The latest market time, ms; 0 before any market data.
    #[must_use]
    pub fn market_ms(&self) -> u64 {
        self.market.ms
    }

    /// How many orders wait for their turn at the venue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rates.orders.len()
    }

    /// Milliseconds until the next tick is worth its while.
    #[must_use]
    pub fn patience_ms(&self) -> i64 {
        if self.rates.orders.is_empty() {
            100
        } else {
            10
        }
    }

    fn tick(&mut self) {
        self.check_deadman();
        self.track_orders();
        self.audit_when_due();
        self.watch_foreign_orders();
        self.settle_funding();
        if self.now.ms >= self.next_second_at {
            self.next_second_at = self.now.ms + 1000;
            self.watch_daily_loss();
            self.drive_exits(None);
            // Agents that were silent for a while are not counted any more.
            self.risk.forget_silent(self.now.ms);
        }
    }

    /// The private stream's clock drives deadlines on while no public book does.
    fn receive_venue_time(&mut self, ts: u64) {
        if !self.market.quotes.is_empty() {
            return;
        }
        if let Ok(ts) = believe(ts, "the venue's time") {
            self.market.advance_to(ts);
            self.drive_exits(None);
        }
    }
}
