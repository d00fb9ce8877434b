//! One account's position in one symbol, with its cost carried exactly.
//!
//! A fill that closes releases a share of the cost. That share may need rounding, yet what is
//! released is exactly what the wallet receives and exactly what the carried cost loses, so
//! `wallet = deposits + sum(-side * price * qty - fee) + cost - funding` holds to the last unit
//! after every fill, not only when the position is flat.

use protocol::bybit::enums::Side;
use rust_decimal::Decimal;

/// Decimals to which a released share of cost is rounded.
const RELEASE_DECIMALS: u32 = 8;

/// A position; long when `size` is above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Signed size in steps.
    pub size: i64,
    /// Signed cost: what the open size was paid for.
    pub cost: Decimal,
    /// All that fills, fees and funding brought since the account began.
    pub realised: Decimal,
    /// The same since the position was opened.
    pub realised_open: Decimal,
    /// Leverage.
    pub leverage: Decimal,
    /// Take-profit price in ticks.
    pub take_profit: Option<i64>,
    /// Stop-loss price in ticks.
    pub stop_loss: Option<i64>,
    /// Distance of the trailing stop in ticks.
    pub trailing: Option<i64>,
    /// When it was first touched, in market milliseconds.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
    /// When the open size began.
    pub opened: i64,
}

/// What one fill did to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booked {
    /// Steps that were closed.
    pub closed: i64,
    /// What the closed part brought, before fees.
    pub profit: Decimal,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            size: 0,
            cost: Decimal::ZERO,
            realised: Decimal::ZERO,
            realised_open: Decimal::ZERO,
            leverage: Decimal::TEN,
            take_profit: None,
            stop_loss: None,
            trailing: None,
            created: 0,
            updated: 0,
            opened: 0,
        }
    }
}

impl Position {
    /// The side as it travels: empty when flat.
    #[must_use]
    pub const fn side(&self) -> &'static str {
        match self.size {
            0 => "",
            size if size > 0 => "Buy",
            _ => "Sell",
        }
    }

    /// Forgets the level of an exit order that ended or fired.
    pub fn forget_exit(&mut self, kind: &str) {
        match kind {
            "TakeProfit" => self.take_profit = None,
            "StopLoss" => self.stop_loss = None,
            "TrailingStop" => self.trailing = None,
            _ => {}
        }
    }

    /// Size without sign.
    #[must_use]
    pub const fn steps(&self) -> i64 {
        self.size.abs()
    }

    /// How many steps an order of this side could close.
    #[must_use]
    pub const fn reducible(&self, side: Side) -> i64 {
        if self.size * side.sign() < 0 {
            self.size.abs()
        } else {
            0
        }
    }

    /// Books one fill of `steps` at `price`, where one step is `step` of the base asset.
    pub fn fill(&mut self, side: Side, steps: i64, step: Decimal, price: Decimal) -> Booked {
        let closed = self.reducible(side).min(steps);
        let mut profit = Decimal::ZERO;
        if closed > 0 {
            let released = if closed == self.size.abs() {
                self.cost
            } else {
                let share = self.cost * Decimal::from(closed) / Decimal::from(self.size.abs());
                share.round_dp(RELEASE_DECIMALS)
            };
            let paid = Decimal::from(side.sign() * closed) * step * price;
            profit = -paid - released;
            self.cost -= released;
            self.size += side.sign() * closed;
        }
        let opened = steps - closed;
        if opened > 0 {
            self.size += side.sign() * opened;
            self.cost += Decimal::from(side.sign() * opened) * step * price;
        }
        Booked { closed, profit }
    }

    /// Books what a fill brought, of a position of size `before` until then, at market time `now`.
    pub fn realise(&mut self, before: i64, gain: Decimal, now: i64) {
        if before == 0 || before.signum() != self.size.signum() {
            self.realised_open = Decimal::ZERO;
            self.opened = now;
        }
        if self.created == 0 {
            self.created = now;
        }
        self.updated = now;
        self.realised += gain;
        self.realised_open += gain;
    }

    /// What the open size would bring at `price`.
    #[must_use]
    pub fn unrealised(&self, step: Decimal, price: Decimal) -> Decimal {
        Decimal::from(self.size) * step * price - self.cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_wallet_is_always_cash_flows_plus_carried_cost(
            fills in prop::collection::vec((any::<bool>(), 1_i64..5_000, 1_i64..9_999_999), 1..60)
        ) {
            let step = Decimal::new(1, 3);
            let (mut position, mut wallet, mut flows) = (Position::default(), Decimal::ZERO, Decimal::ZERO);
            for (buy, steps, ticks) in fills {
                let side = if buy { Side::Buy } else { Side::Sell };
                let price = Decimal::new(ticks, 1);
                let booked = position.fill(side, steps, step, price);
                wallet += booked.profit;
                flows -= Decimal::from(side.sign() * steps) * step * price;
                prop_assert_eq!(wallet, flows + position.cost);
                prop_assert!(position.size != 0 || position.cost.is_zero());
                prop_assert!(position.cost.is_zero() || position.cost.is_sign_positive() == (position.size > 0));
            }
        }

        #[test]
        fn closing_and_flipping_are_distinguished(open in 1_i64..1_000, close in 1_i64..2_000) {
            let mut position = Position::default();
            position.fill(Side::Buy, open, Decimal::ONE, Decimal::TEN);
            let booked = position.fill(Side::Sell, close, Decimal::ONE, Decimal::from(11));
            prop_assert_eq!(booked.closed, open.min(close));
            prop_assert_eq!(booked.profit, Decimal::from(open.min(close)));
            prop_assert_eq!(position.size, open - close);
        }
    }
}
