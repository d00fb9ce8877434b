//! A venue that answers HTTP 403, over real HTTP: nothing more is asked of it, and a person is informed.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

use axum::{extract::State, http::StatusCode, Router};
use cerebellum::{
    bybit::{
        keys::Keys,
        orders::Orders,
        outcome::{of_create, Answer},
        rest::RestClient,
        unreadable::Unreadable,
    },
    engine::{Inbox, Message},
    execution::model::io::{CreateOrder, CreateOutcome, Input},
};
use protocol::wire::field::{Kind, Side, Symbol};

/// A venue that answers everything with a status and a text, and counts.
async fn venue(status: StatusCode, text: &'static str) -> (Arc<AtomicUsize>, String) {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = move |State(asked): State<Arc<AtomicUsize>>| async move {
        asked.fetch_add(1, Ordering::SeqCst);
        (status, text)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (asked, address)
}

fn order() -> CreateOrder {
    CreateOrder {
        link_id: "c-1".to_owned(),
        symbol: Symbol::new("BTCUSDT").unwrap(),
        side: Side::Buy,
        kind: Kind::Market,
        qty: "1".to_owned(),
        price: None,
        reduce_only: false,
    }
}

#[tokio::test]
async fn after_http_403_no_request_leaves_and_orders_say_why() {
    let envelope = r#"{"retCode":10018,"retMsg":"access too frequent","result":{},"time":1}"#;
    for text in [envelope, "<html>Forbidden</html>"] {
        let (asked, address) = venue(StatusCode::FORBIDDEN, text).await;
        let (inbox, mut queue) = Inbox::pair().unwrap();
        let keys = Keys::new("k", "s").unwrap();
        let rest =
            RestClient::new(&address, keys, 5_000).unwrap().reporting(Unreadable::new(inbox));
        assert!(!rest.positions().await.unwrap_err().permanent);
        for _ in 0..5 {
            let error = rest.positions().await.unwrap_err();
            assert!(error.text.contains("HTTP 403") && !error.permanent, "{error}");
        }
        // Every copy of the client rests, too.
        let answer = Orders::new(rest.clone(), None).create(&order()).await;
        assert!(matches!(&answer, Answer::NeverSent(text) if text.contains("HTTP 403")));
        let outcome = of_create(answer, 0);
        assert!(matches!(outcome, CreateOutcome::NotExecuted { .. }), "it may go another way");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{text}");
        let mut reported = Vec::new();
        while let Some(message) = queue.take() {
            let Message::Input(Input::Notice { code, text, .. }) = message else { panic!() };
            reported.push((code, text));
        }
        assert!(matches!(reported.as_slice(), [("rest_paused", text)] if text.contains("600 s")));
    }
}

#[tokio::test]
async fn an_order_that_meets_http_403_was_not_executed_and_a_server_error_pauses_nothing() {
    let (_, address) = venue(StatusCode::FORBIDDEN, "").await;
    let rest = RestClient::new(&address, Keys::new("k", "s").unwrap(), 5_000).unwrap();
    let answer = Orders::new(rest, None).create(&order()).await;
    assert!(matches!(of_create(answer, 0), CreateOutcome::NotExecuted { .. }));
    let (asked, address) = venue(StatusCode::SERVICE_UNAVAILABLE, "").await;
    let rest = RestClient::new(&address, Keys::new("k", "s").unwrap(), 5_000).unwrap();
    for _ in 0..3 {
        assert!(rest.positions().await.is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}
