//! The journal: one SQLite file that is on disk before anything is told.
//!
//! The engine opens a transaction, writes every row that a batch of inputs caused, commits, and only
//! then answers, publishes and sends. Tables are told in `docs/reference/journal.md`.

/// Reading what was known at the end.
mod load;
/// Which of the newest intents are journaled.
mod newest;
/// Tables and migrations.
pub mod schema;
/// Recomputing everything from the rows.
pub mod verify;
/// Writing rows.
mod write;

#[cfg(test)]
mod journal_tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use protocol::wire::field::IntentId;
use rusqlite::Connection;

use self::{newest::Newest, write::OrderRow};

/// How many of the newest intents are known without a question to the file.
const NEWEST: usize = 4096;
/// Size of a page of a new journal.
const PAGE_BYTES: u32 = 2048;
/// How many pages the log holds before they are brought into the journal.
const LOG_PAGES: u32 = 4_000;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    in_transaction: bool,
    // Orders of the open transaction: however often one changes, its row is written once, before the
    // commit and before any question about orders.
    orders: BTreeMap<IntentId, OrderRow>,
    newest: Newest,
    // Held as long as the journal is open: two writers would number events twice.
    _lock: Option<std::fs::File>,
}

/// What went wrong with the journal, with the next step.
#[derive(Debug)]
pub struct JournalError(String);

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JournalError {}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("journal: {error}; check the disk and the file"))
    }
}

impl JournalError {
    /// An error with its own words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Journal {
    /// Opens or creates a journal; `:memory:` keeps nothing and is for benchmarks.
    ///
    /// # Errors
    /// When another process holds it, when it was written by a newer version, or when the disk
    /// refuses.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let in_memory = path.as_os_str() == ":memory:";
        let lock = if in_memory { None } else { Some(take_lock(path)?) };
        let connection =
            if in_memory { Connection::open_in_memory() } else { Connection::open(path) }.map_err(
                |error| {
                    JournalError(format!("journal {}: {error}; check --journal", path.display()))
                },
            )?;
        // Every page that a commit touches is written whole, so pages are small; but an order's row,
        // of which a quarter of a page may lie in its key's tree, should fit. A journal keeps the page
        // size that it was made with.
        if !in_memory {
            connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        }
        // In memory nothing can be taken back after a crash, and nothing is taken back before one: a
        // statement that fails ends the process.
        let log = if in_memory { "OFF" } else { "WAL" };
        connection.pragma_update(None, "journal_mode", log)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(64);
        // A migration may drop a table that others refer to.
        connection.pragma_update(None, "foreign_keys", "OFF")?;
        schema::migrate(&connection, path)?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        if !in_memory {
            make_room(&connection)?;
        }
        Self::of(connection, path, lock)
    }

    /// Opens a journal for reading only.
    ///
    /// # Errors
    /// When the file is missing, is no journal, or was written by a newer version.
    pub fn open_to_read(path: &Path) -> Result<Self, JournalError> {
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| {
            JournalError(format!("journal {}: {error}; check the path", path.display()))
        })?;
        schema::check(&connection, path)?;
        Self::of(connection, path, None)
    }

    fn of(
        connection: Connection,
        path: &Path,
        lock: Option<std::fs::File>,
    ) -> Result<Self, JournalError> {
        let newest = load::newest_intents(&connection, NEWEST)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            in_transaction: false,
            orders: BTreeMap::new(),
            newest,
            _lock: lock,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a transaction, if none is open.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn begin(&mut self) -> Result<(), JournalError> {
        if !self.in_transaction {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Those of SQLite; nothing that depends on the rows may then be told.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.in_transaction {
            self.write_orders()?;
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            self.in_transaction = false;
        }
        Ok(())
    }
}

/// Gives the log its full size, so that a commit overwrites blocks that the file has already and its
/// sync has data to write but no size.
fn make_room(connection: &Connection) -> Result<(), JournalError> {
    // A crash here takes nothing: each of these commits only counts up in one page.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    {
        let mut count = connection.prepare("INSERT OR REPLACE INTO meta VALUES ('room', ?1)")?;
        for page in 0..LOG_PAGES {
            count.execute([page.to_string()])?;
        }
    }
    connection.execute("DELETE FROM meta WHERE key = 'room'", [])?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    // The next commit begins at the log's start.
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?;
    Ok(())
}

fn take_lock(path: &Path) -> Result<std::fs::File, JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| {
            JournalError(format!("journal lock {}: {error}; check --journal", lock_path.display()))
        })?;
    file.try_lock().map_err(|_| {
        JournalError(format!(
            "journal {} is in use by another process; stop that one first",
            path.display()
        ))
    })?;
    Ok(file)
}
