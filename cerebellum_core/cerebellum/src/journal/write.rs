//! Writing rows, all of a batch in one transaction.

use std::{borrow::Cow, sync::Arc};

use protocol::wire::{
    command::Protect,
    event::{Event, FillEvent},
    field::{IntentId, Kind, Side},
    DecimalText,
};
use rusqlite::params;
use rust_decimal::Decimal;
use serde_json::json;

use super::{
    waiting::{OrderRow, Row},
    Journal, JournalError,
};
use crate::execution::model::{
    guard::Guard,
    io::{Execution, ExecutionKind, Record},
    ledger::Holding,
    order::{Order, Origin},
};

const INSERT_ORDER: &str = "INSERT INTO orders VALUES
    (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
const UPDATE_ORDER: &str = "UPDATE orders SET order_id = ?2, status = ?3, is_open = ?4,
    filled_qty = ?5, filled_value = ?6, sends = ?7, cancel_wanted = ?8, code = ?9, text = ?10,
    close_on_fill = ?11, qty = ?12, limit_price = ?13, amend = ?14 WHERE intent_id = ?1";

impl Journal {
    /// Takes one row; it is written with the commit.
    pub fn write(&mut self, record: Record) {
        match record {
            Record::Intent(order) => {
                self.newest.add(&order.intent.intent_id);
                self.keep_order(order, true);
                return;
            }
            Record::Order(order) => {
                self.keep_order(order, false);
                return;
            }
            Record::Fill(ref fill) => {
                self.executions.insert(fill.exec_id.clone());
            }
            Record::Funding { ref exec_id, .. } => {
                self.executions.insert(exec_id.clone());
            }
            Record::Foreign(ref execution) => {
                self.executions.insert(execution.exec_id.clone());
            }
            Record::Guard(..) | Record::State(..) | Record::Limits(_) | Record::Day(_) => {}
        }
        self.rows.push(Row::Record(record));
    }

    /// Takes one event; it is written with the commit.
    pub fn write_event(&mut self, event: &Event, body: Arc<str>, ts: u64) {
        self.rows.push(Row::Event { seq: event.seq(), ts, kind: event.kind(), body });
    }

    /// Whether an entry, or new terms of one, is not on disk yet.
    #[must_use]
    pub fn awaits_entry(&self, intent_id: &IntentId) -> bool {
        self.orders.get(intent_id).is_some_and(|row| {
            !row.order.intent.reduce_only && (row.is_new || row.order.amend.is_some())
        })
    }

    /// How many rows wait for the commit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rows.len() + self.orders.len()
    }

    fn keep_order(&mut self, order: Box<Order>, is_new: bool) {
        let intent_id = order.intent.intent_id.clone();
        let row = OrderRow { order, is_new };
        if let Some(older) = self.orders.insert(intent_id.clone(), row) {
            if let Some(row) = self.orders.get_mut(&intent_id) {
                row.is_new |= older.is_new;
            }
        }
    }

    /// Writes every waiting row in one transaction.
    pub(super) fn write_all(&mut self) -> Result<(), JournalError> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for row in &self.rows {
            match row {
                Row::Record(record) => self.write_record(record)?,
                Row::Event { seq, ts, kind, body } => {
                    self.connection
                        .prepare_cached("INSERT INTO events VALUES (?1,?2,?3,?4)")?
                        .execute(params![integer(*seq), integer(*ts), kind, body])?;
                }
            }
        }
        for row in self.orders.values() {
            self.write_order(row)?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Lets go of rows that are on disk.
    pub(super) fn forget_rows(&mut self) {
        let mut newest = self.rows.iter().filter_map(|row| match row {
            Row::Event { seq, .. } => Some(*seq),
            Row::Record(_) => None,
        });
        self.last_seq = newest.next_back().unwrap_or(self.last_seq);
        self.rows.clear();
        self.orders.clear();
        self.executions.clear();
    }

    fn write_record(&self, record: &Record) -> Result<(), JournalError> {
        match record {
            Record::Intent(_) | Record::Order(_) => Ok(()),
            Record::Fill(fill) => self.write_fill(fill),
            Record::Funding { exec_id, agent, symbol, amount, exec_ts } => {
                self.connection
                    .prepare_cached("INSERT INTO funding VALUES (?1,?2,?3,?4,?5)")?
                    .execute(params![
                        exec_id,
                        agent.as_str(),
                        symbol.as_str(),
                        amount.normalize().to_string(),
                        integer(*exec_ts),
                    ])?;
                Ok(())
            }
            Record::Foreign(execution) => self.write_foreign(execution),
            Record::Guard(holding, guard) => self.write_guard(holding, guard.as_deref()),
            Record::State((agent, symbol), state) => {
                let state = serde_json::to_value(state).ok();
                self.connection
                    .prepare_cached("INSERT OR REPLACE INTO states VALUES (?1,?2,?3)")?
                    .execute(params![
                        agent.as_ref().map_or("", |name| name.as_str()),
                        symbol.as_ref().map_or("", |name| name.as_str()),
                        state.as_ref().and_then(serde_json::Value::as_str),
                    ])?;
                Ok(())
            }
            Record::Limits(None) => {
                self.connection.execute("DELETE FROM meta WHERE key = 'limits'", [])?;
                Ok(())
            }
            Record::Limits(Some(limits)) => self.write_meta("limits", "limits", limits),
            Record::Day(book) => self.write_meta("market_day", "market day", book),
        }
    }

    fn write_fill(&self, fill: &FillEvent) -> Result<(), JournalError> {
        self.connection
            .prepare_cached(
                "INSERT INTO fills VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
            )?
            .execute(params![
                fill.exec_id,
                fill.intent_id.as_str(),
                fill.order_id,
                fill.agent.as_str(),
                fill.version.as_str(),
                fill.symbol.as_str(),
                side(fill.side),
                fill.qty.as_str(),
                fill.price.as_str(),
                fill.fee.as_str(),
                fill.fee_currency,
                fill.is_maker,
                integer(fill.exec_ts),
                integer(fill.seq),
            ])?;
        Ok(())
    }

    fn write_meta(
        &self,
        key: &str,
        name: &str,
        value: &impl serde::Serialize,
    ) -> Result<(), JournalError> {
        let body = serde_json::to_string(value)
            .map_err(|error| JournalError::new(format!("{name}: {error}")))?;
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
            .execute([key, body.as_str()])?;
        Ok(())
    }

    fn write_order(&self, row: &OrderRow) -> Result<(), JournalError> {
        if row.is_new {
            self.insert_order(&row.order)
        } else {
            self.update_order(&row.order)
        }
    }

    fn insert_order(&self, order: &Order) -> Result<(), JournalError> {
        let intent = &order.intent;
        self.connection.prepare_cached(INSERT_ORDER)?.execute(params![
            intent.intent_id.as_str(),
            order.link_id,
            intent.agent.as_str(),
            intent.version.as_str(),
            intent.symbol.as_str(),
            side(intent.side),
            kind(intent.kind),
            intent.qty.as_str(),
            price_text(intent.limit_price.as_ref()),
            intent.reduce_only,
            integer(intent.ts),
            integer(intent.ttl_ms),
            protect_text(intent.protect.as_ref())?,
            intent.reason.as_str(),
            origin(intent.origin),
            order.order_id,
            order.status.as_str(),
            !order.is_terminal(),
            number_text(order.filled_qty),
            number_text(order.filled_value),
            order.sends,
            order.cancel_wanted,
            order.code,
            order.text,
            order.close_on_fill.as_ref().map(|reason| reason.as_str()),
            order.terms.qty.as_str(),
            price_text(order.terms.limit_price.as_ref()),
            amend_text(order),
        ])?;
        Ok(())
    }

    /// Writes what may change of an order that is on disk.
    fn update_order(&self, order: &Order) -> Result<(), JournalError> {
        let changed = self.connection.prepare_cached(UPDATE_ORDER)?.execute(params![
            order.intent.intent_id.as_str(),
            order.order_id,
            order.status.as_str(),
            !order.is_terminal(),
            number_text(order.filled_qty),
            number_text(order.filled_value),
            order.sends,
            order.cancel_wanted,
            order.code,
            order.text,
            order.close_on_fill.as_ref().map(|reason| reason.as_str()),
            order.terms.qty.as_str(),
            price_text(order.terms.limit_price.as_ref()),
            amend_text(order),
        ])?;
        if changed == 1 {
            return Ok(());
        }
        Err(JournalError::new(format!(
            "journal: order {} has no row to change; run verify-journal",
            order.link_id
        )))
    }

    fn write_foreign(&self, execution: &Execution) -> Result<(), JournalError> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO foreign_executions VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
            )?
            .execute(params![
                execution.exec_id,
                execution.symbol.as_str(),
                match &execution.kind {
                    ExecutionKind::Trade => "Trade",
                    ExecutionKind::Funding => "Funding",
                    ExecutionKind::Other(kind) => kind,
                },
                side(execution.side),
                execution.qty.normalize().to_string(),
                execution.price.normalize().to_string(),
                execution.fee.normalize().to_string(),
                integer(execution.exec_ts),
            ])?;
        Ok(())
    }

    fn write_guard(&self, holding: &Holding, guard: Option<&Guard>) -> Result<(), JournalError> {
        let (agent, symbol) = (holding.0.as_str(), holding.1.as_str());
        let Some(guard) = guard else {
            self.connection
                .prepare_cached("DELETE FROM guards WHERE agent = ?1 AND symbol = ?2")?
                .execute([agent, symbol])?;
            return Ok(());
        };
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO guards VALUES (?1,?2,?3,?4,?5,?6,?7,?8)")?
            .execute(params![
                agent,
                symbol,
                guard.version.as_str(),
                guard.stop.map(|level| level.normalize().to_string()),
                guard.take_profit.map(|level| level.normalize().to_string()),
                guard.deadline_ts.map(integer),
                guard.source.as_ref().map(|id| id.as_str()),
                guard.exit_reason,
            ])?;
        Ok(())
    }
}

/// A decimal as the journal spells it; most orders have filled nothing yet.
fn number_text(value: Decimal) -> Cow<'static, str> {
    if value.is_zero() {
        return Cow::Borrowed("0");
    }
    Cow::Owned(value.normalize().to_string())
}

fn price_text(price: Option<&DecimalText>) -> Option<&str> {
    price.map(|price| price.as_str())
}

/// An amend that is under way, as JSON.
fn amend_text(order: &Order) -> Option<String> {
    order.amend.as_ref().map(|amend| {
        let price = price_text(amend.terms.limit_price.as_ref());
        let qty = amend.terms.qty.as_str();
        json!({"qty": qty, "limit_price": price, "sent": amend.sent}).to_string()
    })
}

fn protect_text(protect: Option<&Protect>) -> Result<Option<String>, JournalError> {
    protect
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| JournalError::new(format!("protect: {error}")))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Market => "market",
        Kind::Limit => "limit",
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Arena => "arena",
        Origin::Cerebellum => "cerebellum",
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
