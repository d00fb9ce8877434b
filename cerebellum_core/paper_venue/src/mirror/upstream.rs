//! Questions to the REST interface of the exchange that is mirrored.

use crate::clock::wall_ms;
use crate::market::candle::{Candle, MINUTE_MS};
use crate::market::frames;
use crate::market::instrument::{Instrument, InstrumentError};
use serde_json::Value;
use std::time::Duration;

/// Candles of one answer.
const PAGE: i64 = 1_000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts for one question.
const ATTEMPTS: u32 = 4;

/// What the exchange did not answer, or answered instead. Recoverable once the venue is open.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing can be asked.
    #[error("cannot build an HTTP client: {0}")]
    Client(reqwest::Error),
    /// The last of several attempts failed.
    #[error("{url}: {source}")]
    Unanswered {
        /// What was asked.
        url: String,
        /// Why there is no answer.
        source: AskError,
    },
    /// A symbol that the exchange does not have.
    #[error("--symbols {symbol} is not traded at --mirror-rest {rest}")]
    NotTraded {
        /// Which.
        symbol: String,
        /// Where.
        rest: String,
    },
    /// An instrument that cannot be read.
    #[error(transparent)]
    Instrument(#[from] InstrumentError),
    /// A candle that cannot be read.
    #[error("{path}: {row} is no candle")]
    NoCandle {
        /// What was asked.
        path: String,
        /// The row.
        row: Value,
    },
}

/// Why one attempt brought no result.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The exchange was not reached, or broke off.
    #[error("{0}")]
    Http(reqwest::Error),
    /// The answer is something else.
    #[error("the answer is not JSON")]
    Json,
    /// The exchange refused.
    #[error("retCode {code:?} {message}")]
    Refused {
        /// Its code.
        code: Option<i64>,
        /// Its words.
        message: Value,
    },
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
        let client =
            reqwest::Client::builder().timeout(PATIENCE).build().map_err(UpstreamError::Client)?;
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        Ok(Self { rest: bare(rest), ws: bare(ws), client })
    }

    /// Asks once more when the exchange does not answer or answers nonsense.
    async fn ask(&self, path: &str) -> Result<Value, UpstreamError> {
        let url = format!("{}{path}", self.rest);
        let mut attempt = 0;
        loop {
            let source = match self.ask_once(&url).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            attempt += 1;
            if attempt == ATTEMPTS {
                return Err(UpstreamError::Unanswered { url, source });
            }
            tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
        }
    }

    async fn ask_once(&self, url: &str) -> Result<Value, AskError> {
        let reported = |error: reqwest::Error| AskError::Http(error.without_url());
        let text =
            self.client.get(url).send().await.map_err(reported)?.text().await.map_err(reported)?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|_| AskError::Json)?;
        match answer.get("retCode").and_then(Value::as_i64) {
            Some(0) => Ok(answer["result"].take()),
            code => Err(AskError::Refused { code, message: answer["retMsg"].clone() }),
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
            let row = result.pointer("/list/0").ok_or_else(|| UpstreamError::NotTraded {
                symbol: symbol.clone(),
                rest: self.rest.clone(),
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
                let candle = frames::rest_candle(row, one).ok_or_else(|| {
                    UpstreamError::NoCandle { path: path.clone(), row: row.clone() }
                })?;
                let newest = candles.last().map_or(i64::MIN, |last| last.open_ts);
                if candle.open_ts + MINUTE_MS <= now && candle.open_ts > newest {
                    candles.push(candle);
                }
            }
            start = end + 1;
        }
    }
}
