//! Rate limits in wall time: so many requests per rolling second, account and endpoint.

use std::collections::{HashMap, VecDeque};

/// Where an account stands after one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per second.
    pub limit: usize,
    /// What is left of them.
    pub left: usize,
    /// When there is room again, in wall milliseconds.
    pub reset: i64,
    /// Whether this request may pass.
    pub granted: bool,
}

/// Counts requests.
#[derive(Debug, Default)]
pub struct Limits {
    seen: HashMap<(usize, &'static str), VecDeque<i64>>,
}

/// Length of the rolling window.
const WINDOW_MS: i64 = 1_000;
/// A reset stamp lies at least so far ahead, because a client may sleep until it.
const AHEAD_MS: i64 = 50;

impl Limits {
    /// Counts one request of an account at an endpoint.
    pub fn count(
        &mut self,
        account: usize,
        endpoint: &'static str,
        limit: usize,
        now: i64,
    ) -> Allowance {
        let seen = self.seen.entry((account, endpoint)).or_default();
        while seen.front().is_some_and(|oldest| now - oldest >= WINDOW_MS) {
            seen.pop_front();
        }
        let granted = seen.len() < limit;
        if granted {
            seen.push_back(now);
        }
        let oldest = seen.front().copied().unwrap_or(now);
        let reset = if granted { now } else { (oldest + WINDOW_MS).max(now + AHEAD_MS) };
        Allowance { limit, left: limit.saturating_sub(seen.len()), reset, granted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_over_the_limit_waits_until_the_oldest_is_a_second_old() {
        let mut limits = Limits::default();
        for index in 0..10 {
            assert!(limits.count(0, "create", 10, 1_000 + index).granted);
        }
        let refused = limits.count(0, "create", 10, 1_020);
        assert_eq!((refused.granted, refused.left, refused.reset), (false, 0, 2_000));
        assert!(limits.count(1, "create", 10, 1_020).granted, "another account has its own");
        assert!(limits.count(0, "cancel", 10, 1_020).granted, "another endpoint has its own");
        assert!(limits.count(0, "create", 10, 2_000).granted);
    }
}
