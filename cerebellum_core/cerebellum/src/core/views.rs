//! Pictures of the state for the wire.

use protocol::wire::{
    field::{RequestId, Side, V1},
    reply::{PositionView, Snapshot, StateView, Totals, VenueView},
    DecimalText,
};
use rust_decimal::Decimal;

use super::Core;

impl Core {
    /// Everything at this moment.
    #[must_use]
    pub fn snapshot(&self, request_id: RequestId) -> Snapshot {
        let text = |value: Option<Decimal>| value.map(DecimalText::from);
        Snapshot {
            v: V1,
            ts: self.market_ms,
            request_id,
            seq: self.seq,
            state: self.states.get(&(None, None)),
            states: self
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
                    let guard = self.guards.get(holding);
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
                .open
                .iter()
                .filter_map(|link| self.orders.get(link))
                .map(super::order::Order::view)
                .collect(),
            totals: Totals {
                fills: self.ledger.fills(),
                fees: DecimalText::from(self.ledger.fees()),
                cash: DecimalText::from(self.ledger.cash()),
            },
            venue: VenueView { connected: self.audit.connected, wallet: text(self.wallet) },
        }
    }

    /// The sum of all agents' absolute notionals, working entry orders included.
    pub(super) fn total_notional(&self) -> Decimal {
        let held: Decimal = self
            .ledger
            .positions()
            .map(|((_, symbol), position)| match self.quotes.get(symbol) {
                Some(quote) => position.qty.abs().saturating_mul(quote.mid()),
                None => position.cost.abs(),
            })
            .sum();
        let working: Decimal = self
            .open
            .iter()
            .filter_map(|link| self.orders.get(link))
            .filter(|order| !order.intent.reduce_only)
            .map(|order| {
                let price =
                    order.intent.limit_price.as_ref().map(DecimalText::value).or_else(|| {
                        self.quotes.get(&order.intent.symbol).map(|quote| match order.intent.side {
                            Side::Buy => quote.ask,
                            Side::Sell => quote.bid,
                        })
                    });
                order.remaining().saturating_mul(price.unwrap_or_default())
            })
            .sum();
        held + working
    }
}
