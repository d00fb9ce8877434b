//! Rows of orders, executions and positions: only what is read, in whatever spelling it comes.

use protocol::wire::{event::OrderStatus, field::Side, field::Symbol};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::core::{
    io::{Execution, ExecutionKind, OrderSeen},
    oms::Shown,
    order::{Terms, VenueEnd},
};

/// Numbers beyond this are not believed: sums of their products could overflow.
const LARGEST: i64 = 1_000_000_000_000;

/// An order row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrderRow {
    #[serde(deserialize_with = "text")]
    order_id: String,
    #[serde(deserialize_with = "text")]
    order_link_id: String,
    #[serde(deserialize_with = "text")]
    symbol: String,
    #[serde(deserialize_with = "text")]
    order_status: String,
    #[serde(deserialize_with = "text")]
    qty: String,
    #[serde(deserialize_with = "text")]
    price: String,
    #[serde(deserialize_with = "text")]
    cum_exec_qty: String,
    #[serde(deserialize_with = "text")]
    reject_reason: String,
    #[serde(deserialize_with = "text")]
    cancel_type: String,
}

/// An execution row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionRow {
    #[serde(deserialize_with = "text")]
    exec_id: String,
    #[serde(deserialize_with = "text")]
    order_id: String,
    #[serde(deserialize_with = "text")]
    order_link_id: String,
    #[serde(deserialize_with = "text")]
    symbol: String,
    #[serde(deserialize_with = "text")]
    side: String,
    #[serde(deserialize_with = "text")]
    exec_type: String,
    #[serde(deserialize_with = "text")]
    exec_qty: String,
    #[serde(deserialize_with = "text")]
    exec_price: String,
    #[serde(deserialize_with = "text")]
    exec_fee: String,
    #[serde(deserialize_with = "text")]
    fee_currency: String,
    #[serde(deserialize_with = "text")]
    exec_time: String,
    is_maker: bool,
}

/// A position row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PositionRow {
    #[serde(deserialize_with = "text")]
    symbol: String,
    #[serde(deserialize_with = "text")]
    side: String,
    #[serde(deserialize_with = "text")]
    size: String,
}

/// A wallet row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WalletRow {
    coin: Vec<CoinRow>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CoinRow {
    #[serde(deserialize_with = "text")]
    coin: String,
    #[serde(deserialize_with = "text")]
    wallet_balance: String,
}

impl OrderRow {
    /// What the row says of the order.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub fn seen(&self) -> Result<OrderSeen, String> {
        let reason = [&self.reject_reason, &self.cancel_type]
            .into_iter()
            .filter(|word| !matches!(word.as_str(), "" | "EC_NoError" | "UNKNOWN"))
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let end = |status| -> Result<Shown, String> {
            Ok(Shown::Ended(VenueEnd {
                status,
                filled_qty: number_or_zero("cumExecQty", &self.cum_exec_qty)?,
                text: (!reason.is_empty()).then(|| reason.clone()),
            }))
        };
        let shown = match self.order_status.as_str() {
            "Filled" => end(OrderStatus::Filled)?,
            "Cancelled" | "PartiallyFilledCanceled" | "Deactivated" => end(OrderStatus::Cancelled)?,
            "Rejected" => end(OrderStatus::Rejected)?,
            // A word of tomorrow is treated as working: the order is asked for again later.
            _ => Shown::Working,
        };
        Ok(OrderSeen {
            link_id: self.order_link_id.clone(),
            order_id: self.order_id.clone(),
            symbol: Symbol::new(&self.symbol)?,
            shown,
            terms: self.terms(),
        })
    }

    /// Quantity and price, if the row holds both; only what can be amended is asked for them.
    fn terms(&self) -> Option<Terms> {
        let qty = self.qty.parse().ok()?;
        Some(Terms { qty, limit_price: Some(self.price.parse().ok()?) })
    }

    /// The client order id.
    #[must_use]
    pub fn link_id(&self) -> &str {
        &self.order_link_id
    }
}

