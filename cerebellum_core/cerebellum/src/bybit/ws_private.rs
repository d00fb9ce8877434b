//! The private stream: log in, subscribe, pass rows on.

use std::time::Duration;

use protocol::bybit::signing::sign_ws_login;
use serde::Deserialize;
use serde_json::{json, Value};
use tokio::sync::watch;

use super::{
    rest::RestClient,
    rows::{ExecutionRow, OrderRow, WalletRow},
    socket::{BackOff, Care, Socket},
};
use crate::{core::io::Input, engine::Inbox};

/// How long an answer to login or subscribe is awaited.
const ANSWER: Duration = Duration::from_secs(5);

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
    data: Value,
}

/// Keeps the private stream up for ever, telling the engine of every up and down.
pub async fn run(
    url: String,
    rest: RestClient,
    care: Care,
    inbox: Inbox,
    mut public_up: watch::Receiver<bool>,
) {
    // Market time must be known before executions of a market time can be asked for.
    if public_up.wait_for(|up| *up).await.is_err() {
        return;
    }
    let mut back_off = BackOff::default();
    loop {
        let why = match session(&url, &rest, care, &inbox, &mut back_off).await {
            Ok(()) => return,
            Err(why) => why,
        };
        tracing::warn!(why, "private stream is down");
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
    care: Care,
    inbox: &Inbox,
    back_off: &mut BackOff,
) -> Result<(), String> {
    let mut socket = Socket::connect(url, care).await?;
    let expires = rest.clock().now_ms().saturating_add(10_000);
    let signature = sign_ws_login(rest.keys().secret(), &expires.to_string());
    let login =
        json!({"req_id": "login", "op": "auth", "args": [rest.keys().key(), expires, signature]});
    socket.send(login.to_string()).await?;
    answer(&mut socket, "auth", inbox).await?;
    let topics =
        json!({"req_id": "topics", "op": "subscribe", "args": ["order", "execution", "wallet"]});
    socket.send(topics.to_string()).await?;
    answer(&mut socket, "subscribe", inbox).await?;
    back_off.reset();
    tracing::info!("private stream is up");
    if inbox.send(Input::PrivateUp).is_err() {
        return Ok(());
    }
    loop {
        if let Some(text) = socket.next(Duration::from_millis(500)).await? {
            if !pass_on(&text, inbox) {
                return Ok(());
            }
        }
    }
}

async fn answer(socket: &mut Socket, op: &str, inbox: &Inbox) -> Result<(), String> {
    let until = tokio::time::Instant::now() + ANSWER;
    while tokio::time::Instant::now() < until {
        let Some(text) = socket.next(Duration::from_millis(250)).await? else { continue };
        let frame: Frame = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if frame.op.as_deref() == Some(op) {
            return if frame.success == Some(true) {
                Ok(())
            } else {
                Err(format!("{op} refused: {}", frame.ret_msg.unwrap_or_default()))
            };
        }
        // Rows may come before the answer to a subscription.
        pass_on(&text, inbox);
    }
    Err(format!("no answer to {op} in {} s", ANSWER.as_secs()))
}

/// Passes the rows of a frame on; `false` when the engine is gone.
fn pass_on(text: &str, inbox: &Inbox) -> bool {
    let frame: Frame = match serde_json::from_str(text) {
        Ok(frame) => frame,
        Err(error) => {
            tracing::error!(%error, "private frame cannot be read");
            return true;
        }
    };
    let inputs = match frame.topic.as_deref() {
        Some("order") => rows::<OrderRow, _>(frame.data, |row| row.seen().map(Input::OrderSeen)),
        Some("execution") => {
            let executions = rows::<ExecutionRow, _>(frame.data, ExecutionRow::execution);
            vec![Input::Executions { executions, pulled: false }]
        }
        Some("wallet") => rows::<WalletRow, _>(frame.data, |row| {
            row.balance("USDT").map(Input::Wallet).ok_or("wallet without USDT".to_owned())
        }),
        _ => Vec::new(),
    };
    inputs.into_iter().all(|input| inbox.send(input).is_ok())
}

fn rows<T: serde::de::DeserializeOwned, U>(
    data: Value,
    read: impl Fn(&T) -> Result<U, String>,
) -> Vec<U> {
    let Value::Array(list) = data else { return Vec::new() };
    list.into_iter()
        .filter_map(|value| {
            let row = serde_json::from_value::<T>(value).map_err(|error| error.to_string());
            match row.and_then(|row| read(&row)) {
                Ok(input) => Some(input),
                Err(error) => {
                    tracing::error!(error, "private row cannot be read; it will be asked for");
                    None
                }
            }
        })
        .collect()
}
