//! Mirrors the public side of a real exchange: its instruments, candles, books and trades.
//!
//! Only public endpoints are asked, so no key and no order ever leaves this process. While the
//! exchange does not answer, what is known of its market is out of date: new orders are refused
//! until the next snapshot, and what was missed of candles is fetched again.

/// Questions to the REST interface of the exchange that is mirrored.
pub mod upstream;

use crate::market::frames;
use crate::market::instrument::Instrument;
use crate::market::reported::Event;
use crate::server::Venue;
use futures_util::{SinkExt, StreamExt};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use upstream::{Upstream, UpstreamError};

/// Depth of the books that are mirrored.
pub const DEPTH: usize = 200;
/// How often the connection is asked if it lives.
const PING: Duration = Duration::from_secs(2);
/// How long a connection may send nothing.
const SILENCE: Duration = Duration::from_secs(6);
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shortest wait between two attempts to connect.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Topics of one subscription request.
const TOPICS: usize = 10;

/// Follows the exchange until the process ends.
pub async fn follow(venue: Arc<Venue>, upstream: Upstream, instruments: Vec<Instrument>) {
    let mut wait = FIRST_WAIT;
    loop {
        let mut session =
            Session { venue: &venue, instruments: &instruments, last: HashMap::new() };
        let why = session.run(&upstream).await;
        tracing::warn!(why, "the mirrored market is lost; connecting again");
        // A session that had books was sound: the next attempt comes soon.
        wait = if session.last.is_empty() { (wait * 2).min(LONGEST_WAIT) } else { FIRST_WAIT };
        venue.reported((0..instruments.len()).map(Event::Lost).collect());
        tokio::time::sleep(wait).await;
    }
}

/// One connection to the exchange.
struct Session<'a> {
    venue: &'a Venue,
    instruments: &'a [Instrument],
    /// Number of the last book message of each symbol, while its book is whole.
    last: HashMap<usize, u64>,
}

impl Session<'_> {
    /// Connects, subscribes and listens; returns why that ended.
    async fn run(&mut self, upstream: &Upstream) -> String {
        let address = format!("{}/v5/public/linear", upstream.ws);
        let connecting = tokio_tungstenite::connect_async(&address);
        let socket = match tokio::time::timeout(PATIENCE, connecting).await {
            Err(_) => return format!("{address} did not answer within {PATIENCE:?}"),
            Ok(Err(error)) => return format!("{address}: {error}"),
            Ok(Ok((socket, _))) => socket,
        };
        let (mut sink, mut stream) = socket.split();
        let mut sending: Vec<Value> = self.topics();
        // Subscribed first, so that no candle closes unseen between the answer and the stream.
        for request in sending.drain(..) {
            if let Err(error) = sink.send(Message::text(request.to_string())).await {
                return error.to_string();
            }
        }
        if let Err(why) = self.fill_holes(upstream).await {
            return why.to_string();
        }
        let mut pings = tokio::time::interval(PING);
        let mut heard = tokio::time::Instant::now();
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout_at(heard + SILENCE, stream.next()) => next,
                _ = pings.tick() => {
                    let ping = json!({"op": "ping", "req_id": "mirror"}).to_string();
                    if let Err(error) = sink.send(Message::text(ping)).await {
                        return error.to_string();
                    }
                    continue;
                }
            };
            heard = tokio::time::Instant::now();
            let text = match next {
                Err(_) => return format!("nothing came for {SILENCE:?}"),
                Ok(None) => return "the connection ended".to_owned(),
                Ok(Some(Err(error))) => return error.to_string(),
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(_)))) => return "the exchange closed".to_owned(),
                Ok(Some(Ok(_))) => continue,
            };
            for request in match self.receive(text.as_str()) {
                Ok(requests) => requests,
                Err(why) => return why,
            } {
                if let Err(error) = sink.send(Message::text(request.to_string())).await {
                    return error.to_string();
                }
            }
        }
    }

    fn topics(&self) -> Vec<Value> {
        let mut topics = Vec::new();
        for one in self.instruments {
            topics.push(book_topic(one));
            for kind in ["publicTrade", "kline.1", "tickers"] {
                topics.push(format!("{kind}.{}", one.symbol));
            }
        }
        topics.chunks(TOPICS).map(|args| json!({"op": "subscribe", "args": args})).collect()
    }

    /// Fetches the candles that closed while nobody listened.
    async fn fill_holes(&self, upstream: &Upstream) -> Result<(), UpstreamError> {
        for (symbol, one) in self.instruments.iter().enumerate() {
            let known = self.venue.quietly(|core| {
                core.exchange.market().history(symbol).last().map(|last| last.open_ts)
            });
            let Some(known) = known else { continue };
            let missed = upstream.candles(one, known + 60_000).await?;
            self.venue
                .reported(missed.into_iter().map(|c| Event::Candle(symbol, c, true)).collect());
        }
        Ok(())
    }

    /// Takes in one frame; returns what to send in answer.
    fn receive(&mut self, text: &str) -> Result<Vec<Value>, String> {
        let Some((_, event)) = frames::read(text, self.instruments)? else { return refusal(text) };
        let mut requests = Vec::new();
        let event = match event {
            Event::Book(frame) => {
                let last = self.last.get(&frame.symbol).copied();
                if frame.snapshot || last.is_some_and(|last| frame.update == last + 1) {
                    self.last.insert(frame.symbol, frame.update);
                    Event::Book(frame)
                } else if last.is_some() {
                    let one = &self.instruments[frame.symbol];
                    tracing::warn!(symbol = one.symbol, ?last, update = frame.update, "a gap");
                    self.last.remove(&frame.symbol);
                    for op in ["unsubscribe", "subscribe"] {
                        requests.push(json!({"op": op, "args": [book_topic(one)]}));
                    }
                    Event::Lost(frame.symbol)
                } else {
                    return Ok(requests);
                }
            }
            other => other,
        };
        self.venue.reported(vec![event]);
        Ok(requests)
    }
}

fn book_topic(one: &Instrument) -> String {
    format!("orderbook.{DEPTH}.{}", one.symbol)
}

/// A subscription that was refused ends the session; every other answer is of no interest.
fn refusal(text: &str) -> Result<Vec<Value>, String> {
    let answer: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    if answer.get("success") == Some(&Value::Bool(false)) {
        return Err(format!("the exchange refuses: {text}"));
    }
    Ok(Vec::new())
}
