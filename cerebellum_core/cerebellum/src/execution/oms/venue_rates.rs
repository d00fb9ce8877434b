//! How much the venue takes of each kind of request.

use crate::execution::oms::rate_limit::{Budget, RateLimiter};

/// The queues of what has to wait, and the budgets of what is tried again anyway.
#[derive(Clone, Debug)]
pub(in crate::execution) struct VenueRates {
    /// New orders that wait for their turn.
    pub orders: RateLimiter,
    /// Amends that do; the venue counts them apart from new orders.
    pub amends: RateLimiter,
    /// Questions about single orders.
    pub queries: Budget,
    /// Cancels.
    pub cancels: Budget,
}

impl VenueRates {
    /// So many orders, and as many amends, in any one second.
    pub(in crate::execution) fn new(per_second: usize) -> Self {
        let orders = RateLimiter::new(per_second);
        Self {
            amends: orders.clone(),
            orders,
            queries: Budget::new(3, 100),
            cancels: Budget::new(10, 1_000),
        }
    }

    /// Changes how many orders and amends leave in any one second.
    pub(in crate::execution) fn set_per_second(&mut self, per_second: usize) {
        self.orders.set_per_second(per_second);
        self.amends.set_per_second(per_second);
    }

    /// Lets no order and no amend leave before this time, ms.
    pub(in crate::execution) fn pause_until(&mut self, ms: i64) {
        self.orders.pause_until(ms);
        self.amends.pause_until(ms);
    }
}
