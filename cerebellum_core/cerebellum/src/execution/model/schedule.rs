//! When an open order is asked for, and its cancel sent again.

use protocol::wire::{event::OrderStatus, field::Kind};

use crate::execution::model::order::Order;

/// How long an acknowledged order may stay unseen before it is asked for, ms.
const UNSEEN_MS: i64 = 3_000;
/// How long an order of unknown fate, or one whose terms or fills are awaited, is left alone, ms.
const UNKNOWN_MS: i64 = 1_000;
/// How often a resting order is asked for, ms.
const RESTING_MS: i64 = 30_000;
/// How long an answer to a question is awaited, ms.
const ANSWER_MS: i64 = 20_000;
/// How long after a cancel the next one of the order is sent, ms.
const CANCEL_MS: i64 = 2_000;
/// When an order is to be looked at, ms of [`crate::execution::model::io::Now`]; never, but for news of it, if `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::execution) struct Schedule {
    /// When to ask for it.
    pub ask: Option<i64>,
    /// Whether it only rests, so that others go first.
    pub rests: bool,
    /// When to send its cancel.
    pub cancel: Option<i64>,
}

/// When an open order is to be looked at.
pub(in crate::execution) fn schedule(order: &Order) -> Schedule {
    let tracking = &order.tracking;
    if tracking.asking {
        return Schedule { ask: Some(tracking.asked_at + ANSWER_MS + 1), ..Schedule::default() };
    }
    if tracking.sending && order.status == OrderStatus::Sent {
        return Schedule::default();
    }
    let working = matches!(order.status, OrderStatus::New | OrderStatus::PartiallyFilled);
    let amending = order.amend.as_ref().is_some_and(|amend| amend.sent) && !tracking.amending;
    let patience = match order.status {
        OrderStatus::Unknown => Some(UNKNOWN_MS),
        _ if amending => Some(UNKNOWN_MS),
        OrderStatus::Sent if order.sends > 0 => Some(UNSEEN_MS),
        _ if !working => None,
        _ if order.venue_end.is_some() => Some(UNKNOWN_MS),
        _ if order.intent.kind == Kind::Market => Some(UNSEEN_MS),
        _ => Some(RESTING_MS),
    };
    let since = tracking.changed_at.max(tracking.asked_at);
    Schedule {
        ask: tracking.ask_at.or(patience.map(|patience| since + patience)),
        rests: tracking.ask_at.is_none() && patience == Some(RESTING_MS),
        cancel: (order.cancel_wanted && working)
            .then(|| tracking.cancel_at.map_or(i64::MIN, |at| at + CANCEL_MS)),
    }
}
