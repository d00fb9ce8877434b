//! HMAC-SHA256 signatures over raw bytes, lower-case hex.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Signs a REST request: `timestamp + api_key + recv_window + payload`.
///
/// `payload` is the query string without `?` for GET and the raw body for POST, byte for byte as it
/// travels.
#[must_use]
pub fn sign_rest(
    secret: &[u8],
    timestamp: &str,
    api_key: &str,
    recv_window: &str,
    payload: &[u8],
) -> String {
    sign(secret, &[timestamp.as_bytes(), api_key.as_bytes(), recv_window.as_bytes(), payload])
}

/// Signs a WebSocket login: `GET/realtime{expires}`.
#[must_use]
pub fn sign_ws_login(secret: &[u8], expires: &str) -> String {
    sign(secret, &[b"GET/realtime", expires.as_bytes()])
}

/// Whether two signatures are equal, in time that does not depend on where they differ.
#[must_use]
pub fn signatures_match(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    left.len() == right.len()
        && left.iter().zip(right).fold(0_u8, |seen, (a, b)| seen | (a ^ b)) == 0
}

fn sign(secret: &[u8], parts: &[&[u8]]) -> String {
    // HMAC takes a key of any length, so the error arm cannot be reached; an empty signature
    // would simply never match.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return String::new();
    };
    for part in parts {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_three_independent_clients_are_met() {
        let sign = |payload: &str| {
            sign_rest(b"testsecret", "1700000000000", "testkey", "5000", payload.as_bytes())
        };
        assert_eq!(
            sign("category=linear&symbol=BTCUSDT"),
            "f2f79889fd1201752936b389c890e9d393e01e0311a6d8785fb80753aa26c69b"
        );
        let body = r#"{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.01","price":"50000","timeInForce":"GTC","orderLinkId":"cl-1"}"#;
        assert_eq!(sign(body), "f6ab15a9985ce8c93e3af564c76bba1833297058330c1151ce409b8da2eeeaf0");
        assert_eq!(
            sign_ws_login(b"testsecret", "1700000010000"),
            "6a806639d27b1c24c3808a191e9d0274d0c9d3a04a160233856d65840dfda2c8"
        );
    }

    #[test]
    fn a_signature_that_differs_in_one_character_does_not_match() {
        assert!(signatures_match("abcd", "abcd"));
        assert!(!signatures_match("abcd", "abce"));
        assert!(!signatures_match("abcd", "abc"));
    }
}
