//! Sending, asking and resending: an order is never lost and never doubled.
//!
//! An order whose fate is not known is asked for under its client order id. If no place at the venue
//! knows it, it is sent again under the same id inside its time to live. Only when the venue can no
//! longer take the last request (its receive window has passed) may it be declared never arrived.

use protocol::wire::{
    event::OrderStatus,
    field::{Side, Symbol, TradingState},
    RejectCode,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{CancelOutcome, CreateOrder, CreateOutcome, Effect, Record},
        journaling::Journaling,
        order::{Order, Origin},
    },
    oms::{rate_limit::Lane, state_machine::Transition},
    protection::reduce_only_capacity,
    Core,
};

/// How long a taken but unseen client order id is asked for before an alarm, ms.
const LANDED_MS: i64 = 60_000;
/// How long, beyond the receive window, an order is missing everywhere before positions decide, ms.
const GONE_MS: i64 = 10_000;
/// How many orders whose time to live ended one step refuses at most.
const EXPIRED_AT_ONCE: usize = 256;

impl Core {
    /// Sends what is allowed to go now, and refuses what waited for too long.
    pub(in crate::execution) fn release(&mut self) {
        if !self.audit.ready {
            return;
        }
        self.orders.settle();
        for link in self.orders.expired(self.market.ms, EXPIRED_AT_ONCE) {
            self.send(&link);
        }
        loop {
            // Without the private stream fills are not seen, and without a live book market time
            // may stand still, so that no time to live ends: only what closes may go.
            let (orders, ledger, quotes) = (&self.orders, &self.ledger, &self.market.quotes);
            // Nor does an entry leave that could not be journaled.
            let entries_go = self.audit.connected && self.journal.condition == Journaling::Whole;
            let open =
                |lane: &Lane| lane.closes || (entries_go && quotes.contains_key(&lane.symbol));
            let may_go = |link: &str| {
                orders.get(link).is_none_or(|order| {
                    !order.intent.reduce_only
                        || reduce_only_capacity::may_leave(order, orders, ledger)
                })
            };
            let Some(link) = self.rates.orders.release(self.now.ms, open, may_go) else { return };
            self.send(&link);
        }
    }

    fn send(&mut self, link: &str) {
        let Some(order) = self.orders.get(link) else { return };
        // The venue may have shown it while it waited for its turn.
        if !order.is_unseen() {
            return;
        }
        if order.cancel_wanted || !self.state_allows(order) {
            self.withdraw(link);
            return;
        }
        if self.market.ms > order.intent.expires_at() {
            if order.sends > 0 {
                self.ask(link, 0);
                return;
            }
            let mut text = format!(
                "time to live ended at {}, market time is {}",
                order.intent.expires_at(),
                self.market.ms
            );
            // Why it did not leave in time.
            if let Some(why) = &order.text {
                text += &format!("; {why}");
            }
            let code = RejectCode::Expired.as_str().to_owned();
            self.transition(link, Transition::Refused { code, text });
            return;
        }
        if order.sends == 0 {
            // No request of it was executed, so it may as well leave with the new terms.
            if let Some(amend) = order.amend.clone() {
                self.transition(link, Transition::Amended(amend.terms));
            }
        }
        let Some(order) = self.orders.get(link) else { return };
        let create = CreateOrder {
            link_id: link.to_owned(),
            symbol: order.intent.symbol.clone(),
            side: order.intent.side,
            kind: order.intent.kind,
            qty: order.terms.qty.as_str().to_owned(),
            price: order.terms.limit_price.as_ref().map(|price| price.as_str().to_owned()),
            reduce_only: self.venue_reduce_only(order),
        };
        let now = self.now.ms;
        if let Some(order) = self.orders.get_mut(link) {
            order.tracking.sent_at = now;
            order.tracking.ask_at = None;
            order.tracking.sending = true;
        }
        if !self.transition(link, Transition::Sent).changed {
            // The journal must know that a request left, or a restart takes it for never sent.
            if let Some(order) = self.orders.get(link) {
                let record = Record::Order(Box::new(order.clone()));
                self.outbox.record(record);
            }
        }
        self.outbox.push(Effect::Create(Box::new(create)));
    }

