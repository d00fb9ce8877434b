//! Exits of one agent beside each other: together they close no more than the position.
//!
//! Agents net at the venue, so nothing there would keep a second exit from opening a position. A new
//! exit is never refused for the sake of one that rests: the older one is withdrawn, and the new
//! one leaves once the older can no longer be filled.

use protocol::wire::field::Side;
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        ledger::{Holding, Ledger},
        order::{Order, Origin},
        orders::Orders,
    },
    oms::state_machine::Transition,
    Core,
};

/// What happens to an exit beyond the reduce-only capacity.
enum Yield {
    Withdraw(String),
    Cut(String, Decimal),
}

impl Core {
    /// Withdraws an agent's exits that have nothing left to reduce, and those, the newest first, that
    /// together would close more than the position. What was not sent yet is cut to what is left; the
    /// one to keep was just filled or just accepted.
    pub(in crate::execution) fn fit_exits(&mut self, keep: &str, holding: &Holding) {
        let (agent, symbol) = holding;
        let qty = self.ledger.position(agent, symbol).qty;
        let working: Vec<&Order> = self
            .orders
            .of(agent, symbol)
            .filter(|order| order.intent.reduce_only && !order.cancel_wanted)
            .collect();
        let closes = |order: &Order| !capacity(qty, order.intent.side).is_zero();
        let closing = working.iter().filter(|order| closes(order));
        let mut over = closing.map(|order| order.remaining()).sum::<Decimal>() - qty.abs();
        let mut yielding = Vec::new();
        // Client order ids sort by the time of birth of their intents.
        for order in working.into_iter().rev() {
            if order.link_id == keep || order.intent.origin != Origin::Arena {
                continue;
            }
            let (link, remaining) = (order.link_id.clone(), order.remaining());
            if !closes(order) {
                yielding.push(Yield::Withdraw(link));
            } else if over > Decimal::ZERO && !order.has_left() && over < remaining {
                yielding.push(Yield::Cut(link, remaining - over));
                over = Decimal::ZERO;
            } else if over > Decimal::ZERO && (order.yields() || !order.has_left()) {
                yielding.push(Yield::Withdraw(link));
                over -= remaining;
            }
        }
        for one in yielding {
            match one {
                Yield::Withdraw(link) => self.withdraw(&link),
                Yield::Cut(link, qty) => {
                    self.transition(&link, Transition::Cut { qty });
                }
            }
        }
    }
}

/// Whether an exit may leave: not while one that was withdrawn could still be filled beside it.
pub(in crate::execution) fn may_leave(exit: &Order, orders: &Orders, ledger: &Ledger) -> bool {
    let intent = &exit.intent;
    if intent.origin == Origin::Cerebellum {
        return true;
    }
    let (mut beside, mut withdrawn) = (Decimal::ZERO, false);
    for other in orders.of(&intent.agent, &intent.symbol) {
        if other.link_id != exit.link_id && competes(other, intent.side) {
            beside += other.remaining();
            withdrawn |= other.cancel_wanted;
        }
    }
    let qty = ledger.position(&intent.agent, &intent.symbol).qty;
    !withdrawn || beside + exit.remaining() <= capacity(qty, intent.side)
}

fn competes(other: &Order, side: Side) -> bool {
    other.intent.reduce_only && other.intent.side == side && other.has_left()
}

/// How much of a position orders of a side can close.
fn capacity(qty: Decimal, side: Side) -> Decimal {
    match side {
        Side::Sell => qty,
        Side::Buy => -qty,
    }
    .max(Decimal::ZERO)
}