impl ExecutionRow {
    /// What the row says of the execution.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub fn execution(&self) -> Result<Execution, String> {
        if self.exec_id.is_empty() {
            return Err("execution without execId".to_owned());
        }
        let kind = match self.exec_type.as_str() {
            "Trade" | "" => ExecutionKind::Trade,
            "Funding" => ExecutionKind::Funding,
            other => ExecutionKind::Other(other.to_owned()),
        };
        let side = match self.side.as_str() {
            "Sell" => Side::Sell,
            "Buy" => Side::Buy,
            // Funding has no side that matters.
            _ if kind == ExecutionKind::Funding => Side::Buy,
            other => return Err(format!("execution {} with side {other:?}", self.exec_id)),
        };
        let (qty, price) = if kind == ExecutionKind::Funding {
            (
                number_or_zero("execQty", &self.exec_qty)?,
                number_or_zero("execPrice", &self.exec_price)?,
            )
        } else {
            (number("execQty", &self.exec_qty)?, number("execPrice", &self.exec_price)?)
        };
        if kind == ExecutionKind::Trade && (qty <= Decimal::ZERO || price <= Decimal::ZERO) {
            return Err(format!("execution {} of {qty} at {price}", self.exec_id));
        }
        Ok(Execution {
            exec_id: self.exec_id.clone(),
            link_id: self.order_link_id.clone(),
            order_id: self.order_id.clone(),
            symbol: Symbol::new(&self.symbol)?,
            kind,
            side,
            qty,
            price,
            fee: number_or_zero("execFee", &self.exec_fee)?,
            fee_currency: if self.fee_currency.is_empty() {
                "USDT".to_owned()
            } else {
                self.fee_currency.clone()
            },
            is_maker: self.is_maker,
            exec_ts: self
                .exec_time
                .parse()
                .map_err(|_| format!("execTime {:?} is no time", self.exec_time))?,
        })
    }
}

impl PositionRow {
    /// Symbol and signed size.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub fn signed(&self) -> Result<(Symbol, Decimal), String> {
        let size = number_or_zero("size", &self.size)?;
        let signed = if self.side == "Sell" { Decimal::ZERO - size } else { size };
        Ok((Symbol::new(&self.symbol)?, signed))
    }
}

impl WalletRow {
    /// The balance of one coin.
    #[must_use]
    pub fn balance(&self, coin: &str) -> Option<Decimal> {
        let row = self.coin.iter().find(|row| row.coin == coin)?;
        number("walletBalance", &row.wallet_balance).ok()
    }
}

/// Reads an exact number of the venue.
///
/// # Errors
/// The field and its value.
pub fn number(field: &str, text: &str) -> Result<Decimal, String> {
    let value = Decimal::from_str_exact(text.trim())
        .map_err(|_| format!("{field} {text:?} is not a number"))?;
    if value.abs() > Decimal::from(LARGEST) {
        return Err(format!("{field} {text:?} is beyond belief"));
    }
    Ok(value)
}

fn number_or_zero(field: &str, text: &str) -> Result<Decimal, String> {
    if text.is_empty() {
        Ok(Decimal::ZERO)
    } else {
        number(field, text)
    }
}

/// A string, whatever it was spelled as.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(word) => word.to_string(),
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_order_keeps_its_fills_and_its_reason() {
        let row: OrderRow = serde_json::from_str(
            r#"{"orderId":"o1","orderLinkId":"c-1","symbol":"BTCUSDT","orderStatus":"Cancelled","cumExecQty":"0.004","rejectReason":"EC_NoImmediateQtyToFill","cancelType":"UNKNOWN","positionIdx":0,"unheardOf":[1]}"#,
        )
        .unwrap();
        let Shown::Ended(end) = row.seen().unwrap().shown else { panic!("working") };
        assert_eq!((end.status, end.filled_qty), (OrderStatus::Cancelled, Decimal::new(4, 3)));
        assert_eq!(end.text.as_deref(), Some("EC_NoImmediateQtyToFill"));
    }

    #[test]
    fn an_execution_is_read_exactly_and_nonsense_is_refused() {
        let good = r#"{"execId":"e1","orderId":"o1","orderLinkId":"c-1","symbol":"BTCUSDT","side":"Sell","execType":"Trade","execQty":"0.01","execPrice":"50000.1","execFee":"-0.01","execTime":"1700000000001","isMaker":true}"#;
        let row: ExecutionRow = serde_json::from_str(good).unwrap();
        let execution = row.execution().unwrap();
        assert_eq!(execution.price, Decimal::new(500_001, 1));
        assert_eq!(execution.fee, Decimal::new(-1, 2));
        for (from, to) in [
            ("0.01\",\"execP", "-1\",\"execP"),
            ("e1", ""),
            ("\"Sell\"", "\"Long\""),
            ("50000.1", "1e99"),
        ] {
            let row: ExecutionRow = serde_json::from_str(&good.replace(from, to)).unwrap();
            assert!(row.execution().is_err(), "{from} -> {to}");
        }
    }
}
