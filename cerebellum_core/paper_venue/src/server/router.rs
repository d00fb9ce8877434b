//! Which handler answers which path.

use super::venue::Venue;
use super::{admin, gate, rest, sockets};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use axum::Router;
use std::sync::Arc;

/// All paths of the venue, behind a gate.
pub fn router(venue: Arc<Venue>, gate: gate::Gate) -> Router {
    Router::new()
        .route("/v5/public/linear", get(sockets::public))
        .route("/v5/private", get(sockets::private))
        .route("/v5/trade", get(sockets::trade))
        .route("/admin/{*what}", any(admin::handle))
        .fallback(rest::handle)
        .layer(from_fn_with_state(Arc::new(gate), gate::guard))
        .with_state(venue)
}
