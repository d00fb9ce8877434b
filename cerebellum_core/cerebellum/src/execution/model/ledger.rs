//! Per-agent sub-ledgers: positions, cash and fees, exact.

use std::collections::{BTreeMap, VecDeque};

use protocol::wire::field::{Name, Side, Symbol};
use rust_decimal::Decimal;

/// Whose position in what.
pub type Holding = (Name, Symbol);

/// One agent's position in one symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed quantity.
    pub qty: Decimal,
    /// Signed cost: average entry times quantity.
    pub cost: Decimal,
}

/// How many of the newest fills are kept to know who held what a while ago.
pub const REMEMBERED: usize = 20_000;

/// Positions and sums over all fills and funding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    recent: VecDeque<(Holding, u64, Decimal)>,
    positions: BTreeMap<Holding, Position>,
    /// Of each symbol that anybody holds: the sum of positions, and of their sizes.
    sums: BTreeMap<Symbol, (Decimal, Decimal)>,
    agent_cash: BTreeMap<Name, Decimal>,
    fills: u64,
    fees: Decimal,
    cash: Decimal,
}

/// One fill, as far as the ledger needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Whose.
    pub agent: Name,
    /// In what.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How much.
    pub qty: Decimal,
    /// At what price.
    pub price: Decimal,
    /// What it cost.
    pub fee: Decimal,
    /// Market time, ms.
    pub exec_ts: u64,
}

/// Shares a funding payment among holders in the measure of their signed positions, to the last
/// unit: the last share is what the others leave.
///
/// A holder on the other side of the net position receives what the net position pays for it.
/// Empty if the net position is flat.
#[must_use]
pub fn shares(held: &[(Name, Decimal)], amount: Decimal) -> Vec<(Name, Decimal)> {
    let net: Decimal = held.iter().map(|(_, qty)| *qty).sum();
    if net.is_zero() {
        return Vec::new();
    }
    let mut left = amount;
    let last = held.len() - 1;
    held.iter()
        .enumerate()
        .map(|(at, (agent, qty))| {
            let share = if at == last { left } else { (amount * *qty / net).round_dp(8) };
            left -= share;
            (agent.clone(), share)
        })
        .collect()
}

impl Ledger {
    /// Books one fill and returns the position after it.
    pub fn book(&mut self, fill: &Booking) -> Position {
        let signed = match fill.side {
            Side::Buy => fill.qty,
            Side::Sell => -fill.qty,
        };
        let cash = -signed * fill.price - fill.fee;
        self.fills += 1;
        self.fees += fill.fee;
        self.cash += cash;
        *self.agent_cash.entry(fill.agent.clone()).or_default() += cash;
        let holding = (fill.agent.clone(), fill.symbol.clone());
        self.recent.push_back((holding.clone(), fill.exec_ts, signed));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        let before = self.positions.remove(&holding).unwrap_or_default();
        let after = before.after(signed, fill.price);
        let (net, gross) = self.sums.entry(fill.symbol.clone()).or_default();
        *net += signed;
        *gross += after.qty.abs() - before.qty.abs();
        if gross.is_zero() {
            self.sums.remove(&fill.symbol);
        }
        if !after.qty.is_zero() {
            self.positions.insert(holding, after.clone());
        }
        after
    }

    /// Who held a symbol when its funding was paid: the agents' positions at that moment, if they
    /// add up to the size that paid; fills of that very millisecond count or not, as it fits.
    #[must_use]
    pub fn held_at(&self, symbol: &Symbol, ts: u64, size: Decimal) -> Option<Vec<(Name, Decimal)>> {
        [ts, ts.saturating_sub(1)]
            .into_iter()
            .map(|ts| self.held_before(symbol, ts))
            .find(|held| held.iter().map(|(_, qty)| *qty).sum::<Decimal>().abs() == size)
    }

    /// Every agent's position in a symbol after its last fill up to a market time, ms; the flat
    /// ones are left out. Only the newest [`REMEMBERED`] fills can be looked behind.
    #[must_use]
    pub fn held_before(&self, symbol: &Symbol, ts: u64) -> Vec<(Name, Decimal)> {
        let mut held: BTreeMap<&Name, Decimal> = self
            .positions
            .iter()
            .filter(|((_, of), _)| of == symbol)
            .map(|((agent, _), position)| (agent, position.qty))
            .collect();
        for ((agent, of), at, signed) in self.recent.iter().rev() {
            if of == symbol && *at > ts {
                *held.entry(agent).or_default() -= *signed;
            }
        }
        let held = held.into_iter().filter(|(_, qty)| !qty.is_zero());
        held.map(|(agent, qty)| (agent.clone(), qty)).collect()
    }

    /// Books what one agent paid in funding.
    pub fn book_funding(&mut self, agent: &Name, amount: Decimal) {
        self.cash -= amount;
        *self.agent_cash.entry(agent.clone()).or_default() -= amount;
    }

    /// One agent's position; flat if there is none.
    #[must_use]
    pub fn position(&self, agent: &Name, symbol: &Symbol) -> Position {
        self.positions.get(&(agent.clone(), symbol.clone())).cloned().unwrap_or_default()
    }

    /// Every position that is not flat.
    pub fn positions(&self) -> impl Iterator<Item = (&Holding, &Position)> {
        self.positions.iter()
    }

    /// The sum of the agents' positions in a symbol.
    #[must_use]
    pub fn net(&self, symbol: &Symbol) -> Decimal {
        self.sums.get(symbol).map_or(Decimal::ZERO, |(net, _)| *net)
    }

