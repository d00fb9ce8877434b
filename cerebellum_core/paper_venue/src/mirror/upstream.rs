//! Questions to the REST interface of the exchange that is mirrored.

use crate::clock::wall_ms;
use crate::market::candle::{Candle, MINUTE_MS};
use crate::market::frames;
use crate::market::instrument::Instrument;
use serde_json::Value;
use std::time::Duration;

/// Candles of one answer.
const PAGE: i64 = 1_000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts for one question.
const ATTEMPTS: u32 = 4;

/// What the exchange did not answer, or answered instead. Recoverable once the venue is open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpstreamError(String);

impl From<&str> for UpstreamError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for UpstreamError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Where the exchange is.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Address of its REST interface, without a slash at the end.
    pub rest: String,
    /// Address of its WebSockets, without a slash at the end.
    pub ws: String,
    client: reqwest::Client,
}

impl Upstream {
    /// An exchange at two addresses.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(rest: &str, ws: &str) -> Result<Self, UpstreamError> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(|error| format!("cannot build an HTTP client: {error}"))?;
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        Ok(Self { rest: bare(rest), ws: bare(ws), client })
    }

    /// Asks once more when the exchange does not answer or answers nonsense.
    async fn ask(&self, path: &str) -> Result<Value, UpstreamError> {
        let url = format!("{}{path}", self.rest);
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
            }
            match self.ask_once(&url).await {
                Ok(result) => return Ok(result),
                Err(error) => why = error.to_string(),
            }
        }
        Err(format!("{url}: {why}").into())
    }

    async fn ask_once(&self, url: &str) -> Result<Value, UpstreamError> {
        let reported = |error: reqwest::Error| error.without_url().to_string();
        let text =
            self.client.get(url).send().await.map_err(reported)?.text().await.map_err(reported)?;
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|_| "the answer is not JSON".to_owned())?;
        match answer.get("retCode").and_then(Value::as_i64) {
            Some(0) => Ok(answer["result"].take()),
            code => Err(format!("retCode {code:?} {}", answer["retMsg"]).into()),
        }
    }

    /// The instruments of these symbols.
    ///
    /// # Errors
    /// The address that does not answer, or the symbol that is not traded there.
    pub async fn instruments(&self, symbols: &[String]) -> Result<Vec<Instrument>, UpstreamError> {
        let mut instruments = Vec::new();
        for symbol in symbols {
            let path = format!("/v5/market/instruments-info?category=linear&symbol={symbol}");
            let result = self.ask(&path).await?;
            let row = result.pointer("/list/0").ok_or_else(|| {
                format!("--symbols {symbol} is not traded at --mirror-rest {}", self.rest)
            })?;
            instruments.push(Instrument::from_row(row)?);
        }
        Ok(instruments)
    }

    /// Closed one-minute candles from an instant on, oldest first.
    ///
    /// # Errors
    /// The address that does not answer, or a row that is no candle.
    pub async fn candles(&self, one: &Instrument, from: i64) -> Result<Vec<Candle>, UpstreamError> {
        let mut candles: Vec<Candle> = Vec::new();
        let mut start = from;
        loop {
            let now = wall_ms();
            if start + MINUTE_MS > now {
                return Ok(candles);
            }
            let end = start + PAGE * MINUTE_MS - 1;
            let path = format!(
                "/v5/market/kline?category=linear&symbol={}&interval=1&start={start}&end={end}&limit={PAGE}",
                one.symbol
            );
            let result = self.ask(&path).await?;
            let rows = result.get("list").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for row in rows.iter().rev() {
                let candle = frames::rest_candle(row, one)
                    .ok_or_else(|| format!("{path}: {row} is no candle"))?;
                let newest = candles.last().map_or(i64::MIN, |last| last.open_ts);
                if candle.open_ts + MINUTE_MS <= now && candle.open_ts > newest {
                    candles.push(candle);
                }
            }
            start = end + 1;
        }
    }
}
