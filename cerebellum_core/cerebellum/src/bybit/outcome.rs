//! What the venue's code reports about an order: taken, refused, landed before, worth a retry, unknown.

use protocol::wire::RejectCode;

use crate::execution::model::io::{AmendOutcome, CancelOutcome, CreateOutcome};

/// What came back from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A reply with a code.
    Code {
        /// `retCode`.
        code: i64,
        /// `retMsg`.
        text: String,
        /// `result.orderId`, if there is one.
        order_id: String,
        /// Local wall time from which the venue takes more, if it is known, ms.
        reset_at: Option<i64>,
    },
    /// The request certainly never reached the venue.
    NeverSent(String),
    /// Anything else: a timeout, a broken connection, a page that is no reply.
    Silence(String),
}

/// How long to wait before trying again when the venue names no time, ms.
const RETRY_MS: i64 = 250;

/// What a create's answer means.
#[must_use]
pub fn of_create(answer: Answer, now: i64) -> CreateOutcome {
    match answer {
        Answer::NeverSent(text) => CreateOutcome::NotExecuted { retry_at: now + RETRY_MS, text },
        Answer::Silence(text) => CreateOutcome::Ambiguous { text },
        Answer::Code { code, text, order_id, reset_at } => {
            let text = format!("{code}: {text}");
            match code {
                // An acceptance that names no order proves nothing.
                0 if order_id.is_empty() => {
                    CreateOutcome::Ambiguous { text: "accepted without orderId".to_owned() }
                }
                0 => CreateOutcome::Accepted { order_id },
                110_072 | 170_141 => CreateOutcome::Landed,
                // Too many visits, and a stamp outside the window, are reported before any matching.
                10_006 | 10_018 | 10_403 | 20_003 => CreateOutcome::NotExecuted {
                    retry_at: reset_at.unwrap_or(now + 1_000).max(now + 20),
                    text,
                },
                10_002 | 110_079 => CreateOutcome::NotExecuted { retry_at: now + RETRY_MS, text },
                10_000 | 10_014 | 10_016 | 10_019 | 10_429 | 20_006 => {
                    CreateOutcome::Ambiguous { text }
                }
                code => CreateOutcome::Refused { code: refusal(code), text },
            }
        }
    }
}

/// What an amend's answer means: any definite refusal leaves the order as it was.
#[must_use]
pub fn of_amend(answer: Answer, now: i64) -> AmendOutcome {
    match of_create(answer, now) {
        CreateOutcome::Accepted { .. } => AmendOutcome::Accepted,
        CreateOutcome::Refused { text, .. } => AmendOutcome::Refused { text },
        CreateOutcome::Landed => {
            AmendOutcome::Refused { text: "the venue calls it a duplicate".to_owned() }
        }
        CreateOutcome::NotExecuted { retry_at, text } => {
            AmendOutcome::NotExecuted { retry_at, text }
        }
        CreateOutcome::Ambiguous { text } => AmendOutcome::Ambiguous { text },
    }
}

/// What a cancel's answer means.
#[must_use]
pub fn of_cancel(answer: Answer) -> CancelOutcome {
    match answer {
        Answer::NeverSent(text) | Answer::Silence(text) => CancelOutcome::Retry { text },
        Answer::Code { code, text, .. } => match code {
            0 => CancelOutcome::Accepted,
            10_000 | 10_002 | 10_006 | 10_014 | 10_016 | 10_018 | 10_019 | 10_403 | 10_429
            | 20_003 | 20_006 | 110_079 => CancelOutcome::Retry { text: format!("{code}: {text}") },
            _ => CancelOutcome::Gone { text: format!("{code}: {text}") },
        },
    }
}

fn refusal(code: i64) -> RejectCode {
    match code {
        110_004 | 110_007 | 110_012 | 110_044 | 110_045 => RejectCode::InsufficientMargin,
        110_017 => RejectCode::ReduceOnly,
        110_003 | 110_120 | 110_121 => RejectCode::BadPrice,
        110_094 => RejectCode::BelowMinimum,
        _ => RejectCode::VenueRejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(code: i64) -> CreateOutcome {
        let answer = Answer::Code {
            code,
            text: "text".to_owned(),
            order_id: "o".to_owned(),
            reset_at: Some(1_500),
        };
        of_create(answer, 1_000)
    }

    #[test]
    fn a_timeout_is_never_a_rejection() {
        for code in [10_000, 10_014, 10_016, 10_019, 10_429, 20_006] {
            assert!(matches!(create(code), CreateOutcome::Ambiguous { .. }), "{code}");
        }
        let silent = of_create(Answer::Silence("timeout".to_owned()), 0);
        assert!(matches!(silent, CreateOutcome::Ambiguous { .. }));
    }

    #[test]
    fn an_acceptance_without_an_order_id_is_not_believed() {
        let bare = Answer::Code {
            code: 0,
            text: "OK".to_owned(),
            order_id: String::new(),
            reset_at: None,
        };
        assert!(matches!(of_create(bare, 0), CreateOutcome::Ambiguous { .. }));
    }

    #[test]
    fn a_taken_client_order_id_means_that_it_landed() {
        assert_eq!(create(110_072), CreateOutcome::Landed);
    }

    #[test]
    fn rate_limits_wait_for_the_reset_and_are_not_rejections() {
        for code in [10_006, 10_018] {
            let text = format!("{code}: text");
            assert_eq!(create(code), CreateOutcome::NotExecuted { retry_at: 1_500, text });
        }
        let code = 10_018;
        let (text, order_id) = (String::new(), String::new());
        let cancelled = of_cancel(Answer::Code { code, text, order_id, reset_at: None });
        assert!(matches!(cancelled, CancelOutcome::Retry { .. }));
        assert!(matches!(create(10_002), CreateOutcome::NotExecuted { .. }));
    }

    #[test]
    fn refusals_keep_their_meaning() {
        for (code, meaning) in [
            (110_007, RejectCode::InsufficientMargin),
            (110_017, RejectCode::ReduceOnly),
            (110_003, RejectCode::BadPrice),
            (110_094, RejectCode::BelowMinimum),
            (10_001, RejectCode::VenueRejected),
        ] {
            assert!(matches!(create(code), CreateOutcome::Refused { code, .. } if code == meaning));
        }
    }
}
