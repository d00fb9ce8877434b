//! Tables and migrations; `user_version` counts them.

use std::path::Path;

use rusqlite::Connection;

use super::JournalError;

/// One migration a version, oldest first. A released one never changes.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;
CREATE TABLE intents (
    intent_id     TEXT PRIMARY KEY NOT NULL,
    order_link_id TEXT NOT NULL UNIQUE,
    agent         TEXT NOT NULL,
    version       TEXT NOT NULL,
    symbol        TEXT NOT NULL,
    side          TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    kind          TEXT NOT NULL CHECK (kind IN ('market', 'limit')),
    qty           TEXT NOT NULL,
    limit_price   TEXT,
    reduce_only   INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    ts            INTEGER NOT NULL,
    ttl_ms        INTEGER NOT NULL,
    protect       TEXT,
    reason        TEXT NOT NULL,
    origin        TEXT NOT NULL CHECK (origin IN ('arena', 'cerebellum'))
) STRICT;
CREATE TABLE orders (
    intent_id     TEXT PRIMARY KEY NOT NULL REFERENCES intents (intent_id),
    order_id      TEXT,
    status        TEXT NOT NULL,
    is_open       INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    filled_qty    TEXT NOT NULL,
    filled_value  TEXT NOT NULL,
    sends         INTEGER NOT NULL,
    cancel_wanted INTEGER NOT NULL CHECK (cancel_wanted IN (0, 1)),
    code          TEXT,
    text          TEXT
) STRICT;
CREATE INDEX orders_open ON orders (is_open) WHERE is_open = 1;
CREATE INDEX orders_order_id ON orders (order_id) WHERE order_id IS NOT NULL;
CREATE TABLE fills (
    exec_id      TEXT PRIMARY KEY NOT NULL,
    intent_id    TEXT NOT NULL REFERENCES intents (intent_id),
    order_id     TEXT NOT NULL,
    agent        TEXT NOT NULL,
    version      TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    side         TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    qty          TEXT NOT NULL,
    price        TEXT NOT NULL,
    fee          TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    is_maker     INTEGER NOT NULL CHECK (is_maker IN (0, 1)),
    exec_ts      INTEGER NOT NULL,
    seq          INTEGER NOT NULL UNIQUE
) STRICT;
CREATE INDEX fills_exec_ts ON fills (exec_ts);
CREATE TABLE funding (
    exec_id TEXT NOT NULL,
    agent   TEXT NOT NULL,
    symbol  TEXT NOT NULL,
    amount  TEXT NOT NULL,
    exec_ts INTEGER NOT NULL,
    PRIMARY KEY (exec_id, agent)
) STRICT;
CREATE TABLE foreign_executions (
    exec_id TEXT PRIMARY KEY NOT NULL,
    symbol  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    side    TEXT NOT NULL,
    qty     TEXT NOT NULL,
    price   TEXT NOT NULL,
    fee     TEXT NOT NULL,
    exec_ts INTEGER NOT NULL
) STRICT;
CREATE TABLE events (
    seq  INTEGER PRIMARY KEY NOT NULL,
    ts   INTEGER NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE guards (
    agent       TEXT NOT NULL,
    symbol      TEXT NOT NULL,
    version     TEXT NOT NULL,
    stop        TEXT,
    take_profit TEXT,
    deadline_ts INTEGER,
    source      TEXT,
    exit_reason TEXT,
    PRIMARY KEY (agent, symbol)
) STRICT;
CREATE TABLE states (
    agent  TEXT NOT NULL,
    symbol TEXT NOT NULL,
    state  TEXT NOT NULL CHECK (state IN ('ACTIVE', 'REDUCE_ONLY', 'HALTED')),
    PRIMARY KEY (agent, symbol)
) STRICT;
",
    "
ALTER TABLE orders ADD COLUMN close_on_fill TEXT;
",
    "
ALTER TABLE orders ADD COLUMN qty TEXT;
ALTER TABLE orders ADD COLUMN limit_price TEXT;
ALTER TABLE orders ADD COLUMN amend TEXT;
",
    // An order and its intent are one row that lies in its key, and the client order id, which is the
    // intent id in another spelling, has no index: a commit touches about a third of the pages.
    "
CREATE TABLE orders_4 (
    intent_id          TEXT PRIMARY KEY NOT NULL,
    order_link_id      TEXT NOT NULL,
    agent              TEXT NOT NULL,
    version            TEXT NOT NULL,
    symbol             TEXT NOT NULL,
    side               TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    kind               TEXT NOT NULL CHECK (kind IN ('market', 'limit')),
    intent_qty         TEXT NOT NULL,
    intent_limit_price TEXT,
    reduce_only        INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    ts                 INTEGER NOT NULL,
    ttl_ms             INTEGER NOT NULL,
    protect            TEXT,
    reason             TEXT NOT NULL,
    origin             TEXT NOT NULL CHECK (origin IN ('arena', 'cerebellum')),
    order_id           TEXT,
    status             TEXT NOT NULL,
    is_open            INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    filled_qty         TEXT NOT NULL,
    filled_value       TEXT NOT NULL,
    sends              INTEGER NOT NULL,
    cancel_wanted      INTEGER NOT NULL CHECK (cancel_wanted IN (0, 1)),
    code               TEXT,
    text               TEXT,
    close_on_fill      TEXT,
    qty                TEXT,
    limit_price        TEXT,
    amend              TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO orders_4 SELECT i.*, o.order_id, o.status, o.is_open, o.filled_qty, o.filled_value,
    o.sends, o.cancel_wanted, o.code, o.text, o.close_on_fill, o.qty, o.limit_price, o.amend
    FROM intents i JOIN orders o USING (intent_id);
CREATE TABLE fills_4 (
    exec_id      TEXT PRIMARY KEY NOT NULL,
    intent_id    TEXT NOT NULL REFERENCES orders (intent_id)
                 DEFERRABLE INITIALLY DEFERRED,
    order_id     TEXT NOT NULL,
    agent        TEXT NOT NULL,
    version      TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    side         TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    qty          TEXT NOT NULL,
    price        TEXT NOT NULL,
    fee          TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    is_maker     INTEGER NOT NULL CHECK (is_maker IN (0, 1)),
    exec_ts      INTEGER NOT NULL,
    seq          INTEGER NOT NULL UNIQUE
) STRICT;
INSERT INTO fills_4 SELECT * FROM fills;
DROP TABLE fills;
DROP TABLE orders;
DROP TABLE intents;
ALTER TABLE orders_4 RENAME TO orders;
ALTER TABLE fills_4 RENAME TO fills;
CREATE INDEX fills_exec_ts ON fills (exec_ts);
CREATE INDEX orders_open ON orders (is_open) WHERE is_open = 1;
CREATE INDEX orders_order_id ON orders (order_id) WHERE order_id IS NOT NULL;
CREATE VIEW intents AS SELECT intent_id, order_link_id, agent, version, symbol, side, kind,
    intent_qty AS qty, intent_limit_price AS limit_price, reduce_only, ts, ttl_ms, protect, reason,
    origin FROM orders;
",
];

/// The tables of the first version.
#[cfg(test)]
pub(super) fn first() -> &'static str {
    MIGRATIONS[0]
}

