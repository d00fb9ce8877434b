//! What fuzzing finds, as far as it is no panic: a promise that a parser broke.

use cerebellum::{bybit::keys::KeysError, execution::model::limits::LimitsError};
use paper_venue::server::probe::BrokenPromise;
use protocol::wire::{Fault, FieldError};
use serde_json::Number;

/// What was broken.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nothing was tried.
    #[error("there is no fuzz target {0}")]
    NoTarget(String),
    /// The two ways of reading a message differ.
    #[error("the quick way reads something else than the general way")]
    ReadDifferently,
    /// Only one way of reading takes a message.
    #[error("the general way refuses what was accepted: {0}")]
    RefusedByOne(serde_json::Error),
    /// A message cannot be written.
    #[error("accepted but not written: {0}")]
    NotWritten(Fault),
    /// A message cannot be read once it was written.
    #[error("written but not read: {0}")]
    NotRead(Fault),
    /// A message can be written only once.
    #[error("read again but not written: {0}")]
    NotWrittenAgain(Fault),
    /// A message that the books lead to cannot be written.
    #[error("published: {0}")]
    NotPublished(Fault),
    /// A message changes with every writing.
    #[error("{first} became {second}")]
    Changed {
        /// How it was written at first.
        first: String,
        /// How it was written next.
        second: String,
    },
    /// What was written is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A number that is none.
    #[error("{0} is not finite and was accepted")]
    NotFinite(Number),
    /// The best bid is above the best ask.
    #[error("a crossed quote: {0}")]
    Crossed(String),
    /// A symbol of the harness.
    #[error(transparent)]
    Symbol(#[from] FieldError),
    /// Keys of the harness.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Limits that cannot be written.
    #[error("limits: {0}")]
    LimitsNotWritten(toml::ser::Error),
    /// Limits that cannot be read once they were written.
    #[error("limits written but not read: {source}: {written}")]
    LimitsNotRead {
        /// Why not.
        source: LimitsError,
        /// How they were written.
        written: String,
    },
    /// Limits that are others once they were written.
    #[error("limits {first} became {second}")]
    LimitsChanged {
        /// Those that were written.
        first: String,
        /// Those that were read.
        second: String,
    },
    /// A person has to ask for real money.
    #[error("a file alone turned real money on")]
    RealMoney,
    /// A promise of the paper venue.
    #[error(transparent)]
    Venue(#[from] BrokenPromise),
}
