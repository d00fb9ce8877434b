//! The journal: one SQLite file that is on disk before anything is published.
//!
//! The engine hands over every row that a batch of inputs caused, commits, and only then answers,
//! publishes and sends. Rows that cannot be committed now wait in memory, and are read from there, until
//! they can be. Tables are described in `docs/reference/journal.md`.
//!
//! Entry points: [`Journal::open`], `write` and `write_event` for what a step decided, `commit`, and
//! `recover` at the next start. Invariants: one writer, an event's number is given once, and a row
//! that waits is found by every question as if it were on disk.

/// Columns and rows, read as values.
mod columns;
/// Room on the disk.
mod disk_space;
/// What can go wrong.
mod error;
/// Reading what was known at the end.
mod load;
/// One writer a journal, whatever name it is opened by.
mod lock;
/// Which of the newest intents are journaled.
mod newest;
/// Tables and migrations.
pub mod schema;
/// An open journal.
mod store;
/// Recomputing everything from the rows.
pub mod verify;
/// Rows that wait for the commit.
mod waiting;
/// Writing rows.
mod write;

#[cfg(test)]
mod journal_tests;
#[cfg(test)]
mod waiting_tests;

pub use self::{error::JournalError, store::Journal};
