//! WebSocket connections: public, private and trade.

use super::scope::Request;
use super::{auth, batch, private, Core, Venue};
use crate::clock::wall_ms;
use crate::exchange::request::Fields;
use crate::exchange::Refusal;
use crate::feed::hub::{Out, BACKLOG};
use crate::feed::Topic;
use crate::listener::Tap;
use crate::server::query;
use crate::server::rate_limited;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use protocol::bybit::codes;
use serde_json::{json, Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long an answer waits, because clients register a request only after they sent it.
const HOLD: Duration = Duration::from_millis(15);
/// How long a connection may stay without a word.
const IDLE: Duration = Duration::from_secs(600);
/// Private topics that exist here.
const PRIVATE: [&str; 5] = ["order", "execution", "execution.fast", "position", "wallet"];
/// Longest identifier of a request on a trade connection.
const LONGEST_ID: usize = 36;
/// Longest list of topics in one request, in characters.
const LONGEST_ARGS: usize = 21_000;

/// Why topics cannot be subscribed to, in the words of the exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum TopicError {
    /// Nobody is logged in.
    #[error("Request not authorized")]
    NotAuthorized,
    /// There is no such topic.
    #[error("error:handler not found,topic:{0}")]
    Unknown(String),
    /// Topics of all categories and of one.
    #[error("error:unified and categorised topics in one request")]
    Mixed,
}

/// Opens a public connection.
pub async fn public(
    State(venue): State<Arc<Venue>>,
    ConnectInfo(tap): ConnectInfo<Tap>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |socket| serve(venue, socket, "public", tap))
}

/// Opens a private connection.
pub async fn private(
    State(venue): State<Arc<Venue>>,
    ConnectInfo(tap): ConnectInfo<Tap>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |socket| serve(venue, socket, "private", tap))
}

/// Opens a connection for orders.
pub async fn trade(
    State(venue): State<Arc<Venue>>,
    ConnectInfo(tap): ConnectInfo<Tap>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |socket| serve(venue, socket, "trade", tap))
}

async fn serve(venue: Arc<Venue>, socket: WebSocket, path: &'static str, tap: Tap) {
    let (mut sink, mut stream) = socket.split();
    let (sender, mut outbox) = mpsc::channel::<Out>(BACKLOG);
    let id = venue.with(|core| core.hub.join(path, sender, tap.clone()));
    let mut writer = tokio::spawn(async move {
        while let Some(out) = outbox.recv().await {
            let message = match out {
                Out::Text(text) => Message::Text(text),
                Out::Pong(bytes) => Message::Pong(bytes.into()),
                Out::Cut => {
                    tap.cut();
                    Message::Text("{\"topic\":\"a frame that ends half-way\",\"data\":[]}".into())
                }
                Out::Close => break,
            };
            if sink.send(message).await.is_err() {
                break;
            }
        }
        let _ = sink.close().await;
    });
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(IDLE, stream.next()) => next,
            _ = &mut writer => break,
        };
        match next {
            Ok(Some(Ok(Message::Text(text)))) => receive(&venue, id, path, text.as_str()).await,
            Ok(Some(Ok(Message::Binary(bytes)))) => {
                receive(&venue, id, path, &String::from_utf8_lossy(&bytes)).await;
            }
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            _ => break,
        }
    }
    venue.with(|core| core.hub.leave(id));
    writer.abort();
}

/// A connection's name as it travels.
fn connection(id: u64) -> String {
    format!("paper-{id}")
}

/// One request of a connection.
async fn receive(venue: &Arc<Venue>, id: u64, path: &'static str, text: &str) {
    let parsed: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    if path == "trade" {
        receive_trade(venue, id, &parsed).await;
        return;
    }
    if parsed.get("op").and_then(Value::as_str) == Some("subscribe") {
        tokio::time::sleep(HOLD).await;
    }
    respond(venue, id, path, &parsed);
}

