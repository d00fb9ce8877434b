//! A venue that turns this address away: no request leaves for a while.
//!
//! Bybit answers HTTP 403 when an address asks too often and wants it to stop for ten minutes; each
//! request before that prolongs the ban. Sockets are counted apart and go on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long no request leaves after HTTP 403.
pub const PAUSE: Duration = Duration::from_secs(600);

/// Whether requests rest; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<Mutex<Option<Instant>>>);

impl Pause {
    /// Begins a pause, or prolongs the one under way; returns whether it is a new one.
    pub fn begin(&self, now: Instant) -> bool {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = until.is_none_or(|until| until <= now);
        *until = now.checked_add(PAUSE);
        is_new
    }

    /// How long requests still rest; `None` if they may leave.
    #[must_use]
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_rest_for_ten_minutes_and_no_longer() {
        let (pause, now) = (Pause::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(pause.left(now), None);
        assert!(pause.begin(now));
        assert_eq!(pause.left(after(1)), Some(Duration::from_secs(599)));
        assert_eq!(pause.left(after(599)), Some(Duration::from_secs(1)));
        assert_eq!(pause.left(after(600)), None);
        assert!(pause.begin(after(700)), "the next one is new");
        assert!(!pause.begin(after(701)), "an answer that comes late belongs to it");
        assert_eq!(pause.left(after(1_300)), Some(Duration::from_secs(1)));
    }
}
