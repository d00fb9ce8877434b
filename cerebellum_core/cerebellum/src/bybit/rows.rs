//! Rows of orders, executions, positions and wallets: only what is read. A field that matters is
//! required: one that is missing is an error that names it and the row, never an empty text or a zero.

use std::sync::Arc;

use protocol::wire::{
    event::OrderStatus,
    field::{Side, Symbol},
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::read_error::ReadError;
use crate::execution::model::{
    io::{Execution, ExecutionKind, OrderSeen},
    market::believe,
    order::{Shown, Terms, VenueEnd},
};

/// Numbers beyond this are not believed: sums of their products could overflow.
const LARGEST: i64 = 1_000_000_000_000;

/// A row as it came; a field that matters is required, whatever the spelling of its value.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Row(Map<String, Value>);

impl Row {
    /// A text that must be there; it may be empty.
    ///
    /// # Errors
    /// The field and the row.
    pub fn text(&self, field: &str) -> Result<String, ReadError> {
        match self.0.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(word)) => Ok(word.to_string()),
            Some(other) => Err(self.fault(format!("{field} {other} is no text"))),
            None => Err(self.fault(format!("{field} is missing"))),
        }
    }

    /// A text that must be there and not be empty.
    ///
    /// # Errors
    /// The field and the row.
    pub fn word(&self, field: &str) -> Result<String, ReadError> {
        let text = self.text(field)?;
        if text.is_empty() {
            return Err(self.fault(format!("{field} is empty")));
        }
        Ok(text)
    }

    /// An exact number that must be there.
    ///
    /// # Errors
    /// The field and the row.
    pub fn number(&self, field: &str) -> Result<Decimal, ReadError> {
        number(field, &self.word(field)?).map_err(|error| self.fault(error))
    }

    /// A symbol that must be there.
    ///
    /// # Errors
    /// The field and the row.
    pub fn symbol(&self) -> Result<Symbol, ReadError> {
        Symbol::new(&self.word("symbol")?).map_err(|error| self.fault(error))
    }

    /// Whether a word of the row is exactly this one; a missing word is an error.
    ///
    /// # Errors
    /// The field and the row.
    pub fn is(&self, field: &str, word: &str) -> Result<bool, ReadError> {
        Ok(self.text(field)? == word)
    }

    fn flag(&self, field: &str) -> Result<bool, ReadError> {
        match self.text(field)?.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(self.fault(format!("{field} {other:?} is neither true nor false"))),
        }
    }

    fn optional(&self, field: &str) -> String {
        self.text(field).unwrap_or_default()
    }

    fn list(&self, field: &str) -> Result<Vec<Row>, ReadError> {
        let list = self.0.get(field).ok_or_else(|| self.fault(format!("{field} is missing")))?;
        Vec::deserialize(list).map_err(|error| self.fault(format!("{field}: {error}")))
    }

    fn fault(&self, what: impl std::fmt::Display) -> ReadError {
        let row = serde_json::to_string(&self.0).unwrap_or_default();
        ReadError::Row { fault: what.to_string(), row: row.chars().take(300).collect() }
    }
}

/// The symbols traded here; by default every symbol is.
#[derive(Clone, Debug, Default)]
pub struct Traded(Option<Arc<[Symbol]>>);

impl Traded {
    /// Only these.
    #[must_use]
    pub fn only(symbols: &[Symbol]) -> Self {
        Self(Some(symbols.into()))
    }

    /// Whether a row names, readably, a symbol that is not traded here.
    #[must_use]
    pub fn is_foreign(&self, row: &Row) -> bool {
        let Some(symbols) = &self.0 else { return false };
        row.symbol().is_ok_and(|symbol| !symbols.contains(&symbol))
    }
}

/// What an order row reports.
///
/// # Errors
/// The field that is missing or cannot be read, with the row.
pub fn order(row: &Row) -> Result<OrderSeen, ReadError> {
    let reason = ["rejectReason", "cancelType"]
        .into_iter()
        .map(|field| row.optional(field))
        .filter(|word| !matches!(word.as_str(), "" | "EC_NoError" | "UNKNOWN"))
        .collect::<Vec<_>>()
        .join(", ");
    let filled_qty = row.number("cumExecQty")?;
    row.number("qty")?;
    let end = |status| {
        let text = (!reason.is_empty()).then(|| reason.clone());
        Shown::Ended(VenueEnd { status, filled_qty, text })
    };
    let shown = match row.word("orderStatus")?.as_str() {
        "Filled" => end(OrderStatus::Filled),
        "Cancelled" | "PartiallyFilledCanceled" | "Deactivated" => end(OrderStatus::Cancelled),
        "Rejected" => end(OrderStatus::Rejected),
        // A word of tomorrow is treated as working: the order is asked for again later.
        _ => Shown::Working,
    };
    Ok(OrderSeen {
        link_id: row.text("orderLinkId")?,
        order_id: row.word("orderId")?,
        symbol: row.symbol()?,
        shown,
        terms: terms(row).map(Box::new),
        updated_ts: updated_ts(row)?,
    })
}

