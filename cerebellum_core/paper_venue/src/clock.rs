//! Two clocks: wall time for signatures and limits, market time for everything else.

use std::sync::atomic::{AtomicI64, Ordering};
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

/// Market time: begins at an instant and runs at a speed, or moves only when it is asked to.
#[derive(Debug)]
pub struct MarketClock {
    start: Option<i64>,
    began: Instant,
    began_wall: i64,
    speed: f64,
    /// Milliseconds since the start of a clock that moves only when it is asked to.
    steps: Option<AtomicI64>,
}

impl MarketClock {
    /// A clock that begins now; without a start and at speed 1 it is wall time itself.
    #[must_use]
    pub fn new(start: Option<i64>, speed: f64) -> Self {
        Self { start, began: Instant::now(), began_wall: wall_ms(), speed, steps: None }
    }

    /// A clock that stands at its start until [`Self::step`] moves it.
    #[must_use]
    pub fn stepped(start: Option<i64>) -> Self {
        let start = Some(start.unwrap_or_else(wall_ms));
        Self { steps: Some(AtomicI64::new(0)), ..Self::new(start, 1.0) }
    }

    /// Moves a stepped clock on; returns whether it is one.
    pub fn step(&self, ms: i64) -> bool {
        if let Some(steps) = &self.steps {
            steps.fetch_add(ms.max(0), Ordering::SeqCst);
        }
        self.steps.is_some()
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
        if let Some(steps) = &self.steps {
            return self.start().saturating_add(steps.load(Ordering::SeqCst));
        }
        if self.start.is_none() && self.speed == 1.0 {
            return wall_ms();
        }
        let passed = self.began.elapsed().as_secs_f64() * 1_000.0 * self.speed;
        self.start().saturating_add(passed as i64)
    }
}