/// The version that this code writes.
#[must_use]
pub fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings a journal to the newest version and gives a new one its identity.
///
/// # Errors
/// When the journal is newer than this code, or SQLite refuses.
pub fn migrate(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let found = user_version(connection)?;
    refuse_newer(found, path)?;
    for (at, migration) in MIGRATIONS.iter().enumerate() {
        let target = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1);
        if target <= found {
            continue;
        }
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration} PRAGMA user_version = {target}; COMMIT;"
        ))?;
    }
    // Asked before it is written: a journal that another program holds can be opened nevertheless.
    let has_id = "SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'journal_id')";
    if !connection.query_row(has_id, [], |row| row.get(0))? {
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('journal_id', ?1)",
            [uuid::Uuid::new_v4().to_string()],
        )?;
    }
    Ok(())
}

/// Refuses a file that is no journal of this version.
///
/// # Errors
/// A sentence with the version found and the next step.
pub fn check(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let found = user_version(connection)?;
    refuse_newer(found, path)?;
    if found < version() {
        return Err(JournalError::new(format!(
            "{} has journal version {found}, this program reads {}; start cerebellum on it once",
            path.display(),
            version()
        )));
    }
    Ok(())
}

fn refuse_newer(found: i64, path: &Path) -> Result<(), JournalError> {
    if found > version() {
        return Err(JournalError::new(format!(
            "{} has journal version {found}, this program knows {}; use the newer program",
            path.display(),
            version()
        )));
    }
    Ok(())
}

fn user_version(connection: &Connection) -> Result<i64, JournalError> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| JournalError::new(format!("not a journal: {error}; check the path")))
}
