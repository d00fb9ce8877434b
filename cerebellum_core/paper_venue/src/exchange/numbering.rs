//! Numbers of orders and executions, and the ids that follow from them.

use crate::market::random::hash;

/// The next number of each kind.
#[derive(Debug, Clone)]
pub(super) struct Numbering {
    salt: u64,
    /// Of an order.
    pub next_number: u64,
    /// Of an execution.
    pub next_execution: u64,
    /// The place of an order among those of its price.
    pub next_priority: u64,
}

impl Numbering {
    /// All from one on; ids follow from the salt.
    pub(super) fn salted(salt: u64) -> Self {
        Self { salt, next_number: 1, next_execution: 1, next_priority: 1 }
    }

    /// Salts all ids once more.
    pub(super) fn salt_again(&mut self, salt: u64) {
        self.salt = hash(&[self.salt, salt]);
    }

    /// An id that looks like a UUID and follows from the salt and a number.
    pub(super) fn make_id(&self, kind: u64, number: u64) -> String {
        let (a, b) = (hash(&[self.salt, kind, number, 1]), hash(&[self.salt, kind, number, 2]));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 50),
            b & 0xffff_ffff_ffff
        )
    }
}
