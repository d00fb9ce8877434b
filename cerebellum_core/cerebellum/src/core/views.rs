//! Pictures of the state for the wire.

use protocol::wire::{
    field::{RequestId, Side, Symbol, V1},
    reply::{PositionView, Snapshot, StateView, Totals, VenueView},
    DecimalText,
};
use rust_decimal::Decimal;

use super::{order::Order, Core};

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

    /// The sum of all agents' absolute notionals, working entry orders included but for one that is
    /// amended.
    ///
    /// # Errors
    /// A symbol in which something is held, or bought at the market, without a trustworthy book.
    pub(super) fn total_notional(&self, amended: Option<&Order>) -> Result<Decimal, Symbol> {
        let mut total = Decimal::ZERO;
        for ((_, symbol), position) in self.ledger.positions() {
            let quote = self.quotes.get(symbol).ok_or_else(|| symbol.clone())?;
            total += position.qty.abs().saturating_mul(quote.mid());
        }
        for order in self.open.iter().filter_map(|link| self.orders.get(link)) {
            let intent = &order.intent;
            if intent.reduce_only || amended.is_some_and(|other| other.link_id == order.link_id) {
                continue;
            }
            let price = match (order.highest_price(), self.quotes.get(&intent.symbol), intent.side)
            {
                (Some(price), _, _) => price,
                (None, Some(quote), Side::Buy) => quote.ask,
                (None, Some(quote), Side::Sell) => quote.bid,
                (None, None, _) => return Err(intent.symbol.clone()),
            };
            total += order.remaining().saturating_mul(price);
        }
        Ok(total)
    }
}
