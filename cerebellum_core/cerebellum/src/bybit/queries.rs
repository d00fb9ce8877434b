//! Questions that the engine asks: orders, executions, positions, filters, candles.

use std::collections::BTreeMap;

use protocol::wire::{
    field::{Kind, Side, Symbol, V1},
    market::Candle,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{json, Value};

use super::{
    outcome::Answer,
    rest::{NoAnswer, RestClient},
    rows::{number, ExecutionRow, OrderRow, PositionRow, WalletRow},
};
use crate::{
    book::candles::MINUTE_MS,
    core::{
        io::{CreateOrder, Execution, OrderSeen},
        market::Instrument,
    },
};

/// The longest stretch of executions that one question may span, ms.
const WINDOW_MS: u64 = 7 * 86_400_000;
/// How many pages are read before a list is called endless.
const MOST_PAGES: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    #[serde(default = "Vec::new")]
    list: Vec<T>,
    #[serde(default)]
    next_page_cursor: Option<String>,
}

/// All that the venue tells of one order.
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
    /// Sends an order.
    pub async fn create(&self, order: &CreateOrder) -> Answer {
        let mut body = json!({
            "category": "linear",
            "symbol": order.symbol.as_str(),
            "side": match order.side { Side::Buy => "Buy", Side::Sell => "Sell" },
            "orderType": match order.kind { Kind::Market => "Market", Kind::Limit => "Limit" },
            "qty": order.qty,
            "timeInForce": match order.kind { Kind::Market => "IOC", Kind::Limit => "GTC" },
            "positionIdx": 0,
            "orderLinkId": order.link_id,
            "reduceOnly": order.reduce_only,
        });
        if let (Some(price), Some(fields)) = (&order.price, body.as_object_mut()) {
            fields.insert("price".to_owned(), Value::String(price.clone()));
        }
        self.send("/v5/order/create", &body).await
    }

    /// Takes an order back.
    pub async fn cancel(&self, link_id: &str, symbol: &Symbol) -> Answer {
        let body = json!({"category": "linear", "symbol": symbol.as_str(), "orderLinkId": link_id});
        self.send("/v5/order/cancel", &body).await
    }

    /// Changes an order; what is `None` stays as it is.
    pub async fn amend(
        &self,
        link_id: &str,
        symbol: &Symbol,
        qty: Option<String>,
        price: Option<String>,
    ) -> Answer {
        let mut body =
            json!({"category": "linear", "symbol": symbol.as_str(), "orderLinkId": link_id});
        if let Some(fields) = body.as_object_mut() {
            let given = [("qty", qty), ("price", price)];
            let given = given.into_iter().filter_map(|(name, text)| Some((name, text?)));
            fields.extend(given.map(|(name, text)| (name.to_owned(), Value::String(text))));
        }
        self.send("/v5/order/amend", &body).await
    }

    /// Asks for an order in every place where it could be: open orders, history, executions.
    pub async fn look_up(&self, link_id: &str, symbol: &Symbol) -> Lookup {
        let query = format!("category=linear&symbol={symbol}&orderLinkId={link_id}");
        let mut lookup = Lookup { complete: true, ..Lookup::default() };
        for path in ["/v5/order/realtime", "/v5/order/history"] {
            match self.ask::<Page<OrderRow>>(path, &query, true).await {
                Ok(page) => {
                    let row = page.list.iter().find(|row| row.link_id() == link_id);
                    match row.map(OrderRow::seen) {
                        Some(Ok(seen)) => lookup.seen = Some(seen),
                        Some(Err(error)) => {
                            tracing::warn!(link_id, error, "order row cannot be read");
                            lookup.complete = false;
                        }
                        None => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(link_id, %error, "order could not be asked for");
                    lookup.complete = false;
                }
            }
            if lookup.seen.is_some() {
                break;
            }
        }
        match self.pages::<ExecutionRow>("/v5/execution/list", &query, 100).await {
            Ok(rows) => {
                let of_order = |execution: &Execution| execution.link_id == link_id;
                lookup.executions = executions(&rows).into_iter().filter(of_order).collect();
            }
            Err(_) => lookup.complete = false,
        }
        lookup
    }

    /// Executions of the account from one market time to another, oldest first.
    ///
    /// # Errors
    /// When the venue does not answer.
    pub async fn executions(&self, since: u64, until: u64) -> Result<Vec<Execution>, NoAnswer> {
        let mut all = Vec::new();
        let mut start = since;
        loop {
            let end = start.saturating_add(WINDOW_MS - 1);
            let query = format!("category=linear&startTime={start}&endTime={end}");
            let rows = self.pages::<ExecutionRow>("/v5/execution/list", &query, 100).await?;
            all.extend(executions(&rows));
            if end >= until {
                return Ok(all);
            }
            start = end + 1;
        }
    }

    /// Net positions of the account.
    ///
    /// # Errors
    /// When the venue does not answer, or with a row that cannot be read.
    pub async fn positions(&self) -> Result<BTreeMap<Symbol, Decimal>, NoAnswer> {
        let query = "category=linear&settleCoin=USDT";
        let rows = self.pages::<PositionRow>("/v5/position/list", query, 200).await?;
        let mut positions: BTreeMap<Symbol, Decimal> = BTreeMap::new();
        for row in rows {
            let (symbol, qty) = row.signed().map_err(unreadable)?;
            *positions.entry(symbol).or_default() += qty;
        }
        positions.retain(|_, qty| !qty.is_zero());
        Ok(positions)
    }

    /// The wallet balance of USDT.
    ///
    /// # Errors
    /// When the venue does not answer.
    pub async fn wallet(&self) -> Result<Option<Decimal>, NoAnswer> {
        let query = "accountType=UNIFIED&coin=USDT";
        let page: Page<WalletRow> = self.ask("/v5/account/wallet-balance", query, true).await?;
        Ok(page.list.iter().find_map(|row| row.balance("USDT")))
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
            let page: Page<Value> = self.ask("/v5/market/instruments-info", &query, false).await?;
            let row = page
                .list
                .iter()
                .find(|row| row.get("symbol").and_then(Value::as_str) == Some(symbol.as_str()));
            let row = row.ok_or_else(|| NoAnswer {
                text: format!("the venue does not know {symbol}; check --symbols"),
                hopeless: true,
            })?;
            found.insert(symbol.clone(), instrument(row).map_err(unreadable)?);
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
            let page: Page<Vec<String>> = self.ask("/v5/market/kline", &query, false).await?;
            for row in &page.list {
                let candle = candle(symbol, row).map_err(unreadable)?;
                if (first..=last).contains(&candle.open_ts) {
                    candles.insert(candle.open_ts, candle);
                }
            }
            start = end + MINUTE_MS;
        }
        Ok(candles.into_values().collect())
    }

    async fn pages<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
        limit: usize,
    ) -> Result<Vec<T>, NoAnswer> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        for _ in 0..MOST_PAGES {
            let asked = if cursor.is_empty() {
                format!("{query}&limit={limit}")
            } else {
                format!("{query}&limit={limit}&cursor={}", escape(&cursor))
            };
            let page: Page<T> = self.ask(path, &asked, true).await?;
            rows.extend(page.list);
            match page.next_page_cursor {
                Some(next) if !next.is_empty() && next != cursor => cursor = next,
                _ => return Ok(rows),
            }
        }
        Err(NoAnswer { text: format!("{path}: more than {MOST_PAGES} pages"), hopeless: false })
    }
}

