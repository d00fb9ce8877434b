//! Values, scenarios and a simulated venue for the tests of the core.

/// A core with a clock and a list of what it published.
pub(in crate::execution) mod scenario;
/// A venue that loses, repeats, delays and forgets.
pub(in crate::execution) mod simulated_venue;

use protocol::wire::field::{IntentId, Kind, Name, Reason, Side, Symbol};
use rust_decimal::Decimal;

use crate::execution::model::{
    market::Instrument,
    order::{Intent, Origin},
};

/// A fresh intent id.
pub fn intent_id() -> IntentId {
    IntentId::new(&uuid::Uuid::now_v7().to_string()).unwrap()
}

/// A market intent of BTCUSDT.
pub fn intent(agent: &str, side: Side, qty: &str) -> Intent {
    Intent {
        intent_id: intent_id(),
        agent: Name::new(agent).unwrap(),
        version: Name::new("v1").unwrap(),
        symbol: Symbol::new("BTCUSDT").unwrap(),
        side,
        kind: Kind::Market,
        qty: qty.parse().unwrap(),
        limit_price: None,
        reduce_only: false,
        ts: 1_000_000,
        ttl_ms: 60_000,
        protect: None,
        reason: Reason::new("entry").unwrap(),
        origin: Origin::Arena,
    }
}

/// The filters of BTCUSDT.
pub fn instrument() -> Instrument {
    Instrument {
        tick_size: Decimal::new(1, 1),
        min_price: Decimal::new(1, 1),
        max_price: Decimal::from(2_000_000),
        qty_step: Decimal::new(1, 3),
        min_qty: Decimal::new(1, 3),
        max_qty: Decimal::from(1000),
        max_market_qty: Decimal::from(100),
        min_notional: Decimal::from(5),
    }
}