/// Answers one request of a public or private connection.
pub(super) fn respond(venue: &Venue, id: u64, path: &'static str, parsed: &Value) {
    let req_id = parsed.get("req_id").cloned();
    let reply = |op: &str, success: bool, message: &str| {
        let mut reply = Map::new();
        reply.insert("success".to_owned(), json!(success));
        reply.insert("ret_msg".to_owned(), json!(message));
        reply.insert("conn_id".to_owned(), json!(connection(id)));
        if let Some(req_id) = &req_id {
            reply.insert("req_id".to_owned(), req_id.clone());
        }
        reply.insert("op".to_owned(), json!(op));
        Value::Object(reply).to_string()
    };
    let op = parsed.get("op").and_then(Value::as_str).unwrap_or("");
    let args: Vec<Value> =
        parsed.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
    match (op, path) {
        ("ping", "public") => venue.with(|core| core.hub.send(id, reply("ping", true, "pong"))),
        ("ping", _) => venue.with(|core| {
            // Whoever receives no public stream takes the time of the market from here.
            let now = core.exchange.now().to_string();
            let mut pong = json!({"op": "pong", "args": [now], "conn_id": connection(id)});
            if let (Some(req_id), Some(pong)) = (&req_id, pong.as_object_mut()) {
                pong.insert("req_id".to_owned(), req_id.clone());
            }
            core.hub.send(id, pong.to_string());
        }),
        ("auth", "private") => {
            let account = read_login(&args).and_then(|(key, expires, sign)| {
                let now = wall_ms() + venue.with(|core| core.faults.clock_offset_ms);
                auth::login(venue, &key, &expires, &sign, now).ok()
            });
            let message = if account.is_some() { "" } else { "Params Error" };
            venue.with(|core| {
                if let Some(listener) = core.hub.listener_mut(id) {
                    listener.account = account.or(listener.account);
                }
                core.hub.send(id, reply("auth", account.is_some(), message));
            });
        }
        ("subscribe", _) => venue.with(|core| subscribe(core, id, path, &args, &reply)),
        ("unsubscribe", _) => venue.with(|core| {
            for topic in args.iter().filter_map(Value::as_str) {
                core.hub.unsubscribe(id, topic);
            }
            core.hub.send(id, reply("unsubscribe", true, ""));
        }),
        _ => venue.with(|core| {
            let message = if op.is_empty() { "Invalid JSON request" } else { "error:op not found" };
            core.hub.send(id, reply(op, false, message));
        }),
    }
}

fn subscribe(
    core: &mut Core,
    id: u64,
    path: &str,
    args: &[Value],
    reply: &impl Fn(&str, bool, &str) -> String,
) {
    let names: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
    if names.is_empty() || names.len() != args.len() {
        core.hub.send(id, reply("subscribe", false, "error:args must be a list of topics"));
        return;
    }
    if names.iter().map(|name| name.len()).sum::<usize>() > LONGEST_ARGS {
        core.hub.send(id, reply("subscribe", false, "error:args exceed 21000 characters"));
        return;
    }
    if path == "private" {
        let frame = match subscribe_private(core, id, &names) {
            Ok(()) => reply("subscribe", true, ""),
            Err(error) => reply("subscribe", false, &error.to_string()),
        };
        core.hub.send(id, frame);
        return;
    }
    let mut topics = Vec::new();
    for name in names {
        match Topic::read(&core.exchange, name) {
            Some(topic) => topics.push((name, topic)),
            None => {
                let error = TopicError::Unknown(name.to_owned());
                core.hub.send(id, reply("subscribe", false, &error.to_string()));
                return;
            }
        }
    }
    core.hub.send(id, reply("subscribe", true, ""));
    for (name, topic) in topics {
        let known = core.hub.listener(id).is_some_and(|listener| listener.topics.contains(name));
        if known {
            continue;
        }
        let first = core.feed.first_frame(&mut core.exchange, &mut core.hub, &topic);
        core.hub.subscribe(id, name);
        if let Some(frame) = first {
            core.hub.send(id, frame);
        }
    }
}

/// Subscribes an account's connection to its topics, or names what is wrong with them.
fn subscribe_private(core: &mut Core, id: u64, names: &[&str]) -> Result<(), TopicError> {
    if core.hub.listener(id).is_none_or(|listener| listener.account.is_none()) {
        return Err(TopicError::NotAuthorized);
    }
    let unknown = names.iter().find(|name| {
        let plain = name.strip_suffix(".linear").unwrap_or(name);
        !PRIVATE.contains(&plain)
    });
    if let Some(name) = unknown {
        return Err(TopicError::Unknown((*name).to_owned()));
    }
    if names.iter().any(|name| name.ends_with(".linear"))
        && names.iter().any(|name| !name.ends_with(".linear"))
    {
        return Err(TopicError::Mixed);
    }
    for name in names {
        core.hub.subscribe(id, name);
    }
    Ok(())
}

