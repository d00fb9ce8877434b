//! REST requests and answers.

use super::{auth, batch, private, public, Core, Venue};
use crate::clock::wall_ms;
use crate::doors::Tap;
use crate::exchange::Refusal;
use crate::server::limits::Allowance;
use crate::server::scope::Request;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use protocol::bybit::codes;
use serde_json::{json, Map, Value};
use std::sync::Arc;

/// A result, or why there is none.
pub type Answer = Result<Value, Refusal>;

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
    let raw = uri.query().unwrap_or("");
    let query = read_query(raw);
    let path = uri.path();
    if let Some(name) = path.strip_prefix("/v5/market/").filter(|_| method == Method::GET) {
        let request = Request {
            endpoint: "market",
            account: None,
            symbol: symbol_of(&query),
            channel: "rest",
        };
        let ask = |core: &mut Core| match public::answer(core, name, &query) {
            Some(answer) => respond(answer, None),
            None => not_found(path),
        };
        return carry_out(&venue, &tap, &request, ask).await;
    }
    let Some((bucket, limit)) = private::bucket(method.as_str(), path) else {
        let known = ["GET", "POST"].iter().any(|other| private::bucket(other, path).is_some());
        if known || path.starts_with("/v5/market/") {
            let refusal =
                Refusal::new(codes::PARAMETER, format!("method {method} is not for {path}"));
            return (StatusCode::BAD_REQUEST, respond(Err(refusal), None)).into_response();
        }
        return not_found(path);
    };
    let is_get = method == Method::GET;
    if is_get && !body.is_empty() {
        let refusal = Refusal::new(codes::PARAMETER, "a GET request must not have a body");
        return (StatusCode::FORBIDDEN, respond(Err(refusal), None)).into_response();
    }
    let now = wall_ms();
    let signed = if is_get { raw.as_bytes() } else { &body };
    if auth::header(&headers, "x-bapi-api-key").is_empty()
        || auth::header(&headers, "x-bapi-sign").is_empty()
    {
        let refusal = Refusal::new(codes::API_KEY, "X-BAPI-API-KEY or X-BAPI-SIGN is missing");
        return (StatusCode::UNAUTHORIZED, respond(Err(refusal), None)).into_response();
    }
    let offset = venue.with(|core| core.faults.clock_offset_ms);
    let account = match auth::sender(&venue, &headers, signed, now + offset) {
        Ok(account) => account,
        Err(refusal) => return respond(Err(refusal), None),
    };
    let asked = if is_get {
        query
    } else {
        match serde_json::from_slice::<Value>(&body) {
            Ok(value) if value.is_object() => value,
            _ => {
                let refusal =
                    Refusal::new(codes::PARAMETER, "params error: the body is not a JSON object");
                return respond(Err(refusal), None);
            }
        }
    };
    let request = Request {
        endpoint: bucket,
        account: Some(account),
        symbol: symbol_of(&asked),
        channel: "rest",
    };
    let ask = |core: &mut Core| {
        if let Some(path) = batch::single(path) {
            return match batch::answer(core, &venue, &request, path, (bucket, limit), &asked) {
                (Ok((rows, outcomes)), allowance) => {
                    respond_with(Ok(rows), &outcomes, Some(allowance))
                }
                (Err(refusal), allowance) => respond(Err(refusal), Some(allowance)),
            };
        }
        let (answer, allowance) = limited(core, &venue, &request, path, (bucket, limit), &asked);
        respond(answer, Some(allowance))
    };
    carry_out(&venue, &tap, &request, ask).await
}

/// The symbol that a request names, or the first order of a batch.
#[must_use]
pub fn symbol_of(asked: &Value) -> &str {
    let named = asked.get("symbol").or_else(|| asked.pointer("/request/0/symbol"));
    named.and_then(Value::as_str).unwrap_or("")
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

/// Puts an answer into its envelope.
#[must_use]
pub fn envelope(answer: Answer, now: i64) -> Value {
    let (code, message, result) = match answer {
        Ok(result) => (codes::OK, "OK".to_owned(), result),
        Err(refusal) => (refusal.code, refusal.message, json!({})),
    };
    json!({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now})
}

fn respond(answer: Answer, allowance: Option<Allowance>) -> Response {
    respond_with(answer, &json!({}), allowance)
}

fn respond_with(answer: Answer, more: &Value, allowance: Option<Allowance>) -> Response {
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

fn not_found(path: &str) -> Response {
    let refusal = Refusal::new(codes::ROUTE, format!("route {path} not found"));
    (StatusCode::NOT_FOUND, respond(Err(refusal), None)).into_response()
}

/// A query string as an object of texts; the last of several values wins.
#[must_use]
pub fn read_query(raw: &str) -> Value {
    let mut fields = Map::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.insert(decode(name), Value::String(decode(value)));
    }
    Value::Object(fields)
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (digit(ahead.next()), digit(ahead.next())) {
                    (Some(high), Some(low)) => {
                        bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                        rest = ahead;
                    }
                    _ => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_never_trusted() {
        let query = read_query("symbol=BTC%55SDT&cursor=a+b&odd=%zz%4&flag&symbol=ETHUSDT");
        assert_eq!(query["symbol"], "ETHUSDT");
        assert_eq!(query["cursor"], "a b");
        assert_eq!(query["odd"], "%zz%4");
        assert_eq!(query["flag"], "");
    }
}
