//! What an operator sees of events without reading the journal.

use protocol::wire::event::Event;

/// What an operator wants to see of an event without reading the journal.
pub(super) fn note(event: &Event) {
    metrics::counter!("cerebellum_events_total", "type" => event.kind()).increment(1);
    match event {
        Event::Risk(risk) => tracing::warn!(code = risk.code, text = risk.text, "risk"),
        Event::State(state) => {
            tracing::warn!(state = ?state.state, reason = %state.reason, "state");
        }
        Event::Order(event) => tracing::debug!(
            order = event.order.order_link_id,
            status = event.order.status.as_str(),
            "order"
        ),
        Event::Fill(fill) => tracing::debug!(
            exec_id = fill.exec_id,
            order = fill.order_link_id,
            qty = %fill.qty,
            price = %fill.price,
            "fill"
        ),
        Event::Funding(_) | Event::Position(_) => {}
    }
}
