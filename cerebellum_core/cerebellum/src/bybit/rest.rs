//! Signed and unsigned requests.

use std::{
    sync::{
        atomic::{AtomicI64, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use protocol::{bybit::signing::sign_rest, wire::field::Symbol};
use serde::{de::DeserializeOwned, Deserialize};
use serde_json::Value;

use super::{
    keys::Keys,
    outcome::Answer,
    pause::{Pause, PAUSE},
    read_error::ReadError,
    refused_key,
    rows::Traded,
    unreadable::Unreadable,
    wall_ms,
};

/// The code of a stamp outside the receive window: the clocks differ.
pub(super) const STALE_STAMP: i64 = 10_002;
/// The status with which a venue turns an address away.
const FORBIDDEN: u16 = 403;
/// How often the clocks are compared at most to find a fast answer.
const CLOCK_SAMPLES: usize = 3;
/// An answer within this is fast, ms.
const FAST_MS: i64 = 250;

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
    pause: Pause,
    unreadable: Unreadable,
    traded: Traded,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NoAnswer {
    /// What was seen instead.
    pub text: String,
    /// Whether asking again is of no use: the key is wrong or has no right.
    pub permanent: bool,
    /// The venue's code, if it answered with one.
    pub code: Option<i64>,
}

impl NoAnswer {
    /// One that may be there the next time.
    #[must_use]
    pub fn passing(text: String) -> Self {
        Self { text, permanent: false, code: None }
    }

    /// One that no other answer follows.
    #[must_use]
    pub fn permanent(text: String) -> Self {
        Self { text, permanent: true, code: None }
    }
}

/// Why there is no client: the TLS side cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("HTTP client: {0}")]
pub struct ClientError(reqwest::Error);

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
    status: u16,
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
    pub fn new(base: &str, keys: Keys, receive_window_ms: i64) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(ClientError)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            keys,
            clock: VenueClock::default(),
            receive_window_ms,
            pause: Pause::default(),
            unreadable: Unreadable::default(),
            traded: Traded::default(),
        })
    }

    /// The same client, reporting what it cannot read.
    #[must_use]
    pub fn reporting(self, unreadable: Unreadable) -> Self {
        Self { unreadable, ..self }
    }

    /// The same client, which can do without rows of other symbols.
    #[must_use]
    pub fn trading(self, symbols: &[Symbol]) -> Self {
        Self { traded: Traded::only(symbols), ..self }
    }

    /// The symbols traded here.
    #[must_use]
    pub fn traded(&self) -> &Traded {
        &self.traded
    }

    /// The address, without any path.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where unreadable rows are reported.
    #[must_use]
    pub fn complaints(&self) -> &Unreadable {
        &self.unreadable
    }

    /// Reports that an answer cannot be read, and makes it no answer.
    #[must_use]
    pub fn unreadable(&self, path: &str, text: impl std::fmt::Display) -> NoAnswer {
        self.unreadable.report(path, &text);
        NoAnswer::passing(format!("{path}: {text}"))
    }

    /// How old a signed request may be when the venue reads it, ms.
    #[must_use]
    pub fn receive_window_ms(&self) -> i64 {
        self.receive_window_ms
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
    /// A slow answer proves little, so the fastest of a few counts.
    ///
    /// # Errors
    /// When the venue does not answer.
    pub async fn sync_clock(&self) -> Result<i64, NoAnswer> {
        let mut best = self.measure_clock().await?;
        for _ in 1..CLOCK_SAMPLES {
            if best.0 < FAST_MS {
                break;
            }
            if let Ok(sample) = self.measure_clock().await {
                best = best.min(sample);
            }
        }
        self.clock.set(best.1);
        Ok(best.1)
    }

    /// How long one answer took and the distance of the clocks by it, both in ms.
    async fn measure_clock(&self) -> Result<(i64, i64), NoAnswer> {
        let before = wall_ms();
        let raw = self.get("/v5/market/time", "", false).await.map_err(no_answer)?;
        let after = wall_ms();
        let nanos = raw.envelope.result.get("timeNano").and_then(Value::as_str);
        let theirs = nanos
            .and_then(|text| text.parse::<i64>().ok())
            .map_or(raw.envelope.time, |nanos| nanos / 1_000_000);
        if theirs <= 0 {
            let text = "/v5/market/time: timeNano and time are missing";
            return Err(NoAnswer::passing(text.to_owned()));
        }
        // A clock that was set back in between makes a sample as useless as a slow answer does.
        Ok(((after - before).abs(), theirs - (before + after) / 2))
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
        if envelope.code == STALE_STAMP {
            let _ = self.sync_clock().await;
        }
        if envelope.code != 0 {
            let (code, text) = (envelope.code, envelope.text);
            let refused = self.key_refused(path, code, &text);
            return Err(NoAnswer {
                permanent: refused.is_some(),
                text: refused.unwrap_or_else(|| format!("{path}: {code}: {text}")),
                code: Some(code),
            });
        }
        serde_json::from_value(envelope.result)
            .map_err(|error| self.unreadable(path, format!("the reply cannot be read: {error}")))
    }

    /// What to report of a code about the key: which key, what is wrong with it, and the next step. It is
    /// an alarm, too: whatever asks goes on asking.
    pub(super) fn key_refused(&self, path: &str, code: i64, text: &str) -> Option<String> {
        let meaning = refused_key::meaning(code)?;
        let (source, base) = (self.keys.source(), &self.base);
        let text = format!("{source}: {meaning} ({base}{path}: {code}: {text})");
        self.unreadable.trouble("key_refused", text.clone());
        Some(text)
    }

    /// Alarms that a socket's login is refused.
    pub(super) fn login_refused(&self, socket: &str, text: &str) {
        let source = self.keys.source();
        let text = format!(
            "{source}: the venue refuses the login of the {socket} ({text}); is the key gone, expired or \
             without rights, or this machine's clock wrong? Cerebellum tries on; check the key at the venue"
        );
        self.unreadable.trouble("key_refused", text);
    }

    /// Sends an order, a change of one, or a setting.
    pub async fn send(&self, path: &str, body: &Value) -> Answer {
        match self.post(path, body.to_string()).await {
            Err(Failure::NeverSent(text)) => Answer::NeverSent(text),
            Err(Failure::Silence(text)) => Answer::Silence(text),
            Ok(raw) => {
                self.key_refused(path, raw.envelope.code, &raw.envelope.text);
                let order_id = raw.envelope.result.get("orderId").and_then(Value::as_str);
                answer_of(
                    raw.envelope.code,
                    raw.envelope.text,
                    order_id,
                    (raw.remaining, raw.reset_at),
                    &self.clock,
                )
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
        self.read(path, request).await
    }

    async fn post(&self, path: &str, body: String) -> Result<Raw, Failure> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json");
        let request = self.sign(request, body.as_bytes()).body(body);
        self.read(path, request).await
    }

    async fn read(&self, path: &str, request: reqwest::RequestBuilder) -> Result<Raw, Failure> {
        if let Some(left) = self.pause.left(Instant::now()) {
            let seconds = left.as_secs() + 1;
            return Err(Failure::NeverSent(format!(
                "{path}: not asked: the venue answered HTTP 403, so requests rest for {seconds} s more"
            )));
        }
        let mut raw = read(path, request).await?;
        if raw.status == FORBIDDEN && self.pause.begin(Instant::now()) {
            metrics::counter!("cerebellum_rest_pauses_total").increment(1);
            let text = format!(
                "{path}: HTTP 403: this address asks too often or is not served; no request leaves for \
                 {} s, orders go over the trade socket where it is up",
                PAUSE.as_secs()
            );
            self.unreadable.notice("rest_paused", text);
        }
        // A refused signature comes back with all that was signed, the key among it.
        raw.envelope.text = self.keys.hide(&raw.envelope.text);
        Ok(raw)
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

/// Reads the envelope of a reply: its code and its result.
///
/// # Errors
/// What cannot be read.
pub fn read_envelope(body: &[u8]) -> Result<(i64, Value), ReadError> {
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    Ok((envelope.code, envelope.result))
}

/// What a reply to an order request states; `limit` is what remains of the rate and its reset, ms.
pub(super) fn answer_of(
    code: i64,
    text: String,
    order_id: Option<&str>,
    limit: (Option<i64>, Option<i64>),
    clock: &VenueClock,
) -> Answer {
    let exhausted = limit.0 == Some(0) || code == 10_006;
    Answer::Code {
        code,
        text,
        order_id: order_id.unwrap_or_default().to_owned(),
        reset_at: limit.1.filter(|_| exhausted).map(|reset| reset - clock.offset_ms()),
    }
}

async fn read(path: &str, request: reqwest::RequestBuilder) -> Result<Raw, Failure> {
    let started = Instant::now();
    let response = request.send().await.map_err(|error| {
        // The address is left out: a URL of a signed request reveals too much for a log.
        let error = error.without_url();
        if error.is_connect() || error.is_builder() {
            Failure::NeverSent(format!("{path}: no connection: {}", reason(&error)))
        } else {
            Failure::Silence(format!("{path}: no answer: {}", reason(&error)))
        }
    })?;
    let status = response.status().as_u16();
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
        Ok(envelope) => Ok(Raw { status, envelope, remaining, reset_at }),
        // 401 and 403 are decided before an order is looked at.
        Err(_) if matches!(status, 401 | 403) => {
            let text = format!("HTTP {status}");
            let code = if status == 401 { 10_003 } else { 10_018 };
            let envelope = Envelope { code, text, result: Value::Null, time: 0 };
            Ok(Raw { status, envelope, remaining, reset_at })
        }
        Err(_) => Err(Failure::Silence(format!("{path}: HTTP {status} without a reply"))),
    }
}

/// An error with what caused it; the outermost alone shows only that a request failed.
fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn no_answer(failure: Failure) -> NoAnswer {
    match failure {
        Failure::NeverSent(text) | Failure::Silence(text) => NoAnswer::passing(text),
    }
}
