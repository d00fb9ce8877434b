//! Open orders at the venue that no intent of this journal placed: reported once each, and cancelled when
//! every order is to be cancelled.

use std::collections::BTreeSet;

use protocol::wire::field::Symbol;

use crate::execution::{
    model::{
        io::{Effect, OrderSeen},
        order::Shown,
    },
    reconciliation::foreign_orders::{ForeignOrder, Sweep},
    Core,
};

/// How often open orders are looked through, ms.
const EVERY_MS: i64 = 30_000;
/// How soon after cancels they are looked through again, ms.
const AGAIN_MS: i64 = 1_000;
/// How long orders that stay open although they are cancelled are asked for again, ms.
const PATIENCE_MS: i64 = 120_000;
/// How much of a text is reported.
const LONGEST: usize = 500;

impl Core {
    /// Asks for the open orders of the account.
    pub(in crate::execution) fn pull_open_orders(&mut self) {
        self.foreign_orders.asking = true;
        self.foreign_orders.next_at = self.now.ms + EVERY_MS;
        self.outbox.push(Effect::PullOpenOrders);
    }

    pub(in crate::execution) fn watch_foreign_orders(&mut self) {
        let foreign_orders = &self.foreign_orders;
        let wanted = self.audit.private_up || foreign_orders.sweep.is_some();
        if wanted && !foreign_orders.asking && self.now.ms >= foreign_orders.next_at {
            self.pull_open_orders();
        }
    }

    /// Cancels foreign orders of a symbol, or of every symbol traded here; returns how many are
    /// known by now. A fresh list shows the others, and an event of the end.
    pub(in crate::execution) fn sweep_foreign_orders(&mut self, symbol: Option<&Symbol>) -> usize {
        let traded = self.setup.symbols.iter();
        let scope = traded.filter(|one| symbol.is_none_or(|symbol| symbol == *one)).cloned();
        let until = self.now.ms + PATIENCE_MS;
        let sweep = self.foreign_orders.sweep.get_or_insert_with(|| Sweep {
            symbols: BTreeSet::new(),
            met: BTreeSet::new(),
            until,
        });
        sweep.symbols.extend(scope);
        sweep.until = until;
        let known = self.cancel_foreign_orders();
        self.pull_open_orders();
        known
    }

    /// Takes the list of open orders: reports what was not there before, and goes on cancelling.
    pub(in crate::execution) fn review_open_orders(&mut self, orders: &[OrderSeen]) {
        self.foreign_orders.asking = false;
        let mut before = std::mem::take(&mut self.foreign_orders.open);
        for seen in orders {
            let ours = self.link_for(&seen.link_id, &seen.order_id).is_some();
            let traded = self.setup.symbols.contains(&seen.symbol);
            if ours || !traded || !matches!(seen.shown, Shown::Working) {
                continue;
            }
            let known = before.remove(&seen.order_id);
            if known.is_none() && !self.foreign_orders.open.contains_key(&seen.order_id) {
                self.alarm("foreign_order", describe(seen), None, Some(seen.symbol.clone()));
            }
            let foreign_order = ForeignOrder { symbol: seen.symbol.clone(), cancel_at: None };
            self.foreign_orders.open.insert(seen.order_id.clone(), known.unwrap_or(foreign_order));
        }
        self.end_sweep();
    }

    fn end_sweep(&mut self) {
        let left = self.cancel_foreign_orders();
        let now = self.now.ms;
        let over = |sweep: &mut Sweep| left == 0 || now >= sweep.until;
        let Some(sweep) = self.foreign_orders.sweep.take_if(over) else {
            if self.foreign_orders.sweep.is_some() {
                self.foreign_orders.next_at = now + AGAIN_MS;
            }
            return;
        };
        let met = sweep.met.len();
        if left > 0 {
            let text = format!(
                "{left} of {met} open orders that belong to no intent of this journal are still \
                 open though cancelled; cancel them at the venue"
            );
            self.alarm("foreign_orders_left", text, None, None);
        } else if met > 0 {
            let text =
                format!("{met} open orders that belong to no intent of this journal are cancelled");
            self.alarm("foreign_orders_cancelled", text, None, None);
        }
    }

    /// Cancels what a sweep covers, as fast as the venue takes it; returns how many are open.
    fn cancel_foreign_orders(&mut self) -> usize {
        let now = self.now.ms;
        let Some(sweep) = &mut self.foreign_orders.sweep else { return 0 };
        let mut left = 0;
        for (order_id, foreign_order) in &mut self.foreign_orders.open {
            if !sweep.symbols.contains(&foreign_order.symbol) {
                continue;
            }
            left += 1;
            sweep.met.insert(order_id.clone());
            let due = foreign_order.cancel_at.is_none_or(|at| now - at >= AGAIN_MS);
            if due && self.rates.cancels.take(now) {
                foreign_order.cancel_at = Some(now);
                let (order_id, symbol) = (order_id.clone(), foreign_order.symbol.clone());
                self.outbox.push(Effect::CancelForeign { order_id, symbol });
            }
        }
        left
    }
}

fn describe(seen: &OrderSeen) -> String {
    let link = if seen.link_id.is_empty() {
        String::new()
    } else {
        format!(" (client order id {})", seen.link_id)
    };
    let terms = seen.terms.as_ref().map_or_else(String::new, |terms| {
        let price = terms.limit_price.as_ref().map_or("-", |price| price.as_str());
        format!(", {} at {price},", terms.qty.as_str())
    });
    let text = format!(
        "order {}{link} of {}{terms} is open at the venue and belongs to no intent of this journal; \
         cancel it there, or all of them with `crucible kill`",
        seen.order_id, seen.symbol
    );
    text.chars().take(LONGEST).collect()
}
