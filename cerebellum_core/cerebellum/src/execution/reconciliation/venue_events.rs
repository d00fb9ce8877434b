//! What the venue reports: replies, order rows, executions.

use protocol::wire::{
    event::{Event, FillEvent, PositionEvent},
    field::V1,
    DecimalText,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{Execution, ExecutionKind, Input, OrderSeen, Record},
        ledger::{Booking, Position},
        order::Intent,
    },
    oms::state_machine::Transition,
    Core,
};

impl Core {
    pub(in crate::execution) fn venue_input(&mut self, input: Input) {
        match input {
            Input::PublicUp => {
                self.audit.public_up = true;
                self.settle_readiness();
            }
            Input::PrivateUp => self.private_up(),
            Input::PrivateDown => self.private_down(),
            Input::CreateReply { link_id, outcome } => self.create_reply(&link_id, outcome),
            Input::CancelReply { link_id, outcome } => self.cancel_reply(&link_id, outcome),
            Input::AmendReply { link_id, outcome } => self.amend_reply(&link_id, outcome),
            Input::OrderSeen(seen) => {
                self.order_seen(seen, false);
                self.drive_exits(None);
            }
            Input::Executions { executions, pulled } => self.executed(&executions, pulled),
            Input::Asked { link_id, seen, executions, complete } => {
                self.asked(&link_id, seen, executions, complete);
                self.drive_exits(None);
            }
            Input::Positions(venue) => self.compare_positions(&venue),
            Input::OpenOrders(orders) => self.review_open_orders(&orders),
            Input::Wallet(balance) => self.audit.wallet = Some(balance),
            Input::Pause(until) => self.rates.pause_until(until),
            Input::ClockDrift { offset_ms } => {
                let text = format!("the venue's clock is {offset_ms} ms ahead of ours; check NTP");
                self.alarm("clock_drift", text, None, None);
            }
            Input::Notice { code, text, symbol } => self.alarm(code, text, None, symbol),
            Input::Recall(mut order) if !self.knows(&order.link_id) => {
                order.tracking.sent_at = self.now.ms;
                order.tracking.terms_at = self.now.ms;
                order.tracking.changed_at = self.now.ms;
                self.remember(*order);
            }
            _ => {}
        }
    }

    fn private_down(&mut self) {
        if self.audit.connected {
            let text = "the private stream is down; entries wait until it is back";
            self.alarm("disconnected", text.to_owned(), None, None);
        }
        self.audit.connected = false;
        self.audit.private_up = false;
        self.audit.pulling = false;
    }

    /// Books executions: rows of the stream, or the answer to a pull of what was missed.
    fn executed(&mut self, executions: &[Execution], pulled: bool) {
        for execution in executions {
            self.execution(execution);
        }
        self.audit.pulled |= pulled;
        self.audit.pulling &= !pulled;
        // Rows of a stream report that nothing older is missing only once its pull is done.
        if self.audit.pulled {
            let newest = executions.iter().map(|execution| execution.exec_ts).max();
            self.executions.newest_ts = self.executions.newest_ts.max(newest);
        }
        self.settle_funding();
        if pulled {
            self.settle_readiness();
        }
        self.drive_exits(None);
    }

    fn asked(
        &mut self,
        link: &str,
        seen: Option<OrderSeen>,
        executions: Vec<Execution>,
        complete: bool,
    ) {
        if let Some(order) = self.orders.get_mut(link) {
            order.tracking.asking = false;
        }
        let found = seen.is_some() || !executions.is_empty();
        if complete && !found {
            self.not_found(link);
        }
        for execution in executions {
            self.execution(&execution);
        }
        if let Some(seen) = seen {
            let settled = self.terms_settled(link);
            self.order_seen(seen, settled);
        }
        if found {
            if let Some(order) = self.orders.get_mut(link) {
                order.tracking.asks = 0;
                order.tracking.landed = true;
                order.tracking.missing_since = None;
            }
        }
        // A place that did not answer may hold what the others lack.
        if complete {
            self.audit.awaiting.remove(link);
            self.settle_readiness();
        } else {
            self.ask(link, 500);
        }
    }

    fn order_seen(&mut self, seen: OrderSeen, settled: bool) {
        let Some(link) = self.link_for(&seen.link_id, &seen.order_id) else {
            // Somebody else's order on this account; the next list of open orders shows it.
            return;
        };
        let mut terms = seen.terms.map(|terms| *terms);
        if let Some(order) = self.orders.get_mut(&link) {
            order.tracking.missing_since = None;
            // Terms may go there and back again, so a row that comes late proves nothing of them.
            if seen.updated_ts < order.tracking.row_ts {
                terms = None;
            }
            order.tracking.row_ts = order.tracking.row_ts.max(seen.updated_ts);
        }
        let transition =
            Transition::Row { order_id: seen.order_id, shown: seen.shown, terms, settled };
        let step = self.transition(&link, transition);
        if step.fills_missing {
            self.ask(&link, 300);
        }
        let cancel = self.orders.get(&link).is_some_and(|order| {
            order.cancel_wanted && !order.is_terminal() && order.venue_end.is_none()
        });
        if cancel {
            self.withdraw(&link);
        }
    }