fn read_login(args: &[Value]) -> Option<(String, String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match args {
        [key, expires, sign] => Some((text(key)?, text(expires)?, text(sign)?)),
        _ => None,
    }
}

/// One request of a trade connection.
async fn receive_trade(venue: &Arc<Venue>, id: u64, request: &Value) {
    let op = request.get("op").and_then(Value::as_str).unwrap_or("").to_owned();
    if !op.starts_with("order.") {
        venue.with(|core| {
            let reply = answer_trade(core, venue, id, &op, request).to_string();
            core.hub.send(id, reply);
        });
        return;
    }
    let path = format!("/v5/{}", op.replace('.', "/"));
    let body = request.pointer("/args/0").unwrap_or(&Value::Null);
    let seen = Request {
        endpoint: private::bucket("POST", &path).map_or("", |(name, _)| name),
        account: venue.quietly(|core| core.hub.listener(id).and_then(|one| one.account)),
        symbol: query::symbol_of(body),
        channel: "trade",
    };
    let (before, after) = venue.quietly(|core| core.faults.lateness(&seen));
    if !before.is_zero() {
        tokio::time::sleep(before).await;
    }
    let (reply, lost) = venue.with(|core| {
        let reply = match core.faults.fails(&seen) {
            Some((_, code, commit)) => {
                if commit {
                    answer_trade(core, venue, id, &op, request);
                }
                fail(id, &op, request, code)
            }
            None => answer_trade(core, venue, id, &op, request),
        };
        (reply, core.faults.loses_ack(&seen))
    });
    // The order is in; only its answer waits.
    let venue = Arc::clone(venue);
    tokio::spawn(async move {
        tokio::time::sleep(HOLD + after).await;
        let out = if lost { Out::Close } else { Out::Text(reply.to_string().into()) };
        venue.with(|core| core.hub.deliver(id, out));
    });
}

/// An answer that leaves it open what became of the order.
fn fail(id: u64, op: &str, request: &Value, code: i64) -> Value {
    let mut reply = json!({
        "retCode": code, "retMsg": "server error", "op": op, "data": {}, "retExtInfo": {},
        "connId": connection(id),
    });
    if let Some(req_id) = request.get("reqId") {
        reply["reqId"] = req_id.clone();
    }
    reply
}

/// Answers one request of a trade connection.
pub(super) fn answer_trade(
    core: &mut Core,
    venue: &Venue,
    id: u64,
    op: &str,
    request: &Value,
) -> Value {
    let mut reply = TradeReply { fields: Map::new(), op, id };
    if let Some(req_id) = request.get("reqId") {
        reply.fields.insert("reqId".to_owned(), req_id.clone());
    }
    let args: Vec<Value> =
        request.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
    match op {
        "ping" => {
            let mut pong = reply.finish(codes::OK, "OK");
            pong["op"] = json!("pong");
            pong["data"] = json!([wall_ms().to_string()]);
            pong
        }
        "auth" => match log_in(core, venue, id, &args) {
            Ok(()) => reply.finish(codes::OK, "OK"),
            Err(refusal) => reply.finish(refusal.code, &refusal.message),
        },
        "order.create" | "order.amend" | "order.cancel" | "order.create-batch"
        | "order.amend-batch" | "order.cancel-batch" => {
            match admit_order(core, id, request, &args) {
                Ok((account, body)) => carry_out_order(core, venue, account, reply, body),
                Err(refusal) => reply.finish(refusal.code, &refusal.message),
            }
        }
        _ => reply.finish(codes::WS_OPERATION, "op not found"),
    }
}

/// A reply of a trade connection that is being made.
struct TradeReply<'a> {
    fields: Map<String, Value>,
    op: &'a str,
    id: u64,
}

impl TradeReply<'_> {
    fn finish(mut self, code: i64, message: &str) -> Value {
        self.fields.insert("retCode".to_owned(), json!(code));
        self.fields.insert("retMsg".to_owned(), json!(message));
        self.fields.insert("op".to_owned(), json!(self.op));
        self.fields.insert("connId".to_owned(), json!(connection(self.id)));
        Value::Object(self.fields)
    }
}

