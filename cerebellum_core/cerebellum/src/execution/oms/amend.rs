//! Changing the terms of an order: journaled, then sent, then believed only when the venue shows it.
//!
//! From the request until a row of the venue shows which terms hold, both may: exposure counts the
//! larger quantity, and no fill alone is taken for the end. A lost answer is resolved by asking; old
//! terms prove that the amend never arrived only once the venue can no longer take the request.

use protocol::wire::{
    command::Amend as AmendCommand, event::OrderStatus, field::Kind, reply::AckStatus, ErrorCode,
    RejectCode,
};

use crate::execution::{
    model::{
        io::{AmendOutcome, Client, Effect, Record},
        journaling::Journaling,
        order::{link_id, Order, Origin, Terms},
    },
    oms::{rate_limit::Lane, state_machine::Transition},
    risk::checks::{self, Refusal},
    Core,
};

/// How much longer than its request could be taken a row of the venue must be younger, ms.
const SETTLED_MS: i64 = 1_000;

impl Core {
    pub(in crate::execution) fn amend(
        &mut self,
        client: Client,
        amend: &AmendCommand,
        recorded: Option<Order>,
    ) {
        self.protection.note_heartbeat(self.now.ms);
        let link = link_id(&amend.intent_id);
        let (request, id) = (amend.request_id.clone(), Some(amend.intent_id.clone()));
        if amend.qty.is_none() && amend.limit_price.is_none() {
            let text = "amend: qty and limit_price are both null; give what is to change";
            self.error(client, request, ErrorCode::BadField, text.to_owned());
            return;
        }
        let known = self.orders.get(&link).cloned().or(recorded);
        let owned = known.filter(|order| order.intent.agent == amend.agent);
        let Some(order) = owned else {
            let text = format!(
                "no intent {} of {} in the journal; check both",
                amend.intent_id, amend.agent
            );
            let code = Some(RejectCode::UnknownIntent);
            self.ack(client, request, id, AckStatus::Rejected, code, text, None);
            return;
        };
        let wanted = Terms {
            qty: amend.qty.clone().unwrap_or_else(|| order.terms.qty.clone()),
            limit_price: amend.limit_price.clone().or_else(|| order.terms.limit_price.clone()),
        };
        let coming = order.amend.as_ref().map_or(&order.terms, |in_flight| &in_flight.terms);
        if coming.same(&wanted) && !order.is_terminal() {
            let (text, view) = (format!("it is {wanted} already, or will be"), Some(order.view()));
            self.ack(client, request, id, AckStatus::Duplicate, None, text, view);
            return;
        }
        if let Err((code, text)) = self.check_amend(&order, &wanted) {
            let view = Some(order.view());
            self.ack(client, request, id, AckStatus::Rejected, Some(code), text, view);
            return;
        }
        self.risk.count_submit(&order.intent.agent, self.now.ms);
        if order.sends == 0 && !order.tracking.sending {
            self.transition(&link, Transition::Amended(wanted));
        } else {
            self.transition(&link, Transition::AmendWanted(wanted));
            self.rates.amends.push(&order.intent.agent, Lane::of(&order), link);
        }
        self.accept(client, request, id, "journaled");
    }

    fn check_amend(&self, order: &Order, wanted: &Terms) -> Result<(), Refusal> {
        let never = |text: &str| Err((RejectCode::NotAmendable, text.to_owned()));
        if order.is_terminal() {
            let text = format!("the order is {} already", order.status.as_str());
            return Err((RejectCode::OrderEnded, text));
        }
        if !self.audit.ready || !self.audit.connected {
            let text = "not reconciled with the venue; send it again in a moment";
            return Err((RejectCode::NotReady, text.to_owned()));
        }
        if let Some(why) = self.journal_trouble().filter(|_| !order.intent.reduce_only) {
            return Err((RejectCode::JournalUnwritable, why));
        }
        if order.intent.kind == Kind::Market || order.intent.origin == Origin::Cerebellum {
            return never("only a limit order of an agent has terms that can change");
        }
        if order.cancel_wanted || order.venue_end.is_some() {
            return never("the order is being cancelled or has ended at the venue");
        }
        if order.amend.is_some() {
            return never(
                "another amend of it is on its way; wait for the order event that ends it",
            );
        }
        let most = self.setup.limits.venue.max_waiting;
        if self.rates.amends.len() >= most as usize {
            let text = format!("{most} amends wait already; send it again later");
            return Err((RejectCode::TooManyWaiting, text));
        }
        let mut intent = crate::execution::model::order::Intent::clone(&order.intent);
        intent.qty = wanted.qty.clone();
        intent.limit_price = wanted.limit_price.clone();
        checks::check(&intent, &self.context(&intent, Some(order)))
    }

