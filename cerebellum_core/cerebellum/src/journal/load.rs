//! Reading what was known at the end, and single rows while running.

use protocol::wire::field::{IntentId, Name, Side, Symbol, TradingState};
use rusqlite::OptionalExtension;
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;

use super::{waiting::OrderRow, Journal, JournalError};
use crate::{
    execution::{
        model::{
            guard::Guard,
            ledger::{Booking, Ledger},
            order::{intent_of, Order},
        },
        Recovered,
    },
    journal::columns::{
        decimal, name, number, number_if_any, order, symbol, text, word, ORDER_COLUMNS,
    },
};

impl Journal {
    /// A text unique to this journal.
    ///
    /// # Errors
    /// When the row is missing or SQLite refuses.
    pub fn journal_id(&self) -> Result<String, JournalError> {
        Ok(self.connection.query_row(
            "SELECT value FROM meta WHERE key = 'journal_id'",
            [],
            |row| row.get(0),
        )?)
    }

    /// What the core needs to go on.
    ///
    /// # Errors
    /// When a row cannot be read back; the message names it.
    pub fn recover(&self) -> Result<Recovered, JournalError> {
        Ok(Recovered {
            open_orders: self.open_orders()?,
            ledger: self.ledger()?,
            guards: self.guards()?,
            states: self.states()?,
            day: self.meta("market_day")?,
            limits: self.meta("limits")?,
            last_seq: self.newest_seq()?,
            last_exec_ts: self.newest("SELECT max(ts) FROM (SELECT max(exec_ts) AS ts FROM fills UNION ALL SELECT max(exec_ts) FROM funding UNION ALL SELECT max(exec_ts) FROM foreign_executions)")?,
            first_intent_ts: self.newest("SELECT min(ts) FROM orders")?,
        })
    }

    /// The order of an intent.
    ///
    /// # Errors
    /// When the row cannot be read back.
    pub fn order_of(&self, intent_id: &IntentId) -> Result<Option<Order>, JournalError> {
        if let Some(row) = self.orders.get(intent_id) {
            return Ok(Some(row.order().clone()));
        }
        if self.newest.excludes(intent_id) {
            return Ok(None);
        }
        self.one_order(" WHERE intent_id = ?1", intent_id.as_str())
    }

    /// The order of a client order id.
    ///
    /// # Errors
    /// When the row cannot be read back.
    pub fn order_by_link(&self, link_id: &str) -> Result<Option<Order>, JournalError> {
        match intent_of(link_id) {
            Some(intent_id) => match self.orders.get(&intent_id) {
                Some(row) => Ok(Some(row.order().clone())),
                None => self.one_order(" WHERE intent_id = ?1", intent_id.as_str()),
            },
            // Not one of ours.
            None => Ok(None),
        }
    }

    /// The order of a venue's order id.
    ///
    /// # Errors
    /// When the row cannot be read back.
    pub fn order_by_order_id(&self, order_id: &str) -> Result<Option<Order>, JournalError> {
        let mut waiting = self.orders.values().map(OrderRow::order);
        if let Some(order) = waiting.find(|order| order.order_id.as_deref() == Some(order_id)) {
            return Ok(Some(order.clone()));
        }
        self.one_order(" WHERE order_id = ?1", order_id)
    }

