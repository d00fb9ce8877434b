use super::*;
use crate::bybit::rest::VenueClock;

fn keys() -> Keys {
    Keys::new("the-key", "the-secret").unwrap()
}

#[test]
fn an_answer_carries_its_code_its_order_and_the_rate_limit_of_its_header() {
    let text = r#"{"reqId":"r-1","retCode":0,"retMsg":"OK","op":"order.create","data":{"orderId":"o","orderLinkId":"c-1"},"header":{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"0","X-Bapi-Limit-Reset-Timestamp":"1700"},"connId":"c"}"#;
    let frame = TradeFrame::read(text, &keys()).unwrap();
    assert_eq!(frame.request_id(), Some("r-1"));
    let expected = Answer::Code {
        code: 0,
        text: "OK".to_owned(),
        order_id: "o".to_owned(),
        reset_at: Some(1_700),
    };
    assert_eq!(frame.answer(&VenueClock::default()), expected);
    let room = TradeFrame::read(&text.replace("\"0\"", "\"9\""), &keys()).unwrap();
    assert!(
        matches!(room.answer(&VenueClock::default()), Answer::Code { reset_at: None, .. }),
        "no pause while there is room"
    );
}

#[test]
fn a_refusal_that_quotes_the_key_is_reported_without_it() {
    let quoted =
        r#"{"retCode":10004,"retMsg":"error sign! origin_string[17the-key5000]","op":"auth"}"#;
    let Answer::Code { text, .. } =
        TradeFrame::read(quoted, &keys()).unwrap().answer(&VenueClock::default())
    else {
        panic!()
    };
    assert_eq!(text, "error sign! origin_string[17***5000]");
    let error =
        TradeFrame::read(&quoted.replace("retCode", "code"), &keys()).unwrap_err().to_string();
    assert!(error.contains("retCode") && !error.contains("the-key"), "{error}");
}

#[test]
fn a_frame_without_a_code_is_not_read_as_success() {
    let error = TradeFrame::read(r#"{"reqId":"r","op":"order.create","data":{}}"#, &keys())
        .unwrap_err()
        .to_string();
    assert!(error.contains("retCode"), "{error}");
}

#[test]
fn a_request_while_the_socket_is_down_comes_back_unsent() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (line, _runner) = line();
    let body = json!({"symbol": "BTCUSDT"});
    let sent = runtime.block_on(line.send("create", body.clone()));
    assert!(matches!(sent, Sent::Not(back) if back == body));
}

#[test]
fn a_request_in_flight_is_of_unknown_fate_when_the_socket_is_lost() {
    let (reported, mut answer) = oneshot::channel();
    let mut flights = Flights::default();
    flights.waiting.insert("r-1".to_owned(), Flight { written: Instant::now(), reported });
    flights.lose_all("closed by the venue");
    let Ok(Sent::Answered(Answer::Silence(text))) = answer.try_recv() else { panic!() };
    assert!(text.contains("closed by the venue"), "{text}");
}