    /// Sends the amends whose turn it is, of orders that rest.
    pub(in crate::execution) fn release_amends(&mut self) {
        if !self.audit.ready || self.rates.amends.is_empty() {
            return;
        }
        loop {
            let (orders, connected) = (&self.orders, self.audit.connected);
            let whole = self.journal.condition == Journaling::Whole;
            let may_go = |link: &str| {
                orders.get(link).is_some_and(|order| {
                    (whole || order.intent.reduce_only)
                        && matches!(order.status, OrderStatus::New | OrderStatus::PartiallyFilled)
                        && order.venue_end.is_none()
                })
            };
            let next = self.rates.amends.release(self.now.ms, |_| connected, may_go);
            let Some(link) = next else { return };
            self.send_amend(&link);
        }
    }

    fn send_amend(&mut self, link: &str) {
        let now = self.now.ms;
        let Some(order) = self.orders.get(link) else { return };
        if !self.state_allows(order) {
            self.withdraw(link);
            return;
        }
        let Some(order) = self.orders.get_mut(link) else { return };
        let old = order.terms.clone();
        let Some(amend) = order.amend.as_mut().filter(|amend| !amend.sent) else { return };
        let new = amend.terms.clone();
        if new.qty.value() <= order.filled_qty {
            let text = format!("{} was filled before the amend to {new} left", order.filled_qty);
            self.transition(link, Transition::AmendRefused { text });
            return;
        }
        amend.sent = true;
        order.tracking.amending = true;
        order.tracking.terms_at = now;
        let symbol = order.intent.symbol.clone();
        let price = |terms: &Terms| terms.limit_price.as_ref().map(|price| price.value());
        let qty = (new.qty.value() != old.qty.value()).then(|| new.qty.as_str().to_owned());
        let moved = price(&new) != price(&old);
        let price = new.limit_price.filter(|_| moved).map(|price| price.as_str().to_owned());
        let record = Record::Order(Box::new(order.clone()));
        self.outbox.record(record);
        self.outbox.push(Effect::Amend { link_id: link.to_owned(), symbol, qty, price });
    }

    pub(in crate::execution) fn amend_reply(&mut self, link: &str, outcome: AmendOutcome) {
        let now = self.now.ms;
        let Some(order) = self.orders.get_mut(link) else { return };
        order.tracking.amending = false;
        let cancelled = order.cancel_wanted;
        // A row may have reported the outcome before the answer came.
        let Some(amend) = order.amend.as_mut().filter(|amend| amend.sent) else { return };
        match outcome {
            AmendOutcome::Accepted => {}
            AmendOutcome::Refused { text } => {
                let text = format!("the venue refused the amend to {}: {text}", amend.terms);
                self.transition(link, Transition::AmendRefused { text });
                self.ask(link, 0);
            }
            AmendOutcome::NotExecuted { text, .. } if cancelled => {
                self.transition(link, Transition::AmendRefused { text });
            }
            AmendOutcome::NotExecuted { retry_at, .. } => {
                amend.sent = false;
                self.rates.amends.pause_until(retry_at);
                self.rates.amends.push(&order.intent.agent, Lane::of(order), link.to_owned());
                let record = Record::Order(Box::new(order.clone()));
                self.outbox.record(record);
            }
            AmendOutcome::Ambiguous { .. } => {
                order.tracking.terms_at = now;
                self.ask(link, 0);
            }
        }
    }

    /// Whether an answer about an order, asked for when it was, reports its terms for good.
    pub(in crate::execution) fn terms_settled(&self, link: &str) -> bool {
        self.orders.get(link).is_some_and(|order| {
            let tracking = &order.tracking;
            let sent = order.amend.as_ref().is_some_and(|amend| amend.sent);
            let window = if sent { self.setup.receive_window_ms } else { 0 };
            !tracking.amending && tracking.asked_at - tracking.terms_at > window + SETTLED_MS
        })
    }
}
