//! REST requests and answers.

use super::answer::{not_found, respond, respond_with};
use super::query::{read_query, symbol_of};
use super::rate_limited::limited;
use super::scope::Request;
use super::{auth, batch, private, public, Core, Venue};
use crate::clock::wall_ms;
use crate::exchange::Refusal;
use crate::listener::Tap;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use protocol::bybit::codes;
use serde_json::Value;
use std::sync::Arc;

/// Answers any path that is not a WebSocket.
pub async fn handle(
    State(venue): State<Arc<Venue>>,
    ConnectInfo(tap): ConnectInfo<Tap>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !venue.admits(wall_ms()) {
        let refusal = Refusal::new(codes::IP_LIMIT, "access too frequent, please try again later");
        return (StatusCode::FORBIDDEN, respond(Err(refusal), None)).into_response();
    }
    let path = uri.path();
    if let Some(name) = path.strip_prefix("/v5/market/").filter(|_| method == Method::GET) {
        return answer_market(&venue, &tap, &uri, name).await;
    }
    let Some(bucket) = private::bucket(method.as_str(), path) else {
        return unknown(&method, path);
    };
    match read_private(&venue, &method, &uri, &headers, &body) {
        Ok((account, asked)) => answer_private(&venue, &tap, path, bucket, account, &asked).await,
        Err((status, refusal)) => (status, respond(Err(refusal), None)).into_response(),
    }
}

async fn answer_market(venue: &Venue, tap: &Tap, uri: &Uri, name: &str) -> Response {
    let query = read_query(uri.query().unwrap_or(""));
    let request =
        Request { endpoint: "market", account: None, symbol: symbol_of(&query), channel: "rest" };
    let ask = |core: &mut Core| match public::answer(core, name, &query) {
        Some(answer) => respond(answer, None),
        None => not_found(uri.path()),
    };
    carry_out(venue, tap, &request, ask).await
}

/// The account that sent a private request, and what it asks; else the status and the refusal.
fn read_private(
    venue: &Venue,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(usize, Value), (StatusCode, Refusal)> {
    let raw = uri.query().unwrap_or("");
    if method == Method::GET {
        if !body.is_empty() {
            let refusal = Refusal::new(codes::PARAMETER, "a GET request must not have a body");
            return Err((StatusCode::FORBIDDEN, refusal));
        }
        return Ok((sender(venue, headers, raw.as_bytes())?, read_query(raw)));
    }
    let account = sender(venue, headers, body)?;
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_object() => Ok((account, value)),
        _ => {
            let text = "params error: the body is not a JSON object";
            Err((StatusCode::OK, Refusal::new(codes::PARAMETER, text)))
        }
    }
}

async fn answer_private(
    venue: &Venue,
    tap: &Tap,
    path: &str,
    bucket: (&'static str, usize),
    account: usize,
    asked: &Value,
) -> Response {
    let request = Request {
        endpoint: bucket.0,
        account: Some(account),
        symbol: symbol_of(asked),
        channel: "rest",
    };
    let ask = |core: &mut Core| {
        if let Some(path) = batch::single(path) {
            return match batch::answer(core, venue, &request, path, bucket, asked) {
                (Ok((rows, outcomes)), allowance) => {
                    respond_with(Ok(rows), &outcomes, Some(allowance))
                }
                (Err(refusal), allowance) => respond(Err(refusal), Some(allowance)),
            };
        }
        let (answer, allowance) = limited(core, venue, &request, path, bucket, asked);
        respond(answer, Some(allowance))
    };
    carry_out(venue, tap, &request, ask).await
}

/// Answers a request that is for no path, or for one by another method.
fn unknown(method: &Method, path: &str) -> Response {
    let known = ["GET", "POST"].iter().any(|other| private::bucket(other, path).is_some());
    if known || path.starts_with("/v5/market/") {
        let refusal = Refusal::new(codes::PARAMETER, format!("method {method} is not for {path}"));
        return (StatusCode::BAD_REQUEST, respond(Err(refusal), None)).into_response();
    }
    not_found(path)
}

/// The account that signed a request; else the status and the refusal.
fn sender(
    venue: &Venue,
    headers: &HeaderMap,
    signed: &[u8],
) -> Result<usize, (StatusCode, Refusal)> {
    let now = wall_ms();
    if auth::header(headers, "x-bapi-api-key").is_empty()
        || auth::header(headers, "x-bapi-sign").is_empty()
    {
        let refusal = Refusal::new(codes::API_KEY, "X-BAPI-API-KEY or X-BAPI-SIGN is missing");
        return Err((StatusCode::UNAUTHORIZED, refusal));
    }
    let offset = venue.with(|core| core.faults.clock_offset_ms);
    auth::sender(venue, headers, signed, now + offset).map_err(|refusal| (StatusCode::OK, refusal))
}

/// Answers a request with all that goes wrong on demand.
async fn carry_out(
    venue: &Venue,
    tap: &Tap,
    request: &Request<'_>,
    ask: impl FnOnce(&mut Core) -> Response,
) -> Response {
    let (before, after) = venue.quietly(|core| core.faults.lateness(request));
    if !before.is_zero() {
        tokio::time::sleep(before).await;
    }
    let (response, lost) = venue.with(|core| {
        let response = match core.faults.fails(request) {
            None => ask(core),
            Some((status, code, commit)) => {
                if commit {
                    ask(core);
                }
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                (status, respond(Err(Refusal::new(code, "server error")), None)).into_response()
            }
        };
        (response, core.faults.loses_ack(request))
    });
    if !after.is_zero() {
        tokio::time::sleep(after).await;
    }
    if lost {
        tap.kill();
    }
    response
}
