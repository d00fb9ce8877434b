//! Questions that the engine asks: orders, executions, positions, filters, candles.

use std::collections::BTreeMap;

use protocol::wire::{
    field::{Symbol, V1},
    market::Candle,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::{
    read_error::ReadError,
    rest::{NoAnswer, RestClient},
    rows::{self, number, Row, Traded},
};
use crate::{
    book::candles::MINUTE_MS,
    execution::model::{
        io::{Execution, OrderSeen},
        market::{believe, Instrument},
    },
};

/// The longest stretch of executions that one question may span, ms.
const WINDOW_MS: u64 = 7 * 86_400_000;
/// How many pages are read before a list is called endless.
const MOST_PAGES: usize = 200;

#[derive(Debug, Deserialize)]
struct Page<T> {
    list: Vec<T>,
}

/// A page of a list that goes on elsewhere; without a cursor nobody knows whether it does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageOfMany<T> {
    list: Vec<T>,
    next_page_cursor: String,
}

/// All that the venue reports of one order.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// Its newest row.
    pub seen: Option<OrderSeen>,
    /// Its executions, oldest first.
    pub executions: Vec<Execution>,
    /// Whether every place answered.
    pub complete: bool,
}

impl RestClient {
    /// Asks for an order in every place where it could be: open orders, history, executions.
    pub async fn look_up(&self, link_id: &str, symbol: &Symbol) -> Lookup {
        let query = format!("category=linear&symbol={symbol}&orderLinkId={link_id}");
        let mut lookup = Lookup { complete: true, ..Lookup::default() };
        for path in ["/v5/order/realtime", "/v5/order/history"] {
            match self.order_row(path, &query, link_id).await {
                Ok(seen) => lookup.seen = seen,
                Err(error) => {
                    tracing::debug!(link_id, %error, "order could not be asked for");
                    lookup.complete = false;
                }
            }
            if lookup.seen.is_some() {
                break;
            }
        }
        match self.execution_rows(&query, &Traded::default()).await {
            Ok(rows) => {
                let of_order = |execution: &Execution| execution.link_id == link_id;
                lookup.executions = rows.into_iter().filter(of_order).collect();
            }
            Err(_) => lookup.complete = false,
        }
        lookup
    }

    /// The newest row of an order at one place; `None` if that place does not know it.
    async fn order_row(
        &self,
        path: &str,
        query: &str,
        link_id: &str,
    ) -> Result<Option<OrderSeen>, NoAnswer> {
        let page: Page<Row> = self.ask(path, query, true).await?;
        for row in &page.list {
            if row.is("orderLinkId", link_id).map_err(|text| self.unreadable(path, text))? {
                return rows::order(row).map(Some).map_err(|text| self.unreadable(path, text));
            }
        }
        Ok(None)
    }

    /// Reads rows; one that cannot be read is no answer at all, unless it is of a symbol that is not
    /// traded here: such a row is reported and left out.
    fn read_rows<T>(
        &self,
        path: &str,
        rows: &[Row],
        traded: &Traded,
        read: impl Fn(&Row) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, NoAnswer> {
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            match read(row) {
                Ok(seen) => all.push(seen),
                Err(text) if traded.is_foreign(row) => {
                    self.complaints().show_foreign(path, &text);
                }
                Err(text) => return Err(self.unreadable(path, text)),
            }
        }
        Ok(all)
    }

    /// Executions of a question, oldest first.
    async fn execution_rows(
        &self,
        query: &str,
        traded: &Traded,
    ) -> Result<Vec<Execution>, NoAnswer> {
        const PATH: &str = "/v5/execution/list";
        let rows = self.pages(PATH, query, 100).await?;
        let mut all = self.read_rows(PATH, &rows, traded, rows::execution)?;
        // Lists come newest first; equal stamps keep the venue's order, reversed.
        all.reverse();
        all.sort_by_key(|execution| execution.exec_ts);
        Ok(all)
    }