    /// The sum of the sizes of the agents' positions in each symbol that is held.
    pub fn gross(&self) -> impl Iterator<Item = (&Symbol, Decimal)> {
        self.sums.iter().map(|(symbol, (_, gross))| (symbol, *gross))
    }

    /// Cash of each agent.
    pub fn agent_cash(&self) -> impl Iterator<Item = (&Name, &Decimal)> {
        self.agent_cash.iter()
    }

    /// How many fills were booked.
    #[must_use]
    pub fn fills(&self) -> u64 {
        self.fills
    }

    /// The sum of the fees.
    #[must_use]
    pub fn fees(&self) -> Decimal {
        self.fees
    }

    /// The sum of `-side * price * qty - fee` and of funding.
    #[must_use]
    pub fn cash(&self) -> Decimal {
        self.cash
    }
}

impl Position {
    fn after(&self, signed: Decimal, price: Decimal) -> Self {
        let qty = self.qty + signed;
        let cost = if self.qty.is_zero() || self.qty.is_sign_positive() == signed.is_sign_positive()
        {
            self.cost + signed * price
        } else if qty.is_zero() {
            Decimal::ZERO
        } else if qty.is_sign_positive() == self.qty.is_sign_positive() {
            // The rest keeps its average entry.
            (self.cost * (qty / self.qty)).round_dp(16)
        } else {
            qty * price
        };
        Self { qty, cost }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::execution::model::ledger::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn symbol() -> Symbol {
        Symbol::new("BTCUSDT").unwrap()
    }

    fn booking(agent: &str, side: Side, qty: i64, price: i64, fee: i64) -> Booking {
        Booking {
            agent: name(agent),
            symbol: symbol(),
            side,
            qty: Decimal::new(qty, 3),
            price: Decimal::new(price, 1),
            fee: Decimal::new(fee, 8),
            exec_ts: 0,
        }
    }

    #[test]
    fn a_partial_close_keeps_the_average_entry() {
        let mut ledger = Ledger::default();
        ledger.book(&booking("a", Side::Buy, 2000, 1000, 0));
        ledger.book(&booking("a", Side::Buy, 2000, 2000, 0));
        let after = ledger.book(&booking("a", Side::Sell, 1000, 9999, 0));
        assert_eq!(after.qty, Decimal::new(3, 0));
        assert_eq!(after.cost, Decimal::new(450, 0));
    }

    #[test]
    fn a_flip_starts_a_new_cost() {
        let mut ledger = Ledger::default();
        ledger.book(&booking("a", Side::Buy, 1000, 1000, 0));
        let after = ledger.book(&booking("a", Side::Sell, 3000, 1100, 0));
        assert_eq!((after.qty, after.cost), (Decimal::from(-2), Decimal::from(-220)));
    }

    #[test]
    fn funding_is_shared_to_the_last_unit() {
        let mut ledger = Ledger::default();
        ledger.book(&booking("a", Side::Buy, 1000, 1000, 0));
        ledger.book(&booking("b", Side::Buy, 1000, 1000, 0));
        ledger.book(&booking("c", Side::Buy, 1000, 1000, 0));
        let shares = super::shares(&ledger.held_before(&symbol(), 0), Decimal::new(1, 8));
        assert_eq!(shares.iter().map(|(_, share)| *share).sum::<Decimal>(), Decimal::new(1, 8));
        let shares = super::shares(&ledger.held_before(&symbol(), 0), Decimal::new(100, 2));
        assert_eq!(shares.iter().map(|(_, share)| *share).sum::<Decimal>(), Decimal::ONE);
    }

    #[test]
    fn the_short_side_of_a_netted_pair_receives_what_the_long_side_pays() {
        let mut ledger = Ledger::default();
        ledger.book(&booking("a", Side::Buy, 2000, 1000, 0));
        ledger.book(&booking("b", Side::Sell, 1000, 1000, 0));
        let shares = super::shares(&ledger.held_before(&symbol(), 0), Decimal::ONE);
        assert_eq!(shares, [(name("a"), Decimal::from(2)), (name("b"), Decimal::from(-1))]);
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_order_of_fills(
            fills in prop::collection::vec((0_u8..3, any::<bool>(), 1_i64..5000, 1_i64..1_000_000, -1000_i64..1000), 1..60),
            seed in any::<u64>(),
        ) {
            let fills: Vec<_> = fills.iter().map(|(agent, buy, qty, price, fee)| {
                booking(["a", "b", "c"][usize::from(*agent)], if *buy { Side::Buy } else { Side::Sell }, *qty, *price, *fee)
            }).collect();
            let mut shuffled = fills.clone();
            let mut state = seed | 1;
            for at in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                shuffled.swap(at, (state >> 33) as usize % (at + 1));
            }
            let (mut one, mut two) = (Ledger::default(), Ledger::default());
            for fill in &fills { one.book(fill); }
            for fill in &shuffled { two.book(fill); }
            prop_assert_eq!(one.cash(), two.cash());
            prop_assert_eq!(one.fees(), two.fees());
            prop_assert_eq!(one.net(&symbol()), two.net(&symbol()));
            for agent in ["a", "b", "c"] {
                prop_assert_eq!(one.position(&name(agent), &symbol()).qty, two.position(&name(agent), &symbol()).qty);
            }
            let total: Decimal = one.agent_cash().map(|(_, cash)| *cash).sum();
            prop_assert_eq!(total, one.cash());
        }
    }
}