/// When the order was changed last, if the row shows it.
fn updated_ts(row: &Row) -> Result<Option<u64>, ReadError> {
    let reported = row.optional("updatedTime").parse().ok();
    reported.map(|ts| believe(ts, "updatedTime")).transpose().map_err(|error| row.fault(error))
}

/// Quantity and limit price; a market order has none, and only what can be amended is asked.
fn terms(row: &Row) -> Option<Terms> {
    let qty = row.optional("qty").parse().ok()?;
    Some(Terms { qty, limit_price: Some(row.optional("price").parse().ok()?) })
}

/// What an execution row reports.
///
/// # Errors
/// The field that is missing or cannot be read, with the row.
pub fn execution(row: &Row) -> Result<Execution, ReadError> {
    let kind = match row.word("execType")?.as_str() {
        "Trade" => ExecutionKind::Trade,
        "Funding" => ExecutionKind::Funding,
        other => ExecutionKind::Other(other.to_owned()),
    };
    let side = match row.text("side")?.as_str() {
        "Sell" => Side::Sell,
        "Buy" => Side::Buy,
        // Funding has no side that matters.
        _ if kind == ExecutionKind::Funding => Side::Buy,
        other => return Err(row.fault(format!("side {other:?} is neither Buy nor Sell"))),
    };
    let (qty, price) = (row.number("execQty")?, row.number("execPrice")?);
    if kind == ExecutionKind::Trade && (qty <= Decimal::ZERO || price <= Decimal::ZERO) {
        return Err(row.fault(format!("a trade of {qty} at {price}")));
    }
    let symbol = row.symbol()?;
    let exec_time = row.word("execTime")?;
    let exec_ts =
        exec_time.parse().map_err(|_| row.fault(format!("execTime {exec_time:?} is no time")))?;
    let exec_ts = believe(exec_ts, "execTime").map_err(|error| row.fault(error))?;
    Ok(Execution {
        exec_id: row.word("execId")?,
        link_id: row.text("orderLinkId")?,
        order_id: row.text("orderId")?,
        kind,
        side,
        qty,
        price,
        fee: row.number("execFee")?,
        fee_currency: fee_currency(row, &symbol)?,
        is_maker: row.flag("isMaker")?,
        exec_ts,
        symbol,
    })
}

/// The coin of the fee; where the row leaves it empty, a contract's fee is in its settle coin.
fn fee_currency(row: &Row, symbol: &Symbol) -> Result<String, ReadError> {
    let reported = row.optional("feeCurrency");
    if !reported.is_empty() {
        return Ok(reported);
    }
    if symbol.as_str().ends_with("USDT") {
        return Ok("USDT".to_owned());
    }
    Err(row.fault("feeCurrency is missing"))
}

/// Symbol and signed size of a position row.
///
/// # Errors
/// The field that is missing or cannot be read, with the row.
pub fn position(row: &Row) -> Result<(Symbol, Decimal), ReadError> {
    let size = row.number("size")?;
    let signed = match row.text("side")?.as_str() {
        "Buy" => size,
        "Sell" => Decimal::ZERO - size,
        "" | "None" if size.is_zero() => size,
        other => return Err(row.fault(format!("side {other:?} of a position of {size}"))),
    };
    if size < Decimal::ZERO {
        return Err(row.fault(format!("size {size} is below zero")));
    }
    Ok((row.symbol()?, signed))
}

/// The balance of one coin in a wallet row; `None` if the row does not speak of the coin.
///
/// # Errors
/// The field that is missing or cannot be read, with the row.
pub fn balance(row: &Row, coin: &str) -> Result<Option<Decimal>, ReadError> {
    for entry in row.list("coin")? {
        if entry.is("coin", coin)? {
            return entry.number("walletBalance").map(Some);
        }
    }
    Ok(None)
}

/// Reads an exact number of the venue.
///
/// # Errors
/// The field and its value.
pub fn number(field: &str, text: &str) -> Result<Decimal, ReadError> {
    let value = Decimal::from_str_exact(text.trim())
        .map_err(|_| ReadError::NotANumber { field: field.to_owned(), text: text.to_owned() })?;
    if value.abs() > Decimal::from(LARGEST) {
        return Err(ReadError::BeyondBelief { field: field.to_owned(), text: text.to_owned() });
    }
    Ok(value)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
