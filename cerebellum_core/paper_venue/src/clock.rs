//! Two clocks: wall time for signatures and limits, market time for everything else.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time in milliseconds since 1970.
#[must_use]
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Wall time in nanoseconds since 1970.
#[must_use]
pub fn wall_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Market time: begins at an instant and runs at a speed.
#[derive(Debug, Clone, Copy)]
pub struct MarketClock {
    start: Option<i64>,
    began: Instant,
    began_wall: i64,
    speed: f64,
}

impl MarketClock {
    /// A clock that begins now; without a start and at speed 1 it is wall time itself.
    #[must_use]
    pub fn new(start: Option<i64>, speed: f64) -> Self {
        Self { start, began: Instant::now(), began_wall: wall_ms(), speed }
    }

    /// The market instant at which it began.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start.unwrap_or(self.began_wall)
    }

    /// Market milliseconds per wall millisecond.
    #[must_use]
    pub const fn speed(&self) -> f64 {
        self.speed
    }

    /// Market time now.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::float_cmp)]
    pub fn now(&self) -> i64 {
        if self.start.is_none() && self.speed == 1.0 {
            return wall_ms();
        }
        let passed = self.began.elapsed().as_secs_f64() * 1_000.0 * self.speed;
        self.start().saturating_add(passed as i64)
    }
}
