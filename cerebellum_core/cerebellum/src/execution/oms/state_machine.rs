//! The order state machine: (order, what happened) -> order, and what is anomalous about it.
//!
//! Fills come from executions only; an order reaches its end when the venue has reported the end *and*
//! every execution that the end speaks of has been seen. So whoever sees a terminal order has seen
//! all of its fills. Anything impossible is applied as far as it makes sense and reported.

use protocol::wire::{event::OrderStatus, DecimalText};
use rust_decimal::Decimal;

use crate::execution::model::order::{Amend, Order, Shown, Terms};

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// It is handed to the connection.
    Sent,
    /// The venue took it for processing.
    Acknowledged {
        /// The venue's id.
        order_id: String,
    },
    /// The venue, or Cerebellum at the last moment, refused it.
    Refused {
        /// The code on the wire.
        code: String,
        /// What was reported.
        text: String,
    },
    /// Nobody knows whether the venue has it.
    NoAnswer {
        /// What was seen instead of an answer.
        text: String,
    },
    /// The venue shows the order.
    Row {
        /// The venue's id.
        order_id: String,
        /// Working, or ended.
        shown: Shown,
        /// The terms it shows, if it shows any.
        terms: Option<Terms>,
        /// Whether the row is newer than every request about the terms that the venue may still take.
        settled: bool,
    },
    /// New terms are wanted.
    AmendWanted(Terms),
    /// The terms changed.
    Amended(Terms),
    /// It was not sent yet, and less is left to close than it asks for.
    Cut {
        /// What it asks for now.
        qty: Decimal,
    },
    /// They certainly stay as they are.
    AmendRefused {
        /// What was reported.
        text: String,
    },
    /// An execution of it.
    Fill {
        /// How much.
        qty: Decimal,
        /// At what price.
        price: Decimal,
    },
    /// It was withdrawn before it was ever sent, or it certainly never arrived.
    Withdrawn {
        /// What to report.
        text: String,
    },
    /// The venue took it once and shows it nowhere any more, and positions agree without it.
    Vanished {
        /// What to report.
        text: String,
    },
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether anything that the wire shows is different now.
    pub changed: bool,
    /// Whether the terms are different now.
    pub terms_changed: bool,
    /// What should be impossible.
    pub anomaly: Option<String>,
    /// Whether executions are missing and must be asked for.
    pub fills_missing: bool,
}

/// Applies one transition to an order.
pub fn advance(order: &mut Order, transition: Transition) -> Step {
    let before = (order.status, order.filled_qty, order.order_id.clone());
    let (terms, amend) = (order.terms.clone(), order.amend.clone());
    let mut step = Step::default();
    match transition {
        Transition::Sent => sent(order, &mut step),
        Transition::Acknowledged { order_id } => acknowledged(order, order_id, &mut step),
        Transition::Refused { code, text } => refused(order, code, text, &mut step),
        Transition::NoAnswer { text } => {
            if order.status == OrderStatus::Sent {
                order.status = OrderStatus::Unknown;
                order.text = Some(text);
            }
        }
        Transition::Row { order_id, shown, terms, settled } => {
            if let Some(terms) = terms.filter(|_| order.terms.limit_price.is_some()) {
                let settled = settled || matches!(shown, Shown::Ended(_));
                show_terms(order, terms, settled, &mut step);
            }
            row(order, order_id, shown, &mut step);
        }
        Transition::AmendWanted(terms) => {
            order.text = Some(format!("an amend to {terms} is on its way"));
            order.amend = Some(Amend { terms, sent: false });
        }
        Transition::Amended(terms) => amended(order, terms),
        Transition::Cut { qty } => {
            let newest = order.amend.as_ref().map_or(&order.terms, |amend| &amend.terms);
            let limit_price = newest.limit_price.clone();
            amended(order, Terms { qty: DecimalText::from(qty), limit_price });
            order.text =
                Some(format!("cut to {}, which is what is left to close", qty.normalize()));
        }
        Transition::AmendRefused { text } => {
            if order.amend.take().is_some() {
                order.text = Some(text);
            }
        }
        Transition::Fill { qty, price } => fill(order, qty, price, &mut step),
        Transition::Withdrawn { text } => withdrawn(order, text, &mut step),
        Transition::Vanished { text } => {
            if !order.is_terminal() {
                order.status = OrderStatus::Cancelled;
                order.text = Some(text);
            }
        }
    }
    if order.is_terminal() {
        drop_amend(order);
    }
    step.terms_changed = terms != order.terms;
    step.changed = before != (order.status, order.filled_qty, order.order_id.clone())
        || step.terms_changed
        || amend != order.amend;
    step
}

