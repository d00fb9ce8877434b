//! Where agents stood when the market day began.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Where each agent stood when the market day began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayBook {
    /// Days since 1970.
    pub day: u64,
    /// Cash and marked positions at the start of the day; an agent that is left out stood at 0.
    pub start: BTreeMap<String, Decimal>,
}
