//! Rows that wait for the commit.

use std::sync::Arc;

use crate::execution::model::{io::Record, order::Order};

/// An order whose row is to be written.
#[derive(Debug)]
pub(super) struct OrderRow {
    pub(super) order: Box<Order>,
    pub(super) is_new: bool,
}

/// A row that waits for the commit.
#[derive(Debug)]
pub(super) enum Row {
    Record(Record),
    Event { seq: u64, ts: u64, kind: &'static str, body: Arc<str> },
}

impl OrderRow {
    pub(super) fn order(&self) -> &Order {
        &self.order
    }
}
