use std::collections::BTreeSet;

use super::*;

impl Orders {
    /// Compares every index and sum with a look at all orders.
    pub(in crate::execution) fn assert_whole(&self) {
        let mut full = Self::default();
        let open: Vec<&Order> = self
            .all
            .values()
            .map(|held| &held.order)
            .filter(|order| !order.is_terminal())
            .collect();
        for order in &open {
            let taken = Taken {
                remaining: order.remaining(),
                highest: order.highest_price(),
                schedule: schedule(order),
                unsent_until: order.is_unsent().then(|| order.intent.expires_at()),
            };
            full.take(order, &taken);
            assert_eq!(self.all[&order.link_id].taken.as_ref(), Some(&taken));
        }
        assert!(self.touched.is_empty(), "{:?}", self.touched);
        assert_eq!(self.open, full.open);
        assert_eq!(self.holdings, full.holdings);
        assert_eq!(self.symbols, full.symbols);
        assert_eq!(self.entries, full.entries);
        assert_eq!(self.unsure, full.unsure);
        assert_eq!(self.resting, full.resting);
        assert_eq!(self.cancels, full.cancels);
        assert_eq!(self.unsent, full.unsent);
        for (link, held) in &self.all {
            if let Some(order_id) = &held.order.order_id {
                let known = self.by_order_id.get(order_id);
                assert!(known.is_some(), "{order_id} of {link} is not found");
            }
            let ended = held.order.is_terminal();
            assert_eq!(held.taken.is_none(), ended, "{link}");
            assert!(!ended || self.finished.contains(link), "{link} is never forgotten");
        }
        self.assert_scopes(&open);
    }

    fn assert_scopes(&self, open: &[&Order]) {
        let mut scopes: BTreeSet<Scope> = BTreeSet::from([(None, None)]);
        for order in open {
            let (agent, symbol) = (&order.intent.agent, &order.intent.symbol);
            scopes.insert((Some(agent.clone()), None));
            scopes.insert((None, Some(symbol.clone())));
            scopes.insert((Some(agent.clone()), Some(symbol.clone())));
        }
        for scope in scopes {
            let covered = open.iter().filter(|order| {
                crate::execution::model::trading_state::covers(
                    &scope,
                    &order.intent.agent,
                    &order.intent.symbol,
                )
            });
            let links: BTreeSet<String> = covered.map(|order| order.link_id.clone()).collect();
            assert_eq!(self.in_scope(&scope), links.into_iter().collect::<Vec<_>>(), "{scope:?}");
        }
    }
}

impl std::ops::Index<&str> for Orders {
    type Output = Order;

    fn index(&self, link: &str) -> &Order {
        self.get(link).expect("the order is in memory")
    }
}

impl std::ops::Index<&String> for Orders {
    type Output = Order;

    fn index(&self, link: &String) -> &Order {
        &self[link.as_str()]
    }
}