fn amended(order: &mut Order, terms: Terms) {
    order.terms = terms;
    order.amend = None;
    order.text = None;
}

/// Takes what a row of the venue reports of the terms.
///
/// A row may be older than an amend, so old terms prove nothing until the row is settled.
fn show_terms(order: &mut Order, shown: Terms, settled: bool, step: &mut Step) {
    let sent = order.amend.clone().filter(|amend| amend.sent);
    match sent {
        Some(amend) if amend.terms.same(&shown) => amended(order, amend.terms),
        Some(_) if !settled => {}
        Some(_) if order.terms.same(&shown) => {
            order.amend = None;
            order.text = Some("the amend never arrived; the order is as it was".to_owned());
        }
        // All the fills were faster than the row that shows at what terms.
        _ if settled && order.is_terminal() => order.terms = shown,
        _ if settled && !order.terms.same(&shown) => {
            step.anomaly = Some(format!("the venue holds {shown}, here it is {}", order.terms));
            let waiting = order.amend.take().filter(|amend| !amend.sent);
            amended(order, shown);
            order.amend = waiting;
        }
        _ => {}
    }
}

/// An amend has no meaning after the end; its quantity may have been reached all the same.
fn drop_amend(order: &mut Order) {
    if let Some(amend) = order.amend.take() {
        let reached = order.filled_qty == amend.terms.qty.value();
        let beyond = order.filled_qty != order.terms.qty.value();
        if amend.sent && order.status == OrderStatus::Filled && reached && beyond {
            order.terms = amend.terms;
        }
    }
}

fn sent(order: &mut Order, step: &mut Step) {
    match order.status {
        OrderStatus::Pending | OrderStatus::Unknown | OrderStatus::Sent => {
            order.status = OrderStatus::Sent;
            order.sends = order.sends.saturating_add(1);
        }
        other => step.anomaly = Some(format!("sent while {}", other.as_str())),
    }
}

fn acknowledged(order: &mut Order, order_id: String, step: &mut Step) {
    keep_order_id(order, order_id, step);
    match order.status {
        OrderStatus::Pending | OrderStatus::Unknown => order.status = OrderStatus::Sent,
        OrderStatus::Rejected => {
            step.anomaly = Some("acknowledged after it was rejected".to_owned());
            revive(order);
        }
        _ => {}
    }
}

fn refused(order: &mut Order, code: String, text: String, step: &mut Step) {
    match order.status {
        OrderStatus::Pending | OrderStatus::Sent | OrderStatus::Unknown
            if order.filled_qty.is_zero() =>
        {
            order.status = OrderStatus::Rejected;
            order.code = Some(code);
            order.text = Some(text);
        }
        OrderStatus::Rejected => {}
        other => step.anomaly = Some(format!("refused ({code}: {text}) while {}", other.as_str())),
    }
}

