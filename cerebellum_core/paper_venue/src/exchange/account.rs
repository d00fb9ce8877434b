//! One account: a key, a wallet and its positions.

use super::order::Execution;
use super::position::Position;
use rust_decimal::Decimal;
use std::collections::{HashMap, HashSet};

/// What an account starts with.
#[derive(Debug, Clone)]
pub struct Opening {
    /// API key.
    pub key: String,
    /// Secret that signs.
    pub secret: String,
    /// First deposit.
    pub usdt: Decimal,
}

/// One account.
#[derive(Debug, Clone)]
pub struct Account {
    /// First deposit.
    pub initial: Decimal,
    /// Wallet balance.
    pub wallet: Decimal,
    /// Sum of all that was realised, fees and funding included.
    pub realised: Decimal,
    /// One position per symbol.
    pub positions: Vec<Position>,
    /// Every client order id ever used, with its order's number.
    pub link_ids: HashMap<String, u64>,
    /// Orders that can still be filled, by number.
    pub open: HashSet<u64>,
    /// Orders that ended, oldest first.
    pub ended: Vec<u64>,
    /// Every execution, oldest first.
    pub executions: Vec<Execution>,
}

impl Account {
    /// A fresh account.
    #[must_use]
    pub fn new(initial: Decimal, symbols: usize) -> Self {
        Self {
            initial,
            wallet: initial,
            realised: Decimal::ZERO,
            positions: vec![Position::default(); symbols],
            link_ids: HashMap::new(),
            open: HashSet::new(),
            ended: Vec::new(),
            executions: Vec::new(),
        }
    }

    /// Takes money in (above zero) or out.
    pub fn pay(&mut self, amount: Decimal) {
        self.wallet += amount;
        self.realised += amount;
    }
}
