//! The private stream: log in, subscribe, pass rows on.

use std::time::Duration;

use protocol::bybit::signing::sign_ws_login;
use serde::Deserialize;
use serde_json::{json, Value};
use tokio::sync::watch;

use super::{
    read_error::ReadError,
    rest::RestClient,
    rows::{self, Row, Traded},
    session_error::SessionError,
    socket::{BackOff, Keepalive, Socket},
    unreadable::Unreadable,
};
use crate::{engine::Inbox, execution::model::io::Input};

/// How long an answer to login or subscribe is awaited.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a connection must live before the next loss counts as the first again.
const STEADY: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    op: Option<String>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    ret_msg: Option<String>,
    #[serde(default)]
    args: Value,
    #[serde(default)]
    data: Value,
}

impl Frame {
    /// The venue's time in a pong, ms.
    fn venue_time(&self) -> Option<u64> {
        self.args.get(0)?.as_str()?.parse().ok()
    }
}

/// Keeps the private stream up for ever, reporting every up and down to the engine.
pub async fn run(
    url: String,
    rest: RestClient,
    keepalive: Keepalive,
    inbox: Inbox,
    mut public_up: watch::Receiver<bool>,
) {
    // Market time must be known before executions of a market time can be asked for.
    if public_up.wait_for(|up| *up).await.is_err() {
        return;
    }
    let mut back_off = BackOff::default();
    loop {
        let begun = tokio::time::Instant::now();
        let why = match session(&url, &rest, keepalive, &inbox).await {
            Ok(()) => return,
            Err(why) => why,
        };
        if begun.elapsed() > STEADY {
            back_off.reset();
        }
        tracing::warn!(%why, "private stream is down");
        metrics::counter!("cerebellum_reconnects_total", "stream" => "private").increment(1);
        if inbox.send(Input::PrivateDown).is_err() {
            return;
        }
        tokio::time::sleep(back_off.wait()).await;
    }
}

async fn session(
    url: &str,
    rest: &RestClient,
    keepalive: Keepalive,
    inbox: &Inbox,
) -> Result<(), SessionError> {
    let mut socket = Socket::connect(url, keepalive).await?;
    let expires = rest.clock().now_ms().saturating_add(10_000);
    let signature = sign_ws_login(rest.keys().secret(), &expires.to_string());
    let login =
        json!({"req_id": "login", "op": "auth", "args": [rest.keys().key(), expires, signature]});
    socket.send(login.to_string()).await?;
    answer(&mut socket, "auth", rest, inbox).await?;
    let topics =
        json!({"req_id": "topics", "op": "subscribe", "args": ["order", "execution", "wallet"]});
    socket.send(topics.to_string()).await?;
    answer(&mut socket, "subscribe", rest, inbox).await?;
    tracing::info!("private stream is up");
    if inbox.send(Input::PrivateUp).is_err() {
        return Ok(());
    }
    loop {
        if let Some(text) = socket.next(Duration::from_millis(500)).await? {
            if !pass_on(&text, rest, inbox)? {
                return Ok(());
            }
        }
    }
}

async fn answer(
    socket: &mut Socket,
    op: &str,
    rest: &RestClient,
    inbox: &Inbox,
) -> Result<(), SessionError> {
    let until = tokio::time::Instant::now() + ANSWER;
    while tokio::time::Instant::now() < until {
        let Some(text) = socket.next(Duration::from_millis(250)).await? else { continue };
        let frame: Frame =
            serde_json::from_str(&text).map_err(|error| ReadError::Json(error.to_string()))?;
        if frame.op.as_deref() == Some(op) {
            return if frame.success == Some(true) {
                Ok(())
            } else {
                let text = rest.keys().hide(&frame.ret_msg.unwrap_or_default());
                if op == "auth" {
                    rest.login_refused("private stream", &text);
                }
                Err(SessionError::Refused { op: op.to_owned(), text })
            };
        }
        // Rows may come before the answer to a subscription.
        pass_on(&text, rest, inbox)?;
    }
    Err(SessionError::NoAnswer { op: op.to_owned(), seconds: ANSWER.as_secs() })
}

/// Passes the rows of a frame on; `false` when the engine is gone.
///
/// A row that cannot be read may be a fill: it is reported, and the connection is made anew, so that
/// everything is asked for again.
fn pass_on(text: &str, rest: &RestClient, inbox: &Inbox) -> Result<bool, SessionError> {
    let (inputs, fault) = inputs(text, rest.traded(), rest.complaints());
    let alive = inputs.into_iter().all(|input| inbox.send(input).is_ok());
    match fault {
        Some((place, source)) => {
            rest.complaints().report(place, &source);
            Err(SessionError::Row { place, source })
        }
        None => Ok(alive),
    }
}

