//! Private requests inside their rate limit.

use super::answer::Answer;
use super::limits::Allowance;
use super::scope::Request;
use super::{private, Core, Venue};
use crate::clock::wall_ms;
use crate::exchange::Refusal;
use protocol::bybit::codes;
use serde_json::Value;

/// Answers a private request inside its rate limit.
pub fn limited(
    core: &mut Core,
    venue: &Venue,
    request: &Request<'_>,
    path: &str,
    (bucket, limit): (&'static str, usize),
    asked: &Value,
) -> (Answer, Allowance) {
    let now = wall_ms();
    let account = request.account.unwrap_or(usize::MAX);
    let mut allowance = core.limits.count(account, bucket, limit, now);
    if allowance.granted && core.faults.limits(request) {
        allowance = Allowance { left: 0, reset: now + 200, granted: false, ..allowance };
    }
    if allowance.granted {
        (private::answer(core, venue, account, path, asked), allowance)
    } else {
        (
            Err(Refusal::new(codes::RATE_LIMIT, "Too many visits. Exceeded the API Rate Limit.")),
            allowance,
        )
    }
}
