//! The trade socket: one login, then orders without a signature each.
//!
//! Every request carries a `reqId`; its answer is matched by it. A request that was written and has
//! no answer (too late, or the socket is gone) is of unknown fate, never refused. One that was
//! certainly not written goes back to the caller, who sends it by REST.

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

use protocol::bybit::signing::sign_ws_login;
use serde::Deserialize;
use serde_json::{json, Value};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    keys::Keys,
    outcome::Answer,
    read_error::ReadError,
    rest::{answer_of, RestClient},
    session_error::SessionError,
    socket::{BackOff, Keepalive, Socket},
};

/// How long an answer to an order is awaited.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the answer to the login is awaited.
const LOGIN: Duration = Duration::from_secs(5);
/// How long a connection must live before the next loss counts as the first again.
const STEADY: Duration = Duration::from_secs(10);

/// What became of a request.
#[derive(Debug)]
pub enum Sent {
    /// It was written; this came back, or did not.
    Answered(Answer),
    /// It was certainly not written; here it is back.
    Not(Value),
}

/// The near end of the trade socket; cheap to clone.
#[derive(Clone, Debug)]
pub struct TradeLine {
    errands: mpsc::UnboundedSender<Errand>,
    up: Arc<AtomicBool>,
}

/// The far end, to be run.
#[derive(Debug)]
pub struct TradeRunner {
    errands: mpsc::UnboundedReceiver<Errand>,
    up: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Errand {
    operation: &'static str,
    body: Value,
    reported: oneshot::Sender<Sent>,
}

/// Makes both ends.
#[must_use]
pub fn line() -> (TradeLine, TradeRunner) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let up = Arc::new(AtomicBool::new(false));
    (TradeLine { errands: sender, up: Arc::clone(&up) }, TradeRunner { errands: receiver, up })
}

impl TradeLine {
    /// Sends `order.OPERATION` with one body.
    pub async fn send(&self, operation: &'static str, body: Value) -> Sent {
        if !self.up.load(Ordering::Acquire) {
            return Sent::Not(body);
        }
        let (reported, answer) = oneshot::channel();
        if let Err(mpsc::error::SendError(errand)) =
            self.errands.send(Errand { operation, body, reported })
        {
            return Sent::Not(errand.body);
        }
        answer.await.unwrap_or_else(|_| {
            Sent::Answered(Answer::Silence(format!("order.{operation}: the trade socket ended")))
        })
    }
}

impl Errand {
    fn refuse(self) {
        let _ = self.reported.send(Sent::Not(self.body));
    }
}

/// An answer, or any other frame of the trade socket.
#[derive(Debug, Deserialize)]
pub struct TradeFrame {
    #[serde(rename = "reqId", default)]
    request_id: Option<String>,
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg", default)]
    text: String,
    op: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    header: Value,
}

impl TradeFrame {
    /// Reads a frame.
    ///
    /// # Errors
    /// What cannot be read, with the frame's beginning.
    pub fn read(text: &str, keys: &Keys) -> Result<Self, ReadError> {
        let read = serde_json::from_str::<Self>(text);
        let mut frame = read.map_err(|error| {
            let start = keys.hide(text).chars().take(200).collect();
            ReadError::TradeFrame { error: error.to_string(), start }
        })?;
        frame.text = keys.hide(&frame.text);
        Ok(frame)
    }

    /// The request that it answers.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// What it reports of an order request, and the rate limit that came with it.
    #[must_use]
    pub fn answer(&self, clock: &super::rest::VenueClock) -> Answer {
        let number = |name: &str| match self.header.get(name)? {
            Value::String(text) => text.trim().parse::<i64>().ok(),
            other => other.as_i64(),
        };
        let limit = (number("X-Bapi-Limit-Status"), number("X-Bapi-Limit-Reset-Timestamp"));
        let order_id = self.data.get("orderId").and_then(Value::as_str);
        answer_of(self.code, self.text.clone(), order_id, limit, clock)
    }
}

/// Keeps the socket up until nobody can send any more.
pub async fn run(url: String, rest: RestClient, keepalive: Keepalive, runner: TradeRunner) {
    let TradeRunner { mut errands, up } = runner;
    let mut back_off = BackOff::default();
    loop {
        let why = match meanwhile(open(&url, &rest, keepalive), &mut errands).await {
            Err(why) => why,
            Ok(mut socket) => {
                tracing::info!("trade socket is up");
                metrics::gauge!("cerebellum_trade_socket_up").set(1.0);
                up.store(true, Ordering::Release);
                let opened = Instant::now();
                let ended = session(&mut socket, &rest, &up, &mut errands).await;
                up.store(false, Ordering::Release);
                metrics::gauge!("cerebellum_trade_socket_up").set(0.0);
                if opened.elapsed() > STEADY {
                    back_off.reset();
                }
                match ended {
                    Ok(()) => return,
                    Err(why) => why,
                }
            }
        };
        tracing::warn!(%why, "trade socket is down; orders go by REST");
        metrics::counter!("cerebellum_reconnects_total", "stream" => "trade").increment(1);
        meanwhile(tokio::time::sleep(back_off.wait()), &mut errands).await;
    }
}

/// Does something; requests that come meanwhile go back.
async fn meanwhile<T>(
    work: impl Future<Output = T>,
    errands: &mut mpsc::UnboundedReceiver<Errand>,
) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            Some(errand) = errands.recv() => errand.refuse(),
        }
    }
}

