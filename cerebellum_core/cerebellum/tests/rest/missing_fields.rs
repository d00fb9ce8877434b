//! Answers that lack a field, over real HTTP: no answer, reported once, asked again, never zero or flat.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{extract::State, http::Uri, routing::get, Router};
use cerebellum::{
    bybit::{keys::Keys, orders::Orders, rest::RestClient, unreadable::Unreadable},
    engine::{Gateway, Inbox, Message, Queue},
    execution::model::io::{Effect, Input},
};
use protocol::wire::field::Symbol;
use rust_decimal::Decimal;
use serde_json::{json, Value};
use tokio::sync::Mutex;

type Answers = Arc<Mutex<BTreeMap<String, Vec<Value>>>>;

/// A venue that gives prepared results path by path; the last one stays.
async fn venue(answers: Answers) -> String {
    async fn answer(State(answers): State<Answers>, uri: Uri) -> String {
        let mut answers = answers.lock().await;
        let waiting = answers.get_mut(uri.path()).expect("a path that was prepared");
        let result = if waiting.len() > 1 { waiting.remove(0) } else { waiting[0].clone() };
        json!({"retCode": 0, "retMsg": "OK", "result": result, "time": 1}).to_string()
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{*path}", get(answer)).with_state(answers);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn client(results: &[(&str, Vec<Value>)]) -> (RestClient, Inbox, Queue) {
    let answers = results.iter().map(|(path, list)| ((*path).to_owned(), list.clone()));
    let address = venue(Arc::new(Mutex::new(answers.collect()))).await;
    let (inbox, queue) = Inbox::pair().unwrap();
    let rest = RestClient::new(&address, Keys::new("k", "s").unwrap(), 5_000)
        .unwrap()
        .reporting(Unreadable::new(inbox.clone()));
    (rest, inbox, queue)
}

const POSITIONS: &str = "/v5/position/list";

fn held(size: Value) -> Value {
    json!({"symbol": "BTCUSDT", "side": "Buy", "size": size})
}

#[tokio::test]
async fn an_answer_without_its_list_cursor_or_size_is_no_answer() {
    let bad = [
        (json!({"nextPageCursor": ""}), "list"),
        (json!({"list": [held(json!("1"))]}), "nextPageCursor"),
        (json!({"list": [held(Value::Null)], "nextPageCursor": ""}), "size"),
        (json!({"list": [{"symbol": "BTCUSDT", "side": "Buy"}], "nextPageCursor": ""}), "size"),
        (json!({}), "list"),
        (Value::Null, "null"),
    ];
    for (result, field) in bad {
        let (rest, _inbox, _box) = client(&[(POSITIONS, vec![result.clone()])]).await;
        let error = rest.positions().await.unwrap_err();
        assert!(error.text.contains(field) && !error.permanent, "{result}: {}", error.text);
    }
}

#[tokio::test]
async fn a_row_that_lacks_its_size_is_told_and_asked_for_again() {
    let short = json!({"list": [{"symbol": "BTCUSDT", "side": "Buy"}], "nextPageCursor": ""});
    let whole = json!({"list": [held(json!("2"))], "nextPageCursor": ""});
    let wallet = json!({"list": [{"coin": [{"coin": "USDT", "walletBalance": "5"}]}]});
    let (rest, inbox, mut queue) = client(&[
        (POSITIONS, vec![short.clone(), short, whole]),
        ("/v5/account/wallet-balance", vec![wallet]),
    ])
    .await;
    let mut gateway =
        Gateway::new(Orders::new(rest, None), inbox, tokio::runtime::Handle::current());
    gateway.act(Effect::PullPositions, 0);
    let (mut alarms, mut positions) = (Vec::new(), None);
    for _ in 0..200 {
        match queue.take() {
            Some(Message::Input(Input::Notice { text, .. })) => alarms.push(text),
            Some(Message::Pulled { input: Input::Positions(seen), .. }) => positions = Some(seen),
            Some(_) => {}
            None if positions.is_some() => break,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let held = BTreeMap::from([(Symbol::new("BTCUSDT").unwrap(), Decimal::TWO)]);
    assert_eq!(positions, Some(held), "flat was never told");
    assert_eq!(alarms.len(), 1, "one alarm a minute: {alarms:?}");
    assert!(alarms[0].contains("size is missing") && alarms[0].contains("BTCUSDT"), "{alarms:?}");
}

#[tokio::test]
async fn an_order_whose_executions_lack_a_fee_is_not_completely_looked_up() {
    let order = json!({
        "orderId": "o", "orderLinkId": "c-1", "symbol": "BTCUSDT", "orderStatus": "Filled",
        "qty": "1", "cumExecQty": "1",
    });
    let execution = json!({
        "execId": "e", "orderId": "o", "orderLinkId": "c-1", "symbol": "BTCUSDT", "side": "Buy",
        "execType": "Trade", "execQty": "1", "execPrice": "2", "execTime": "3", "isMaker": false,
    });
    let page = |row: &Value| json!({"list": [row], "nextPageCursor": ""});
    let (rest, _inbox, _box) = client(&[
        ("/v5/order/realtime", vec![page(&order)]),
        ("/v5/execution/list", vec![page(&execution)]),
    ])
    .await;
    let found = rest.look_up("c-1", &Symbol::new("BTCUSDT").unwrap()).await;
    assert!(found.seen.is_some() && found.executions.is_empty() && !found.complete);
    let error = rest.executions(0, 1).await.unwrap_err();
    assert!(error.text.contains("execFee is missing"), "{}", error.text);
}

#[tokio::test]
async fn a_row_of_a_symbol_that_is_not_traded_is_told_and_left_out_and_any_other_is_no_answer() {
    const EXECUTIONS: &str = "/v5/execution/list";
    let ours = [Symbol::new("BTCUSDT").unwrap()];
    let execution = json!({
        "execId": "e", "orderId": "o", "orderLinkId": "c-1", "symbol": "BTCUSDT", "side": "Buy",
        "execType": "Trade", "execQty": "1", "execPrice": "2", "execTime": "3", "isMaker": false,
        "execFee": "0",
    });
    let page = |rows: &[&Value]| json!({"list": rows, "nextPageCursor": ""});
    let foreign_order = json!({"symbol": "BTC-26DEC25"});
    let (rest, _inbox, mut queue) = client(&[
        (POSITIONS, vec![page(&[&foreign_order, &held(json!("2"))])]),
        (EXECUTIONS, vec![page(&[&foreign_order, &execution])]),
    ])
    .await;
    let rest = rest.trading(&ours);
    assert_eq!(rest.positions().await.unwrap(), BTreeMap::from([(ours[0].clone(), Decimal::TWO)]));
    assert_eq!(rest.executions(0, 1).await.unwrap().len(), 1);
    let mut alarms = 0;
    while let Some(message) = queue.take() {
        alarms += usize::from(matches!(message, Message::Input(Input::Notice { .. })));
    }
    assert_eq!(alarms, 2);
    for bad in [json!({"symbol": "BTCUSDT"}), json!({"symbol": "btc?"}), json!({})] {
        let rows = vec![page(&[&bad, &execution])];
        let (rest, _inbox, _box) = client(&[(POSITIONS, rows.clone()), (EXECUTIONS, rows)]).await;
        let rest = rest.trading(&ours);
        assert!(rest.positions().await.is_err(), "{bad}");
        assert!(rest.executions(0, 1).await.is_err(), "{bad}");
    }
}