fn executions(rows: &[ExecutionRow]) -> Vec<Execution> {
    let mut all: Vec<Execution> = rows
        .iter()
        .filter_map(|row| match row.execution() {
            Ok(execution) => Some(execution),
            Err(error) => {
                tracing::error!(error, "execution row cannot be read; reconciliation will tell");
                None
            }
        })
        .collect();
    // Lists come newest first; equal stamps keep the venue's order, reversed.
    all.reverse();
    all.sort_by_key(|execution| execution.exec_ts);
    all
}

fn instrument(row: &Value) -> Result<Instrument, String> {
    let field = |filter: &str, name: &str| {
        let text = row.get(filter).and_then(|f| f.get(name)).and_then(Value::as_str);
        number(name, text.unwrap_or_default())
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
        return Err("tickSize and qtyStep must be above zero".to_owned());
    }
    Ok(instrument)
}

fn candle(symbol: &Symbol, row: &[String]) -> Result<Candle, String> {
    let [start, open, high, low, close, volume, turnover, ..] = row else {
        return Err(format!("candle of {symbol} with {} fields", row.len()));
    };
    let open_ts: u64 = start.parse().map_err(|_| format!("candle start {start:?}"))?;
    Ok(Candle {
        v: V1,
        ts: open_ts + MINUTE_MS,
        symbol: symbol.clone(),
        open_ts,
        close_ts: open_ts + MINUTE_MS,
        open: open.parse()?,
        high: high.parse()?,
        low: low.parse()?,
        close: close.parse()?,
        volume: volume.parse()?,
        turnover: turnover.parse()?,
    })
}

fn unreadable(text: String) -> NoAnswer {
    NoAnswer { text, hopeless: false }
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
