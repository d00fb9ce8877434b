//! Signed and unsigned requests.

use std::{
    sync::{
        atomic::{AtomicI64, Ordering},
        Arc,
    },
    time::Duration,
};

use protocol::bybit::signing::sign_rest;
use serde::{de::DeserializeOwned, Deserialize};
use serde_json::Value;

use super::{keys::Keys, outcome::Answer, wall_ms};

/// The venue's clock, as a distance from ours.
#[derive(Clone, Debug, Default)]
pub struct VenueClock(Arc<AtomicI64>);

impl VenueClock {
    /// Wall milliseconds at the venue.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        wall_ms().saturating_add(self.offset_ms())
    }

    /// Venue minus ours, ms.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, offset_ms: i64) {
        self.0.store(offset_ms, Ordering::Relaxed);
    }
}

/// A client of the venue's REST side.
#[derive(Clone, Debug)]
pub struct RestClient {
    http: reqwest::Client,
    base: String,
    keys: Keys,
    clock: VenueClock,
    receive_window_ms: i64,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// What was seen instead.
    pub text: String,
    /// Whether asking again is of no use: the key is wrong or has no right.
    pub hopeless: bool,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The envelope of every reply.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg", default)]
    text: String,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    time: i64,
}

struct Raw {
    envelope: Envelope,
    remaining: Option<i64>,
    reset_at: Option<i64>,
}

enum Failure {
    NeverSent(String),
    Silence(String),
}

impl RestClient {
    /// A client.
    ///
    /// # Errors
    /// When the TLS side cannot be set up.
    pub fn new(base: &str, keys: Keys, receive_window_ms: i64) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| format!("HTTP client: {error}"))?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            keys,
            clock: VenueClock::default(),
            receive_window_ms,
        })
    }

    /// The venue's clock.
    #[must_use]
    pub fn clock(&self) -> &VenueClock {
        &self.clock
    }

    /// The keys, for the private stream.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Measures the distance of the clocks and takes it; returns it in ms.
    ///
    /// # Errors
    /// When the venue does not answer.
    pub async fn sync_clock(&self) -> Result<i64, NoAnswer> {
        let before = wall_ms();
        let raw = self.get("/v5/market/time", "", false).await.map_err(no_answer)?;
        let after = wall_ms();
        let theirs = if raw.envelope.time > 0 {
            raw.envelope.time
        } else {
            let nano = raw.envelope.result.get("timeNano").and_then(Value::as_str);
            nano.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) / 1_000_000
        };
        if theirs <= 0 {
            return Err(NoAnswer { text: "the venue told no time".to_owned(), hopeless: false });
        }
        let offset = theirs - (before + after) / 2;
        self.clock.set(offset);
        Ok(offset)
    }

    /// Asks a question; `query` is without `?` and is signed as it is.
    ///
    /// # Errors
    /// When there is no answer, or one with a code other than 0.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
        signed: bool,
    ) -> Result<T, NoAnswer> {
        let raw = self.get(path, query, signed).await.map_err(no_answer)?;
        let envelope = raw.envelope;
        if envelope.code != 0 {
            return Err(NoAnswer {
                text: format!("{path}: {}: {}", envelope.code, envelope.text),
                hopeless: matches!(envelope.code, 10_003 | 10_004 | 10_005 | 10_010),
            });
        }
        serde_json::from_value(envelope.result).map_err(|error| NoAnswer {
            text: format!("{path}: the reply cannot be read: {error}"),
            hopeless: false,
        })
    }

    /// Sends an order or a cancel.
    pub async fn send(&self, path: &str, body: &Value) -> Answer {
        match self.post(path, body.to_string()).await {
            Err(Failure::NeverSent(text)) => Answer::NeverSent(text),
            Err(Failure::Silence(text)) => Answer::Silence(text),
            Ok(raw) => {
                let order_id = raw.envelope.result.get("orderId").and_then(Value::as_str);
                let exhausted = raw.remaining == Some(0) || raw.envelope.code == 10_006;
                Answer::Code {
                    code: raw.envelope.code,
                    text: raw.envelope.text,
                    order_id: order_id.unwrap_or_default().to_owned(),
                    reset_at: raw
                        .reset_at
                        .filter(|_| exhausted)
                        .map(|reset| reset - self.clock.offset_ms()),
                }
            }
        }
    }

    async fn get(&self, path: &str, query: &str, signed: bool) -> Result<Raw, Failure> {
        let url = if query.is_empty() {
            format!("{}{path}", self.base)
        } else {
            format!("{}{path}?{query}", self.base)
        };
        let mut request = self.http.get(url);
        if signed {
            request = self.sign(request, query.as_bytes());
        }
        read(path, request).await
    }

    async fn post(&self, path: &str, body: String) -> Result<Raw, Failure> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json");
        let request = self.sign(request, body.as_bytes()).body(body);
        read(path, request).await
    }

    fn sign(&self, request: reqwest::RequestBuilder, payload: &[u8]) -> reqwest::RequestBuilder {
        let timestamp = self.clock.now_ms().to_string();
        let window = self.receive_window_ms.to_string();
        let key = self.keys.key();
        let signature = sign_rest(self.keys.secret(), &timestamp, key, &window, payload);
        request
            .header("X-BAPI-API-KEY", key)
            .header("X-BAPI-TIMESTAMP", timestamp)
            .header("X-BAPI-RECV-WINDOW", window)
            .header("X-BAPI-SIGN", signature)
    }
}

async fn read(path: &str, request: reqwest::RequestBuilder) -> Result<Raw, Failure> {
    let started = std::time::Instant::now();
    let response = request.send().await.map_err(|error| {
        // The address is left out: a URL of a signed request says too much for a log.
        let error = error.without_url();
        if error.is_connect() || error.is_builder() {
            Failure::NeverSent(format!("{path}: no connection: {error}"))
        } else {
            Failure::Silence(format!("{path}: no answer: {error}"))
        }
    })?;
    let status = response.status();
    let number =
        |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let (remaining, reset_at) =
        (number("X-Bapi-Limit-Status"), number("X-Bapi-Limit-Reset-Timestamp"));
    let body = response
        .bytes()
        .await
        .map_err(|error| Failure::Silence(format!("{path}: cut off: {}", error.without_url())))?;
    metrics::histogram!("cerebellum_rest_seconds", "path" => path.to_owned())
        .record(started.elapsed().as_secs_f64());
    match serde_json::from_slice::<Envelope>(&body) {
        Ok(envelope) => Ok(Raw { envelope, remaining, reset_at }),
        // 401 and 403 are decided before an order is looked at.
        Err(_) if matches!(status.as_u16(), 401 | 403) => {
            let text = format!("HTTP {status}");
            let code = if status.as_u16() == 401 { 10_003 } else { 10_006 };
            let envelope = Envelope { code, text, result: Value::Null, time: 0 };
            Ok(Raw { envelope, remaining, reset_at })
        }
        Err(_) => Err(Failure::Silence(format!("{path}: HTTP {status} without a reply"))),
    }
}

fn no_answer(failure: Failure) -> NoAnswer {
    match failure {
        Failure::NeverSent(text) | Failure::Silence(text) => NoAnswer { text, hopeless: false },
    }
}
