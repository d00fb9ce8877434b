//! Status and faults for whoever runs the venue.

use super::faults::{break_sockets, silence, Fault};
use super::Venue;
use crate::feed::hub::Out;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{header, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{json, Value};
use std::sync::Arc;

/// Answers `GET /admin/status` and `POST /admin/fault`.
pub async fn handle(
    State(venue): State<Arc<Venue>>,
    Path(what): Path<String>,
    method: Method,
    body: Bytes,
) -> Response {
    match (method, what.as_str()) {
        (Method::GET, "status") => show(StatusCode::OK, &status(&venue)),
        (Method::POST, "fault") => match serde_json::from_slice::<Fault>(&body) {
            Ok(fault) => match inject(&venue, &fault) {
                Ok(done) => show(StatusCode::OK, &done),
                Err(line) => show(StatusCode::BAD_REQUEST, &json!({"error": line})),
            },
            Err(error) => show(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
        },
        (method, _) => show(
            StatusCode::NOT_FOUND,
            &json!({"error": format!("no {method} /admin/{what}; there are GET status and POST fault")}),
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
            "sockets": core.hub.count(),
            "faults": core.faults,
        })
    })
}

/// Carries a fault out, or arms it; says what it met.
fn inject(venue: &Venue, fault: &Fault) -> Result<Value, String> {
    venue.with(|core| {
        core.faults.arm(fault);
        let mut sockets = 0;
        match fault {
            Fault::Silent { path } => sockets = silence(&mut core.hub, path),
            Fault::Close { path } => sockets = break_sockets(&mut core.hub, path, &Out::Close),
            Fault::Cut { path } => sockets = break_sockets(&mut core.hub, path, &Out::Cut),
            Fault::Gap { symbol } | Fault::Restart { symbol } => {
                let index = core.exchange.symbol(symbol);
                let index = index.ok_or_else(|| format!("symbol {symbol} is not served here"))?;
                if matches!(fault, Fault::Gap { .. }) {
                    core.feed.skip_update(index);
                    core.exchange.mark_changed(index);
                } else {
                    core.feed.restart_book(&mut core.exchange, &mut core.hub, index);
                }
            }
            Fault::DuplicatePrivate { count } => core.hub.disorder.duplicate = *count,
            Fault::ReorderPrivate { count } => core.hub.disorder.reorder = *count,
            Fault::Clear => core.hub.calm(),
            _ => {}
        }
        tracing::info!(?fault, sockets, "a fault on demand");
        Ok(json!({"ok": true, "sockets": sockets, "faults": core.faults}))
    })
}