/// Connects and logs in.
async fn open(url: &str, rest: &RestClient, keepalive: Keepalive) -> Result<Socket, SessionError> {
    let mut socket = Socket::connect(url, keepalive).await?;
    let expires = rest.clock().now_ms().saturating_add(10_000);
    let signature = sign_ws_login(rest.keys().secret(), &expires.to_string());
    let login =
        json!({"reqId": "login", "op": "auth", "args": [rest.keys().key(), expires, signature]});
    socket.send(login.to_string()).await?;
    let until = Instant::now() + LOGIN;
    while Instant::now() < until {
        let Some(text) = socket.next(Duration::from_millis(250)).await? else { continue };
        let frame = TradeFrame::read(&text, rest.keys())?;
        if frame.op == "auth" {
            return match frame.code {
                0 => Ok(socket),
                code => {
                    rest.login_refused("trade socket", &format!("{code}: {}", frame.text));
                    let text = format!("{code}: {}", frame.text);
                    Err(login_fault(url, SessionError::Refused { op: "auth".to_owned(), text }))
                }
            };
        }
    }
    let seconds = LOGIN.as_secs();
    Err(login_fault(url, SessionError::NoAnswer { op: "auth".to_owned(), seconds }))
}

fn login_fault(url: &str, error: SessionError) -> SessionError {
    SessionError::Login { url: url.to_owned(), source: Box::new(error) }
}

struct Flight {
    written: Instant,
    reported: oneshot::Sender<Sent>,
}

/// Requests on their way, by `reqId`. Dropping it leaves each one's fate unknown.
#[derive(Default)]
struct Flights {
    waiting: HashMap<String, Flight>,
    count: u64,
}

impl Flights {
    fn resolve(&mut self, id: &str, answer: Answer) {
        match self.waiting.remove(id) {
            Some(flight) => {
                metrics::histogram!("cerebellum_trade_socket_seconds")
                    .record(flight.written.elapsed().as_secs_f64());
                let _ = flight.reported.send(Sent::Answered(answer));
            }
            None => tracing::debug!(id, "an answer of the trade socket came too late"),
        }
    }

    /// Gives up what waits for too long; whether nothing at all was received since one was written.
    fn expire(&mut self, last_received: Instant) -> bool {
        let late: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, flight)| flight.written.elapsed() >= ANSWER)
            .map(|(id, _)| id.clone())
            .collect();
        let mut deaf = false;
        for id in late {
            deaf |= self.waiting.get(&id).is_some_and(|flight| flight.written > last_received);
            let text = format!("trade socket: no answer in {} s", ANSWER.as_secs());
            self.resolve(&id, Answer::Silence(text));
        }
        deaf
    }

    fn lose_all(&mut self, why: &str) {
        let ids: Vec<String> = self.waiting.keys().cloned().collect();
        for id in ids {
            self.resolve(&id, Answer::Silence(format!("trade socket: {why}")));
        }
    }
}

async fn session(
    socket: &mut Socket,
    rest: &RestClient,
    up: &AtomicBool,
    errands: &mut mpsc::UnboundedReceiver<Errand>,
) -> Result<(), SessionError> {
    // Unique among connections, too: an id that the venue saw before is refused.
    let name = uuid::Uuid::new_v4().simple().to_string();
    let mut flights = Flights::default();
    let ended = exchange(socket, rest, up, errands, &name[..12], &mut flights).await;
    match &ended {
        Ok(()) => flights.lose_all("stopped"),
        Err(why) => flights.lose_all(&why.to_string()),
    }
    ended
}

async fn exchange(
    socket: &mut Socket,
    rest: &RestClient,
    up: &AtomicBool,
    errands: &mut mpsc::UnboundedReceiver<Errand>,
    name: &str,
    flights: &mut Flights,
) -> Result<(), SessionError> {
    let mut leaving = false;
    loop {
        if leaving && flights.waiting.is_empty() {
            return Err(SessionError::Restarting);
        }
        tokio::select! {
            biased;
            frame = socket.next(Duration::from_millis(100)) => {
                if let Some(text) = frame? {
                    let frame = TradeFrame::read(&text, rest.keys())
                        .inspect_err(|why| rest.complaints().report("trade", why))?;
                    leaving |= frame.code == 10_019;
                    if leaving {
                        up.store(false, Ordering::Release);
                    }
                    if let Some(id) = frame.request_id() {
                        flights.resolve(id, frame.answer(rest.clock()));
                    }
                }
            }
            errand = errands.recv() => match errand {
                None => return Ok(()),
                Some(errand) if leaving => errand.refuse(),
                Some(errand) => {
                    flights.count += 1;
                    let id = format!("{name}-{}", flights.count);
                    let request = json!({
                        "reqId": id,
                        "header": {
                            "X-BAPI-TIMESTAMP": rest.clock().now_ms().to_string(),
                            "X-BAPI-RECV-WINDOW": rest.receive_window_ms().to_string(),
                        },
                        "op": format!("order.{}", errand.operation),
                        "args": [errand.body],
                    });
                    let flight = Flight { written: Instant::now(), reported: errand.reported };
                    flights.waiting.insert(id, flight);
                    socket.send(request.to_string()).await?;
                }
            },
        }
        if flights.expire(socket.last_received()) {
            return Err(SessionError::Silent(ANSWER.as_secs()));
        }
    }
}

#[cfg(test)]
#[path = "ws_trade_tests.rs"]
mod tests;
