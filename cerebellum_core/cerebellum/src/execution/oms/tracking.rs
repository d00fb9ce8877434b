//! Asking for open orders, and sending their cancels again.

use crate::execution::{
    model::{io::Effect, schedule::schedule},
    Core,
};

/// How many due orders one pass takes at most; budgets let fewer pass.
const AT_ONCE: usize = 32;

impl Core {
    /// Asks the venue for an order after a delay.
    pub(in crate::execution) fn ask(&mut self, link: &str, delay_ms: i64) {
        let now = self.now.ms;
        let Some(order) = self.orders.get_mut(link) else { return };
        if order.is_terminal() || order.tracking.asking {
            return;
        }
        if delay_ms > 0 {
            order.tracking.ask_at = Some(now + delay_ms);
            return;
        }
        order.tracking.asking = true;
        order.tracking.asked_at = now;
        order.tracking.ask_at = None;
        let symbol = order.intent.symbol.clone();
        self.outbox.push(Effect::Ask { link_id: link.to_owned(), symbol });
    }

    /// Asks for the orders that are due, and sends cancels that had to wait or were lost; what there
    /// is no room for stays due.
    pub(in crate::execution) fn track_orders(&mut self) {
        let now = self.now.ms;
        self.orders.settle();
        for link in self.orders.to_ask(now, AT_ONCE) {
            let Some(order) = self.orders.get_mut(&link) else { continue };
            // One that is being asked for is due when its answer is lost.
            order.tracking.asking = false;
            if schedule(order).ask.is_some_and(|at| at <= now) && self.rates.queries.take(now) {
                self.ask(&link, 0);
            }
        }
        for link in self.orders.to_cancel(now, AT_ONCE) {
            if !self.rates.cancels.left(now) {
                break;
            }
            self.withdraw(&link);
        }
    }
}