fn row(order: &mut Order, order_id: String, shown: Shown, step: &mut Step) {
    keep_order_id(order, order_id, step);
    match shown {
        Shown::Working => match order.status {
            OrderStatus::Pending | OrderStatus::Sent | OrderStatus::Unknown => {
                order.status = working_status(order);
                order.text = None;
            }
            // Its end was concluded here; the venue knows better.
            OrderStatus::Rejected | OrderStatus::Cancelled if order.venue_end.is_none() => {
                let ended = order.status.as_str();
                step.anomaly = Some(format!("the venue shows it working after it was {ended}"));
                revive(order);
                order.status = working_status(order);
                order.cancel_wanted = true;
            }
            // A row that left the venue before the end did.
            _ => {}
        },
        Shown::Ended(end) => {
            if order.is_terminal() {
                let concluded_here = order.venue_end.is_none();
                let rejected =
                    order.status == OrderStatus::Rejected && end.status != OrderStatus::Rejected;
                if rejected || (concluded_here && end.filled_qty > order.filled_qty) {
                    let (end, ended) = (end.status.as_str(), order.status.as_str());
                    step.anomaly = Some(format!("ended {end} after it was {ended}"));
                    revive(order);
                } else {
                    if end.filled_qty > order.filled_qty {
                        step.anomaly = Some(format!(
                            "the venue counts {} filled, {} were seen before the end",
                            end.filled_qty, order.filled_qty
                        ));
                        step.fills_missing = true;
                    }
                    return;
                }
            }
            order.venue_end = Some(end);
            finish_if_whole(order);
            step.fills_missing = !order.is_terminal();
            if step.fills_missing && order.status != OrderStatus::PartiallyFilled {
                order.status = working_status(order);
            }
        }
    }
}

fn fill(order: &mut Order, qty: Decimal, price: Decimal, step: &mut Step) {
    order.filled_qty += qty;
    order.filled_value += qty * price;
    // While an amend is in flight the venue may hold either quantity; its row shows which is whole.
    let held = order.terms.qty.value();
    let sent = order.amend.as_ref().filter(|amend| amend.sent);
    let asked = held.max(sent.map_or(held, |amend| amend.terms.qty.value()));
    if order.filled_qty > asked {
        step.anomaly = Some(format!("{} filled of {asked} asked for", order.filled_qty));
    }
    match order.status {
        OrderStatus::Filled => {}
        OrderStatus::Cancelled => {
            if order.venue_end.as_ref().is_none_or(|end| order.filled_qty > end.filled_qty) {
                step.anomaly = Some("filled after it was cancelled".to_owned());
            }
        }
        OrderStatus::Rejected => {
            step.anomaly = Some("filled after it was rejected".to_owned());
            revive(order);
        }
        _ => order.status = OrderStatus::PartiallyFilled,
    }
    if order.filled_qty >= asked {
        order.status = OrderStatus::Filled;
        order.text = None;
    }
    finish_if_whole(order);
}

fn withdrawn(order: &mut Order, text: String, step: &mut Step) {
    match order.status {
        OrderStatus::Pending | OrderStatus::Sent | OrderStatus::Unknown
            if order.filled_qty.is_zero() =>
        {
            order.status = OrderStatus::Cancelled;
            order.text = Some(text);
        }
        OrderStatus::Cancelled => {}
        other => step.anomaly = Some(format!("withdrawn while {}", other.as_str())),
    }
}

fn finish_if_whole(order: &mut Order) {
    let Some(end) = &order.venue_end else { return };
    if order.is_terminal() || order.filled_qty < end.filled_qty {
        return;
    }
    order.status = end.status;
    if end.status == OrderStatus::Rejected {
        order.code = Some("venue_rejected".to_owned());
    }
    order.text = end.text.clone();
}

fn working_status(order: &Order) -> OrderStatus {
    if order.filled_qty.is_zero() {
        OrderStatus::New
    } else {
        OrderStatus::PartiallyFilled
    }
}

fn revive(order: &mut Order) {
    order.status = OrderStatus::Unknown;
    order.code = None;
}

fn keep_order_id(order: &mut Order, order_id: String, step: &mut Step) {
    if order_id.is_empty() {
        return;
    }
    match &order.order_id {
        Some(known) if *known != order_id => {
            step.anomaly = Some(format!("the venue calls it {order_id}, before it was {known}"));
        }
        Some(_) => {}
        None => order.order_id = Some(order_id),
    }
}
