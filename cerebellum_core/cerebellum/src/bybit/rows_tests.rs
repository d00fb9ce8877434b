use super::*;

fn row(text: &str) -> Row {
    serde_json::from_str(text).unwrap()
}

fn without(text: &str, field: &str) -> Row {
    let mut fields: Map<String, Value> = serde_json::from_str(text).unwrap();
    fields.remove(field).unwrap();
    Row(fields)
}

const ORDER: &str = r#"{"orderId":"o1","orderLinkId":"c-1","symbol":"BTCUSDT","orderStatus":"Cancelled","qty":"0.010","cumExecQty":"0.004","rejectReason":"EC_NoImmediateQtyToFill","cancelType":"UNKNOWN","positionIdx":0,"unheardOf":[1]}"#;
const EXECUTION: &str = r#"{"execId":"e1","orderId":"o1","orderLinkId":"c-1","symbol":"BTCUSDT","side":"Sell","execType":"Trade","execQty":"0.01","execPrice":"50000.1","execFee":"-0.01","execTime":"1700000000001","isMaker":true,"feeCurrency":""}"#;
const POSITION: &str = r#"{"symbol":"BTCUSDT","side":"Sell","size":"0.01"}"#;

#[test]
fn a_cancelled_order_keeps_its_fills_and_its_reason() {
    let Shown::Ended(end) = order(&row(ORDER)).unwrap().shown else { panic!("working") };
    assert_eq!((end.status, end.filled_qty), (OrderStatus::Cancelled, Decimal::new(4, 3)));
    assert_eq!(end.text.as_deref(), Some("EC_NoImmediateQtyToFill"));
}

#[test]
fn an_execution_is_read_exactly_and_nonsense_is_refused() {
    let read = execution(&row(EXECUTION)).unwrap();
    assert_eq!(read.price, Decimal::new(500_001, 1));
    assert_eq!(read.fee, Decimal::new(-1, 2));
    assert_eq!(read.fee_currency, "USDT");
    for (from, to) in [
        ("0.01\",\"execP", "-1\",\"execP"),
        ("e1", ""),
        ("\"Sell\"", "\"Long\""),
        ("50000.1", "1e99"),
        ("\"-0.01\"", "\"\""),
        ("true", "\"maybe\""),
        ("Trade", ""),
    ] {
        assert!(execution(&row(&EXECUTION.replace(from, to))).is_err(), "{from} -> {to}");
    }
}

#[test]
fn a_missing_field_is_an_error_that_names_it_and_the_row_and_never_a_zero() {
    for field in ["orderId", "orderLinkId", "symbol", "orderStatus", "qty", "cumExecQty"] {
        let error = order(&without(ORDER, field)).unwrap_err().to_string();
        assert!(error.contains(&format!("{field} is missing")), "{error}");
    }
    for field in [
        "execId",
        "orderId",
        "orderLinkId",
        "symbol",
        "side",
        "execType",
        "execQty",
        "execPrice",
        "execFee",
        "execTime",
        "isMaker",
    ] {
        let error = execution(&without(EXECUTION, field)).unwrap_err().to_string();
        assert!(error.contains(&format!("{field} is missing")), "{error}");
        assert!(field == "execId" || error.contains("\"execId\":\"e1\""), "{error}");
    }
    for field in ["symbol", "side", "size"] {
        let error = position(&without(POSITION, field)).unwrap_err().to_string();
        assert!(error.contains(&format!("{field} is missing")), "{error}");
    }
    assert!(position(&row(&POSITION.replace("Sell", ""))).is_err(), "a size without a side");
    assert!(balance(&row("{}"), "USDT").unwrap_err().to_string().contains("coin is missing"));
    let coin = row(r#"{"coin":[{"coin":"USDT"}]}"#);
    assert!(balance(&coin, "USDT").unwrap_err().to_string().contains("walletBalance is missing"));
    assert_eq!(balance(&coin, "BTC"), Ok(None));
}

#[test]
fn a_row_of_an_absurd_time_is_refused_by_name() {
    for time in ["0", "-1", "4102444800001", "18446744073709551615", "1e300"] {
        let late = EXECUTION.replace("1700000000001", time);
        let error = execution(&row(&late)).unwrap_err().to_string();
        assert!(error.contains("execTime") && error.contains("no time"), "{error}");
    }
    let order_at =
        |time: &str| order(&row(&ORDER.replacen('{', &format!(r#"{{"updatedTime":"{time}","#), 1)));
    assert_eq!(order_at("1700000000001").unwrap().updated_ts, Some(1_700_000_000_001));
    assert_eq!(order_at("").unwrap().updated_ts, None);
    for time in ["0", "4102444800001"] {
        let error = order_at(time).unwrap_err().to_string();
        assert!(error.contains("updatedTime"), "{error}");
    }
}
