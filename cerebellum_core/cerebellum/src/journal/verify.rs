//! Recomputing everything from the rows, and checking whether they agree.

use std::{collections::BTreeMap, path::Path};

use protocol::wire::{event::Event, DecimalText};
use rust_decimal::Decimal;
use serde::Serialize;

use super::{columns, Journal, JournalError};

/// What a journal amounts to.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How many fills.
    pub fills: u64,
    /// The sum of the fees.
    pub fees: DecimalText,
    /// The sum of `-side * price * qty - fee` and of funding.
    pub cash: DecimalText,
    /// Signed quantity of every position that is not flat, by agent and symbol.
    pub positions: BTreeMap<String, BTreeMap<String, DecimalText>>,
    /// The newest event's number.
    pub last_seq: u64,
    /// How many intents.
    pub intents: u64,
    /// How many orders have not ended.
    pub open_orders: u64,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong.
    pub faults: Vec<String>,
}

/// Reads a journal from one end to the other.
///
/// # Errors
/// When the file cannot be read as a journal at all.
pub fn verify(path: &Path) -> Result<Summary, JournalError> {
    let journal = Journal::open_to_read(path)?;
    let mut faults = Vec::new();
    check_file(&journal, &mut faults)?;
    let last_seq = check_events(&journal, &mut faults)?;
    check_orders(&journal, &mut faults)?;
    let ledger = journal.ledger()?;
    check_fill_events(&journal, &mut faults)?;
    let mut positions: BTreeMap<String, BTreeMap<String, DecimalText>> = BTreeMap::new();
    for ((agent, symbol), position) in ledger.positions() {
        positions
            .entry(agent.as_str().to_owned())
            .or_default()
            .insert(symbol.as_str().to_owned(), position.qty.into());
    }
    let count = |query: &str| -> Result<u64, JournalError> {
        let mut statement = journal.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        match rows.next()? {
            Some(row) => columns::number(row, 0),
            None => Err(JournalError::new(format!("journal: {query} counts nothing"))),
        }
    };
    Ok(Summary {
        fills: ledger.fills(),
        fees: ledger.fees().into(),
        cash: ledger.cash().into(),
        positions,
        last_seq,
        intents: count("SELECT count(*) FROM orders")?,
        open_orders: count("SELECT count(*) FROM orders WHERE is_open = 1")?,
        ok: faults.is_empty(),
        faults,
    })
}

fn check_file(journal: &Journal, faults: &mut Vec<String>) -> Result<(), JournalError> {
    let word: String =
        journal.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if word != "ok" {
        faults.push(format!("the file is damaged: {word}"));
    }
    let foreign_orders: i64 = journal.connection.query_row(
        "SELECT count(*) FROM fills WHERE intent_id NOT IN (SELECT intent_id FROM orders)",
        [],
        |row| row.get(0),
    )?;
    if foreign_orders != 0 {
        faults.push(format!("{foreign_orders} fills of no order"));
    }
    Ok(())
}

fn check_events(journal: &Journal, faults: &mut Vec<String>) -> Result<u64, JournalError> {
    let mut statement =
        journal.connection.prepare("SELECT seq, type, body FROM events ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut last = 0_u64;
    while let Some(row) = rows.next()? {
        let seq = columns::number(row, 0)?;
        if seq != last + 1 {
            faults.push(format!("events jump from {last} to {seq}"));
        }
        let body = columns::text(row, 2)?;
        match serde_json::from_str::<Event>(&body) {
            Ok(event) if event.seq() == seq && event.kind() == columns::text(row, 1)? => {}
            Ok(event) => faults.push(format!("event {seq} says it is {}", event.seq())),
            Err(error) => faults.push(format!("event {seq} cannot be read: {error}")),
        }
        last = seq;
    }
    Ok(last)
}

fn check_orders(journal: &Journal, faults: &mut Vec<String>) -> Result<(), JournalError> {
    let mut filled: BTreeMap<String, Decimal> = BTreeMap::new();
    let mut statement = journal.connection.prepare(
        "SELECT f.intent_id, f.qty, f.agent = o.agent AND f.symbol = o.symbol AND f.side = o.side
         FROM fills f JOIN orders o USING (intent_id)",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let intent_id = columns::text(row, 0)?;
        if !row.get::<_, bool>(2)? {
            faults.push(format!("a fill of intent {intent_id} differs from it"));
        }
        *filled.entry(intent_id).or_default() += columns::decimal(&columns::text(row, 1)?)?;
    }
    let mut statement = journal.connection.prepare(
        "SELECT intent_id, filled_qty, status, coalesce(qty, intent_qty), amend IS NULL FROM orders",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let intent_id = columns::text(row, 0)?;
        let reported = columns::decimal(&columns::text(row, 1)?)?;
        let asked = columns::decimal(&columns::text(row, 3)?)?;
        let summed = filled.get(&intent_id).copied().unwrap_or_default();
        if reported != summed {
            faults.push(format!(
                "order {intent_id} counts {reported} filled, its fills sum to {summed}"
            ));
        }
        // While an amend is in flight the venue may hold more than the journal knows.
        if summed > asked.max(Decimal::ZERO) && row.get::<_, bool>(4)? {
            faults.push(format!("order {intent_id} filled {summed} of {asked} asked for"));
        }
        if columns::text(row, 2)? == "filled" && summed != asked {
            faults.push(format!("order {intent_id} is filled with {summed} of {asked}"));
        }
    }
    Ok(())
}

fn check_fill_events(journal: &Journal, faults: &mut Vec<String>) -> Result<(), JournalError> {
    let unmatched: i64 = journal.connection.query_row(
        "SELECT count(*) FROM fills f LEFT JOIN events e ON e.seq = f.seq AND e.type = 'fill'
         WHERE e.seq IS NULL",
        [],
        |row| row.get(0),
    )?;
    let reported: i64 = journal.connection.query_row(
        "SELECT (SELECT count(*) FROM events WHERE type = 'fill') - (SELECT count(*) FROM fills)",
        [],
        |row| row.get(0),
    )?;
    if unmatched != 0 || reported != 0 {
        faults.push(format!("{unmatched} fills without their event, {reported} events too many"));
    }
    Ok(())
}
