//! Views of the state for the wire.

use protocol::wire::{
    field::{RequestId, Symbol, V1},
    reply::{PositionView, Snapshot, StateView, Totals, VenueView},
    DecimalText,
};
use rust_decimal::Decimal;

use crate::execution::{model::order::Order, Core};

impl Core {
    /// Everything at this moment.
    #[must_use]
    pub fn snapshot(&self, request_id: RequestId) -> Snapshot {
        let text = |value: Option<Decimal>| value.map(DecimalText::from);
        Snapshot {
            v: V1,
            ts: self.market.ms,
            request_id,
            seq: self.outbox.seq(),
            state: self.risk.states.get(&(None, None)),
            states: self
                .risk
                .states
                .iter()
                .map(|((agent, symbol), state)| StateView {
                    agent: agent.clone(),
                    symbol: symbol.clone(),
                    state,
                })
                .collect(),
            positions: self
                .ledger
                .positions()
                .map(|(holding, position)| {
                    let guard = self.protection.guards.get(holding);
                    PositionView {
                        agent: holding.0.clone(),
                        symbol: holding.1.clone(),
                        qty: DecimalText::from(position.qty),
                        cost: DecimalText::from(position.cost),
                        stop: text(guard.and_then(|guard| guard.stop)),
                        take_profit: text(guard.and_then(|guard| guard.take_profit)),
                        deadline_ts: guard.and_then(|guard| guard.deadline_ts),
                    }
                })
                .collect(),
            orders: self
                .orders
                .open()
                .iter()
                .filter_map(|link| self.orders.get(link))
                .map(crate::execution::model::order::Order::view)
                .collect(),
            totals: Totals {
                fills: self.ledger.fills(),
                fees: DecimalText::from(self.ledger.fees()),
                cash: DecimalText::from(self.ledger.cash()),
            },
            venue: VenueView { connected: self.audit.connected, wallet: text(self.audit.wallet) },
        }
    }

    /// The sum of all agents' absolute notionals, working entry orders included but for one that is
    /// amended.
    ///
    /// # Errors
    /// A symbol in which something is held, or bought at the market, without a trustworthy book.
    pub(in crate::execution) fn total_notional(
        &self,
        amended: Option<&Order>,
    ) -> Result<Decimal, Symbol> {
        let quote_of =
            |symbol: &Symbol| self.market.quotes.get(symbol).ok_or_else(|| symbol.clone());
        let entries = self.orders.entries();
        let mut total = entries.at_limits;
        for (symbol, held) in self.ledger.gross() {
            total += held.saturating_mul(quote_of(symbol)?.mid());
        }
        for (symbol, (_, coming)) in &entries.at_market {
            let quote = quote_of(symbol)?;
            total += coming.buys.saturating_mul(quote.ask);
            total += coming.sells.saturating_mul(quote.bid);
        }
        let amended = amended.filter(|order| !order.intent.reduce_only);
        if let Some((order, price)) = amended.and_then(|one| Some((one, one.highest_price()?))) {
            total -= order.remaining().saturating_mul(price);
        }
        Ok(total)
    }
}

#[cfg(test)]
impl Core {
    /// Compares what is summed up as it goes with a look at everything.
    pub(in crate::execution) fn assert_sums(&self) {
        let mut full = Ok(Decimal::ZERO);
        let mut add = |symbol: &Symbol, part: Option<Decimal>| match (part, &mut full) {
            (Some(part), Ok(sum)) => *sum += part,
            (None, Ok(_)) => full = Err(symbol.clone()),
            (_, Err(_)) => {}
        };
        for ((_, symbol), position) in self.ledger.positions() {
            let mid =
                self.market.quotes.get(symbol).map(crate::execution::model::market::Quote::mid);
            add(symbol, mid.map(|mid| position.qty.abs() * mid));
        }
        let mut nets = std::collections::BTreeMap::new();
        for ((_, symbol), position) in self.ledger.positions() {
            *nets.entry(symbol.clone()).or_insert(Decimal::ZERO) += position.qty;
        }
        for (symbol, net) in nets {
            assert_eq!(self.ledger.net(&symbol), net);
        }
        for order in self.orders.open().iter().filter_map(|link| self.orders.get(link)) {
            let intent = &order.intent;
            if intent.reduce_only {
                continue;
            }
            let quote = self.market.quotes.get(&intent.symbol);
            let price = order.highest_price().or_else(|| match intent.side {
                protocol::wire::field::Side::Buy => quote.map(|quote| quote.ask),
                protocol::wire::field::Side::Sell => quote.map(|quote| quote.bid),
            });
            add(&intent.symbol, price.map(|price| order.remaining() * price));
        }
        let total = self.total_notional(None);
        assert_eq!(total.is_ok(), full.is_ok(), "{total:?} {full:?}");
        if let (Ok(total), Ok(full)) = (total, full) {
            assert_eq!(total, full);
        }
    }
}
