//! Answers and the envelopes that they travel in.

use super::limits::Allowance;
use crate::clock::wall_ms;
use crate::exchange::Refusal;
use axum::http::{header, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::bybit::codes;
use serde_json::{json, Value};

/// A result, or why there is none.
pub type Answer = Result<Value, Refusal>;

/// Puts an answer into its envelope.
#[must_use]
pub fn envelope(answer: Answer, now: i64) -> Value {
    let (code, message, result) = match answer {
        Ok(result) => (codes::OK, "OK".to_owned(), result),
        Err(refusal) => (refusal.code, refusal.message, json!({})),
    };
    json!({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now})
}

pub(super) fn respond(answer: Answer, allowance: Option<Allowance>) -> Response {
    respond_with(answer, &json!({}), allowance)
}

pub(super) fn respond_with(answer: Answer, more: &Value, allowance: Option<Allowance>) -> Response {
    let mut envelope = envelope(answer, wall_ms());
    envelope["retExtInfo"] = more.clone();
    let text = envelope.to_string();
    let mut response =
        ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response();
    if let Some(allowance) = allowance {
        for (name, value) in rate_headers(&allowance) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
    }
    response
}

/// The headers of a rate limit.
#[must_use]
pub fn rate_headers(allowance: &Allowance) -> [(&'static str, String); 3] {
    [
        ("x-bapi-limit", allowance.limit.to_string()),
        ("x-bapi-limit-status", allowance.left.to_string()),
        ("x-bapi-limit-reset-timestamp", allowance.reset.to_string()),
    ]
}

pub(super) fn not_found(path: &str) -> Response {
    let refusal = Refusal::new(codes::ROUTE, format!("route {path} not found"));
    (StatusCode::NOT_FOUND, respond(Err(refusal), None)).into_response()
}