    /// Executions of the account from one market time to another, oldest first.
    ///
    /// # Errors
    /// When the venue does not answer, or with a row of a traded symbol that cannot be read.
    pub async fn executions(&self, since: u64, until: u64) -> Result<Vec<Execution>, NoAnswer> {
        let mut all = Vec::new();
        let mut start = since;
        loop {
            let end = start.saturating_add(WINDOW_MS - 1);
            let query = format!("category=linear&startTime={start}&endTime={end}");
            all.extend(self.execution_rows(&query, self.traded()).await?);
            if end >= until {
                return Ok(all);
            }
            start = end + 1;
        }
    }

    /// Net positions of the account.
    ///
    /// # Errors
    /// When the venue does not answer, or with a row of a traded symbol that cannot be read.
    pub async fn positions(&self) -> Result<BTreeMap<Symbol, Decimal>, NoAnswer> {
        const PATH: &str = "/v5/position/list";
        let rows = self.pages(PATH, "category=linear&settleCoin=USDT", 200).await?;
        let mut positions: BTreeMap<Symbol, Decimal> = BTreeMap::new();
        for (symbol, qty) in self.read_rows(PATH, &rows, self.traded(), rows::position)? {
            *positions.entry(symbol).or_default() += qty;
        }
        positions.retain(|_, qty| !qty.is_zero());
        Ok(positions)
    }

    /// Every order of the account that has not ended, whoever placed it.
    ///
    /// # Errors
    /// When the venue does not answer, or with a row of a traded symbol that cannot be read.
    pub async fn open_orders(&self) -> Result<Vec<OrderSeen>, NoAnswer> {
        const PATH: &str = "/v5/order/realtime";
        let rows = self.pages(PATH, "category=linear&settleCoin=USDT", 50).await?;
        self.read_rows(PATH, &rows, self.traded(), rows::order)
    }

    /// The wallet balance of USDT; `None` if the account never held any.
    ///
    /// # Errors
    /// When the venue does not answer, or with a row that cannot be read.
    pub async fn wallet(&self) -> Result<Option<Decimal>, NoAnswer> {
        const PATH: &str = "/v5/account/wallet-balance";
        let page: Page<Row> = self.ask(PATH, "accountType=UNIFIED&coin=USDT", true).await?;
        for row in &page.list {
            let balance = rows::balance(row, "USDT").map_err(|text| self.unreadable(PATH, text))?;
            if balance.is_some() {
                return Ok(balance);
            }
        }
        Ok(None)
    }

    /// The filters of symbols.
    ///
    /// # Errors
    /// When the venue does not answer, or does not know a symbol.
    pub async fn instruments(
        &self,
        symbols: &[Symbol],
    ) -> Result<BTreeMap<Symbol, Instrument>, NoAnswer> {
        let mut found = BTreeMap::new();
        for symbol in symbols {
            let query = format!("category=linear&symbol={symbol}");
            const PATH: &str = "/v5/market/instruments-info";
            let page = self.ask::<Page<Value>>(PATH, &query, false).await;
            let page = page.map_err(|error| match error.code {
                Some(10_001 | 10_029) => self.unknown(symbol, &error.text),
                _ => error,
            })?;
            let row = page
                .list
                .iter()
                .find(|row| row.get("symbol").and_then(Value::as_str) == Some(symbol.as_str()));
            let row = row.ok_or_else(|| self.unknown(symbol, "it is in no list"))?;
            let filters = instrument(row).map_err(|text| self.unreadable(PATH, text))?;
            found.insert(symbol.clone(), filters);
        }
        Ok(found)
    }

