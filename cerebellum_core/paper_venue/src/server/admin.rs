//! Status and faults for whoever runs the venue.

use super::Venue;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{header, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{json, Value};
use std::sync::Arc;

/// What goes wrong on demand.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The server's clock is off by so much when it checks time stamps.
    pub clock_offset_ms: i64,
}

/// Answers `/admin/status`.
pub async fn handle(
    State(venue): State<Arc<Venue>>,
    Path(what): Path<String>,
    method: Method,
    _body: Bytes,
) -> Response {
    match (method, what.as_str()) {
        (Method::GET, "status") => show(StatusCode::OK, &status(&venue)),
        _ => show(
            StatusCode::NOT_FOUND,
            &json!({"error": format!("no /admin/{what}; there is GET status")}),
        ),
    }
}

fn show(code: StatusCode, value: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn status(venue: &Venue) -> Value {
    let speed = venue.clock().speed();
    venue.with(|core| {
        let symbols: Vec<&str> =
            core.exchange.instruments().iter().map(|one| one.symbol.as_str()).collect();
        json!({
            "market_ts": core.exchange.now(),
            "speed": speed,
            "ended": core.exchange.ended(),
            "symbols": symbols,
            "accounts": core.exchange.accounts().len(),
        })
    })
}
