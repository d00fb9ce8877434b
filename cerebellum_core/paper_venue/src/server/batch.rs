//! Batches of orders: each order has its own outcome and counts against the limit on its own.

use super::limits::Allowance;
use super::scope::Request;
use super::{private, Core, Venue};
use crate::clock::wall_ms;
use crate::exchange::request::Fields;
use crate::exchange::Refusal;
use protocol::bybit::codes;
use serde_json::{json, Value};

/// Most orders of one batch.
const MOST: usize = 10;

/// What became of a batch: the rows, what became of each, and where the limit stands.
pub type Outcome = (Result<(Value, Value), Refusal>, Allowance);

/// The path of a single order for the path of a batch.
#[must_use]
pub fn single(path: &str) -> Option<&str> {
    path.strip_suffix("-batch").filter(|path| path.starts_with("/v5/order/"))
}

/// Carries out a batch, order by order.
pub fn answer(
    core: &mut Core,
    venue: &Venue,
    request: &Request<'_>,
    path: &str,
    (bucket, limit): (&'static str, usize),
    asked: &Value,
) -> Outcome {
    let account = request.account.unwrap_or(usize::MAX);
    let none = Allowance { limit, left: limit, reset: wall_ms(), granted: true };
    let category = match Fields(asked).linear() {
        Ok(()) => json!("linear"),
        Err(refusal) => return (Err(refusal), none),
    };
    let orders = asked.get("request").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if orders.is_empty() || orders.len() > MOST {
        let message =
            format!("params error: request must hold 1 to {MOST} orders, not {}", orders.len());
        return (Err(Refusal::new(codes::PARAMETER, message)), none);
    }
    let (mut rows, mut outcomes, mut last) = (Vec::new(), Vec::new(), none);
    for order in orders {
        let mut order = order.clone();
        if let Some(fields) = order.as_object_mut() {
            fields.insert("category".to_owned(), category.clone());
        }
        last = core.limits.count(account, bucket, limit, wall_ms());
        if last.granted && core.faults.limits(request) {
            last = Allowance { left: 0, reset: wall_ms() + 200, granted: false, ..last };
        }
        let answer = if last.granted {
            private::answer(core, venue, account, path, &order)
        } else {
            Err(Refusal::new(codes::RATE_LIMIT, "Too many visits. Exceeded the API Rate Limit."))
        };
        let given = |name: &str| order.get(name).cloned().unwrap_or_else(|| json!(""));
        match answer {
            Ok(reference) => {
                rows.push(json!({
                    "category": category, "symbol": given("symbol"), "orderId": reference["orderId"],
                    "orderLinkId": reference["orderLinkId"], "createAt": core.exchange.now().to_string(),
                }));
                outcomes.push(json!({"code": 0, "msg": "OK"}));
            }
            Err(refusal) => {
                rows.push(json!({
                    "category": category, "symbol": given("symbol"), "orderId": "",
                    "orderLinkId": given("orderLinkId"), "createAt": "",
                }));
                outcomes.push(json!({"code": refusal.code, "msg": refusal.message}));
            }
        }
    }
    (Ok((json!({"list": rows}), json!({"list": outcomes}))), last)
}