    /// Whether an execution is booked already, as a fill, as funding or as foreign.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn has_execution(&self, exec_id: &str) -> Result<bool, JournalError> {
        if self.executions.contains(exec_id) {
            return Ok(true);
        }
        Ok(self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM fills WHERE exec_id = ?1)
                 OR EXISTS (SELECT 1 FROM funding WHERE exec_id = ?1)
                 OR EXISTS (SELECT 1 FROM foreign_executions WHERE exec_id = ?1)",
            )?
            .query_row([exec_id], |row| row.get(0))?)
    }

    /// Events after a number, as they were written.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn events_since(&self, seq: u64, limit: u32) -> Result<Vec<String>, JournalError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let mut statement = self
            .connection
            .prepare_cached("SELECT body FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map(rusqlite::params![seq, limit], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest event's number in the file.
    pub(super) fn newest_seq(&self) -> Result<u64, JournalError> {
        Ok(self.newest("SELECT max(seq) FROM events")?.unwrap_or(0))
    }

    /// The ledger, from every fill and every funding share.
    ///
    /// # Errors
    /// When a row cannot be read back.
    pub fn ledger(&self) -> Result<Ledger, JournalError> {
        let mut ledger = Ledger::default();
        let mut fills = self.connection.prepare(
            "SELECT agent, symbol, side, qty, price, fee, exec_ts FROM fills ORDER BY seq",
        )?;
        let mut rows = fills.query([])?;
        while let Some(row) = rows.next()? {
            ledger.book(&Booking {
                agent: name(&text(row, 0)?)?,
                symbol: symbol(&text(row, 1)?)?,
                side: word::<Side>(&text(row, 2)?)?,
                qty: decimal(&text(row, 3)?)?,
                price: decimal(&text(row, 4)?)?,
                fee: decimal(&text(row, 5)?)?,
                exec_ts: number(row, 6)?,
            });
        }
        let mut funding = self.connection.prepare("SELECT agent, amount FROM funding")?;
        let mut rows = funding.query([])?;
        while let Some(row) = rows.next()? {
            ledger.book_funding(&name(&text(row, 0)?)?, decimal(&text(row, 1)?)?);
        }
        Ok(ledger)
    }

    fn newest(&self, query: &str) -> Result<Option<u64>, JournalError> {
        let mut statement = self.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        match rows.next()? {
            Some(row) => number_if_any(row, 0),
            None => Ok(None),
        }
    }

    fn open_orders(&self) -> Result<Vec<Order>, JournalError> {
        let mut statement = self
            .connection
            .prepare(&format!("{ORDER_COLUMNS} WHERE is_open = 1 ORDER BY intent_id"))?;
        let mut rows = statement.query([])?;
        let mut orders = Vec::new();
        while let Some(row) = rows.next()? {
            orders.push(order(row)?);
        }
        Ok(orders)
    }

    fn one_order(&self, filter: &str, key: &str) -> Result<Option<Order>, JournalError> {
        let mut statement = self.connection.prepare_cached(&format!("{ORDER_COLUMNS}{filter}"))?;
        let mut rows = statement.query([key])?;
        match rows.next()? {
            Some(row) => Ok(Some(order(row)?)),
            None => Ok(None),
        }
    }

    fn guards(&self) -> Result<std::collections::BTreeMap<(Name, Symbol), Guard>, JournalError> {
        let mut statement = self.connection.prepare(
            "SELECT agent, symbol, version, stop, take_profit, deadline_ts, source, exit_reason FROM guards",
        )?;
        let mut rows = statement.query([])?;
        let mut guards = std::collections::BTreeMap::new();
        while let Some(row) = rows.next()? {
            let level = |at: usize| -> Result<Option<Decimal>, JournalError> {
                row.get::<_, Option<String>>(at)?.map(|level| decimal(&level)).transpose()
            };
            let source = row
                .get::<_, Option<String>>(6)?
                .map(|id| IntentId::new(&id).map_err(JournalError::new))
                .transpose()?;
            let guard = Guard {
                stop: level(3)?,
                take_profit: level(4)?,
                deadline_ts: number_if_any(row, 5)?,
                source,
                exit_reason: row.get(7)?,
                ..Guard::bare(name(&text(row, 2)?)?)
            };
            guards.insert((name(&text(row, 0)?)?, symbol(&text(row, 1)?)?), guard);
        }
        Ok(guards)
    }

    fn states(&self) -> Result<crate::execution::model::trading_state::States, JournalError> {
        let mut statement = self.connection.prepare("SELECT agent, symbol, state FROM states")?;
        let mut rows = statement.query([])?;
        let mut states = crate::execution::model::trading_state::States::default();
        while let Some(row) = rows.next()? {
            let (agent, held) = (text(row, 0)?, text(row, 1)?);
            let agent = if agent.is_empty() { None } else { Some(name(&agent)?) };
            let held = if held.is_empty() { None } else { Some(symbol(&held)?) };
            states.set((agent, held), word::<TradingState>(&text(row, 2)?)?);
        }
        Ok(states)
    }

    fn meta<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JournalError> {
        let body: Option<String> = self
            .connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
            .optional()?;
        body.map(|body| {
            serde_json::from_str(&body)
                .map_err(|error| JournalError::new(format!("journal: {key}: {error}")))
        })
        .transpose()
    }
}