/// What a private frame reports: inputs of the core, and the first thing that cannot be read with its
/// place. The rows around it are read all the same, and one of a symbol that is not traded here is
/// only reported.
#[must_use]
pub fn inputs(
    text: &str,
    traded: &Traded,
    complaints: &Unreadable,
) -> (Vec<Input>, Option<(&'static str, ReadError)>) {
    let frame: Frame = match serde_json::from_str(text) {
        Ok(frame) => frame,
        Err(error) => return (Vec::new(), Some(("private", ReadError::Json(error.to_string())))),
    };
    let place = match frame.topic.as_deref() {
        Some("order") => "private order",
        Some("execution") => "private execution",
        Some("wallet") => "private wallet",
        None if frame.op.as_deref() == Some("pong") => {
            // A pong without a time still shows that the stream lives.
            return (frame.venue_time().map(Input::VenueTime).into_iter().collect(), None);
        }
        _ => return (Vec::new(), None),
    };
    let list: Vec<Row> = match serde_json::from_value(frame.data) {
        Ok(list) => list,
        Err(error) => return (Vec::new(), Some((place, ReadError::Data(error.to_string())))),
    };
    let (mut inputs, mut executions, mut fault) = (Vec::new(), Vec::new(), None);
    for row in &list {
        let read = match place {
            "private order" => rows::order(row).map(|seen| inputs.push(Input::OrderSeen(seen))),
            "private execution" => rows::execution(row).map(|seen| executions.push(seen)),
            _ => {
                rows::balance(row, "USDT").map(|balance| inputs.extend(balance.map(Input::Wallet)))
            }
        };
        if let Err(error) = read {
            if traded.is_foreign(row) {
                complaints.show_foreign(place, &error);
            } else {
                fault = fault.or(Some((place, error)));
            }
        }
    }
    if !executions.is_empty() {
        inputs.push(Input::Executions { executions, pulled: false });
    }
    (inputs, fault)
}

#[cfg(test)]
mod tests {
    use protocol::wire::field::Symbol;

    use super::*;

    fn read(text: &str) -> (Vec<Input>, Option<(&'static str, ReadError)>) {
        let traded = Traded::only(&[Symbol::new("BTCUSDT").unwrap()]);
        inputs(text, &traded, &Unreadable::default())
    }

    #[test]
    fn a_row_without_its_fee_is_a_fault_and_the_rows_around_it_are_read() {
        let row = |id: &str, fee: &str| {
            format!(
                r#"{{"execId":"{id}","orderId":"o","orderLinkId":"c-1","symbol":"BTCUSDT","side":"Buy","execType":"Trade","execQty":"1","execPrice":"2",{fee}"execTime":"3","isMaker":false}}"#
            )
        };
        let text = format!(
            r#"{{"topic":"execution","data":[{},{}]}}"#,
            row("e1", ""),
            row("e2", r#""execFee":"0.1","#)
        );
        let (inputs, fault) = read(&text);
        let [Input::Executions { executions, .. }] = inputs.as_slice() else { panic!() };
        assert_eq!(executions.len(), 1);
        assert_eq!(executions[0].exec_id, "e2");
        let (place, error) = fault.map(|(place, error)| (place, error.to_string())).unwrap();
        assert_eq!(place, "private execution");
        assert!(error.contains("execFee is missing") && error.contains("e1"), "{error}");
    }

    #[test]
    fn a_frame_of_a_known_topic_without_rows_is_a_fault() {
        for text in [r#"{"topic":"order"}"#, r#"{"topic":"wallet","data":{}}"#, "{"] {
            assert!(read(text).1.is_some(), "{text}");
        }
        assert!(read(r#"{"topic":"greeks","data":7}"#).1.is_none());
    }

    #[test]
    fn a_pong_shows_the_venues_time_and_one_without_it_is_no_fault() {
        let pong =
            |args: &str| read(&format!(r#"{{"req_id":"1","op":"pong",{args}"conn_id":"c"}}"#));
        let (inputs, fault) = pong(r#""args":["1675418560633"],"#);
        assert!(matches!(inputs.as_slice(), [Input::VenueTime(1_675_418_560_633)]), "{inputs:?}");
        assert!(fault.is_none());
        let strange = [r#"[]"#, r#"["x"]"#, r#"["-1"]"#, "[7]", "{}", "7", "null", r#"["1e99"]"#];
        for args in strange.map(|args| format!("\"args\":{args},")).iter().chain([&String::new()]) {
            let (inputs, fault) = pong(args);
            assert!(inputs.is_empty() && fault.is_none(), "{args}: {inputs:?} {fault:?}");
        }
    }

    #[test]
    fn a_row_of_a_symbol_that_is_not_traded_breaks_nothing_and_any_other_does() {
        for (row, breaks) in [
            (r#"{"symbol":"XRPUSDT"}"#, false),
            (r#"{"symbol":"BTCUSDT"}"#, true),
            (r#"{"symbol":"xrp?"}"#, true),
            ("{}", true),
        ] {
            for topic in ["order", "execution"] {
                let fault = read(&format!(r#"{{"topic":"{topic}","data":[{row}]}}"#)).1;
                assert_eq!(fault.is_some(), breaks, "{topic} {row}");
            }
        }
    }
}
