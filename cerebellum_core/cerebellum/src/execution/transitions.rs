//! Transitions of orders: applied, journaled, published, and followed by what depends on them.

use protocol::wire::{
    event::{Event, OrderEvent, OrderView, RiskEvent},
    field::{Name, Symbol, V1},
};

use crate::execution::{
    model::{io::Record, order::Order},
    oms::state_machine::{advance, Step, Transition},
    Core,
};

/// How many finished orders are remembered outside the journal.
const REMEMBERED: usize = 4096;

impl Core {
    /// Puts an order into memory.
    pub(in crate::execution) fn remember(&mut self, order: Order) {
        self.orders.insert(order, REMEMBERED);
    }

    /// Applies a transition to an order, journals the transition and publishes it.
    pub(in crate::execution) fn transition(
        &mut self,
        link_id: &str,
        transition: Transition,
    ) -> Step {
        let now = self.now.ms;
        let Some(order) = self.orders.get_mut(link_id) else {
            return Step::default();
        };
        let was_terminal = order.is_terminal();
        let step = advance(order, transition);
        if step.changed {
            order.tracking.changed_at = now;
        }
        if step.terms_changed {
            order.tracking.terms_at = now;
        }
        if order.amend.is_none() {
            self.rates.amends.remove(link_id);
        }
        let is_terminal = order.is_terminal();
        self.orders.refresh(link_id);
        if is_terminal && !was_terminal {
            self.rates.orders.remove(link_id);
            self.audit.awaiting.remove(link_id);
        }
        if step.changed {
            self.publish_order(link_id);
        }
        if let Some(anomaly) = &step.anomaly {
            let (agent, symbol) = self.owner(link_id);
            let text = format!("order {link_id}: {anomaly}; compare the journal with the venue");
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

    fn publish_order(&mut self, link_id: &str) {
        let Some(order) = self.orders.get(link_id) else { return };
        let (record, view) = (Record::Order(Box::new(order.clone())), order.view());
        self.outbox.record(record);
        self.publish_view(view);
    }

    pub(in crate::execution) fn publish_view(&mut self, order: OrderView) {
        let (ts, seq) = self.next_seq();
        self.publish(Event::Order(OrderEvent { v: V1, ts, seq, order }));
    }

    pub(in crate::execution) fn next_seq(&mut self) -> (u64, u64) {
        (self.market.ms, self.outbox.next_seq())
    }

    pub(in crate::execution) fn publish(&mut self, event: Event) {
        self.outbox.publish(event);
    }

    pub(in crate::execution) fn alarm(
        &mut self,
        code: &str,
        text: String,
        agent: Option<Name>,
        symbol: Option<Symbol>,
    ) {
        let (ts, seq) = self.next_seq();
        self.publish(Event::Risk(RiskEvent {
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
