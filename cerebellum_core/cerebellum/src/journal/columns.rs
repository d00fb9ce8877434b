//! Columns and rows of the journal, read as values; whatever cannot be read is named.

use std::sync::Arc;

use protocol::wire::{
    event::OrderStatus,
    field::{IntentId, Kind, Name, Reason, Side, Symbol},
};
use rusqlite::Row;
use rust_decimal::Decimal;
use serde::{de::DeserializeOwned, Deserialize};

use super::JournalError;
use crate::execution::model::order::{Amend, Intent, Order, Origin, Terms, Tracking};

/// What [`order`] reads.
pub(super) const ORDER_COLUMNS: &str = "SELECT intent_id, order_link_id, agent, version, symbol, side, kind,
    intent_qty, intent_limit_price, reduce_only, ts, ttl_ms, protect, reason, origin, order_id, status,
    filled_qty, filled_value, sends, cancel_wanted, code, text, close_on_fill, qty, limit_price, amend
    FROM orders";

/// A number that cannot be negative; a negative one means that the file was changed by hand.
pub(super) fn number(row: &Row<'_>, at: usize) -> Result<u64, JournalError> {
    not_negative(row, at, row.get(at)?)
}

pub(super) fn number_if_any(row: &Row<'_>, at: usize) -> Result<Option<u64>, JournalError> {
    row.get::<_, Option<i64>>(at)?.map(|value| not_negative(row, at, value)).transpose()
}

pub(super) fn not_negative(row: &Row<'_>, at: usize, value: i64) -> Result<u64, JournalError> {
    u64::try_from(value).map_err(|_| {
        let column = row.as_ref().column_name(at).unwrap_or("?");
        JournalError::new(format!(
            "journal: column {column} holds {value}, which cannot be negative; the file was changed \
             by hand"
        ))
    })
}

pub(super) fn order(row: &Row<'_>) -> Result<Order, JournalError> {
    let protect = row
        .get::<_, Option<String>>(12)?
        .map(|body| serde_json::from_str(&body))
        .transpose()
        .map_err(|error| JournalError::new(format!("journal: protect: {error}")))?;
    let number = |at: usize| number(row, at);
    let intent = Intent {
        intent_id: IntentId::new(&text(row, 0)?).map_err(JournalError::new)?,
        agent: name(&text(row, 2)?)?,
        version: name(&text(row, 3)?)?,
        symbol: symbol(&text(row, 4)?)?,
        side: word::<Side>(&text(row, 5)?)?,
        kind: word::<Kind>(&text(row, 6)?)?,
        qty: text(row, 7)?.parse().map_err(JournalError::new)?,
        limit_price: row
            .get::<_, Option<String>>(8)?
            .map(|price| price.parse().map_err(JournalError::new))
            .transpose()?,
        reduce_only: row.get(9)?,
        ts: number(10)?,
        ttl_ms: number(11)?,
        protect,
        reason: Reason::new(&text(row, 13)?).map_err(JournalError::new)?,
        origin: if text(row, 14)? == "arena" { Origin::Arena } else { Origin::Cerebellum },
    };
    // Rows from before amends hold no terms of their own.
    let terms = match row.get::<_, Option<String>>(24)? {
        Some(qty) => terms(&qty, row.get::<_, Option<String>>(25)?.as_deref())?,
        None => Terms { qty: intent.qty.clone(), limit_price: intent.limit_price.clone() },
    };
    Ok(Order {
        terms,
        amend: row.get::<_, Option<String>>(26)?.map(|body| amend(&body)).transpose()?,
        link_id: text(row, 1)?,
        order_id: row.get(15)?,
        status: word::<OrderStatus>(&text(row, 16)?)?,
        filled_qty: decimal(&text(row, 17)?)?,
        filled_value: decimal(&text(row, 18)?)?,
        sends: row.get(19)?,
        cancel_wanted: row.get(20)?,
        code: row.get(21)?,
        text: row.get(22)?,
        close_on_fill: row
            .get::<_, Option<String>>(23)?
            .map(|reason| Reason::new(&reason).map_err(JournalError::new))
            .transpose()?,
        venue_end: None,
        tracking: Tracking::default(),
        intent: Arc::new(intent),
    })
}

/// An amend as its column holds it.
#[derive(Deserialize)]
struct AmendRow {
    qty: String,
    limit_price: Option<String>,
    sent: bool,
}

pub(super) fn amend(body: &str) -> Result<Amend, JournalError> {
    let row: AmendRow = serde_json::from_str(body)
        .map_err(|error| JournalError::new(format!("journal: amend: {error}")))?;
    Ok(Amend { terms: terms(&row.qty, row.limit_price.as_deref())?, sent: row.sent })
}

pub(super) fn terms(qty: &str, limit_price: Option<&str>) -> Result<Terms, JournalError> {
    Ok(Terms {
        qty: qty.parse().map_err(JournalError::new)?,
        limit_price: limit_price
            .map(|price| price.parse().map_err(JournalError::new))
            .transpose()?,
    })
}

pub(super) fn text(row: &Row<'_>, at: usize) -> Result<String, JournalError> {
    Ok(row.get(at)?)
}

pub(super) fn name(text: &str) -> Result<Name, JournalError> {
    Name::new(text).map_err(JournalError::new)
}

pub(super) fn symbol(text: &str) -> Result<Symbol, JournalError> {
    Symbol::new(text).map_err(JournalError::new)
}

pub(super) fn decimal(text: &str) -> Result<Decimal, JournalError> {
    Decimal::from_str_exact(text)
        .map_err(|error| JournalError::new(format!("journal: {text:?} is not a decimal: {error}")))
}

pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, JournalError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|error| JournalError::new(format!("journal: {error}")))
}