    /// Whether the trading state lets an order out; Cerebellum's own exits always go.
    pub(in crate::execution) fn state_allows(&self, order: &Order) -> bool {
        let intent = &order.intent;
        match self.risk.states.effective(&intent.agent, &intent.symbol) {
            _ if intent.origin == Origin::Cerebellum => true,
            TradingState::Active => true,
            TradingState::ReduceOnly => intent.reduce_only,
            TradingState::Halted => false,
        }
    }

    /// Whether the venue is asked to enforce reduce-only on its net position.
    ///
    /// Agents' positions net at the venue, so an agent's exit may well make the net position larger.
    /// The flag is set only where it can do no harm: the order makes the net position smaller without
    /// crossing zero, and no other order of the symbol is working that could change it meanwhile.
    fn venue_reduce_only(&self, order: &Order) -> bool {
        if !order.intent.reduce_only {
            return false;
        }
        let net = self.ledger.net(&order.intent.symbol);
        let reducible = match order.intent.side {
            Side::Sell => net,
            Side::Buy => -net,
        };
        let mut beside = self.orders.of_symbol(&order.intent.symbol);
        let alone = beside.all(|other| other.link_id == order.link_id);
        alone && reducible >= order.remaining()
    }

    pub(in crate::execution) fn create_reply(&mut self, link: &str, outcome: CreateOutcome) {
        let now = self.now.ms;
        let Some(order) = self.orders.get_mut(link) else { return };
        order.tracking.sending = false;
        let first = order.sends <= 1;
        match outcome {
            CreateOutcome::Accepted { order_id } => {
                self.transition(link, Transition::Acknowledged { order_id });
            }
            CreateOutcome::Refused { code, text } if first => {
                let code = code.as_str().to_owned();
                self.transition(link, Transition::Refused { code, text });
                self.audit.soon(now);
            }
            // An earlier attempt may have landed, so a refusal of a later one proves nothing.
            CreateOutcome::Refused { text, .. } => {
                self.transition(link, Transition::NoAnswer { text });
                self.ask(link, 0);
            }
            CreateOutcome::Landed => {
                order.tracking.landed = true;
                let text = "the venue holds this client order id already".to_owned();
                self.transition(link, Transition::NoAnswer { text });
                self.ask(link, 0);
            }
            CreateOutcome::NotExecuted { retry_at, text } if first => {
                order.text = Some(text);
                order.sends = 0;
                let cancelled = order.cancel_wanted;
                self.rates.orders.pause_until(retry_at);
                if cancelled {
                    self.withdraw(link);
                } else {
                    self.queue_again(link);
                }
            }
            CreateOutcome::NotExecuted { retry_at, text } => {
                self.rates.orders.pause_until(retry_at);
                self.transition(link, Transition::NoAnswer { text });
                self.ask(link, 100);
            }
            CreateOutcome::Ambiguous { text } => {
                // It was signed some time before this, so the receive window counts from here.
                order.tracking.sent_at = now;
                self.transition(link, Transition::NoAnswer { text });
                self.ask(link, 0);
            }
        }
    }

    pub(in crate::execution) fn queue_again(&mut self, link: &str) {
        let Some(order) = self.orders.get(link) else { return };
        if order.is_terminal() || self.rates.orders.holds(link) {
            return;
        }
        match order.intent.origin {
            Origin::Cerebellum => self.rates.orders.push_exit(link.to_owned()),
            Origin::Arena => {
                self.rates.orders.push(&order.intent.agent, Lane::of(order), link.to_owned())
            }
        }
    }

    pub(in crate::execution) fn cancel_reply(&mut self, link: &str, outcome: CancelOutcome) {
        match outcome {
            CancelOutcome::Accepted => {}
            CancelOutcome::Gone { .. } => self.ask(link, 0),
            CancelOutcome::Retry { .. } => self.ask(link, 500),
        }
    }