    pub(in crate::execution) fn link_for(&self, link_id: &str, order_id: &str) -> Option<String> {
        if self.orders.contains(link_id) {
            return Some(link_id.to_owned());
        }
        self.orders.link_of(order_id).cloned()
    }

    fn execution(&mut self, execution: &Execution) {
        if !self.executions.insert(&execution.exec_id) {
            return;
        }
        match &execution.kind {
            ExecutionKind::Funding => {
                self.executions.funding.push((execution.clone(), self.now.ms))
            }
            ExecutionKind::Trade | ExecutionKind::Other(_) => {
                match self.link_for(&execution.link_id, &execution.order_id) {
                    Some(link) => self.fill(&link, execution),
                    None => self.foreign(execution, "belongs to no intent of this journal"),
                }
            }
        }
    }

    fn fill(&mut self, link: &str, execution: &Execution) {
        let Some(order) = self.orders.get(link) else { return };
        let intent = order.intent.clone();
        if intent.symbol != execution.symbol || intent.side != execution.side {
            self.foreign(execution, "differs from its intent in symbol or side");
            return;
        }
        self.publish_fill(link, &intent, execution);
        let before = self.ledger.position(&intent.agent, &intent.symbol).qty;
        let position = self.ledger.book(&Booking {
            agent: intent.agent.clone(),
            symbol: intent.symbol.clone(),
            side: intent.side,
            qty: execution.qty,
            price: execution.price,
            fee: execution.fee,
            exec_ts: execution.exec_ts,
        });
        self.audit.booked(&intent.symbol);
        self.publish_position(&intent, &position);
        self.guard_after_fill(link, before, position.qty);
        let late = self.orders.get(link).and_then(|order| order.close_on_fill.clone());
        if let Some(reason) = late.filter(|_| !position.qty.is_zero()) {
            self.want_exit(&(intent.agent.clone(), intent.symbol.clone()), reason.as_str());
        }
        if let Some(order) = self.orders.get_mut(link) {
            order.tracking.missing_since = None;
            // The fill may be faster than the answer that brings the venue's id.
            if order.order_id.is_none() && !execution.order_id.is_empty() {
                order.order_id = Some(execution.order_id.clone());
            }
        }
        let transition = Transition::Fill { qty: execution.qty, price: execution.price };
        self.transition(link, transition);
        let crossed = before.is_sign_positive() != position.qty.is_sign_positive();
        if crossed || position.qty.abs() < before.abs() {
            self.fit_exits(link, &(intent.agent.clone(), intent.symbol.clone()));
        }
    }

    fn publish_fill(&mut self, link: &str, intent: &Intent, execution: &Execution) {
        let (ts, seq) = self.next_seq();
        let event = FillEvent {
            v: V1,
            ts,
            seq,
            exec_id: execution.exec_id.clone(),
            intent_id: intent.intent_id.clone(),
            order_link_id: link.to_owned(),
            order_id: execution.order_id.clone(),
            agent: intent.agent.clone(),
            version: intent.version.clone(),
            symbol: intent.symbol.clone(),
            side: intent.side,
            qty: DecimalText::from(execution.qty),
            price: DecimalText::from(execution.price),
            fee: DecimalText::from(execution.fee),
            fee_currency: execution.fee_currency.clone(),
            is_maker: execution.is_maker,
            exec_ts: execution.exec_ts,
            reason: intent.reason.clone(),
        };
        self.outbox.record(Record::Fill(Box::new(event.clone())));
        self.publish(Event::Fill(event));
    }

    fn publish_position(&mut self, intent: &Intent, position: &Position) {
        let (ts, seq) = self.next_seq();
        self.publish(Event::Position(PositionEvent {
            v: V1,
            ts,
            seq,
            agent: intent.agent.clone(),
            symbol: intent.symbol.clone(),
            qty: DecimalText::from(position.qty),
            cost: DecimalText::from(position.cost),
        }));
    }

    pub(in crate::execution) fn foreign(&mut self, execution: &Execution, why: &str) {
        self.outbox.record(Record::Foreign(Box::new(execution.clone())));
        let signed = match execution.side {
            protocol::wire::field::Side::Buy => execution.qty,
            protocol::wire::field::Side::Sell => Decimal::ZERO - execution.qty,
        };
        let text = format!(
            "execution {} of {} {} at {} {why}; was the account traded by hand or liquidated?",
            execution.exec_id, signed, execution.symbol, execution.price
        );
        self.alarm("foreign_execution", text, None, Some(execution.symbol.clone()));
    }
}
