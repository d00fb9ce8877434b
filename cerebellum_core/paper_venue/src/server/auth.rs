//! Who sent a request: HMAC over the raw bytes, in wall time.

use super::Venue;
use crate::exchange::Refusal;
use axum::http::HeaderMap;
use protocol::bybit::codes;
use protocol::bybit::signing::{sign_rest, sign_ws_login, signatures_match};

/// Receive window when a request names none.
const WINDOW_MS: i64 = 5_000;
/// How far a client's clock may be ahead.
const AHEAD_MS: i64 = 1_000;

/// A text header, empty when missing.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The account that signed a REST request.
///
/// # Errors
/// Unknown key, wrong signature, or a time stamp outside the window, in this order.
pub fn sender(
    venue: &Venue,
    headers: &HeaderMap,
    payload: &[u8],
    now: i64,
) -> Result<usize, Refusal> {
    let key = header(headers, "x-bapi-api-key");
    let stamp = header(headers, "x-bapi-timestamp");
    let window = header(headers, "x-bapi-recv-window");
    let sign = header(headers, "x-bapi-sign");
    let Some(account) = venue.keys.iter().position(|opening| opening.key == key) else {
        return Err(Refusal::new(codes::API_KEY, "API key is invalid."));
    };
    // A window that is left out is left out of the signed text, too.
    let expected = sign_rest(venue.keys[account].secret.as_bytes(), stamp, key, window, payload);
    if !signatures_match(&expected, sign) {
        let text = String::from_utf8_lossy(payload);
        return Err(Refusal::new(
            codes::SIGNATURE,
            format!("error sign! origin_string[{stamp}{key}{window}{text}]"),
        ));
    }
    check_stamp(stamp, window, now)?;
    Ok(account)
}

/// Whether a time stamp lies inside its window.
///
/// # Errors
/// When it does not.
pub fn check_stamp(stamp: &str, window: &str, now: i64) -> Result<(), Refusal> {
    let window = if window.is_empty() { WINDOW_MS } else { window.parse().unwrap_or(WINDOW_MS) };
    let fits = stamp
        .parse::<i64>()
        .is_ok_and(|ts| now.saturating_sub(window) <= ts && ts < now + AHEAD_MS);
    if fits {
        return Ok(());
    }
    Err(Refusal::new(
        codes::TIMESTAMP,
        format!(
            "invalid request, please check your server timestamp or recv_window param. \
             req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]"
        ),
    ))
}

/// The account that logs in on a WebSocket.
///
/// # Errors
/// Unknown key, wrong signature or an expiry that is over.
pub fn login(
    venue: &Venue,
    key: &str,
    expires: &str,
    sign: &str,
    now: i64,
) -> Result<usize, Refusal> {
    let Some(account) = venue.keys.iter().position(|opening| opening.key == key) else {
        return Err(Refusal::new(codes::API_KEY, "API key is invalid."));
    };
    let expected = sign_ws_login(venue.keys[account].secret.as_bytes(), expires);
    if !signatures_match(&expected, sign) {
        return Err(Refusal::new(codes::SIGNATURE, "Params Error"));
    }
    if expires.parse::<i64>().is_ok_and(|expires| expires > now) {
        Ok(account)
    } else {
        Err(Refusal::new(codes::SIGNATURE, "Params Error"))
    }
}