    /// Decides about an order that no place at the venue knows.
    pub(in crate::execution) fn not_found(&mut self, link: &str) {
        let now = self.now.ms;
        let (market, window) = (self.market.ms, self.setup.receive_window_ms);
        let Some(order) = self.orders.get_mut(link) else { return };
        if order.is_terminal() {
            return;
        }
        order.tracking.asks = order.tracking.asks.saturating_add(1);
        let asks = order.tracking.asks;
        let taken = order.tracking.landed
            || order.order_id.is_some()
            || order.filled_qty > Decimal::ZERO
            || !matches!(order.status, OrderStatus::Sent | OrderStatus::Unknown);
        if taken {
            self.missing(link);
            return;
        }
        let certain = !order.tracking.sending && now - order.tracking.sent_at > window + 1_000;
        let alive = market <= order.intent.expires_at() && !order.cancel_wanted;
        if alive && asks >= 2 {
            order.tracking.asks = 0;
            self.queue_again(link);
        } else if !alive && certain {
            self.rates.orders.remove(link);
            if order.cancel_wanted {
                let text = "it never arrived at the venue and was withdrawn".to_owned();
                self.transition(link, Transition::Withdrawn { text });
            } else {
                let text = "it never arrived at the venue inside its time to live".to_owned();
                let code = RejectCode::Expired.as_str().to_owned();
                self.transition(link, Transition::Refused { code, text });
            }
        } else {
            self.ask(link, 250);
        }
    }

    /// Watches an order that the venue took and that no place there shows any more.
    ///
    /// It may only lag. After the receive window and [`GONE_MS`] more, positions are fetched; they
    /// decide in [`Core::end_missing`].
    fn missing(&mut self, link: &str) {
        let now = self.now.ms;
        let window = self.setup.receive_window_ms;
        let Some(order) = self.orders.get_mut(link) else { return };
        // The answer to a question older than the order's newest change proves nothing.
        if order.tracking.asked_at < order.tracking.changed_at {
            self.ask(link, 250);
            return;
        }
        let since = *order.tracking.missing_since.get_or_insert(now);
        let shown_before = !matches!(order.status, OrderStatus::Sent | OrderStatus::Unknown);
        let unseen = now - order.tracking.sent_at > LANDED_MS;
        let gone = now - since > window + GONE_MS;
        let alarm = (shown_before || unseen || gone) && !order.tracking.alarmed;
        order.tracking.alarmed |= alarm;
        let wait = 1_000.min(100_i64 << order.tracking.asks.min(10));
        let (agent, symbol) = (Some(order.intent.agent.clone()), Some(order.intent.symbol.clone()));
        let status = order.status.as_str();
        if alarm {
            let (code, text) = if shown_before {
                let text = format!("order {link} is {status} here and unknown at the venue");
                ("order_vanished", text)
            } else {
                let text = format!("the venue took order {link} but shows it nowhere");
                ("order_unseen", text)
            };
            let next = "it ends once positions agree without it; else compare both by hand";
            self.alarm(code, format!("{text}; {next}"), agent, symbol);
        }
        if gone {
            self.audit.soon(now);
        }
        self.ask(link, wait);
    }

    /// Ends orders of a symbol that are gone from every place, now that positions agree without them.
    pub(in crate::execution) fn end_missing(&mut self, symbol: &Symbol) {
        let (now, window) = (self.now.ms, self.setup.receive_window_ms);
        let gone: Vec<String> = self
            .orders
            .of_symbol(symbol)
            .filter(|order| !order.tracking.sending)
            .filter(|order| now - order.tracking.sent_at > window + GONE_MS)
            .filter(|order| {
                order.tracking.missing_since.is_some_and(|since| now - since > window + GONE_MS)
            })
            .map(|order| order.link_id.clone())
            .collect();
        for link in gone {
            let text = "gone from every place at the venue, and positions agree without it";
            self.transition(&link, Transition::Vanished { text: text.to_owned() });
        }
    }
}
