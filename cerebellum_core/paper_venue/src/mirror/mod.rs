//! Mirrors the public side of a real exchange: its instruments, candles, books and trades.
//!
//! Only public endpoints are asked, so no key and no order ever leaves this process. While the
//! exchange does not answer, what is known of its market is out of date: new orders are refused
//! until the next snapshot, and what was missed of candles is fetched again.

/// Questions to the REST interface of the exchange that is mirrored.
pub mod upstream;

use crate::market::frames::{self, FrameError};
use crate::market::instrument::Instrument;
use crate::market::reported::Event;
use crate::server::Venue;
use futures_util::{SinkExt, StreamExt};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use upstream::{Upstream, UpstreamError};

/// A WebSocket to the exchange.
type Connection = WebSocketStream<MaybeTlsStream<TcpStream>>;

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
        let Err(why) = session.run(&upstream).await;
        tracing::warn!(%why, "the mirrored market is lost; connecting again");
        // A session that had books was sound: the next attempt comes soon.
        wait = if session.last.is_empty() { (wait * 2).min(LONGEST_WAIT) } else { FIRST_WAIT };
        venue.reported((0..instruments.len()).map(Event::Lost).collect());
        tokio::time::sleep(wait).await;
    }
}

/// Why a connection to the exchange ended. Always recoverable: the next one begins anew.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    /// Connecting took too long.
    #[error("{0} did not answer within {PATIENCE:?}")]
    NoAnswer(String),
    /// There is nobody.
    #[error("{address}: {source}")]
    Connect {
        /// The address.
        address: String,
        /// Why not.
        source: Box<tungstenite::Error>,
    },
    /// The connection broke.
    #[error(transparent)]
    Socket(Box<tungstenite::Error>),
    /// The candles that were missed cannot be had.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Nothing came for too long.
    #[error("nothing came for {SILENCE:?}")]
    Silent,
    /// The other side has gone.
    #[error("the connection ended")]
    Ended,
    /// The other side took leave.
    #[error("the exchange closed")]
    Closed,
    /// A frame that cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A subscription was refused.
    #[error("the exchange refuses: {0}")]
    Refused(String),
}

impl From<tungstenite::Error> for SessionError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(error.into())
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
    /// Connects, subscribes and listens until the connection ends.
    async fn run(&mut self, upstream: &Upstream) -> Result<Infallible, SessionError> {
        let (mut sink, mut stream) = connect(upstream).await?.split();
        // Subscribed first, so that no candle closes unseen between the answer and the stream.
        for request in self.topics() {
            sink.send(Message::text(request.to_string())).await?;
        }
        self.fill_holes(upstream).await?;
        let mut pings = tokio::time::interval(PING);
        let mut heard = tokio::time::Instant::now();
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout_at(heard + SILENCE, stream.next()) => next,
                _ = pings.tick() => {
                    let ping = json!({"op": "ping", "req_id": "mirror"}).to_string();
                    sink.send(Message::text(ping)).await?;
                    continue;
                }
            };
            heard = tokio::time::Instant::now();
            let text = match next.map_err(|_| SessionError::Silent)? {
                None => return Err(SessionError::Ended),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_))) => return Err(SessionError::Closed),
                Some(Ok(_)) => continue,
            };
            for request in self.receive(text.as_str())? {
                sink.send(Message::text(request.to_string())).await?;
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
    fn receive(&mut self, text: &str) -> Result<Vec<Value>, SessionError> {
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

async fn connect(upstream: &Upstream) -> Result<Connection, SessionError> {
    let address = format!("{}/v5/public/linear", upstream.ws);
    let connecting = tokio_tungstenite::connect_async(&address);
    match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(SessionError::Connect { address, source: error.into() }),
        Err(_) => Err(SessionError::NoAnswer(address)),
    }
}

fn book_topic(one: &Instrument) -> String {
    format!("orderbook.{DEPTH}.{}", one.symbol)
}

/// A subscription that was refused ends the session; every other answer is of no interest.
fn refusal(text: &str) -> Result<Vec<Value>, SessionError> {
    let answer: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    if answer.get("success") == Some(&Value::Bool(false)) {
        return Err(SessionError::Refused(text.to_owned()));
    }
    Ok(Vec::new())
}
