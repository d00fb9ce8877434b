//! Room on the disk: a log of full size, half of which is a reserve, and what to do when it shrinks.
//!
//! A commit overwrites blocks of the log that the file has already. The log is brought into the journal
//! when it is half full, and that is where a full disk shows: the journal cannot grow. From then on the
//! other half takes what exits need, and the log is tried again until it can be brought in.

use std::{
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicI32, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::JournalError;

/// Size of a page of a new journal.
pub(super) const PAGE_BYTES: u32 = 2048;
/// How many pages the log holds before they are brought into the journal.
const LOG_PAGES: i32 = 4_000;
/// How many more the log has room for: the reserve.
const RESERVE_PAGES: i32 = 4_000;
/// The header of a page in the log, bytes.
const FRAME_HEADER: u64 = 24;
/// How often a log that could not be brought in is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How much space there is.
#[derive(Debug, Default)]
pub(super) struct DiskSpace {
    log: PathBuf,
    // Pages in the log, as of the last commit.
    pages: Arc<AtomicI32>,
    shortage: Option<String>,
    tried_at: Option<Instant>,
}

impl DiskSpace {
    /// Gives the log of a journal its full size. A disk that is full is no error: it is a shortage.
    pub(super) fn make(connection: &mut Connection, path: &Path) -> Result<Self, JournalError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let mut space = Self { log: PathBuf::from(log), ..Self::default() };
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let pages = Arc::clone(&space.pages);
        connection.wal_hook(Some(
            move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
                pages.store(count, Ordering::Relaxed);
                Ok(())
            },
        ))?;
        space.settle(connection)?;
        Ok(space)
    }

    /// Why there is no room beyond the reserve.
    pub(super) fn shortage(&self) -> Option<&str> {
        self.shortage.as_deref()
    }

    /// Brings the log into the journal when it is time to.
    ///
    /// # Errors
    /// Those of SQLite that no room on the disk would mend.
    pub(super) fn tend(&mut self, connection: &Connection) -> Result<(), JournalError> {
        if self.shortage.is_none() && self.pages.load(Ordering::Relaxed) < LOG_PAGES {
            return Ok(());
        }
        let waits = self.tried_at.is_some_and(|at| at.elapsed() < AGAIN);
        if self.shortage.is_some() && waits {
            return Ok(());
        }
        self.settle(connection)
    }

    fn settle(&mut self, connection: &Connection) -> Result<(), JournalError> {
        self.tried_at = Some(Instant::now());
        match self.bring_in(connection) {
            Ok(()) => {
                self.pages.store(0, Ordering::Relaxed);
                self.shortage = None;
            }
            Err(error) if error.may_pass() => self.shortage = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn bring_in(&self, connection: &Connection) -> Result<(), JournalError> {
        if self.size() >= full_size() {
            // A reader that holds the log back is no shortage.
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            return Ok(());
        }
        // What is in the log must be in the journal before the log is filled.
        begin_anew(connection)?;
        // A crash meanwhile takes nothing: each of these commits only counts up in one page.
        connection.pragma_update(None, "synchronous", "OFF")?;
        let filled = self.fill(connection);
        connection.pragma_update(None, "synchronous", "FULL")?;
        // The next commit begins at the log's start.
        begin_anew(connection)?;
        filled
    }

    fn fill(&self, connection: &Connection) -> Result<(), JournalError> {
        let mut count = connection.prepare("INSERT OR REPLACE INTO meta VALUES ('room', ?1)")?;
        let mut page = 0;
        while self.size() < full_size() && page <= LOG_PAGES + RESERVE_PAGES {
            page += 1;
            count.execute([page.to_string()])?;
        }
        connection.execute("DELETE FROM meta WHERE key = 'room'", [])?;
        Ok(())
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }
}

fn full_size() -> u64 {
    u64::from((LOG_PAGES + RESERVE_PAGES).unsigned_abs()) * (u64::from(PAGE_BYTES) + FRAME_HEADER)
}

fn begin_anew(connection: &Connection) -> Result<(), JournalError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))?)
}
