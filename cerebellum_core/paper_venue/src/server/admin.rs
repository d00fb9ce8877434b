//! Status, faults and the books of accounts for whoever runs the venue.

use super::faults::{break_sockets, silence, Fault};
use super::request_error::RequestError;
use super::scope::Scope;
use super::{parameters, Core, Venue};
use crate::feed::hub::Out;
use crate::market::funding::Funding;
use crate::server::query;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{header, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{json, Map, Value};
use std::sync::Arc;

/// Answers `GET /admin/status`, `GET /admin/ledger`, `POST /admin/fault` and
/// `POST /admin/advance`.
pub async fn handle(
    State(venue): State<Arc<Venue>>,
    Path(what): Path<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let query = query::read_query(uri.query().unwrap_or(""));
    let answer = match (&method, what.as_str()) {
        (&Method::GET, "status") => parameters::only(&[], &query).map(|()| status(&venue)),
        (&Method::GET, "ledger") => {
            parameters::only(&["key"], &query).and_then(|()| ledger(&venue, &query))
        }
        (&Method::POST, "fault") => {
            read_fault(&body).and_then(|(fault, scope)| inject(&venue, &fault, &scope))
        }
        (&Method::POST, "advance") => advance(&venue, &body),
        (method, _) => {
            let line = format!(
                "no {method} /admin/{what}; there are GET status, GET ledger, POST fault and \
                 POST advance"
            );
            return show(StatusCode::NOT_FOUND, &json!({"error": line}));
        }
    };
    match answer {
        Ok(value) => show(StatusCode::OK, &value),
        Err(error) => show(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
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
            "funding": funding(core),
            "accounts": core.exchange.accounts().len(),
            "sockets": core.hub.count(),
            "faults": core.faults,
        })
    })
}

/// Where the rates of funding come from: a word, or how many of a recording are known.
fn funding(core: &Core) -> Value {
    match core.exchange.market().funding() {
        Funding::Made => json!("made up"),
        Funding::Reported => json!("told"),
        Funding::Given(given) => {
            let symbols = core.exchange.instruments().iter().zip(given);
            let counts = symbols.map(|(one, known)| (one.symbol.clone(), json!(known.len())));
            Value::Object(counts.collect())
        }
    }
}

/// Index of the account with this key.
fn account(venue: &Venue, key: &str) -> Result<usize, RequestError> {
    let found = venue.keys.iter().position(|opening| opening.key == key);
    found.ok_or_else(|| format!("key {key} is not in the keys file of this venue").into())
}

/// The whole history of one account, or of all: orders, executions, positions and wallet.
fn ledger(venue: &Venue, query: &Value) -> Result<Value, RequestError> {
    let wanted = match query.get("key").and_then(Value::as_str) {
        Some(key) => vec![account(venue, key)?],
        None => (0..venue.keys.len()).collect(),
    };
    Ok(venue.with(|core| {
        let accounts: Vec<Value> = wanted
            .into_iter()
            .map(|account| account_books(core, venue.keys[account].key.as_str(), account))
            .collect();
        json!({"market_ts": core.exchange.now(), "accounts": accounts})
    }))
}

fn account_books(core: &Core, key: &str, account: usize) -> Value {
    let exchange = &core.exchange;
    let owner = &exchange.accounts()[account];
    let mut numbers: Vec<u64> = owner.open.iter().chain(&owner.ended).copied().collect();
    numbers.sort_unstable();
    let orders: Vec<Value> = numbers
        .iter()
        .filter_map(|number| exchange.order(*number))
        .map(|order| json!(exchange.order_row(order, false)))
        .collect();
    let executions: Vec<Value> = owner
        .executions
        .iter()
        .map(|execution| json!(exchange.execution_row(execution, false)))
        .collect();
    let positions: Vec<Value> = (0..exchange.instruments().len())
        .map(|symbol| json!(exchange.position_row(account, symbol, false)))
        .collect();
    json!({
        "key": key,
        "deposit": owner.initial.normalize().to_string(),
        "orders": orders,
        "executions": executions,
        "positions": positions,
        "wallet": exchange.wallet_row(account),
    })
}