fn log_in(core: &mut Core, venue: &Venue, id: u64, args: &[Value]) -> Result<(), Refusal> {
    if core.hub.listener(id).is_some_and(|listener| listener.account.is_some()) {
        return Err(Refusal::new(codes::WS_REPEATED_LOGIN, "Repeat auth"));
    }
    let Some((key, expires, sign)) = read_login(args) else {
        return Err(Refusal::new(codes::PARAMETER, "Params Error"));
    };
    let now = wall_ms() + core.faults.clock_offset_ms;
    let account = auth::login(venue, &key, &expires, &sign, now)
        .map_err(|refusal| Refusal::new(codes::SIGNATURE, refusal.message))?;
    if let Some(listener) = core.hub.listener_mut(id) {
        listener.account = Some(account);
    }
    Ok(())
}

/// The account and the body of an order's request, if it may be carried out.
fn admit_order<'a>(
    core: &mut Core,
    id: u64,
    request: &Value,
    args: &'a [Value],
) -> Result<(usize, &'a Value), Refusal> {
    let account = core
        .hub
        .listener(id)
        .and_then(|listener| listener.account)
        .ok_or_else(|| Refusal::new(codes::SIGNATURE, "not logged in: send op auth first"))?;
    let header = request.get("header").cloned().unwrap_or(Value::Null);
    let header = Fields(&header);
    let stamp = header.text("X-BAPI-TIMESTAMP").unwrap_or_default();
    let window = header.text("X-BAPI-RECV-WINDOW").unwrap_or_default();
    auth::check_stamp(&stamp, &window, wall_ms() + core.faults.clock_offset_ms)?;
    let [body] = args else {
        return Err(Refusal::new(codes::PARAMETER, "params error: args must hold one order"));
    };
    if let Some(req_id) = request.get("reqId").map(ToString::to_string) {
        // The text of a JSON string has two quotes more.
        if req_id.len() > LONGEST_ID + 2 {
            return Err(Refusal::new(codes::PARAMETER, "params error: reqId exceeds 36"));
        }
        let fresh = core.hub.listener_mut(id).is_none_or(|one| one.ids.insert(req_id));
        if !fresh {
            return Err(Refusal::new(codes::WS_DUPLICATE_REQUEST, "Duplicate reqId"));
        }
    }
    Ok((account, body))
}

fn carry_out_order(
    core: &mut Core,
    venue: &Venue,
    account: usize,
    mut reply: TradeReply<'_>,
    body: &Value,
) -> Value {
    let path = format!("/v5/{}", reply.op.replace('.', "/"));
    let Some(bucket) = private::bucket("POST", &path) else {
        return reply.finish(codes::WS_OPERATION, "op not found");
    };
    let seen = Request {
        endpoint: bucket.0,
        account: Some(account),
        symbol: query::symbol_of(body),
        channel: "trade",
    };
    let (answer, more, allowance) = match batch::single(&path) {
        Some(path) => match batch::answer(core, venue, &seen, path, bucket, body) {
            (Ok((rows, outcomes)), allowance) => (Ok(rows), outcomes, allowance),
            (Err(refusal), allowance) => (Err(refusal), json!({}), allowance),
        },
        None => {
            let limited = rate_limited::limited(core, venue, &seen, &path, bucket, body);
            (limited.0, json!({}), limited.1)
        }
    };
    reply.fields.insert("retExtInfo".to_owned(), more);
    reply.fields.insert(
        "header".to_owned(),
        json!({
            "X-Bapi-Limit": allowance.limit.to_string(),
            "X-Bapi-Limit-Status": allowance.left.to_string(),
            "X-Bapi-Limit-Reset-Timestamp": allowance.reset.to_string(),
            "Traceid": connection(reply.id),
            "Timenow": wall_ms().to_string(),
        }),
    );
    match answer {
        Ok(data) => {
            reply.fields.insert("data".to_owned(), data);
            reply.finish(codes::OK, "OK")
        }
        Err(refusal) => {
            reply.fields.insert("data".to_owned(), json!({}));
            reply.finish(refusal.code, &refusal.message)
        }
    }
}
