//! An open journal: opening, locking and committing.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::wire::field::IntentId;
use rusqlite::Connection;

use super::{
    disk_space::{DiskSpace, PAGE_BYTES},
    error::JournalError,
    lock::Lock,
    newest::{newest_intents, Newest},
    schema,
    waiting::{OrderRow, Row},
};

/// How many of the newest intents are known without a question to the file.
const NEWEST: usize = 4096;
/// How long a commit waits for another program that holds the journal; all else waits with it.
const PATIENCE: Duration = Duration::from_millis(50);

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    // Rows that wait for the commit. However often an order changes, its row is written once.
    pub(super) rows: Vec<Row>,
    pub(super) orders: BTreeMap<IntentId, OrderRow>,
    pub(super) executions: HashSet<String>,
    pub(super) newest: Newest,
    pub(super) last_seq: u64,
    disk_space: DiskSpace,
    _lock: Option<Lock>,
}

impl Journal {
    /// Opens or creates a journal; `:memory:` keeps nothing and is for benchmarks.
    ///
    /// # Errors
    /// When another process holds it, when it was written by a newer version, or when the disk
    /// refuses.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        if path.as_os_str() == ":memory:" {
            return Self::open_in_memory();
        }
        let (lock, path) = Lock::take(path)?;
        let mut connection = Connection::open_with_flags(&path, to_write()).map_err(|error| {
            JournalError::new(format!("journal {}: {error}; check --journal", path.display()))
        })?;
        // Every page that a commit touches is written whole, so pages are small; but an order's row,
        // of which a quarter of a page may lie in its key's tree, should fit. A journal keeps the page
        // size that it was made with.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        prepare(&connection, &path)?;
        connection.busy_timeout(PATIENCE)?;
        let disk_space = DiskSpace::make(&mut connection, &path)?;
        Self::of(connection, &path, Some(lock), disk_space)
    }

    fn open_in_memory() -> Result<Self, JournalError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory()?;
        prepare(&connection, path)?;
        Self::of(connection, path, None, DiskSpace::default())
    }

    /// Opens a journal for reading only.
    ///
    /// # Errors
    /// When the file is missing, is no journal, or was written by a newer version.
    pub fn open_to_read(path: &Path) -> Result<Self, JournalError> {
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| {
            JournalError::new(format!("journal {}: {error}; check the path", path.display()))
        })?;
        schema::check(&connection, path)?;
        Self::of(connection, path, None, DiskSpace::default())
    }

    fn of(
        connection: Connection,
        path: &Path,
        lock: Option<Lock>,
        disk_space: DiskSpace,
    ) -> Result<Self, JournalError> {
        let newest = newest_intents(&connection, NEWEST)?;
        let mut journal = Self {
            connection,
            path: path.to_owned(),
            rows: Vec::new(),
            orders: BTreeMap::new(),
            executions: HashSet::new(),
            newest,
            last_seq: 0,
            disk_space,
            _lock: lock,
        };
        journal.last_seq = journal.newest_seq()?;
        Ok(journal)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest event's number that is on disk.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Makes everything written so far durable; rows that could not be written go on waiting.
    ///
    /// # Errors
    /// Those of SQLite; nothing that depends on the rows may then be reported.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.rows.is_empty() && self.orders.is_empty() {
            return self.tend();
        }
        if let Err(error) = self.write_all() {
            if !self.connection.is_autocommit() {
                self.connection.prepare_cached("ROLLBACK")?.execute([])?;
            }
            return Err(error);
        }
        self.forget_rows();
        self.tend()
    }

    /// Why nothing but the reserve is left to write to, if so.
    #[must_use]
    pub fn shortage(&self) -> Option<&str> {
        self.disk_space.shortage()
    }

    fn tend(&mut self) -> Result<(), JournalError> {
        self.disk_space.tend(&self.connection)
    }
}

/// The path is a path: nothing in it is read as a URI.
fn to_write() -> rusqlite::OpenFlags {
    rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE
        | rusqlite::OpenFlags::SQLITE_OPEN_CREATE
        | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    // A migration may drop a table that others refer to.
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    schema::migrate(connection, path)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(())
}
