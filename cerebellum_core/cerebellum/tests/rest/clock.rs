//! Comparing the clocks, over real HTTP.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{extract::State, http::Uri, Router};
use cerebellum::bybit::{keys::Keys, orders::Orders, rest::RestClient, wall_ms};
use protocol::wire::field::Symbol;
use serde_json::json;

/// How far the venue's clock is ahead, ms.
const AHEAD_MS: i64 = 7_000;

/// What the venue was asked, and how long each of its coming times takes to arrive, ms.
#[derive(Clone, Default)]
struct Venue(Arc<Mutex<(Vec<String>, Vec<u64>)>>);

impl Venue {
    /// A venue that finds every stamp wrong.
    async fn new(delays: &[u64]) -> (Self, RestClient) {
        async fn answer(State(Venue(state)): State<Venue>, uri: Uri) -> String {
            let now = wall_ms() + AHEAD_MS;
            let path = uri.path().to_owned();
            let is_time = path == "/v5/market/time";
            let delay = {
                let (asked, delays) = &mut *state.lock().unwrap();
                asked.push(path);
                if is_time && !delays.is_empty() {
                    delays.remove(0)
                } else {
                    0
                }
            };
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let code = if is_time { 0 } else { 10_002 };
            json!({"retCode": code, "retMsg": "", "result": {}, "time": now}).to_string()
        }
        let venue = Self(Arc::new(Mutex::new((Vec::new(), delays.to_vec()))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(venue.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let keys = Keys::new("the-key", "the-secret").unwrap();
        (venue, RestClient::new(&address, keys, 5_000).unwrap())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }
}

fn is_close(offset_ms: i64) -> bool {
    (offset_ms - AHEAD_MS).abs() < 150
}

#[tokio::test]
async fn the_fastest_of_a_few_answers_tells_the_time() {
    let (venue, rest) = Venue::new(&[900]).await;
    let offset_ms = rest.sync_clock().await.unwrap();
    assert!(is_close(offset_ms), "{offset_ms}");
    assert_eq!(rest.clock().offset_ms(), offset_ms);
    assert_eq!(venue.asked().len(), 2, "a fast answer is enough");
    let (venue, rest) = Venue::new(&[600, 300, 600, 600]).await;
    rest.sync_clock().await.unwrap();
    assert_eq!(venue.asked().len(), 3);
    assert!((rest.clock().offset_ms() - AHEAD_MS + 150).abs() < 100, "the fastest was the second");
}

#[tokio::test]
async fn a_stamp_that_the_venue_refuses_sets_the_clock_whatever_was_asked() {
    let symbol = Symbol::new("BTCUSDT").unwrap();
    for request in ["cancel", "amend", "query"] {
        let (venue, rest) = Venue::new(&[]).await;
        let orders = Orders::new(rest.clone(), None);
        match request {
            "cancel" => drop(orders.cancel("c-1", &symbol).await),
            "amend" => drop(orders.amend("c-1", &symbol, Some("1"), None).await),
            _ => drop(rest.positions().await.unwrap_err()),
        }
        assert!(is_close(rest.clock().offset_ms()), "{request}");
        assert_eq!(venue.asked().len(), 2, "{request}");
    }
}
