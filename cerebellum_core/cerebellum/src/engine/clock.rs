//! The clock of the core: milliseconds that only ever go forward.

use std::{sync::OnceLock, time::Instant};

use crate::execution::model::io::{AmendOutcome, CreateOutcome, Input, Now};

/// The longest pause that the venue can ask for, ms; after that it is simply asked again.
const LONGEST_PAUSE_MS: i64 = 10_000;

/// Milliseconds since this process first asked; setting the wall clock never moves it.
#[must_use]
pub fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed().as_millis();
    Now { ms: i64::try_from(since).unwrap_or(i64::MAX) }
}

/// Puts times that the venue reported by the wall clock into the core's clock.
#[must_use]
pub fn translate(input: Input, wall_ms: i64, now: Now) -> Input {
    let here = |until: i64| now.ms + (until - wall_ms).clamp(0, LONGEST_PAUSE_MS);
    match input {
        Input::Pause(until) => Input::Pause(here(until)),
        Input::CreateReply { link_id, outcome: CreateOutcome::NotExecuted { retry_at, text } } => {
            let outcome = CreateOutcome::NotExecuted { retry_at: here(retry_at), text };
            Input::CreateReply { link_id, outcome }
        }
        Input::AmendReply { link_id, outcome: AmendOutcome::NotExecuted { retry_at, text } } => {
            let outcome = AmendOutcome::NotExecuted { retry_at: here(retry_at), text };
            Input::AmendReply { link_id, outcome }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(until: i64, wall_ms: i64) -> i64 {
        match translate(Input::Pause(until), wall_ms, Now { ms: 500 }) {
            Input::Pause(until) => until,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reset_reported_by_the_wall_clock_becomes_a_wait_of_bounded_length() {
        let wall = 1_700_000_000_000;
        assert_eq!(pause(wall + 250, wall), 750);
        assert_eq!(pause(wall - 250, wall), 500, "a reset in the past is no wait");
        assert_eq!(
            pause(wall + 86_400_000, wall),
            10_500,
            "a clock set back holds nothing for long"
        );
    }

    #[test]
    fn the_clock_never_goes_back() {
        let first = now();
        assert!(now().ms >= first.ms);
    }
}