/// Longest jump of market time in one request.
const LONGEST_JUMP_MS: i64 = 30 * 86_400_000;

/// Moves the market time of a stepped venue on, with everything that happens until then.
fn advance(venue: &Venue, body: &[u8]) -> Result<Value, RequestError> {
    let asked: Value =
        serde_json::from_slice(body).map_err(|error| RequestError::from(error.to_string()))?;
    let ms = asked.get("ms").and_then(Value::as_i64).unwrap_or(-1);
    if !(0..=LONGEST_JUMP_MS).contains(&ms) {
        return Err(format!("ms is not a whole number from 0 to {LONGEST_JUMP_MS}").into());
    }
    if !venue.clock().step(ms) {
        return Err("market time runs by itself here; start the venue with --stepped".into());
    }
    Ok(venue.with(|core| json!({"ok": true, "market_ts": core.exchange.now()})))
}

/// Splits a request into the fault itself and its scope.
pub(super) fn read_fault(body: &[u8]) -> Result<(Fault, Scope), RequestError> {
    let mut fault: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| RequestError::from(error.to_string()))?;
    let mut scope = Map::new();
    for name in Scope::FIELDS {
        if let Some(value) = fault.remove(name) {
            scope.insert(name.to_owned(), value);
        }
    }
    let fault: Fault = serde_json::from_value(Value::Object(fault))
        .map_err(|error| RequestError::from(error.to_string()))?;
    if let Some(name) = scope.keys().find(|name| !fault.takes().contains(&name.as_str())) {
        return Err(
            format!("{name} is not a field of this kind; it takes {:?}", fault.takes()).into()
        );
    }
    let mut scope: Scope = serde_json::from_value(Value::Object(scope))
        .map_err(|error| RequestError::from(error.to_string()))?;
    scope.check()?;
    if fault.is_counted() && scope.count.is_none() && scope.probability.is_none() {
        return Err("count or probability is missing: say how often it happens".into());
    }
    if matches!(fault, Fault::Gap {}) && scope.count.is_none() && scope.probability.is_none() {
        scope.count = Some(1);
    }
    Ok((fault, scope))
}

/// Carries a fault out, or arms it; returns what it met.
pub(super) fn inject(venue: &Venue, fault: &Fault, scope: &Scope) -> Result<Value, RequestError> {
    let account = scope.key.as_deref().map(|key| account(venue, key)).transpose()?;
    venue.with(|core| {
        let symbol = match &scope.symbol {
            Some(name) => Some(
                core.exchange
                    .symbol(name)
                    .ok_or_else(|| format!("symbol {name} is not served here"))?,
            ),
            None => None,
        };
        core.faults.arm(fault, scope, account);
        let mut chance = scope.chance();
        let hub = &mut core.hub;
        let mut sockets = 0;
        match fault {
            Fault::Silent { path } => sockets = silence(hub, path, account, &mut chance),
            Fault::Close { path } => {
                sockets = break_sockets(hub, path, account, &mut chance, &Out::Close);
            }
            Fault::Cut { path } => {
                sockets = break_sockets(hub, path, account, &mut chance, &Out::Cut);
            }
            Fault::Gap {} => {
                let symbol = symbol.ok_or("symbol is missing: whose book has a gap")?;
                core.feed.skip_updates(symbol, chance);
                core.exchange.mark_changed(symbol);
            }
            Fault::Restart {} => {
                let symbol = symbol.ok_or("symbol is missing: whose book begins again")?;
                core.feed.restart_book(&mut core.exchange, hub, symbol);
            }
            Fault::DuplicatePrivate {} => {
                hub.disorder.duplicate(account, scope.topic.clone(), chance);
            }
            Fault::ReorderPrivate {} => {
                hub.disorder.reorder(account, scope.topic.clone(), chance);
            }
            Fault::Clear {} => {
                hub.calm();
                core.feed.skip_nothing();
            }
            _ => {}
        }
        tracing::info!(?fault, ?scope, sockets, "a fault on demand");
        Ok(json!({"ok": true, "sockets": sockets, "faults": core.faults}))
    })
}
