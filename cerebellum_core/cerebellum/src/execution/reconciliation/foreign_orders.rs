//! What is known of open orders at the venue that no intent of this journal placed.

use std::collections::{BTreeMap, BTreeSet};

use protocol::wire::field::Symbol;

/// What is known of orders that are not ours.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct ForeignOrders {
    /// Those of the newest list, by the venue's id.
    pub(super) open: BTreeMap<String, ForeignOrder>,
    pub(super) sweep: Option<Sweep>,
    /// Whether the answer to a pull is awaited.
    pub(super) asking: bool,
    pub(super) next_at: i64,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct ForeignOrder {
    pub(super) symbol: Symbol,
    pub(super) cancel_at: Option<i64>,
}

/// Cancelling all of them, until a list shows none.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) symbols: BTreeSet<Symbol>,
    pub(super) met: BTreeSet<String>,
    pub(super) until: i64,
}