    /// Closed one-minute candles, first and last `open_ts`, oldest first.
    ///
    /// # Errors
    /// When the venue does not answer, or with a row that cannot be read.
    pub async fn candles(
        &self,
        symbol: &Symbol,
        first: u64,
        last: u64,
    ) -> Result<Vec<Candle>, NoAnswer> {
        let mut candles: BTreeMap<u64, Candle> = BTreeMap::new();
        let mut start = first;
        while start <= last {
            let end = last.min(start + 999 * MINUTE_MS);
            let query = format!(
                "category=linear&symbol={symbol}&interval=1&start={start}&end={end}&limit=1000"
            );
            const PATH: &str = "/v5/market/kline";
            let page: Page<Vec<String>> = self.ask(PATH, &query, false).await?;
            for row in &page.list {
                let candle = candle(symbol, row).map_err(|text| self.unreadable(PATH, text))?;
                if (first..=last).contains(&candle.open_ts) {
                    candles.insert(candle.open_ts, candle);
                }
            }
            start = end + MINUTE_MS;
        }
        Ok(candles.into_values().collect())
    }

    async fn pages(&self, path: &str, query: &str, limit: usize) -> Result<Vec<Row>, NoAnswer> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        for _ in 0..MOST_PAGES {
            let asked = if cursor.is_empty() {
                format!("{query}&limit={limit}")
            } else {
                format!("{query}&limit={limit}&cursor={}", escape(&cursor))
            };
            let page: PageOfMany<Row> = self.ask(path, &asked, true).await?;
            rows.extend(page.list);
            if page.next_page_cursor.is_empty() || page.next_page_cursor == cursor {
                return Ok(rows);
            }
            cursor = page.next_page_cursor;
        }
        Err(NoAnswer::passing(format!("{path}: more than {MOST_PAGES} pages")))
    }

    fn unknown(&self, symbol: &Symbol, message: &str) -> NoAnswer {
        NoAnswer::permanent(format!(
            "the venue at {} does not know {symbol} among its linear contracts ({message}); check --symbols",
            self.base()
        ))
    }
}

/// The filters of an instrument's row.
///
/// # Errors
/// The field that is missing or cannot be read.
pub fn instrument(row: &Value) -> Result<Instrument, ReadError> {
    let field = |filter: &str, name: &str| {
        let text = row.get(filter).and_then(|f| f.get(name)).and_then(Value::as_str);
        let text = text.ok_or_else(|| ReadError::Missing {
            field: format!("{filter}.{name}"),
            row: row.to_string(),
        })?;
        number(name, text)
    };
    let instrument = Instrument {
        tick_size: field("priceFilter", "tickSize")?,
        min_price: field("priceFilter", "minPrice")?,
        max_price: field("priceFilter", "maxPrice")?,
        qty_step: field("lotSizeFilter", "qtyStep")?,
        min_qty: field("lotSizeFilter", "minOrderQty")?,
        max_qty: field("lotSizeFilter", "maxOrderQty")?,
        max_market_qty: field("lotSizeFilter", "maxMktOrderQty")?,
        min_notional: field("lotSizeFilter", "minNotionalValue")?,
    };
    if instrument.tick_size <= Decimal::ZERO || instrument.qty_step <= Decimal::ZERO {
        return Err(ReadError::Steps);
    }
    Ok(instrument)
}

/// A one-minute candle of a row.
///
/// # Errors
/// The field that is missing or cannot be read.
pub fn candle(symbol: &Symbol, row: &[String]) -> Result<Candle, ReadError> {
    let [start, open, high, low, close, volume, turnover, ..] = row else {
        return Err(ReadError::Candle { symbol: symbol.to_string(), fields: row.len() });
    };
    let open_ts: u64 = start.parse().map_err(|_| ReadError::CandleStart(start.clone()))?;
    let close_ts = believe(open_ts.saturating_add(MINUTE_MS), "end of a candle")?;
    Ok(Candle {
        v: V1,
        ts: close_ts,
        symbol: symbol.clone(),
        open_ts,
        close_ts,
        open: open.parse()?,
        high: high.parse()?,
        low: low.parse()?,
        close: close.parse()?,
        volume: volume.parse()?,
        turnover: turnover.parse()?,
    })
}

/// Percent-encodes what a query may not hold; the signature covers the encoded text.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
